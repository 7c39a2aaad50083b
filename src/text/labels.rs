//! Labels as typed or pasted: lines, commas, tabs, CSV with quotes, lists with bullets or numbers, lists of a programming
//! language.
//!
//! Invariant: labels come out trimmed, not empty, in the order typed, each once (letter case does not tell
//! labels apart, as it does not in the tokenizers).
//! Invariant: what stands in double quotes is a label as it stands, whatever it begins with.
//! Invariant: a number before a label goes only where the numbers count: "3D printer" and "4. Juli" stay.

use super::TextError;
use std::collections::HashSet;

/// A page with more bars is of no use, and each costs a pass of the text tower.
pub const MAX_LABELS: usize = 2000;
/// Far beyond CLIP's 77 tokens: the cut at those is a notice, this is a pasted document.
pub const MAX_LABEL_CHARS: usize = 1000;

/// Labels of `text`. A field that starts with a double quote reaches to its closing quote, over commas and lines;
/// `""` inside is one quote. A quote that is never closed is an ordinary character.
///
/// # Errors
/// One label is too long, or there are too many.
pub fn parse(text: &str) -> Result<Vec<String>, TextError> {
    let labels = split(text);
    labels.iter().try_for_each(|label| check_length(label))?;
    if labels.len() > MAX_LABELS {
        return Err(TextError::ManyLabels { max: MAX_LABELS });
    }
    Ok(labels)
}

/// The same, however long and many the labels are.
pub fn split(text: &str) -> Vec<String> {
    let fields = list_of_a_program(text).unwrap_or_else(|| fields(text));
    let has_numbers = counts(&fields);
    let label = |field: Field| cleaned(if has_numbers { &field.text } else { &field.with_number });
    let mut seen = HashSet::new();
    fields.into_iter().map(label).filter(|label| !label.is_empty() && seen.insert(key(label))).collect()
}

/// # Errors
/// The label is too long.
pub fn check_length(label: &str) -> Result<(), TextError> {
    match label.chars().count() {
        n_chars if n_chars > MAX_LABEL_CHARS => Err(TextError::LongLabel {
            start: label.chars().take(40).collect(),
            n_chars,
            max: MAX_LABEL_CHARS,
        }),
        _ => Ok(()),
    }
}

