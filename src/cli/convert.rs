//! `cliplet convert`: another program's model, or one of ours in another format, as one GGUF of this project.
//!
//! Invariant: of a safetensors model one tensor at a time is held as its files hold it; the rest is converted already.
//! Invariant: what is written was built as the engine builds it, and holds only finite values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{FilesError, ModelFiles};
use super::output::{OutputFile, Written};
use super::{CliError, Report, message, progress, read_file};
use crate::cpu::CpuModel;
use crate::engine::{BackendError, EngineError, cosine, self_test_picture};
use crate::models::config::{SelfTestRecord, TokenizerFile};
use crate::models::{
    Checkpoint, DualEncoder, ModelError, Quantization, Taps, import_with, into_gguf, load_gguf,
};
use crate::tensor::{Format, Tensor};
use crate::text::Tokenizer;
use crate::weights::Weights;

/// What the start-up check asks a model that came without a check.
const SELF_TEST_LABEL: &str = "a photo of a red disc";

#[derive(clap::Args)]
pub struct Args {
    /// A folder as Hugging Face or open_clip write it, a safetensors file or index inside one, or a GGUF of this project
    /// or of clip.cpp.
    #[arg(value_name = "SRC")]
    pub src: PathBuf,
    /// How matrices are stored; vectors stay f32, what blocks of 32 do not fit becomes f16.
    #[arg(long, value_enum)]
    pub quant: Quant,
    /// Where the model goes.
    #[arg(short, long, value_name = "FILE.gguf")]
    pub output: PathBuf,
    /// Take the text tower from here: clip.cpp's models may be two files.
    #[arg(long, value_name = "SRC")]
    pub text: Option<PathBuf>,
    /// A tokenizer.json, for models that come without one.
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Leave out the embeddings that a device is checked with at start: computing them takes the larger tower in f32.
    #[arg(long)]
    pub no_self_test: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Quant {
    #[value(name = "q8_0")]
    Q8_0,
    /// With 5 bits for attention, patches and tokens, and 8 for projections
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "f16")]
    F16,
    #[value(name = "f32")]
    F32,
}

impl From<Quant> for Format {
    fn from(quant: Quant) -> Format {
        match quant {
            Quant::Q8_0 => Format::Q8_0,
            Quant::Q4_0 => Format::Q4_0,
            Quant::F16 => Format::F16,
            Quant::F32 => Format::F32,
        }
    }
}

#[derive(Serialize)]
pub struct Converted {
    #[serde(flatten)]
    written: Written,
    n_tensors: usize,
    formats: BTreeMap<&'static str, FormatLine>,
    has_tokenizer: bool,
    has_self_test: bool,
}

/// The tensors that are stored in one format.
#[derive(Default, Serialize)]
struct FormatLine {
    n_tensors: usize,
    n_bytes: u64,
    /// Of a tensor's stored values to those that were read; 1 where nothing was rounded.
    worst_cosine: f64,
    worst_tensor: String,
}

impl Report for Converted {}

impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { output, n_bytes, sha256 } = &self.written;
        writeln!(f, "{}: {n_bytes} bytes, {} tensors", output.display(), self.n_tensors)?;
        writeln!(f, "sha256 {sha256}")?;
        for (format, line) in &self.formats {
            let FormatLine { n_tensors, n_bytes, worst_cosine, worst_tensor } = line;
            writeln!(
                f,
                "{format:5} {n_tensors:5} tensors {n_bytes:>12} bytes  worst cosine {worst_cosine:.6} ({worst_tensor})"
            )?;
        }
        Ok(())
    }
}

