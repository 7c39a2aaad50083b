//! What names a model: a hub id, the address of one of the hub's pages, or the address of a folder or file anywhere.
//!
//! Invariant: what parses is safe to build addresses and file names from; only `https` is talked to, and `http` on this
//! machine or where the reader's own mirror of the hub is.
//! Invariant: the page and the command read the same text as the same source, and a source's own text reads back as it.
//! Invariant: no error blames; each says what would work.

use thiserror::Error;

/// The hub where ids are looked up unless the reader names a mirror.
pub const DEFAULT_HUB: &str = "https://huggingface.co";
/// The hub's host under the names that people copy.
const HUB_HOSTS: [&str; 3] = ["huggingface.co", "www.huggingface.co", "hf.co"];
/// First parts of the hub's addresses that lead to no model.
const OTHER_PAGES: [&str; 10] = [
    "datasets",
    "spaces",
    "models",
    "docs",
    "papers",
    "collections",
    "blog",
    "settings",
    "organizations",
    "buckets",
];
const MAX_PART_CHARS: usize = 96;
const BRANCH: &str = "main";

/// Why a text names no model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    #[error("name a model: its id on the hub, or an address")]
    Empty,
    #[error("An id is two names with a slash between them: OWNER/NAME")]
    NoOwner,
    #[error("“{0}” can't be in an id: letters, digits, dots, hyphens and underscores can")]
    Character(char),
    #[error("A name of an id has 1 to {MAX_PART_CHARS} characters, and letters or digits at its ends")]
    Name,
    #[error("That page is not a model's: open the model on the hub and copy its address")]
    OtherPage,
    #[error("“{0}” is no revision: take a branch, a tag, a commit, or refs/pr/NUMBER")]
    Revision(String),
    #[error("“{0}” is no path of a file on the hub")]
    Path(String),
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

/// Where a model comes from: one source, or one for its pictures and another for its texts (a multilingual text tower that
/// was made for a CLIP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    pub image: Source,
    pub text: Option<Source>,
}

impl Sources {
    /// Reads `SOURCE`, or `SOURCE + SOURCE OF THE TEXTS`.
    ///
    /// # Errors
    /// What [`Source::parse`] refuses in either of them.
    pub fn parse(text: &str, hub: &str) -> Result<Sources, SourceError> {
        match text.split_once(" + ") {
            Some((image, text)) => {
                Ok(Sources { image: Source::parse(image, hub)?, text: Some(Source::parse(text, hub)?) })
            }
            None => Ok(Sources { image: Source::parse(text, hub)?, text: None }),
        }
    }

    /// The sources in one line, which reads back as they.
    pub fn text(&self, hub: &str) -> String {
        match &self.text {
            Some(text) => format!("{} + {}", self.image.text(hub), text.text(hub)),
            None => self.image.text(hub),
        }
    }
}

/// Where a model's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Repo(Repo),
    Address(Address),
}

/// A repository of the hub, or a folder or file in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    /// `OWNER/NAME`.
    pub id: String,
    /// A branch, tag, commit or `refs/pr/N`; `None` where none was named.
    pub revision: Option<String>,
    /// The folder in the repository, without slashes at its ends; empty for the repository itself.
    pub folder: String,
    /// The weights in that folder, where they were named.
    pub file: Option<String>,
}

/// A folder on any host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address of the folder, without a slash at its end.
    pub folder: String,
    /// The weights in it, where they were named.
    pub file: Option<String>,
    /// What follows the weights' name, `?` included: it may sign that file, and no other.
    pub query: String,
}

