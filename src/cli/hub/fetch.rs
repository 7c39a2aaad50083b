//! Files over HTTP: resumed where they stopped, hashed while they arrive.
//!
//! Invariant: a file stands under its name only when its last byte is written and its hash, where one is stated, is
//! right; until then it is `.NAME.part` beside it, which the next try goes on with.
//! Invariant: the token goes to the hub alone, never to where the hub redirects to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use ureq::http::{Response, header};
use ureq::{Agent, Body};

use super::{CliError, HubError, cache, message};
use crate::cli::progress;
use crate::convert::hub::{self, ListedFile, MAX_ANSWER_BYTES, MAX_PAGES, Refusal};
use crate::convert::source::DEFAULT_HUB;
use crate::convert::source::is_commit;

/// What `HF_HUB_DOWNLOAD_TIMEOUT` is where it is not set: seconds without a byte.
const TIMEOUT_SECONDS: u64 = 30;
/// How often a connection may break without a byte in between.
const MAX_TRIES: usize = 4;
const MAX_REDIRECTS: usize = 8;
const PIECE: usize = 1 << 18;
/// A host that asks to wait longer than this is left.
const MAX_WAIT_SECONDS: u64 = 300;
/// The wait where a host does not say how long.
const WAIT_SECONDS: u64 = 2;
const MAX_WAITS: usize = 3;

/// Asks hosts for files.
pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    is_offline: bool,
}

/// A file on a host.
pub struct Remote {
    pub address: String,
    /// What people are told.
    pub name: String,
    pub n_bytes: Option<u64>,
    /// The hash is in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// What the address names never changes, so that a part of it is always a part of it.
    pub is_fixed: bool,
}

