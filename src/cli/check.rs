//! `cliplet check`: the catalogue's models, each fetched, hashed, loaded and asked about known pictures.
//!
//! Until this ran somewhere with a network, that a public file loads is a promise. It holds each model to what can be
//! said without having had it: its hash, how many values it has, the sizes of its picture and embedding, its temperature,
//! and that the obvious label wins. `--record` writes the embeddings, to which later runs and other machines are held.
//!
//! Invariant: a model that fails does not keep the others from being checked; the exit status is 1 then.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files::ModelFiles;
use super::model::{Backend, start};
use super::output::OutputFile;
use super::rank::embed;
use super::{CliError, Report, hub, message, read_file};
use crate::convert::catalogue::{Catalogue, Entry};
use crate::engine::{cosine, now_millis};
use crate::image::decode;
use crate::models::{import, load_gguf};
use crate::tasks::classify::{Mode, rank};
use crate::weights::TensorSource;

/// The page's own samples, with the label that is obvious.
const PICTURES: [(&str, &str, &[u8]); 3] = [
    ("cat.jpg", "cat", include_bytes!("../../static/samples/cat.jpg")),
    ("coffee.jpg", "cup of coffee", include_bytes!("../../static/samples/coffee.jpg")),
    ("rocket.jpg", "rocket", include_bytes!("../../static/samples/rocket.jpg")),
];
/// Labels that are wrong for all of them.
const OTHERS: [&str; 5] = ["dog", "flower", "guitar", "car", "house"];
/// The obvious one of eight labels must have half; an even chance is an eighth.
const MIN_PROBABILITY: f32 = 0.5;
/// CLIP's temperature is trained up to 100, where it is held; files store its logarithm, at most 4.6. SigLIP's is held
/// nowhere and ends somewhat higher.
const SCALES: std::ops::RangeInclusive<f32> = 10.0..=130.0;
/// The least cosine to recorded embeddings, which may be another machine's and another backend's; both compute in f32.
const MIN_RECORDED_COSINE: f64 = 0.9999;

/// Why models cannot be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    #[error("{id} is not in the catalogue; there are: {}", known.join(", "))]
    Unknown { id: String, known: Vec<String> },
    #[error("{}: {source}: it is not what --record writes", path.display())]
    Expected { path: PathBuf, source: serde_json::Error },
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["models", "all"]))]
pub struct Args {
    /// Ids of the catalogue's models, as in openai/clip-vit-base-patch32.
    #[arg(value_name = "MODEL")]
    pub models: Vec<String>,
    /// Check every model of the catalogue: some gigabytes to fetch.
    #[arg(long)]
    pub all: bool,
    /// Another list of models than the built-in one.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// Embeddings that an earlier run recorded, to compare with.
    #[arg(long, value_name = "FILE.json")]
    pub expected: Option<PathBuf>,
    /// Write the embeddings of models without a fault to the file of --expected.
    #[arg(long, requires = "expected")]
    pub record: bool,
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: Backend,
}

#[derive(Serialize)]
pub struct Checked {
    models: Vec<Line>,
}

/// What was found of one model.
#[derive(Serialize)]
struct Line {
    model: String,
    passed: bool,
    seconds: f64,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    what: String,
    found: String,
    passed: bool,
}

/// A model's embeddings of the pictures and labels above.
#[derive(Default, Serialize, Deserialize)]
struct Recorded {
    pictures: BTreeMap<String, Vec<f32>>,
    labels: BTreeMap<String, Vec<f32>>,
}

/// What was recorded of each `ID@REVISION`.
type Expected = BTreeMap<String, Recorded>;

