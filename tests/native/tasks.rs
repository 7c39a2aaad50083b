//! Ranking: probabilities, order, "none of these", templates, exports, and embeddings that are damaged.

use cliplet::tasks::calibrate::{self, CalibrateError, Example, Judged, Measured};
use cliplet::tasks::classify::{Calibration, Confidence, Mode, RankedLabels, rank};
use cliplet::tasks::{ImageEmbedding, LabelEmbedding, TextEmbedding};
use proptest::prelude::*;

const CALIBRATION: Calibration = Calibration {
    scale: 10.0,
    sigmoid_scale: Some(10.0),
    sigmoid_bias: Some(-5.0),
    none_similarity: Some(0.5),
    clear_probability: Some(0.9),
    n_fitted_sets: Some(100),
};
/// What a file says that was imported.
const NOT_FITTED: Calibration = Calibration {
    scale: 10.0,
    sigmoid_scale: None,
    sigmoid_bias: None,
    none_similarity: None,
    clear_probability: None,
    n_fitted_sets: None,
};

fn label(name: &str, values: &[f32]) -> LabelEmbedding {
    LabelEmbedding::new(name, &[TextEmbedding::new(values.to_vec())])
}

fn names(ranked: &RankedLabels) -> Vec<&str> {
    ranked.labels.iter().map(|line| line.label.as_deref().unwrap_or(RankedLabels::NONE)).collect()
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6
}

#[test]
fn softmax_ranks_by_similarity() {
    let image = ImageEmbedding::new(vec![3.0, 0.0]);
    let labels = [label("across", &[0.0, 1.0]), label("along", &[5.0, 0.0]), label("against", &[-1.0, 0.0])];
    let ranked = rank(&image, &labels, &CALIBRATION, Mode::Softmax, false);
    assert_eq!(names(&ranked), ["along", "across", "against"]);
    let similarities: Vec<f32> = ranked.labels.iter().map(|line| line.similarity).collect();
    assert_eq!(similarities, [1.0, 0.0, -1.0]);
    let sum = 1.0 + (-10.0f32).exp() + (-20.0f32).exp();
    assert!(
        near(ranked.labels[0].probability, 1.0 / sum)
            && near(ranked.labels[1].probability, (-10.0f32).exp() / sum)
    );
}

#[test]
fn none_of_these_competes() {
    let image = ImageEmbedding::new(vec![1.0, 0.0]);
    let [far, close] = [label("far", &[0.1, 1.0]), label("close", &[1.0, 0.1])];
    let ranked = |labels: &[LabelEmbedding]| rank(&image, labels, &CALIBRATION, Mode::Softmax, true);
    let both = ranked(&[far.clone(), far.clone()]);
    assert_eq!(names(&both), [RankedLabels::NONE, "far", "far"]);
    assert_eq!(both.confidence, Confidence::NoneOfThese);
    let both = ranked(&[far.clone(), close.clone()]);
    assert_eq!(names(&both), ["close", RankedLabels::NONE, "far"]);
    assert_eq!(names(&ranked(std::slice::from_ref(&far))), [RankedLabels::NONE, "far"]);
    assert_eq!(names(&ranked(&[close])), ["close", RankedLabels::NONE]);
    // No label that can be read: nothing fits because nothing was asked.
    for with_none in [true, false] {
        assert!(rank(&image, &[], &CALIBRATION, Mode::Softmax, with_none).labels.is_empty());
    }
}

#[test]
fn a_single_label_has_its_own_score() {
    let image = ImageEmbedding::new(vec![1.0, 0.0]);
    let one = [label("one", &[0.6, 0.8])];
    let expected = 1.0 / (1.0 + (-1.0f32).exp());
    for (mode, with_none) in [(Mode::Softmax, false), (Mode::Softmax, true), (Mode::Independent, true)] {
        let ranked = rank(&image, &one, &CALIBRATION, mode, with_none);
        assert_eq!(ranked.mode, Mode::Independent);
        assert!(near(ranked.labels[0].probability, expected), "{ranked:?}");
        if with_none {
            assert!(near(ranked.labels[1].probability, 1.0 - expected), "{ranked:?}");
        }
    }
    // Nor is it certain without a fit, whatever the mode.
    let unfitted = rank(&image, &one, &NOT_FITTED, Mode::Softmax, false);
    assert!(unfitted.labels[0].probability < 1.0 && unfitted.confidence == Confidence::NotCalibrated);
}

