//! The models in this browser's storage: files of this origin's own file system, else entries of its cache.
//!
//! A model `KEY` is a GGUF in two files, so that it never needs room twice: `KEY.data`, its tensors as they come, and
//! `KEY.head`, all that stands before them and is known when they are there. `KEY.json` is written last and makes it a model.
//! One that is being downloaded has `KEY.header` (its source's header) and `KEY.todo` (where to go on) instead. In a cache,
//! and from before there were two files, it is one, `KEY.gguf`.
//!
//! Invariant: who writes or deletes a model's files holds its lock alone; who reads them shares it.
//! Invariant: without storage everything works, and nothing is kept.

use super::fetch::{self, message, scope, settled};
use super::lock::{Lock, Share};
use super::problem::{Code, Problem};
use super::protocol::{Store, StoredModel, Unfinished};
use crate::weights::from_json;
use crate::weights::gguf::Table;
use js_sys::{Array, AsyncIterator, Object, Promise, Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortSignal, Blob, Cache, CacheStorage, Response};

const FOLDER: &str = "models";
const CACHE: &str = "cliplet-models";
/// Tensor data is copied in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

// Hand-written, because web-sys' own bindings abort where a browser has no such function.
#[wasm_bindgen]
extern "C" {
    type Storage;
    #[wasm_bindgen(method, catch, js_name = getDirectory)]
    fn get_directory(this: &Storage) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn estimate(this: &Storage) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn persisted(this: &Storage) -> Result<Promise, JsValue>;

    #[derive(Clone)]
    pub type Folder;
    #[wasm_bindgen(method, catch, js_name = getDirectoryHandle)]
    fn folder(this: &Folder, name: &str, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getFileHandle)]
    fn file(this: &Folder, name: &str, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEntry)]
    fn remove(this: &Folder, name: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn keys(this: &Folder) -> Result<AsyncIterator, JsValue>;

    type FileHandle;
    #[wasm_bindgen(method, catch, js_name = getFile)]
    fn blob(this: &FileHandle) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createSyncAccessHandle)]
    fn open(this: &FileHandle) -> Result<Promise, JsValue>;

    pub type OpenFile;
    #[wasm_bindgen(method, catch)]
    fn read(this: &OpenFile, bytes: &mut [u8], options: &JsValue) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn write(this: &OpenFile, bytes: &[u8], options: &JsValue) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &OpenFile, n_bytes: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &OpenFile) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &OpenFile) -> Result<(), JsValue>;
}

/// Where models are kept.
pub enum ModelStore {
    Files(Folder),
    Cache(Cache),
    Nothing,
}

/// The lock of a model's files.
pub fn lock_name(key: &str) -> String {
    format!("cliplet-model:{key}")
}

impl ModelStore {
    pub async fn open() -> ModelStore {
        let files = async {
            // Some browsers have files and no way for a worker to write them piece by piece.
            let handles = Reflect::get(&scope(), &"FileSystemFileHandle".into())?;
            let prototype = Reflect::get(&handles, &"prototype".into())?;
            if !Reflect::has(&prototype, &"createSyncAccessHandle".into())? {
                return Err(JsValue::UNDEFINED);
            }
            let root: Folder = settled(storage()?.get_directory()).await?;
            settled(root.folder(FOLDER, &create())).await
        };
        if let Ok(folder) = files.await {
            return ModelStore::Files(folder);
        }
        let cache = async {
            let caches: CacheStorage = Reflect::get(&scope(), &"caches".into())?.dyn_into()?;
            settled(Ok(caches.open(CACHE))).await
        };
        cache.await.map_or(ModelStore::Nothing, ModelStore::Cache)
    }

    /// A file, as it is now.
    pub async fn get(&self, name: &str) -> Option<Blob> {
        match self {
            ModelStore::Files(folder) => {
                let file: FileHandle = settled(folder.file(name, &JsValue::UNDEFINED)).await.ok()?;
                settled(file.blob()).await.ok()
            }
            ModelStore::Cache(cache) => {
                let found: JsValue = settled(Ok(cache.match_with_str(&address(name)))).await.ok()?;
                settled(found.dyn_into::<Response>().ok()?.blob()).await.ok()
            }
            ModelStore::Nothing => None,
        }
    }

    /// The GGUF of a model.
    pub async fn model(&self, key: &str) -> Option<Blob> {
        if let Some(whole) = self.get(&format!("{key}.gguf")).await {
            return Some(whole);
        }
        let (head, data) = (self.get(&format!("{key}.head")).await?, self.get(&format!("{key}.data")).await?);
        Blob::new_with_blob_sequence(&Array::of2(&head, &data)).ok()
    }

