//! `cliplet calibrate`: what a model's probabilities are worth, fitted on labelled pictures and written into its file.
//!
//! Invariant: half of the photos is fitted on, and the figures are those of the other half.
//! Invariant: the file that is written differs from the model's in its header alone.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::eval::classes;
use super::model::{Backend, start};
use super::output::{self, OutputFile};
use super::rank::embed;
use super::{CliError, Report, progress, read_file, read_image};
use crate::engine::Engine;
use crate::models::config::Text;
use crate::models::{Calibration, load_gguf, recalibrated};
use crate::tasks::LabelEmbedding;
use crate::tasks::calibrate::{CalibrateError, Example, Judged, Measured, fit};
use crate::weights::gguf::MAGIC;

/// One of so many photos of a folder of labels is asked without its label, too.
const PHOTOS_A_SET_WITHOUT: usize = 4;
/// What a file of label sets looks like, for messages.
const SETS: &str = r#"{"photos": [{"file": PATH, "sets": [{"labels": [..], "right": [indices]}]}]}"#;

/// Why a model cannot be calibrated.
#[derive(Debug, Error)]
pub enum CalibrateFilesError {
    #[error("{} is no GGUF: `cliplet convert` makes one of a model", path.display())]
    NotGguf { path: PathBuf },
    #[error("{}: {source}: it must be {SETS}", path.display())]
    Sets { path: PathBuf, source: serde_json::Error },
    #[error("{}: a set of {} has {n_labels} labels, and number {right} is said to be right", path.display(), file.display())]
    Right { path: PathBuf, file: PathBuf, right: usize, n_labels: usize },
    #[error("half of the photos is fitted on, and the other half measures; in one of them: {source}")]
    Fit { source: CalibrateError },
}

#[derive(clap::Args)]
pub struct Args {
    /// The GGUF to calibrate, as `cliplet convert` writes it.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// A folder of folders, as `cliplet eval` takes it: each is named as its label and holds its pictures.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Label sets for each picture instead; its paths start at DIR. The file reads {"photos": [{"file": PATH, "sets":
    /// [{"labels": [..], "right": [indices]}]}]}; "right" is empty where none of the labels fits.
    #[arg(long, value_name = "FILE.json")]
    sets: Option<PathBuf>,
    /// Where the calibrated file goes; without one, beside MODEL as NAME-calibrated.gguf.
    #[arg(short, long, value_name = "FILE.gguf")]
    output: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
}

/// Photos and what they are asked.
#[derive(Deserialize)]
struct Photos {
    photos: Vec<Photo>,
}

#[derive(Deserialize)]
struct Photo {
    file: PathBuf,
    sets: Vec<LabelSet>,
}

#[derive(Deserialize)]
struct LabelSet {
    labels: Vec<String>,
    /// Indices into `labels`.
    right: Vec<usize>,
}

#[derive(Serialize)]
pub struct Calibrated {
    calibration: Calibration,
    n_fitted_photos: usize,
    n_fitted_sets: usize,
    /// What the other photos show: with the file's own calibration and without "none of these", and with the new one.
    before: Measured,
    after: Measured,
    file: output::Written,
}

impl Report for Calibrated {}

impl fmt::Display for Calibrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calibration { scale, none_similarity, clear_probability, .. } = self.calibration;
        writeln!(f, "fitted on {} photos, {} label sets", self.n_fitted_photos, self.n_fitted_sets)?;
        writeln!(f, "  labels that compete   scale {scale:.2}")?;
        if let Some((scale, bias)) = self.calibration.sigmoid() {
            writeln!(f, "  a label by itself     scale {scale:.2}, bias {bias:.2}")?;
        }
        if let Some(level) = none_similarity {
            writeln!(f, "  \"none of these\"       similarity {level:.4}")?;
        }
        match clear_probability {
            Some(clear) => writeln!(f, "  clear                 from {:.2} % on", 100.0 * clear)?,
            None => writeln!(f, "  clear                 never: too few such answers were right")?,
        }
        let Measured { n_photos, n_sets, n_without, .. } = self.after;
        writeln!(f, "\nmeasured on {n_photos} other photos, {n_sets} label sets")?;
        for (name, measured) in [("before", &self.before), ("after", &self.after)] {
            let Measured { n_right, calibration_error, .. } = measured;
            writeln!(
                f,
                "  {name:<20}  first line right {n_right} of {n_sets}, calibration error {calibration_error:.3}"
            )?;
        }
        let Measured { n_clear, n_clear_right, n_none, n_none_right, .. } = self.after;
        writeln!(f, "  clear answers         right {n_clear_right} of {n_clear}")?;
        writeln!(
            f,
            "  \"none of these\"       right {n_none_right} of {n_none}, found {n_none_right} of {n_without}"
        )?;
        write!(f, "\n{}: {:.1} MB", self.file.output.display(), self.file.n_bytes as f64 / 1e6)
    }
}

