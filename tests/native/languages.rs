//! Every language's file: whole, with every place for a value and every plural form, and nothing said beside it.
//!
//! Each check is a function from text to violations, so that a test can also show it text that it must refuse.

use cliplet::app::language::{self, Language, Table};
use cliplet::worker::problem::Code;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const FORMS: [&str; 6] = ["zero", "one", "two", "few", "many", "other"];

/// The plural forms that whole numbers of the page's size take (Unicode's CLDR). Spanish and French have a form for millions,
/// which is not needed here and falls back to `other`.
fn forms(language: Language) -> &'static [&'static str] {
    match language {
        Language::Zh => &["other"],
        Language::En | Language::Es | Language::Fr | Language::De => &["one", "other"],
        Language::Ar => &FORMS,
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(language: Language) -> String {
    let path = root().join(format!("static/locales/{}.json", language.tag()));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

type Sentences = BTreeMap<String, String>;

fn sentences(language: Language) -> Sentences {
    serde_json::from_str(&text_of(language)).unwrap()
}

/// `n-labels.one` → `n-labels` and `one`.
fn split(key: &str) -> (&str, Option<&str>) {
    match key.rsplit_once('.') {
        Some((base, form)) if FORMS.contains(&form) => (base, Some(form)),
        _ => (key, None),
    }
}

/// The places for values: `%{name}`.
fn places(sentence: &str) -> BTreeSet<&str> {
    sentence.split("%{").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

/// What a language's file lacks or has too much, beside English.
fn violations(english: &Sentences, language: Language, own: &Sentences) -> Vec<String> {
    let tag = language.tag();
    let mut wanted = BTreeSet::new();
    for key in english.keys() {
        match split(key) {
            (base, Some(_)) => wanted.extend(forms(language).iter().map(|form| format!("{base}.{form}"))),
            (key, None) => _ = wanted.insert(key.to_owned()),
        }
    }
    let found: BTreeSet<String> = own.keys().cloned().collect();
    let mut wrong: Vec<String> =
        wanted.difference(&found).map(|key| format!("{tag}: no sentence for {key}")).collect();
    wrong.extend(found.difference(&wanted).map(|key| format!("{tag}: nothing says {key}")));
    for (key, sentence) in own {
        let (base, form) = split(key);
        let Some(model) = english.get(key).or_else(|| english.get(&format!("{base}.other"))) else {
            continue;
        };
        let (has, wants) = (places(sentence), places(model));
        // A form may say its number in words, "تسميتان", and nothing else in fewer places.
        let lacking: Vec<&&str> =
            wants.difference(&has).filter(|name| form.is_none() || **name != "n").collect();
        let may_lack = matches!((form, sentence.as_str()), (Some("zero" | "one" | "two"), _));
        if has.difference(&wants).next().is_some() || (!lacking.is_empty() && !may_lack) {
            wrong.push(format!("{tag}: {key} has the places {has:?}, English {wants:?}"));
        }
        if sentence.trim().is_empty() {
            wrong.push(format!("{tag}: {key} says nothing"));
        }
        if language != Language::En && form.is_none() && places(sentence).is_empty() && sentence == model {
            // The same in both is right for names and a few short words.
            let is_short = sentence.split(' ').count() <= 3;
            if !is_short {
                wrong.push(format!("{tag}: {key} is English still"));
            }
        }
    }
    wrong
}

#[test]
fn every_language_says_everything() {
    let english = sentences(Language::En);
    for language in Language::ALL {
        assert_eq!(violations(&english, language, &sentences(language)), [""; 0]);
        let text = text_of(language);
        assert!(!text.contains('\\'), "{}: a backslash, which the page does not read", language.tag());
        assert!(Table::parse(Box::leak(text.into_boxed_str())).is_ok(), "{}", language.tag());
    }
    let files = std::fs::read_dir(root().join("static/locales")).unwrap();
    let names: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let tags: BTreeSet<String> =
        Language::ALL.iter().map(|language| format!("{}.json", language.tag())).collect();
    assert_eq!(names, tags);
    // Each fault is noticed.
    let of = |pairs: &[(&str, &str)]| -> Sentences {
        pairs.iter().map(|(key, text)| (key.to_string(), text.to_string())).collect()
    };
    let english = of(&[("a", "A %{x} to see here"), ("n.one", "%{n} label"), ("n.other", "%{n} labels")]);
    let good = of(&[("a", "Ein %{x}"), ("n.one", "ein Label"), ("n.other", "%{n} Labels")]);
    assert_eq!(violations(&english, Language::De, &good), [""; 0]);
    for (key, text) in [("a", "Ein %{y}"), ("a", "Ein"), ("b", "Mehr"), ("n.few", "%{n} Labels"), ("a", "")] {
        let mut bad = good.clone();
        bad.insert(key.to_owned(), text.to_owned());
        assert!(!violations(&english, Language::De, &bad).is_empty(), "{key}: {text}");
    }
    for key in ["a", "n.one", "n.other"] {
        let mut bad = good.clone();
        bad.remove(key);
        assert!(!violations(&english, Language::De, &bad).is_empty(), "{key}");
    }
    assert_eq!(violations(&english, Language::Ar, &good).len(), 4, "Arabic has six forms");
    let still = of(&[("a", "A whole sentence of English")]);
    assert_eq!(violations(&still, Language::Fr, &still).len(), 1);
}

/// The code that ships of the page, by its path.
fn code() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join("src/app")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code: String = lines.map(|line| format!("{line}\n")).collect();
                let name = Path::new(&path).strip_prefix(root()).unwrap().display().to_string();
                found.push((name, code));
            }
        }
    }
    found
}

