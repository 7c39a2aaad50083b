//! What the hub answers: which commit a revision is, what a commit holds, and why it refuses.
//!
//! Two requests tell everything before a model's first byte: `api/models/ID/revision/REV` the commit, and
//! `api/models/ID/tree/COMMIT?recursive=true`, in pages, every file with its size and, of large ones, their SHA-256. A file's
//! own answer tells less: it comes from another host, whose headers are all that a browser sees.
//! Source: huggingface.js, `packages/hub/src/lib/list-files.ts` and `file-download-info.ts`.
//!
//! Invariant: no name of a listing leads out of its folder, and every hash of it can be compared with.

use serde::Deserialize;

use crate::weights::from_json;

use super::source::{escaped, is_commit, is_plain};

/// A listing of more pages is cut: models have a few dozen files.
pub const MAX_PAGES: usize = 40;
/// An answer of the API of more bytes is none.
pub const MAX_ANSWER_BYTES: usize = 32 << 20;

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path in the repository.
    pub name: String,
    pub n_bytes: u64,
    /// The hash is in lower-case hexadecimal; the hub states it of large files only.
    pub sha256: Option<String>,
    /// Git's own hash of what the repository holds: of a large file, of its pointer.
    pub git_sha1: String,
}

/// Why the hub has no file for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The repository holds no such file.
    NoEntry,
    /// The repository has no such branch, tag or commit.
    NoRevision,
    /// There is no such repository, or it is private: the hub does not tell which.
    NoRepository,
    /// Its terms have to be accepted first.
    Gated,
    /// Too many requests: worth another try later.
    Busy,
    /// The host is broken: worth another try.
    Server,
    /// Any other answer that is no file.
    Other,
}

impl Refusal {
    /// What a status means, with the `X-Error-Code` beside it; `None` where it is an answer.
    pub fn of(status: u16, error_code: Option<&str>) -> Option<Refusal> {
        Some(match (status, error_code) {
            (200..=299 | 304, _) => return None,
            (_, Some("EntryNotFound")) => Refusal::NoEntry,
            (_, Some("RevisionNotFound")) => Refusal::NoRevision,
            (_, Some("RepoNotFound")) => Refusal::NoRepository,
            (_, Some("GatedRepo")) => Refusal::Gated,
            (401, _) => Refusal::NoRepository,
            (403, _) => Refusal::Gated,
            (404 | 410, _) => Refusal::NoEntry,
            (429, _) => Refusal::Busy,
            (408 | 500.., _) => Refusal::Server,
            _ => Refusal::Other,
        })
    }
}

/// Where the hub tells the commit of a revision.
pub fn revision_address(hub: &str, id: &str, revision: &str) -> String {
    format!("{hub}/api/models/{id}/revision/{}", escaped(revision))
}

/// Where the hub lists what a commit holds.
pub fn tree_address(hub: &str, id: &str, commit: &str) -> String {
    format!("{hub}/api/models/{id}/tree/{}?recursive=true", escaped(commit))
}

/// The next page of a listing, from the `Link` header of this one. It is asked of the same hub, whatever host a mirror
/// passes on.
pub fn next_page(hub: &str, link: &str) -> Option<String> {
    let next = link.split(',').find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    let address = next.split_once('<')?.1.split_once('>')?.0;
    let path = &address[address.find("/api/models/")?..];
    Some(format!("{hub}{path}"))
}

/// The commit in an answer of [`revision_address`].
///
/// # Errors
/// What is wrong with the answer.
pub fn parse_revision(json: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Answer {
        sha: String,
    }
    let Answer { sha } = from_json(json).map_err(|error| error.to_string())?;
    if is_commit(&sha) { Ok(sha) } else { Err(format!("{sha:?} is no commit")) }
}

