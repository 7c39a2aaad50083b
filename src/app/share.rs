//! Share links: labels and settings in the address's fragment, which no server sees.
//!
//! Invariant: a link carries labels, templates and score choices, never a picture.
//! Invariant: any fragment is read without failing; what is not understood is left out.

use super::settings::Settings;
use crate::facts::Mode;

/// `labels=cat,dog&template=a%20photo%20of%20a%20%7Blabel%7D&score=softmax&none=1`
pub fn to_fragment(settings: &Settings) -> String {
    let labels: Vec<String> = settings.labels.iter().map(|label| encode(label)).collect();
    let mut parts = vec![format!("labels={}", labels.join(","))];
    parts.extend(settings.prompts().iter().map(|template| format!("template={}", encode(template))));
    parts.push(format!("score={}", settings.mode.name()));
    parts.push(format!("none={}", u8::from(settings.has_none)));
    parts.join("&")
}

/// `current` with what the link says; `None` if it names no label.
pub fn from_fragment(fragment: &str, current: &Settings) -> Option<Settings> {
    let mut settings = Settings { labels: Vec::new(), templates: Vec::new(), ..current.clone() };
    for (key, value) in fragment.trim_start_matches('#').split('&').filter_map(|part| part.split_once('=')) {
        match key {
            "labels" => settings.labels.extend(value.split(',').map(decode)),
            "template" => settings.templates.push(decode(value)),
            "score" if value == "softmax" => settings.mode = Mode::Softmax,
            "score" if value == "independent" => settings.mode = Mode::Independent,
            "none" => settings.has_none = value != "0",
            _ => {}
        }
    }
    let settings = settings.cleaned();
    (!settings.labels.is_empty()).then_some(settings)
}

/// Percent-encoded UTF-8; RFC 3986's unreserved characters stay.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Undoes [`encode`]; a `%` without two hex digits stays as it is.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = escaped.filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
