//! Texts repaired as OpenAI's own tokenizer repairs them before it looks at them: `ftfy.fix_text`, HTML's entities twice,
//! white space, lower case.
//!
//! No small crate carries `ftfy`: `plsfix` brings ICU and a regular expression engine. These are its plain parts. Left out
//! is the one that is not plain, text that was decoded in another encoding (`Ã©` for `é`); and of HTML's 2,231 entities
//! those are known that HTML 4 had.
//!
//! Invariant: text that is plain already comes out as it was, but for white space and upper case.

use super::unicode::{Class, Form, uppercase};
use super::words::{self, collapse_spaces};

/// HTML's names of U+00A0 to U+00FF, in order. They count without a semicolon, too.
const LATIN: &str = "\
    nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute \
    micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring \
    AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml \
    times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil \
    egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash \
    ugrave uacute ucirc uuml yacute thorn yuml";
/// The others that HTML 4 has, each before its character.
const OTHERS: &str = "\
    OElig Œ oelig œ Scaron Š scaron š Yuml Ÿ fnof ƒ circ ˆ tilde ˜ Alpha Α Beta Β Gamma Γ Delta Δ Epsilon Ε Zeta \
    Ζ Eta Η Theta Θ Iota Ι Kappa Κ Lambda Λ Mu Μ Nu Ν Xi Ξ Omicron Ο Pi Π Rho Ρ Sigma Σ Tau Τ Upsilon Υ Phi Φ \
    Chi Χ Psi Ψ Omega Ω alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu \
    μ nu ν xi ξ omicron ο pi π rho ρ sigmaf ς sigma σ tau τ upsilon υ phi φ chi χ psi ψ omega ω thetasym ϑ upsih \
    ϒ piv ϖ zwnj \u{200C} zwj \u{200D} lrm \u{200E} rlm \u{200F} ndash – mdash — lsquo ‘ rsquo ’ sbquo ‚ ldquo “ \
    rdquo ” bdquo „ dagger † Dagger ‡ bull • hellip … permil ‰ prime ′ Prime ″ lsaquo ‹ rsaquo › oline ‾ frasl ⁄ \
    euro € image ℑ weierp ℘ real ℜ trade ™ alefsym ℵ larr ← uarr ↑ rarr → darr ↓ harr ↔ crarr ↵ lArr ⇐ uArr ⇑ \
    rArr ⇒ dArr ⇓ hArr ⇔ forall ∀ part ∂ exist ∃ empty ∅ nabla ∇ isin ∈ notin ∉ ni ∋ prod ∏ sum ∑ minus − lowast \
    ∗ radic √ prop ∝ infin ∞ ang ∠ and ∧ or ∨ cap ∩ cup ∪ int ∫ there4 ∴ sim ∼ cong ≅ asymp ≈ ne ≠ equiv ≡ le ≤ \
    ge ≥ sub ⊂ sup ⊃ nsub ⊄ sube ⊆ supe ⊇ oplus ⊕ otimes ⊗ perp ⊥ sdot ⋅ lceil ⌈ rceil ⌉ lfloor ⌊ rfloor ⌋ loz ◊ \
    spades ♠ clubs ♣ hearts ♥ diams ♦ lang ⟨ rang ⟩";
