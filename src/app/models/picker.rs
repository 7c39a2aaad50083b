//! The model picker's state: the catalogue, what is stored, the download under way, and what to ask of the downloader.
//!
//! Invariant: one job at a time; what the downloader still says about any other is dropped here, once, for everyone.
//! Invariant: what is to be sent stands in `outbox`, in order, until the downloader listens and it was sent.
//! Invariant: the downloader is started when it is first needed, and starts anew after a breakdown, twice at most in a
//! row.
//! Invariant: no DOM: the state is tested natively.

use super::recommend::{self, Device, OrderedCatalogue, kept_bytes};
use crate::app::settings::{Chosen, Settings};
use crate::app::strings;
use crate::convert::catalogue::{Catalogue, Entry};
use crate::convert::layout::{self, Layout};
use crate::convert::source::{self, Source, SourceError, Sources};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{
    FetchEvent, FetchProgress, FetchRequest, FetchStage, Order, Store, StoredFormat, StoredModel, Unfinished,
};
use std::rc::Rc;

/// Breakdowns in a row before the page stops starting the downloader by itself.
const MAX_RESTARTS: u32 = 2;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picker {
    pub catalogue: CatalogueState,
    /// Once the downloader has told.
    pub store: Option<Store>,
    pub job: Option<ModelJob>,
    /// Why something besides the job did not work.
    pub problem: Option<Problem>,
    pub downloader: Downloader,
    /// Grows when the downloader has to be started; 0 while nobody needed it.
    pub generation: u32,
    /// The id or address as typed.
    pub typed: String,
    /// What decides which model is recommended.
    pub device: Device,
    outbox: Vec<Sending>,
    last_id: u32,
    n_restarts: u32,
}

/// A request, and the id of what travels beside it.
pub type Sending = (FetchRequest, Option<u64>);

/// The curated list.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum CatalogueState {
    #[default]
    Unread,
    Here(Rc<Catalogue>),
    /// The rest of the picker works without.
    Missing(Problem),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub enum Downloader {
    #[default]
    Off,
    Starting,
    Ready,
    Failed,
}

/// A download, or files on their way into storage.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelJob {
    pub id: u32,
    pub name: String,
    pub what: What,
    pub phase: Phase,
    /// Where it stands, or stood when it stopped.
    pub progress: FetchProgress,
    /// It was begun by taking the offer, where its progress is shown and its result compared.
    pub is_offered: bool,
    /// The last quarter that was announced.
    quarter: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Order(Order),
    /// The reader's files, by the id under which the page keeps them.
    Files {
        payload: u64,
        format: StoredFormat,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Running,
    /// Asked to pause, not stopped yet.
    Pausing,
    Paused,
    Failed(Problem),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// The picker is on show.
    Open,
    CatalogueRead(Result<Rc<Catalogue>, Problem>),
    ReadAgain,
    Typed(String),
    /// What was typed.
    DownloadTyped,
    /// The entry of this id.
    Download(String),
    /// The same, from the offer.
    Take(String),
    /// What was found out about the device; which processor ranks is known elsewhere.
    Device(Device),
    /// What was begun, on this visit or an earlier one.
    Resume(Order),
    /// The job again, from where it stopped.
    Again,
    /// Files of these names, kept under this id.
    Import {
        payload: u64,
        names: Vec<String>,
    },
    Pause,
    /// Stops the job and deletes what is there of it.
    Cancel,
    Delete(String),
    /// Puts a message away.
    Dismiss,
    /// The first requests of the outbox were sent.
    Sent(usize),
    /// The downloader said something, with a GGUF beside it that the page keeps under this id.
    Heard(FetchEvent, Option<u64>),
    DownloaderMissing(String),
}

/// What a pick means for the rest of the page.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    pub announcement: Option<String>,
    /// A model to switch to.
    pub finished: Option<Finished>,
    pub deleted: Option<String>,
}

#[derive(Debug, PartialEq)]
pub struct Finished {
    pub model: StoredModel,
    /// The id of a file of this visit, where it could not be stored.
    pub payload: Option<u64>,
    pub is_offered: bool,
}

/// The recommended model in a line: what it is and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Of its entry in the curated list.
    pub id: String,
    pub name: String,
    pub download_bytes: u64,
    pub kept_bytes: u64,
    /// It is on this device already.
    pub stored: Option<Chosen>,
}

impl Outcome {
    fn say(text: String) -> Self {
        Self { announcement: Some(text), ..Self::default() }
    }
}

