//! What the page has to say: why something did not work, what happened besides, what a screen reader is told.
//!
//! Invariant: a notice is said once, when it comes: a region that comes with its text already in it is often not read.

use super::strings;
use crate::worker::problem::Problem;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Notices {
    /// Why the last thing did not work: `role="alert"`.
    pub problem: Option<Problem>,
    /// What happened besides.
    pub notice: Option<Notice>,
    /// The latest thing worth saying to a screen reader.
    pub announcement: String,
}

/// Something that happened, with at most one thing to do about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The engine goes on in another way.
    Engine(Problem),
    /// Labels were replaced; the earlier ones can come back.
    Replaced(&'static str),
    /// Another model took over; the page's own can come back.
    Switched(String),
    /// The model that was chosen on an earlier visit is stored no more.
    ModelGone(String),
    Told(&'static str),
    /// Another tab has other labels: whose stay?
    Elsewhere,
    /// What happened, with figures or names in it.
    Counted(String),
}

impl Notice {
    pub fn text(&self) -> String {
        match self {
            Notice::Engine(problem) => strings::advice(problem.code).title.to_owned(),
            Notice::Replaced(text) | Notice::Told(text) => (*text).to_owned(),
            Notice::Switched(name) => strings::switched(name),
            Notice::ModelGone(name) => strings::model_gone(name),
            Notice::Elsewhere => strings::LABELS_ELSEWHERE.to_owned(),
            Notice::Counted(text) => text.clone(),
        }
    }
}

impl Notices {
    /// Shown, and said.
    pub fn notify(&mut self, notice: Notice) {
        self.announcement = notice.text();
        self.notice = Some(notice);
    }
}
