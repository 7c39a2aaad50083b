//! A static file server for one test: it serves a folder as a real host would, strict headers included, keeps a log,
//! and misbehaves on request.
//!
//! It is the browser's proxy too: whatever the page asks of any other host arrives here, is refused, and is logged.
//!
//! Invariant: nothing leaves the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What the page's folder asks a host to send with every file.
const HEADERS: &str = include_str!("../../static/hosting/_headers");

/// Those headers, one a line.
fn hosts_headers() -> impl Iterator<Item = &'static str> {
    HEADERS.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with('#'))
}

/// How an answer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// 404 with an empty body.
    NotFound,
    /// 500 with an empty body.
    ServerError,
    /// 200 with a page instead of the file, as single-page hosts answer for missing files.
    Html,
    /// The right length, one byte in the middle changed.
    Corrupted,
    /// The connection closes half-way.
    Truncated,
    /// Half of the file, then nothing more until the fault is lifted: then the rest.
    Stalled,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The path on this server, or for another host its whole address.
    pub target: String,
    pub n_body_bytes: usize,
    pub is_for_another_host: bool,
}

/// Chromium and Firefox ask these about themselves, whatever their flags say. No file of the page names them: journeys.rs
/// holds that.
pub const BROWSERS_OWN_HOSTS: [&str; 3] = ["google.com", "googleapis.com", "mozilla.com"];

impl Request {
    /// Whether a browser made it for itself, at start.
    pub fn is_browsers_own(&self) -> bool {
        let host =
            self.target.trim_start_matches("http://").split(['/', ':', '?']).next().unwrap_or_default();
        let is_under =
            |own: &str| host == own || host.strip_suffix(own).is_some_and(|rest| rest.ends_with('.'));
        self.is_for_another_host && BROWSERS_OWN_HOSTS.into_iter().any(is_under)
    }
}

pub struct Server {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    /// Nothing is answered any more.
    is_closed: AtomicBool,
    /// The accepting thread ends.
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The faults, by the end of the path.
    faults: Vec<(String, Fault)>,
    pages: BTreeMap<String, String>,
    preludes: BTreeMap<String, String>,
    without_policy: BTreeSet<String>,
    /// Sent with every file, besides [`HEADERS`].
    headers: Vec<String>,
    /// Sent in place of [`HEADERS`], by the start of the path.
    own_headers: BTreeMap<String, Vec<String>>,
    /// Folders besides the root, by the start of the path.
    mounts: BTreeMap<String, PathBuf>,
    requests: Vec<Request>,
}

