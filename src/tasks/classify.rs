//! Zero-shot classification: labels ranked for a picture, and how far the first can be relied on.
//!
//! Invariant: probabilities lie in 0..=1; where labels compete they sum to 1, "none of these" included.
//! Invariant: the order is by probability, and among equals as the labels were given.
//! Invariant: nothing competes alone: a single label has its own score, and no label has no answer.
//! Invariant: what was not fitted for the model at hand is not claimed: no "none of these", and no confidence.

use super::{ImageEmbedding, LabelEmbedding};
pub use crate::facts::{Confidence, Mode, RankedLabel, RankedLabels};
pub use crate::models::Calibration;

/// Scores of labels that stand alone, for a model that has none of its own: CLIP's pictures and their captions lie near
/// 0.3, unrelated ones near 0.2 (ViT-B/32), so a score is even in between. An answer with it says
/// [`Confidence::NotCalibrated`].
const ASSUMED_SIGMOID: (f32, f32) = (100.0, -24.0);
/// No answer is certain, and none is to be rounded to certainty.
const MOST: f32 = 0.999_999;
/// The probability from which on a first line is likely, as far as its probability can be believed.
const LIKELY: f32 = 0.6;

/// Ranks `labels` for `image`; `with_none` adds the line "none of these", where its level was fitted for the model.
pub fn rank(
    image: &ImageEmbedding,
    labels: &[LabelEmbedding],
    calibration: &Calibration,
    mode: Mode,
    with_none: bool,
) -> RankedLabels {
    let similarities = labels.iter().map(|label| (label.label.clone(), label.similarity(image)));
    rank_similarities(similarities, calibration, mode, with_none)
}

/// The same of labels whose similarities to a picture are known.
pub fn rank_similarities(
    similarities: impl IntoIterator<Item = (String, f32)>,
    calibration: &Calibration,
    mode: Mode,
    with_none: bool,
) -> RankedLabels {
    let scored = |(label, similarity)| RankedLabel {
        label: Some(label),
        probability: 0.0,
        similarity: finite_or(similarity, -1.0),
    };
    let mut lines: Vec<RankedLabel> = similarities.into_iter().map(scored).collect();
    let mode = if lines.len() == 1 { Mode::Independent } else { mode };
    if let Some(level) = calibration.none_similarity.filter(|_| with_none && !lines.is_empty()) {
        lines.push(RankedLabel { label: None, probability: 0.0, similarity: finite_or(level, 0.0) });
    }
    match mode {
        Mode::Softmax => softmax(&mut lines, finite_or(calibration.scale, 1.0).max(0.0)),
        Mode::Independent => independent(&mut lines, calibration.sigmoid().unwrap_or(ASSUMED_SIGMOID)),
    }
    lines.iter_mut().for_each(|line| line.probability = line.probability.min(MOST));
    lines.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let confidence = confidence(&lines, calibration, mode);
    RankedLabels { mode, labels: lines, confidence }
}

fn confidence(lines: &[RankedLabel], calibration: &Calibration, mode: Mode) -> Confidence {
    // Measured of competing labels alone.
    let clear = calibration.clear_probability.filter(|_| mode == Mode::Softmax);
    match lines.first() {
        _ if !calibration.is_fitted() => Confidence::NotCalibrated,
        None => Confidence::Unsure,
        Some(RankedLabel { label: None, .. }) => Confidence::NoneOfThese,
        Some(first) if clear.is_some_and(|clear| first.probability >= clear) => Confidence::Clear,
        Some(first) if first.probability >= LIKELY => Confidence::Likely,
        Some(_) => Confidence::Unsure,
    }
}

fn softmax(lines: &mut [RankedLabel], scale: f32) {
    // The largest exponent is 0: nothing overflows, and the sum is at least 1.
    let best = lines.iter().map(|line| line.similarity).fold(-1.0, f32::max);
    lines.iter_mut().for_each(|line| line.probability = (scale * (line.similarity - best)).exp());
    let sum: f32 = lines.iter().map(|line| line.probability).sum();
    lines.iter_mut().for_each(|line| line.probability /= sum);
}

fn independent(lines: &mut [RankedLabel], (scale, bias): (f32, f32)) {
    let none = |lines: &[RankedLabel]| lines.iter().map(|line| 1.0 - line.probability).product();
    for line in lines.iter_mut().filter(|line| line.label.is_some()) {
        let logit = scale * line.similarity + bias;
        line.probability = finite_or((1.0 + (-logit).exp()).recip(), 0.0);
    }
    // Scores of their own: that none is right is that each is wrong.
    let none_probability = none(lines);
    lines.iter_mut().filter(|line| line.label.is_none()).for_each(|line| line.probability = none_probability);
}

fn finite_or(value: f32, otherwise: f32) -> f32 {
    if value.is_finite() { value } else { otherwise }
}
