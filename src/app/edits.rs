//! Edits of what the person has made and chosen.
//!
//! Invariant: what an edit could not take comes back as a text.

use super::language::{Language, Text};
use super::settings::{PRESETS, Refused, Settings};
use super::strings;
use crate::facts::{BackendChoice, Mode};
use crate::worker::protocol::StoredFormat;

#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    Add(String),
    /// Text that was given to the page, not to a field: it becomes the labels where those are a preset's, and else joins them;
    /// either way the labels from before can come back.
    Paste(String),
    Rename {
        idx: usize,
        text: String,
    },
    Remove(usize),
    Reorder {
        from: usize,
        to: usize,
    },
    /// A preset, a link, or nothing: the earlier labels stay at hand for [`Action::Undo`](super::state::Action::Undo).
    Replace {
        labels: Vec<String>,
        why: Text,
    },
    /// The labels are kept under a name.
    KeepSet(String),
    RemoveSet(usize),
    Templates(Vec<String>),
    Mode(Mode),
    HasNone(bool),
    IsMirrored(bool),
    HasShortcuts(bool),
    /// Whether the last pictures stay on the device.
    KeepsRecent(bool),
    /// Which processor computes; whatever happened to the graphics processor before is forgotten.
    Backend(BackendChoice),
    /// Where models are looked up.
    Hub(String),
    Format(StoredFormat),
    Language(Language),
}

impl Edit {
    /// Whether the answer on show would be the same. Of sentences that depends on which are in use.
    pub fn is_same_question(&self) -> bool {
        matches!(
            self,
            Edit::Reorder { .. }
                | Edit::KeepSet(_)
                | Edit::RemoveSet(_)
                | Edit::IsMirrored(_)
                | Edit::HasShortcuts(_)
                | Edit::KeepsRecent(_)
                | Edit::Backend(_)
                | Edit::Hub(_)
                | Edit::Format(_)
                | Edit::Language(_)
        )
    }

    pub fn is_of_labels(&self) -> bool {
        matches!(
            self,
            Edit::Add(_) | Edit::Paste(_) | Edit::Rename { .. } | Edit::Remove(_) | Edit::Replace { .. }
        )
    }

    /// Edits `settings`.
    pub fn apply(self, settings: &mut Settings) -> Edited {
        match self {
            Edit::Add(text) => return settings.add(&text).err().into(),
            Edit::Rename { idx, text } => return settings.rename(idx, &text).err().into(),
            Edit::Paste(text) => {
                let before = settings.labels.clone();
                let is_presets = PRESETS.iter().any(|preset| preset.labels == before);
                if is_presets {
                    settings.labels.clear();
                }
                let refused = settings.add(&text).err();
                if settings.labels.is_empty() {
                    settings.labels = before.clone();
                }
                let why = if is_presets { strings::LABELS_PASTED } else { strings::LABELS_ADDED };
                return Edited { refused, ..replaced(settings, before, why) };
            }
            Edit::Remove(idx) => settings.remove(idx),
            Edit::Reorder { from, to } => settings.reorder(from, to),
            Edit::Replace { labels, why } => {
                let before = std::mem::replace(&mut settings.labels, labels);
                *settings = std::mem::take(settings).cleaned();
                return replaced(settings, before, why);
            }
            Edit::KeepSet(name) => settings.keep_set(&name),
            Edit::RemoveSet(idx) => settings.remove_set(idx),
            Edit::Templates(templates) => settings.templates = templates,
            Edit::Mode(mode) => settings.mode = mode,
            Edit::HasNone(has_none) => settings.has_none = has_none,
            Edit::IsMirrored(is_mirrored) => settings.is_mirrored = is_mirrored,
            Edit::HasShortcuts(has_shortcuts) => settings.has_shortcuts = has_shortcuts,
            Edit::KeepsRecent(keeps_recent) => settings.keeps_recent = keeps_recent,
            Edit::Backend(backend) => (settings.backend, settings.gpu_trouble) = (backend, None),
            Edit::Hub(hub) => settings.hub = hub,
            Edit::Format(format) => settings.format = format,
            Edit::Language(language) => settings.language = Some(language),
        }
        Edited::default()
    }
}

/// Keeps the labels from before at hand, where others took their place.
fn replaced(settings: &mut Settings, before: Vec<String>, why: Text) -> Edited {
    if settings.labels == before || before.is_empty() {
        return Edited::default();
    }
    // What the person had before a link counts for more than the link's, and what they made for more than a preset.
    let is_presets = PRESETS.iter().any(|preset| preset.labels == before);
    if settings.earlier.as_ref().is_none_or(|earlier| earlier.comparison.is_none() && !is_presets) {
        settings.keep_earlier(before, None);
    }
    Edited { replaced: Some(why), refused: None }
}

/// What became of an edit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edited {
    /// Labels were replaced that can come back; why.
    pub replaced: Option<Text>,
    /// What could not be taken.
    pub refused: Option<Refused>,
}

impl From<Option<Refused>> for Edited {
    fn from(refused: Option<Refused>) -> Self {
        Edited { replaced: None, refused }
    }
}
