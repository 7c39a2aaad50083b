//! `cliplet rank`: labels ranked for a picture.
//!
//! Invariant: the answer is the page's: the same engine, the same calibration.

use super::model::ModelArgs;
use super::{CliError, Report, message, read_image};
use crate::engine::{Engine, ModelInfo, StageTimes, now_millis};
use crate::tasks::LabelEmbedding;
use crate::tasks::classify::{Mode, RankedLabels, rank};
use crate::text::{Template, labels};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

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
    /// Labels that were longer than the model reads.
    cut: Vec<String>,
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
            writeln!(f, "{:6.2} %  {:+.4}  {label}", 100.0 * line.probability, line.similarity)
        })
    }
}

/// The prompts of a run.
pub struct Prompts {
    pub templates: Vec<String>,
    parsed: Vec<Template>,
}

impl Prompts {
    /// The given templates, or the model's own.
    pub fn new(engine: &Engine, given: &[String]) -> Result<Prompts, CliError> {
        let templates = if given.is_empty() { engine.templates() } else { given }.to_vec();
        let parsed = templates.iter().map(|text| Template::parse(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Prompts { templates, parsed })
    }
}

/// Labels in their prompts, as the model sees them.
pub struct Embedded {
    pub labels: Vec<LabelEmbedding>,
    /// Those that were longer than the model reads.
    pub cut: Vec<String>,
}

/// Embeds labels, and says on standard error which were cut.
pub fn embed(engine: &Engine, labels: Vec<String>, prompts: &Prompts) -> Result<Embedded, CliError> {
    let texts: Vec<String> =
        labels.iter().flat_map(|label| prompts.parsed.iter().map(|prompt| prompt.fill(label))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embeddings = pollster::block_on(engine.encode_texts(&texts))?;
    let n_prompts = prompts.parsed.len();
    let mut cut = Vec::new();
    for (label, texts) in labels.iter().zip(texts.chunks(n_prompts)) {
        let tokens = texts.iter().map(|text| engine.tokenize(text)).collect::<Result<Vec<_>, _>>()?;
        if tokens.iter().any(|tokens| tokens.is_cut) {
            message(&format!("\"{label}\" is longer than the model reads: its end was left out"));
            cut.push(label.clone());
        }
    }
    let labels = (labels.into_iter().zip(embeddings.chunks(n_prompts)))
        .map(|(label, texts)| LabelEmbedding::new(label, texts))
        .collect();
    Ok(Embedded { labels, cut })
}

pub fn run(args: &Args) -> Result<Ranking, CliError> {
    let pixels = read_image(&args.image)?;
    let labels = labels::parse(&args.labels.join("\n"))?;
    let engine = args.model.load()?;
    let prompts = Prompts::new(&engine, &args.model.template)?;

    let start = now_millis();
    let pixels = engine.preprocess(&pixels);
    let preprocess = now_millis() - start;
    let image = pollster::block_on(engine.encode_images(&[pixels]))?.remove(0);
    let image_times = engine.last_times();
    let Embedded { labels, cut } = embed(&engine, labels, &prompts)?;
    let text_times = engine.last_times();
    let mode = if args.independent { Mode::Independent } else { Mode::Softmax };
    Ok(Ranking {
        ranked: rank(&image, &labels, &engine.calibration(), mode, args.none),
        templates: prompts.templates,
        cut,
        model: engine.info().clone(),
        millis: Millis { preprocess, image: image_times, text: text_times },
    })
}
