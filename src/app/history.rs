//! What the person has made, step by step, so that each step can be taken back and forth: labels, how they are compared, and
//! the picture.
//!
//! Invariant: a new step ends what could be taken forth; of the oldest steps some are forgotten.

use super::ranking::stage::Picture;
use super::settings::Comparison;

const MAX_STEPS: usize = 50;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    past: Vec<Step>,
    future: Vec<Step>,
}

/// What is there between two edits.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub made: (Vec<String>, Comparison),
    pub picture: Option<Picture>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Back,
    Forth,
}

impl History {
    /// Something was made, where this was before.
    pub fn push(&mut self, before: Step) {
        self.future.clear();
        self.past.push(before);
        let n_old = self.past.len().saturating_sub(MAX_STEPS);
        self.past.drain(..n_old);
    }

    /// The nearest step that differs from what is there now.
    pub fn go(&mut self, direction: Direction, now: Step) -> Option<Step> {
        let (from, to) = match direction {
            Direction::Back => (&mut self.past, &mut self.future),
            Direction::Forth => (&mut self.future, &mut self.past),
        };
        let place = from.iter().rposition(|step| *step != now)?;
        let step = from.split_off(place).into_iter().next();
        to.push(now);
        step
    }

    /// Pictures that may come back.
    pub fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.past.iter().chain(&self.future).filter_map(|step| step.picture.as_ref())
    }
}
