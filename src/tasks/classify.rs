//! Zero-shot classification: labels ranked for a picture.
//!
//! Invariant: probabilities lie in 0..=1; with [`Mode::Softmax`] they sum to 1, "none of these" included.
//! Invariant: the order is by probability, and among equals as the labels were given.

use super::{ImageEmbedding, LabelEmbedding};
pub use crate::models::Calibration;
use serde::{Deserialize, Serialize};

/// What the probabilities mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One of the labels is right: they compete.
    #[default]
    Softmax,
    /// Each label is right or wrong by itself.
    Independent,
}

/// One line of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedLabel {
    /// `None` is the line "none of these".
    pub label: Option<String>,
    pub probability: f32,
    pub similarity: f32,
}

/// Labels, the most probable first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedLabels {
    pub mode: Mode,
    pub labels: Vec<RankedLabel>,
}

/// Ranks `labels` for `image`; `with_none` adds the line "none of these".
pub fn rank(
    image: &ImageEmbedding,
    labels: &[LabelEmbedding],
    calibration: &Calibration,
    mode: Mode,
    with_none: bool,
) -> RankedLabels {
    let scored = |label: &LabelEmbedding| RankedLabel {
        label: Some(label.label.clone()),
        probability: 0.0,
        similarity: finite_or(label.similarity(image), -1.0),
    };
    let mut lines: Vec<RankedLabel> = labels.iter().map(scored).collect();
    if with_none {
        let similarity = finite_or(calibration.none_similarity, 0.0);
        lines.push(RankedLabel { label: None, probability: 0.0, similarity });
    }
    match mode {
        Mode::Softmax => softmax(&mut lines, finite_or(calibration.scale, 1.0).max(0.0)),
        Mode::Independent => independent(&mut lines, calibration),
    }
    lines.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    RankedLabels { mode, labels: lines }
}

fn softmax(lines: &mut [RankedLabel], scale: f32) {
    // The largest exponent is 0: nothing overflows, and the sum is at least 1.
    let best = lines.iter().map(|line| line.similarity).fold(-1.0, f32::max);
    lines.iter_mut().for_each(|line| line.probability = (scale * (line.similarity - best)).exp());
    let sum: f32 = lines.iter().map(|line| line.probability).sum();
    lines.iter_mut().for_each(|line| line.probability /= sum);
}

fn independent(lines: &mut [RankedLabel], calibration: &Calibration) {
    let none = |lines: &[RankedLabel]| lines.iter().map(|line| 1.0 - line.probability).product();
    for line in lines.iter_mut().filter(|line| line.label.is_some()) {
        let logit = calibration.sigmoid_scale * line.similarity + calibration.sigmoid_bias;
        line.probability = finite_or((1.0 + (-logit).exp()).recip(), 0.0);
    }
    // Scores of their own: that none is right is that each is wrong.
    let none_probability = none(lines);
    lines.iter_mut().filter(|line| line.label.is_none()).for_each(|line| line.probability = none_probability);
}

fn finite_or(value: f32, otherwise: f32) -> f32 {
    if value.is_finite() { value } else { otherwise }
}

impl RankedLabels {
    /// The line's text, for people and files.
    pub const NONE: &str = "none of these";

    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// `label,probability,similarity`, RFC 4180, one line a label.
    pub fn to_csv(&self) -> String {
        let mut csv = String::from("label,probability,similarity\r\n");
        for RankedLabel { label, probability, similarity } in &self.labels {
            let label = csv_field(label.as_deref().unwrap_or(RankedLabels::NONE));
            csv.push_str(&format!("{label},{probability:.6},{similarity:.6}\r\n"));
        }
        csv
    }
}

/// Quoted where CSV needs it; what a spreadsheet would run as a formula is kept text with an apostrophe.
fn csv_field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