/// And those whose character would part the list above.
const SPACES: [(&str, char); 3] = [("ensp", '\u{2002}'), ("emsp", '\u{2003}'), ("thinsp", '\u{2009}')];
/// Names that count without a semicolon, too, beside [`LATIN`]'s.
const MARKUP: [(&str, char); 10] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("AMP", '&'),
    ("LT", '<'),
    ("GT", '>'),
    ("QUOT", '"'),
    ("COPY", '©'),
    ("REG", '®'),
];
/// U+0080 to U+009F where they were meant to be Windows-1252's; U+FFFD: it has none there.
const WINDOWS_1252: &str = "€\u{FFFD}‚ƒ„…†‡ˆ‰Š‹Œ\u{FFFD}Ž\u{FFFD}\u{FFFD}‘’“”•–—˜™š›œ\u{FFFD}žŸ";
/// Letters that are two, as `ftfy` parts them.
const LIGATURES: [(char, &str); 22] = [
    ('Ĳ', "IJ"),
    ('ĳ', "ij"),
    ('ŉ', "'n"),
    ('Ǆ', "DŽ"),
    ('ǅ', "Dž"),
    ('ǆ', "dž"),
    ('Ǉ', "LJ"),
    ('ǈ', "Lj"),
    ('ǉ', "lj"),
    ('Ǌ', "NJ"),
    ('ǋ', "Nj"),
    ('ǌ', "nj"),
    ('Ǳ', "DZ"),
    ('ǲ', "Dz"),
    ('ǳ', "dz"),
    ('ﬀ', "ff"),
    ('ﬁ', "fi"),
    ('ﬂ', "fl"),
    ('ﬃ', "ffi"),
    ('ﬄ', "ffl"),
    ('ﬅ', "ſt"),
    ('ﬆ', "st"),
];

/// The text that CLIP's tokenizer cuts into words.
pub fn clip(text: &str) -> String {
    let fixed = unescape(&unescape(&fixed(text)));
    lowercase(&collapse_spaces(fixed.trim()))
}

/// Lower case as Python's `lower` makes it, which knows the sigma at a word's end.
fn lowercase(text: &str) -> String {
    if !text.contains('Σ') {
        return words::lowercase(text);
    }
    let is_letter = |c: Option<char>| c.is_some_and(|c| Class::Letter.has(c));
    let mut with_ends = String::with_capacity(text.len());
    let (mut before, mut rest) = (None, text.chars());
    while let Some(c) = rest.next() {
        let is_end = c == 'Σ' && is_letter(before) && !is_letter(rest.clone().next());
        with_ends.push(if is_end { 'ς' } else { c });
        before = Some(c);
    }
    words::lowercase(&with_ends)
}

/// `ftfy.fix_text` without its search for other encodings.
fn fixed(text: &str) -> String {
    // Where there is markup, its entities belong to it.
    let is_unescaped = !text.contains('<');
    let mut text = text.to_owned();
    loop {
        let mut fixed = if is_unescaped { unescape_whole(&text) } else { text.clone() };
        fixed = without_terminal_escapes(&fixed.replace("\r\n", "\n"));
        let mut plain = String::with_capacity(fixed.len());
        fixed.chars().for_each(|c| push_plain(&mut plain, c));
        fixed = Form::Nfc.of(&plain);
        if fixed == text {
            return text;
        }
        text = fixed;
    }
}

/// Adds `c` as plain text has it.
fn push_plain(plain: &mut String, c: char) {
    match c {
        '\u{80}'..='\u{9F}' => plain.push(windows_1252(c)),
        // Full and half width.
        '\u{3000}' => plain.push(' '),
        '\u{FF01}'..='\u{FFEF}' => *plain += &Form::Nfkc.of(c.encode_utf8(&mut [0; 4])),
        '\u{2BC}' | '\u{2018}'..='\u{201B}' => plain.push('\''),
        '\u{201C}'..='\u{201F}' => plain.push('"'),
        '\r' | '\u{2028}' | '\u{2029}' => plain.push('\n'),
        '\0'..='\u{8}' | '\u{B}' | '\u{E}'..='\u{1F}' | '\u{7F}' => (),
        '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFC}' => (),
        c => match LIGATURES.iter().find(|(ligature, _)| *ligature == c) {
            Some((_, letters)) => *plain += letters,
            None => plain.push(c),
        },
    }
}

fn windows_1252(c: char) -> char {
    let meant = WINDOWS_1252.chars().nth((c as usize).wrapping_sub(0x80));
    meant.filter(|meant| *meant != char::REPLACEMENT_CHARACTER).unwrap_or(c)
}

