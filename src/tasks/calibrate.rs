//! Similarities to probabilities: the fit of a model's [`Calibration`] on photos and labels of which it is known what is
//! right, and how good it is on others.
//!
//! Temperature: Guo et al. 2017; a label's own score: Platt 1999, with his targets; calibration error: the mean of
//! |accuracy − probability| over ten bins of the first line's probability.
//!
//! Invariant: pure functions of numbers: the same examples give the same fit.
//! Invariant: what would be fitted on too little is refused with the numbers.

use super::classify::{Calibration, Confidence, Mode, RankedLabels, rank_similarities};
use serde::Serialize;
use std::collections::BTreeSet;
use thiserror::Error;

/// So many photos at least are fitted on, so many sets that hold a right label, and so many that hold none.
const MIN_PHOTOS: usize = 10;
const MIN_SETS: usize = 10;
const MIN_SETS_WITHOUT: usize = 3;
/// What is called clear is right at least this often, and not by luck: nine times in ten, as many others would be, too.
const CLEAR: f64 = 0.95;
/// The quantile of the normal distribution that belongs to it.
const Z: f64 = 1.281_551_6;
const N_BINS: usize = 10;

/// Why there is no fit.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CalibrateError {
    #[error(
        "{n_photos} photos with {n_right} label sets that hold a right label and {n_none} that hold none are too few: \
         {MIN_PHOTOS} photos, {MIN_SETS} and {MIN_SETS_WITHOUT} sets are needed"
    )]
    TooLittle { n_photos: usize, n_right: usize, n_none: usize },
    #[error("right labels are no more similar to their photos than wrong ones: no fit can help")]
    Unrelated,
}

/// A set of labels that a photo was asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Examples of one photo are fitted on, or measured on, together.
    pub photo: usize,
    pub labels: Vec<Judged>,
}

/// A label, its similarity to the photo, and whether it is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub label: String,
    pub similarity: f32,
    pub is_right: bool,
}

impl Example {
    fn has_right(&self) -> bool {
        self.labels.iter().any(|label| label.is_right)
    }

    /// Answers as the page and the command would give them.
    fn ranked(&self, calibration: &Calibration, with_none: bool) -> RankedLabels {
        let similarities = self.labels.iter().map(|label| (label.label.clone(), label.similarity));
        rank_similarities(similarities, calibration, Mode::Softmax, with_none)
    }

    /// Whether the first line is right: a right label, or "none of these" where there is none.
    fn is_answered(&self, ranked: &RankedLabels) -> bool {
        match ranked.labels.first().map(|line| line.label.as_deref()) {
            Some(Some(first)) => self.labels.iter().any(|label| label.is_right && label.label == first),
            Some(None) => !self.has_right(),
            None => false,
        }
    }

    /// Similarities, and whether each is a right label's.
    fn similarities(&self) -> impl Iterator<Item = (f64, bool)> {
        self.labels.iter().map(|label| (f64::from(label.similarity), label.is_right))
    }
}

/// How good answers are on examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    pub n_photos: usize,
    pub n_sets: usize,
    /// Sets whose first line was right.
    pub n_right: usize,
    /// The expected calibration error: how far the first line's probability is from how often it is right.
    pub calibration_error: f64,
    /// Answers that are called clear, and those of them that are right.
    pub n_clear: usize,
    pub n_clear_right: usize,
    /// Sets without a right label.
    pub n_without: usize,
    /// Answers that nothing fits, and those of them that are right.
    pub n_none: usize,
    pub n_none_right: usize,
}

