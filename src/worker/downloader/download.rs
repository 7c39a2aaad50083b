//! A model in hand: from its files through the converter into the store.
//!
//! Invariant: of a model one incomplete tensor is held, and what a layer is stacked from; everything else is in storage.
//! Invariant: what is not whole, or not what its hash says, is no entry of the store.
//! Invariant: one download of a model at a time over all tabs: it holds the model's lock.
//! Invariant: where it stands is written down only with all that another visit needs; what a full disk leaves without that
//! is removed.

use super::files::{Files, Found};
use super::{Task, tell};
use crate::convert::converter::{Converter, joined, with_tokenizer};
use crate::engine::{EngineError, Recorder, Side, now_millis};
use crate::models::{Config, Importer, ModelError, ModelFolder, Origin, Quantization, file_of};
use crate::tensor::{Format, TensorError};
use crate::weights::gguf::Table;
use crate::weights::{Header, Item, Looks, WeightsError, from_json};
use crate::worker::fetch;
use crate::worker::lock::{Lock, Share};
use crate::worker::model_store::{Finished, ModelStore, Part, failed, lock_name};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{
    FetchEvent, FetchProgress, FetchStage, StoredFormat, StoredModel, Unfinished, Vouched,
};
use crate::worker::reader::{ResumePoint, Unfit, WeightsReader};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use web_sys::{AbortSignal, Blob};

/// A closed tab costs this much of a download at most.
const KEEP_BYTES: u64 = 16 << 20;
const TELL_MILLIS: f64 = 100.0;
/// What a model takes beside its tensors: header, entry, a tokenizer of the larger kind.
const BESIDE_BYTES: u64 = 4 << 20;

/// Waits for the model's lock, then makes the model unless it is there by now.
pub async fn run(
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
    let download = Download { id, key, store, task, cancel, meter: RefCell::default() };
    let mut outcome = download.run(true).await;
    // The beginning was of another version: everything anew, once.
    if matches!(&outcome, Err(problem) if problem.code == Code::SourceChanged) {
        store.remove_part(key).await;
        outcome = download.run(false).await;
    }
    if let Err(problem) = &outcome {
        // What broke off may be gone on with; what is wrong is wrong the next time too.
        let may_go_on = matches!(
            problem.code,
            Code::SourceUnreachable
                | Code::SourceServer
                | Code::SourceBusy
                | Code::StorageFull
                | Code::LoadCancelled
        );
        match is_cancelled() || !may_go_on || !store.has_todo(key).await {
            true => store.remove_all(key).await,
            false => store.remove_file(key).await,
        }
    }
    outcome
}

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
    /// The commit of the source in hand, where the hub told it.
    commit: Option<String>,
    /// The weight files that are done, of each source.
    done: Vec<Vec<Done>>,
    /// The configurations of the sources that are done. (As values: another reader of them would be 10 kB of the page.)
    configs: Vec<Value>,
    /// Where the weights in hand were left.
    resume_point: ResumePoint,
    table: Table,
    scalars: BTreeMap<String, f32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Done {
    file: String,
    n_bytes: u64,
    sha256: String,
    vouched: Vouched,
}