impl Server {
    /// Serves a folder at [`Server::url`] until the value is dropped.
    pub fn start(root: impl Into<PathBuf>) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            root: root.into(),
            state: Mutex::default(),
            changed: Condvar::new(),
            is_closed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if for_thread.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&for_thread);
                // A browser that hangs up early is no failure of the test.
                std::thread::spawn(move || shared.answer(stream).unwrap_or_default());
            }
        });
        Server { port, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets every page of the root run a script before its own, in browsers whose drivers cannot.
    pub fn witness(&self, script: &str) {
        self.shared.lock().pages.insert(WITNESS.to_owned(), script.to_owned());
    }

    /// The flag that sends a browser's requests for other hosts here.
    pub fn proxy_flag(&self) -> String {
        format!("--proxy-server=http://127.0.0.1:{}", self.port)
    }

    /// Serves a page of the test's own at `path`.
    pub fn page(&self, path: &str, html: &str) {
        self.shared.lock().pages.insert(path.to_owned(), html.to_owned());
    }

    /// Runs `script` before the one at `path`, in the same file.
    pub fn prelude(&self, path: &str, script: &str) {
        self.shared.lock().preludes.insert(path.to_owned(), script.to_owned());
    }

    /// Serves the file at `path` as a host does that knows nothing of the page's policy.
    pub fn without_policy(&self, path: &str) {
        self.shared.lock().without_policy.insert(path.to_owned());
    }

    /// Sends one more header with every file.
    pub fn also_send(&self, header: &str) {
        self.shared.lock().headers.push(header.to_owned());
    }

    /// Sends these headers, and none of the page's, with every file whose path starts so: another site's own.
    pub fn send_own(&self, start: &str, headers: &[&str]) {
        let headers = headers.iter().map(|header| (*header).to_owned()).collect();
        self.shared.lock().own_headers.insert(start.to_owned(), headers);
    }

    /// Serves another folder below `prefix`, in place of the one there.
    pub fn mount(&self, prefix: &str, folder: impl Into<PathBuf>) {
        self.shared.lock().mounts.insert(prefix.to_owned(), folder.into());
    }

    /// Answers wrongly for each path that ends in `suffix`, until [`Server::behave`].
    pub fn misbehave(&self, suffix: &str, fault: Fault) {
        self.shared.lock().faults.push((suffix.to_owned(), fault));
    }

    pub fn behave(&self) {
        self.shared.lock().faults.clear();
        self.shared.changed.notify_all();
    }

    /// Answers nothing any more, like a machine that is gone.
    pub fn hang_up(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
    }

    /// Everything asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.behave();
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the accepting thread, which then ends
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the server panics")
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        let state = self.lock();
        state.faults.iter().find(|(suffix, _)| path.ends_with(suffix.as_str())).map(|(_, fault)| *fault)
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        if self.is_closed.load(Ordering::SeqCst) {
            return stream.shutdown(std::net::Shutdown::Both);
        }
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
        let (mut n_body_bytes, mut range_start) = (0, None);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            let header = header.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                n_body_bytes = value.trim().parse().unwrap_or(0);
            }
            if let Some(value) = header.strip_prefix("range: bytes=") {
                range_start = value.trim().strip_suffix('-').and_then(|start| start.parse::<u64>().ok());
            }
        }
        std::io::copy(&mut (&mut reader).take(n_body_bytes as u64), &mut std::io::sink())?;
        let is_for_another_host = !target.starts_with('/');
        self.lock().requests.push(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            n_body_bytes,
            is_for_another_host,
        });
        let path = target.split(['?', '#']).next().unwrap_or(target);
        let fault = self.fault(path);
        let mut headers = self.lock().headers.clone();
        if self.lock().without_policy.contains(path) {
            headers.push(NO_POLICY.to_owned());
        }
        // The longest start of those that fit.
        let own = self
            .lock()
            .own_headers
            .iter()
            .rev()
            .find(|(start, _)| path.starts_with(*start))
            .map(|(_, own)| own.clone());
        if let Some(own) = own {
            headers = own;
            headers.push(OWN_HEADERS.to_owned());
        }
        let say = |status: &str, media_type: &str, body: &[u8]| {
            respond(&stream, status, media_type, &headers, body)
        };
        if is_for_another_host {
            return say("403 Forbidden", "text/plain", b"nothing leaves the machine");
        }
        if method != "GET" {
            return say("405 Method Not Allowed", "text/plain", b"");
        }
        let page = self.lock().pages.get(path).cloned();
        if let Some(text) = page {
            return say("200 OK", media_type(Path::new(path)), text.as_bytes());
        }
        // As every host does: a folder's address ends in a slash, or its page's names would be looked up beside it.
        if self.lock().mounts.contains_key(path) {
            headers.push(format!("Location: {path}/"));
            return respond(&stream, "301 Moved Permanently", "text/plain", &headers, b"");
        }
        let Some(path_on_disk) = self.file(path) else { return say("404 Not Found", "text/plain", b"") };
        match fault {
            Some(Fault::NotFound) => return say("404 Not Found", "text/plain", b""),
            Some(Fault::ServerError) => return say("500 Internal Server Error", "text/plain", b""),
            Some(Fault::Html) => return say("200 OK", "text/html", b"<!doctype html><title>Home</title>"),
            _ => {}
        }
        let media_type = media_type(&path_on_disk);
        if path_on_disk.ends_with("index.html") && self.lock().pages.contains_key(WITNESS) {
            let html = std::fs::read_to_string(&path_on_disk)?;
            // A release build leaves out the tags that HTML implies, such as <head>.
            let html = html.replacen("<meta", &format!("<script src=\"{WITNESS}\"></script><meta"), 1);
            return say("200 OK", media_type, html.as_bytes());
        }
        let mut file = File::open(&path_on_disk)?;
        let n_bytes = file.metadata()?.len();
        let prelude = self.lock().preludes.get(path).cloned();
        if prelude.is_some() || fault == Some(Fault::Corrupted) {
            let mut bytes = prelude.unwrap_or_default().into_bytes();
            file.read_to_end(&mut bytes)?;
            if fault == Some(Fault::Corrupted) {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0xff;
            }
            return say("200 OK", media_type, &bytes);
        }
        // As real hosts do, so that an interrupted download can go on where it stopped.
        headers.push(format!("ETag: \"{n_bytes}\""));
        headers.push("Accept-Ranges: bytes".to_owned());
        let start = range_start.filter(|start| *start < n_bytes);
        let status = if start.is_some() { "206 Partial Content" } else { "200 OK" };
        if let Some(start) = start {
            headers.push(format!("Content-Range: bytes {start}-{}/{n_bytes}", n_bytes - 1));
        }
        let start = start.unwrap_or(0);
        file.seek(SeekFrom::Start(start))?;
        let n_rest = n_bytes - start;
        (&stream).write_all(head(status, media_type, &headers, n_rest).as_bytes())?;
        if let Some(fault @ (Fault::Truncated | Fault::Stalled)) = fault {
            std::io::copy(&mut (&mut file).take(n_rest / 2), &mut &stream)?;
            (&stream).flush()?;
            if fault == Fault::Truncated {
                return stream.shutdown(std::net::Shutdown::Both);
            }
            self.wait_while_stalled(path);
        }
        std::io::copy(&mut file, &mut &stream).map(drop)
    }

    fn wait_while_stalled(&self, path: &str) {
        let mut state = self.lock();
        while state
            .faults
            .iter()
            .any(|(suffix, fault)| path.ends_with(suffix.as_str()) && *fault == Fault::Stalled)
        {
            state = self.changed.wait(state).expect("no thread of the server panics");
        }
    }

    /// A file below the root; `/` is `/index.html`.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let mount = self.lock().mounts.iter().find_map(|(prefix, folder)| {
            let rest = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
            Some((folder.clone(), rest.to_owned()))
        });
        let (root, path) = mount.unwrap_or_else(|| (self.root.clone(), path.to_owned()));
        let relative = Path::new(path.trim_start_matches('/'));
        let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        let mut file = root.join(relative);
        if file.is_dir() {
            file = file.join("index.html");
        }
        (is_inside && file.is_file()).then_some(file)
    }
}

/// Where [`Server::witness`] keeps its script.
const WITNESS: &str = "/witness.js";
/// Among the headers: leaves the policy out.
const NO_POLICY: &str = "X-Policy: none";
const POLICY: &str = "Content-Security-Policy:";
/// Among the headers: leaves all of the page's out.
const OWN_HEADERS: &str = "X-Headers: own";

fn head(status: &str, media_type: &str, headers: &[String], n_bytes: u64) -> String {
    let mut head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {n_bytes}\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    let is_bare = headers.iter().any(|header| header == NO_POLICY);
    let is_own = headers.iter().any(|header| header == OWN_HEADERS);
    let is_left_out = |header: &str| is_own || is_bare && header.starts_with(POLICY);
    for header in hosts_headers().filter(|header| !is_left_out(header)) {
        head += &format!("{header}\r\n");
    }
    head + "Connection: close\r\n\r\n"
}

fn respond(
    mut stream: &TcpStream,
    status: &str,
    media_type: &str,
    headers: &[String],
    body: &[u8],
) -> std::io::Result<()> {
    stream.write_all(head(status, media_type, headers, body.len() as u64).as_bytes())?;
    stream.write_all(body)
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript",
        "css" => "text/css",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    }
}
