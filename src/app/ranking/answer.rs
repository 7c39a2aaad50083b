//! The machine of ranking: the question of the moment, and the answer on show.
//!
//! Invariant: every question has a new id; an answer to any other is dropped by its id, once, for everyone.
//! Invariant: percentages are shown only while [`Phase`] is `Settled`; a live picture's answer stands until the next
//! frame's comes.

use crate::facts::ModelInfo;
use crate::worker::protocol::Answer;
use std::collections::HashSet;
use std::rc::Rc;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking {
    /// The latest answer that was to the question of its time.
    pub answer: Option<Rc<Answer>>,
    /// The id given last, to a question or a look.
    last_id: u64,
    pub question_id: u64,
    /// The question that was answered or rejected last; nothing runs while it is `question_id`.
    done_id: u64,
    /// The answer on show belongs to the labels, settings and picture on show.
    pub is_current: bool,
    pub is_rejected: bool,
    /// While the question's labels are being encoded and that takes a while: how many are, of all.
    pub label_progress: Option<(usize, usize)>,
}

/// Where the ranking stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    NeedsPicture,
    NeedsLabels,
    NeedsModel,
    Ranking,
    Settled,
    /// The question was rejected: the page's problem says why.
    Stuck,
}

/// What is known of the line "none of these" beside the model at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoneLine {
    Known,
    /// It was measured, and the line would be wrong too often.
    Unreliable,
    /// Nobody has measured it.
    Unmeasured,
}

impl NoneLine {
    /// Taken for granted until there is a model.
    pub fn of(model: Option<&ModelInfo>) -> Self {
        match model {
            None => NoneLine::Known,
            Some(info) if info.knows_none => NoneLine::Known,
            Some(info) if info.is_calibrated => NoneLine::Unreliable,
            Some(_) => NoneLine::Unmeasured,
        }
    }
}

/// One line of the ranking as it is drawn; numbers only where they are settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// `None` is "none of these".
    pub label: Option<String>,
    pub score: Option<Score>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    pub probability: f32,
    pub similarity: f32,
}

impl Line {
    fn unscored(label: Option<String>) -> Self {
        Self { label, score: None }
    }
}

impl Ranking {
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A question that no earlier answer fits.
    pub fn ask_anew(&mut self) {
        self.ask_next();
        self.label_progress = None;
        self.is_current = false;
        self.is_rejected = false;
    }

    /// A question about the next frame: the last frame's answer stands until this one's comes.
    pub fn ask_next(&mut self) {
        self.question_id = self.next_id();
    }

    /// Nothing is asked before the next frame.
    pub fn wait_for_frame(&mut self) {
        self.done_id = self.question_id;
    }

    pub fn is_idle(&self) -> bool {
        self.done_id == self.question_id && !self.is_rejected
    }

    pub fn settle(&mut self, answer: Answer) {
        self.done_id = answer.id;
        self.label_progress = None;
        self.answer = Some(Rc::new(answer));
        self.is_current = true;
    }

    pub fn reject(&mut self) {
        self.done_id = self.question_id;
        self.label_progress = None;
        self.is_rejected = true;
    }

    /// Gives the question up while its labels are being encoded: an answer that is on its way is to no question any more.
    /// Says whether there was anything to give up.
    pub fn cancel(&mut self) -> bool {
        if self.label_progress.is_none() {
            return false;
        }
        self.ask_next();
        self.reject();
        true
    }

    /// The answer of a picture that is back on the stage.
    pub fn restore(&mut self, answer: Rc<Answer>) {
        self.answer = Some(answer);
        self.is_current = true;
    }

    pub fn forget_answer(&mut self) {
        self.answer = None;
        self.is_current = false;
    }

    /// The lines to draw: the settled answer, or while it is being made the same labels without numbers.
    pub fn lines(&self, phase: Phase, labels: &[String], has_none: bool) -> Vec<Line> {
        let ranked = self.answer.as_ref().map(|answer| &answer.ranked.labels[..]).unwrap_or_default();
        if phase == Phase::Settled {
            let score = |probability, similarity| Some(Score { probability, similarity });
            let lines = ranked.iter();
            return lines
                .map(|line| Line {
                    label: line.label.clone(),
                    score: score(line.probability, line.similarity),
                })
                .collect();
        }
        if phase == Phase::NeedsLabels {
            return Vec::new();
        }
        let own = labels.iter().map(|label| Some(label.as_str()));
        let own: Vec<Option<&str>> = own.chain(has_none.then_some(None)).collect();
        let wanted: HashSet<_> = own.iter().copied().collect();
        // Those that were ranked stay in their order, new ones come behind.
        let ranked = ranked.iter().map(|line| line.label.as_deref()).filter(|label| wanted.contains(label));
        let mut known = HashSet::new();
        let labels = ranked.chain(own.iter().copied()).filter(|label| known.insert(*label));
        labels.map(|label| Line::unscored(label.map(str::to_owned))).collect()
    }
}