/// What is made so far.
struct Made {
    converter: Converter,
    part: Part,
    done: Vec<Vec<Done>>,
    configs: Vec<Config>,
    is_resumed: bool,
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

impl Made {
    fn n_done_bytes(&self) -> u64 {
        self.done.iter().flatten().map(|done| done.n_bytes).sum()
    }
}

impl Download<'_> {
    async fn run(&self, may_go_on: bool) -> Result<(StoredModel, Option<Blob>), Problem> {
        self.tell(FetchStage::Looking);
        let sources = &self.task.files;
        let mut todo: Option<Todo> = None;
        if may_go_on && matches!(sources[..], [Files::Remote { .. }, ..]) {
            let found = self.store.get_bytes(&format!("{}.todo", self.key)).await;
            todo = found.and_then(|json| from_json(&json).ok());
        }
        let quantization = Quantization::preset(match self.task.order.format {
            StoredFormat::Q8_0 => Format::Q8_0,
            StoredFormat::Q4_0 => Format::Q4_0,
            StoredFormat::F16 => Format::F16,
        });
        let table = todo.as_ref().map(|todo| todo.table.clone()).unwrap_or_default();
        let mut made = Made {
            part: self.store.part(self.key, table.n_bytes()).await?,
            converter: Converter::new(quantization, table),
            done: todo.as_ref().map(|todo| todo.done.clone()).unwrap_or_default(),
            configs: todo
                .iter()
                .flat_map(|todo| &todo.configs)
                .cloned()
                .filter_map(|json| serde_json::from_value(json).ok())
                .collect(),
            is_resumed: todo.is_some(),
        };
        for i in made.configs.len()..sources.len() {
            made.converter.only = match (sources.len(), i) {
                (1, _) => None,
                (_, 0) => Some(Side::Image),
                _ => Some(Side::Text),
            };
            let config = self.source(&sources[i], &mut made, todo.take()).await?;
            made.configs.push(config);
        }
        self.finish(made).await
    }

    /// Converts what one source gives.
    async fn source(&self, files: &Files, made: &mut Made, todo: Option<Todo>) -> Result<Config, Problem> {
        let source_idx = made.configs.len();
        made.done.resize(source_idx + 1, Vec::new());
        let found = files.find(self.cancel).await?;
        if let Some(todo) = &todo
            && todo.commit != found.commit
        {
            return Err(Problem::new(Code::SourceChanged, "the branch is at another commit now"));
        }
        self.meter.borrow_mut().total = made.n_done_bytes() + found.n_bytes;
        self.check_room(made, None, found.n_bytes).await?;

        let (mut reader, header) = match &todo {
            Some(todo) => {
                let file = found.weights.get(made.done[source_idx].len()).cloned().unwrap_or_default();
                let header = self.store.get_bytes(&format!("{}.header", self.key)).await.unwrap_or_default();
                let (place, known) = (found.place(&file)?, found.known(&file)?);
                let resumed = WeightsReader::resume(place, known, &todo.resume_point, &header, self.cancel);
                resumed.ok_or_else(|| Problem::new(Code::SourceChanged, format!("{file} changed")))?
            }
            None => self.header(found.open(&found.weights[0], self.cancel).await?).await?,
        };
        let names = match &found.tensors {
            Some(names) => names.clone(),
            None if found.weights.len() > 1 => self.all_names(&found, &header).await?,
            None => header.names.clone(),
        };
        let (mut config_json, mut preprocessor) = (Vec::new(), None);
        if header.gguf.is_none() {
            config_json = found.config(names.iter().map(String::as_str), self.cancel).await?;
            if let Some(name) = &found.layout.preprocessor {
                preprocessor = found.small(name, self.cancel).await?;
            }
        }
        let folder =
            ModelFolder { config: &config_json, tokenizer: None, preprocessor: preprocessor.as_deref() };
        let origin = header.gguf.as_ref().map_or(Origin::Folder(folder), Origin::Gguf);
        let mut importer = Importer::new(origin, names).map_err(unfit_model)?;
        let has = |side| made.converter.only.is_none_or(|only| only == side);
        let lacks = (has(Side::Image) && importer.config().vision.is_none())
            || (has(Side::Text) && importer.config().text.is_none());
        if lacks {
            let detail = "the model has one tower only, for pictures or for texts";
            return Err(Problem::new(Code::SourceUnsupported, detail));
        }
        let mut tokenizer = None;
        if importer.config().tokenizer.is_none() && has(Side::Text) {
            tokenizer = Some(found.tokenizer(self.cancel).await?);
        }
        if let Some(todo) = todo {
            let made: HashSet<&str> =
                made.converter.table().tensors().iter().map(|info| info.name.as_str()).collect();
            importer.resume(todo.scalars, |name| made.contains(name));
        } else {
            self.check_room(made, Some(&header), found.n_bytes.max(reader.n_bytes())).await?;
            self.keep_header(&reader, &header, made).await?;
        }

        loop {
            let file = found.weights[made.done[source_idx].len()].clone();
            self.read(&mut reader, &mut importer, made, found.commit.as_deref()).await?;
            let (sha256, (stated, vouched)) = (reader.sha256(), found.stated(&file));
            if let Some(stated) = stated.filter(|stated| !stated.eq_ignore_ascii_case(&sha256)) {
                let detail = format!("{file} has the SHA-256 {sha256}, expected is {stated}");
                // What was put together from two visits may be of two versions.
                let code = if made.is_resumed { Code::SourceChanged } else { Code::SourceHash };
                return Err(Problem::new(code, detail));
            }
            made.done[source_idx].push(Done { file, n_bytes: reader.n_bytes(), sha256, vouched });
            let Some(next) = found.weights.get(made.done[source_idx].len()) else { break };
            let header;
            (reader, header) = self.header(found.open(next, self.cancel).await?).await?;
            self.keep_header(&reader, &header, made).await?;
        }
        let config = importer.finish().map_err(unfit_model)?;
        Ok(with_tokenizer(config, tokenizer))
    }

