//! What the page has to say: why something did not work, what happened besides, what a screen reader is told.
//!
//! Invariant: a notice is said once, when it comes: a region that comes with its text already in it is often not read.
//! Invariant: a notice that offers a way back is put away by the reader or by what it is about, never by another notice.

use super::language::Text;
use super::strings;
use crate::worker::problem::Problem;

/// Of those that only tell something, so many are on show at once.
const MAX_TELLING: usize = 2;
/// For so long a notice is on show at least, and for so long by each of its letters, before it goes by itself.
const MIN_MILLIS: u32 = 6_000;
const MILLIS_PER_LETTER: u32 = 90;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Notices {
    /// Why the last thing did not work: `role="alert"`.
    pub problem: Option<Problem>,
    /// What happened besides, the latest last.
    pub toasts: Vec<Toast>,
    /// The latest thing worth saying to a screen reader.
    pub announcement: String,
    last_id: u64,
}

/// A notice on show.
#[derive(Debug, Clone, PartialEq)]
pub struct Toast {
    pub id: u64,
    pub notice: Notice,
}

/// Something that happened, with at most one thing to do about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The engine goes on in another way.
    Engine(Problem),
    /// Labels were replaced; the earlier ones can come back.
    Replaced(Text),
    /// Another model took over; the page's own can come back.
    Switched(String),
    /// The model that was chosen on an earlier visit is stored no more.
    ModelGone(String),
    Told(Text),
    /// Another tab has other labels: whose stay?
    Elsewhere,
    /// What happened, with figures or names in it.
    Counted(String),
}

impl Notice {
    pub fn text(&self) -> String {
        match self {
            Notice::Engine(problem) => strings::advice(problem.code).title.to_owned(),
            Notice::Replaced(text) | Notice::Told(text) => text.to_string(),
            Notice::Switched(name) => strings::switched(name),
            Notice::ModelGone(name) => strings::model_gone(name),
            Notice::Elsewhere => strings::LABELS_ELSEWHERE.to_string(),
            Notice::Counted(text) => text.clone(),
        }
    }

    /// What stands behind the text.
    pub fn more(&self) -> Option<&'static str> {
        match self {
            Notice::Engine(problem) => Some(strings::advice(problem.code).todo),
            Notice::Replaced(_) => Some(strings::UNDO_BY_KEY),
            _ => None,
        }
    }

    /// Whether it stays until the reader lets it go: it offers something that is lost with it, or tells of something lost.
    pub fn stays(&self) -> bool {
        matches!(self, Notice::Replaced(_) | Notice::Switched(_) | Notice::Elsewhere | Notice::ModelGone(_))
    }

    /// After so long it goes by itself, where it does.
    pub fn fade_millis(&self) -> Option<u32> {
        let n_letters = self.text().chars().count() + self.more().unwrap_or_default().chars().count();
        (!self.stays()).then(|| MIN_MILLIS.max(MILLIS_PER_LETTER * n_letters as u32))
    }

    /// Whether it says anew what the other said.
    fn renews(&self, other: &Notice) -> bool {
        match (self, other) {
            (Notice::Replaced(_), Notice::Replaced(_)) | (Notice::Switched(_), Notice::Switched(_)) => true,
            (Notice::Engine(this), Notice::Engine(other)) => this.code == other.code,
            (this, other) => this == other,
        }
    }
}

impl Notices {
    /// Shown, and said.
    pub fn notify(&mut self, notice: Notice) {
        self.announcement = notice.text();
        self.forget(|other| notice.renews(other));
        self.last_id += 1;
        self.toasts.push(Toast { id: self.last_id, notice });
        let n_telling = self.toasts.iter().filter(|toast| !toast.notice.stays()).count();
        if n_telling > MAX_TELLING
            && let Some(oldest) = self.toasts.iter().position(|toast| !toast.notice.stays())
        {
            self.toasts.remove(oldest);
        }
    }

    /// Takes away what has become pointless.
    pub fn forget(&mut self, is_pointless: impl Fn(&Notice) -> bool) {
        self.toasts.retain(|toast| !is_pointless(&toast.notice));
    }

    /// Puts one away and returns it.
    pub fn dismiss(&mut self, id: u64) -> Option<Notice> {
        let idx = self.toasts.iter().position(|toast| toast.id == id)?;
        Some(self.toasts.remove(idx).notice)
    }

    pub fn latest(&self) -> Option<&Notice> {
        self.toasts.last().map(|toast| &toast.notice)
    }
}