/// Without colours and cursor movements: `ESC [`, digits and semicolons, a letter.
fn without_terminal_escapes(text: &str) -> String {
    const START: &str = "\u{1B}[";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(START) {
        kept += before;
        let letter = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = letter.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or_else(|| {
            kept += START;
            after
        });
    }
    kept + rest
}

/// Entities that end with a semicolon, also in capitals, as `ftfy` reads them.
fn unescape_whole(text: &str) -> String {
    const MAX_NAME: usize = 24;
    replace_entities(text, |body| {
        let (name, _) = body.split_once(';')?;
        let n_bytes = name.len() + 1;
        if let Some(number) = name.strip_prefix('#') {
            return Some((numbered(number)?, n_bytes));
        }
        if name.len() > MAX_NAME || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let in_capitals = || {
            let is_capital = !name.contains(|c: char| c.is_ascii_lowercase()) && legacy(name).is_none();
            let lower = named(&name.to_ascii_lowercase()).filter(|_| is_capital)?;
            Some(uppercase(lower.encode_utf8(&mut [0; 4])))
        };
        Some((named(name).map(String::from).or_else(in_capitals)?, n_bytes))
    })
}

/// Entities as HTML reads them (`html.unescape`): a semicolon may lack behind numbers and the oldest names.
fn unescape(text: &str) -> String {
    replace_entities(text, |body| {
        let with_semicolon = |end: usize| end + usize::from(body[end..].starts_with(';'));
        if let Some(number) = body.strip_prefix('#') {
            let hex = number.strip_prefix(['x', 'X']);
            let radix = if hex.is_some() { 16 } else { 10 };
            let rest = hex.unwrap_or(number).trim_start_matches(|c: char| c.is_digit(radix));
            let end = body.len() - rest.len();
            return Some((numbered(&body[1..end])?, with_semicolon(end)));
        }
        let end = body.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(body.len());
        match named(&body[..end]).filter(|_| body[end..].starts_with(';')) {
            Some(c) => Some((c.into(), end + 1)),
            None => legacy(body).map(|(c, n_bytes)| (c.into(), with_semicolon(n_bytes))),
        }
    })
}

/// Replaces what stands behind each ampersand by what `entity` makes of it, and as many bytes as it says.
fn replace_entities(text: &str, entity: impl Fn(&str) -> Option<(String, usize)>) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, body)) = rest.split_once('&') {
        replaced += before;
        rest = match entity(body) {
            Some((text, n_bytes)) => {
                replaced += &text;
                &body[n_bytes..]
            }
            None => {
                replaced.push('&');
                body
            }
        };
    }
    replaced + rest
}

/// The character of a number as entities write it behind `#`: `39`, `x27`. Nothing, where there is none to show.
fn numbered(number: &str) -> Option<String> {
    let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |hex| (hex, 16));
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    let shown = match code {
        0x1..=0x8 | 0xB | 0xE..=0x1F | 0x7F | 0xFDD0..=0xFDEF => None,
        0x80..=0x9F => char::from_u32(code).map(windows_1252),
        0 => Some(char::REPLACEMENT_CHARACTER),
        ..0x11_0000 if code & 0xFFFE == 0xFFFE => None,
        _ => Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
    };
    Some(shown.into_iter().collect())
}

/// The character of a name.
fn named(name: &str) -> Option<char> {
    let whole = legacy(name).filter(|(_, n_bytes)| *n_bytes == name.len()).map(|(c, _)| c);
    let others = || {
        let mut words = OTHERS.split(' ');
        std::iter::from_fn(move || words.next().zip(words.next()?.chars().next()))
    };
    let mut rest = others().chain(SPACES).chain([("apos", '\'')]);
    whole.or_else(|| rest.find(|(known, _)| *known == name).map(|(_, c)| c))
}

/// The longest of the oldest names that `text` starts with: its character, and its bytes.
fn legacy(text: &str) -> Option<(char, usize)> {
    let all = LATIN.split(' ').zip('\u{A0}'..).chain(MARKUP).filter(|(name, _)| text.starts_with(name));
    all.max_by_key(|(name, _)| name.len()).map(|(name, c)| (c, name.len()))
}