impl Source {
    /// Reads what a reader typed or pasted, or what [`Source::text`] wrote. `hub` is the address of the hub in use: its
    /// own or a mirror's.
    ///
    /// # Errors
    /// A text that is neither an id nor an address that may be talked to.
    pub fn parse(text: &str, hub: &str) -> Result<Source, SourceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        if let Some(space) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(SourceError::Character(space));
        }
        let hub = Parts::of_hub(hub).ok();
        let is_hub = |host: &str| {
            HUB_HOSTS.contains(&host.to_ascii_lowercase().as_str())
                || hub.as_ref().is_some_and(|hub| hub.host == host)
        };
        // Copied without its scheme.
        let whole = match text.split_once('/') {
            Some((host, _)) if is_hub(host) => format!("https://{text}"),
            _ => text.to_owned(),
        };
        if !whole.contains("://") {
            return Repo::from_id(text).map(Source::Repo);
        }
        let address = Parts::of_hub(&whole)?;
        // Only what it names counts: the files are asked of the hub in use.
        if is_hub(address.host) {
            let prefix = hub.filter(|hub| hub.host == address.host).map_or("", |hub| hub.path);
            let path = address.path.strip_prefix(prefix).unwrap_or(address.path);
            return Repo::from_page(path.trim_matches('/')).map(Source::Repo);
        }
        let address = Parts::of(&whole)?;
        if address.path.is_empty() {
            return Err(SourceError::NoPath);
        }
        let Parts { scheme, host, path, query } = address;
        let (folder, file) = split_weights(path);
        let slash = if folder.is_empty() { "" } else { "/" };
        let query = if file.is_some() { query.to_owned() } else { String::new() };
        Ok(Source::Address(Address { folder: format!("{scheme}://{host}{slash}{folder}"), file, query }))
    }

    /// The source in one line: an id with its revision unless that is `main`, or an address.
    pub fn text(&self, hub: &str) -> String {
        match self {
            Source::Repo(repo) if repo.folder.is_empty() && repo.file.is_none() => repo.id_at_revision(),
            Source::Repo(repo) => {
                let file = repo.file.as_deref().unwrap_or_default();
                repo.address(hub, repo.revision(), file).trim_end_matches('/').to_owned()
            }
            Source::Address(address) => {
                address.address(address.file.as_deref().unwrap_or_default()).trim_end_matches('/').to_owned()
            }
        }
    }

    /// The weights that were named.
    pub fn file(&self) -> Option<&str> {
        match self {
            Source::Repo(repo) => repo.file.as_deref(),
            Source::Address(address) => address.file.as_deref(),
        }
    }

    /// What a model that does not name itself is called: its id, or the last part of its address.
    pub fn name(&self) -> &str {
        match self {
            Source::Repo(repo) => &repo.id,
            Source::Address(address) => {
                let last = address.folder.rsplit('/').next().unwrap_or_default();
                address.file.as_deref().map_or(last, super::layout::stem)
            }
        }
    }
}

impl Repo {
    /// The revision whose files are meant.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(BRANCH)
    }

    /// `OWNER/NAME`, with `@REVISION` unless that is `main`.
    pub fn id_at_revision(&self) -> String {
        match self.revision() {
            BRANCH => self.id.clone(),
            revision => format!("{}@{revision}", self.id),
        }
    }

    /// Where the hub has a file of the folder, at a revision or commit.
    pub fn address(&self, hub: &str, revision: &str, file: &str) -> String {
        let folder = if self.folder.is_empty() { String::new() } else { format!("{}/", self.folder) };
        format!("{hub}/{}/resolve/{}/{folder}{file}", self.id, escaped(revision))
    }

    fn from_id(text: &str) -> Result<Repo, SourceError> {
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let id = id.strip_suffix('/').filter(|id| id.contains('/')).unwrap_or(id);
        let (owner, name) = match id.split_once('/') {
            None if is_weights(id) => return Err(SourceError::FileName),
            Some((_, name)) if !name.contains('/') => id.split_once('/').unwrap_or_default(),
            _ => return Err(SourceError::NoOwner),
        };
        if let Some(other) = id.chars().find(|c| !is_plain_char(*c) && *c != '/') {
            return Err(SourceError::Character(other));
        }
        if !is_name(owner) || !is_name(name) {
            return Err(SourceError::Name);
        }
        let revision = revision.map(checked_revision).transpose()?;
        Ok(Repo { id: id.to_owned(), revision, folder: String::new(), file: None })
    }

    /// Reads the path of one of the hub's pages or files.
    fn from_page(path: &str) -> Result<Repo, SourceError> {
        let path = path.strip_prefix("api/models/").unwrap_or(path);
        let parts: Vec<&str> = path.split('/').collect();
        let (owner, name, rest) = match &parts[..] {
            [first, ..] if OTHER_PAGES.contains(first) => return Err(SourceError::OtherPage),
            // `OWNER/NAME@REVISION` behind a host is no page, and yet clear.
            [owner, name, rest @ ..] => (owner, name, rest),
            _ => return Err(SourceError::OtherPage),
        };
        let (revision, inside) = match rest {
            ["tree" | "blob" | "resolve" | "raw" | "commit" | "commits" | "revision", rest @ ..] => {
                split_revision(rest)
            }
            ["discussions", number, ..] if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                (Some(format!("refs/pr/{number}")), &rest[rest.len()..])
            }
            _ => (None, &rest[rest.len()..]),
        };
        let mut repo = Repo::from_id(&format!("{owner}/{name}"))?;
        repo.revision = revision.as_deref().map(checked_revision).transpose()?.or(repo.revision);
        let inside = inside.iter().map(|part| unescaped(part)).collect::<Vec<_>>().join("/");
        if !inside.is_empty() && !inside.split('/').all(is_plain) {
            return Err(SourceError::Path(inside));
        }
        let (folder, file) = split_weights(&inside);
        (repo.folder, repo.file) = (folder.to_owned(), file);
        Ok(repo)
    }
}

