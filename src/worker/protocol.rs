//! Messages between page and worker, as JSON beside at most one transferred value (the picture).
//!
//! Invariant: every question has an id that no other question of the session has, and its answer carries it back.
//! Invariant: nothing here holds picture bytes or weights.

use super::problem::Problem;
use crate::engine::ModelInfo;
use crate::tasks::classify::{Mode, RankedLabels};
use serde::{Deserialize, Serialize};

/// What the page asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Load a model, which takes the place of the one there: the page's own, fetched and verified, or the file of this
    /// name that travels beside the request. Also the way to retry.
    /// Its events carry `id` back; a load that is under way is given up for it.
    Load { id: u32, file: Option<String> },
    /// Stop fetching.
    CancelLoad,
    /// Rank; the picture travels beside it the first time that its id is named.
    Ask(Question),
    /// Delete the stored weights.
    Forget,
}

/// What is to be ranked: everything that an answer depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub id: u64,
    pub picture: u64,
    pub labels: Vec<String>,
    pub templates: Vec<String>,
    pub mode: Mode,
    pub has_none: bool,
}

/// What the worker tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The worker runs and listens.
    Hello,
    /// Of the load with this id.
    Progress(u32, Progress),
    /// The model of this load answers questions from now on.
    Ready(u32, Box<Card>),
    /// The same model now runs elsewhere; what was asked is still being answered.
    Moved(Box<Card>),
    /// Something failed, and the worker goes on in another way.
    Notice(Problem),
    /// This load failed; `Load` tries again.
    LoadFailed(u32, Problem),
    Answered(Answer),
    /// This question can't be answered; others can.
    Rejected {
        id: u64,
        problem: Problem,
    },
    /// The worker broke down and must be replaced.
    Crashed(String),
    /// The stored weights are gone.
    Forgotten,
}

/// Where loading stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub stage: LoadStage,
    /// Bytes for the stages that move bytes, else 0 of 0.
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadStage {
    Start,
    Download,
    /// From this browser's storage.
    Read,
    Verify,
    /// Parse, upload, compile shaders.
    Build,
    SelfTest,
}

/// The model and where it runs: what the badge and the model card show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub info: ModelInfo,
    /// The sentences that suit the model, each with `{label}`.
    pub templates: Vec<String>,
    pub file: String,
    pub sha256: String,
    /// Why it is not the GPU, if it is not.
    pub fallback: Option<Problem>,
}

/// A named time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub name: String,
    pub millis: f64,
}

/// The labels, best first, for one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub id: u64,
    pub ranked: RankedLabels,
    /// Labels that were longer than the model reads.
    pub cut: Vec<String>,
    pub stages: Vec<Stage>,
}
