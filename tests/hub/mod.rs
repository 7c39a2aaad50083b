//! The hub of models and its storage in small, on this machine: what both the command's and the page's tests download
//! from.
//!
//! It plays what is publicly known of huggingface.co in 2026. Sources, where it is not the hub's own documentation:
//! - headers that pages may read, `Vary: Origin`, and 307 to `/api/resolve-cache/…` for small files: recorded answers in
//!   public logs; `Retry-After` and `RateLimit` are not among those headers, so that a page never sees them
//! - `Access-Control-Allow-Origin: *` and `Access-Control-Expose-Headers: *` at the storage; 302 to it with `X-Linked-…`
//!   on that hop alone: ngxson/wllama#248, huggingface/huggingface.js#1024, huggingface/hf-hub#212
//! - preflights that fail at the storage: huggingface/datasets#7931
//! - no leave for other hosts' pages to read the hub's own pages: gdevenyi/huggingface-estimate#2
//! - 401 without any `X-Error-Code` for a model that is missing or private, 404 `RepoNotFound` to whoever signed in, 401
//!   `GatedRepo` where nobody did and 403 `GatedRepo` where somebody did; what a gated model holds is listed all the
//!   same: recorded answers, and huggingface_hub's `hf_raise_for_status`. `/ID/resolve/…` says `RepoNotFound` with its
//!   401, as older records have it, so that both forms are met.
//! - models that were renamed: 307 to the new name, on every path
//!
//! Invariant: a file's SHA-256 and size are in the listing and on the hop that no page sees; never where a page sees
//! them.
//! Invariant: nothing leaves the machine.

mod content;
pub mod names;
mod origin;
pub mod repositories;

pub use content::Content;
pub use origin::{Answer, Fault, Origin, Request};

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// Who may read a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Access {
    Everyone,
    /// Who signed in; to others it is as if it were not there.
    Private,
    /// Who signed in and agreed to its terms.
    Gated,
}

/// What the storage makes of `Range`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ranges {
    Served,
    /// A page never gets to ask: what it sees where the preflight fails.
    Unreachable,
    /// 200 with the whole file.
    Ignored,
    /// 416, whatever the range.
    Refused,
}

pub struct Hub {
    /// Names, listings, small files: `huggingface.co`.
    pub site: Origin,
    /// Where large files lie; besides, any other host with files of its own.
    pub storage: Origin,
    shared: Arc<Shared>,
}

type Shared = Mutex<State>;

struct State {
    repos: BTreeMap<String, Repo>,
    /// Large files, by their SHA-256.
    stored: BTreeMap<String, Content>,
    /// The new names of models that were renamed.
    moved: BTreeMap<String, String>,
    /// The files of another host, by their path.
    hosted: BTreeMap<String, Content>,
    hosts_pages: bool,
    n_entries_a_page: usize,
    ranges: Ranges,
    tags_change: bool,
    token: Option<String>,
    storage_url: String,
    n_answers: u64,
}

#[derive(Clone)]
struct Repo {
    access: Access,
    commits: BTreeMap<String, BTreeMap<String, File>>,
    /// Branches, tags and pull requests, to the commits that they are at.
    refs: BTreeMap<String, String>,
}

#[derive(Clone)]
struct File {
    content: Content,
    sha256: String,
    /// Git's hash: of a large file's pointer, of a small one's bytes.
    oid: String,
    is_large: bool,
}

/// What pages of other hosts may read of the hub's answers.
const EXPOSED: &str = "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,\
                       Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash";
const POINTER_LEN: usize = 134;