    /// Bytes that may still be stored; `None` where the browser does not say.
    pub async fn room(&self) -> Option<u64> {
        let (used, quota) = estimate().await;
        (quota > 0).then(|| quota.saturating_sub(used))
    }

    /// Whether a download of this key can be gone on with.
    pub async fn has_todo(&self, key: &str) -> bool {
        self.get(&format!("{key}.todo")).await.is_some()
    }

    pub async fn get_bytes(&self, name: &str) -> Option<Vec<u8>> {
        fetch::blob_bytes(&self.get(name).await?).await.ok()
    }

    async fn get_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        from_json(&self.get_bytes(name).await?).ok()
    }

    /// Writes a small file.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        match self {
            ModelStore::Files(folder) => write(folder, name, bytes).await.map_err(failed),
            ModelStore::Cache(cache) => {
                let parts = Array::of1(&Uint8Array::from(bytes));
                let blob = Blob::new_with_u8_array_sequence(&parts).map_err(failed)?;
                put_blob(cache, name, &blob).await.map_err(failed)
            }
            ModelStore::Nothing => Ok(()),
        }
    }

    async fn remove(&self, name: &str) {
        // What is not there is as good as removed.
        drop(match self {
            ModelStore::Files(folder) => settled::<JsValue>(folder.remove(name)).await,
            ModelStore::Cache(cache) => settled(Ok(cache.delete_with_str(&address(name)))).await,
            ModelStore::Nothing => return,
        });
    }

    async fn names(&self) -> Result<Vec<String>, JsValue> {
        let mut names = Vec::new();
        match self {
            ModelStore::Files(folder) => {
                let keys = folder.keys()?;
                loop {
                    let next: JsValue = settled(keys.next()).await?;
                    if Reflect::get(&next, &"done".into())?.is_truthy() {
                        break;
                    }
                    names.extend(Reflect::get(&next, &"value".into())?.as_string());
                }
            }
            ModelStore::Cache(cache) => {
                let keys: Array = settled(Ok(cache.keys())).await?;
                let name = |request: JsValue| {
                    let url = request.unchecked_into::<web_sys::Request>().url();
                    url.rsplit('/').next().map(str::to_owned)
                };
                names.extend(keys.iter().filter_map(name));
            }
            ModelStore::Nothing => {}
        }
        names.sort();
        Ok(names)
    }

    /// What a finished model's entry says.
    pub async fn entry(&self, key: &str) -> Option<StoredModel> {
        self.get_json(&format!("{key}.json")).await
    }

    /// Everything that is stored.
    pub async fn list(&self) -> Store {
        let mut store = Store::default();
        for name in self.names().await.unwrap_or_default() {
            if let Some(key) = name.strip_suffix(".json") {
                let Some(model) = self.entry(key).await else { continue };
                let at = store.models.partition_point(|other| other.name <= model.name);
                store.models.insert(at, model);
            } else if name.ends_with(".todo") {
                let begun: Option<Begun> = self.get_json(&name).await;
                store.unfinished.extend(begun.map(|begun| begun.unfinished));
            }
        }
        (store.used_bytes, store.quota_bytes) = estimate().await;
        if let Ok(storage) = storage() {
            let persisted: JsValue = settled(storage.persisted()).await.unwrap_or_default();
            store.is_persistent = persisted.is_truthy();
        }
        store
    }

    /// Deletes a model, finished or not, once nobody reads or writes it.
    pub async fn delete(&self, key: &str) -> Result<(), Problem> {
        let _lock = Lock::take(&lock_name(key), Share::Alone, None).await.map_err(failed)?;
        self.remove_all(key).await;
        Ok(())
    }

    /// Deletes a model's files; its lock is held.
    pub async fn remove_all(&self, key: &str) {
        // The entry first: what remains after a power cut is no model.
        self.remove(&format!("{key}.json")).await;
        self.remove_file(key).await;
        self.remove_part(key).await;
    }

    /// Deletes what makes tensor data a model's file, and a file of its own.
    pub async fn remove_file(&self, key: &str) {
        self.remove(&format!("{key}.head")).await;
        self.remove(&format!("{key}.gguf")).await;
    }

    /// Deletes what an unfinished download has.
    pub async fn remove_part(&self, key: &str) {
        self.remove_todo(key).await;
        self.remove(&format!("{key}.data")).await;
    }

    /// Where to go on is not known any more.
    pub async fn remove_todo(&self, key: &str) {
        self.remove(&format!("{key}.todo")).await;
        self.remove(&format!("{key}.header")).await;
    }

    /// Removes what a worker left that ended while it wrote; what is in hand is left alone.
    pub async fn tidy(&self) {
        let names = self.names().await.unwrap_or_default();
        for name in &names {
            let Some((key, end)) = name.rsplit_once('.') else { continue };
            let owners: &[&str] = match end {
                "json" | "todo" => continue,
                "gguf" | "head" => &["json"],
                "data" => &["json", "todo"],
                "header" => &["todo"],
                // An earlier version's.
                _ => &[],
            };
            let has_owner =
                |names: &[String]| owners.iter().any(|owner| names.contains(&format!("{key}.{owner}")));
            if has_owner(&names) {
                continue;
            }
            if let Ok(Some(_lock)) = Lock::try_take(&lock_name(key), Share::Alone).await
                && !has_owner(&self.names().await.unwrap_or_default())
            {
                self.remove(name).await;
            }
        }
    }

    /// Tensor data that is being written, `n_bytes` of it from before.
    pub async fn part(&self, key: &str, n_bytes: u64) -> Result<Part, Problem> {
        let part = async {
            Ok(match self {
                ModelStore::Files(folder) => {
                    let part = Part::File(access(folder, &format!("{key}.data")).await?);
                    if let Part::File(file) = &part {
                        file.truncate(n_bytes as f64)?;
                    }
                    part
                }
                _ => Part::Blobs { blobs: Array::new(), n_bytes: 0 },
            })
        };
        part.await.map_err(failed)
    }

    /// Puts the header before the tensor data; returns the file's size and SHA-256, and the file where it could not be
    /// kept.
    pub async fn finish(
        &self,
        key: &str,
        header: &[u8],
        mut part: Part,
        cancel: &AbortSignal,
    ) -> Result<Finished, Problem> {
        part.flush()?;
        let mut hash = Sha256::new();
        hash.update(header);
        let n_data = part.n_bytes().map_err(failed)?;
        let mut at = 0;
        while at < n_data {
            super::fetch::check(cancel)?;
            let piece = part.read(at..n_data.min(at + PIECE_BYTES)).await?;
            hash.update(&piece);
            at += piece.len() as u64;
        }
        let mut blob = None;
        match (self, &mut part) {
            (ModelStore::Files(folder), Part::File(_)) => {
                write(folder, &format!("{key}.head"), header).await.map_err(failed)?;
            }
            (store, Part::Blobs { blobs, .. }) => {
                let parts = Array::of1(&Uint8Array::from(header)).concat(blobs);
                let whole = Blob::new_with_blob_sequence(&parts).map_err(failed)?;
                let is_kept = match store {
                    ModelStore::Cache(cache) => put_blob(cache, &format!("{key}.gguf"), &whole).await.is_ok(),
                    _ => false,
                };
                blob = Some(whole).filter(|_| !is_kept);
            }
            (_, Part::File(_)) => return Err(Problem::new(Code::StorageFailed, "two kinds of storage")),
        }
        let n_bytes = header.len() as u64 + n_data;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Finished { n_bytes, sha256, blob })
    }

    /// Writes the entry that makes a model's file one.
    pub async fn enter(&self, model: &StoredModel) -> Result<(), Problem> {
        let json = serde_json::to_vec(model).map_err(|error| Problem::new(Code::StorageFailed, error))?;
        self.put(&format!("{}.json", model.key), &json).await
    }
}

