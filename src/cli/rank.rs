//! `cliplet rank`: labels ranked for a picture.
//!
//! Invariant: the answer is the page's: the same engine, the same calibration.

use super::model::ModelArgs;
use super::{CliError, Report, message, read_image};
use crate::engine::{EmbeddedLabels, Engine, LabelNotes, ModelInfo, StageTimes, now_millis};
use crate::image::Background;
use crate::tasks::classify::{Confidence, Mode, RankedLabels, rank};
use crate::text::{Template, labels};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

const NOT_CALIBRATED: &str = "not calibrated: nobody has measured what this model's probabilities are worth, and \
    there is no \"none of these\" (`cliplet calibrate` fits both)";

const ALONE: &str = "one label is judged by itself: add labels to compare it with";

#[derive(clap::Args)]
pub struct Args {
    /// JPEG, PNG, WebP, GIF or BMP.
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// What may be in the picture; one text may hold several, divided by commas.
    #[arg(value_name = "LABEL", required = true)]
    pub labels: Vec<String>,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Judge each label by itself instead of letting them compete.
    #[arg(long)]
    pub independent: bool,
    /// Add the line "none of these".
    #[arg(long)]
    pub none: bool,
}

#[derive(Serialize)]
pub struct Ranking {
    #[serde(flatten)]
    ranked: RankedLabels,
    templates: Vec<String>,
    #[serde(flatten)]
    notes: LabelNotes,
    /// What was laid under the picture's transparency.
    background: Option<Background>,
    model: ModelInfo,
    millis: Millis,
}

#[derive(Serialize)]
struct Millis {
    preprocess: f64,
    image: StageTimes,
    text: StageTimes,
}

impl Report for Ranking {}

impl fmt::Display for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ranked.labels.iter().try_for_each(|line| {
            let label = line.label.as_deref().unwrap_or(RankedLabels::NONE);
            writeln!(f, "{}  {:+.4}  {label}", percent(line.probability), line.similarity)
        })
    }
}

/// Two digits behind the point; what is not certain is not shown as certain.
fn percent(probability: f32) -> String {
    match 100.0 * probability {
        percent if percent > 99.99 => "> 99.99 %".to_owned(),
        percent => format!("{percent:7.2} %"),
    }
}

/// Embeds labels in the given prompts or the model's own, and says on standard error what there is to know of them.
pub fn embed(engine: &Engine, labels: &[String], prompts: &[Template]) -> Result<EmbeddedLabels, CliError> {
    let embedded = pollster::block_on(engine.embed_labels(labels, prompts))?;
    let quoted =
        |labels: &[String]| labels.iter().map(|label| format!("\"{label}\"")).collect::<Vec<_>>().join(", ");
    let LabelNotes { cut, unreadable, same } = &embedded.notes;
    if !cut.is_empty() {
        message(&format!("longer than the model reads, so that the end was left out: {}", quoted(cut)));
    }
    if !unreadable.is_empty() {
        message(&format!("the model cannot read these, so that they are not ranked: {}", quoted(unreadable)));
    }
    for group in same {
        message(&format!("the model cannot tell these apart: {}", quoted(group)));
    }
    Ok(embedded)
}

pub fn run(args: &Args) -> Result<Ranking, CliError> {
    let pixels = read_image(&args.image)?;
    let labels = labels::parse(&args.labels.join("\n"))?;
    let engine = args.model.load()?;
    let prompts = engine.prompts(&args.model.template)?;

    let start = now_millis();
    let background = pixels.background;
    let pixels = engine.preprocess(&pixels);
    let preprocess = now_millis() - start;
    let image = pollster::block_on(engine.encode_images(&[pixels]))?.remove(0);
    let image_times = engine.last_times();
    let EmbeddedLabels { readable, notes } = embed(&engine, &labels, &prompts)?;
    let text_times = engine.last_times();
    let mode = if args.independent { Mode::Independent } else { Mode::Softmax };
    let ranked = rank(&image, &readable, &engine.calibration(), mode, args.none);
    if ranked.labels.iter().filter(|line| line.label.is_some()).count() == 1 {
        message(ALONE);
    }
    if ranked.confidence == Confidence::NotCalibrated {
        message(NOT_CALIBRATED);
    }
    Ok(Ranking {
        ranked,
        notes,
        background,
        templates: prompts.iter().map(Template::to_string).collect(),
        model: engine.info().clone(),
        millis: Millis { preprocess, image: image_times, text: text_times },
    })
}
