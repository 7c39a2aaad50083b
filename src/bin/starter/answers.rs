//! What the shipped model answers on the photos, what is fitted on them, and what is measured.
//!
//! Invariant: [`fit`] fits on the half [`Half::Fit`] alone; the other half can only take the word "clear" away.
//! Invariant: intervals are of 1,000 draws of photos with replacement, from one seed: the sets of a photo stay together.

use super::photos::{Half, KINDS, PhotoSet};
use super::train::Random;
use super::{Cache, Result, build};
use cliplet::engine::{BackendChoice, Engine};
use cliplet::models::{Calibration, load_gguf, save_gguf};
use cliplet::tasks::LabelEmbedding;
use cliplet::tasks::calibrate::{self, Example, Judged};
use cliplet::tasks::classify::{Confidence, Mode, rank_similarities};
use std::collections::{BTreeMap, BTreeSet};

/// A label set, and the similarities of its labels to its photo.
pub struct Asked {
    pub half: Half,
    /// One of [`KINDS`].
    pub kind: usize,
    pub example: Example,
}

/// Asks the model as it ships, but for its calibration.
pub fn ask(cache: &Cache) -> Result<Vec<Asked>> {
    let bytes = save_gguf(&build::towers_with_heads(cache)?, &build::shipped())?;
    let stored = load_gguf(&bytes)?;
    let engine = Engine::from_checkpoint(stored, bytes.len(), BackendChoice::Cpu, |_| {});
    pollster::block_on(asked(cache, &pollster::block_on(engine)?))
}

async fn asked(cache: &Cache, engine: &Engine) -> Result<Vec<Asked>> {
    let photos = PhotoSet::load()?.photos;
    let labels: BTreeSet<&String> =
        photos.iter().flat_map(|photo| &photo.sets).flat_map(|set| &set.labels).collect();
    let labels: Vec<String> = labels.into_iter().cloned().collect();
    let readable = engine.embed_labels(&labels, &engine.prompts(&[])?).await?.readable;
    let embedded: BTreeMap<&str, &LabelEmbedding> =
        readable.iter().map(|label| (label.label.as_str(), label)).collect();
    let mut asked = Vec::new();
    for (photo_idx, photo) in photos.iter().enumerate() {
        let images = engine.encode_images(&[engine.preprocess(&photo.pixels(cache)?)]).await?;
        let image = images.first().ok_or("a photo without an embedding")?;
        for (kind, set) in photo.sets.iter().enumerate() {
            let judged = |(label_idx, label): (usize, &String)| {
                let similarity = embedded.get(label.as_str())?.similarity(image);
                Some(Judged { label: label.clone(), similarity, is_right: set.right.contains(&label_idx) })
            };
            let labels = set.labels.iter().enumerate().filter_map(judged).collect();
            asked.push(Asked { half: photo.half, kind, example: Example { photo: photo_idx, labels } });
        }
    }
    Ok(asked)
}

/// Fits the calibration on its half of the photos, and leaves it in the cache.
pub fn fit(cache: &Cache) -> Result<()> {
    let asked = ask(cache)?;
    let fitted = asked.iter().filter(|asked| asked.half == Half::Fit);
    let examples: Vec<Example> = fitted.map(|asked| asked.example.clone()).collect();
    let mut calibration = calibrate::fit(&examples, None)?;
    calibration.none_similarity = best_none(&examples, &calibration);
    calibration.scale = best_scale(&examples, &calibration);
    calibration.clear_probability = clear(&examples, &calibration);
    if !holds(&asked, &calibration) {
        calibration.clear_probability = None;
    }
    println!("{calibration:?}");
    Ok(std::fs::write(cache.work("calibration.json"), serde_json::to_vec_pretty(&calibration)?)?)
}