#[test]
fn a_model_without_a_fit_claims_nothing() {
    let image = ImageEmbedding::new(vec![1.0, 0.0]);
    let labels = [label("along", &[1.0, 0.0]), label("across", &[0.0, 1.0])];
    for mode in [Mode::Softmax, Mode::Independent] {
        let ranked = rank(&image, &labels, &NOT_FITTED, mode, true);
        assert_eq!(names(&ranked), ["along", "across"], "no \"none of these\" without its level");
        assert_eq!(ranked.confidence, Confidence::NotCalibrated);
    }
    // A trained sigmoid, SigLIP's, is used, but is no fit either.
    let trained = Calibration { sigmoid_scale: Some(10.0), sigmoid_bias: Some(-5.0), ..NOT_FITTED };
    let ranked = rank(&image, &labels, &trained, Mode::Independent, true);
    assert!(near(ranked.labels[1].probability, 1.0 / (1.0 + 5.0f32.exp())), "{ranked:?}");
    assert_eq!(ranked.confidence, Confidence::NotCalibrated);
}

#[test]
fn clear_is_what_was_measured_as_clear() {
    let image = ImageEmbedding::new(vec![1.0, 0.0]);
    let labels = [label("along", &[1.0, 0.0]), label("across", &[0.0, 1.0])];
    let confidence =
        |calibration: Calibration, mode| rank(&image, &labels, &calibration, mode, true).confidence;
    assert_eq!(confidence(CALIBRATION, Mode::Softmax), Confidence::Clear);
    let stricter = Calibration { clear_probability: Some(0.999), ..CALIBRATION };
    assert_eq!(confidence(stricter, Mode::Softmax), Confidence::Likely);
    let never = Calibration { clear_probability: None, ..CALIBRATION };
    assert_eq!(confidence(never, Mode::Softmax), Confidence::Likely);
    let flat = Calibration { scale: 0.1, ..CALIBRATION };
    assert_eq!(confidence(flat, Mode::Softmax), Confidence::Unsure);
    // It was measured of labels that compete.
    assert_eq!(confidence(CALIBRATION, Mode::Independent), Confidence::Likely);
}

#[test]
fn nothing_is_certain() {
    let image = ImageEmbedding::new(vec![1.0, 0.0]);
    let labels = [label("along", &[1.0, 0.0]), label("against", &[-1.0, 0.0])];
    let steep = Calibration { scale: 1e6, sigmoid_scale: Some(1e6), sigmoid_bias: Some(0.0), ..CALIBRATION };
    for mode in [Mode::Softmax, Mode::Independent] {
        for labels in [&labels[..], &labels[..1]] {
            let ranked = rank(&image, labels, &steep, mode, false);
            assert!(ranked.labels.iter().all(|line| line.probability < 1.0), "{ranked:?}");
            assert!(ranked.to_csv().contains("along,0.999999,"), "{}", ranked.to_csv());
        }
    }
}

#[test]
fn independent_scores_do_not_compete() {
    let image = ImageEmbedding::new(vec![1.0, 0.0]);
    let one = label("one", &[1.0, 0.0]);
    let alone = rank(&image, std::slice::from_ref(&one), &CALIBRATION, Mode::Independent, false);
    let among = rank(&image, &[one.clone(), one.clone(), one], &CALIBRATION, Mode::Independent, true);
    let expected = 1.0 / (1.0 + (-5.0f32).exp());
    assert!(near(alone.labels[0].probability, expected) && near(among.labels[2].probability, expected));
    assert_eq!(names(&among)[3], RankedLabels::NONE);
    assert!(near(among.labels[3].probability, (1.0 - expected).powi(3)));
}

/// Labels of which each is right as often as the model with these figures says: similarities are drawn, then the truth.
fn drawn(n: usize, scale: f64, none: f64) -> Vec<Example> {
    let mut state = 7u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let one = |photo| {
        let similarities: Vec<f64> = (0..4).map(|_| 0.2 + 0.1 * random()).collect();
        let weights = similarities.iter().chain([&none]).map(|x| (scale * (x - none)).exp());
        let weights: Vec<f64> = weights.collect();
        let mut rest = random() * weights.iter().sum::<f64>();
        let right = weights.iter().position(|weight| {
            rest -= weight;
            rest <= 0.0
        });
        let judged = |(idx, similarity): (usize, &f64)| Judged {
            label: idx.to_string(),
            similarity: *similarity as f32,
            is_right: right == Some(idx),
        };
        Example { photo, labels: similarities.iter().enumerate().map(judged).collect() }
    };
    (0..n).map(one).collect()
}