    /// Names of tensors in several files that no index lists together.
    async fn all_names(&self, found: &Found<'_>, first: &Header) -> Result<Vec<String>, Problem> {
        let mut names = first.names.clone();
        for file in found.weights.iter().skip(1) {
            let (_, header) = self.header(found.open(file, self.cancel).await?).await?;
            names.extend(header.names);
        }
        Ok(names)
    }

    /// Converts a weights' file to its end, and writes down where it stands.
    async fn read(
        &self,
        reader: &mut WeightsReader,
        importer: &mut Importer<'_>,
        made: &mut Made,
        commit: Option<&str>,
    ) -> Result<(), Problem> {
        let n_before = made.n_done_bytes();
        {
            let total = &mut self.meter.borrow_mut().total;
            *total = (*total).max(n_before + reader.n_bytes());
        }
        let mut clean = Clean::of(importer, reader, made.converter.table());
        self.keep(made, clean.as_ref(), commit).await?;
        let mut n_kept = reader.n_received();
        self.arrived(n_before + reader.n_received()); // what came with the header
        let outcome: Result<(), Problem> = async {
            loop {
                let item = reader.next(&mut |reader| self.arrived(n_before + reader.n_received())).await;
                let Some(item) = item.map_err(unfit)? else { return Ok(()) };
                let Item::Tensor(name, tensor) = item else { continue };
                let part = &mut made.part;
                made.converter.push(importer, &name, tensor, &mut |stored| {
                    part.write(stored.at, &stored.tensor.bytes).map_err(Stop)
                })?;
                clean = Clean::of(importer, reader, made.converter.table()).or(clean.take());
                if reader.n_received() >= n_kept + KEEP_BYTES {
                    n_kept = reader.n_received();
                    self.keep(made, clean.as_ref(), commit).await?;
                }
            }
        }
        .await;
        if outcome.is_err() {
            // So that the next try can go on; that it cannot be kept is the lesser trouble.
            drop(self.keep(made, clean.as_ref(), commit).await);
        }
        outcome
    }

    /// Computes what a device is checked with, and makes an entry of the store.
    async fn finish(&self, made: Made) -> Result<(StoredModel, Option<Blob>), Problem> {
        let Made { converter, part, done, configs, .. } = made;
        let mut configs = configs.into_iter();
        let image = configs.next().unwrap_or_default();
        let sources: Vec<String> = self.task.files.iter().filter_map(Files::source).collect();
        let source = (!sources.is_empty()).then(|| sources.join(" + "));
        let mut config = joined(image, configs.next(), self.task.files[0].name(), source);
        part.flush()?;
        self.tell(FetchStage::Check);
        let engine = |error: EngineError| match error {
            EngineError::Model(error) => unfit_model(error).0,
            error => Problem::new(Code::SourceUnusable, error),
        };
        let mut recorder = Recorder::new(&config, true).map_err(engine)?;
        for side in recorder.sides() {
            fetch::check(self.cancel)?;
            let weights = part.weights(converter.table(), |name| Side::of(name) == side).await?;
            recorder.add(side, weights).map_err(engine)?;
        }
        config.selftest = recorder.finish().map_err(engine)?;

        self.tell(FetchStage::Store);
        let header = converter.table().header(&file_of(&config).map_err(unfit_model)?.metadata);
        let Finished { n_bytes, sha256, blob } =
            self.store.finish(self.key, &header, part, self.cancel).await?;
        let done: Vec<Done> = done.into_iter().flatten().collect();
        let model = StoredModel {
            key: self.key.to_owned(),
            name: config.about.name,
            source: self.task.order.source.clone(),
            format: self.task.order.format,
            bytes: n_bytes,
            sha256,
            vouched: done.iter().map(|done| done.vouched).min().unwrap_or_default(),
            source_sha256: done.into_iter().map(|done| (done.file, done.sha256)).collect(),
            is_kept: blob.is_none(),
        };
        if model.is_kept {
            self.store.enter(&model).await?;
            self.store.remove_todo(self.key).await;
        }
        Ok((model, blob))
    }

