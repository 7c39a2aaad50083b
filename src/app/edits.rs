//! Edits of what the person has made and chosen.
//!
//! Invariant: an edit that is refused changes nothing.

use super::settings::{Earlier, Settings};
use crate::facts::{BackendChoice, Mode};
use crate::text::TextError;
use crate::worker::protocol::StoredFormat;

#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    Add(String),
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
        why: &'static str,
    },
    Templates(Vec<String>),
    Mode(Mode),
    HasNone(bool),
    IsMirrored(bool),
    HasShortcuts(bool),
    /// Which processor computes; whatever happened to the graphics processor before is forgotten.
    Backend(BackendChoice),
    /// Where models are looked up.
    Hub(String),
    Format(StoredFormat),
}

impl Edit {
    /// Whether the answer on show would be the same. Of sentences that depends on which are in use.
    pub fn is_same_question(&self) -> bool {
        matches!(
            self,
            Edit::Reorder { .. }
                | Edit::IsMirrored(_)
                | Edit::HasShortcuts(_)
                | Edit::Backend(_)
                | Edit::Hub(_)
                | Edit::Format(_)
        )
    }

    /// Edits `settings`. Says why, where labels were replaced that can come back.
    pub fn apply(self, settings: &mut Settings) -> Result<Option<&'static str>, TextError> {
        match self {
            Edit::Add(text) => drop(settings.add(&text)?),
            Edit::Rename { idx, text } => settings.rename(idx, &text)?,
            Edit::Remove(idx) => settings.remove(idx),
            Edit::Reorder { from, to } => settings.reorder(from, to),
            Edit::Replace { labels, why } => {
                let before = std::mem::replace(&mut settings.labels, labels);
                *settings = std::mem::take(settings).cleaned();
                if settings.labels != before && !before.is_empty() {
                    // What the person had before a link counts for more than the link's.
                    if settings.earlier.as_ref().is_none_or(|earlier| earlier.comparison.is_none()) {
                        settings.earlier = Some(Earlier { labels: before, comparison: None });
                    }
                    return Ok(Some(why));
                }
            }
            Edit::Templates(templates) => settings.templates = templates,
            Edit::Mode(mode) => settings.mode = mode,
            Edit::HasNone(has_none) => settings.has_none = has_none,
            Edit::IsMirrored(is_mirrored) => settings.is_mirrored = is_mirrored,
            Edit::HasShortcuts(has_shortcuts) => settings.has_shortcuts = has_shortcuts,
            Edit::Backend(backend) => (settings.backend, settings.gpu_trouble) = (backend, None),
            Edit::Hub(hub) => settings.hub = hub,
            Edit::Format(format) => settings.format = format,
        }
        Ok(None)
    }
}