#[test]
fn a_fit_finds_what_the_truth_was_drawn_from() {
    let examples = drawn(4000, 120.0, 0.26);
    let calibration = calibrate::fit(&examples, None).unwrap();
    assert!((calibration.scale - 120.0).abs() < 8.0, "{calibration:?}");
    assert!((calibration.none_similarity.unwrap() - 0.26).abs() < 0.003, "{calibration:?}");
    assert!(calibration.is_fitted() && calibration.sigmoid_scale.unwrap() > 0.0);
    // On others, probabilities mean what they say; with another temperature they do not.
    let others: Vec<Example> = drawn(8000, 120.0, 0.26).split_off(4000);
    let fitted = Measured::new(&others, &calibration, true);
    let steep = Measured::new(&others, &Calibration { scale: 600.0, ..calibration }, true);
    assert!(fitted.calibration_error < 0.03, "{fitted:?}");
    assert!(steep.calibration_error > 0.1, "{steep:?}");
    assert_eq!((fitted.n_photos, fitted.n_sets), (4000, 4000));
    assert!(fitted.n_without > 300 && fitted.n_none_right <= fitted.n_none, "{fitted:?}");
    // What is called clear is right 95 times in 100, as far as so many tell.
    assert!(fitted.n_clear > 60 && fitted.n_clear_right * 100 >= fitted.n_clear * 95, "{fitted:?}");
    assert_eq!(calibration, calibrate::fit(&examples, None).unwrap(), "nothing is left to chance");
}

#[test]
fn a_sigmoid_is_fitted_or_was_trained() {
    // Right at 0.3, wrong at 0.2, with one of ten on the other side of the middle.
    let example = |photo: usize| {
        let is_swapped = photo.is_multiple_of(10);
        let judged =
            |label: &str, similarity, is_right| Judged { label: label.to_owned(), similarity, is_right };
        let (right, wrong) = if is_swapped { (0.2, 0.3) } else { (0.3, 0.2) };
        Example { photo, labels: vec![judged("right", right, true), judged("wrong", wrong, false)] }
    };
    let mut examples: Vec<Example> = (0..1000).map(example).collect();
    let (scale, bias) = calibrate::fit_sigmoid(&examples).unwrap();
    let score = |x: f64| 1.0 / (1.0 + (-scale * x - bias).exp());
    assert!((score(0.3) - 0.9).abs() < 0.01 && (score(0.2) - 0.1).abs() < 0.01, "{scale} {bias}");
    // Without a single error the scores stay below certainty.
    let clean: Vec<Example> = (0..50).map(|photo| example(photo * 10 + 1)).collect();
    let (scale, bias) = calibrate::fit_sigmoid(&clean).unwrap();
    let certain = 1.0 / (1.0 + (-scale * 0.3 - bias).exp());
    assert!((0.95..0.9999).contains(&certain), "{certain}");
    examples.iter_mut().take(100).for_each(|example| example.labels.retain(|label| !label.is_right));
    let trained = calibrate::fit(&examples, Some((117.0, -12.0))).unwrap();
    assert_eq!(trained.sigmoid(), Some((117.0, -12.0)), "what was trained with the model stays");
    // Upside down, or all alike.
    for example in &mut examples {
        example.labels.iter_mut().for_each(|label| label.similarity = -label.similarity);
    }
    assert_eq!(calibrate::fit(&examples, None), Err(CalibrateError::Unrelated));
    for example in &mut examples {
        example.labels.iter_mut().for_each(|label| label.similarity = 0.2);
    }
    assert_eq!(calibrate::fit(&examples, None), Err(CalibrateError::Unrelated));
}

#[test]
fn too_little_is_not_fitted_on() {
    let examples = drawn(12, 60.0, 0.26);
    let refused = |examples: &[Example]| calibrate::fit(examples, None).unwrap_err();
    let error = refused(&examples[..5]);
    assert!(matches!(error, CalibrateError::TooLittle { n_photos: 5, .. }), "{error}");
    assert!(error.to_string().contains("5 photos") && error.to_string().contains("10 photos"), "{error}");
    // Many sets of few photos, and sets that are all alike, are no more.
    let mut few: Vec<Example> = drawn(200, 60.0, 0.26);
    few.iter_mut().for_each(|example| example.photo %= 4);
    assert!(matches!(refused(&few), CalibrateError::TooLittle { n_photos: 4, .. }));
    let all = drawn(200, 60.0, 0.26);
    let is_right = |example: &&Example| example.labels.iter().any(|label| label.is_right);
    let right: Vec<Example> = all.iter().filter(is_right).cloned().collect();
    assert!(matches!(refused(&right), CalibrateError::TooLittle { n_none: 0, .. }));
    let none: Vec<Example> = all.iter().filter(|example| !is_right(example)).cloned().collect();
    assert!(matches!(refused(&none), CalibrateError::TooLittle { n_right: 0, .. }));
}

