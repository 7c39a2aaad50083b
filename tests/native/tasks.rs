//! Ranking: probabilities, order, "none of these", templates, exports, and embeddings that are damaged.

use cliplet::tasks::classify::{Calibration, Mode, RankedLabels, rank};
use cliplet::tasks::{ImageEmbedding, LabelEmbedding, TextEmbedding};
use proptest::prelude::*;

const CALIBRATION: Calibration =
    Calibration { scale: 10.0, sigmoid_scale: 10.0, sigmoid_bias: -5.0, none_similarity: 0.5 };

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
    let far = [label("far", &[0.1, 1.0])];
    assert_eq!(names(&rank(&image, &far, &CALIBRATION, Mode::Softmax, true)), [RankedLabels::NONE, "far"]);
    let close = [label("close", &[1.0, 0.1])];
    assert_eq!(
        names(&rank(&image, &close, &CALIBRATION, Mode::Softmax, true)),
        ["close", RankedLabels::NONE]
    );
    let only = rank(&image, &[], &CALIBRATION, Mode::Softmax, true);
    assert!(near(only.labels[0].probability, 1.0));
    assert!(rank(&image, &[], &CALIBRATION, Mode::Softmax, false).labels.is_empty());
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
    let wild = Calibration { scale: f32::NAN, sigmoid_scale: f32::NAN, ..CALIBRATION };
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
        "label,probability,similarity\r\n\"say \"\"hi\"\", you\",1.000000,1.000000\r\n'=1+1,0.000000,-1.000000\r\n"
    );
    let back: RankedLabels = serde_json::from_str(&ranked.to_json().unwrap()).unwrap();
    assert_eq!(back, ranked);
}

proptest! {
    #[test]
    fn softmax_sums_to_one(
        image in prop::collection::vec(-1f32..1.0, 4),
        labels in prop::collection::vec(prop::collection::vec(-1f32..1.0, 4), 1..50),
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
