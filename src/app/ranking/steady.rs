//! A live picture's answers, steadied: frames are noisy, and nobody can read a winner that changes with each of them.
//!
//! Probabilities are smoothed over time, not over frames, so that a fast device and a slow one show the same; and a new
//! winner first has to lead, for the longer the closer it is.
//!
//! Invariant: what is shown changes its winner at most once in [`MIN_SHOWN_MILLIS`], whatever the frames say.
//! Invariant: lines are ordered by probability, as in every answer: while a new winner has to wait, the last answer stands.
//! Invariant: answers to another question (other labels, another mode) start anew.

use crate::facts::{Confidence, RankedLabel, RankedLabels};
use std::collections::HashMap;

/// The time in which a frame's weight falls to 1/e: a label that takes another's place leads after 0.7 of it.
const SMOOTHING_MILLIS: f64 = 600.0;
/// What a new winner's lead must add up to before it is shown, in probability times milliseconds: a clear one leads for a
/// moment, a close one for a second.
const MIN_LEAD: f64 = 40.0;
/// For how long something else must be true of the winner before it is said.
const MIN_TRUE_MILLIS: f64 = 250.0;
/// A winner that is shown stays for so long.
const MIN_SHOWN_MILLIS: f64 = 1000.0;
/// Frames that are further apart have nothing to do with each other.
const MAX_GAP_MILLIS: f64 = 5_000.0;

/// What is shown of a live picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steady {
    /// The smoothed probabilities, in no order that matters.
    smoothed: Option<RankedLabels>,
    last_millis: f64,
    shown: Option<RankedLabels>,
    winner: Held<Option<String>>,
    confidence: Held<Option<Confidence>>,
}

impl Steady {
    /// What to show after a frame's answer came at `millis` of any clock that does not go back.
    pub fn after(&mut self, answer: &RankedLabels, millis: f64) -> RankedLabels {
        let since = millis - self.last_millis;
        let is_next = self.smoothed.as_ref().is_some_and(|last| is_same_question(last, answer));
        if !is_next || !(0.0..=MAX_GAP_MILLIS).contains(&since) {
            *self = Steady::default();
        }
        self.last_millis = millis;
        let mut smoothed = answer.clone();
        if let Some(last) = &self.smoothed {
            let weight = (-since / SMOOTHING_MILLIS).exp() as f32;
            let before = by_label(last);
            for line in &mut smoothed.labels {
                if let Some(before) = before.get(&line.label) {
                    line.probability += weight * (before.probability - line.probability);
                    line.similarity += weight * (before.similarity - line.similarity);
                }
            }
            smoothed.labels.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        }
        self.smoothed = Some(smoothed.clone());

        let lead = match &smoothed.labels[..] {
            [first, second, ..] => first.probability - second.probability,
            _ => 1.0,
        };
        let (Some(first), Some(of_frame)) = (smoothed.labels.first(), answer.labels.first()) else {
            return smoothed;
        };
        // What a frame says of its own winner says nothing of another.
        let confidence = (first.label == of_frame.label).then_some(smoothed.confidence);
        self.winner.see(first.label.clone(), f64::from(lead) * since, MIN_LEAD, millis);
        if self.winner.value == first.label {
            let confidence = confidence.or(self.confidence.value);
            self.confidence.see(confidence, since, MIN_TRUE_MILLIS, millis);
            smoothed.confidence = self.confidence.value.unwrap_or(smoothed.confidence);
            self.shown = Some(smoothed.clone());
        }
        self.shown.clone().unwrap_or(smoothed)
    }
}

/// There may be thousands.
fn by_label(ranked: &RankedLabels) -> HashMap<&Option<String>, &RankedLabel> {
    ranked.labels.iter().map(|line| (&line.label, line)).collect()
}

/// The same labels in the same mode, in whatever order.
fn is_same_question(one: &RankedLabels, other: &RankedLabels) -> bool {
    let known = by_label(one);
    one.mode == other.mode
        && one.labels.len() == other.labels.len()
        && other.labels.iter().all(|line| known.contains_key(&line.label))
}

/// A value that does not change at once.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held<T> {
    value: T,
    /// When the value was first seen; `None` before there was one.
    since_millis: Option<f64>,
    /// What would take its place, and how much has spoken for it without a break.
    next: Option<(T, f64)>,
}

impl<T: PartialEq> Held<T> {
    /// Takes note of a value that so much speaks for; it is the value to show once as much as `needed` has.
    fn see(&mut self, value: T, evidence: f64, needed: f64, millis: f64) {
        let Some(since) = self.since_millis else {
            (self.value, self.since_millis) = (value, Some(millis));
            return;
        };
        if value == self.value {
            self.next = None;
            return;
        }
        let before =
            self.next.take().filter(|(next, _)| *next == value).map_or(0.0, |(_, evidence)| evidence);
        let evidence = before + evidence;
        if evidence >= needed && millis - since >= MIN_SHOWN_MILLIS {
            *self = Held { value, since_millis: Some(millis), next: None };
        } else {
            self.next = Some((value, evidence));
        }
    }
}