impl Picker {
    pub fn pick(&mut self, pick: Pick, settings: &Settings) -> Outcome {
        match pick {
            Pick::Open => {
                self.problem = None;
                self.start_downloader();
                // It was read early, and perhaps too early.
                if let CatalogueState::Missing(_) = self.catalogue {
                    self.catalogue = CatalogueState::Unread;
                }
            }
            Pick::CatalogueRead(Ok(catalogue)) => self.catalogue = CatalogueState::Here(catalogue),
            Pick::CatalogueRead(Err(problem)) => self.catalogue = CatalogueState::Missing(problem),
            Pick::ReadAgain => self.catalogue = CatalogueState::Unread,
            Pick::Typed(text) => self.typed = text,
            Pick::DownloadTyped => {
                if let Ok(source) = self.source(settings) {
                    self.typed.clear();
                    return self.download(source, settings, false);
                }
            }
            Pick::Download(id) => return self.download_entry(&id, settings, false),
            Pick::Take(id) => return self.download_entry(&id, settings, true),
            Pick::Device(device) => {
                let has_gpu = self.device.has_gpu;
                self.device = Device { has_gpu, ..device };
            }
            Pick::Resume(order) => return self.begin(self.name(&order.source), What::Order(order), false),
            Pick::Again => {
                if let Some(job) = self.job.take_if(|job| job.is_stopped()) {
                    return self.begin(job.name, job.what, job.is_offered);
                }
            }
            Pick::Import { payload, names } => match check_files(&names) {
                Ok(name) => {
                    let what = What::Files { payload, format: settings.format };
                    return self.begin(name, what, false);
                }
                Err(what) => self.problem = Some(Problem::new(Code::ModelFilesIncomplete, what)),
            },
            Pick::Pause => {
                if let Some(job) = self.job.as_mut().filter(|job| job.phase == Phase::Running) {
                    job.phase = Phase::Pausing;
                    self.outbox.push((FetchRequest::Pause, None));
                }
            }
            Pick::Cancel => return self.cancel(),
            Pick::Delete(key) => {
                self.outbox.push((FetchRequest::Delete(key.clone()), None));
                return Outcome { deleted: Some(key), ..Outcome::say(strings::DELETED.to_string()) };
            }
            Pick::Dismiss => {
                if self.problem.take().is_none() {
                    self.job.take_if(|job| job.is_stopped());
                }
            }
            Pick::Sent(n) => drop(self.outbox.drain(..n.min(self.outbox.len()))),
            Pick::Heard(event, payload) => return self.hear(event, payload),
            Pick::DownloaderMissing(why) => return self.fail(Problem::new(Code::DownloaderMissing, why)),
        }
        Outcome::default()
    }

    /// What can be sent now.
    pub fn sendings(&self) -> &[Sending] {
        if self.downloader == Downloader::Ready { &self.outbox } else { &[] }
    }

    /// The reader's files that are still needed.
    pub fn payload_in_use(&self) -> Option<u64> {
        match self.job.as_ref()?.what {
            What::Files { payload, .. } => Some(payload),
            What::Order(_) => None,
        }
    }