impl Client {
    /// `HF_ENDPOINT` names a mirror, `HF_TOKEN` (else a file of the home folder) a token, `HF_HUB_OFFLINE` forbids asking, `HF_HUB_DOWNLOAD_TIMEOUT` is in
    /// seconds.
    pub fn from_env() -> Result<Client, HubError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_HUB.to_owned());
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            return Err(HubError::Endpoint { variable: "HF_ENDPOINT", value: endpoint });
        }
        let seconds = variable("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|text| text.trim().parse().ok());
        let timeout = Some(Duration::from_secs(seconds.unwrap_or(TIMEOUT_SECONDS)));
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here, because of the token.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_per_read(timeout)
            .user_agent(concat!("cliplet/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let is_offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "on", "true", "yes"].contains(&&*value.to_lowercase()));
        // What Hugging Face's own login leaves behind.
        let stored = || fs::read_to_string(cache::home().ok()?.join("token")).ok();
        let token = variable("HF_TOKEN").or_else(stored).map(|token| token.trim().to_owned());
        let token = token.filter(|token| !token.is_empty());
        Ok(Client { agent, endpoint: endpoint.trim_end_matches('/').to_owned(), token, is_offline })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The commit that a revision is at.
    pub fn commit(&self, id: &str, revision: &str) -> Result<String, HubError> {
        if is_commit(revision) {
            return Ok(revision.to_owned());
        }
        let address = hub::revision_address(&self.endpoint, id, revision);
        let (json, _) = self.answer(&address)?;
        hub::parse_revision(&json).map_err(|reason| HubError::Answer { address, reason })
    }

    /// What a commit holds.
    pub fn tree(&self, id: &str, commit: &str) -> Result<Vec<ListedFile>, HubError> {
        let mut address = hub::tree_address(&self.endpoint, id, commit);
        let mut files = Vec::new();
        for _ in 0..MAX_PAGES {
            let (json, link) = self.answer(&address)?;
            files.extend(hub::parse_tree(&json).map_err(|reason| HubError::Answer { address, reason })?);
            match link.and_then(|link| hub::next_page(&self.endpoint, &link)) {
                Some(next) => address = next,
                None => break,
            }
        }
        Ok(files)
    }

    /// The body of an answer of the hub's API, and its `Link` header.
    fn answer(&self, address: &str) -> Result<(Vec<u8>, Option<String>), HubError> {
        let response = accepted(self.ask(address, &[])?, address)?;
        let link =
            response.headers().get(header::LINK).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let limit = MAX_ANSWER_BYTES as u64;
        let json = response.into_body().into_with_config().limit(limit).read_to_vec();
        let unreadable =
            |error: ureq::Error| HubError::Answer { address: address.to_owned(), reason: error.to_string() };
        Ok((json.map_err(unreadable)?, link))
    }

    /// Asks, and waits where the host asks for patience.
    fn ask(
        &self,
        address: &str,
        headers: &[(header::HeaderName, String)],
    ) -> Result<Response<Body>, HubError> {
        for _ in 0..MAX_WAITS {
            let response = self.ask_once(address, headers)?;
            if response.status().as_u16() != 429 {
                return Ok(response);
            }
            let seconds = asked_seconds(&response).unwrap_or(WAIT_SECONDS);
            if seconds > MAX_WAIT_SECONDS {
                break;
            }
            message(&format!("{} asks for patience: going on in {seconds} s", host_of(address)));
            std::thread::sleep(Duration::from_secs(seconds));
        }
        Err(HubError::TooMany { address: address.to_owned() })
    }

    fn ask_once(
        &self,
        address: &str,
        headers: &[(header::HeaderName, String)],
    ) -> Result<Response<Body>, HubError> {
        if self.is_offline {
            return Err(HubError::StayOffline { host: host_of(address).to_owned() });
        }
        let mut address = address.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&address);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let is_hubs = address.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/'));
            if let Some(token) = self.token.as_ref().filter(|_| is_hubs) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let offline = |error: ureq::Error| HubError::Offline {
                host: host_of(&address).to_owned(),
                reason: error.to_string(),
            };
            let response = request.call().map_err(offline)?;
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => {
                    let location =
                        response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                    address = redirected(&address, location.unwrap_or_default())?;
                }
                _ => return Ok(response),
            }
        }
        Err(HubError::Answer { address, reason: format!("more than {MAX_REDIRECTS} redirects") })
    }

    /// Fetches `remote` into `target`, or finds that a `target` that is there is still what the host has.
    pub fn download(&self, remote: &Remote, target: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::File { path: target.to_owned(), source };
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        let was_there = target.exists();
        let mut part = Part::open(target).map_err(failed)?;
        if !was_there && target.exists() {
            return Ok(()); // by whom this waited for
        }
        let mut n_tries = 0;
        loop {
            let n_before = part.n_bytes;
            let reason = match self.go_on(remote, target, &mut part) {
                Ok(Step::Done) => break,
                Ok(Step::Unchanged) => {
                    part.discard();
                    return Ok(());
                }
                Ok(Step::Broken(reason)) => reason,
                Err(error) => {
                    if part.n_bytes == 0 {
                        part.discard();
                    }
                    return Err(error);
                }
            };
            n_tries = if part.n_bytes > n_before { 1 } else { n_tries + 1 };
            if n_tries >= MAX_TRIES {
                let address = remote.address.clone();
                return Err(HubError::Broken { address, n_tries, reason }.into());
            }
        }
        let found = hex(&part.hash.finalize_reset());
        if let Some(expected) = remote.sha256.clone().filter(|expected| *expected != found) {
            part.discard();
            return Err(HubError::Hash { file: remote.name.clone(), expected, found }.into());
        }
        part.finish(target).map_err(failed)
    }

    /// One request for what is missing.
    fn go_on(&self, remote: &Remote, target: &Path, part: &mut Part) -> Result<Step, CliError> {
        let address = &remote.address;
        let failed = |source| CliError::File { path: part_of(target), source };
        let mut headers = Vec::new();
        let tag = read_tag(&part_of(target));
        if part.n_bytes > 0 && (tag.is_some() || remote.is_fixed) {
            headers.push((header::RANGE, format!("bytes={}-", part.n_bytes)));
            // Hosts behind one hub may call the same bytes differently.
            headers.extend(tag.filter(|_| !remote.is_fixed).map(|tag| (header::IF_RANGE, tag)));
        } else if let Some(tag) = read_tag(target).filter(|_| target.exists()) {
            let is_date = !tag.ends_with('"');
            let name = if is_date { header::IF_MODIFIED_SINCE } else { header::IF_NONE_MATCH };
            headers.push((name, tag));
        }
        let response = match self.ask(address, &headers) {
            Ok(response) => response,
            // It broke before; now nobody answers at all.
            Err(HubError::Offline { reason, .. }) if part.n_bytes > 0 => return Ok(Step::Broken(reason)),
            Err(error) => return Err(error.into()),
        };
        match response.status().as_u16() {
            304 => return Ok(Step::Unchanged),
            416 => {
                // The part is no part of what the host has now.
                part.restart().map_err(failed)?;
                return Ok(Step::Broken("the host has another file than the one that was begun".to_owned()));
            }
            _ => (),
        }
        let response = accepted(response, address)?;
        let is_rest = response.status().as_u16() == 206;
        if !is_rest || range_start(&response) != Some(part.n_bytes) {
            part.restart().map_err(failed)?;
            if is_rest {
                return Ok(Step::Broken("the host sent another range than the one asked for".to_owned()));
            }
        }
        let text =
            |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let sent = text(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let total = sent.map(|sent| part.n_bytes + sent);
        if let (Some(expected), Some(found)) = (remote.n_bytes, total)
            && expected != found
        {
            part.restart().map_err(failed)?;
            return Err(HubError::Length { address: address.clone(), expected, found }.into());
        }
        // A weak tag cannot be resumed with.
        let tag = text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or(text(header::LAST_MODIFIED));
        write_tag(&part_of(target), tag).map_err(failed)?;

        let n_all = total.or(remote.n_bytes).unwrap_or(0);
        let done = part.n_bytes;
        let is_large = n_all > 1 << 20;
        if is_large {
            let rest =
                if done > 0 { format!(", {:.1} MB of it here", done as f64 / 1e6) } else { String::new() };
            message(&format!(
                "{} from {}: {:.1} MB{rest}",
                remote.name,
                host_of(address),
                n_all as f64 / 1e6
            ));
        }
        let bar = if is_large { progress::bytes(n_all) } else { ProgressBar::hidden() };
        let mut body = response.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        let step = loop {
            match body.read(&mut piece) {
                Ok(0) => break Step::Done,
                Ok(n_read) => part.write(&piece[..n_read]).map_err(failed)?,
                Err(error) => break Step::Broken(error.to_string()),
            }
            bar.set_position(part.n_bytes);
        };
        bar.finish_and_clear();
        match (step, total) {
            (Step::Done, Some(total)) if part.n_bytes < total => {
                Ok(Step::Broken("it ended early".to_owned()))
            }
            (step, _) => Ok(step),
        }
    }
}