impl Report for Checked {
    fn is_ok(&self) -> bool {
        self.models.iter().all(|line| line.passed)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { model, seconds, checks, .. } in &self.models {
            writeln!(f, "{model}, {seconds:.1} s")?;
            let width = checks.iter().map(|check| check.what.len()).max().unwrap_or(0);
            for Check { what, found, passed } in checks {
                let verdict = if *passed { "ok" } else { "NOT AS EXPECTED" };
                writeln!(f, "  {what:width$}  {found}  {verdict}")?;
            }
        }
        let n_passed = self.models.iter().filter(|line| line.passed).count();
        write!(f, "{n_passed} of {} models are as expected", self.models.len())
    }
}

pub fn run(args: &Args) -> Result<Checked, CliError> {
    let catalogue = match &args.catalogue {
        Some(path) => Catalogue::parse(&read_file(path)?)?,
        None => hub::catalogue()?,
    };
    let entry = |id: &String| {
        let known = || catalogue.models.iter().map(|entry| entry.id.clone()).collect();
        catalogue.find(id).ok_or_else(|| CheckError::Unknown { id: id.clone(), known: known() })
    };
    let entries: Vec<&Entry> = match args.all {
        true => catalogue.models.iter().collect(),
        false => args.models.iter().map(entry).collect::<Result<_, _>>()?,
    };
    let mut expected = match &args.expected {
        Some(path) if path.exists() || !args.record => read_expected(path)?,
        _ => Expected::new(),
    };

    let mut lines = Vec::new();
    for entry in entries {
        message(&format!("{}…", entry.source()));
        let (start, mut checks) = (now_millis(), Checks::default());
        let recorded = check(entry, &catalogue, expected.get(&entry.source()), args.backend, &mut checks);
        let recorded = recorded.map_err(|error| checks.add("finished", error.to_string(), false)).ok();
        let passed = checks.0.iter().all(|check| check.passed);
        if let Some(recorded) = recorded.filter(|_| passed && args.record) {
            expected.insert(entry.source(), recorded);
        }
        let seconds = (now_millis() - start) / 1000.0;
        lines.push(Line { model: entry.source(), passed, seconds, checks: checks.0 });
    }
    if let Some(path) = args.expected.as_ref().filter(|_| args.record) {
        let mut output = OutputFile::create(path, &[])?;
        let json = serde_json::to_string(&expected)?;
        writeln!(output, "{json}").map_err(|source| CliError::File { path: path.clone(), source })?;
        output.finish()?;
    }
    Ok(Checked { models: lines })
}

fn read_expected(path: &Path) -> Result<Expected, CliError> {
    let json = serde_json::from_slice(&read_file(path)?);
    Ok(json.map_err(|source| CheckError::Expected { path: path.to_owned(), source })?)
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, what: &str, found: String, passed: bool) {
        self.0.push(Check { what: what.to_owned(), found, passed });
    }

    fn equal(&mut self, what: &str, found: u64, expected: u64) {
        self.add(what, format!("{found} of {expected}"), found == expected);
    }
}