/// What stands between quotes, with what stands before it.
fn literals(code: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find('"').map(|start| at + start) {
        // A character in quotes of its own.
        if code[..start].ends_with('\'') {
            at = start + 1;
            continue;
        }
        let mut end = start + 1;
        while let Some(next) = code[end..].find(['"', '\\']) {
            end += next;
            if code[end..].starts_with('"') {
                break;
            }
            end += 2;
        }
        found.push((&code[..start], &code[start + 1..end]));
        at = end + 1;
    }
    found
}

#[test]
fn every_key_has_a_sentence_and_every_sentence_is_said() {
    let english = sentences(Language::En);
    let code = code();
    let mut used = BTreeSet::new();
    for (path, code) in &code {
        for (before, literal) in literals(code) {
            used.insert(literal);
            // Not `get_context("2d")`.
            let is_call = |call: &&str| {
                before
                    .strip_suffix(*call)
                    .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c)))
            };
            let is_key = ["Text(", "text(", "fill(", "in_unit(", "language::find("].iter().any(is_call);
            let is_plural = is_call(&"plural(");
            let is_known = english.contains_key(literal);
            assert!(!is_key || is_known || literal.contains('{'), "{path}: no sentence for {literal}");
            let key = format!("{literal}.other");
            assert!(!is_plural || english.contains_key(&key), "{path}: no sentence for {key}");
        }
    }
    let problems = std::fs::read_to_string(root().join("src/worker/problem.rs")).unwrap();
    let codes = problems.split("pub enum Code {").nth(1).unwrap().split("\n}").next().unwrap();
    let codes: Vec<Code> = codes
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .map(|name| {
            let name = name.char_indices().fold(String::new(), |text, (at, c)| {
                let dash = if at > 0 && c.is_uppercase() { "-" } else { "" };
                text + dash + &c.to_lowercase().to_string()
            });
            serde_json::from_value(serde_json::Value::String(name)).unwrap()
        })
        .collect();
    assert!(codes.len() > 50, "{}", codes.len());
    let of_codes: BTreeSet<String> = codes
        .iter()
        .flat_map(|code| ["title", "todo"].map(|part| format!("problem.{}.{part}", code.name())))
        .collect();
    for key in &of_codes {
        assert!(english.contains_key(key), "no sentence for {key}");
    }
    // What is looked up by a name that is put together.
    const MADE: [&str; 4] = ["language-", "key-", "sample-", "stage-"];
    for key in english.keys() {
        let (base, _) = split(key);
        let is_made = MADE.iter().any(|start| base.starts_with(start)) || base.ends_with("-little");
        assert!(used.contains(base) || is_made || of_codes.contains(key), "nothing says {key}");
    }
}