/// The level of "none of these" with which most answers are right, of those with which it is right often enough to be said:
/// as often as what is called clear. `None`: there is no such level.
///
/// The likeliest level says it where it is wrong four times in five: one in five sets has no right label, and a similarity
/// hardly tells which.
fn best_none(examples: &[Example], calibration: &Calibration) -> Option<f32> {
    let n_right = |level: f32| {
        let calibration = Calibration { none_similarity: Some(level), ..*calibration };
        let answers: Vec<Answer> =
            examples.iter().map(|example| Answer::new(example, &calibration, true)).collect();
        let said: Vec<&Answer> = answers.iter().filter(|answer| answer.is_none).collect();
        let n_said_right = said.iter().filter(|answer| answer.is_right).count();
        let is_reliable = said.len() >= MIN_CLEAR && wilson_low(n_said_right, said.len()) >= CLEAR_SHARE;
        is_reliable.then(|| answers.iter().filter(|answer| answer.is_right).count())
    };
    let levels = (-50..=80).map(|level| level as f32 * 0.01);
    let counted = levels.filter_map(|level| Some((n_right(level)?, level)));
    counted.max_by_key(|(n_right, _)| *n_right).map(|(_, level)| level)
}

/// The scale with which the probability of the first line says best whether it is right, sets without a right label
/// counted in: people type such sets, too.
fn best_scale(examples: &[Example], calibration: &Calibration) -> f32 {
    let surprise = |scale: f32| -> f64 {
        let calibration = Calibration { scale, ..*calibration };
        let surprise = |example: &Example| {
            let Answer { probability, is_right, .. } = Answer::new(example, &calibration, true);
            -(if is_right { probability } else { 1.0 - probability }).max(1e-9).ln()
        };
        examples.iter().map(surprise).sum()
    };
    let scales = (8..=240).map(|quarter| quarter as f32 * 0.25);
    let scored = scales.map(|scale| (surprise(scale), scale));
    scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(calibration.scale, |(_, scale)| scale)
}

/// An answer this sure must be right in at least 95 of 100 cases: the lowest probability from which on the lower end
/// of Wilson's interval (one standard error) is there, on at least [`MIN_CLEAR`] answers.
fn clear(examples: &[Example], calibration: &Calibration) -> Option<f32> {
    let mut answers: Vec<Answer> =
        examples.iter().map(|example| Answer::new(example, calibration, true)).collect();
    answers.retain(|answer| !answer.is_none);
    answers.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let (mut n_right, mut clear) = (0, None);
    for (i, answer) in answers.iter().enumerate() {
        n_right += usize::from(answer.is_right);
        if i + 1 >= MIN_CLEAR && wilson_low(n_right, i + 1) >= CLEAR_SHARE {
            clear = Some(answer.probability);
        }
    }
    clear.map(|probability| probability as f32)
}

const CLEAR_SHARE: f64 = 0.95;
const MIN_CLEAR: usize = 30;
/// So many answers of the other half at least must show that what is called clear is right often enough.
const MIN_SHOWN: usize = 60;

/// Whether what is called clear is right often enough on the half that fitted nothing. It only ever takes the word away.
fn holds(asked: &[Asked], calibration: &Calibration) -> bool {
    let mut shown = answers(asked, Half::Test, &KINDS, calibration, true);
    shown.retain(|answer| answer.is_clear);
    let n_right = shown.iter().filter(|answer| answer.is_right).count();
    println!(
        "clear from {:?}: {n_right} of {} right on the other half",
        calibration.clear_probability,
        shown.len()
    );
    shown.len() >= MIN_SHOWN && n_right as f64 >= CLEAR_SHARE * shown.len() as f64
}

/// The lower end of Wilson's interval of a share, one standard error wide on each side.
fn wilson_low(n_right: usize, n: usize) -> f64 {
    let (n, share) = (n as f64, n_right as f64 / n as f64);
    (share + 0.5 / n - (share * (1.0 - share) / n + 0.25 / (n * n)).sqrt()) / (1.0 + 1.0 / n)
}

/// The first line of an answer.
#[derive(Clone, Copy)]
pub struct Answer {
    pub photo: usize,
    pub probability: f64,
    pub is_none: bool,
    pub is_right: bool,
    pub is_clear: bool,
    /// Whether the set holds a right label.
    pub has_right: bool,
}

impl Answer {
    pub fn new(example: &Example, calibration: &Calibration, with_none: bool) -> Self {
        let similarities = example.labels.iter().map(|label| (label.label.clone(), label.similarity));
        let ranked = rank_similarities(similarities, calibration, Mode::Softmax, with_none);
        let has_right = example.labels.iter().any(|label| label.is_right);
        let first = ranked.labels.first();
        let label = first.and_then(|line| line.label.as_ref());
        let is_right = match label {
            Some(first) => example.labels.iter().any(|label| label.is_right && label.label == *first),
            None => !has_right,
        };
        Self {
            photo: example.photo,
            probability: first.map_or(0.0, |line| f64::from(line.probability)),
            is_none: label.is_none(),
            is_right,
            is_clear: ranked.confidence == Confidence::Clear,
            has_right,
        }
    }
}