impl Hub {
    pub fn start() -> Hub {
        let state = State {
            repos: BTreeMap::new(),
            stored: BTreeMap::new(),
            moved: BTreeMap::new(),
            hosted: BTreeMap::new(),
            hosts_pages: false,
            n_entries_a_page: 4, // so that every listing has several
            ranges: Ranges::Served,
            tags_change: false,
            token: None,
            storage_url: String::new(),
            n_answers: 0,
        };
        let shared: Arc<Shared> = Arc::new(Mutex::new(state));
        let (for_site, for_storage) = (Arc::clone(&shared), Arc::clone(&shared));
        let storage = Origin::start(move |request, _| lock(&for_storage).stored(request));
        lock(&shared).storage_url = storage.url("");
        let site = Origin::start(move |request, url| lock(&for_site).site(request, url));
        Hub { site, storage, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }

    /// The hub's address, or one below it.
    pub fn url(&self, path: &str) -> String {
        self.site.url(path)
    }

    /// Commits files: a model has no others at that commit. `revision` is what the commit is at, or the commit itself.
    pub fn put<C: Into<Content>>(&self, id: &str, revision: &str, files: Vec<(&str, C)>) -> String {
        let mut state = self.state();
        let files: BTreeMap<String, File> = files
            .into_iter()
            .map(|(name, content)| (name.to_owned(), File::new(name, content.into())))
            .collect();
        for file in files.values().filter(|file| file.is_large) {
            state.stored.insert(file.sha256.clone(), file.content.clone());
        }
        let summary: String = files.iter().map(|(name, file)| format!("{name} {}\n", file.oid)).collect();
        let new = || Repo { access: Access::Everyone, commits: BTreeMap::new(), refs: BTreeMap::new() };
        let repo = state.repos.entry(id.to_owned()).or_insert_with(new);
        let commit = match is_commit(revision) {
            true => revision.to_owned(),
            false => sha1(format!("{id} {revision} {}\n{summary}", repo.commits.len()).as_bytes()),
        };
        if !is_commit(revision) {
            repo.refs.insert(revision.to_owned(), commit.clone());
        }
        repo.commits.insert(commit.clone(), files);
        commit
    }

    /// A branch or pull request is at this commit.
    pub fn point(&self, id: &str, name: &str, commit: &str) {
        let mut state = self.state();
        let repo = state.repos.get_mut(id).expect("it was put");
        repo.refs.insert(name.to_owned(), commit.to_owned());
    }

    /// The bytes of a file.
    pub fn file(&self, id: &str, revision: &str, name: &str) -> Vec<u8> {
        let state = self.state();
        let (_, files) = state.repos[id].at(revision).expect("a revision");
        files[name].content.bytes()
    }

    pub fn restrict(&self, id: &str, access: Access) {
        self.state().repos.get_mut(id).expect("it was put").access = access;
    }

    /// Who sends this token is signed in and agreed to all terms.
    pub fn admit(&self, token: &str) {
        self.state().token = Some(token.to_owned());
    }

    pub fn rename(&self, from: &str, to: &str) {
        let mut state = self.state();
        let repo = state.repos.remove(from).expect("it was put");
        state.repos.insert(to.to_owned(), repo);
        state.moved.insert(from.to_owned(), to.to_owned());
    }

    pub fn page_listings(&self, n_entries: usize) {
        self.state().n_entries_a_page = n_entries;
    }

    pub fn serve_ranges(&self, ranges: Ranges) {
        self.state().ranges = ranges;
    }

    /// Makes the storage call each answer by another ETag.
    pub fn change_tags(&self) {
        self.state().tags_change = true;
    }

    /// A file on another host; its address.
    pub fn host(&self, path: &str, content: impl Into<Content>) -> String {
        self.state().hosted.insert(path.to_owned(), content.into());
        self.storage.url(path)
    }

    /// That host has a page for everything that it does not have.
    pub fn host_pages(&self) {
        self.state().hosts_pages = true;
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().expect("no thread of the hub panics")
}

impl File {
    fn new(name: &str, content: Content) -> File {
        // As `.gitattributes` has it, and whatever is larger than 10 MB.
        const LARGE: [&str; 11] = [
            ".safetensors",
            ".gguf",
            ".bin",
            ".pt",
            ".h5",
            ".msgpack",
            ".onnx",
            ".model",
            ".ot",
            ".pth",
            ".npz",
        ];
        let is_large = LARGE.iter().any(|end| name.ends_with(end)) || content.len() > 10 << 20;
        let sha256 = content.sha256();
        let blob = |bytes: &[u8]| sha1(&[format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat());
        let oid = match is_large {
            true => blob(pointer(&sha256, content.len()).as_bytes()),
            false => blob(&content.bytes()),
        };
        File { content, sha256, oid, is_large }
    }

    fn pointer(&self) -> String {
        pointer(&self.sha256, self.content.len())
    }

    /// A hash of another kind than the SHA-256, and of the same length.
    fn xet_hash(&self) -> String {
        Content::from(format!("xet {}", self.sha256)).sha256()
    }
}

fn pointer(sha256: &str, n_bytes: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {n_bytes}\n")
}

fn sha1(bytes: &[u8]) -> String {
    sha1_smol::Sha1::from(bytes).digest().to_string()
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit())
}

impl Repo {
    fn at(&self, revision: &str) -> Option<(&str, &BTreeMap<String, File>)> {
        let commit = self.refs.get(revision).map_or(revision, String::as_str);
        self.commits.get_key_value(commit).map(|(commit, files)| (commit.as_str(), files))
    }
}

/// The hub's refusals, as it puts them.
fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let answer = Answer::new(status, json!({ "error": message }).to_string())
        .with("Content-Type", "application/json; charset=utf-8")
        .with("X-Error-Message", message);
    if code.is_empty() { answer } else { answer.with("X-Error-Code", code) }
}

impl State {
    /// What the hub answers.
    fn site(&mut self, request: &Request, url: &str) -> Answer {
        if request.method == "OPTIONS" {
            return readable(Answer::new(204, ""), request);
        }
        let parts: Vec<&str> = request.file().trim_matches('/').split('/').collect();
        // The hub's own pages are for people: no other host's page may read them.
        match &parts[..] {
            ["api", "models", owner, name, rest @ ..] => {
                let answer = match self.lookup(owner, name, request, "") {
                    Ok((id, repo)) => self.api(&id, &repo, rest, request, url),
                    Err(refused) => refused,
                };
                readable(answer, request)
            }
            ["api", "resolve-cache", "models", owner, name, revision, file @ ..] => {
                let answer = match self.lookup(owner, name, request, "RepoNotFound") {
                    Ok((id, repo)) => small_file(&id, &repo, revision, &file.join("/")),
                    Err(refused) => refused,
                };
                readable(answer, request)
            }
            [owner, name, "resolve", revision, file @ ..] if !file.is_empty() => {
                let answer = match self.lookup(owner, name, request, "RepoNotFound") {
                    Ok((id, repo)) => self.resolve(&id, &repo, revision, &file.join("/")),
                    Err(refused) => refused,
                };
                readable(answer, request)
            }
            [owner, name, "raw", revision, file @ ..] if !file.is_empty() => {
                let answer = match self.lookup(owner, name, request, "RepoNotFound") {
                    Ok((_, repo)) => found(&repo, revision, &file.join("/"), |commit, file| {
                        let body = if file.is_large { file.pointer().into() } else { file.content.clone() };
                        Answer::new(200, body).with("X-Repo-Commit", commit)
                    }),
                    Err(refused) => refused,
                };
                readable(answer, request)
            }
            [owner, name, ..] if self.repos.contains_key(&format!("{owner}/{name}")) => {
                Answer::html(200, "A model")
            }
            _ => Answer::html(404, "404"),
        }
    }

