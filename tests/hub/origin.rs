//! A server on this machine that keeps a log and goes wrong on request: one origin of the tests' hub.
//!
//! Invariant: nothing leaves the machine.

use super::content::Content;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This status, and this `X-Error-Code` unless it is empty.
    Status(u16, &'static str),
    /// 429; whoever asks again before so many seconds are over is refused again.
    TooMany { seconds: u64 },
    /// A web page with this status, as proxies, login pages and hosts of single pages answer.
    Html(u16),
    /// Another file.
    Other(Vec<u8>),
    /// The right length, one byte in the middle changed.
    Corrupted,
    /// The connection closes after this share of the body.
    Cut(f64),
    /// This share of the body, then nothing more until the fault is lifted: then the rest.
    Stalled(f64),
    /// Without leave for pages of other hosts to read it.
    NoCors,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The path with its query, as it was sent.
    pub path: String,
    /// The headers, by their lower-case names.
    pub headers: BTreeMap<String, String>,
    pub n_body_bytes: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The path without its query.
    pub fn file(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    pub fn query(&self, key: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == key))
            .map(|pair| pair.1)
    }

    /// The start that a `Range: bytes=START-` names.
    pub fn range_start(&self) -> Option<u64> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }

    /// Says who asks, or carries something.
    pub fn is_telling(&self) -> bool {
        let is_personal =
            ["cookie", "referer", "authorization"].iter().any(|name| self.header(name).is_some());
        is_personal || self.method != "GET" || self.n_body_bytes > 0
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Content,
    /// The byte of the body from which on it is sent.
    pub start: u64,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Content>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into(), start: 0 }
    }

    pub fn html(status: u16, title: &str) -> Answer {
        let page = format!("<!doctype html><title>{title}</title>");
        Answer::new(status, page.into_bytes()).with("Content-Type", "text/html; charset=utf-8")
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name, value.into()));
        self
    }
}

/// Answers until it is dropped.
pub struct Origin {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    faults: Vec<Planned>,
    requests: Vec<Request>,
}

struct Planned {
    /// A part of the paths that it is about.
    part: String,
    fault: Fault,
    /// How many answers it lasts; `None` where it stays until it is lifted.
    n_left: Option<usize>,
    /// When the first request met it.
    since: Option<Instant>,
}

impl Origin {
    /// `answer` is told the origin's own address, as in `http://127.0.0.1:1`.
    pub fn start(answer: impl Fn(&Request, &str) -> Answer + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let (for_thread, answer) = (Arc::clone(&shared), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if for_thread.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (shared, answer) = (Arc::clone(&for_thread), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let fault = shared.take(&request);
                    let answer = answer(&request, &format!("http://127.0.0.1:{port}"));
                    let _ = shared.send(&stream, &request, answer, fault); // a client may leave
                });
            }
        });
        Origin { port, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers wrongly where a path holds `part`, until [`Origin::behave`].
    pub fn misbehave(&self, part: &str, fault: Fault) {
        self.plan(part, fault, None);
    }

    /// The same for the next `n` answers; what was planned earlier comes first.
    pub fn misbehave_times(&self, n: usize, part: &str, fault: Fault) {
        self.plan(part, fault, Some(n));
    }

    fn plan(&self, part: &str, fault: Fault, n_left: Option<usize>) {
        let part = part.to_owned();
        self.shared.lock().faults.push(Planned { part, fault, n_left, since: None });
    }

    pub fn behave(&self) {
        self.shared.lock().faults.clear();
        self.shared.changed.notify_all();
    }

    /// Everything asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// What was asked since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.lock().requests)
    }
}

impl Drop for Origin {
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

    /// Notes a request, and finds what goes wrong with its answer.
    fn take(&self, request: &Request) -> Option<Fault> {
        let mut state = self.lock();
        state.requests.push(request.clone());
        let is_met = |planned: &&mut Planned| {
            let is_over = match planned.fault {
                Fault::TooMany { seconds } => {
                    planned.since.is_some_and(|since| since.elapsed() >= Duration::from_secs(seconds))
                }
                _ => planned.n_left == Some(0),
            };
            !is_over && request.file().contains(&planned.part)
        };
        let planned = state.faults.iter_mut().find(is_met)?;
        planned.n_left = planned.n_left.map(|n_left| n_left - 1);
        planned.since.get_or_insert_with(Instant::now);
        Some(planned.fault.clone())
    }

    fn is_stalled(&self, request: &Request) -> bool {
        let state = self.lock();
        let is_met = |planned: &Planned| {
            matches!(planned.fault, Fault::Stalled(_)) && request.file().contains(&planned.part)
        };
        !self.is_over.load(Ordering::SeqCst) && state.faults.iter().any(is_met)
    }

    fn send(
        &self,
        mut stream: &TcpStream,
        request: &Request,
        answer: Answer,
        fault: Option<Fault>,
    ) -> std::io::Result<()> {
        // What a host says about itself, it says with its errors too.
        let cors: Vec<(&str, String)> =
            answer.headers.iter().filter(|(name, _)| name.starts_with("Access-Control")).cloned().collect();
        let mut answer = match &fault {
            Some(Fault::Status(status, "")) => Answer::new(*status, "no"),
            Some(Fault::Status(status, code)) => Answer::new(*status, "no").with("X-Error-Code", *code),
            // Both ways of saying when; the hub itself was only seen to send the second.
            Some(Fault::TooMany { seconds }) => Answer::new(429, "too many requests")
                .with("Retry-After", seconds.to_string())
                .with("RateLimit", format!("\"resolvers\";r=0;t={seconds}")),
            Some(Fault::Html(status)) => Answer::html(*status, "Sign in"),
            Some(Fault::Other(body)) => Answer::new(200, body.clone()),
            _ => answer,
        };
        answer.headers.retain(|(name, _)| !name.starts_with("Access-Control"));
        if fault != Some(Fault::NoCors) {
            answer.headers.extend(cors);
        }
        if fault == Some(Fault::Corrupted) {
            answer.body = answer.body.with_a_changed_byte();
        }
        let n_bytes = answer.body.len() - answer.start;
        let mut head =
            format!("HTTP/1.1 {} X\r\nContent-Length: {n_bytes}\r\nConnection: close\r\n", answer.status);
        answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        stream.write_all((head + "\r\n").as_bytes())?;
        if request.method == "HEAD" {
            return Ok(());
        }
        let share = match fault {
            Some(Fault::Cut(share) | Fault::Stalled(share)) => share,
            _ => 1.0,
        };
        let n_first = (n_bytes as f64 * share) as u64;
        let mut body = answer.body.read_from(answer.start)?;
        std::io::copy(&mut (&mut body).take(n_first), &mut stream)?;
        stream.flush()?;
        if let Some(Fault::Stalled(_)) = fault {
            // Looks up now and then, because the end of the server must wake it too.
            while self.is_stalled(request) {
                let state = self.lock();
                drop(self.changed.wait_timeout(state, Duration::from_millis(20)));
            }
            if !self.is_over.load(Ordering::SeqCst) {
                std::io::copy(&mut body, &mut stream)?;
            }
        }
        stream.shutdown(Shutdown::Both)
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let n_body_bytes = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    std::io::copy(&mut reader.take(n_body_bytes as u64), &mut std::io::sink()).ok()?;
    Some(Request { method, path, headers, n_body_bytes })
}
