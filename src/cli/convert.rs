//! `cliplet convert`: another program's model, or one of ours in another format, as one GGUF of this project.
//!
//! Invariant: tensors are converted one by one, to a scratch file; only for the start-up check is a tower held, as it is
//! stored.
//! Invariant: what is written was built as the engine builds it, and holds only finite values.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{Items, ModelFiles};
use super::hub::{self, Located};
use super::output::{OutputFile, Scratch, Written};
use super::{CliError, Report, message, progress, read_file};
use crate::convert::converter::{Converter, Stored, joined, with_tokenizer};
use crate::convert::layout;
use crate::engine::{Recorder, Side};
use crate::models::{Config, Importer, ModelError, Origin, Quantization, file_of};
use crate::tensor::{Format, Tensor};
use crate::weights::gguf::{GgufFile, Table};
use crate::weights::{Item, TensorSource, Weights};

#[derive(clap::Args)]
pub struct Args {
    /// A folder as Hugging Face or open_clip write it, a safetensors file or index inside one, a GGUF of this project or
    /// of clip.cpp, the address of either, or a hub id as in openai/clip-vit-base-patch32[@REVISION].
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
    /// The cosine of a tensor's stored values to those that were read; 1 where nothing was rounded.
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
    let mut first = Opened::locate(&args.src)?;
    let text = args.text.as_deref().map(Opened::locate).transpose()?;
    if let Some(path) = &args.tokenizer {
        first.tokenizer = Some(String::from_utf8_lossy(&read_file(path)?).into_owned());
    }
    let mut paths: Vec<PathBuf> = args.tokenizer.iter().cloned().collect();
    for opened in [Some(&first), text.as_ref()].into_iter().flatten() {
        paths.extend(opened.files.paths().iter().cloned().chain([opened.located.path.clone()]));
    }
    let conversion = Conversion {
        quantization: Quantization::preset(args.quant.into()),
        has_self_test: !args.no_self_test,
    };
    conversion.run(first, text, &args.output, &paths)
}

/// A model whose files were found.
pub struct Opened {
    pub located: Located,
    pub files: ModelFiles,
    /// A tokenizer that takes the place of the model's own.
    pub tokenizer: Option<String>,
}

impl Opened {
    /// Finds a model, and fetches it first where it is named by an id or an address.
    pub fn locate(given: &Path) -> Result<Opened, CliError> {
        let located = hub::locate(given)?;
        Ok(Opened { files: ModelFiles::open(&located.path)?, located, tokenizer: None })
    }

    pub fn name(&self) -> String {
        let of_path = || {
            let path = self.located.path.canonicalize().ok()?;
            Some(layout::stem(&path.file_name()?.to_string_lossy()).to_owned())
        };
        self.located.name.clone().or_else(of_path).unwrap_or_default()
    }
}

/// How a model is converted.
pub struct Conversion {
    pub quantization: Quantization,
    /// Whether the file holds embeddings that a device is checked with.
    pub has_self_test: bool,
}

impl Conversion {
    /// Writes the model, or the pictures of `first` and the texts of `text`, to `output`; `sources` must not be written
    /// over.
    pub fn run(
        self,
        first: Opened,
        text: Option<Opened>,
        output: &Path,
        sources: &[PathBuf],
    ) -> Result<Converted, CliError> {
        // Before the work, so that hours are not spent on a file that cannot be written.
        let mut file = OutputFile::create(output, sources)?;
        let failed = |source| CliError::File { path: output.to_owned(), source };
        let mut job = Job {
            converter: Converter::new(self.quantization, Table::default()),
            formats: BTreeMap::new(),
            data: Scratch::beside(output)?,
        };
        job.converter.only = text.is_some().then_some(Side::Image);
        let mut config = with_tokenizer_of(job.convert(&first)?, &first);
        let sources = [Some(&first), text.as_ref()].into_iter().flatten();
        let sources: Vec<String> = sources.filter_map(|opened| opened.located.source.clone()).collect();
        let source = (!sources.is_empty()).then(|| sources.join(" + "));
        let mut of_text = None;
        if let Some(text) = &text {
            job.converter.only = Some(Side::Text);
            let mut text_config = with_tokenizer_of(job.convert(text)?, text);
            if first.tokenizer.is_some() {
                text_config.tokenizer = config.tokenizer.take();
            }
            of_text = Some(text_config);
        }
        config = joined(config, of_text, &first.name(), source);
        let mut recorder = Recorder::new(&config, self.has_self_test)?;
        if recorder.is_wanted() {
            message("computing what a device is checked with at start…");
        }
        for side in recorder.sides() {
            recorder.add(side, job.tower(side)?)?;
        }
        config.selftest = recorder.finish()?;
        let (has_tokenizer, has_self_test) = (config.tokenizer.is_some(), config.selftest.is_some());
        if config.text.is_some() && !has_tokenizer {
            message(
                "there is no tokenizer.json: name one with --tokenizer FILE, or the model cannot read labels",
            );
        }
        let Job { converter, mut data, formats } = job;
        file.write_all(&converter.table().header(&file_of(&config)?.metadata)).map_err(failed)?;
        data.copy_to(&mut file)?;
        let written = file.finish()?;
        let n_tensors = converter.table().tensors().len();
        Ok(Converted { written, n_tensors, formats, has_tokenizer, has_self_test })
    }
}