    pub fn is_busy(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.is_stopped())
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.catalogue {
            CatalogueState::Here(catalogue) => &catalogue.models,
            _ => &[],
        }
    }

    /// What was typed, as the downloader is to get it.
    pub fn source(&self, settings: &Settings) -> Result<String, SourceError> {
        Sources::parse(&self.typed, &settings.hub()).map(|sources| sources.text(&settings.hub()))
    }

    /// What people call what comes from there.
    pub fn name(&self, source: &str) -> String {
        self.entry(source).map_or_else(|| source::short_name(source).to_owned(), |entry| entry.name.clone())
    }

    pub fn name_of(&self, model: &StoredModel) -> String {
        match self.entry(&model.source) {
            None if !model.name.is_empty() => model.name.clone(),
            _ => self.name(&model.source),
        }
    }

    fn entry(&self, source: &str) -> Option<&Entry> {
        match &self.catalogue {
            CatalogueState::Here(catalogue) => catalogue.find(source),
            _ => None,
        }
    }

    pub fn stored(&self) -> &[StoredModel] {
        self.store.as_ref().map(|store| &store.models[..]).unwrap_or_default()
    }

    /// Downloads that were begun, besides the job.
    pub fn unfinished(&self) -> impl Iterator<Item = &Unfinished> {
        let current = self.job.as_ref().and_then(|job| match &job.what {
            What::Order(order) => Some(order),
            What::Files { .. } => None,
        });
        let all = self.store.as_ref().map(|store| &store.unfinished[..]).unwrap_or_default();
        all.iter().filter(move |unfinished| Some(&unfinished.order) != current)
    }

    /// Bytes of the job that would be lost with it.
    pub fn bytes_at_stake(&self) -> u64 {
        match &self.job {
            Some(ModelJob { what: What::Order(order), phase: Phase::Paused | Phase::Failed(_), .. }) => {
                self.unfinished_of(order).map_or(0, |unfinished| unfinished.done)
            }
            Some(ModelJob { what: What::Order(_), progress, .. }) => progress.done,
            // The reader's files stay where they are.
            _ => 0,
        }
    }

    /// The list as this device should see it, with what it recommends.
    pub fn ordered(&self, settings: &Settings) -> OrderedCatalogue<'_> {
        match &self.catalogue {
            CatalogueState::Here(catalogue) => {
                let is_stored = |entry: &Entry| self.stored_entry(entry).is_some();
                recommend::ordered(catalogue, &self.device, settings.format, is_stored)
            }
            _ => OrderedCatalogue::default(),
        }
    }

    /// The recommended model in a line, once the list is read.
    pub fn offer(&self, settings: &Settings) -> Option<Offer> {
        let entry = self.ordered(settings).recommended?;
        Some(Offer {
            id: entry.id.clone(),
            name: entry.name.clone(),
            download_bytes: entry.n_bytes(),
            kept_bytes: kept_bytes(entry, settings.format),
            stored: self.stored_entry(entry).map(|stored| self.chosen(stored)),
        })
    }

    /// A model of the list as it is stored, however precisely.
    fn stored_entry(&self, entry: &Entry) -> Option<&StoredModel> {
        self.stored().iter().find(|stored| stored.source == entry.source())
    }

    /// A stored model, to be used.
    pub fn chosen(&self, stored: &StoredModel) -> Chosen {
        Chosen { key: stored.key.clone(), name: self.name_of(stored), vouched: stored.vouched }
    }

    fn download_entry(&mut self, id: &str, settings: &Settings, is_offered: bool) -> Outcome {
        let source = self.entries().iter().find(|entry| entry.id == id).map(Entry::source);
        source.map(|source| self.download(source, settings, is_offered)).unwrap_or_default()
    }

    /// `source` as it was typed, or an entry's own.
    fn download(&mut self, source: String, settings: &Settings, is_offered: bool) -> Outcome {
        let hub = settings.hub();
        let parsed = Source::parse(&source, &hub).ok();
        let entry = match &self.catalogue {
            // An id that is listed means what was pinned, whatever the branch holds by now.
            CatalogueState::Here(catalogue) => parsed.and_then(|source| catalogue.entry_of(&source)),
            _ => None,
        };
        let pinned = entry.map(|entry| entry.weights.clone()).unwrap_or_default();
        let source = entry.map_or(source, Entry::source);
        let order = Order { source, hub, format: settings.format, pinned };
        self.begin(self.name(&order.source), What::Order(order), is_offered)
    }

    fn begin(&mut self, name: String, what: What, is_offered: bool) -> Outcome {
        if self.is_busy() {
            return Outcome::say(strings::ONE_AT_A_TIME.to_string());
        }
        self.start_downloader();
        self.problem = None;
        self.last_id += 1;
        let id = self.last_id;
        let begun = match &what {
            What::Order(order) => {
                self.unfinished_of(order).map(|unfinished| (unfinished.done, unfinished.total))
            }
            What::Files { .. } => None,
        };
        let (done, total) = begun.unwrap_or_default();
        let progress = FetchProgress { stage: FetchStage::Looking, done, total, bytes_per_second: 0.0 };
        let said = strings::job_started(&name, &what);
        self.outbox.push(match &what {
            What::Order(order) => (FetchRequest::Start { id, order: order.clone() }, None),
            What::Files { payload, format } => (FetchRequest::Import { id, format: *format }, Some(*payload)),
        });
        let quarter = progress.quarter();
        self.job = Some(ModelJob { id, name, what, phase: Phase::Running, progress, is_offered, quarter });
        Outcome::say(said)
    }

    fn unfinished_of(&self, order: &Order) -> Option<&Unfinished> {
        self.store.as_ref()?.unfinished.iter().find(|unfinished| unfinished.order == *order)
    }

    fn cancel(&mut self) -> Outcome {
        let Some(job) = self.job.take() else { return Outcome::default() };
        let what_is_there = match &job.what {
            What::Order(order) => self.unfinished_of(order).map(|unfinished| unfinished.key.clone()),
            What::Files { .. } => None,
        };
        if !job.is_stopped() {
            self.outbox.push((FetchRequest::Cancel, None));
        } else if let Some(key) = what_is_there {
            self.outbox.push((FetchRequest::Delete(key), None));
        }
        Outcome::say(strings::CANCELLED.to_string())
    }

    fn hear(&mut self, event: FetchEvent, payload: Option<u64>) -> Outcome {
        let is_of = |job: &ModelJob, id: u32| job.id == id && !job.is_stopped();
        match event {
            FetchEvent::Hello => {
                self.downloader = Downloader::Ready;
                self.outbox.insert(0, (FetchRequest::List, None));
            }
            FetchEvent::Stored(store) => {
                self.store = Some(store);
                self.n_restarts = 0;
            }
            FetchEvent::Progress(id, progress) => {
                let Some(job) = self.job.as_mut().filter(|job| is_of(job, id)) else {
                    return Outcome::default();
                };
                job.progress = progress;
                let quarter = job.progress.quarter();
                if quarter > std::mem::replace(&mut job.quarter, quarter) && quarter < 4 {
                    return Outcome::say(strings::quarter(&job.name, quarter));
                }
            }
            FetchEvent::Finished(id, model) => {
                if let Some(job) = self.job.take_if(|job| is_of(job, id)) {
                    let said = strings::job_finished(&job.name);
                    let model = StoredModel { name: self.name_of(&model), ..model };
                    let finished = Some(Finished { model, payload, is_offered: job.is_offered });
                    return Outcome { finished, ..Outcome::say(said) };
                }
            }
            FetchEvent::Paused(id) => {
                if let Some(job) = self.job.as_mut().filter(|job| is_of(job, id)) {
                    job.phase = Phase::Paused;
                    return Outcome::say(strings::PAUSED.to_string());
                }
            }
            FetchEvent::Failed(id, problem) => {
                if let Some(job) = self.job.as_mut().filter(|job| is_of(job, id)) {
                    let said = strings::advice(problem.code).title.to_owned();
                    job.phase = Phase::Failed(problem);
                    return Outcome::say(said);
                }
            }
            FetchEvent::Crashed(why) => {
                self.n_restarts += 1;
                let outcome = self.fail(Problem::new(Code::DownloaderCrashed, why));
                if self.n_restarts <= MAX_RESTARTS {
                    self.start_downloader();
                }
                return outcome;
            }
        }
        Outcome::default()
    }

    /// Finds out what is stored, unless that is known or cannot be had.
    pub fn look(&mut self) {
        if self.downloader == Downloader::Off {
            self.start_downloader();
        }
    }

    fn start_downloader(&mut self) {
        if matches!(self.downloader, Downloader::Off | Downloader::Failed) {
            self.downloader = Downloader::Starting;
            self.generation += 1;
        }
    }

    /// The downloader is gone: what it worked on stops, and can be gone on with.
    fn fail(&mut self, problem: Problem) -> Outcome {
        self.downloader = Downloader::Failed;
        self.outbox.clear();
        let said = strings::advice(problem.code).title.to_owned();
        match self.job.as_mut().filter(|job| !job.is_stopped()) {
            Some(job) => job.phase = Phase::Failed(problem),
            None => self.problem = Some(problem),
        }
        Outcome::say(said)
    }
}

impl ModelJob {
    pub fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Paused | Phase::Failed(_))
    }

    /// Of the bytes that come over the network; `None` while that is not known.
    pub fn fraction(&self) -> Option<f64> {
        let FetchProgress { done, total, .. } = self.progress;
        (total > 0).then(|| done.min(total) as f64 / total as f64)
    }
}

impl FetchProgress {
    /// Quarters done, 0 to 4.
    fn quarter(&self) -> u64 {
        (4 * self.done.min(self.total)).checked_div(self.total).unwrap_or(0)
    }
}

/// What the reader's files are called together, or what is missing.
fn check_files(names: &[String]) -> Result<String, String> {
    let parts: Vec<Option<String>> = layout::own_names(names);
    let own: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    let layout = Layout::choose(&own, &[]).map_err(|error| error.to_string())?;
    if !layout.is_gguf() {
        layout.config(std::iter::empty()).map_err(|error| error.to_string())?;
        layout.tokenizer.check().map_err(|error| error.to_string())?;
    }
    let is_weights = |name: &&String| layout::is_weights(name);
    Ok(names.iter().find(is_weights).map(|name| layout::stem(name).to_owned()).unwrap_or_default())
}