/// How long a host asks to be left alone: `Retry-After`, or the `t` of the hub's `RateLimit: "resolvers";r=0;t=240`.
fn asked_seconds(response: &Response<Body>) -> Option<u64> {
    let text = |name: &str| response.headers().get(name)?.to_str().ok();
    let of_limit =
        || text("ratelimit")?.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok());
    text("retry-after").and_then(|seconds| seconds.trim().parse().ok()).or_else(of_limit)
}

enum Step {
    Done,
    Unchanged,
    Broken(String),
}

/// Refuses answers that are no file.
fn accepted(response: Response<Body>, address: &str) -> Result<Response<Body>, HubError> {
    let address = || address.to_owned();
    let text =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    match Refusal::of(status, text("x-error-code").as_deref()) {
        None => (),
        Some(Refusal::NoRepository) => return Err(HubError::Unauthorized { address: address() }),
        Some(Refusal::Gated) => return Err(HubError::Forbidden { address: address() }),
        Some(Refusal::NoRevision) => return Err(HubError::NoRevision { address: address() }),
        Some(Refusal::NoEntry) => {
            return Err(HubError::NotFound { address: address(), code: text("x-error-code") });
        }
        Some(Refusal::Busy) => return Err(HubError::TooMany { address: address() }),
        Some(Refusal::Server) => return Err(HubError::Busy { address: address(), status }),
        Some(Refusal::Other) => return Err(HubError::Status { address: address(), status }),
    }
    if text("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        return Err(HubError::Html { address: address() });
    }
    Ok(response)
}