/// Goes through all that can be said of one model; what stops on the way is the error.
fn check(
    entry: &Entry,
    catalogue: &Catalogue,
    expected: Option<&Recorded>,
    backend: Backend,
    checks: &mut Checks,
) -> Result<Recorded, CliError> {
    let path = hub::locate_in(Path::new(&entry.source()), catalogue)?.path;
    let hash = if entry.sha256().len() == entry.weights.len() {
        "SHA-256 as stated"
    } else {
        "no SHA-256 is stated"
    };
    checks.add("files", format!("{:.1} MB, {hash}", entry.n_bytes() as f64 / 1e6), true);

    let bad = |source| CliError::Model { path: path.clone(), source };
    let (checkpoint, n_values) = match ModelFiles::open(&path)? {
        ModelFiles::Gguf { path: file, .. } => {
            let checkpoint = load_gguf(&read_file(&file)?).map_err(bad)?;
            let names: Vec<&str> = checkpoint.weights.names().collect();
            let tensors = names.iter().map(|name| checkpoint.weights.get(name));
            let n_values =
                tensors.map(|tensor| tensor.map(|tensor| tensor.n_values())).sum::<Result<usize, _>>();
            let n_values = n_values.map_err(|source| CliError::Weights { path: path.clone(), source })?;
            (checkpoint, n_values)
        }
        ModelFiles::Safetensors(folder) => {
            let checkpoint = import(folder.companions.folder(), &folder.shards).map_err(bad)?;
            (checkpoint, folder.shards.n_values())
        }
    };
    checks.equal("values", n_values as u64, entry.n_parameters);
    let engine = start(checkpoint, entry.n_bytes() as usize, backend)?;
    let info = engine.info();
    checks.add("backend", info.backend.to_string(), true);
    checks.equal("pixels a side", info.image_size as u64, entry.image_size as u64);
    checks.equal("embedding width", info.embedding_width as u64, entry.embedding_width as u64);
    let scale = engine.calibration().scale;
    checks.add("temperature", format!("{scale:.2}"), SCALES.contains(&scale));

    let mut found = Recorded::default();
    let obvious = PICTURES.iter().map(|(_, label, _)| *label);
    let labels: Vec<String> = obvious.chain(OTHERS).map(str::to_owned).collect();
    let labels = embed(&engine, &labels, &engine.prompts(&[])?)?.readable;
    for (name, label, bytes) in PICTURES {
        let image = |source| CliError::Image { path: PathBuf::from(name), source };
        let pixels = engine.preprocess(&decode(bytes).map_err(image)?);
        let embedding = pollster::block_on(engine.encode_images(&[pixels]))?.swap_remove(0);
        let ranked = rank(&embedding, &labels, &engine.calibration(), Mode::Softmax, false).labels;
        let first = ranked.first().map(|line| (line.label.as_deref().unwrap_or_default(), line.probability));
        let (winner, probability) = first.unwrap_or_default();
        let is_obvious = winner == label && probability >= MIN_PROBABILITY;
        checks.add(name, format!("{winner}, {:.1} %", 100.0 * probability), is_obvious);
        found.pictures.insert(name.to_owned(), embedding.values().to_vec());
    }
    found.labels = labels.iter().map(|label| (label.label.clone(), label.values().to_vec())).collect();
    if let Some(expected) = expected {
        for (what, found, expected) in [
            ("recorded pictures", &found.pictures, &expected.pictures),
            ("recorded labels", &found.labels, &expected.labels),
        ] {
            let cosine = worst_cosine(found, expected);
            checks.add(what, format!("cosine {cosine:.6}"), cosine >= MIN_RECORDED_COSINE);
        }
    }
    Ok(found)
}

/// The smallest cosine between embeddings of the same name; NaN, which no bound lets pass, where one is missing.
fn worst_cosine(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) -> f64 {
    let mut worst = 1.0;
    for (name, found) in found {
        let cosine = match expected.get(name) {
            Some(expected) if expected.len() == found.len() => cosine(found, expected),
            _ => f64::NAN,
        };
        if cosine.is_nan() || cosine < worst {
            worst = cosine;
        }
        if worst.is_nan() {
            break;
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_embedding_never_passes() {
        let map = |rows: &[(&str, &[f32])]| {
            rows.iter().map(|(name, row)| ((*name).to_owned(), row.to_vec())).collect::<BTreeMap<_, _>>()
        };
        let found = map(&[("a", &[1.0, 0.0]), ("b", &[0.0, 1.0]), ("c", &[1.0, 0.0])]);
        assert_eq!(worst_cosine(&found, &found), 1.0);
        assert_eq!(
            worst_cosine(&found, &map(&[("a", &[1.0, 0.0]), ("b", &[1.0, 0.0]), ("c", &[1.0, 0.0])])),
            0.0
        );
        for expected in [&[("a", &[1.0, 0.0][..])][..], &[("a", &[1.0]), ("b", &[0.0]), ("c", &[1.0])], &[]] {
            assert!(worst_cosine(&found, &map(expected)).is_nan());
        }
    }
}
