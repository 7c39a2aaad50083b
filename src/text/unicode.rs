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
    /// `\p{Cc}`, `\p{Cf}` and `\p{Co}`: what BERT's rules leave out.
    Other,
    /// `\p{P}`, and of ASCII's characters its symbols too, as BERT's rules have it.
    Punctuation,
}

/// `text` in lower case, character by character, as the `tokenizers` crate does: a sigma at a word's end is one like any
/// other.
pub fn lowercase(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { system::lowercase(text) }
}

/// `text` in upper case.
pub fn uppercase(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_uppercase() } else { system::uppercase(text) }
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
            Class::Control | Class::Other if c.is_ascii() => c.is_ascii_control(),
            Class::Punctuation if c.is_ascii() => c.is_ascii_punctuation(),
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

    pub fn lowercase(text: &str) -> String {
        text.chars().flat_map(char::to_lowercase).collect()
    }

    pub fn uppercase(text: &str) -> String {
        text.to_uppercase()
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
            Class::Other => matches!(category, Control | Format | PrivateUse),
            Class::Punctuation => matches!(
                category,
                ConnectorPunctuation
                    | DashPunctuation
                    | OpenPunctuation
                    | ClosePunctuation
                    | InitialPunctuation
                    | FinalPunctuation
                    | OtherPunctuation
            ),
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

    pub fn lowercase(text: &str) -> String {
        // JavaScript would know the sigma at a word's end.
        let lower = |part: &str| String::from(JsString::from(part).to_lower_case());
        text.split('Σ').map(lower).collect::<Vec<_>>().join("σ")
    }

    pub fn uppercase(text: &str) -> String {
        JsString::from(text).to_upper_case().into()
    }

    pub fn is_in(c: char, class: Class) -> bool {
        thread_local! {
            // In the order of `Class`.
            static PATTERNS: [RegExp; 7] = [
                r"\p{L}",
                r"\p{N}",
                r"\p{M}",
                r"\p{Mn}",
                r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]",
                r"[\p{Cc}\p{Cf}\p{Co}]",
                r"\p{P}",
            ]
            .map(|pattern| RegExp::new(pattern, "u"));
        }
        PATTERNS.with(|patterns| patterns[class as usize].test(c.encode_utf8(&mut [0; 4])))
    }
}
