//! A host of models on this machine, for one test: it answers as the hub and its storage do, and goes wrong on request.
//!
//! Invariant: nothing leaves the machine.

use cliplet::weights::sha256_hex;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The commit that every model here is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// By their lower-case names.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Only so many bytes of the body are sent, then the connection closes.
    pub cut_at: Option<usize>,
    /// Then it does not close.
    pub stalls: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into(), cut_at: None, stalls: false }
    }

    pub fn html(status: u16) -> Answer {
        let mut answer = Answer::new(status, "<!doctype html><title>Sign in</title>");
        answer.headers.push(("Content-Type", "text/html; charset=utf-8".to_owned()));
        answer
    }
}

type Handler = dyn FnMut(&Request) -> Answer + Send;

/// Answers until it is dropped.
pub struct Host {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

impl Host {
    pub fn start(answer: impl FnMut(&Request) -> Answer + Send + 'static) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Host { port, requests: Arc::default(), is_over: Arc::default() };
        let (requests, is_over) = (host.requests.clone(), host.is_over.clone());
        let answer: Arc<Mutex<Handler>> = Arc::new(Mutex::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (requests, answer, is_over) = (requests.clone(), answer.clone(), is_over.clone());
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let Some(request) = read(&stream) else { return };
                    requests.lock().unwrap().push(request.clone());
                    let answer = (*answer.lock().unwrap())(&request);
                    let _ = send(&stream, answer, &is_over); // a client may leave
                });
            }
        });
        host
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was asked since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the accepting thread, which then ends
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split_whitespace().nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { path, headers })
}

fn send(mut stream: &TcpStream, answer: Answer, is_over: &AtomicBool) -> std::io::Result<()> {
    let Answer { status, headers, body, cut_at, stalls } = answer;
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&body[..cut_at.unwrap_or(body.len()).min(body.len())])?;
    while stalls && !is_over.load(Ordering::SeqCst) {
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    stream.shutdown(Shutdown::Both)
}

/// A file with ranges and conditions, as hosts of static files send it.
pub fn file(request: &Request, body: &[u8]) -> Answer {
    let tag = format!("\"{}\"", &sha256_hex(body)[..8]);
    let mut answer = Answer::new(200, body);
    if request.header("if-none-match") == Some(&tag) {
        answer = Answer::new(304, "");
    }
    let start = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let is_same = request.header("if-range").is_none_or(|given| given == tag);
    if let Some(start) = start.filter(|_| is_same) {
        let start: usize = start.parse().unwrap();
        if start >= body.len() {
            return Answer::new(416, "");
        }
        answer = Answer::new(206, &body[start..]);
        let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
        answer.headers.push(("Content-Range", range));
    }
    answer.headers.push(("ETag", tag));
    answer
}

/// A model as the hub has it: large files lie elsewhere, where the hub redirects to, and their hashes are stated.
#[derive(Clone)]
pub struct Model {
    pub id: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Model {
    pub fn answer(&self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap();
        if path == format!("/api/models/{}/revision/main", self.id)
            || path == format!("/api/models/{}/revision/{COMMIT}", self.id)
        {
            return Answer::new(200, self.listing().to_string());
        }
        if let Some(name) = path.strip_prefix("/storage/") {
            return file(request, &self.files[name]);
        }
        let Some(name) = path.strip_prefix(&format!("/{}/resolve/{COMMIT}/", self.id)) else {
            let mut answer = Answer::new(404, "");
            answer.headers.push(("X-Error-Code", "RevisionNotFound".to_owned()));
            return answer;
        };
        match self.files.get(name) {
            Some(_) if is_large(name) => {
                let mut answer = Answer::new(302, "Found");
                answer.headers.push(("Location", format!("/storage/{name}")));
                answer
            }
            Some(body) => file(request, body),
            None => Answer::new(404, "Entry not found"),
        }
    }

    fn listing(&self) -> serde_json::Value {
        let siblings: Vec<_> = (self.files.iter())
            .map(|(name, bytes)| {
                let sha256 = sha256_hex(bytes);
                let mut sibling = json!({"rfilename": name, "size": bytes.len(), "blobId": &sha256[..40]});
                if is_large(name) {
                    sibling["lfs"] = json!({"sha256": sha256, "size": bytes.len(), "pointerSize": 134});
                }
                sibling
            })
            .collect();
        json!({"id": self.id, "sha": COMMIT, "siblings": siblings})
    }
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".gguf")
}
