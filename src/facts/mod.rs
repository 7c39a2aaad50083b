//! What is asked of an engine and what it tells: plain data that the engine, the page, the command and JavaScript share.
//!
//! Invariant: nothing here computes: whoever shows an answer carries no model with it.

mod card;
mod ranking;
pub mod table;

pub use card::{
    About, BackendChoice, BackendInfo, BackendKind, Fallback, FallbackCause, ModelInfo, SelfTest,
};
pub use ranking::{Confidence, LabelNotes, Mode, RankedLabel, RankedLabels};