impl Address {
    /// The address of a file in the folder.
    pub fn address(&self, file: &str) -> String {
        let query = if Some(file) == self.file.as_deref() { &self.query } else { "" };
        format!("{}/{file}{query}", self.folder)
    }
}

/// Whether a revision is a commit, whose files never change.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A revision as one part of an address.
pub fn escaped(revision: &str) -> String {
    revision.replace('/', "%2F")
}

/// One part of an address or a path, and never one that leads up or is hidden.
pub fn is_plain(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain_char)
}

/// The hub's address in the form in which it is used: `https://HOST[/PATH]`.
///
/// # Errors
/// A text that is no address of a host that may be talked to.
pub fn parse_hub(text: &str) -> Result<String, SourceError> {
    let Parts { scheme, host, path, query } = Parts::of(text.trim())?;
    if !query.is_empty() {
        return Err(SourceError::Character('?'));
    }
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(format!("{scheme}://{host}{slash}{path}"))
}

/// What a person calls a source: its last part.
pub fn short_name(source: &str) -> &str {
    let path = source.split(['?', '#', '@']).next().unwrap_or(source);
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// The host of an address.
pub fn host(address: &str) -> &str {
    Parts::of(address).map_or("", |address| address.host)
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

fn is_name(name: &str) -> bool {
    let is_edge = |c: char| c == '-' || c == '.';
    (1..=MAX_PART_CHARS).contains(&name.len()) && !name.starts_with(is_edge) && !name.ends_with(is_edge)
}

fn is_weights(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".gguf", ".safetensors", super::layout::INDEX_SUFFIX].iter().any(|end| name.ends_with(end))
}

/// A revision in its plain form, without escapes.
fn checked_revision(revision: &str) -> Result<String, SourceError> {
    let revision = unescaped(revision);
    let is_good = revision.split('/').all(|part| is_plain(part) && is_name(part));
    if is_good { Ok(revision) } else { Err(SourceError::Revision(revision)) }
}

/// The revision at the beginning of a path, and what follows it. A revision's own slashes are escaped but for those of
/// `refs/…`, which people type as they read them.
fn split_revision<'a, 'b>(parts: &'b [&'a str]) -> (Option<String>, &'b [&'a str]) {
    match parts {
        ["refs", kind, name, rest @ ..] => (Some(format!("refs/{kind}/{name}")), rest),
        [revision, rest @ ..] => (Some((*revision).to_owned()), rest),
        [] => (None, parts),
    }
}

fn unescaped(part: &str) -> String {
    part.replace("%2F", "/").replace("%2f", "/")
}

/// The folder and the weights' name of a path. Without weights the path is the folder; another file (a configuration, one of
/// several shards) means its folder.
fn split_weights(path: &str) -> (&str, Option<String>) {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    if super::layout::is_shard(file) || is_companion(file) {
        return (folder, None);
    }
    if is_weights(file) { (folder, Some(file.to_owned())) } else { (path, None) }
}

/// Whether a name is that of a file beside weights, and no folder's.
fn is_companion(name: &str) -> bool {
    let ends = [".json", ".txt", ".md", ".bin", ".pt", ".pth", ".onnx", ".model", ".h5", ".msgpack"];
    !is_weights(name) && ends.iter().any(|end| name.ends_with(end))
}

/// An address, in parts.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    /// The path has no slashes at its ends.
    path: &'a str,
    /// The query has its `?`.
    query: &'a str,
}