/// The part of a `.todo` that is for people.
#[derive(serde::Deserialize)]
struct Begun {
    unfinished: Unfinished,
}

pub struct Finished {
    pub n_bytes: u64,
    pub sha256: String,
    /// What no storage took.
    pub blob: Option<Blob>,
}

/// Tensor data, in the order in which it comes.
pub enum Part {
    File(Access),
    /// Outside the memory of this program.
    Blobs {
        blobs: Array,
        n_bytes: u64,
    },
}

impl Part {
    /// Writes at or behind the end.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Problem> {
        match self {
            Part::File(file) => write_at(file, at, bytes).map_err(failed),
            Part::Blobs { blobs, n_bytes } => {
                let zeros = vec![0; at.saturating_sub(*n_bytes) as usize];
                for bytes in [&zeros, bytes] {
                    let parts = Array::of1(&Uint8Array::from(bytes));
                    let blob: JsValue = Blob::new_with_u8_array_sequence(&parts).map_err(failed)?.into();
                    blobs.push(&blob);
                }
                *n_bytes = at + bytes.len() as u64;
                Ok(())
            }
        }
    }

    pub fn flush(&self) -> Result<(), Problem> {
        match self {
            Part::File(file) => file.flush().map_err(failed),
            Part::Blobs { .. } => Ok(()),
        }
    }

    /// Whether another visit can go on with it.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Part::File(_))
    }

    fn n_bytes(&self) -> Result<u64, JsValue> {
        match self {
            Part::File(file) => {
                let size = Reflect::get(file, &"getSize".into())?.dyn_into::<js_sys::Function>()?;
                Ok(size.call0(file)?.as_f64().unwrap_or(0.0) as u64)
            }
            Part::Blobs { n_bytes, .. } => Ok(*n_bytes),
        }
    }

    pub async fn read(&self, range: std::ops::Range<u64>) -> Result<Vec<u8>, Problem> {
        match self {
            Part::File(file) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                let n_read = file.read(&mut bytes, &at(range.start)).map_err(failed)?;
                if n_read as usize == bytes.len() {
                    return Ok(bytes);
                }
                Err(Problem::new(Code::StorageFailed, format!("{n_read} of {} bytes read", bytes.len())))
            }
            Part::Blobs { blobs, .. } => {
                let blob = Blob::new_with_blob_sequence(blobs).map_err(failed)?;
                read_blob(&blob, range).await.map_err(failed)
            }
        }
    }

    /// The tensors of `table` that `is_wanted`, as they were stored.
    pub async fn weights(
        &self,
        table: &Table,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<crate::weights::Weights, Problem> {
        let mut weights = crate::weights::Weights::default();
        for info in table.tensors().iter().filter(|info| is_wanted(&info.name)) {
            let bytes = self.read(info.range.clone()).await?;
            let tensor = crate::tensor::Tensor { shape: info.shape.clone(), format: info.format, bytes };
            weights.insert(&info.name, tensor);
        }
        Ok(weights)
    }
}

