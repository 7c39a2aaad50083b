//! The widget's files beside its code: the manifest of the element, its types, its languages, and the page of docs.

use cliplet::worker::problem::Code;
use serde_json::Value;
use std::collections::BTreeSet;

fn source(name: &str) -> String {
    let path = format!("{}/static/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifest() -> Value {
    let manifest: Value = serde_json::from_str(&source("widget/custom-elements.json")).unwrap();
    manifest["modules"][0]["declarations"][0].clone()
}

/// The names in one list of the manifest.
fn listed(list: &str) -> BTreeSet<String> {
    let manifest = manifest();
    let names = manifest[list].as_array().unwrap_or_else(|| panic!("no {list}")).iter();
    names.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

/// The attributes of the code's own table, with their properties.
fn attributes() -> Vec<(String, String)> {
    let code = source("widget/cliplet-rank.js");
    let (_, table) = code.split_once("const ATTRIBUTES = [").unwrap();
    let (table, _) = table.split_once("];").unwrap();
    let rows =
        table.lines().map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    rows.filter(|row| row.len() == 3).map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// What stands between `before` and the next `after`, each time.
fn all_between(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    let rest = text.split(before).skip(1);
    rest.filter_map(|rest| rest.split_once(after)).map(|(found, _)| found.to_owned()).collect()
}

#[test]
fn the_manifest_lists_what_the_code_has() {
    let attributes = attributes();
    assert!(attributes.len() > 15, "{attributes:?}");
    let names: BTreeSet<String> = attributes.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(listed("attributes"), names);
    let types = source("widget/cliplet-rank.d.ts");
    for (name, property) in &attributes {
        let field = manifest()["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["name"] == name.as_str() && entry["fieldName"] == property.as_str());
        assert!(field, "{name} is not the manifest's {property}");
        // `lang` is every element's.
        let is_typed = ["  ", "  set "].iter().any(|start| types.contains(&format!("\n{start}{property}")));
        assert!(is_typed || property == "lang", "cliplet-rank.d.ts has no {property}");
    }
    let (look, stub) = (source("widget/look.js"), source("widget/cliplet-rank.js"));
    let parts = all_between(&look, "part: \"", "\"");
    let stub_parts = all_between(&stub, "setAttribute(\"part\", \"", "\"");
    let parts: BTreeSet<String> =
        parts.iter().chain(&stub_parts).flat_map(|part| part.split(' ')).map(str::to_owned).collect();
    let mut listed_parts = listed("cssParts");
    assert!(listed_parts.remove("result") && listed_parts.remove("first"), "made by the line's place");
    assert_eq!(listed_parts, parts);
    let mut slots = all_between(&look, "slot(\"", "\"");
    slots.extend(all_between(&stub, "slot.name = \"", "\""));
    assert_eq!(listed("slots"), slots);
    let events = ["error", "load", "progress", "result"];
    assert_eq!(listed("events").into_iter().collect::<Vec<_>>(), events);
    for event in events {
        assert!(look.contains(&format!("#tell(\"{event}\"")), "{event} is never told");
    }
}

#[test]
fn every_colour_of_the_page_can_be_set_from_outside() {
    let css = source("style.css");
    let (root, _) = css.split_once(":root {").unwrap().1.split_once('}').unwrap();
    let names = root.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(':'));
    let mut names: BTreeSet<String> = names.map(|(name, _)| format!("--cliplet-{name}")).collect();
    // What the widget has no use for.
    for unused in ["calm-soft", "shadow"] {
        assert!(names.remove(&format!("--cliplet-{unused}")), "{unused}");
    }
    names.extend(["--cliplet-font", "--cliplet-picture-height"].map(str::to_owned));
    assert_eq!(listed("cssProperties"), names);
}

#[test]
fn codes_are_those_of_the_engine_and_a_few_of_the_widgets_own() {
    let types = source("widget/cliplet-rank.d.ts");
    let (_, union) = types.split_once("type ErrorCode =").unwrap();
    let (union, _) = union.split_once(';').unwrap();
    let codes = all_between(union, "| \"", "\"");
    let is_engines = |code: &String| serde_json::from_value::<Code>(Value::String(code.clone())).is_ok();
    let own: Vec<&String> = codes.iter().filter(|code| !is_engines(code)).collect();
    assert_eq!(own, ["picture-unreachable", "policy-blocked", "request-refused", "widget-missing"]);
    let docs = source("docs/embed.md");
    for code in &codes {
        assert!(docs.contains(&format!("`{code}`")), "embed.md does not tell what {code} is");
    }
    for name in ["client.js", "look.js", "frame.js", "embed.js"] {
        let code = source(&format!("widget/{name}"));
        let mut made = all_between(&code, "new ClipletError(\"", "\"");
        made.extend(all_between(&code, "refused(\"", "\""));
        assert!(made.is_subset(&codes), "{name}: {made:?}");
    }
}

#[test]
fn the_docs_tell_all_that_there_is() {
    let docs = source("docs/embed.md");
    for list in ["attributes", "events", "slots", "cssParts", "cssProperties"] {
        for name in listed(list) {
            assert!(docs.contains(&format!("`{name}`")), "embed.md does not tell of `{name}` in {list}");
        }
    }
    for member in
        ["rank(", "setLabels(", "encodeImage(", "encodeTexts(", "stop()", "destroy()", "createEngine("]
    {
        assert!(docs.contains(&format!("`{member}")), "embed.md does not tell of {member}");
    }
}

#[test]
fn every_language_says_everything() {
    let code = source("widget/strings.js");
    let languages: Vec<&str> = code.split("\n  },\n").filter(|part| part.contains("problems: {")).collect();
    let keys = |text: &str| -> BTreeSet<String> {
        let keys = text.lines().filter_map(|line| line.trim().split_once(": "));
        keys.map(|(key, _)| key.trim_matches('"').to_owned()).filter(|key| key.len() > 2).collect()
    };
    assert_eq!(languages.len(), 6);
    assert!(keys(languages[0]).contains("policy-blocked") && keys(languages[0]).len() > 25);
    for language in &languages {
        assert_eq!(keys(language), keys(languages[0]), "{language}");
    }
    // Each has the words of the button, too.
    let stub = source("widget/cliplet-rank.js");
    for language in ["ar", "de", "en", "es", "fr", "zh"] {
        assert!(
            stub.contains(&format!("\n  {language}: \"")) && code.contains(&format!("\n  {language}: {{"))
        );
    }
}
