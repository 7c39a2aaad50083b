//! How text is changed and cut into words, without a regular expression engine: what files ask for as a pattern is known
//! here by its text.
//!
//! Invariant: [`clip`] cuts exactly where [`CLIP_PATTERN`] matches.

pub use super::unicode::lowercase;
use super::unicode::{Class, Form};
use serde::Deserialize;

/// What `tokenizer.json` of a CLIP says.
pub const CLIP_PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// Newer files have this before it. It changes nothing here: special tokens in plain text are cut like any other text.
const CLIP_LITERALS: &str = r"<\|startoftext\|>|<\|endoftext\|>|";

const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

pub fn is_clip_pattern(pattern: &str) -> bool {
    pattern.strip_prefix(CLIP_LITERALS).unwrap_or(pattern) == CLIP_PATTERN
}

/// The matches of [`CLIP_PATTERN`] in order: contractions, runs of letters, single digits, runs of other characters.
/// White space between them is dropped.
pub fn clip(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let run = |is_in: fn(char) -> bool| rest.find(|c| !is_in(c)).unwrap_or(rest.len());
        let end = match CONTRACTIONS.iter().find(|part| rest.starts_with(**part)) {
            Some(contraction) => contraction.len(),
            None if Class::Letter.has(first) => run(|c| Class::Letter.has(c)),
            None if Class::Number.has(first) => first.len_utf8(),
            None => run(|c| !Class::Letter.has(c) && !Class::Number.has(c) && !c.is_whitespace()),
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// BERT's rules for a text, as a tokenizer's file has them.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Bert {
    clean_text: bool,
    handle_chinese_chars: bool,
    /// Absent: where it makes lower case.
    strip_accents: Option<bool>,
    lowercase: bool,
}

impl Bert {
    /// As the `tokenizers` crate does, but for characters that are newer than its tables (of 2014). Those and the forms'
    /// would come with it.
    pub fn apply(self, mut text: String) -> String {
        if self.clean_text {
            let is_left_out = |c: char| {
                matches!(c, '\0' | '\u{fffd}') || !matches!(c, '\t' | '\n' | '\r') && Class::Other.has(c)
            };
            let cleaned = text.chars().filter(|c| !is_left_out(*c));
            text = cleaned.map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        }
        if self.handle_chinese_chars && !text.is_ascii() {
            let mut apart = String::with_capacity(text.len());
            for c in text.chars() {
                match is_chinese(c) {
                    true => apart.extend([' ', c, ' ']),
                    false => apart.push(c),
                }
            }
            text = apart;
        }
        if self.strip_accents.unwrap_or(self.lowercase) {
            text = Form::Nfd.of(&text).chars().filter(|c| !Class::NonspacingMark.has(*c)).collect();
        }
        if self.lowercase { lowercase(&text) } else { text }
    }
}

/// The blocks of CJK ideographs that BERT knows.
fn is_chinese(c: char) -> bool {
    matches!(
        c,
        '\u{4e00}'..='\u{9fff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2b73f}'
            | '\u{2b740}'..='\u{2b81f}'
            | '\u{2b920}'..='\u{2ceaf}'
            | '\u{f900}'..='\u{faff}'
            | '\u{2f800}'..='\u{2fa1f}'
    )
}

/// Words between white space, each punctuation mark by itself.
pub fn bert(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|word| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let end = match Class::Punctuation.has(first) {
                true => first.len_utf8(),
                false => rest.find(|c| Class::Punctuation.has(c)).unwrap_or(rest.len()),
            };
            let (part, after) = rest.split_at(end);
            rest = after;
            Some(part)
        })
    })
}

/// One space for every run of white space.
pub fn collapse_spaces(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_whitespace() {
            true if collapsed.ends_with(' ') => (),
            true => collapsed.push(' '),
            false => collapsed.push(c),
        }
    }
    collapsed
}

/// Cuts behind each separator.
pub fn behind_each(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split_inclusive(separator)
}

/// Cuts before each separator.
pub fn before_each(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.len_utf8();
        let end = rest[first..].find(separator).map_or(rest.len(), |at| first + at);
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// `replacement` for every run of two spaces or more.
pub fn replace_runs(text: &str, replacement: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("  ") {
        replaced += before;
        replaced += replacement;
        rest = after.trim_start_matches(' ');
    }
    replaced + rest
}

/// The characters of a pattern that is a set of ASCII punctuation, `[!"\#…]`, as SigLIP's files drop.
pub fn punctuation_set(pattern: &str) -> Option<String> {
    let inside = pattern.strip_prefix('[')?.strip_suffix(']')?;
    let mut set = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next()? } else { c };
        set.push(Some(c).filter(char::is_ascii_punctuation)?);
    }
    // Not a complement, a range or a class.
    let is_plain = !inside.starts_with('^') && !inside.contains("&&") && !inside.contains("[:");
    (is_plain && !has_range(inside)).then_some(set)
}

/// Whether a hyphen that is not escaped stands between two characters.
fn has_range(inside: &str) -> bool {
    let bytes = inside.as_bytes();
    (1..bytes.len().saturating_sub(1)).any(|at| bytes[at] == b'-' && bytes[at - 1] != b'\\')
}

/// Every byte as a printable character, in which byte-level vocabularies are written (GPT-2's `bytes_to_unicode`).
pub fn printable_bytes(word: &str) -> String {
    word.bytes().map(printable).collect()
}

/// The bytes of a text of printable ones.
pub fn from_printable_bytes(text: &str) -> Vec<u8> {
    text.chars().filter_map(|c| (0..=255).find(|byte| printable(*byte) == c)).collect()
}

/// The byte itself where Latin-1 shows it, else a character from U+0100 on.
fn printable(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        // The 68 others in order: 33 controls and space, 34 from DEL to no-break space, the soft hyphen.
        0..=b' ' => shown(u32::from(byte)),
        0x7F..=0xA0 => shown(u32::from(byte) - 0x7F + 33),
        0xAD => shown(67),
    }
}

fn shown(index: u32) -> char {
    char::from_u32(0x100 + index).unwrap_or(char::REPLACEMENT_CHARACTER)
}