fn with_tokenizer_of(mut config: Config, opened: &Opened) -> Config {
    if opened.tokenizer.is_some() {
        config.tokenizer = None;
    }
    let beside = match &opened.files {
        ModelFiles::Gguf { tokenizer, .. } => tokenizer.clone(),
        ModelFiles::Safetensors(_) => None,
    };
    with_tokenizer(config, opened.tokenizer.clone().or(beside))
}

/// Stores tensors and keeps count of what that cost.
struct Job {
    converter: Converter,
    formats: BTreeMap<&'static str, FormatLine>,
    data: Scratch,
}

impl Job {
    fn convert(&mut self, opened: &Opened) -> Result<Config, CliError> {
        let path = &opened.located.path;
        let bad = |source| CliError::Model { path: path.to_owned(), source };
        match &opened.files {
            ModelFiles::Safetensors(folder) => {
                message(&format!("{}: {:.1} MB", path.display(), folder.shards.n_bytes() as f64 / 1e6));
                let bar = progress::bytes(folder.shards.n_bytes());
                let names = folder.shards.weight_names();
                let origin = Origin::Folder(folder.companions.folder());
                let mut importer = Importer::new(origin, names.iter().cloned()).map_err(bad)?;
                for name in names {
                    let tensor = folder.shards.get(&name).map_err(ModelError::from).map_err(bad)?;
                    self.push(&mut importer, &name, tensor.into_owned(), path)?;
                    bar.set_position(folder.shards.n_bytes_read());
                }
                bar.finish_and_clear();
                importer.finish().map_err(bad)
            }
            ModelFiles::Gguf { path: file, .. } => {
                let mut items = Items::open(file)?;
                message(&format!("{}: {:.1} MB", path.display(), items.n_bytes() as f64 / 1e6));
                let bar = progress::bytes(items.n_bytes());
                let (mut names, mut gguf) = (Vec::new(), GgufFile::default());
                if let Some(Item::Header(header)) = items.next()? {
                    (names, gguf) = (header.names, header.gguf.unwrap_or_default());
                }
                let mut importer = Importer::new(Origin::Gguf(&gguf), names).map_err(bad)?;
                while let Some(Item::Tensor(name, tensor)) = items.next()? {
                    self.push(&mut importer, &name, tensor, path)?;
                    bar.set_position(items.n_bytes_read());
                }
                bar.finish_and_clear();
                importer.finish().map_err(bad)
            }
        }
    }

    fn push(
        &mut self,
        importer: &mut Importer,
        name: &str,
        tensor: Tensor,
        path: &Path,
    ) -> Result<(), CliError> {
        let Job { converter, formats, data } = self;
        let pushed = converter.push(importer, name, tensor, &mut |stored| {
            let Stored { name, at, tensor, exact } = stored;
            let cosine = exact.map_or(1.0, |exact| cosine(tensor, exact));
            let line = formats.entry(tensor.format.name()).or_default();
            // NaN, where values cancel the formats' range, must show.
            if line.n_tensors == 0 || cosine.is_nan() || cosine < line.worst_cosine {
                (line.worst_cosine, line.worst_tensor) = (cosine, name.to_owned());
            }
            line.n_tensors += 1;
            line.n_bytes += tensor.bytes.len() as u64;
            data.write_at(at, &tensor.bytes)
        });
        pushed.map_err(|error| match error {
            CliError::Towers(source) => CliError::Model { path: path.to_owned(), source },
            error => error,
        })
    }

    /// The tensors of one side, as they were stored.
    fn tower(&mut self, side: Side) -> Result<Weights, CliError> {
        let mut weights = Weights::default();
        for info in self.converter.table().tensors().iter().filter(|info| Side::of(&info.name) == side) {
            let bytes = self.data.read_at(info.range.clone())?;
            weights.insert(&info.name, Tensor { shape: info.shape.clone(), format: info.format, bytes });
        }
        Ok(weights)
    }
}

/// The cosine of two tensors of one shape, without holding either in f32. Zeros have no direction and are stored as they
/// are: 1.
fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.pieces_f32().zip(b.pieces_f32()) {
        for (a, b) in a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b))) {
            (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
        }
    }
    if bb == 0.0 { 1.0 } else { ab / (aa.sqrt() * bb.sqrt()) }
}
