//! What Unicode says of characters and texts.
//!
//! In a browser JavaScript is asked: the tables of the crates that are asked elsewhere would be a tenth of what the page
//! has to fetch.
//!
//! Invariant: both say the same of every character that both know; of newer ones the crates know less.

/// One of Unicode's normalization forms (UAX #15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Nfc,
    Nfd,
    Nfkc,
}

/// General categories (UAX #44) that are asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `\p{L}`; [`char::is_alphabetic`] also takes marks and letter-like numbers.
    Letter,
    /// `\p{N}`
    Number,
    /// `\p{M}`
    Mark,
    /// `\p{Mn}`
    NonspacingMark,
    /// Controls, formats, and the separators of lines and paragraphs.
    Control,
}

impl Form {
    /// `text` in this form.
    pub fn of(self, text: &str) -> String {
        if text.is_ascii() { text.to_owned() } else { system::normalized(text, self) }
    }
}

impl Class {
    pub fn has(self, c: char) -> bool {
        match self {
            Class::Letter if c.is_ascii() => c.is_ascii_alphabetic(),
            Class::Number if c.is_ascii() => c.is_ascii_digit(),
            Class::Mark | Class::NonspacingMark if c.is_ascii() => false,
            Class::Control if c.is_ascii() => c.is_ascii_control(),
            _ => system::is_in(c, self),
        }
    }
}

#[cfg(not(feature = "web"))]
mod system {
    use super::{Class, Form};
    use tokenizers::NormalizedString;
    use unicode_general_category::{GeneralCategory::*, get_general_category};

    pub fn normalized(text: &str, form: Form) -> String {
        let mut text = NormalizedString::from(text);
        match form {
            Form::Nfc => text.nfc(),
            Form::Nfd => text.nfd(),
            Form::Nfkc => text.nfkc(),
        };
        text.get().to_owned()
    }

    pub fn is_in(c: char, class: Class) -> bool {
        let category = get_general_category(c);
        match class {
            Class::Letter => matches!(
                category,
                LowercaseLetter | ModifierLetter | OtherLetter | TitlecaseLetter | UppercaseLetter
            ),
            Class::Number => matches!(category, DecimalNumber | LetterNumber | OtherNumber),
            Class::Mark => matches!(category, NonspacingMark | EnclosingMark | SpacingMark),
            Class::NonspacingMark => category == NonspacingMark,
            Class::Control => matches!(category, Control | Format | LineSeparator | ParagraphSeparator),
        }
    }
}

#[cfg(feature = "web")]
mod system {
    use super::{Class, Form};
    use js_sys::{JsString, RegExp};

    pub fn normalized(text: &str, form: Form) -> String {
        let name = match form {
            Form::Nfc => "NFC",
            Form::Nfd => "NFD",
            Form::Nfkc => "NFKC",
        };
        JsString::from(text).normalize(name).into()
    }

    pub fn is_in(c: char, class: Class) -> bool {
        thread_local! {
            // In the order of `Class`.
            static PATTERNS: [RegExp; 5] = [r"\p{L}", r"\p{N}", r"\p{M}", r"\p{Mn}", r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"]
                .map(|pattern| RegExp::new(pattern, "u"));
        }
        PATTERNS.with(|patterns| patterns[class as usize].test(c.encode_utf8(&mut [0; 4])))
    }
}