impl Measured {
    /// Measures answers with or without the line "none of these".
    pub fn new(examples: &[Example], calibration: &Calibration, with_none: bool) -> Measured {
        let (n_photos, n_sets) = (n_photos(examples), examples.len());
        let mut measured = Measured { n_photos, n_sets, ..Measured::default() };
        // Of each bin: how many first lines are right, and the sum of their probabilities.
        let mut bins = [(0usize, 0.0); N_BINS];
        for example in examples {
            let ranked = example.ranked(calibration, with_none);
            let is_right = example.is_answered(&ranked);
            let first = ranked.labels.first();
            let probability = first.map_or(0.0, |line| f64::from(line.probability));
            let (n_right, sum) = &mut bins[((probability * N_BINS as f64) as usize).min(N_BINS - 1)];
            (*n_right, *sum) = (*n_right + usize::from(is_right), *sum + probability);
            measured.n_right += usize::from(is_right);
            measured.n_without += usize::from(!example.has_right());
            let is_none = first.is_some_and(|line| line.label.is_none());
            measured.n_none += usize::from(is_none);
            measured.n_none_right += usize::from(is_none && is_right);
            let is_clear = ranked.confidence == Confidence::Clear;
            measured.n_clear += usize::from(is_clear);
            measured.n_clear_right += usize::from(is_clear && is_right);
        }
        let errors = bins.iter().map(|(n_right, sum)| (*n_right as f64 - sum).abs());
        measured.calibration_error = errors.sum::<f64>() / n_sets.max(1) as f64;
        measured
    }
}

fn n_photos(examples: &[Example]) -> usize {
    examples.iter().map(|example| example.photo).collect::<BTreeSet<_>>().len()
}

/// Fits everything. A sigmoid that was `trained` with the model stays.
///
/// # Errors
/// Too few examples, or a model that does not tell right from wrong.
pub fn fit(examples: &[Example], trained: Option<(f32, f32)>) -> Result<Calibration, CalibrateError> {
    let n_right = examples.iter().filter(|example| example.has_right()).count();
    let (n_photos, n_none) = (n_photos(examples), examples.len() - n_right);
    if n_photos < MIN_PHOTOS || n_right < MIN_SETS || n_none < MIN_SETS_WITHOUT {
        return Err(CalibrateError::TooLittle { n_photos, n_right, n_none });
    }
    let (own_scale, own_bias) = fit_sigmoid(examples)?;
    let (sigmoid_scale, sigmoid_bias) = trained.unwrap_or((own_scale as f32, own_bias as f32));
    let scale = fit_scale(examples);
    let mut calibration = Calibration {
        scale: scale as f32,
        sigmoid_scale: Some(sigmoid_scale),
        sigmoid_bias: Some(sigmoid_bias),
        none_similarity: Some(fit_none(examples, scale) as f32),
        clear_probability: None,
        n_fitted_sets: Some(examples.len()),
    };
    calibration.clear_probability = fit_clear(examples, &calibration);
    Ok(calibration)
}

/// The scale of competing labels: where the right ones are least surprising.
pub fn fit_scale(examples: &[Example]) -> f64 {
    let asked: Vec<&Example> =
        examples.iter().filter(|example| example.labels.len() > 1 && example.has_right()).collect();
    let surprise = |ln_scale: f64| asked.iter().map(|example| surprise(example, ln_scale.exp(), None)).sum();
    minimum(surprise, (0.1f64.ln(), 1e4f64.ln())).exp()
}

/// The similarity at which "none of these" joins labels that compete at this scale.
pub fn fit_none(examples: &[Example], scale: f64) -> f64 {
    let asked: Vec<&Example> = examples.iter().filter(|example| example.labels.len() > 1).collect();
    minimum(|level| asked.iter().map(|example| surprise(example, scale, Some(level))).sum(), (-1.0, 1.0))
}

/// −ln of the probability of what is right: the right labels together, or the line "none of these" at `level`.
fn surprise(example: &Example, scale: f64, level: Option<f64>) -> f64 {
    let none = level.map(|level| (level, !example.has_right()));
    let lines: Vec<(f64, bool)> =
        example.similarities().chain(none).map(|(x, is_right)| (scale * x, is_right)).collect();
    // ln of a sum of exponentials, from its largest on: nothing overflows.
    let ln_sum = |logits: &mut dyn Iterator<Item = f64>| -> f64 {
        let logits: Vec<f64> = logits.collect();
        let best = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        best + logits.iter().map(|logit| (logit - best).exp()).sum::<f64>().ln()
    };
    let all = ln_sum(&mut lines.iter().map(|(logit, _)| *logit));
    all - ln_sum(&mut lines.iter().filter(|(_, is_right)| *is_right).map(|(logit, _)| *logit))
}