/// A file that is open to this worker alone, until it is dropped.
pub struct Access(OpenFile);

impl std::ops::Deref for Access {
    type Target = OpenFile;

    fn deref(&self) -> &OpenFile {
        &self.0
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let _ = self.0.close(); // nothing can be told from here
    }
}

async fn access(folder: &Folder, name: &str) -> Result<Access, JsValue> {
    let file: FileHandle = settled(folder.file(name, &create())).await?;
    Ok(Access(settled(file.open()).await?))
}

/// Replaces a small file.
async fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), JsValue> {
    let file = access(folder, name).await?;
    write_at(&file, 0, bytes)?;
    file.truncate(bytes.len() as f64)?;
    file.flush()
}

fn write_at(file: &OpenFile, start: u64, bytes: &[u8]) -> Result<(), JsValue> {
    let n_written = file.write(bytes, &at(start))?;
    if n_written as usize == bytes.len() {
        return Ok(());
    }
    let error = js_sys::Error::new(&format!("{n_written} of {} bytes written", bytes.len()));
    error.set_name(QUOTA);
    Err(error.into())
}

async fn put_blob(cache: &Cache, name: &str, blob: &Blob) -> Result<(), JsValue> {
    let response = Response::new_with_opt_blob(Some(blob))?;
    settled::<JsValue>(Ok(cache.put_with_str(&address(name), &response))).await.map(drop)
}

async fn read_blob(blob: &Blob, range: std::ops::Range<u64>) -> Result<Vec<u8>, JsValue> {
    let piece = blob.slice_with_f64_and_f64(range.start as f64, range.end as f64)?;
    fetch::blob_bytes(&piece).await
}

/// A cache's key is an address; nothing is ever fetched from this one.
fn address(name: &str) -> String {
    format!("stored-models/{name}")
}

const QUOTA: &str = "QuotaExceededError";

/// What an exception of storage means.
pub fn failed(error: JsValue) -> Problem {
    let name = Reflect::get(&error, &"name".into()).ok().and_then(|name| name.as_string());
    let code = if name.as_deref() == Some(QUOTA) { Code::StorageFull } else { Code::StorageFailed };
    let text = Reflect::get(&error, &"message".into()).ok().and_then(|text| text.as_string());
    let detail = match (name, text) {
        (Some(name), Some(text)) => format!("{name}: {text}"),
        _ => message(&error),
    };
    Problem::new(code, detail)
}

/// Bytes that this origin has stored and may store; 0 where the browser does not say.
async fn estimate() -> (u64, u64) {
    let Ok(storage) = storage() else { return (0, 0) };
    let estimate: JsValue = settled(storage.estimate()).await.unwrap_or_default();
    let field = |name: &str| Reflect::get(&estimate, &name.into()).ok()?.as_f64();
    (field("usage").unwrap_or(0.0) as u64, field("quota").unwrap_or(0.0) as u64)
}

fn storage() -> Result<Storage, JsValue> {
    let storage = Reflect::get(&scope().navigator(), &"storage".into())?;
    if storage.is_undefined() { Err("no storage".into()) } else { Ok(storage.unchecked_into()) }
}

fn create() -> JsValue {
    options("create", JsValue::TRUE)
}

fn at(start: u64) -> JsValue {
    options("at", (start as f64).into())
}

fn options(name: &str, value: JsValue) -> JsValue {
    let options = Object::new();
    let _ = Reflect::set(&options, &name.into(), &value); // a plain object takes every property
    options.into()
}