/// Sentences that stand in the code: several words that begin large or end as a sentence does, or one word as an element's
/// text.
fn sentences_in(code: &str) -> Vec<&str> {
    let is_word =
        |word: &str| word.len() > 1 && word.chars().all(|c| c.is_alphabetic() || "'’.,:;!?…".contains(c));
    let is_said = |(before, literal): &(&str, &str)| {
        let n_words = literal.split_whitespace().filter(|word| is_word(word)).count();
        let begins = literal.starts_with(char::is_uppercase);
        let ends = literal.ends_with(['.', '?', '!', '…']) && literal.len() > 1;
        let is_text = before.ends_with("{ ") && begins && literal.chars().all(char::is_alphabetic);
        (n_words > 1 && (begins || ends)) || is_text
    };
    literals(code).into_iter().filter(is_said).map(|(_, literal)| literal).collect()
}

#[test]
fn no_sentence_stands_beside_the_languages_files() {
    // Keys of the keyboard, which `strings::key` names in each language, and fonts.
    const NO_SENTENCES: [&str; 1] = ["Ctrl Shift Z"];
    for (path, code) in code() {
        let found: Vec<&str> =
            sentences_in(&code).into_iter().filter(|literal| !NO_SENTENCES.contains(literal)).collect();
        assert_eq!(found, [""; 0], "{path}");
    }
    let bad = r#"html! { <p title="Choose a file">{ "Open" }</p> } format!("{n} labels are the most.") "Getting ready …""#;
    assert_eq!(sentences_in(bad).len(), 4);
    let good = r#"html! { <p class="message error">{ " · " }</p> } "ArrowLeft" format!("{n} bytes") '"' "a photo of a {label}""#;
    assert_eq!(sentences_in(good), [""; 0]);
}

#[test]
fn the_first_language_that_the_page_speaks_is_taken() {
    let preferred = |tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(|tag| tag.to_string()).collect();
        let language = Language::preferred(&tags);
        (language, language.number_tag(&tags))
    };
    for (tags, language, number_tag) in [
        (&["de-CH", "fr"][..], Language::De, "de-CH"),
        (&["pt-BR", "es-419", "en"], Language::Es, "es-419"),
        (&["zh-Hant-TW"], Language::Zh, "zh-Hant-TW"),
        (&["AR-eg"], Language::Ar, "AR-eg"),
        (&["en-US@posix"], Language::En, "en"),
        (&["enx", "dev"], Language::En, "en"),
        (&[], Language::En, "en"),
    ] {
        assert_eq!(preferred(tags), (language, number_tag.to_owned()), "{tags:?}");
    }
    for language in Language::ALL {
        assert_eq!(Language::of_tag(language.tag()), Some(language));
        assert_eq!(Language::of_tag(language.html_tag()), Some(language));
    }
}

#[test]
fn a_known_language_is_spoken_and_what_it_lacks_is_english() {
    // A thread of its own: the language is one thread's.
    let said = std::thread::spawn(|| {
        assert_eq!((language::text("cancel"), language::spoken()), ("Cancel", Language::En));
        language::speak(Language::De, "de");
        assert_eq!(language::spoken(), Language::En, "not known yet");
        assert!(language::learn(Language::De, "{".to_owned()).is_err() && !language::is_known(Language::De));
        let few =
            r#"{"cancel": "Abbrechen", "n-labels.other": "%{n} Etiketten", "left-hours.one": "eine Stunde"}"#;
        language::learn(Language::De, few.to_owned()).unwrap();
        language::speak(Language::De, "de");
        let said = [language::text("cancel").to_owned(), language::text("retry").to_owned()];
        assert_eq!(language::plural("n-labels", 1, &[]), "1 label", "a form that is lacking is English");
        assert_eq!(language::plural("n-labels", 2000, &[]), "2,000 Etiketten");
        language::speak(Language::En, "en");
        assert_eq!(language::text("cancel"), "Cancel");
        said
    });
    assert_eq!(said.join().unwrap(), ["Abbrechen", "Try again"]);
    assert_eq!(
        language::fill("unfinished-of", &[("done", "%{total}"), ("total", "9")]),
        "Not finished: %{total} of 9 are here"
    );
    assert_eq!(language::text("no such key"), "");
}
