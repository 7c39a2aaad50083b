//! Model files to checkpoints: the page's own, one of the store's, or the reader's.
//!
//! Invariant: all are GGUFs of this project (the downloader makes them of any other), read the same way: in pieces, every
//! byte through SHA-256, the file never beside its tensors.
//! Invariant: nothing is built from a file whose hash is known before all of its bytes were found to have it; a stored
//! copy that fails is deleted.
//! Invariant: works without storage (private mode, quota): then the page's own model is fetched on every visit.

use crate::engine::{BackendChoice, WarmGpu};
use crate::models::{Checkpoint, ModelError, own_config};
use crate::weights::gguf::GgufFile;
use crate::weights::{Item, Stream, Weights, from_json};
use crate::worker::fetch::{self, Body, settled};
use crate::worker::lock::{Lock, Share};
use crate::worker::model_store::{self, ModelStore};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{LoadStage, Progress};
use crate::worker::reader::{FileSource, Known, Unfit, WeightsReader};
use js_sys::{Array, Reflect};
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortSignal, Blob, Cache, CacheStorage, Request, Response};

const MANIFEST: &str = "models/manifest.json";
const STORE: &str = "cliplet-weights";
/// Where the store keeps models, by their SHA-256: below this worker's folder, since a host may have other pages.
const KEPT: &str = "models/by-sha256/";
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

/// A model that was read.
pub struct Loaded {
    pub file: String,
    pub n_bytes: u64,
    pub sha256: String,
    pub checkpoint: Checkpoint,
    /// Where its shaders were compiled meanwhile.
    pub warm: Option<WarmGpu>,
}

/// Where a model is to run, and what ends its loading.
#[derive(Clone, Copy)]
pub struct How<'a> {
    pub backend: BackendChoice,
    pub cancel: &'a AbortSignal,
}

/// The page's own model.
pub async fn starter(how: How<'_>, mut tell: impl FnMut(Progress)) -> Result<Loaded, Problem> {
    let cancel = how.cancel;
    let manifest = manifest(cancel).await?;
    let address = format!("models/{}", manifest.file);
    let key = format!("{KEPT}{}", manifest.sha256);
    let known = Some((manifest.bytes, manifest.sha256.as_str()));
    if let Some(blob) = stored(&key).await {
        match read(&manifest.file, &blob, known, how, &mut tell).await {
            Err(problem) if problem.code == Code::WeightsDamaged => drop(forget().await),
            outcome => return outcome,
        }
    }
    let mut beginning = Beginning::default();
    fetch::with_tries(cancel, async || {
        let blob = beginning.complete(&address, manifest.bytes, cancel, &mut tell).await?;
        // A damaged copy is worth another try, from the start.
        let loaded = read(&manifest.file, &blob, known, how, &mut tell).await;
        if loaded.is_ok() {
            // Storage is a convenience: without it the model is fetched again next time.
            drop(keep(&key, &blob).await);
        }
        beginning = Beginning::default();
        loaded
    })
    .await
}

/// Deletes the page's own model from this browser's storage, and earlier versions of it.
pub async fn forget() -> Result<(), JsValue> {
    let store = open().await?;
    let folder = Request::new_with_str(KEPT)?.url();
    let kept: Array = settled(Ok(store.keys())).await?;
    for request in kept.iter().filter_map(|request| request.dyn_into::<Request>().ok()) {
        if request.url().starts_with(&folder) {
            settled::<JsValue>(Ok(store.delete_with_request(&request))).await?;
        }
    }
    Ok(())
}

/// A file of the reader's own: nothing is known of it, so its hash is told, not checked.
pub async fn from_file(
    name: &str,
    file: &Blob,
    how: How<'_>,
    mut tell: impl FnMut(Progress),
) -> Result<Loaded, Problem> {
    let n_bytes = file.size();
    if n_bytes > MAX_FILE_BYTES {
        let detail = format!("{name}: {n_bytes} bytes; the limit is {MAX_FILE_BYTES}");
        return Err(Problem::new(Code::ModelFileUnusable, detail));
    }
    read(name, file, None, how, &mut tell).await.map_err(|problem| match problem.code {
        Code::WeightsUnreadable | Code::StorageFailed => Problem { code: Code::ModelFileUnusable, ..problem },
        _ => problem,
    })
}

