//! CLIP's way to cut text into words, without a regular expression engine.
//!
//! Invariant: [`clip`] cuts exactly where [`CLIP_PATTERN`] matches.

use unicode_general_category::{GeneralCategory, get_general_category};

/// What `tokenizer.json` of a CLIP says.
pub const CLIP_PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// With this before it in newer files: as plain text, special tokens are cut like any other text.
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
            None if is_letter(first) => run(is_letter),
            None if is_number(first) => first.len_utf8(),
            None => run(|c| !is_letter(c) && !is_number(c) && !c.is_whitespace()),
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// `\p{L}`; [`char::is_alphabetic`] also takes marks and letter-like numbers.
fn is_letter(c: char) -> bool {
    use GeneralCategory::{LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter};
    matches!(
        get_general_category(c),
        LowercaseLetter | ModifierLetter | OtherLetter | TitlecaseLetter | UppercaseLetter
    )
}

/// `\p{N}`; [`char::is_numeric`] may be of another version of Unicode.
fn is_number(c: char) -> bool {
    use GeneralCategory::{DecimalNumber, LetterNumber, OtherNumber};
    matches!(get_general_category(c), DecimalNumber | LetterNumber | OtherNumber)
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

/// Every byte as a printable character, in which byte-level vocabularies are written (GPT-2's `bytes_to_unicode`):
/// itself where Latin-1 shows it, else from U+0100 on.
pub fn printable_bytes(word: &str) -> String {
    word.bytes()
        .map(|byte| match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            // The 68 others in order: 33 controls and space, 34 from DEL to no-break space, the soft hyphen.
            0..=b' ' => shown(u32::from(byte)),
            0x7F..=0xA0 => shown(u32::from(byte) - 0x7F + 33),
            0xAD => shown(67),
        })
        .collect()
}

fn shown(index: u32) -> char {
    char::from_u32(0x100 + index).unwrap_or(char::REPLACEMENT_CHARACTER)
}