/// Reads `Content-Range: bytes START-END/TOTAL`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// Where a redirect leads: to another address or another path of the same host, and from TLS only to TLS.
fn redirected(from: &str, location: &str) -> Result<String, HubError> {
    let (scheme, rest) = from.split_once("://").unwrap_or(("", from));
    let to = match location {
        path if path.starts_with('/') && !path.starts_with("//") => {
            format!("{scheme}://{}{path}", rest.split(['/', '?']).next().unwrap_or(rest))
        }
        other => other.to_owned(),
    };
    if to.starts_with("https://") || (to.starts_with("http://") && scheme == "http") {
        return Ok(to);
    }
    Err(HubError::Answer { address: from.to_owned(), reason: format!("it redirects to {location:?}") })
}

fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

fn part_of(target: &Path) -> PathBuf {
    target.with_file_name(format!(".{}.part", target.file_name().unwrap_or_default().to_string_lossy()))
}

/// The file beside another that says what its host called this version of it: a tag in quotes or a date.
fn tag_of(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.tag", path.file_name().unwrap_or_default().to_string_lossy()))
}

fn read_tag(path: &Path) -> Option<String> {
    fs::read_to_string(tag_of(path)).ok().filter(|tag| !tag.is_empty() && tag.is_ascii())
}

fn write_tag(path: &Path, tag: Option<&str>) -> std::io::Result<()> {
    match tag {
        Some(tag) => fs::write(tag_of(path), tag),
        None => fs::remove_file(tag_of(path)).or_else(absent_is_fine),
    }
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A file that is being fetched, locked so that only one process writes it.
struct Part {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    hash: Sha256,
}

impl Part {
    /// Waits where another process is at it.
    fn open(target: &Path) -> std::io::Result<Part> {
        let path = part_of(target);
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open()?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                message(&format!("{}: another cliplet fetches it, waiting", target.display()));
                file.lock()?;
                // The other one may have moved it to its place.
                if !path.exists() {
                    file = open()?;
                    file.lock()?;
                }
            }
        }
        let mut part = Part { path, file, n_bytes: 0, hash: Sha256::new() };
        let mut piece = vec![0; PIECE];
        loop {
            match part.file.read(&mut piece)? {
                0 => return Ok(part),
                n_read => {
                    part.hash.update(&piece[..n_read]);
                    part.n_bytes += n_read as u64;
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.n_bytes += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hash.reset();
        self.n_bytes = 0;
        write_tag(&self.path, None)
    }

    /// Its error would hide the one that led here.
    fn discard(self) {
        let _ = fs::remove_file(tag_of(&self.path));
        let _ = fs::remove_file(&self.path);
    }

    /// The bytes are on the disk before the name is: a power cut leaves no file or a whole one.
    fn finish(self, target: &Path) -> std::io::Result<()> {
        self.file.sync_all()?;
        fs::rename(tag_of(&self.path), tag_of(target)).or_else(absent_is_fine)?;
        fs::rename(&self.path, target)
    }
}

/// The SHA-256 of a file in lower-case hexadecimal; a bar shows how far it is with a large one.
pub fn sha256_of(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let n_bytes = file.metadata().map_err(failed)?.len();
    let bar = if n_bytes > 64 << 20 { progress::bytes(n_bytes) } else { ProgressBar::hidden() };
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            n_read => hash.update(&piece[..n_read]),
        }
        bar.inc(PIECE as u64);
    }
    bar.finish_and_clear();
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_wait_is_read_in_either_form() {
        let seconds = |name: &str, value: &str| {
            let response = ureq::http::Response::builder().status(429).header(name, value);
            asked_seconds(&response.body(Body::builder().data("")).unwrap())
        };
        assert_eq!(seconds("Retry-After", "7"), Some(7));
        assert_eq!(seconds("RateLimit", "\"resolvers\";r=0;t=240"), Some(240));
        assert_eq!(seconds("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn redirects_lead_to_paths_and_addresses_but_not_out_of_tls() {
        let to = |from, location| redirected(from, location).ok();
        assert_eq!(to("https://a.b/c?d", "/e").unwrap(), "https://a.b/e");
        assert_eq!(to("https://a.b/c", "https://x/y").unwrap(), "https://x/y");
        assert_eq!(to("http://a.b:1/c", "http://x/y").unwrap(), "http://x/y");
        for location in ["http://x/y", "//x/y", "file:///x", "", "y"] {
            assert_eq!(to("https://a.b/c", location), None, "{location}");
        }
    }
}
