//! The language in which the page speaks: the table of its sentences, its plural forms, its numbers.
//!
//! Invariant: every sentence is looked up and filled in here alone, so that the library is compiled in once.
//! Invariant: English comes with the program; another language is a file that is fetched when it is used, and what such a
//! file lacks is said in English.

use rust_i18n::replace_patterns;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::{Display, Formatter};
use std::ops::Deref;
use std::sync::LazyLock;

/// A language that the page speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    #[default]
    En,
    Zh,
    Es,
    Fr,
    De,
    Ar,
}

impl Language {
    pub const ALL: [Language; 6] =
        [Language::En, Language::Zh, Language::Es, Language::Fr, Language::De, Language::Ar];

    /// Its tag, which its file is named by; for Chinese it stands for the simplified script.
    pub fn tag(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Zh => "zh",
            Language::Es => "es",
            Language::Fr => "fr",
            Language::De => "de",
            Language::Ar => "ar",
        }
    }

    /// What those who speak it call it: a reader who landed in a wrong language finds the way back.
    pub fn name(self) -> &'static str {
        match self {
            Language::En => "English",
            Language::Zh => "中文",
            Language::Es => "Español",
            Language::Fr => "Français",
            Language::De => "Deutsch",
            Language::Ar => "العربية",
        }
    }

    /// For the page's own `lang`, by which browsers choose letter forms and voices.
    pub fn html_tag(self) -> &'static str {
        if self == Language::Zh { "zh-Hans" } else { self.tag() }
    }

    pub fn direction(self) -> &'static str {
        if self == Language::Ar { "rtl" } else { "ltr" }
    }

    pub fn of_tag(tag: &str) -> Option<Language> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        Language::ALL.into_iter().find(|known| known.tag().eq_ignore_ascii_case(language))
    }

    /// The first of the reader's languages that the page speaks.
    pub fn preferred(tags: &[String]) -> Language {
        tags.iter().find_map(|tag| Language::of_tag(tag)).unwrap_or_default()
    }

    /// By whose rules numbers are written: the reader's own variety of the language, `de-CH`, where the browser names one.
    pub fn number_tag(self, tags: &[String]) -> String {
        let is_sound = |tag: &str| {
            tag.split('-').all(|part| part.len() <= 8 && part.chars().all(|c| c.is_ascii_alphanumeric()))
        };
        let own = tags.iter().find(|tag| Language::of_tag(tag) == Some(self) && is_sound(tag));
        own.map_or(self.tag(), String::as_str).to_owned()
    }
}

/// A language's sentences by their keys.
pub struct Table(HashMap<&'static str, &'static str>);

impl Table {
    /// A flat JSON object without a backslash: every sentence is a part of `json`.
    pub fn parse(json: &'static str) -> Result<Table, serde_json::Error> {
        serde_json::from_str(json).map(Table)
    }

    fn get(&self, key: &str) -> Option<&'static str> {
        self.0.get(key).copied()
    }
}

/// The sentences that the program carries; a test holds that they can be read.
static ENGLISH: LazyLock<Table> = LazyLock::new(|| {
    Table::parse(include_str!("../../static/locales/en.json")).unwrap_or(Table(HashMap::new()))
});

thread_local! {
    /// Languages whose files have come.
    static KNOWN: RefCell<Vec<(Language, &'static Table)>> = const { RefCell::new(Vec::new()) };
    static SPOKEN: Cell<Option<(Language, &'static Table)>> = const { Cell::new(None) };
}

fn known(language: Language) -> Option<(Language, &'static Table)> {
    KNOWN.with_borrow(|known| known.iter().find(|(known, _)| *known == language).copied())
}

pub fn is_known(language: Language) -> bool {
    language == Language::En || known(language).is_some()
}

/// Takes a language's file in; a file is needed as long as the page runs.
pub fn learn(language: Language, json: String) -> Result<(), serde_json::Error> {
    let table = Table::parse(Box::leak(json.into_boxed_str()))?;
    KNOWN.with_borrow_mut(|known| known.push((language, Box::leak(Box::new(table)))));
    Ok(())
}

/// From now on the page speaks this language, or English where it is not known. `number_tag` is what
/// [`Language::number_tag`] gives.
pub fn speak(language: Language, number_tag: &str) {
    SPOKEN.set(known(language));
    intl::speak(number_tag);
}

/// The keys that go back and forth along a line of writing.
pub fn arrows() -> (&'static str, &'static str) {
    match spoken() {
        Language::Ar => ("ArrowRight", "ArrowLeft"),
        _ => ("ArrowLeft", "ArrowRight"),
    }
}

pub fn spoken() -> Language {
    SPOKEN.get().map(|(language, _)| language).unwrap_or_default()
}

/// The sentence of a key that may be none.
pub fn find(key: &str) -> Option<&'static str> {
    SPOKEN.get().and_then(|(_, table)| table.get(key)).or_else(|| ENGLISH.get(key))
}

/// The sentence of a key; of a key that has none, nothing.
pub fn text(key: &str) -> &'static str {
    find(key).unwrap_or_default()
}