/// A figure of answers; nothing where there is nothing to divide by.
pub type Figure = fn(&[&Answer]) -> Option<f64>;

/// The share that `is_right` of the answers that `is_counted`.
fn share(answers: &[&Answer], is_counted: fn(&Answer) -> bool, is_right: fn(&Answer) -> bool) -> Option<f64> {
    let counted: Vec<&&Answer> = answers.iter().filter(|answer| is_counted(answer)).collect();
    let n_right = counted.iter().filter(|answer| is_right(answer)).count();
    (!counted.is_empty()).then(|| n_right as f64 / counted.len() as f64)
}

pub const RIGHT: Figure = |answers| share(answers, |answer| answer.has_right, |answer| answer.is_right);
pub const NONE_PRECISION: Figure =
    |answers| share(answers, |answer| answer.is_none, |answer| answer.is_right);
pub const NONE_RECALL: Figure = |answers| share(answers, |answer| !answer.has_right, |answer| answer.is_none);
pub const CLEAR_RIGHT: Figure = |answers| share(answers, |answer| answer.is_clear, |answer| answer.is_right);

/// Between the probability of the first line and how often it is right: the mean of the differences of [`N_BINS`] bins of
/// equally many answers.
pub const CALIBRATION_ERROR: Figure = |answers| {
    let bins = bins(answers);
    let n: usize = bins.iter().map(|bin| bin.n).sum();
    let error = bins.iter().map(|bin| bin.n as f64 * (bin.share - bin.probability).abs()).sum::<f64>();
    (n > 0).then(|| error / n as f64)
};

pub const N_BINS: usize = 10;

/// Answers of about one probability.
pub struct Bin {
    pub n: usize,
    /// The mean.
    pub probability: f64,
    /// The share of those that are right.
    pub share: f64,
}

pub fn bins(answers: &[&Answer]) -> Vec<Bin> {
    let mut sorted = answers.to_vec();
    sorted.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    let bounds: Vec<usize> = (0..=N_BINS).map(|i| i * sorted.len() / N_BINS).collect();
    let bin = |bounds: &[usize]| {
        let answers = sorted.get(bounds[0]..bounds[1])?;
        let n = answers.len();
        let mean = |of: fn(&Answer) -> f64| answers.iter().map(|answer| of(answer)).sum::<f64>() / n as f64;
        let (probability, share) =
            (mean(|answer| answer.probability), mean(|answer| f64::from(u8::from(answer.is_right))));
        (n > 0).then_some(Bin { n, probability, share })
    };
    bounds.windows(2).filter_map(bin).collect()
}

/// A figure with its interval: the 2.5th and the 97.5th percentile of 1,000 draws of photos.
#[derive(Default)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

const N_DRAWS: usize = 1000;

pub fn interval(answers: &[Answer], figure: Figure) -> Option<Interval> {
    let all: Vec<&Answer> = answers.iter().collect();
    let value = figure(&all)?;
    let mut by_photo: BTreeMap<usize, Vec<&Answer>> = BTreeMap::new();
    answers.iter().for_each(|answer| by_photo.entry(answer.photo).or_default().push(answer));
    let photos: Vec<Vec<&Answer>> = by_photo.into_values().collect();
    let mut random = Random(3);
    let draw = |_| {
        let drawn: Vec<&Answer> =
            (0..photos.len()).flat_map(|_| photos[random.below(photos.len())].iter().copied()).collect();
        figure(&drawn)
    };
    let mut values: Vec<f64> = (0..N_DRAWS).filter_map(draw).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() as f64 * share) as usize).min(values.len().max(1) - 1));
    Some(Interval { value, low: *at(0.025)?, high: *at(0.975)? })
}