/// A model of the store's. A damaged one is deleted.
pub async fn from_store(key: &str, how: How<'_>, mut tell: impl FnMut(Progress)) -> Result<Loaded, Problem> {
    let cancel = how.cancel;
    let store = ModelStore::open().await;
    // Nobody deletes it meanwhile.
    let lock = Lock::take(&model_store::lock_name(key), Share::Readers, Some(cancel)).await;
    fetch::check(cancel)?;
    let lock = lock.map_err(model_store::failed)?;
    let missing = || Problem::new(Code::StoredMissing, format!("no stored model {key:?}"));
    let entry = store.entry(key).await.ok_or_else(missing)?;
    let known = Some((entry.bytes, entry.sha256.as_str()));
    let loaded = match store.model(key).await {
        Some(blob) => read(&entry.name, &blob, known, how, &mut tell).await,
        None => Err(Problem::new(Code::WeightsDamaged, "its file is gone")),
    };
    match loaded {
        Err(Problem { code: Code::WeightsDamaged | Code::StorageFailed, detail, .. }) => {
            drop(lock);
            store.delete(key).await?;
            Err(Problem::new(Code::StoredDamaged, detail))
        }
        loaded => loaded,
    }
}

/// Reads a GGUF; its length and SHA-256, where they are known, decide whether it may be used.
async fn read(
    name: &str,
    blob: &Blob,
    known: Option<(u64, &str)>,
    how: How<'_>,
    tell: &mut impl FnMut(Progress),
) -> Result<Loaded, Problem> {
    let n_bytes = blob.size() as u64;
    let damaged = |detail: String| Err(Problem::new(Code::WeightsDamaged, detail));
    if let Some((expected, _)) = known.filter(|(expected, _)| *expected != n_bytes) {
        return damaged(format!("{name}: {n_bytes} bytes, {expected} are expected"));
    }
    let mut reader =
        WeightsReader::open(FileSource::Blob(blob.clone()), Known::default(), Stream::of_gguf, how.cancel)
            .await?;
    let mut told = 0;
    tell(Progress { stage: LoadStage::Read, done: 0, total: n_bytes });
    let mut on_piece = |reader: &WeightsReader| {
        let done = reader.n_received();
        if done - told >= STEP_BYTES {
            told = done;
            tell(Progress { stage: LoadStage::Read, done, total: n_bytes });
        }
    };
    let parsed = parse(&mut reader, how, &mut on_piece).await;
    if let Err(Failure::Problem(problem)) = parsed {
        return Err(problem);
    }
    // What could not be parsed is damaged if its hash says so.
    while reader.next(&mut on_piece).await.map_err(Failure::from).map_err(Failure::problem)?.is_some() {}
    let sha256 = reader.sha256();
    if let Some((_, expected)) = known.filter(|(_, expected)| *expected != sha256) {
        return damaged(format!("{name}: SHA-256 {sha256}, expected is {expected}"));
    }
    let (checkpoint, warm) = parsed.map_err(Failure::problem)?;
    Ok(Loaded { file: name.to_owned(), n_bytes, sha256, checkpoint, warm })
}