/// One label without what cannot be seen, its white space made one space each: a quoted line break is no part of a label.
pub fn cleaned(label: &str) -> String {
    let visible: String = label.chars().filter(|c| !is_invisible(*c)).collect();
    if visible.chars().all(|c| is_blank(c) || needs_another(c)) {
        return String::new();
    }
    visible.split(is_blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Labels that were kept elsewhere, made what [`split`] would have made of them: what is too long or too much is left out.
pub fn whole(labels: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let labels = labels.iter().map(|label| cleaned(label));
    let whole = labels.filter(|label| !label.is_empty() && check_length(label).is_ok());
    whole.filter(|label| seen.insert(key(label))).take(MAX_LABELS).collect()
}

/// Labels as a text that [`split`] reads as the same labels.
pub fn joined(labels: &[String]) -> String {
    let is_plain = |label: &String| {
        !label.contains(['"', '[', '(', '{']) && split(label) == [label.as_str()] && number(label).is_none()
    };
    let field = |label: &String| if is_plain(label) { label.clone() } else { quoted(label) };
    labels.iter().map(field).collect::<Vec<_>>().join(", ")
}

/// A label in double quotes, of which [`split`] takes nothing away.
pub fn quoted(label: &str) -> String {
    format!("\"{}\"", label.replace('"', "\"\""))
}

/// What two labels have in common that are the same but for upper and lower case.
pub fn key(label: &str) -> String {
    super::words::lowercase(label)
}

/// Characters without a shape of their own, which change no other's either: byte-order marks, directions, soft hyphens,
/// controls that are no white space.
fn is_invisible(c: char) -> bool {
    let is_format = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
    );
    is_format || (c.is_control() && !c.is_whitespace())
}

/// Characters that join or vary others, and are nothing by themselves: joiners, variation selectors, the first and middle
/// letters that a Korean syllable lacks, the tags of a flag.
fn needs_another(c: char) -> bool {
    matches!(
        c,
        '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// White space, and what looks like it: Braille's empty cell, Korean's fillers.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

/// One label's place in a text.
struct Field {
    text: String,
    /// The number of a list before it.
    number: Option<u32>,
    /// The same text as it stands, should the numbers be part of the labels.
    with_number: String,
    has_bullet: bool,
}

impl Field {
    fn plain(text: String) -> Field {
        Field { with_number: text.clone(), text, number: None, has_bullet: false }
    }
}

/// Whether the numbers before labels are a list's: they count from 1, or by three at least, and what follows them differs.
fn counts(fields: &[Field]) -> bool {
    let numbers: Vec<u32> = fields.iter().filter_map(|field| field.number).collect();
    let is_one_by_one =
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1 || (pair[1] == 1 && pair[0] > 1));
    let is_alone = match numbers[..] {
        [] => return false,
        // One number is a list's where bullets go on.
        [_] => fields.len() < 2 || fields.iter().any(|field| field.number.is_none() && !field.has_bullet),
        _ => false,
    };
    let starts = numbers[0] <= 1 || numbers.len() > 2;
    let labels: HashSet<String> =
        fields.iter().filter(|field| field.number.is_some()).map(|field| key(&field.text)).collect();
    is_one_by_one && !is_alone && starts && 2 * labels.len() > numbers.len()
}

fn fields(text: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_after_bullet = text[..text.len() - rest.len()].ends_with(BULLETS);
        let (mut field, after) = next_field(rest);
        field.has_bullet |= is_after_bullet;
        if !field.text.trim().is_empty() {
            fields.push(field);
        }
        rest = after;
    }
    fields
}

/// Bullets that nobody writes within a label.
const BULLETS: [char; 3] = ['•', '‣', '⁃'];

/// What ends a label.
fn is_separator(c: char) -> bool {
    let of_lines = matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    of_lines || matches!(c, ',' | ';' | '，' | '；' | '、' | '､' | '،' | '؛') || BULLETS.contains(&c)
}

/// Whether the text holds more than one label, by what stands between labels.
pub fn has_separator(text: &str) -> bool {
    text.contains(is_separator)
}

/// The first field of `text`, and what follows its separator.
fn next_field(text: &str) -> (Field, &str) {
    let without_bullet = bullet(text);
    let start = without_bullet.unwrap_or(text).trim_start_matches(is_space);
    let has_bullet = without_bullet.is_some();
    let (number, inner) = number(start).map_or((None, start), |(number, inner)| (Some(number), inner));
    if let Some((field, after)) = inner.strip_prefix('"').and_then(until_quote) {
        // What stands between the closing quote and the separator belongs to the field.
        let (tail, rest) = after.split_once(is_separator).unwrap_or((after, ""));
        let text = field + tail;
        let with_number = format!("{}{text}", &start[..start.len() - inner.len()]);
        return (Field { text, number, with_number, has_bullet }, rest);
    }
    let (text, rest) = inner.split_once(is_separator).unwrap_or((inner, ""));
    let with_number = start[..start.len() - inner.len() + text.len()].to_owned();
    (Field { text: text.to_owned(), number, with_number, has_bullet }, rest)
}

/// White space within a line, tabs apart.
fn is_space(c: char) -> bool {
    c.is_whitespace() && !is_separator(c)
}

/// What follows the bullet that `text` begins with: `- bus`, `* bus`, `▪bus`, `- [ ] bus`.
fn bullet(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(is_space);
    let spaced = |text: &str| text.starts_with([' ', '\t', '\u{a0}', '\u{3000}']);
    let after = text.strip_prefix(['▪', '●', '◦', '○', '■', '□', '▸', '►', '➤', '✓', '✔', '☐', '☑']);
    let after = after.or_else(|| {
        text.strip_prefix(['-', '–', '—', '−', '*', '+', '·', '∙', '・']).filter(|after| spaced(after))
    });
    let after = after?.trim_start_matches([' ', '\t', '\u{a0}', '\u{3000}']);
    let boxed = ["[ ]", "[x]", "[X]"].into_iter().find_map(|mark| after.strip_prefix(mark));
    let after = boxed.filter(|rest| spaced(rest)).map_or(after, |rest| rest.trim_start_matches([' ', '\t']));
    (!after.is_empty() && !after.starts_with(['\n', '\r'])).then_some(after)
}

/// A number as lists have it, and what follows: `1. bus`, `2) bus`, `(3) bus`, `4、bus`, `b) bus`.
fn number(text: &str) -> Option<(u32, &str)> {
    let (is_open, inner) = text.strip_prefix(['(', '（']).map_or((false, text), |inner| (true, inner));
    let digits = &inner[..inner.find(|c: char| !c.is_ascii_digit()).unwrap_or(inner.len())];
    let letter = inner.chars().next().filter(char::is_ascii_lowercase);
    let (number, end) = match (digits.len(), letter) {
        (1..=4, _) => (digits.parse().ok()?, &inner[digits.len()..]),
        (0, Some(letter)) => (u32::from(letter) - u32::from('a') + 1, &inner[1..]),
        _ => return None,
    };
    let has_digits = !digits.is_empty();
    let mut rest = end.chars();
    let is_end = match rest.next()? {
        ')' | '）' => true,
        '.' => has_digits && !is_open && rest.clone().next().is_some_and(|c| !c.is_ascii_digit() && c != '.'),
        '、' | '．' => has_digits && !is_open,
        _ => false,
    };
    let after = rest.as_str().trim_start_matches([' ', '\t', '\u{a0}', '\u{3000}']);
    (is_end && !after.is_empty() && !after.starts_with(is_separator)).then_some((number, after))
}

/// The inside of a quoted field whose opening quote was just read, and what follows its closing quote.
fn until_quote(text: &str) -> Option<(String, &str)> {
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

/// A list as a program or a data file writes it: `["cat", "dog"]`, `['cat', 'dog']`, `labels = ("cat", "dog")`, `[cat, dog]`.
fn list_of_a_program(text: &str) -> Option<Vec<Field>> {
    let text = text.trim().trim_end_matches([';', ',']).trim_end();
    // Behind a name that it is given.
    let list = match text.split_once(['=', ':']) {
        Some((name, list)) if !name.contains(['"', '\'', '[', '(', '{', '\n', ',']) => list.trim_start(),
        _ => text,
    };
    if let Ok(items) = serde_json::from_str::<Vec<String>>(list) {
        return Some(items.into_iter().map(Field::plain).collect());
    }
    let pair = [('[', ']'), ('(', ')'), ('{', '}')].into_iter();
    let mut inside =
        pair.filter_map(|(open, close)| Some((open, list.strip_prefix(open)?.strip_suffix(close)?)));
    let (open, inside) = inside.next()?;
    match inside.trim_start().chars().next()? {
        '"' | '\'' | '`' => Some(quoted_items(inside)),
        _ if open == '[' && has_separator(inside) => Some(fields(inside)),
        _ => None,
    }
}

/// Items in any quotes, with backslashes before what would end them.
fn quoted_items(text: &str) -> Vec<Field> {
    let mut items = Vec::new();
    let mut chars = text.chars();
    while let Some(first) = chars.find(|c| !c.is_whitespace() && !is_separator(*c)) {
        let quote = Some(first).filter(|c| matches!(c, '"' | '\'' | '`'));
        let mut item = if quote.is_none() { first.to_string() } else { String::new() };
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', Some(_)) => item.extend(chars.next()),
                (c, Some(quote)) if c == quote => break,
                (c, None) if is_separator(c) => break,
                (c, _) => item.push(c),
            }
        }
        items.push(Field::plain(item));
    }
    items
}
