//! The downloader's end of its channel: fetches a model's files, converts them as they arrive, and stores the result.
//!
//! Invariant: of a model one incomplete tensor is held, and what a layer is stacked from; everything else is in storage.
//! Invariant: the only thread that talks to other hosts. It sees addresses and weights, never a picture or a label.
//! Invariant: what is not whole, or not what its hash says, is no entry of the store.
//! Invariant: one download of a model at a time over all tabs: it holds the model's lock.

use crate::engine::{EngineError, Recorder, Side, now_millis};
use crate::models::config::TokenizerFile;
use crate::models::{Importer, ModelError, ModelFolder, Origin, Quantization, file_of};
use crate::tensor::{Format, TensorError};
use crate::text::vocabulary::{bert_tokenizer_json, clip_tokenizer_json};
use crate::weights::gguf::Table;
use crate::weights::{Header, Item, WeightsError};
use crate::worker::fetch;
use crate::worker::hub::{self, Place};
use crate::worker::lock::{Lock, Share};
use crate::worker::model_store::{Finished, ModelStore, Part, failed, lock_name};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{
    FetchEvent, FetchProgress, FetchRequest, FetchStage, Order, StoredFormat, StoredModel, Unfinished,
};
use crate::worker::reader::{FileSource, ResumePoint, Unfit, WeightsReader};
use gloo::events::EventListener;
use js_sys::Array;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, AbortSignal, Blob, MessageEvent};

/// What a folder's weights may be called; the first that is there counts.
const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "open_clip_model.safetensors", "model.gguf"];
const INDEX_END: &str = ".safetensors.index.json";
/// Either is in each of open_clip's files and in none of Hugging Face's.
const OPEN_CLIP_TENSORS: [&str; 2] = ["visual.conv1.weight", "visual.positional_embedding"];
/// Of a JSON file; the largest tokenizers have 17 MB.
const MAX_JSON_BYTES: usize = 64 << 20;
/// A closed tab costs this much of a download at most.
const KEEP_BYTES: u64 = 16 << 20;
/// Formats are compared by what this many values take: a whole block of any.
const BLOCK_LEN: usize = 32;
const TELL_MILLIS: f64 = 100.0;

/// Listens; to be called once, by the worker's binary.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        tell(&FetchEvent::Crashed(info.to_string()), None);
    }));
    let host = Rc::new(Host::default());
    let listener = EventListener::new(&fetch::scope(), "message", move |event| {
        let data = event.dyn_ref::<MessageEvent>().map(MessageEvent::data).unwrap_or_default();
        let parts: Array = data.unchecked_into();
        match parts.get(0).as_string().map(|text| serde_json::from_str(&text)) {
            Some(Ok(request)) => host.take(request, parts.get(1)),
            Some(Err(error)) => tell(&FetchEvent::Crashed(format!("unknown request: {error}")), None),
            None => tell(&FetchEvent::Crashed("a request without text".to_owned()), None),
        }
    });
    listener.forget();
    tell(&FetchEvent::Hello, None);
    spawn_local(async {
        let store = ModelStore::open().await;
        store.tidy().await;
    });
}

#[derive(Default)]
struct Host {
    is_busy: Cell<bool>,
    running: RefCell<Option<Running>>,
    /// Asked for while another was running, which is paused for it.
    next: RefCell<Option<(u32, Task)>>,
}

struct Running {
    abort: AbortController,
    is_cancelled: bool,
}

/// What is to be stored.
struct Task {
    order: Order,
    files: Files,
}

