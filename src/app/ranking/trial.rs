//! Another model in the starter's place: what the starter said before, beside what the new one says, and the way back.
//!
//! Invariant: two answers are compared only where they are to the same question: picture, labels and how they are
//! compared.

use crate::facts::Mode;
use crate::worker::protocol::Answer;
use std::rc::Rc;

/// What an answer depends on besides the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub picture: u64,
    /// Sorted: their order is not part of the question.
    pub labels: Vec<String>,
    /// The reader's own; none means the model's, whichever it is.
    pub templates: Vec<String>,
    pub mode: Mode,
    pub has_none: bool,
}

/// A settled answer of the model from before.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    pub asked: Asked,
    pub answer: Rc<Answer>,
    /// What that model is called.
    pub name: String,
}

/// From the switch to another model until the reader has decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    before: Option<Before>,
    /// The two answers stood side by side.
    is_compared: bool,
}

impl Trial {
    pub fn new(before: Option<Before>) -> Self {
        Self { before, is_compared: false }
    }

    /// The earlier answer, where it is to this question.
    pub fn before(&self, asked: Option<&Asked>) -> Option<&Before> {
        self.before.as_ref().filter(|before| Some(&before.asked) == asked)
    }

    /// After an answer to `asked`: nothing is left to decide once the reader has compared and asks something else.
    pub fn after_answer(mut self, asked: Option<&Asked>) -> Option<Self> {
        if self.before(asked).is_some() {
            self.is_compared = true;
            return Some(self);
        }
        (!self.is_compared).then_some(self)
    }
}