    /// The model, if it is there and whoever asks may read it.
    fn lookup(
        &self,
        owner: &str,
        name: &str,
        request: &Request,
        code_of_absence: &str,
    ) -> Result<(String, Repo), Answer> {
        let id = format!("{owner}/{name}");
        if let Some(to) = self.moved.get(&id) {
            let location = request.path.replacen(&id, to, 1);
            return Err(Answer::new(307, "moved").with("Location", location));
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let is_admitted = token.is_some() && token == self.token.as_deref();
        let is_listing = request.file().starts_with("/api/models/");
        match self.repos.get(&id) {
            Some(repo) if repo.access == Access::Everyone || is_admitted => Ok((id, repo.clone())),
            Some(repo) if repo.access == Access::Gated && is_listing => Ok((id, repo.clone())),
            Some(repo) if repo.access == Access::Gated => {
                let status = if token.is_some() { 403 } else { 401 };
                Err(refusal(status, "GatedRepo", &format!("Access to model {id} is restricted.")))
            }
            _ if token.is_some() => Err(refusal(404, "RepoNotFound", "Repository not found")),
            _ => Err(refusal(401, code_of_absence, "Invalid username or password.")),
        }
    }

    fn resolve(&mut self, id: &str, repo: &Repo, revision: &str, file: &str) -> Answer {
        self.n_answers += 1;
        let (n_answers, storage_url) = (self.n_answers, &self.storage_url);
        found(repo, revision, file, |commit, found| {
            let answer = match found.is_large {
                // Each time by another address, which is signed and soon over.
                true => Answer::new(302, "Found").with(
                    "Location",
                    format!(
                        "{storage_url}/repos/{id}/{}/{file}?Expires=1781098782&Signature={n_answers}",
                        found.sha256
                    ),
                ),
                false => Answer::new(307, "Temporary Redirect").with(
                    "Location",
                    format!("/api/resolve-cache/models/{id}/{commit}/{file}?etag=%22{}%22", found.oid),
                ),
            };
            let linked = if found.is_large { &found.sha256 } else { &found.oid };
            let answer = answer
                .with("X-Repo-Commit", commit)
                .with("X-Linked-Size", found.content.len().to_string())
                .with("X-Linked-Etag", format!("\"{linked}\""));
            if found.is_large { answer.with("X-Xet-Hash", found.xet_hash()) } else { answer }
        })
    }

    fn api(&self, id: &str, repo: &Repo, rest: &[&str], request: &Request, url: &str) -> Answer {
        let unknown =
            |revision: &str| refusal(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
        let answer = |json: Value| {
            Answer::new(200, json.to_string()).with("Content-Type", "application/json; charset=utf-8")
        };
        match rest {
            [] => self.api(id, repo, &["revision", "main"], request, url),
            ["revision", revision] => {
                let Some((commit, files)) = repo.at(&unescaped(revision)) else { return unknown(revision) };
                let has_sizes = request.query("blobs") == Some("true");
                let sibling = |(name, file): (&String, &File)| {
                    let mut sibling = json!({ "rfilename": name });
                    if has_sizes {
                        (sibling["size"], sibling["blobId"]) =
                            (file.content.len().into(), file.oid.clone().into());
                        if file.is_large {
                            sibling["lfs"] = json!({"sha256": file.sha256, "size": file.content.len(),
                                "pointerSize": POINTER_LEN});
                        }
                    }
                    sibling
                };
                let siblings: Vec<Value> = files.iter().map(sibling).collect();
                let gated = if repo.access == Access::Gated { json!("auto") } else { json!(false) };
                answer(
                    json!({"id": id, "modelId": id, "sha": commit, "private": repo.access == Access::Private,
                    "gated": gated, "siblings": siblings}),
                )
            }
            ["refs"] => {
                let named = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<Value> {
                    let wanted = repo.refs.iter().filter(|(name, _)| is_wanted(name));
                    wanted
                        .map(|(name, commit)| json!({"name": name, "ref": name, "targetCommit": commit}))
                        .collect()
                };
                let is_pull = |name: &str| name.starts_with("refs/pr/");
                let mut refs = json!({"branches": named(&|name| !is_pull(name)), "converts": [], "tags": []});
                if request.query("include_prs").or(request.query("include_pull_requests")).is_some() {
                    refs["pullRequests"] = named(&is_pull).into();
                }
                answer(refs)
            }
            ["tree", revision, folder @ ..] => {
                let Some((commit, files)) = repo.at(&unescaped(revision)) else { return unknown(revision) };
                let folder = folder.iter().map(|part| format!("{part}/")).collect::<String>();
                let entries = entries(files, &folder, request.query("recursive") == Some("true"));
                if entries.is_empty() && !folder.is_empty() {
                    return refusal(404, "EntryNotFound", &format!("{folder} does not exist on {revision}"));
                }
                // A page further on is asked for by what only the hub understands.
                let start =
                    request.query("cursor").and_then(|cursor| cursor.strip_prefix("ZXlK")?.parse().ok());
                let start: usize = start.unwrap_or(0);
                let limit = request.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
                let end = entries.len().min(start + self.n_entries_a_page.min(limit));
                let page = answer(entries[start.min(end)..end].to_vec().into()).with("X-Repo-Commit", commit);
                if end == entries.len() {
                    return page;
                }
                let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
                let query: String = (query.split('&'))
                    .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
                    .map(|pair| format!("{pair}&"))
                    .collect();
                page.with("Link", format!("<{url}{path}?{query}cursor=ZXlK{end}>; rel=\"next\""))
            }
            _ => refusal(404, "", "Sorry, we can't find the page you are looking for."),
        }
    }

    /// What the storage answers, and any other host that is neither it nor the hub.
    fn stored(&mut self, request: &Request) -> Answer {
        self.n_answers += 1;
        if request.method == "OPTIONS" {
            return Answer::new(403, "<Error><Code>AccessDenied</Code></Error>");
        }
        let parts: Vec<&str> = request.file().trim_start_matches('/').split('/').collect();
        let everyone = |answer: Answer| {
            answer.with("Access-Control-Allow-Origin", "*").with("Access-Control-Expose-Headers", "*")
        };
        if let ["repos", _, _, sha256, ..] = &parts[..]
            && let Some(content) = self.stored.get(*sha256)
        {
            if request.query("Signature").is_none() {
                return everyone(Answer::new(403, "<Error><Code>AccessDenied</Code></Error>"));
            }
            let version = if self.tags_change { self.n_answers.to_string() } else { String::new() };
            let tag = format!("\"{}\"", &sha1(format!("{sha256} {version}").as_bytes())[..32]);
            let has_range = request.header("range").is_some();
            return match self.ranges {
                Ranges::Unreachable if has_range => Answer::new(403, ""),
                Ranges::Refused if has_range => everyone(Answer::new(416, "")),
                Ranges::Ignored => everyone(Answer::new(200, content.clone()).with("ETag", tag)),
                _ => everyone(static_file(request, content, tag)),
            };
        }
        let path = unescaped(request.file());
        everyone(match self.hosted.get(&path) {
            Some(content) => static_file(request, content, format!("\"{}\"", &content.sha256()[..8])),
            None if self.hosts_pages => Answer::html(200, "Home"),
            None => Answer::new(404, "not found"),
        })
    }
}

/// Adds leave for the page that asks.
fn readable(answer: Answer, request: &Request) -> Answer {
    let origin = request.header("origin").unwrap_or("https://huggingface.co");
    let answer = answer
        .with("Access-Control-Allow-Origin", origin)
        .with("Access-Control-Expose-Headers", EXPOSED)
        .with("Access-Control-Max-Age", "86400")
        .with("Vary", "Origin");
    match request.method.as_str() {
        "OPTIONS" => {
            answer.with("Access-Control-Allow-Headers", "authorization, range, if-range, if-none-match")
        }
        _ => answer,
    }
}

fn found(repo: &Repo, revision: &str, file: &str, answer: impl FnOnce(&str, &File) -> Answer) -> Answer {
    match repo.at(&unescaped(revision)) {
        None => refusal(404, "RevisionNotFound", &format!("Invalid rev id: {revision}")),
        Some((commit, files)) => match files.get(&unescaped(file)) {
            None => refusal(404, "EntryNotFound", "Entry not found").with("X-Repo-Commit", commit),
            Some(file) => answer(commit, file),
        },
    }
}

fn small_file(_: &str, repo: &Repo, revision: &str, file: &str) -> Answer {
    found(repo, revision, file, |commit, file| {
        Answer::new(200, file.content.clone())
            .with("Content-Type", "text/plain; charset=utf-8")
            .with("ETag", format!("\"{}\"", file.oid))
            .with("X-Repo-Commit", commit)
    })
}

/// What a listing holds: files and the folders that they lie in, each once.
fn entries(files: &BTreeMap<String, File>, folder: &str, is_recursive: bool) -> Vec<Value> {
    let (mut folders, mut entries) = (BTreeSet::new(), Vec::new());
    for (path, file) in files {
        let Some(rest) = path.strip_prefix(folder) else { continue };
        let ends = rest.match_indices('/').map(|(at, _)| &path[..folder.len() + at]);
        for inside in ends.take(if is_recursive { usize::MAX } else { 1 }) {
            if folders.insert(inside.to_owned()) {
                entries.push(
                    json!({"type": "directory", "oid": sha1(inside.as_bytes()), "size": 0, "path": inside}),
                );
            }
        }
        if rest.contains('/') && !is_recursive {
            continue;
        }
        let mut entry = json!({"type": "file", "oid": file.oid, "size": file.content.len(), "path": path});
        if file.is_large {
            entry["lfs"] =
                json!({"oid": file.sha256, "size": file.content.len(), "pointerSize": file.pointer().len()});
            entry["xetHash"] = file.xet_hash().into();
        }
        entries.push(entry);
    }
    entries
}

/// A file with ranges and conditions, as hosts of static files send it.
fn static_file(request: &Request, content: &Content, tag: String) -> Answer {
    let answer = Answer::new(200, content.clone())
        .with("Content-Type", "application/octet-stream")
        .with("ETag", tag.clone())
        .with("Accept-Ranges", "bytes");
    if request.header("if-none-match") == Some(&tag) {
        return Answer { status: 304, body: "".into(), ..answer };
    }
    let is_same = request.header("if-range").is_none_or(|given| given == tag);
    let n_bytes = content.len();
    match request.range_start().filter(|_| is_same) {
        None => answer,
        Some(start) if start >= n_bytes => {
            Answer::new(416, "").with("Content-Range", format!("bytes */{n_bytes}"))
        }
        Some(start) => Answer { status: 206, start, ..answer }
            .with("Content-Range", format!("bytes {start}-{}/{n_bytes}", n_bytes - 1)),
    }
}

/// A part of a path without its escapes.
fn unescaped(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped =
            tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
