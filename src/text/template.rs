//! Prompt templates: `a photo of a {label}`.
//!
//! Invariant: a template holds its placeholder exactly once and no other brace.

use super::TextError;
use std::fmt;

const PLACEHOLDER: &str = "{label}";
/// Longer ones leave no room for a label in CLIP's 77 tokens.
const MAX_CHARS: usize = 300;

/// A prompt around a label; the default is the label alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    before: String,
    after: String,
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, TextError> {
        let text = text.trim();
        let n_chars = text.chars().count();
        if n_chars > MAX_CHARS {
            return Err(TextError::LongTemplate { n_chars, max: MAX_CHARS });
        }
        let Some((before, after)) = text.split_once(PLACEHOLDER) else {
            return Err(TextError::NoPlaceholder(text.to_owned()));
        };
        let found = 1 + after.matches(PLACEHOLDER).count();
        if found > 1 {
            return Err(TextError::ManyPlaceholders { template: text.to_owned(), found });
        }
        if [before, after].iter().any(|part| part.contains(['{', '}'])) {
            return Err(TextError::StrayBrace(text.to_owned()));
        }
        Ok(Template { before: before.to_owned(), after: after.to_owned() })
    }

    /// The prompt for `label`, which is text even where it looks like a placeholder.
    pub fn fill(&self, label: &str) -> String {
        [&self.before, label, &self.after].concat()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACEHOLDER}{}", self.before, self.after)
    }
}
