//! The model's file: from this browser's storage or from the page's own server, verified either way.
//!
//! Invariant: no byte is used before SHA-256 over all of them equals the manifest's; a stored copy that fails is
//! deleted and fetched again.
//! Invariant: works without storage (private mode, quota): then it fetches on every visit.
//! Invariant: three tries with growing pauses; an interrupted one goes on where it broke off if the file is the same.

use super::problem::{Code, Problem};
use super::protocol::{LoadStage, Progress};
use crate::weights::sha256_hex;
use gloo::timers::callback::Timeout;
use gloo::timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, Blob, Cache, CacheStorage, DedicatedWorkerGlobalScope, Headers,
    ReadableStreamDefaultReader, RequestInit, Response,
};

const MANIFEST: &str = "models/manifest.json";
const STORE: &str = "cliplet-weights";
const TRIES: u32 = 3;
const PAUSE_MILLIS: u32 = 800;
/// A connection that brings nothing for this long is broken.
const STALL_MILLIS: u32 = 20_000;
/// Progress is told this often at most.
const STEP_BYTES: u64 = 256 * 1024;

/// A model and its weights on the device have to fit a tab's 4 GiB twice.
const MAX_FILE_BYTES: f64 = 1.0e9;

/// What the manifest says of the file beside it.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
}

/// The verified bytes of the page's model.
pub async fn model(
    abort: &AbortController,
    mut tell: impl FnMut(Progress),
) -> Result<(Manifest, Vec<u8>), Problem> {
    let manifest = manifest(abort).await?;
    let address = format!("models/{}", manifest.file);
    let key = format!("models/by-sha256/{}", manifest.sha256);
    if let Some(bytes) = stored(&key, manifest.bytes, &mut tell).await {
        match verify(&bytes, &manifest, &mut tell) {
            Ok(()) => return Ok((manifest, bytes)),
            Err(_) => drop(forget().await),
        }
    }
    let mut bytes = Vec::new();
    let mut fetched = None;
    with_tries(abort, async || {
        fetch(&address, manifest.bytes, &mut bytes, &mut fetched, abort, &mut tell).await?;
        // A damaged copy is worth another try, from the start.
        verify(&bytes, &manifest, &mut tell).inspect_err(|_| bytes.clear())
    })
    .await?;
    // Storage is a convenience: without it the model is fetched again next time.
    drop(keep(&key, &bytes).await);
    Ok((manifest, bytes))
}

/// Deletes what is stored.
pub async fn forget() -> Result<(), JsValue> {
    JsFuture::from(caches()?.delete(STORE)).await.map(drop)
}

/// Undefined on pages that are not secure.
fn caches() -> Result<CacheStorage, JsValue> {
    let caches = Reflect::get(&scope(), &"caches".into())?;
    caches.dyn_into().map_err(|_| "no storage".into())
}

/// A file of the reader's own: nothing is known of it, so its hash is told, not checked.
pub async fn from_file(
    name: String,
    file: &Blob,
    mut tell: impl FnMut(Progress),
) -> Result<(Manifest, Vec<u8>), Problem> {
    let unusable = |detail: String| Problem::new(Code::ModelFileUnusable, detail);
    let n_bytes = file.size();
    if n_bytes > MAX_FILE_BYTES {
        return Err(unusable(format!("{name}: {n_bytes} bytes; the limit is {MAX_FILE_BYTES}")));
    }
    let total = n_bytes as u64;
    tell(Progress { stage: LoadStage::Read, done: 0, total });
    let buffer = JsFuture::from(file.array_buffer()).await;
    let bytes = Uint8Array::new(&buffer.map_err(|error| unusable(format!("{name}: {error:?}")))?).to_vec();
    tell(Progress { stage: LoadStage::Verify, done: total, total });
    let sha256 = sha256_hex(&bytes);
    Ok((Manifest { file: name, bytes: total, sha256 }, bytes))
}

async fn manifest(abort: &AbortController) -> Result<Manifest, Problem> {
    let mut text = Vec::new();
    with_tries(abort, async || {
        text.clear();
        fetch(MANIFEST, 0, &mut text, &mut None, abort, &mut |_| {}).await
    })
    .await?;
    serde_json::from_slice(&text)
        .map_err(|error| Problem::new(Code::WeightsDamaged, format!("{MANIFEST}: {error}")))
}

async fn with_tries(
    abort: &AbortController,
    mut attempt: impl AsyncFnMut() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut n_tries = 1;
    let cancelled = || Err(Problem::new(Code::LoadCancelled, ""));
    loop {
        // Also during the last pause, or while storage was read.
        if is_cancelled(&abort.signal()) {
            return cancelled();
        }
        let problem = match attempt().await {
            Ok(()) => return Ok(()),
            _ if is_cancelled(&abort.signal()) => return cancelled(),
            Err(problem) => problem,
        };
        // What the server says plainly does not change by asking again.
        if n_tries == TRIES || matches!(problem.code, Code::WeightsMissing | Code::WeightsHtml) {
            return Err(problem);
        }
        TimeoutFuture::new(PAUSE_MILLIS << n_tries).await;
        n_tries += 1;
    }
}