/// The files in a page of [`tree_address`]; those whose names are not plain are left out.
///
/// # Errors
/// What is wrong with the answer.
pub fn parse_tree(json: &[u8]) -> Result<Vec<ListedFile>, String> {
    #[derive(Deserialize)]
    struct Entry {
        r#type: String,
        path: String,
        #[serde(default)]
        size: u64,
        #[serde(default)]
        oid: String,
        lfs: Option<Lfs>,
    }
    #[derive(Deserialize)]
    struct Lfs {
        oid: String,
        size: Option<u64>,
    }
    let entries: Vec<Entry> = from_json(json).map_err(|error| error.to_string())?;
    let is_hash =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let file = |entry: Entry| {
        let is_file =
            entry.r#type == "file" && entry.path.split('/').all(is_plain) && is_hash(&entry.oid, 40);
        let sha256 = entry.lfs.as_ref().map(|lfs| lfs.oid.trim_start_matches("sha256:").to_ascii_lowercase());
        is_file.then(|| ListedFile {
            name: entry.path,
            n_bytes: entry.lfs.and_then(|lfs| lfs.size).unwrap_or(entry.size),
            sha256: sha256.filter(|hash| is_hash(hash, 64)),
            git_sha1: entry.oid,
        })
    };
    Ok(entries.into_iter().filter_map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_listing_gives_sizes_and_hashes_and_nothing_that_leads_out() {
        let hash = "AB".repeat(32);
        let json = format!(
            r#"[{{"type": "directory", "path": "onnx", "size": 0, "oid": "{COMMIT}"}},
                {{"type": "file", "path": "../x", "size": 1, "oid": "{COMMIT}"}},
                {{"type": "file", "path": "y", "size": 1, "oid": "../../z"}},
                {{"type": "file", "path": "config.json", "size": 3, "oid": "{COMMIT}"}},
                {{"type": "file", "path": "onnx/model.onnx", "size": 9, "oid": "{COMMIT}",
                  "lfs": {{"oid": "{hash}", "size": 9, "pointerSize": 134}}, "xetHash": "x"}}]"#
        );
        let files = parse_tree(json.as_bytes()).unwrap();
        let told: Vec<_> =
            files.iter().map(|file| (file.name.as_str(), file.n_bytes, file.sha256.clone())).collect();
        assert_eq!(told, [("config.json", 3, None), ("onnx/model.onnx", 9, Some(hash.to_ascii_lowercase()))]);
        assert!(parse_tree(b"{}").is_err() && parse_tree(b"<html>").is_err());
        assert_eq!(parse_revision(format!(r#"{{"sha": "{COMMIT}"}}"#).as_bytes()).as_deref(), Ok(COMMIT));
        assert!(parse_revision(br#"{"sha": "main"}"#).is_err());
    }

    #[test]
    fn pages_are_asked_of_the_hub_in_use() {
        let link = r#"<https://huggingface.co/api/models/o/n/tree/x?recursive=true&cursor=abc>; rel="next""#;
        let next = next_page("https://mirror.example/hf", link);
        assert_eq!(
            next.as_deref(),
            Some("https://mirror.example/hf/api/models/o/n/tree/x?recursive=true&cursor=abc")
        );
        assert_eq!(next_page("https://h", r#"<https://h/api/models/o/n>; rel="prev""#), None);
    }

    #[test]
    fn refusals_are_told_by_header_then_status() {
        assert_eq!(Refusal::of(404, Some("RevisionNotFound")), Some(Refusal::NoRevision));
        assert_eq!(Refusal::of(404, Some("EntryNotFound")), Some(Refusal::NoEntry));
        assert_eq!(Refusal::of(401, Some("RepoNotFound")), Some(Refusal::NoRepository));
        assert_eq!(Refusal::of(403, Some("GatedRepo")), Some(Refusal::Gated));
        assert_eq!(Refusal::of(401, Some("GatedRepo")), Some(Refusal::Gated));
        assert_eq!(Refusal::of(429, None), Some(Refusal::Busy));
        assert_eq!(Refusal::of(503, None), Some(Refusal::Server));
        assert_eq!(Refusal::of(206, None), None);
    }
}
