//! A file over HTTP, in pieces, from any byte on.
//!
//! Invariant: a request carries an address and at most a `Range`: no cookies, no referrer, no picture, no label. That
//! makes it one that needs no preflight, which not every mirror answers.
//! Invariant: a file is gone on with only if it is the same: strong ETags are compared, which is what `If-Range` would
//! do, whose preflight is spared.
//! Invariant: a connection that brings nothing for [`STALL_MILLIS`] is broken, and an abort ends every wait.

use super::problem::{Code, Problem};
use gloo::events::EventListener;
use gloo::timers::callback::Timeout;
use gloo::timers::future::TimeoutFuture;
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, Blob, DedicatedWorkerGlobalScope, Headers, ReadableStreamDefaultReader,
    ReferrerPolicy, RequestCache, RequestCredentials, RequestInit, Response,
};

pub const TRIES: u32 = 3;
const PAUSE_MILLIS: u32 = 800;
const STALL_MILLIS: u32 = 20_000;

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
}

/// Where a file is to be gone on with, and the version that its beginning was of.
#[derive(Clone, Copy)]
pub struct From<'a> {
    pub start: u64,
    pub etag: &'a str,
}

impl Body {
    /// Asks for a file, or for the rest of it if it is still the same; [`Body::start`] tells.
    pub async fn open(address: &str, from: Option<From<'_>>, cancel: &AbortSignal) -> Result<Body, Problem> {
        let Some(from) = from.filter(|from| from.start > 0) else {
            return Body::ask(address, None, cancel).await;
        };
        match Body::ask(address, Some(from), cancel).await {
            Ok(body) if body.start == 0 || body.etag.as_deref() == Some(from.etag) => Ok(body),
            // Another version, or one that has no such byte.
            Ok(_) => Body::ask(address, None, cancel).await,
            Err(problem) if problem.detail.ends_with("status 416") => Body::ask(address, None, cancel).await,
            Err(problem) => Err(problem),
        }
    }

    async fn ask(address: &str, from: Option<From<'_>>, cancel: &AbortSignal) -> Result<Body, Problem> {
        let network = |error: JsValue| network(address, &error);
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
        let start = match (status, from) {
            (206, Some(from)) => from.start,
            (200, _) => 0,
            _ => {
                let code = match (status, is_foreign(address)) {
                    (401 | 403, true) => Code::SourceGated,
                    (404 | 410, true) => Code::SourceMissing,
                    (404 | 410, false) => Code::WeightsMissing,
                    (_, true) => Code::SourceServer,
                    (_, false) => Code::WeightsServer,
                };
                return Err(Problem::new(code, format!("{address}: status {status}")));
            }
        };
        if header("content-type").is_some_and(|kind| kind.contains("text/html")) {
            let code = if is_foreign(address) { Code::SourceHtml } else { Code::WeightsHtml };
            return Err(Problem::new(code, format!("{address}: text/html")));
        }
        // The length of what was compressed on the way says nothing.
        let length = header("content-length").filter(|_| header("content-encoding").is_none());
        let n_bytes = length.and_then(|length| length.parse::<u64>().ok()).map(|length| start + length);
        let etag = header("etag").filter(|etag| !etag.starts_with("W/"));
        let body = response.body().ok_or_else(|| network("no body".into()))?;
        let reader = body.get_reader().unchecked_into();
        let address = address.to_owned();
        Ok(Body { address, reader, attempt, watchdog: Some(watchdog), _cancel, start, n_bytes, etag })
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

/// Between the `n_tries`th try and the next.
pub async fn pause(n_tries: u32) {
    TimeoutFuture::new(PAUSE_MILLIS << n_tries).await;
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
