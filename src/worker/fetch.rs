//! A file over HTTP, in pieces, from any byte on.
//!
//! Invariant: a request carries an address and at most a `Range`: no cookies, no referrer, no picture, no label. That
//! makes it one that needs no preflight, which not every mirror answers.
//! Invariant: a file is gone on with only if it is the same: its SHA-256 is known, or strong ETags are compared, which is
//! what `If-Range` would do, whose preflight is spared.
//! Invariant: a hub's refusals are told by its headers where a page may read them, else by the status.
//! Invariant: a connection that brings nothing for [`STALL_MILLIS`] is broken, and an abort ends every wait.

use super::problem::{Code, Problem};
use crate::convert::hub::Refusal;
use gloo::events::EventListener;
use gloo::timers::callback::Timeout;
use gloo::timers::future::TimeoutFuture;
use js_sys::{Promise, Reflect, Uint8Array};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, Blob, DedicatedWorkerGlobalScope, Headers, ReadableStreamDefaultReader,
    ReferrerPolicy, RequestCache, RequestCredentials, RequestInit, Response,
};

pub const TRIES: u32 = 3;
const PAUSE_MILLIS: u32 = 800;
const STALL_MILLIS: u32 = 20_000;
/// A host that asks for patience is asked again so often, and waited for so long at most.
const MAX_WAITS: u32 = 4;
const MAX_WAIT_SECONDS: u32 = 60;

/// An answer whose body is still coming.
pub struct Body {
    address: String,
    reader: ReadableStreamDefaultReader,
    attempt: AbortController,
    watchdog: Option<Timeout>,
    _cancel: EventListener,
    /// The byte of the file that comes first.
    pub start: u64,
    /// Bytes of the whole file, where the server says so.
    pub n_bytes: Option<u64>,
    /// Names this version of the file, where the server says so.
    pub etag: Option<String>,
    /// Where the next page of a listing is, where this is one.
    pub link: Option<String>,
}

/// Where a file is to be gone on with, and the version that its beginning was of; `None` where its hash will tell.
#[derive(Clone, Copy)]
pub struct From<'a> {
    pub start: u64,
    pub etag: Option<&'a str>,
}

/// Why an answer is none.
struct Failed {
    problem: Problem,
    /// `None`: there was no answer.
    status: Option<u16>,
    retry_after_seconds: Option<u32>,
}

impl Body {
    /// Asks for a file, or for the rest of it if it is still the same; [`Body::start`] tells. Waits where the host asks for
    /// patience.
    ///
    /// # Errors
    /// A host that does not answer or refuses.
    pub async fn open(address: &str, from: Option<From<'_>>, cancel: &AbortSignal) -> Result<Body, Problem> {
        let Some(from) = from.filter(|from| from.start > 0) else {
            return Body::ask(address, None, cancel).await.map_err(|failed| failed.problem);
        };
        let is_same = |body: &Body| match from.etag {
            _ if body.start == 0 => true,
            Some(etag) => body.etag.as_deref() == Some(etag),
            None => true,
        };
        match Body::ask(address, Some(from), cancel).await {
            Ok(body) if is_same(&body) => return Ok(body),
            Err(Failed { status, problem, .. }) if status != Some(416) => return Err(problem),
            // Another version, or one that has no such byte.
            _ => check(cancel)?,
        }
        Body::ask(address, None, cancel).await.map_err(|failed| failed.problem)
    }

    async fn ask(address: &str, from: Option<From<'_>>, cancel: &AbortSignal) -> Result<Body, Failed> {
        let mut n_waits = 0;
        loop {
            let failed = match Body::ask_once(address, from, cancel).await {
                Err(failed) if failed.problem.code == Code::SourceBusy && n_waits < MAX_WAITS => failed,
                answer => return answer,
            };
            n_waits += 1;
            // Browsers do not show the header unless the host lets them.
            let seconds = failed.retry_after_seconds.unwrap_or(1 << n_waits);
            if seconds > MAX_WAIT_SECONDS {
                return Err(failed);
            }
            for _ in 0..seconds.max(1) {
                if cancel.aborted() {
                    return Err(failed);
                }
                TimeoutFuture::new(1000).await;
            }
        }
    }