    async fn header(&self, mut reader: WeightsReader) -> Result<(WeightsReader, Header), Problem> {
        match reader.next(&mut |_| ()).await.map_err(unfit)? {
            Some(Item::Header(header)) => Ok((reader, header)),
            _ => Err(Problem::new(Code::SourceUnusable, "a file without a header")),
        }
    }

    /// Refuses what would not fit: `n_bytes` of weights, judged by their header once it is there.
    async fn check_room(&self, made: &Made, header: Option<&Header>, n_bytes: u64) -> Result<(), Problem> {
        let Some(room) = self.store.room().await else { return Ok(()) };
        let outlines = header.map(|header| &header.outlines);
        let n_made = made.converter.table().n_bytes();
        let needed = made.converter.estimated_bytes(outlines, n_bytes).saturating_sub(n_made) + BESIDE_BYTES;
        if n_bytes == 0 || needed <= room {
            return Ok(());
        }
        let detail = format!("the model takes about {needed} bytes, the browser gives {room} more");
        Err(Problem::new(Code::StorageFull, detail))
    }

    /// Keeps the header of the file in hand for another visit.
    async fn keep_header(&self, reader: &WeightsReader, header: &Header, made: &Made) -> Result<(), Problem> {
        if !made.part.is_lasting() || !reader.can_be_resumed() {
            return Ok(());
        }
        // The two belong together: what is known of the last file must not meet this one's header.
        self.store.remove_todo(self.key).await;
        self.store.put(&format!("{}.header", self.key), &header.bytes).await
    }

    /// Writes down where to go on.
    async fn keep(&self, made: &Made, clean: Option<&Clean>, commit: Option<&str>) -> Result<(), Problem> {
        let Some(Clean { resume_point, n_tensors, scalars }) = clean.filter(|_| made.part.is_lasting())
        else {
            return Ok(());
        };
        made.part.flush()?;
        let unfinished = Unfinished {
            key: self.key.to_owned(),
            order: self.task.order.clone(),
            done: made.n_done_bytes() + resume_point.position,
            total: self.meter.borrow().total,
        };
        let mut table = made.converter.table().clone();
        table.truncate(*n_tensors);
        let todo = Todo {
            unfinished,
            commit: commit.map(str::to_owned),
            done: made.done.clone(),
            configs: made.configs.iter().filter_map(|config| serde_json::to_value(config).ok()).collect(),
            resume_point: resume_point.clone(),
            table,
            scalars: scalars.clone(),
        };
        let json = serde_json::to_vec(&todo).map_err(|error| Problem::new(Code::StorageFailed, error))?;
        self.store.put(&format!("{}.todo", self.key), &json).await
    }

    /// Counts bytes that are here, of all files together.
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
        Unfit::Weights(error @ WeightsError::UnknownFormat { found: Looks::WebPage, .. }) => {
            Problem::new(Code::SourceHtml, error)
        }
        Unfit::Weights(error @ WeightsError::BadTensor { source: TensorError::TooLarge { .. }, .. }) => {
            Problem::new(Code::OutOfMemory, error)
        }
        Unfit::Weights(error) => Problem::new(Code::SourceUnusable, error),
    }
}