/// The answers of one half to sets of these kinds.
pub fn answers(
    asked: &[Asked],
    half: Half,
    kinds: &[&str],
    calibration: &Calibration,
    with_none: bool,
) -> Vec<Answer> {
    let is_asked = |asked: &&Asked| asked.half == half && kinds.contains(&KINDS[asked.kind]);
    asked.iter().filter(is_asked).map(|asked| Answer::new(&asked.example, calibration, with_none)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Photos of one set each: the similarity of its right label, if any, and of its wrong one.
    fn examples(sets: &[(Option<f32>, f32)]) -> Vec<Example> {
        let judged =
            |label: &str, similarity, is_right| Judged { label: label.to_owned(), similarity, is_right };
        let example = |(photo, (right, wrong)): (usize, &(Option<f32>, f32))| {
            let right = right.map(|similarity| judged("right", similarity, true));
            Example { photo, labels: right.into_iter().chain([judged("wrong", *wrong, false)]).collect() }
        };
        sets.iter().enumerate().map(example).collect()
    }

    fn answer(photo: usize, probability: f64, is_right: bool) -> Answer {
        Answer { photo, probability, is_none: false, is_right, is_clear: false, has_right: true }
    }

    const CALIBRATION: Calibration = Calibration {
        scale: 10.0,
        sigmoid_scale: None,
        sigmoid_bias: None,
        none_similarity: Some(0.0),
        clear_probability: None,
        n_fitted_sets: None,
    };

    fn with_other(similarity: f32) -> Vec<Example> {
        let mut all = examples(&[[(Some(0.4), 0.1); 40], [(None, similarity); 40]].concat());
        let other = Judged { label: "other".to_owned(), similarity: -0.5, is_right: false };
        all.iter_mut().for_each(|example| example.labels.push(other.clone()));
        all
    }

    #[test]
    fn the_level_of_none_is_where_it_is_nearly_always_right_and_there_is_none_otherwise() {
        let level = best_none(&with_other(0.2), &CALIBRATION);
        assert!(level.is_some_and(|level| (0.2..0.4).contains(&level)), "{level:?}");
        // Where the labels of misses are as similar as right ones, it would only hide those.
        assert_eq!(best_none(&with_other(0.45), &CALIBRATION), None);
        // Few cases are no proof.
        assert_eq!(best_none(&with_other(0.2)[30..50], &CALIBRATION), None);
    }

    #[test]
    fn misses_make_answers_less_probable() {
        let certain = [(Some(0.4), 0.1); 8];
        let misses = [(None, 0.4); 4];
        let scale = |examples: &[Example]| {
            best_scale(examples, &Calibration { none_similarity: Some(-9.0), ..CALIBRATION })
        };
        let mut mixed = examples(&[&certain[..], &misses[..]].concat());
        let other = Judged { label: "other".to_owned(), similarity: 0.1, is_right: false };
        mixed
            .iter_mut()
            .filter(|example| example.labels.len() == 1)
            .for_each(|e| e.labels.push(other.clone()));
        assert!(scale(&mixed) < scale(&examples(&certain)));
        // Two thirds are right: `sigmoid(0.3 · scale) = 2/3`.
        assert!((scale(&mixed) - 2.31).abs() < 0.26, "{}", scale(&mixed));
    }

    #[test]
    fn an_interval_is_about_the_value_and_photos_stay_together() {
        let answers: Vec<Answer> = (0..100).map(|i| answer(i, 0.5, i % 2 == 0)).collect();
        let found = interval(&answers, RIGHT).unwrap();
        assert!(
            (found.value, true)
                == (0.5, found.low > 0.38 && found.high < 0.62 && found.high - found.low > 0.15)
        );
        // The same answers, of ten photos each of which is right in all or in none.
        let together: Vec<Answer> = (0..100).map(|i| answer(i / 10, 0.5, i / 10 % 2 == 0)).collect();
        let wide = interval(&together, RIGHT).unwrap();
        assert!(wide.high - wide.low > 2.0 * (found.high - found.low));
        assert!(interval(&answers, NONE_PRECISION).is_none(), "it was never said");
    }

    #[test]
    fn the_calibration_error_is_the_distance_of_probabilities_from_what_is_right() {
        let error = |probability: f64| {
            let answers: Vec<Answer> = (0..40).map(|i| answer(i, probability, i % 4 != 0)).collect();
            interval(&answers, CALIBRATION_ERROR).unwrap().value
        };
        assert!(error(0.75) < 1e-9 && (error(0.95) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn few_right_answers_are_no_proof() {
        assert!(wilson_low(30, 30) > 0.95 && wilson_low(10, 10) < 0.95 && wilson_low(56, 60) < 0.95);
    }
}