    async fn ask_once(address: &str, from: Option<From<'_>>, cancel: &AbortSignal) -> Result<Body, Failed> {
        let network = |error: JsValue| Failed {
            problem: network(address, &error),
            status: None,
            retry_after_seconds: None,
        };
        let attempt = AbortController::new().map_err(network)?;
        if cancel.aborted() {
            attempt.abort();
        }
        let stop = attempt.clone();
        let _cancel = EventListener::once(cancel, "abort", move |_| stop.abort());
        let watchdog = watch(&attempt);
        let init = RequestInit::new();
        init.set_signal(Some(&attempt.signal()));
        init.set_credentials(RequestCredentials::Omit);
        init.set_referrer_policy(ReferrerPolicy::NoReferrer);
        let headers = Headers::new().map_err(network)?;
        if let Some(from) = from {
            headers.set("Range", &format!("bytes={}-", from.start)).map_err(network)?;
        }
        if is_foreign(address) {
            init.set_cache(RequestCache::NoStore); // what is kept of it is kept once
        }
        init.set_headers(&headers);
        let response: Response = JsFuture::from(scope().fetch_with_str_and_init(address, &init))
            .await
            .map_err(network)?
            .unchecked_into();
        let (status, header) = (response.status(), |name| response.headers().get(name).ok().flatten());
        let refused = |code, what: &str| Failed {
            problem: Problem::new(code, format!("{address}: {what}")),
            status: Some(status),
            retry_after_seconds: header("retry-after").and_then(|seconds| seconds.trim().parse().ok()),
        };
        let start = match (status, from) {
            (206, Some(from)) => from.start,
            (200, _) => 0,
            _ => {
                let error_code = header("x-error-code");
                let refusal = Refusal::of(status, error_code.as_deref()).unwrap_or(Refusal::Other);
                let code = match (refusal, is_foreign(address)) {
                    (Refusal::NoEntry, true) => Code::SourceMissing,
                    (Refusal::NoRevision, true) => Code::SourceNoRevision,
                    (Refusal::NoRepository | Refusal::Gated, true) => Code::SourceGated,
                    (Refusal::Busy, true) => Code::SourceBusy,
                    (Refusal::Server | Refusal::Other, true) => Code::SourceServer,
                    (Refusal::NoEntry | Refusal::NoRevision, false) => Code::WeightsMissing,
                    (_, false) => Code::WeightsServer,
                };
                let named = error_code.map(|error_code| format!(", {error_code}")).unwrap_or_default();
                return Err(refused(code, &format!("status {status}{named}")));
            }
        };
        if header("content-type").is_some_and(|kind| kind.contains("text/html")) {
            let code = if is_foreign(address) { Code::SourceHtml } else { Code::WeightsHtml };
            return Err(refused(code, "text/html"));
        }
        // The length of what was compressed on the way says nothing.
        let length = header("content-length").filter(|_| header("content-encoding").is_none());
        let n_bytes = length.and_then(|length| length.parse::<u64>().ok()).map(|length| start + length);
        let etag = header("etag").filter(|etag| !etag.starts_with("W/"));
        let link = header("link");
        let body = response.body().ok_or_else(|| network("no body".into()))?;
        let reader = body.get_reader().unchecked_into();
        let address = address.to_owned();
        Ok(Body { address, reader, attempt, watchdog: Some(watchdog), _cancel, start, n_bytes, etag, link })
    }

    /// What comes next; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Uint8Array>, Problem> {
        self.watchdog = Some(watch(&self.attempt));
        let part = JsFuture::from(self.reader.read()).await;
        self.watchdog = None;
        let part = part.map_err(|error| network(&self.address, &error))?;
        let field = |name: &str| Reflect::get(&part, &name.into()).unwrap_or_default();
        Ok((!field("done").is_truthy()).then(|| field("value").unchecked_into()))
    }

    /// Everything, if it is no more than `max` bytes.
    pub async fn collect(mut self, max: usize) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            if bytes.len() + piece.length() as usize > max {
                let detail = format!("{}: more than {max} bytes", self.address);
                return Err(Problem::new(Code::SourceUnusable, detail));
            }
            bytes.extend(piece.to_vec());
        }
        Ok(bytes)
    }
}