/// The scale and the bias of a label's own score: logistic regression on one number, by Newton's method.
///
/// # Errors
/// A slope that is not upward.
pub fn fit_sigmoid(examples: &[Example]) -> Result<(f64, f64), CalibrateError> {
    const N_STEPS: usize = 100;
    let points: Vec<(f64, bool)> = examples.iter().flat_map(Example::similarities).collect();
    let n = points.len() as f64;
    let n_right = points.iter().filter(|(_, is_right)| *is_right).count() as f64;
    // Platt's: where no example errs, the next one may.
    let target =
        |is_right| if is_right { (n_right + 1.0) / (n_right + 2.0) } else { 1.0 / (n - n_right + 2.0) };
    let mean = points.iter().map(|(x, _)| x).sum::<f64>() / n;
    let spread = (points.iter().map(|(x, _)| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    if spread.is_nan() || spread == 0.0 {
        return Err(CalibrateError::Unrelated);
    }
    let (mut slope, mut offset) = (0.0, ((n_right + 1.0) / (n - n_right + 1.0)).ln());
    for _ in 0..N_STEPS {
        // The diagonal's beginning keeps a flat valley from throwing the step out.
        let (mut gradient, mut hessian) = ([0.0; 2], [1e-6, 0.0, 1e-6]);
        for (x, is_right) in &points {
            let x = (x - mean) / spread;
            let p = 1.0 / (1.0 + (-slope * x - offset).exp());
            let (error, weight) = (p - target(*is_right), p * (1.0 - p));
            gradient = [gradient[0] + error * x, gradient[1] + error];
            hessian = [hessian[0] + weight * x * x, hessian[1] + weight * x, hessian[2] + weight];
        }
        let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        // A longer step may lead to where both sides are flat.
        let step = |value: f64| (value / determinant).clamp(-1.0, 1.0);
        slope -= step(hessian[2] * gradient[0] - hessian[1] * gradient[1]);
        offset -= step(hessian[0] * gradient[1] - hessian[1] * gradient[0]);
    }
    let is_upward = slope > 0.0 && offset.is_finite();
    is_upward.then(|| (slope / spread, offset - slope * mean / spread)).ok_or(CalibrateError::Unrelated)
}

/// The lowest probability from which on answers are right often enough; `None`: there is none.
pub fn fit_clear(examples: &[Example], calibration: &Calibration) -> Option<f32> {
    let mut answers: Vec<(f32, bool)> = Vec::new();
    for example in examples.iter().filter(|example| example.labels.len() > 1) {
        let ranked = example.ranked(calibration, true);
        if let Some(first) = ranked.labels.first().filter(|line| line.label.is_some()) {
            answers.push((first.probability, example.is_answered(&ranked)));
        }
    }
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut n, mut n_right, mut clear) = (0, 0, None);
    for same in answers.chunk_by(|a, b| a.0 == b.0) {
        n += same.len();
        n_right += same.iter().filter(|(_, is_right)| *is_right).count();
        if at_least(n_right, n) >= CLEAR {
            clear = same.first().map(|(probability, _)| *probability);
        }
    }
    clear
}

/// How often something is the case at least that was `n_right` times of `n`: the lower end of Wilson's interval.
fn at_least(n_right: usize, n: usize) -> f64 {
    let (n, part) = (n as f64, n_right as f64 / n as f64);
    let spread = Z * (part * (1.0 - part) / n + (Z / (2.0 * n)).powi(2)).sqrt();
    (part + Z * Z / (2.0 * n) - spread) / (1.0 + Z * Z / n)
}

/// Where a function with one valley is lowest: golden-section search.
fn minimum(of: impl Fn(f64) -> f64, (mut low, mut high): (f64, f64)) -> f64 {
    const N_STEPS: usize = 80;
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let inner = |low: f64, high: f64| [high - ratio * (high - low), low + ratio * (high - low)];
    let mut places = inner(low, high);
    let mut values = places.map(&of);
    for _ in 0..N_STEPS {
        if values[0] <= values[1] {
            high = places[1];
            places = inner(low, high);
            values = [of(places[0]), values[0]];
        } else {
            low = places[0];
            places = inner(low, high);
            values = [values[1], of(places[1])];
        }
    }
    (low + high) / 2.0
}