/// The sentence of a key with values in its places: `%{name}`.
pub fn fill(key: &str, values: &[(&str, &str)]) -> String {
    fill_in(text(key), values)
}

/// The sentence that goes with so many, its number in the place `%{n}`.
pub fn plural(key: &str, n: usize, values: &[(&str, &str)]) -> String {
    let of_form = find(&format!("{key}.{}", intl::plural_form(n)));
    let sentence = of_form.unwrap_or_else(|| text(&format!("{key}.other")));
    let number = number(n as f64, 0);
    fill_in(sentence, &[values, &[("n", &number)]].concat())
}

fn fill_in(sentence: &str, values: &[(&str, &str)]) -> String {
    let (names, values): (Vec<&str>, Vec<String>) =
        values.iter().map(|(name, value)| (*name, (*value).to_owned())).unzip();
    replace_patterns(sentence, &names, &values)
}

/// A number as the language writes it, with so many digits behind its decimal sign: `2,000`, `0.25`.
pub fn number(number: f64, n_digits: usize) -> String {
    intl::number(number, n_digits)
}

/// The rules of languages, which browsers know.
#[cfg(feature = "web")]
mod intl {
    use js_sys::Intl::{NumberFormat, PluralRules};
    use js_sys::{Array, Function, Object, Reflect};
    use std::cell::RefCell;
    use wasm_bindgen::JsValue;

    /// More digits are shown nowhere.
    const MAX_DIGITS: usize = 5;

    /// One language's rules, each made when it is first needed: making them takes long.
    #[derive(Default)]
    struct Rules {
        tag: String,
        plural: Option<PluralRules>,
        numbers: [Option<Function>; MAX_DIGITS + 1],
    }

    thread_local! {
        static RULES: RefCell<Rules> = RefCell::default();
    }

    impl Rules {
        /// The browser's own until a language was chosen.
        fn tags(&self) -> Array {
            if self.tag.is_empty() { Array::new() } else { Array::of1(&self.tag.as_str().into()) }
        }
    }

    pub fn speak(tag: &str) {
        RULES.set(Rules { tag: tag.to_owned(), ..Rules::default() });
    }

    pub fn plural_form(n: usize) -> String {
        RULES.with_borrow_mut(|rules| {
            let tags = rules.tags();
            let made = rules.plural.get_or_insert_with(|| PluralRules::new(&tags, &Object::new()));
            made.select(n as f64).into()
        })
    }

    pub fn number(number: f64, n_digits: usize) -> String {
        let n_digits = n_digits.min(MAX_DIGITS);
        let written = RULES.with_borrow_mut(|rules| {
            let tags = rules.tags();
            let make = || {
                let options = Object::new();
                for name in ["minimumFractionDigits", "maximumFractionDigits"] {
                    drop(Reflect::set(&options, &name.into(), &n_digits.into()));
                }
                NumberFormat::new(&tags, &options).format()
            };
            let made = rules.numbers[n_digits].get_or_insert_with(make);
            made.call1(&JsValue::NULL, &number.into()).ok()?.as_string()
        });
        written.unwrap_or_default()
    }
}

/// English, for tests outside a browser.
#[cfg(not(feature = "web"))]
mod intl {
    pub fn speak(_tag: &str) {}

    pub fn plural_form(n: usize) -> &'static str {
        if n == 1 { "one" } else { "other" }
    }

    pub fn number(number: f64, n_digits: usize) -> String {
        let text = format!("{number:.n_digits$}");
        let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        let groups: Vec<&str> =
            whole.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
        groups.join(",") + rest
    }
}

/// A sentence without places for values, by its key: said in the language of the moment wherever it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text(pub &'static str);

impl Text {
    pub fn get(self) -> &'static str {
        text(self.0)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.get()
    }
}

impl Display for Text {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.get())
    }
}

#[cfg(feature = "web")]
impl yew::html::IntoPropValue<yew::AttrValue> for Text {
    fn into_prop_value(self) -> yew::AttrValue {
        yew::AttrValue::Static(self.get())
    }
}

#[cfg(feature = "web")]
impl yew::html::IntoPropValue<Option<yew::AttrValue>> for Text {
    fn into_prop_value(self) -> Option<yew::AttrValue> {
        Some(yew::AttrValue::Static(self.get()))
    }
}

#[cfg(feature = "web")]
impl yew::html::IntoPropValue<yew::Html> for Text {
    fn into_prop_value(self) -> yew::Html {
        yew::virtual_dom::VText::new(self.get()).into()
    }
}