pub fn run(args: &Args) -> Result<Converted, CliError> {
    let open = |path: &PathBuf| Ok::<_, CliError>((path.clone(), ModelFiles::open(path)?));
    let mut sources = vec![open(&args.src)?];
    sources.extend(args.text.as_ref().map(open).transpose()?);
    let mut paths: Vec<PathBuf> =
        sources.iter().flat_map(|(_, files)| files.paths()).chain(&args.tokenizer).cloned().collect();
    paths.extend(sources.iter().map(|(path, _)| path.clone()));
    // Before the work, so that hours are not spent on a file that cannot be written.
    let mut output = OutputFile::create(&args.output, &paths)?;

    let mut converter =
        Converter { quantization: Quantization::preset(args.quant.into()), formats: BTreeMap::new() };
    let mut checkpoint = None;
    for (path, files) in sources {
        let next = converter.convert(&path, files)?;
        checkpoint = Some(match checkpoint {
            None => next,
            Some(first) => Checkpoint::join(first, next)?,
        });
    }
    let Some(mut checkpoint) = checkpoint else {
        return Err(FilesError::NoModel { dir: args.src.clone() }.into());
    };
    if let Some(path) = &args.tokenizer {
        let json = String::from_utf8_lossy(&read_file(path)?).into_owned();
        checkpoint.config.tokenizer = Some(TokenizerFile { json });
    }
    if checkpoint.config.about.name.is_empty()
        && let Some(name) = args.src.canonicalize().ok().as_deref().and_then(Path::file_name)
    {
        checkpoint.config.about.name = name.to_string_lossy().into_owned();
    }
    let has_self_test = check(&mut checkpoint, args.no_self_test)?;
    let has_tokenizer = checkpoint.config.tokenizer.is_some();
    if checkpoint.config.text.is_some() && !has_tokenizer {
        message(
            "there is no tokenizer.json: name one with --tokenizer FILE, or the model cannot read labels",
        );
    }

    let file = into_gguf(checkpoint)?;
    let n_tensors = file.tensors.len();
    file.write_to(&mut output).map_err(|source| CliError::File { path: args.output.clone(), source })?;
    let written = output.finish()?;
    Ok(Converted { written, n_tensors, formats: converter.formats, has_tokenizer, has_self_test })
}

/// Stores tensors and keeps count of what that cost.
struct Converter {
    quantization: Quantization,
    formats: BTreeMap<&'static str, FormatLine>,
}

impl Converter {
    fn convert(&mut self, path: &Path, files: ModelFiles) -> Result<Checkpoint, CliError> {
        let bad = |source| CliError::Model { path: path.to_owned(), source };
        match files {
            ModelFiles::Safetensors(folder) => {
                message(&format!("{}: {:.1} MB", path.display(), folder.shards.n_bytes() as f64 / 1e6));
                let bar = progress::bytes(folder.shards.n_bytes());
                let mut store = |name: &str, tensor| {
                    let stored = self.store(name, tensor);
                    bar.set_position(folder.shards.n_bytes_read());
                    stored
                };
                let checkpoint = import_with(folder.source(), &folder.shards, &mut store).map_err(bad);
                bar.finish_and_clear();
                checkpoint
            }
            ModelFiles::Gguf(file) => {
                let bytes = read_file(&file)?;
                message(&format!("{}: {:.1} MB", path.display(), bytes.len() as f64 / 1e6));
                let mut checkpoint = load_gguf(&bytes).map_err(bad)?;
                drop(bytes);
                let names: Vec<String> = checkpoint.weights.names().map(str::to_owned).collect();
                let bar = progress::count(names.len() as u64);
                for name in names {
                    let tensor = checkpoint.weights.take(&name).map_err(ModelError::from).map_err(bad)?;
                    let stored = self.store(&name, tensor).map_err(bad)?;
                    checkpoint.weights.insert(name, stored);
                    bar.inc(1);
                }
                bar.finish_and_clear();
                Ok(checkpoint)
            }
        }
    }