impl Host {
    fn take(self: &Rc<Self>, request: FetchRequest, payload: JsValue) {
        let host = self.clone();
        match request {
            FetchRequest::List => spawn_local(async { list(&ModelStore::open().await).await }),
            FetchRequest::Delete(key) => spawn_local(async move {
                let store = ModelStore::open().await;
                drop(store.delete(&key).await); // what is still there is still listed
                list(&store).await;
            }),
            FetchRequest::Pause => self.stop(false),
            FetchRequest::Cancel => self.stop(true),
            FetchRequest::Start { id, order } => match Place::of(&order) {
                Ok(place) => host.run(id, Task { order, files: Files::Remote(place) }),
                Err(problem) => tell(&FetchEvent::Failed(id, problem), None),
            },
            FetchRequest::Import { id, format } => {
                let files: Vec<web_sys::File> = payload
                    .dyn_into::<Array>()
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|file| file.dyn_into().ok())
                    .collect();
                let name = |file: &web_sys::File| format!("{} {}", file.name(), file.size());
                let source = files.iter().map(name).collect::<Vec<_>>().join("\n");
                let files = files.into_iter().map(|file| (file.name(), file.into())).collect();
                let order = Order { source, hub: String::new(), format, sha256: Vec::new() };
                host.run(id, Task { order, files: Files::Local(files) });
            }
        }
    }

    fn stop(&self, is_cancelled: bool) {
        if let Some(running) = &mut *self.running.borrow_mut() {
            running.is_cancelled |= is_cancelled;
            running.abort.abort();
        }
    }

    fn run(self: Rc<Self>, id: u32, task: Task) {
        if let Some((id, _)) = self.next.replace(Some((id, task))) {
            tell(&FetchEvent::Failed(id, Problem::new(Code::LoadCancelled, "another was asked for")), None);
        }
        if self.is_busy.replace(true) {
            return self.stop(false);
        }
        spawn_local(async move {
            loop {
                let Some((id, task)) = self.next.take() else { break };
                self.run_task(id, task).await;
            }
            self.is_busy.set(false);
        });
    }

    async fn run_task(&self, id: u32, task: Task) {
        let abort = match AbortController::new() {
            Ok(abort) => abort,
            Err(error) => return tell(&FetchEvent::Failed(id, failed(error)), None),
        };
        let cancel = abort.signal();
        self.running.replace(Some(Running { abort, is_cancelled: false }));
        let store = ModelStore::open().await;
        let key = hub::key(&task.order.source, &task.order.hub, task.order.format);
        let is_cancelled = || self.running.borrow().as_ref().is_some_and(|running| running.is_cancelled);
        let outcome = locked(id, &key, &store, &task, &cancel, &is_cancelled).await;
        let is_cancelled = is_cancelled();
        self.running.take();
        list(&store).await;
        match outcome {
            Ok((model, blob)) => tell(&FetchEvent::Finished(id, model), blob.as_ref()),
            Err(problem) if problem.code == Code::LoadCancelled && !is_cancelled => {
                tell(&FetchEvent::Paused(id), None);
            }
            Err(problem) => tell(&FetchEvent::Failed(id, problem), None),
        }
    }
}

/// Waits for the model's lock, then makes the model unless it is there by now.
async fn locked(
    id: u32,
    key: &str,
    store: &ModelStore,
    task: &Task,
    cancel: &AbortSignal,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(StoredModel, Option<Blob>), Problem> {
    let name = lock_name(key);
    let _lock = match Lock::try_take(&name, Share::Alone).await.map_err(failed)? {
        Some(lock) => lock,
        None => {
            let stage = FetchStage::Waiting;
            let progress = FetchProgress { stage, done: 0, total: 0, bytes_per_second: 0.0 };
            tell(&FetchEvent::Progress(id, progress), None);
            let lock = Lock::take(&name, Share::Alone, Some(cancel)).await;
            fetch::check(cancel)?;
            lock.map_err(failed)?
        }
    };
    if let Some(model) = store.entry(key).await {
        return Ok((model, None));
    }
    let job = Download { id, key, store, task, cancel, meter: RefCell::default() };
    let mut outcome = job.run(true).await;
    // The beginning was of another version: everything anew, once.
    if matches!(&outcome, Err(problem) if problem.code == Code::SourceChanged) {
        store.remove_part(key).await;
        outcome = job.run(false).await;
    }
    if let Err(problem) = &outcome {
        // What broke off may be gone on with; what is wrong is wrong the next time too.
        let may_go_on = matches!(
            problem.code,
            Code::SourceUnreachable | Code::SourceServer | Code::StorageFull | Code::LoadCancelled
        );
        match is_cancelled() || !may_go_on {
            true => store.remove_all(key).await,
            false => store.remove_file(key).await,
        }
    }
    outcome
}

/// A download in hand.
struct Download<'a> {
    id: u32,
    key: &'a str,
    store: &'a ModelStore,
    task: &'a Task,
    cancel: &'a AbortSignal,
    meter: RefCell<Meter>,
}