/// Ends the transfer of what nobody reads any more.
impl Drop for Body {
    fn drop(&mut self) {
        self.attempt.abort();
    }
}

/// Opens a file from its first byte, over several tries.
pub async fn open(address: &str, cancel: &AbortSignal) -> Result<Body, Problem> {
    with_tries(cancel, async || Body::open(address, None, cancel).await).await
}

/// A small file, over several tries: its bytes, no more than `max`, and its `Link` header.
pub async fn small(
    address: &str,
    max: usize,
    cancel: &AbortSignal,
) -> Result<(Vec<u8>, Option<String>), Problem> {
    with_tries(cancel, async || {
        let body = Body::open(address, None, cancel).await?;
        let link = body.link.clone();
        Ok((body.collect(max).await?, link))
    })
    .await
}

/// Tries until it works, with growing pauses, unless trying again cannot help.
pub async fn with_tries<T>(
    cancel: &AbortSignal,
    mut attempt: impl AsyncFnMut() -> Result<T, Problem>,
) -> Result<T, Problem> {
    let mut n_tries = 1;
    loop {
        // Also during the last pause, or while storage was read.
        check(cancel)?;
        let problem = match attempt().await {
            Ok(value) => return Ok(value),
            Err(problem) => problem,
        };
        check(cancel)?;
        if n_tries == TRIES || is_final(problem.code) {
            return Err(problem);
        }
        pause(n_tries).await;
        n_tries += 1;
    }
}

/// Whether asking again gives the same: the server said so plainly.
pub fn is_final(code: Code) -> bool {
    !matches!(
        code,
        Code::WeightsServer
            | Code::WeightsNetwork
            | Code::WeightsDamaged
            | Code::SourceServer
            | Code::SourceUnreachable
    )
}

/// Waits between the `n_tries`th try and the next.
pub async fn pause(n_tries: u32) {
    TimeoutFuture::new(PAUSE_MILLIS << n_tries).await;
}

/// What `work` comes to, unless it is aborted first: for waits that know nothing of the signal.
pub async fn unless_aborted<T>(
    cancel: &AbortSignal,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let waker = Rc::new(RefCell::new(None::<Waker>));
    let to_wake = waker.clone();
    let _listener =
        EventListener::new(cancel, "abort", move |_| to_wake.take().into_iter().for_each(Waker::wake));
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Err(aborted) = check(cancel) {
            return Poll::Ready(Err(aborted));
        }
        waker.replace(Some(context.waker().clone()));
        work.as_mut().poll(context)
    })
    .await
}

/// The problem of a job that was stopped.
pub fn check(cancel: &AbortSignal) -> Result<(), Problem> {
    if cancel.aborted() { Err(Problem::new(Code::LoadCancelled, "")) } else { Ok(()) }
}

fn watch(attempt: &AbortController) -> Timeout {
    let stop = attempt.clone();
    Timeout::new(STALL_MILLIS, move || stop.abort())
}

fn network(address: &str, error: &JsValue) -> Problem {
    let code = if is_foreign(address) { Code::SourceUnreachable } else { Code::WeightsNetwork };
    Problem::new(code, format!("{address}: {}", message(error)))
}

/// What an exception says.
pub fn message(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => format!("{}: {}", error.name(), error.message()),
        None => format!("{error:?}"),
    }
}

/// Addresses within the page's origin are relative.
fn is_foreign(address: &str) -> bool {
    address.contains("://")
}

/// The bytes of a file or blob.
pub async fn blob_bytes(file: &Blob) -> Result<Vec<u8>, JsValue> {
    let buffer = JsFuture::from(file.array_buffer()).await?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// A promise's value as a type that it is known to have.
pub async fn settled<T: JsCast>(promise: Result<Promise, JsValue>) -> Result<T, JsValue> {
    JsFuture::from(promise?).await.map(JsCast::unchecked_into)
}

pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}
