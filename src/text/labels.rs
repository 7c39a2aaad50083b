//! Labels as typed or pasted: lines, commas, tabs, CSV with quotes.
//!
//! Invariant: labels come out trimmed, not empty, in the order typed, each once (letter case does not tell
//! labels apart, as it does not in the tokenizers).

use super::TextError;
use std::collections::HashSet;

/// A page with more bars is of no use, and each costs a pass of the text tower.
pub const MAX_LABELS: usize = 2000;
/// Far beyond CLIP's 77 tokens: the cut at those is a notice, this is a pasted document.
pub const MAX_LABEL_CHARS: usize = 1000;

/// Labels of `text`. A field that starts with a double quote reaches to its closing quote, over commas and lines;
/// `""` inside is one quote. A quote that is never closed is an ordinary character.
pub fn parse(text: &str) -> Result<Vec<String>, TextError> {
    let mut labels = Vec::new();
    let mut seen = HashSet::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (field, after) = next_field(rest);
        rest = after;
        // White space within is one space: a quoted line break is no part of a label.
        let label = field.split_whitespace().collect::<Vec<_>>().join(" ");
        let n_chars = label.chars().count();
        if n_chars > MAX_LABEL_CHARS {
            let start = label.chars().take(40).collect();
            return Err(TextError::LongLabel { start, n_chars, max: MAX_LABEL_CHARS });
        }
        if !label.is_empty() && seen.insert(key(&label)) {
            if labels.len() == MAX_LABELS {
                return Err(TextError::ManyLabels { max: MAX_LABELS });
            }
            labels.push(label);
        }
    }
    Ok(labels)
}

/// What two labels have in common that are the same but for upper and lower case.
pub fn key(label: &str) -> String {
    super::words::lowercase(label)
}

/// The first field of `text`, and what follows its separator.
fn next_field(text: &str) -> (String, &str) {
    let is_separator = |c: char| matches!(c, ',' | '\t' | '\n' | '\r');
    if let Some((field, after)) = text.trim_start_matches(' ').strip_prefix('"').and_then(quoted) {
        // What stands between the closing quote and the separator belongs to the field.
        let (tail, rest) = after.split_once(is_separator).unwrap_or((after, ""));
        return (field + tail, rest);
    }
    let (field, rest) = text.split_once(is_separator).unwrap_or((text, ""));
    (field.to_owned(), rest)
}

/// The inside of a quoted field whose opening quote was just read, and what follows its closing quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        let Some(escaped) = after.strip_prefix('"') else { return Some((field, after)) };
        field.push('"');
        rest = escaped;
    }
}