/// What was done so far, for another visit.
#[derive(Serialize, Deserialize)]
struct Todo {
    unfinished: Unfinished,
    /// The weights' file, or the index of several, that was found.
    root: String,
    /// Those that are done.
    done: Vec<Done>,
    /// Of the one in hand.
    resume_point: ResumePoint,
    table: Table,
    scalars: BTreeMap<String, f32>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Done {
    file: String,
    n_bytes: u64,
    sha256: String,
}

/// The last state in which nothing was held.
struct Clean {
    resume_point: ResumePoint,
    n_tensors: usize,
    scalars: BTreeMap<String, f32>,
}

impl Clean {
    /// The state now, if nothing is held and the file can be gone on with.
    fn of(importer: &Importer, reader: &WeightsReader, table: &Table) -> Option<Clean> {
        let resume_point = reader.resume_point().filter(|_| importer.is_idle())?;
        Some(Clean { resume_point, n_tensors: table.tensors().len(), scalars: importer.scalars().clone() })
    }
}

impl Download<'_> {
    async fn run(&self, may_go_on: bool) -> Result<(StoredModel, Option<Blob>), Problem> {
        self.tell(FetchStage::Looking);
        let files = &self.task.files;
        let mut todo: Option<Todo> = None;
        if may_go_on && matches!(files, Files::Remote(_)) {
            let found = self.store.get_bytes(&format!("{}.todo", self.key)).await;
            todo = found.and_then(|json| serde_json::from_slice(&json).ok());
        }
        let mut found = files.weights(todo.as_ref().map(|todo| todo.root.as_str()), self.cancel).await?;
        let mut done = todo.as_ref().map_or(Vec::new(), |todo| todo.done.clone());

        // The first header: of the file in hand.
        let mut reader = None;
        if let (Some(todo), Some(file)) = (&todo, found.files.get(done.len())) {
            let header = self.store.get_bytes(&format!("{}.header", self.key)).await.unwrap_or_default();
            let address = files.place(file)?;
            let resumed = match address {
                FileSource::Address(address) => {
                    WeightsReader::resume(address, &todo.resume_point, &header, self.cancel).await?
                }
                FileSource::Blob(_) => None,
            };
            reader =
                Some(resumed.ok_or_else(|| Problem::new(Code::SourceChanged, format!("{file} changed")))?);
        }
        let (mut reader, header) = match (reader, found.first.take()) {
            (Some(resumed), _) => resumed,
            (None, Some(first)) => self.header(first).await?,
            (None, None) => {
                self.header(WeightsReader::open(files.place(&found.files[0])?, self.cancel).await?).await?
            }
        };
        let gguf = header.gguf;
        let names = found.names.take().unwrap_or_else(|| header.names.clone());

        let small = async |name: &str| files.small(name, self.cancel).await;
        let (mut config_json, mut preprocessor) = (None, None);
        if gguf.is_none() {
            let is_open_clip = names.iter().any(|name| OPEN_CLIP_TENSORS.contains(&name.as_str()));
            let mut configs = ["config.json", "open_clip_config.json"];
            if is_open_clip {
                configs.reverse();
            }
            config_json = small(configs[0]).await?;
            if config_json.is_none() {
                config_json = small(configs[1]).await?;
            }
            if config_json.is_none() {
                let detail = format!("{} is not there: the weights cannot be understood", configs[0]);
                return Err(Problem::new(Code::SourceUnusable, detail));
            }
            preprocessor = small("preprocessor_config.json").await?;
        }
        let source = ModelFolder {
            config: config_json.as_deref().unwrap_or_default(),
            tokenizer: None,
            preprocessor: preprocessor.as_deref(),
        };
        let origin = gguf.as_ref().map_or(Origin::Folder(source), Origin::Gguf);
        let mut importer = Importer::new(origin, names).map_err(unfit_model)?;
        let mut tokenizer = None;
        if importer.config().tokenizer.is_none() {
            tokenizer = Some(TokenizerFile { json: self.tokenizer().await? });
        }
        if importer.config().vision.is_none() || importer.config().text.is_none() {
            let detail = "the model has one tower only, for pictures or for texts";
            return Err(Problem::new(Code::SourceUnsupported, detail));
        }

        let (root, is_resumed) = (found.root, todo.is_some());
        let mut table = Table::default();
        if let Some(todo) = todo {
            table = todo.table;
            let made: HashSet<&str> = table.tensors().iter().map(|info| info.name.as_str()).collect();
            importer.resume(todo.scalars, |name| made.contains(name));
        }
        let mut part = self.store.part(self.key, table.n_bytes()).await?;
        let quantization = Quantization::preset(match self.task.order.format {
            StoredFormat::Q8_0 => Format::Q8_0,
            StoredFormat::Q4_0 => Format::Q4_0,
            StoredFormat::F16 => Format::F16,
        });
        if !is_resumed && part.is_lasting() && reader.has_etag() {
            self.store.put(&format!("{}.header", self.key), &header.bytes).await?;
        }
        let mut next_file = done.len();
        loop {
            let file = found.files[next_file].clone();
            let n_before: u64 = done.iter().map(|done| done.n_bytes).sum();
            self.meter.borrow_mut().total = found.n_bytes.max(n_before + reader.n_bytes());
            let mut clean = Clean::of(&importer, &reader, &table);
            self.keep(&root, &done, clean.as_ref(), &table, &part).await?;
            let mut n_kept = reader.n_received();
            self.arrived(n_before + reader.n_received()); // what came with the header
            let outcome: Result<(), Problem> = async {
                loop {
                    let item = reader.next(&mut |reader| self.arrived(n_before + reader.n_received())).await;
                    let Some(item) = item.map_err(unfit)? else { return Ok(()) };
                    let Item::Tensor(name, tensor) = item else { continue };
                    importer.push(&name, tensor, &mut |name, tensor| {
                        // What is as small already stays as it is: another rounding would only lose.
                        let n_wanted = quantization.format_of(name, &tensor).bytes_for(BLOCK_LEN);
                        let tensor = match tensor.format.bytes_for(BLOCK_LEN) > n_wanted {
                            true => quantization.store(name, tensor).map_err(unfit_model)?,
                            false => tensor,
                        };
                        let place =
                            table.push(name, &tensor).map_err(ModelError::from).map_err(unfit_model)?;
                        part.write(place.start, &tensor.bytes).map_err(Stop)
                    })?;
                    clean = Clean::of(&importer, &reader, &table).or(clean.take());
                    if reader.n_received() >= n_kept + KEEP_BYTES {
                        n_kept = reader.n_received();
                        self.keep(&root, &done, clean.as_ref(), &table, &part).await?;
                    }
                }
            }
            .await;
            if let Err(problem) = outcome {
                // So that the next try can go on; that it cannot be kept is the lesser trouble.
                drop(self.keep(&root, &done, clean.as_ref(), &table, &part).await);
                return Err(problem);
            }
            let sha256 = reader.sha256();
            let pinned = self.task.order.sha256.iter().find(|(name, _)| *name == file);
            if let Some((_, pinned)) = pinned.filter(|(_, pinned)| !pinned.eq_ignore_ascii_case(&sha256)) {
                let detail = format!("{file} has the SHA-256 {sha256}, expected is {pinned}");
                return Err(Problem::new(Code::SourceHash, detail));
            }
            done.push(Done { file, n_bytes: reader.n_bytes(), sha256 });
            next_file += 1;
            if next_file == found.files.len() {
                break;
            }
            let next = WeightsReader::open(files.place(&found.files[next_file])?, self.cancel).await?;
            let header;
            (reader, header) = self.header(next).await?;
            if part.is_lasting() && reader.has_etag() {
                // The two belong together: what is known of the last file must not meet this one's header.
                self.store.remove_todo(self.key).await;
                self.store.put(&format!("{}.header", self.key), &header.bytes).await?;
            }
        }

        let mut config = importer.finish().map_err(unfit_model)?;
        config.tokenizer = config.tokenizer.take().or(tokenizer);
        let name = files.name();
        if config.about.name.is_empty() {
            config.about.name = name;
        }
        if config.about.sources.is_empty() {
            config.about.sources.push(self.task.order.source.clone());
        }
        part.flush()?;
        self.tell(FetchStage::Check);
        let engine = |error: EngineError| match error {
            EngineError::Model(error) => unfit_model(error).0,
            error => Problem::new(Code::SourceUnusable, error),
        };
        let mut recorder = Recorder::new(&config, true).map_err(engine)?;
        for side in recorder.sides() {
            fetch::check(self.cancel)?;
            let weights = part.weights(&table, |name| Side::of(name) == side).await?;
            recorder.add(side, weights).map_err(engine)?;
        }
        config.selftest = recorder.finish().map_err(engine)?;

        self.tell(FetchStage::Store);
        let header = table.header(&file_of(&config).map_err(unfit_model)?.metadata);
        let Finished { n_bytes, sha256, blob } =
            self.store.finish(self.key, &header, &mut part, self.cancel).await?;
        drop(part);
        let model = StoredModel {
            key: self.key.to_owned(),
            name: config.about.name,
            source: self.task.order.source.clone(),
            format: self.task.order.format,
            bytes: n_bytes,
            sha256,
            source_sha256: done.into_iter().map(|done| (done.file, done.sha256)).collect(),
            is_kept: blob.is_none(),
        };
        if model.is_kept {
            self.store.enter(&model).await?;
            self.store.remove_part(self.key).await;
        }
        Ok((model, blob))
    }

