//! Live answers: steady where frames are noisy, and quick where the picture really changes.

use cliplet::app::ranking::steady::Steady;
use cliplet::tasks::classify::{Confidence, Mode, RankedLabel, RankedLabels};

/// Competing labels with these probabilities.
fn answer(probabilities: &[(&str, f32)]) -> RankedLabels {
    let line = |(label, probability): &(&str, f32)| RankedLabel {
        label: Some((*label).to_owned()),
        probability: *probability,
        similarity: probability / 10.0,
    };
    let mut labels: Vec<RankedLabel> = probabilities.iter().map(line).collect();
    labels.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    RankedLabels { mode: Mode::Softmax, labels, confidence: Confidence::Likely }
}

fn winner(ranked: &RankedLabels) -> &str {
    ranked.labels[0].label.as_deref().unwrap()
}

/// Numbers in 0..1 that look like chance and are always the same.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    }
}

/// When the winner that is shown changed, in milliseconds.
fn flips(answers: impl Iterator<Item = (f64, RankedLabels)>) -> Vec<f64> {
    let mut steady = Steady::default();
    let mut shown: Option<String> = None;
    let mut flips = Vec::new();
    for (millis, answer) in answers {
        let ranked = steady.after(&answer, millis);
        assert!(
            ranked.labels.windows(2).all(|pair| pair[0].probability >= pair[1].probability),
            "{ranked:?}"
        );
        let sum: f32 = ranked.labels.iter().map(|line| line.probability).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        if shown.as_deref().is_some_and(|shown| shown != winner(&ranked)) {
            flips.push(millis);
        }
        shown = Some(winner(&ranked).to_owned());
    }
    flips
}

#[test]
fn noise_flips_the_winner_at_most_once_a_second() {
    for frame_millis in [16.0, 33.0, 100.0, 160.0, 400.0] {
        for seed in 0..20 {
            let mut noise = noise(seed);
            let mut raw_flips = 0;
            let mut was_a = true;
            let frames: Vec<(f64, RankedLabels)> = (0..(60_000.0 / frame_millis) as usize)
                .map(|frame| {
                    let a = 0.2 + 0.6 * noise();
                    raw_flips += usize::from((a > 0.5) != was_a);
                    was_a = a > 0.5;
                    (frame as f64 * frame_millis, answer(&[("a", a), ("b", 1.0 - a)]))
                })
                .collect();
            // The control: without it there is nothing to steady.
            assert!(raw_flips > 30, "{raw_flips}");
            let flips = flips(frames.into_iter());
            let is_apart = flips.windows(2).all(|pair| pair[1] - pair[0] >= 1000.0);
            assert!(is_apart, "{frame_millis} ms a frame: {flips:?}");
            assert!(flips.len() <= 30, "{frame_millis} ms a frame: {} flips in a minute", flips.len());
        }
    }
    // Also where the two take turns, and surely.
    let turns = (0..600).map(|frame| {
        let a = if frame % 2 == 0 { 0.95 } else { 0.05 };
        (f64::from(frame) * 160.0, answer(&[("a", a), ("b", 1.0 - a)]))
    });
    assert!(flips(turns).windows(2).all(|pair| pair[1] - pair[0] >= 1000.0));
}

#[test]
fn a_real_change_is_seen_within_about_a_second() {
    for (frame_millis, limit_millis) in
        [(16.0, 1000.0), (100.0, 1000.0), (160.0, 1000.0), (400.0, 1300.0), (900.0, 1900.0)]
    {
        for seed in 0..20 {
            let mut noise = noise(seed);
            let frames =
                (0..).map(|frame| f64::from(frame) * frame_millis).take_while(|millis| *millis < 12_000.0);
            let answers = frames.map(|millis| {
                let a = if millis < 6_000.0 { 0.75 } else { 0.15 } + 0.1 * noise();
                (millis, answer(&[("a", a), ("b", 0.8 * (1.0 - a)), ("c", 0.2 * (1.0 - a))]))
            });
            let flips = flips(answers);
            assert_eq!(flips.len(), 1, "{frame_millis} ms a frame: {flips:?}");
            let delay = flips[0] - 6_000.0;
            assert!((0.0..=limit_millis).contains(&delay), "{frame_millis} ms a frame: after {delay} ms");
        }
    }
}

#[test]
fn the_first_answer_and_another_question_are_shown_at_once() {
    let mut steady = Steady::default();
    assert_eq!(steady.after(&answer(&[("a", 0.6), ("b", 0.4)]), 0.0), answer(&[("a", 0.6), ("b", 0.4)]));
    // Half a second of the opposite is smoothed; probabilities move, and the winner has to wait.
    let mixed = steady.after(&answer(&[("a", 0.3), ("b", 0.7)]), 100.0);
    assert!(winner(&mixed) == "a" && mixed.labels[0].probability < 0.6, "{mixed:?}");
    // Other labels, another mode, a picture after a long pause: nothing is left of what was.
    let other = answer(&[("a", 0.1), ("c", 0.9)]);
    assert_eq!(steady.after(&other, 200.0), other);
    let alone = RankedLabels { mode: Mode::Independent, ..other.clone() };
    assert_eq!(steady.after(&alone, 300.0), alone);
    let later = RankedLabels { mode: Mode::Independent, ..answer(&[("a", 0.9), ("c", 0.1)]) };
    assert_eq!(steady.after(&later, 60_000.0), later);
    // A clock that goes back, and no labels.
    assert_eq!(steady.after(&other, 10.0), other);
    assert_eq!(steady.after(&answer(&[]), 20.0), answer(&[]));
}

#[test]
fn what_is_said_of_the_winner_is_steady_too() {
    let mut steady = Steady::default();
    let mut changes = 0;
    let mut was = None;
    for frame in 0..200 {
        let confidence = if frame % 2 == 0 { Confidence::Clear } else { Confidence::Likely };
        let frame_answer = RankedLabels { confidence, ..answer(&[("a", 0.9), ("b", 0.1)]) };
        let ranked = steady.after(&frame_answer, f64::from(frame) * 100.0);
        changes += usize::from(was.is_some_and(|was| was != ranked.confidence));
        was = Some(ranked.confidence);
    }
    assert_eq!(changes, 0);
    // What lasts is said.
    let unsure = RankedLabels { confidence: Confidence::Unsure, ..answer(&[("a", 0.9), ("b", 0.1)]) };
    let said: Vec<Confidence> =
        (0..20).map(|frame| steady.after(&unsure, 20_000.0 + f64::from(frame) * 100.0).confidence).collect();
    assert_eq!(said.last(), Some(&Confidence::Unsure));
}
