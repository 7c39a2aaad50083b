//! What a reader types to name a model: an id on the hub, or an address as it stands in the browser's address bar.
//!
//! Invariant: what parses is a hub id (`OWNER/NAME`, with `@REVISION` unless that is `main`) or an `https` address
//! without a fragment; nothing else reaches the downloader.
//! Invariant: no error blames; each says what would work.

use thiserror::Error;

/// Where ids are looked up unless the reader names a mirror.
pub const DEFAULT_HUB: &str = "https://huggingface.co";
/// What people copy instead.
const HUB_HOSTS: [&str; 3] = ["huggingface.co", "www.huggingface.co", "hf.co"];
/// First parts of the hub's addresses that lead to no model.
const OTHER_PAGES: [&str; 9] =
    ["datasets", "spaces", "models", "docs", "papers", "collections", "blog", "settings", "organizations"];
const MAX_PART_CHARS: usize = 96;

/// Why it names no model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    #[error("")]
    Empty,
    #[error("An id is two names with a slash between them: OWNER/NAME")]
    NoOwner,
    #[error("“{0}” can't be in an id: letters, digits, dots, hyphens and underscores can")]
    Character(char),
    #[error("A name of an id has 1 to {MAX_PART_CHARS} characters, and letters or digits at its ends")]
    Name,
    #[error("That page is not a model's: open the model on the hub and copy its address")]
    OtherPage,
    #[error("“{0}” is no revision: take a branch, a tag or a commit")]
    Revision(String),
    #[error("That is a file's name: open it with “Choose files”, or give its whole address")]
    FileName,
    #[error("The address has to begin with https://")]
    NotSecure,
    #[error("The address names no host")]
    Host,
    #[error("The address says which host, but not which folder or file there")]
    NoPath,
    #[error("An address with a user name or password in it is not used")]
    Credentials,
}

/// An `https` address, in parts; `http` for this machine.
struct Address<'a> {
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Address<'a> {
    fn parse(text: &'a str) -> Result<Self, SourceError> {
        let (scheme, rest) = text.split_once("://").ok_or(SourceError::NotSecure)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.contains('@') {
            return Err(SourceError::Credentials);
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if !host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') || !host.chars().all(is_host) {
            return Err(SourceError::Host);
        }
        let is_here = ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|name| host.strip_prefix(name).is_some_and(|port| port.is_empty() || port.starts_with(':')));
        match scheme {
            "https" => {}
            "http" if is_here => {}
            _ => return Err(SourceError::NotSecure),
        }
        Ok(Self { scheme, host, path: path.trim_matches('/'), query })
    }
}

/// What [`Order::source`](crate::worker::protocol::Order) is to be, of what was typed. `hub` is in use.
pub fn parse(text: &str, hub: &str) -> Result<String, SourceError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SourceError::Empty);
    }
    if let Some(space) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(SourceError::Character(space));
    }
    let of_hub = Address::parse(hub).ok();
    let is_hub =
        |host: &str| HUB_HOSTS.contains(&host) || of_hub.as_ref().is_some_and(|hub| hub.host == host);
    // Copied without its scheme.
    let whole = match text.split_once('/') {
        Some((host, _)) if is_hub(host) => format!("https://{text}"),
        _ => text.to_owned(),
    };
    if !whole.contains("://") {
        return id(text);
    }
    let address = Address::parse(&whole)?;
    if is_hub(address.host) {
        let prefix = of_hub.filter(|hub| hub.host == address.host).map_or("", |hub| hub.path);
        let path = address.path.strip_prefix(prefix).unwrap_or(address.path);
        return on_hub(path.trim_matches('/'), hub);
    }
    if address.path.is_empty() {
        return Err(SourceError::NoPath);
    }
    let Address { scheme, host, path, query } = address;
    Ok(format!("{scheme}://{host}/{path}{query}"))
}

/// The hub's address in the form in which it is used: `https://HOST[/PATH]`.
pub fn parse_hub(text: &str) -> Result<String, SourceError> {
    let Address { scheme, host, path, query } = Address::parse(text.trim())?;
    if !query.is_empty() {
        return Err(SourceError::Character('?'));
    }
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(format!("{scheme}://{host}{slash}{path}"))
}

/// What a person calls it: the last part.
pub fn short_name(source: &str) -> &str {
    let path = source.split(['?', '#', '@']).next().unwrap_or(source);
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// The host of an address.
pub fn host(address: &str) -> &str {
    Address::parse(address).map_or("", |address| address.host)
}

/// `OWNER/NAME`, with `/tree/REVISION` or the address of a file in it.
fn on_hub(path: &str, hub: &str) -> Result<String, SourceError> {
    let parts: Vec<&str> = path.split('/').collect();
    let (owner, name, rest) = match &parts[..] {
        [first, ..] if OTHER_PAGES.contains(first) => return Err(SourceError::OtherPage),
        [owner, name, rest @ ..] => (owner, name, rest),
        _ => return Err(SourceError::OtherPage),
    };
    let revision = match rest {
        ["tree" | "blob" | "resolve" | "raw", revision, ..] => *revision,
        _ => "main",
    };
    let id = id(&format!("{owner}/{name}@{revision}"))?;
    match rest {
        // A file of the model's folder means the model; of several GGUFs or folders this one is meant.
        [_, _, inside @ ..] if inside.len() > 1 || inside.iter().any(|file| file.ends_with(".gguf")) => {
            Ok(format!("{hub}/{owner}/{name}/resolve/{revision}/{}", inside.join("/")))
        }
        _ => Ok(id),
    }
}

fn id(text: &str) -> Result<String, SourceError> {
    let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
    let is_file = |text: &str| text.ends_with(".gguf") || text.ends_with(".safetensors");
    let (owner, name) = match id.split_once('/') {
        None if is_file(id) => return Err(SourceError::FileName),
        Some((_, name)) if !name.contains('/') => id.split_once('/').unwrap_or_default(),
        _ => return Err(SourceError::NoOwner),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if let Some(other) = id.chars().find(|c| !is_plain(*c) && *c != '/') {
        return Err(SourceError::Character(other));
    }
    let is_name = |name: &str| {
        let is_edge = |c: char| c == '-' || c == '.';
        (1..=MAX_PART_CHARS).contains(&name.len()) && !name.starts_with(is_edge) && !name.ends_with(is_edge)
    };
    if !is_name(owner) || !is_name(name) {
        return Err(SourceError::Name);
    }
    if !is_name(revision) || !revision.chars().all(is_plain) {
        return Err(SourceError::Revision(revision.to_owned()));
    }
    Ok(if revision == "main" { id.to_owned() } else { format!("{id}@{revision}") })
}