impl<'a> Parts<'a> {
    /// An `https` address, or an `http` one of this machine.
    fn of(text: &'a str) -> Result<Self, SourceError> {
        let parts = Parts::of_hub(text)?;
        let is_here = ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
            parts.host.strip_prefix(name).is_some_and(|port| port.is_empty() || port.starts_with(':'))
        });
        match parts.scheme {
            "http" if !is_here => Err(SourceError::NotSecure),
            _ => Ok(parts),
        }
    }

    /// The address of the hub in use, which may be an `http` mirror on the reader's own network.
    fn of_hub(text: &'a str) -> Result<Self, SourceError> {
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
        if scheme != "https" && scheme != "http" {
            return Err(SourceError::NotSecure);
        }
        Ok(Self { scheme, host, path: path.trim_matches('/'), query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the files of `text` are looked for.
    fn address(text: &str, hub: &str) -> Result<String, SourceError> {
        Ok(match Source::parse(text, hub)? {
            Source::Repo(repo) => repo.address(hub, repo.revision(), "config.json"),
            Source::Address(address) => address.address("config.json"),
        })
    }

    #[test]
    fn every_form_of_a_name_leads_to_the_same_files() {
        const HERE: &str = "https://mirror.example/hf";
        for (text, path) in [
            ("o/n", "o/n/resolve/main"),
            (" o/n ", "o/n/resolve/main"),
            ("o/n/", "o/n/resolve/main"),
            ("o/n@v1.0", "o/n/resolve/v1.0"),
            ("o/n@refs/pr/15", "o/n/resolve/refs%2Fpr%2F15"),
            ("o/n@refs%2Fpr%2F15", "o/n/resolve/refs%2Fpr%2F15"),
            ("https://huggingface.co/o/n/tree/refs%2Fpr%2F15", "o/n/resolve/refs%2Fpr%2F15"),
            ("https://huggingface.co/o/n/tree/refs/pr/15", "o/n/resolve/refs%2Fpr%2F15"),
            ("https://huggingface.co/o/n/discussions/15", "o/n/resolve/refs%2Fpr%2F15"),
            ("https://huggingface.co/o/n/discussions/15#abc", "o/n/resolve/refs%2Fpr%2F15"),
            ("https://huggingface.co/o/n/discussions/15/files", "o/n/resolve/refs%2Fpr%2F15"),
            ("https://huggingface.co/o/n/discussions", "o/n/resolve/main"),
            ("https://huggingface.co/o/n/blob/refs%2Fpr%2F15/config.json", "o/n/resolve/refs%2Fpr%2F15"),
            (
                "https://huggingface.co/o/n/blob/refs%2Fpr%2F15/model.safetensors",
                "o/n/resolve/refs%2Fpr%2F15",
            ),
            ("https://huggingface.co/o/n/commit/abc123", "o/n/resolve/abc123"),
            ("https://huggingface.co/o/n/raw/main/sub/config.json", "o/n/resolve/main/sub"),
            ("https://huggingface.co/api/models/o/n/tree/v2", "o/n/resolve/v2"),
            ("https://huggingface.co/o/n?library=x#y", "o/n/resolve/main"),
            ("https://HuggingFace.co/o/n", "o/n/resolve/main"),
            ("http://huggingface.co/o/n", "o/n/resolve/main"),
            ("huggingface.co/o/n/", "o/n/resolve/main"),
            ("www.huggingface.co/o/n", "o/n/resolve/main"),
            ("hf.co/o/n/tree/main/", "o/n/resolve/main"),
            ("https://hf.co/o/n", "o/n/resolve/main"),
            ("mirror.example/hf/o/n", "o/n/resolve/main"),
            ("https://mirror.example/hf/o/n/tree/main", "o/n/resolve/main"),
            ("https://huggingface.co/o/n/blob/main/model-00001-of-00002.safetensors", "o/n/resolve/main"),
        ] {
            assert_eq!(
                address(text, HERE).as_deref(),
                Ok(format!("{HERE}/{path}/config.json").as_str()),
                "{text}"
            );
        }
        assert_eq!(
            address("http://lan:8000/o/n", "http://lan:8000").as_deref(),
            Ok("http://lan:8000/o/n/resolve/main/config.json")
        );
    }

    #[test]
    fn weights_may_be_named() {
        let file = |text: &str| {
            let source = Source::parse(text, DEFAULT_HUB).unwrap();
            (source.file().map(str::to_owned), source.name().to_owned())
        };
        let named = |file: &str, name: &str| (Some(file.to_owned()), name.to_owned());
        let page = "https://huggingface.co/o/n";
        assert_eq!(
            file(&format!("{page}/blob/main/q/m-q8_0.gguf?download=true")),
            named("m-q8_0.gguf", "o/n")
        );
        assert_eq!(
            file(&format!("{page}/resolve/main/model.safetensors")),
            named("model.safetensors", "o/n")
        );
        assert_eq!(file(&format!("{page}/blob/main/pytorch_model.bin")), (None, "o/n".to_owned()));
        assert_eq!(file("https://a.example/b/Model.GGUF?sig=1#x"), named("Model.GGUF", "Model"));
        assert_eq!(
            file("https://a.example/b/m.safetensors.index.json"),
            named("m.safetensors.index.json", "m")
        );
        assert_eq!(file("https://a.example/b/clip/"), (None, "clip".to_owned()));
        let Source::Address(signed) = Source::parse("https://a.example/b/m.gguf?sig=1", DEFAULT_HUB).unwrap()
        else {
            panic!("no address")
        };
        assert_eq!(signed.address("m.gguf"), "https://a.example/b/m.gguf?sig=1");
        assert_eq!(
            signed.address("config.json"),
            "https://a.example/b/config.json",
            "what signs one signs no other"
        );
    }
}