    fn store(&mut self, name: &str, tensor: Tensor) -> Result<Tensor, ModelError> {
        let (format, values) = (tensor.format, tensor.to_f32());
        let stored = self.quantization.store(name, tensor)?;
        let is_zero = values.iter().all(|value| *value == 0.0);
        // Zeros have no direction and are stored as they are.
        let cosine = if stored.format == format || is_zero { 1.0 } else { cosine(&stored.to_f32(), &values) };
        let line = self.formats.entry(stored.format.name()).or_default();
        // NaN, where values cancel the formats' range, must show.
        if line.n_tensors == 0 || cosine.is_nan() || cosine < line.worst_cosine {
            (line.worst_cosine, line.worst_tensor) = (cosine, name.to_owned());
        }
        line.n_tensors += 1;
        line.n_bytes += stored.bytes.len() as u64;
        Ok(stored)
    }
}

/// Builds both towers and, where the model can read labels, stores what a device must compute at start; says whether it
/// did. One tower at a time: in f32 they are the most that converting holds.
fn check(checkpoint: &mut Checkpoint, no_self_test: bool) -> Result<bool, CliError> {
    // The embeddings of a source are those of its weights, not of these.
    let label = checkpoint.config.selftest.take().map_or(SELF_TEST_LABEL.to_owned(), |record| record.label);
    let tokens = match (&checkpoint.config.tokenizer, &checkpoint.config.text) {
        (Some(file), Some(text)) => {
            let tokenizer = Tokenizer::from_json(file.json.as_bytes(), text.context_len())?;
            Some(tokenizer.encode(&label)?.ids)
        }
        _ => None,
    };
    let is_wanted = !no_self_test && tokens.is_some() && checkpoint.config.vision.is_some();
    if is_wanted {
        message("computing what a device is checked with at start…");
    }
    let (mut image_embeds, mut text_embeds) = (Vec::new(), Vec::new());
    let mut widths = (None, None);
    let failed = |error| CliError::from(EngineError::from(BackendError::from(error)));
    if checkpoint.config.vision.is_some() {
        let (model, params) = DualEncoder::new(side(checkpoint, "image")?)?;
        widths.0 = Some(model.image_width()?);
        if is_wanted {
            let picture = self_test_picture(model.image_size()?);
            let pixels = model.config.preprocess.tensor(&picture);
            let graph = model.image_graph(1, Taps::None)?;
            let cpu = CpuModel::consume(params);
            image_embeds = cpu.run(&graph, &[&pixels.values]).map_err(failed)?.swap_remove(0);
        }
    }
    if checkpoint.config.text.is_some() {
        let (model, params) = DualEncoder::new(side(checkpoint, "text")?)?;
        widths.1 = Some(model.text_width()?);
        if let (true, Some(tokens)) = (is_wanted, tokens) {
            let batch = model.text_batch(&[tokens])?;
            let graph = model.text_graph(&batch, Taps::None)?;
            let inputs = model.text_inputs(&batch)?;
            let cpu = CpuModel::consume(params);
            text_embeds = cpu.run(&graph, &[&inputs]).map_err(failed)?.swap_remove(0);
        }
    }
    if let (Some(image), Some(text)) = widths
        && image != text
    {
        return Err(ModelError::Widths { image, text }.into());
    }
    checkpoint.config.selftest = is_wanted.then_some(SelfTestRecord { label, image_embeds, text_embeds });
    Ok(is_wanted)
}

/// The checkpoint with one tower only.
fn side(checkpoint: &Checkpoint, side: &str) -> Result<Checkpoint, CliError> {
    let is_text = side == "text";
    let mut config = checkpoint.config.clone();
    match is_text {
        true => (config.vision, config.image_head) = (None, None),
        false => (config.text, config.text_head) = (None, None),
    }
    let mut weights = Weights::default();
    for name in checkpoint.weights.names().filter(|name| name.starts_with("text") == is_text) {
        let tensor = checkpoint.weights.tensor(name).map_err(ModelError::from)?;
        weights.insert(name, tensor.clone());
    }
    Ok(Checkpoint { config, weights })
}