    async fn header(&self, mut reader: WeightsReader) -> Result<(WeightsReader, Header), Problem> {
        match reader.next(&mut |_| ()).await.map_err(unfit)? {
            Some(Item::Header(header)) => Ok((reader, header)),
            _ => Err(Problem::new(Code::SourceUnusable, "a file without a header")),
        }
    }

    /// `tokenizer.json`, or what older files hold instead: CLIP's two, BERT's one.
    async fn tokenizer(&self) -> Result<String, Problem> {
        let small = async |name: &str| {
            let bytes = self.task.files.small(name, self.cancel).await?;
            Ok::<_, Problem>(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        if let Some(json) = small("tokenizer.json").await? {
            return Ok(json);
        }
        let unusable = |error| Problem::new(Code::TokenizerMissing, error);
        if let (Some(vocab), Some(merges)) = (small("vocab.json").await?, small("merges.txt").await?) {
            return clip_tokenizer_json(&vocab, &merges).map_err(unusable);
        }
        if let Some(vocab) = small("vocab.txt").await? {
            let config = small("tokenizer_config.json").await?;
            return bert_tokenizer_json(&vocab, config.as_deref().map(str::as_bytes)).map_err(unusable);
        }
        let detail =
            "neither tokenizer.json nor vocab.json with merges.txt nor vocab.txt lies beside the weights";
        Err(Problem::new(Code::TokenizerMissing, detail))
    }

    /// Writes down where to go on.
    async fn keep(
        &self,
        root: &str,
        done: &[Done],
        clean: Option<&Clean>,
        table: &Table,
        part: &Part,
    ) -> Result<(), Problem> {
        let Some(Clean { resume_point, n_tensors, scalars }) = clean.filter(|_| part.is_lasting()) else {
            return Ok(());
        };
        part.flush()?;
        let n_before: u64 = done.iter().map(|done| done.n_bytes).sum();
        let unfinished = Unfinished {
            key: self.key.to_owned(),
            order: self.task.order.clone(),
            done: n_before + resume_point.position,
            total: self.meter.borrow().total,
        };
        let mut table = table.clone();
        table.truncate(*n_tensors);
        let (resume_point, scalars) = (resume_point.clone(), scalars.clone());
        let todo =
            Todo { unfinished, root: root.to_owned(), done: done.to_vec(), resume_point, table, scalars };
        let json = serde_json::to_vec(&todo).map_err(|error| Problem::new(Code::StorageFailed, error))?;
        self.store.put(&format!("{}.todo", self.key), &json).await
    }

    /// Bytes that are here, of all files together.
    fn arrived(&self, done: u64) {
        let is_due = self.meter.borrow_mut().count(done);
        if is_due {
            self.tell(FetchStage::Download);
        }
    }

    fn tell(&self, stage: FetchStage) {
        let Meter { done, total, bytes_per_second, .. } = *self.meter.borrow();
        let progress = FetchProgress { stage, done: done.min(total), total, bytes_per_second };
        tell(&FetchEvent::Progress(self.id, progress), None);
    }
}

/// How far a download is, and how fast.
#[derive(Default)]
struct Meter {
    done: u64,
    total: u64,
    bytes_per_second: f64,
    told_at: Option<f64>,
    /// When, and how much was done then.
    since: Option<(f64, u64)>,
}

impl Meter {
    /// Says whether it is time to tell.
    fn count(&mut self, done: u64) -> bool {
        let now = now_millis();
        self.done = done;
        self.total = self.total.max(done);
        let (start, n_before) = *self.since.get_or_insert((now, done));
        if now - start > 1000.0 {
            let speed = (done - n_before) as f64 * 1000.0 / (now - start);
            let is_first = self.bytes_per_second == 0.0;
            self.bytes_per_second = if is_first { speed } else { (self.bytes_per_second + speed) / 2.0 };
            self.since = Some((now, done));
        }
        let is_due = self.told_at.is_none_or(|told_at| now - told_at > TELL_MILLIS) || done == self.total;
        if is_due {
            self.told_at = Some(now);
        }
        is_due
    }
}

/// Where a model's files are.
enum Files {
    Remote(Place),
    Local(Vec<(String, Blob)>),
}

/// The weights of a model.
struct Found {
    root: String,
    files: Vec<String>,
    /// Of tensors, where an index says them.
    names: Option<Vec<String>>,
    /// Of all files, where an index says it.
    n_bytes: u64,
    /// The first file, where it was opened to see whether it is there.
    first: Option<WeightsReader>,
}

impl Files {
    fn name(&self) -> String {
        match self {
            Files::Remote(place) => place.name.clone(),
            Files::Local(files) => files
                .iter()
                .find_map(|(name, _)| {
                    Some(name.strip_suffix(".safetensors").or(name.strip_suffix(".gguf"))?.to_owned())
                })
                .unwrap_or_default(),
        }
    }

    fn place(&self, file: &str) -> Result<FileSource, Problem> {
        match self {
            Files::Remote(place) => Ok(FileSource::Address(place.address(file))),
            Files::Local(files) => {
                let found = files.iter().find(|(name, _)| name == file);
                let (_, blob) = found.ok_or_else(|| {
                    Problem::new(Code::SourceMissing, format!("{file} is not among the files"))
                })?;
                Ok(FileSource::Blob(blob.clone()))
            }
        }
    }

    /// A JSON file or the like; `None` where there is none.
    async fn small(&self, file: &str, cancel: &AbortSignal) -> Result<Option<Vec<u8>>, Problem> {
        match self {
            Files::Local(files) => {
                let Some((_, blob)) = files.iter().find(|(name, _)| name == file) else { return Ok(None) };
                let bytes = fetch::blob_bytes(blob).await.map_err(failed)?;
                Ok(Some(bytes))
            }
            Files::Remote(place) => {
                let address = place.address(file);
                let found = fetch::with_tries(cancel, async || {
                    fetch::Body::open(&address, None, cancel).await?.collect(MAX_JSON_BYTES).await
                });
                match found.await {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(problem) if problem.code == Code::SourceMissing => Ok(None),
                    Err(problem) => Err(problem),
                }
            }
        }
    }

    /// Finds the weights; those of a download that is gone on with are known.
    async fn weights(&self, root: Option<&str>, cancel: &AbortSignal) -> Result<Found, Problem> {
        let named = match self {
            Files::Remote(place) => place.weights.clone(),
            Files::Local(files) => {
                let ends_with =
                    |end: &str| files.iter().map(|(name, _)| name).find(|name| name.ends_with(end));
                [INDEX_END, ".safetensors", ".gguf"].into_iter().find_map(ends_with).cloned()
            }
        };
        let candidates = match root.or(named.as_deref()) {
            Some(file) => vec![file],
            None => WEIGHTS.to_vec(),
        };
        for &file in &candidates {
            let is_index = file.split('?').next().is_some_and(|file| file.ends_with(INDEX_END));
            if is_index && let Some(json) = self.small(file, cancel).await? {
                return Found::index(file, &json);
            }
            if is_index {
                continue;
            }
            let first = match root {
                Some(_) => None,
                None => match WeightsReader::open(self.place(file)?, cancel).await {
                    Ok(reader) => Some(reader),
                    Err(problem) if problem.code == Code::SourceMissing => continue,
                    Err(problem) => return Err(problem),
                },
            };
            let (root, files) = (file.to_owned(), vec![file.to_owned()]);
            return Ok(Found { root, files, names: None, n_bytes: 0, first });
        }
        let detail = match self {
            Files::Remote(place) => place.address(&candidates.join(", ")),
            Files::Local(_) => "no .safetensors or .gguf among the files".to_owned(),
        };
        Err(Problem::new(Code::SourceMissing, detail))
    }
}

impl Found {
    fn index(root: &str, json: &[u8]) -> Result<Found, Problem> {
        #[derive(Deserialize)]
        struct Index {
            #[serde(default)]
            metadata: Metadata,
            weight_map: BTreeMap<String, String>,
        }
        #[derive(Default, Deserialize)]
        struct Metadata {
            #[serde(default)]
            total_size: u64,
        }
        let unusable = |detail: String| Problem::new(Code::SourceUnusable, format!("{root}: {detail}"));
        let Index { metadata, weight_map } =
            serde_json::from_slice(json).map_err(|error| unusable(error.to_string()))?;
        let mut files: Vec<String> = weight_map.values().cloned().collect();
        files.sort();
        files.dedup();
        // An index must not lead out of its folder.
        if let Some(file) = files.iter().find(|file| file.contains(['/', '\\', '?', '#', ':'])) {
            return Err(unusable(format!("{file:?} is no file beside it")));
        }
        if files.is_empty() {
            return Err(unusable("it names no tensors".to_owned()));
        }
        let names = Some(weight_map.into_keys().collect());
        Ok(Found { root: root.to_owned(), files, names, n_bytes: metadata.total_size, first: None })
    }
}

/// A problem on its way through the importer.
struct Stop(Problem);

impl From<ModelError> for Stop {
    fn from(error: ModelError) -> Stop {
        unfit_model(error)
    }
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Problem {
        stop.0
    }
}

fn unfit_model(error: ModelError) -> Stop {
    let code = match &error {
        ModelError::Unsupported { .. } => Code::SourceUnsupported,
        _ => Code::SourceUnusable,
    };
    Stop(Problem::new(code, error))
}

fn unfit(unfit: Unfit) -> Problem {
    match unfit {
        Unfit::Problem(problem) => problem,
        Unfit::Weights(error @ WeightsError::UnknownFormat { found: "a web page", .. }) => {
            Problem::new(Code::SourceHtml, error)
        }
        Unfit::Weights(error @ WeightsError::BadTensor { source: TensorError::TooLarge { .. }, .. }) => {
            Problem::new(Code::OutOfMemory, error)
        }
        Unfit::Weights(error) => Problem::new(Code::SourceUnusable, error),
    }
}

async fn list(store: &ModelStore) {
    tell(&FetchEvent::Stored(store.list().await), None);
}

fn tell(event: &FetchEvent, blob: Option<&Blob>) {
    // Plain data always serialises; a page that is gone needs no message.
    if let Ok(text) = serde_json::to_string(event) {
        let message = Array::of1(&text.into());
        if let Some(blob) = blob {
            message.push(blob);
        }
        drop(fetch::scope().post_message(&message));
    }
}