/// Appends what is missing of `address` to `bytes`. `etag` is the version that `bytes` is the beginning of.
async fn fetch(
    address: &str,
    n_expected: u64,
    bytes: &mut Vec<u8>,
    etag: &mut Option<String>,
    cancel: &AbortController,
    tell: &mut impl FnMut(Progress),
) -> Result<(), Problem> {
    let network = |error: JsValue| Problem::new(Code::WeightsNetwork, format!("{address}: {error:?}"));
    // One controller an attempt: a stall ends the attempt, a cancel ends them all.
    let attempt = AbortController::new().map_err(network)?;
    let stop = attempt.clone();
    let _cancel = gloo::events::EventListener::once(&cancel.signal(), "abort", move |_| stop.abort());
    let watch = || {
        let stop = attempt.clone();
        Timeout::new(STALL_MILLIS, move || stop.abort())
    };
    let mut watchdog = watch();

    let headers = Headers::new().map_err(network)?;
    match etag.as_deref().filter(|_| !bytes.is_empty()) {
        Some(etag) => {
            headers.set("Range", &format!("bytes={}-", bytes.len())).map_err(network)?;
            headers.set("If-Range", etag).map_err(network)?;
        }
        None => bytes.clear(),
    }
    let init = RequestInit::new();
    init.set_headers(&headers);
    init.set_signal(Some(&attempt.signal()));
    let response = JsFuture::from(scope().fetch_with_str_and_init(address, &init)).await.map_err(network)?;
    let response: Response = response.unchecked_into();
    let status = response.status();
    match status {
        206 => {}
        200 => bytes.clear(),
        404 | 410 => return Err(Problem::new(Code::WeightsMissing, format!("{address}: status {status}"))),
        _ => return Err(Problem::new(Code::WeightsServer, format!("{address}: status {status}"))),
    }
    let header = |name| response.headers().get(name).ok().flatten();
    if header("content-type").is_some_and(|kind| kind.contains("text/html")) {
        return Err(Problem::new(Code::WeightsHtml, format!("{address}: text/html")));
    }
    *etag = header("etag").filter(|etag| !etag.starts_with("W/"));

    let body =
        response.body().ok_or_else(|| Problem::new(Code::WeightsNetwork, format!("{address}: no body")))?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut told = 0;
    loop {
        let part = JsFuture::from(reader.read()).await.map_err(network)?;
        watchdog.cancel();
        watchdog = watch();
        let field = |name: &str| Reflect::get(&part, &name.into()).unwrap_or_default();
        if field("done").is_truthy() {
            break;
        }
        let chunk: Uint8Array = field("value").unchecked_into();
        let start = bytes.len();
        bytes.resize(start + chunk.length() as usize, 0);
        chunk.copy_to(&mut bytes[start..]);
        let done = bytes.len() as u64;
        if n_expected > 0 && done > n_expected {
            attempt.abort();
            bytes.clear();
            let detail = format!("{address}: more than the manifest's {n_expected} bytes");
            return Err(Problem::new(Code::WeightsDamaged, detail));
        }
        if done - told >= STEP_BYTES {
            told = done;
            tell(Progress { stage: LoadStage::Download, done, total: n_expected });
        }
    }
    watchdog.cancel();
    Ok(())
}

fn verify(bytes: &[u8], manifest: &Manifest, tell: &mut impl FnMut(Progress)) -> Result<(), Problem> {
    tell(Progress { stage: LoadStage::Verify, done: 0, total: 0 });
    let damaged = |detail| Err(Problem::new(Code::WeightsDamaged, detail));
    if bytes.len() as u64 != manifest.bytes {
        return damaged(format!("{} bytes, the manifest says {}", bytes.len(), manifest.bytes));
    }
    let found = sha256_hex(bytes);
    if found != manifest.sha256 {
        return damaged(format!("SHA-256 {found}, the manifest says {}", manifest.sha256));
    }
    Ok(())
}

async fn stored(key: &str, n_bytes: u64, tell: &mut impl FnMut(Progress)) -> Option<Vec<u8>> {
    let store = open().await.ok()?;
    let found = JsFuture::from(store.match_with_str(key)).await.ok()?;
    let response: Response = found.dyn_into().ok()?;
    tell(Progress { stage: LoadStage::Read, done: 0, total: n_bytes });
    let buffer = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

async fn keep(key: &str, bytes: &[u8]) -> Result<(), JsValue> {
    // One model at a time: earlier versions would only take room.
    forget().await?;
    let body = Uint8Array::from(bytes);
    let response = Response::new_with_opt_js_u8_array(Some(&body))?;
    JsFuture::from(open().await?.put_with_str(key, &response)).await.map(drop)
}

async fn open() -> Result<Cache, JsValue> {
    JsFuture::from(caches()?.open(STORE)).await.map(JsCast::unchecked_into)
}

fn is_cancelled(signal: &AbortSignal) -> bool {
    signal.aborted()
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}