pub fn run(args: &Args) -> Result<Calibrated, CliError> {
    let bytes = read_file(&args.model)?;
    if !bytes.starts_with(MAGIC) {
        return Err(CalibrateFilesError::NotGguf { path: args.model.clone() }.into());
    }
    let photos = match &args.sets {
        Some(sets) => photos_of_sets(sets, &args.dir)?,
        None => photos_of_folders(&args.dir)?,
    };
    let bad = |source| CliError::Model { path: args.model.clone(), source };
    let checkpoint = load_gguf(&bytes).map_err(bad)?;
    let own = checkpoint.config.calibration;
    let is_siglip = matches!(checkpoint.config.text, Some(Text::SiglipText { .. }));
    // It was trained with the model, on more than anyone could fit it on.
    let trained = own.sigmoid().filter(|_| is_siglip);
    // Refuses a file of another program before any photo is looked at.
    recalibrated(&bytes, &own).map_err(bad)?;
    let engine = start(checkpoint, bytes.len(), args.backend)?;
    let examples = examples(&engine, &photos)?;
    let (measured_on, fitted_on): (Vec<Example>, Vec<Example>) =
        examples.into_iter().partition(|example| example.photo % 2 == 1);
    let failed = |source| CalibrateFilesError::Fit { source };
    // A half that nothing could be fitted on could not measure anything either.
    fit(&measured_on, trained).map_err(failed)?;
    let calibration = fit(&fitted_on, trained).map_err(failed)?;

    let output = args.output.clone().unwrap_or_else(|| {
        let name = args.model.file_stem().unwrap_or_default().to_string_lossy();
        args.model.with_file_name(format!("{name}-calibrated.gguf"))
    });
    let mut file = OutputFile::create(&output, std::slice::from_ref(&args.model))?;
    let calibrated = recalibrated(&bytes, &calibration).map_err(bad)?;
    file.write_all(&calibrated).map_err(|source| CliError::File { path: output, source })?;
    let fitted = Measured::new(&fitted_on, &calibration, true);
    Ok(Calibrated {
        calibration,
        n_fitted_photos: fitted.n_photos,
        n_fitted_sets: fitted.n_sets,
        before: Measured::new(&measured_on, &own, false),
        after: Measured::new(&measured_on, &calibration, true),
        file: file.finish()?,
    })
}

/// Every photo is asked with the labels of all folders, and some also without their own.
fn photos_of_folders(dir: &Path) -> Result<Vec<Photo>, CliError> {
    let classes = classes(dir)?;
    let labels: Vec<String> = classes.iter().map(|class| class.label.clone()).collect();
    let mut photos = Vec::new();
    for (own_idx, class) in classes.into_iter().enumerate() {
        for file in class.files {
            let mut sets = vec![LabelSet { labels: labels.clone(), right: vec![own_idx] }];
            // Two neighbours: one in each half.
            if (photos.len() / 2).is_multiple_of(PHOTOS_A_SET_WITHOUT) {
                let mut labels = labels.clone();
                labels.remove(own_idx);
                sets.push(LabelSet { labels, right: Vec::new() });
            }
            photos.push(Photo { file, sets });
        }
    }
    Ok(photos)
}

fn photos_of_sets(path: &Path, dir: &Path) -> Result<Vec<Photo>, CliError> {
    let bad = |source| CalibrateFilesError::Sets { path: path.to_owned(), source };
    let Photos { mut photos } = serde_json::from_slice(&read_file(path)?).map_err(bad)?;
    for photo in &mut photos {
        for set in &photo.sets {
            if let Some(right) = set.right.iter().find(|right| **right >= set.labels.len()) {
                let (path, file, n_labels) = (path.to_owned(), photo.file.clone(), set.labels.len());
                return Err(CalibrateFilesError::Right { path, file, right: *right, n_labels }.into());
            }
        }
        photo.file = dir.join(&photo.file);
    }
    Ok(photos)
}

/// What the model makes of the photos. Labels that it cannot read drop out of their sets, as they do of a ranking.
fn examples(engine: &Engine, photos: &[Photo]) -> Result<Vec<Example>, CliError> {
    let all = photos.iter().flat_map(|photo| &photo.sets).flat_map(|set| &set.labels);
    let labels: Vec<String> = all.collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let embedded = embed(engine, &labels, &engine.prompts(&[])?)?.readable;
    let by_name: HashMap<&str, &LabelEmbedding> =
        embedded.iter().map(|label| (label.label.as_str(), label)).collect();
    let bar = progress::count(photos.len() as u64);
    let mut examples = Vec::new();
    for (photo_idx, photo) in photos.iter().enumerate() {
        bar.inc(1);
        let pixels = engine.preprocess(&read_image(&photo.file)?);
        let image = pollster::block_on(engine.encode_images(&[pixels]))?.swap_remove(0);
        for set in &photo.sets {
            let judged = |(label_idx, label): (usize, &String)| {
                let similarity = by_name.get(label.as_str())?.similarity(&image);
                Some(Judged { label: label.clone(), similarity, is_right: set.right.contains(&label_idx) })
            };
            let labels = set.labels.iter().enumerate().filter_map(judged).collect();
            examples.push(Example { photo: photo_idx, labels });
        }
    }
    bar.finish_and_clear();
    Ok(examples)
}
