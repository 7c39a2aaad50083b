//! When a better model is offered, and its trial.
//!
//! Invariant: an offer stands until an answer is clear, so that nothing comes and goes while the reader edits labels.

use super::trial::Trial;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Offering {
    /// Another model has just taken the starter's place.
    pub trial: Option<Trial>,
    /// The reader put the offer away; it stays away for the visit.
    pub is_dismissed: bool,
    /// The last settled answer was not clear.
    pub is_unclear: bool,
    /// The offer was said to a screen reader, once.
    pub is_said: bool,
}

impl Offering {
    pub fn is_due(&self) -> bool {
        self.is_unclear && !self.is_dismissed
    }
}