#[test]
fn nothing_is_clear_that_was_not_measured_so() {
    let example = |photo: usize, is_right: bool| {
        let judged =
            |label: &str, similarity, is_right| Judged { label: label.to_owned(), similarity, is_right };
        Example { photo, labels: vec![judged("first", 0.9, is_right), judged("second", 0.0, !is_right)] }
    };
    let clear = |n_right: usize, n_wrong: usize| {
        let right = (0..n_right).map(|photo| example(photo, true));
        let examples: Vec<Example> = right.chain((0..n_wrong).map(|photo| example(photo, false))).collect();
        calibrate::fit_clear(&examples, &Calibration { none_similarity: Some(-1.0), ..CALIBRATION })
    };
    assert!(clear(980, 20).is_some() && clear(99, 1).is_some() && clear(40, 0).is_some());
    assert_eq!(clear(90, 10), None);
    assert_eq!((clear(20, 0), clear(95, 5)), (None, None), "that may be luck");
}

#[test]
fn equal_labels_keep_their_order() {
    let image = ImageEmbedding::new(vec![1.0, 1.0]);
    let labels: Vec<_> = ["c", "a", "b"].map(|name| label(name, &[1.0, 0.0])).to_vec();
    assert_eq!(names(&rank(&image, &labels, &CALIBRATION, Mode::Softmax, false)), ["c", "a", "b"]);
}

#[test]
fn templates_are_averaged_as_unit_vectors() {
    let texts = [TextEmbedding::new(vec![100.0, 0.0]), TextEmbedding::new(vec![0.0, 0.01])];
    let ensemble = LabelEmbedding::new("x", &texts);
    let diagonal = std::f32::consts::FRAC_1_SQRT_2;
    assert!(ensemble.values().iter().all(|&v| near(v, diagonal)), "{:?}", ensemble.values());
    // Opposite templates leave no direction; no template none either.
    let opposite = [TextEmbedding::new(vec![1.0]), TextEmbedding::new(vec![-1.0])];
    assert_eq!(LabelEmbedding::new("x", &opposite).values(), [0.0]);
    assert!(LabelEmbedding::new("x", &[]).values().is_empty());
}

#[test]
fn damaged_embeddings_rank_without_a_panic() {
    let image = ImageEmbedding::new(vec![1.0, 0.0]);
    let labels =
        [label("nan", &[f32::NAN, 1.0]), label("huge", &[f32::INFINITY, 0.0]), label("good", &[1.0, 0.0])];
    let nan = Some(f32::NAN);
    let wild = Calibration { scale: f32::NAN, sigmoid_scale: nan, none_similarity: nan, ..CALIBRATION };
    for calibration in [CALIBRATION, wild] {
        for mode in [Mode::Softmax, Mode::Independent] {
            let ranked = rank(&image, &labels, &calibration, mode, true);
            assert!(ranked.labels.iter().all(|line| (0.0..=1.0).contains(&line.probability)), "{ranked:?}");
        }
    }
    assert_eq!(names(&rank(&image, &labels, &CALIBRATION, Mode::Softmax, false))[0], "good");
}

#[test]
fn exports_keep_hostile_labels_as_text() {
    let image = ImageEmbedding::new(vec![1.0]);
    let labels = [label("say \"hi\", you", &[1.0]), label("=1+1", &[-1.0])];
    let ranked = rank(&image, &labels, &CALIBRATION, Mode::Softmax, false);
    assert_eq!(
        ranked.to_csv(),
        "label,probability,similarity\r\n\"say \"\"hi\"\", you\",0.999999,1.000000\r\n'=1+1,0.000000,-1.000000\r\n"
    );
    let back: RankedLabels = serde_json::from_str(&ranked.to_json().unwrap()).unwrap();
    assert_eq!(back, ranked);
}

proptest! {
    #[test]
    fn softmax_sums_to_one(
        image in prop::collection::vec(-1f32..1.0, 4),
        labels in prop::collection::vec(prop::collection::vec(-1f32..1.0, 4), 2..50),
        scale in 0f32..1000.0,
        with_none in any::<bool>(),
    ) {
        let labels: Vec<_> = labels.iter().map(|values| label("x", values)).collect();
        let calibration = Calibration { scale, ..CALIBRATION };
        let ranked = rank(&ImageEmbedding::new(image), &labels, &calibration, Mode::Softmax, with_none);
        let sum: f32 = ranked.labels.iter().map(|line| line.probability).sum();
        prop_assert!((sum - 1.0).abs() <= 1e-5, "sum {}", sum);
        prop_assert!(ranked.labels.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
        prop_assert_eq!(ranked.labels.len(), labels.len() + usize::from(with_none));
    }
}