async fn parse(
    reader: &mut WeightsReader,
    How { backend, cancel }: How<'_>,
    on_piece: &mut dyn FnMut(&WeightsReader),
) -> Result<(Checkpoint, Option<WarmGpu>), Failure> {
    let (mut gguf, mut outlines) = (GgufFile::default(), Weights::default());
    if let Some(Item::Header(header)) = reader.next(on_piece).await? {
        (gguf, outlines) = (header.gguf.unwrap_or_default(), header.outlines);
    }
    let config = own_config(&gguf)?;
    drop(gguf);
    // A GPU that the reader wants left alone is not even asked for.
    let warm = match backend {
        BackendChoice::Cpu => None,
        BackendChoice::Auto | BackendChoice::Gpu => {
            fetch::unless_aborted(cancel, async { Ok(WarmGpu::new(&config, outlines).await) })
                .await
                .map_err(Failure::Problem)?
        }
    };
    let mut weights = Weights::default();
    while let Some(item) = reader.next(on_piece).await? {
        if let Item::Tensor(name, tensor) = item {
            weights.insert(name, tensor);
        }
    }
    Ok((Checkpoint { config, weights }, warm))
}

enum Failure {
    Problem(Problem),
    Model(ModelError),
}

impl Failure {
    fn problem(self) -> Problem {
        match self {
            Failure::Problem(problem) => problem,
            Failure::Model(error) => Problem::new(Code::WeightsUnreadable, error),
        }
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Failure {
        match unfit {
            Unfit::Problem(problem) => Failure::Problem(problem),
            Unfit::Weights(error) => Failure::Model(error.into()),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        Failure::Model(error)
    }
}

async fn manifest(cancel: &AbortSignal) -> Result<Manifest, Problem> {
    let (text, _) = fetch::small(MANIFEST, 1 << 20, cancel).await?;
    from_json(&text).map_err(|error| Problem::new(Code::WeightsDamaged, format!("{MANIFEST}: {error}")))
}

/// The beginning of a download, outside the memory of this program.
#[derive(Default)]
struct Beginning {
    pieces: Array,
    n_bytes: u64,
    etag: Option<String>,
}

impl Beginning {
    /// Fetches what is missing.
    async fn complete(
        &mut self,
        address: &str,
        n_expected: u64,
        cancel: &AbortSignal,
        tell: &mut impl FnMut(Progress),
    ) -> Result<Blob, Problem> {
        let from = self.etag.as_deref().map(|etag| fetch::From { start: self.n_bytes, etag: Some(etag) });
        let mut body = Body::open(address, from, cancel).await?;
        if body.start != self.n_bytes {
            (self.pieces, self.n_bytes) = (Array::new(), 0);
        }
        self.etag = body.etag.clone();
        let mut told = 0;
        while let Some(piece) = body.next().await? {
            self.n_bytes += u64::from(piece.length());
            self.pieces.push(&piece);
            if self.n_bytes > n_expected {
                *self = Beginning::default();
                let detail = format!("{address}: more than the manifest's {n_expected} bytes");
                return Err(Problem::new(Code::WeightsDamaged, detail));
            }
            if self.n_bytes - told >= STEP_BYTES {
                told = self.n_bytes;
                tell(Progress { stage: LoadStage::Download, done: told, total: n_expected });
            }
        }
        Blob::new_with_u8_array_sequence(&self.pieces)
            .map_err(|error| Problem::new(Code::EngineFailed, fetch::message(&error)))
    }
}

/// Undefined on pages that are not secure.
fn caches() -> Result<CacheStorage, JsValue> {
    let caches = Reflect::get(&fetch::scope(), &"caches".into())?;
    caches.dyn_into().map_err(|_| "no storage".into())
}

async fn stored(key: &str) -> Option<Blob> {
    let store = open().await.ok()?;
    let found: JsValue = settled(Ok(store.match_with_str(key))).await.ok()?;
    let response: Response = found.dyn_into().ok()?;
    settled(response.blob()).await.ok()
}

async fn keep(key: &str, blob: &Blob) -> Result<(), JsValue> {
    // One model at a time: earlier versions would only take room.
    forget().await?;
    let response = Response::new_with_opt_blob(Some(blob))?;
    settled::<JsValue>(Ok(open().await?.put_with_str(key, &response))).await.map(drop)
}

async fn open() -> Result<Cache, JsValue> {
    settled(Ok(caches()?.open(STORE))).await
}
