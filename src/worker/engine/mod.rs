//! The worker's end of the channel: one engine, one job at a time, the newest question first.
//!
//! ```text
//! load       model files to checkpoints
//! pictures   what the page sends as a picture, made into pixels
//! model      a loaded model with what it knows of pictures and labels already
//! ```
//!
//! Invariant: while a job runs, of the questions that arrive only the last is kept; the page counts on answers to the
//! last question only. A load goes before a question, and ends the one that is under way; encodings wait for both, and go
//! on where they stopped.
//! Invariant: what was computed of a picture or a label is kept: a new label costs one label, a new picture none.
//! Invariant: a lost device is replaced once; lost again within two minutes, or silent, the CPU takes over for good.

mod load;
mod model;
pub mod pictures;

use self::model::Model;
use crate::engine::{BackendChoice, Engine, EngineError, EngineStage, now_millis};
use crate::image::Pixels;
use crate::worker::fetch::{check, scope, unless_aborted};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{
    Answer, Card, Crop, Encoded, Encoding, Event, LoadStage, ModelRef, Progress, Question, Request,
};
use gloo::events::EventListener;
use gloo::timers::future::TimeoutFuture;
use js_sys::{Array, Float32Array, Uint8Array};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, Blob, MessageEvent};

/// Chrome blocks a page's WebGPU after two losses within this time.
const LOSS_MILLIS: f64 = 120_000.0;

/// Listens; to be called once, by the worker's binary.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        tell(&Event::Crashed(info.to_string()));
    }));
    let host = Rc::new(Host::default());
    let listener = EventListener::new(&scope(), "message", move |event| {
        let data = event.dyn_ref::<MessageEvent>().map(MessageEvent::data).unwrap_or_default();
        let parts: Array = data.unchecked_into();
        let request = parts.get(0).as_string().map(|text| serde_json::from_str::<Request>(&text));
        match request {
            Some(Ok(request)) => host.take(request, parts.get(1)),
            Some(Err(error)) => tell(&Event::Crashed(format!("unknown request: {error}"))),
            None => tell(&Event::Crashed("a request without text".to_owned())),
        }
    });
    listener.forget();
    tell(&Event::Hello);
}

#[derive(Default)]
struct Host {
    /// What to do next, a load first and encodings last; a newer one takes the place of one of its kind, but encodings
    /// queue.
    next_load: RefCell<Option<Load>>,
    next_forget: Cell<bool>,
    next_crop: RefCell<Option<With<CropRequest>>>,
    next_question: RefCell<Option<With<Question>>>,
    encodings: RefCell<VecDeque<With<Encoding>>>,
    is_busy: Cell<bool>,
    /// The question or encoding that runs, until it is cancelled.
    running: Cell<Option<u64>>,
    /// Ends the load with this id.
    abort: RefCell<Option<(u32, AbortController)>>,
    /// Only the running job takes it out.
    model: RefCell<Option<Model>>,
    lost_at: Cell<Option<f64>>,
}

enum EngineJob {
    Load(Load),
    Crop(With<CropRequest>),
    Ask(With<Question>),
    Encode(With<Encoding>),
    Forget,
}

/// A request with the pictures that came beside it: files and frames by their ids. A frame can be read once.
struct With<T> {
    what: T,
    pictures: HashMap<u64, JsValue>,
}

struct CropRequest {
    id: u64,
    picture: u64,
}

struct Load {
    id: u32,
    model: ModelRef,
    backend: BackendChoice,
    /// A file of the reader's.
    file: Option<Blob>,
}

/// Why a job ends before its time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Something that goes before it waits.
    Waiting,
    Cancelled,
}

impl Host {
    fn take(self: &Rc<Self>, request: Request, payload: JsValue) {
        match request {
            Request::CancelLoad { id } => {
                self.next_load.borrow_mut().take_if(|load| load.id == id);
                if self.abort.borrow().as_ref().is_some_and(|(loading, _)| *loading == id) {
                    self.give_up_loading();
                }
                return;
            }
            Request::Cancel { id } => return self.cancel(id),
            Request::Load { id, model, backend } => {
                self.give_up_loading();
                self.next_load.replace(Some(Load { id, model, backend, file: payload.dyn_into().ok() }));
            }
            Request::Forget => self.next_forget.set(true),
            Request::Crop { id, picture } => {
                let what = CropRequest { id, picture };
                self.next_crop.replace(Some(With { what, pictures: pictures_in(payload) }));
            }
            Request::Rank(what) => {
                let mut pictures = pictures_in(payload);
                if let Some(replaced) = self.next_question.take() {
                    // A frame that nobody has read yet may be named once more, and does not come again.
                    pictures
                        .extend(replaced.pictures.into_iter().filter(|(id, _)| what.pictures.contains(id)));
                }
                self.next_question.replace(Some(With { what, pictures }));
            }
            Request::Encode(what) => {
                self.encodings.borrow_mut().push_back(With { what, pictures: pictures_in(payload) });
            }
        }
        if !self.is_busy.replace(true) {
            let host = self.clone();
            spawn_local(async move {
                while let Some(job) = host.next() {
                    host.run(job).await;
                }
                host.is_busy.set(false);
            });
        }
    }

    fn give_up_loading(&self) {
        self.abort.take().iter().for_each(|(_, abort)| abort.abort());
    }

    fn cancel(&self, id: u64) {
        let question = self.next_question.borrow_mut().take_if(|question| question.what.id == id);
        let mut encodings = self.encodings.borrow_mut();
        let n_before = encodings.len();
        encodings.retain(|encoding| encoding.what.id != id);
        if self.running.get() == Some(id) {
            self.running.set(None); // which says so when it stops
        } else if question.is_some() || encodings.len() < n_before {
            tell(&Event::Cancelled { id });
        }
    }

    fn next(&self) -> Option<EngineJob> {
        if let Some(load) = self.next_load.take() {
            return Some(EngineJob::Load(load));
        }
        if self.next_forget.take() {
            return Some(EngineJob::Forget);
        }
        // A question first: its answer is what is waited for, and it reads the picture.
        let question = self.next_question.take().map(EngineJob::Ask);
        let crop = || self.next_crop.take().map(EngineJob::Crop);
        // Nothing is encoded before there is a model.
        let has_model = self.model.borrow().is_some();
        let encoding =
            || self.encodings.borrow_mut().pop_front().filter(|_| has_model).map(EngineJob::Encode);
        question.or_else(crop).or_else(encoding)
    }

    async fn run(&self, job: EngineJob) {
        match job {
            EngineJob::Load(load) => {
                let id = load.id;
                match self.load(load).await {
                    Ok(card) => tell(&Event::Ready(id, Box::new(card))),
                    Err(problem) => tell(&Event::LoadFailed(id, problem)),
                }
            }
            EngineJob::Forget => {
                drop(load::forget().await);
                tell(&Event::Forgotten);
            }
            EngineJob::Crop(With { what: CropRequest { id, picture }, pictures }) => {
                let Some(mut model) = self.model.take() else { return };
                match model.crop(picture, &pictures, &mut Vec::new()).await {
                    Ok(Pixels { width: size, rgb, background, .. }) => {
                        let (size, background) = (*size, *background);
                        let crop = Crop { id, picture, size, background };
                        tell_with(&Event::Crop(crop), &Uint8Array::from(&rgb[..]).into());
                    }
                    Err(problem) => tell(&Event::Rejected { id, problem }),
                }
                self.model.replace(Some(model));
            }
            EngineJob::Ask(question) => {
                let Some(mut model) = self.model.take() else { return };
                let id = question.what.id;
                self.running.set(Some(id));
                let answered = self.answer_all(&mut model, &question).await;
                self.running.set(None);
                self.model.replace(Some(model));
                match answered {
                    // A newer question or model is next.
                    Ok(None | Some(Stop::Waiting)) => {}
                    Ok(Some(Stop::Cancelled)) => tell(&Event::Cancelled { id }),
                    Err(problem) => tell(&Event::Rejected { id, problem }),
                }
            }
            EngineJob::Encode(mut encoding) => {
                let Some(mut model) = self.model.take() else { return };
                let id = encoding.what.id;
                self.running.set(Some(id));
                let encoded = self.encode(&mut model, &mut encoding).await;
                self.running.set(None);
                self.model.replace(Some(model));
                match encoded {
                    Ok(None) => {}
                    Ok(Some(Stop::Waiting)) => self.encodings.borrow_mut().push_front(encoding),
                    Ok(Some(Stop::Cancelled)) => tell(&Event::Cancelled { id }),
                    Err(problem) => tell(&Event::Rejected { id, problem }),
                }
            }
        }
    }

    async fn load(&self, Load { id, model, backend, file }: Load) -> Result<Card, Problem> {
        self.model.take();
        let is_own = matches!(model, ModelRef::File(_));
        let abort =
            AbortController::new().map_err(|error| Problem::new(Code::EngineFailed, format!("{error:?}")))?;
        self.abort.replace(Some((id, abort.clone())));
        let on_progress = |progress| tell(&Event::Progress(id, progress));
        let cancel = abort.signal();
        let backend = match backend {
            BackendChoice::Cpu => BackendChoice::Cpu,
            BackendChoice::Auto | BackendChoice::Gpu => BackendChoice::Auto,
        };
        let how = load::How { backend, cancel: &cancel };
        let loaded = match (model, file) {
            (ModelRef::Starter, _) => load::starter(how, on_progress).await?,
            (ModelRef::Stored(key), _) => load::from_store(&key, how, on_progress).await?,
            (ModelRef::File(name), Some(file)) => load::from_file(&name, &file, how, on_progress).await?,
            (ModelRef::File(name), None) => {
                return Err(Problem::new(Code::ModelFileUnusable, format!("{name} did not arrive")));
            }
        };
        let load::Loaded { file, n_bytes, sha256, checkpoint, warm } = loaded;
        let on_stage = |stage| {
            let stage = match stage {
                EngineStage::Testing => LoadStage::SelfTest,
                _ => LoadStage::Build,
            };
            on_progress(Progress { stage, done: 0, total: 0 });
        };
        let engine = async {
            let engine = Engine::on_warm_gpu(warm, checkpoint, n_bytes as usize, backend, on_stage);
            let engine = engine.await.map_err(load_problem)?;
            // Without a tokenizer no label could be asked about.
            engine.tokenize("").map(|_| engine).map_err(load_problem)
        };
        // A GPU that is waited for keeps no reader from choosing another way.
        let engine =
            unless_aborted(&cancel, engine).await.map_err(|problem| match (is_own, problem.code) {
                (true, Code::WeightsUnreadable) => Problem { code: Code::ModelFileUnusable, ..problem },
                _ => problem,
            })?;
        check(&cancel)?;
        let model = Model::new(engine, file, sha256);
        let card = model.card();
        self.model.replace(Some(model));
        Ok(card)
    }

    /// Answers for one picture after the other. One that can't be read keeps no other of several from being ranked.
    async fn answer_all(
        &self,
        model: &mut Model,
        question: &With<Question>,
    ) -> Result<Option<Stop>, Problem> {
        let Question { id, pictures, .. } = &question.what;
        for (idx, &picture) in pictures.iter().enumerate() {
            if idx > 0
                && let Some(stop) = self.stop(*id).await
            {
                return Ok(Some(stop));
            }
            match self.over_a_loss(model, async |model| self.answer(model, question, picture).await).await {
                Ok(Ok(answer)) => tell(&Event::Answered(answer)),
                Ok(Err(stop)) => return Ok(Some(stop)),
                Err(problem) if pictures.len() > 1 => {
                    tell(&Event::PictureFailed { id: *id, picture, problem });
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(None)
    }

    async fn answer(
        &self,
        model: &mut Model,
        With { what: question, pictures }: &With<Question>,
        picture: u64,
    ) -> Result<Result<Answer, Stop>, Failure> {
        let mut stages = Vec::new();
        model.encode(picture, pictures, &mut stages).await?;
        let stop =
            model.know(&question.labels, &question.templates, &mut stages, (self, question.id)).await?;
        Ok(match stop {
            Some(stop) => Err(stop),
            None => Ok(model.rank(question, picture, stages)?),
        })
    }

    /// Encodes until something that goes before it waits; what is done is taken off the request.
    async fn encode(
        &self,
        model: &mut Model,
        With { what, pictures }: &mut With<Encoding>,
    ) -> Result<Option<Stop>, Problem> {
        let id = what.id;
        while let Some(&picture) = what.pictures.first() {
            if let Some(stop) = self.stop(id).await {
                return Ok(Some(stop));
            }
            let embedding = self
                .over_a_loss(model, async |model| {
                    model.encode(picture, pictures, &mut Vec::new()).await.map(Float32Array::from)
                })
                .await;
            match embedding {
                Ok(values) => tell_with(&Event::Encoded { id, what: Encoded::Picture(picture) }, &values),
                Err(problem) => tell(&Event::PictureFailed { id, picture, problem }),
            }
            what.pictures.remove(0);
            pictures.remove(&picture);
        }
        if what.labels.is_empty() {
            return Ok(None);
        }
        let stop = self
            .over_a_loss(model, async |model| {
                model.know(&what.labels, &what.templates, &mut Vec::new(), (self, id)).await
            })
            .await?;
        if stop.is_none() {
            let (values, notes) = model.label_values();
            tell_with(&Event::Encoded { id, what: Encoded::Labels(notes) }, &Float32Array::from(&values[..]));
        }
        Ok(stop)
    }

    async fn told_progress(&self, id: u64, done: usize, total: usize) -> Option<Stop> {
        if done < total {
            tell(&Event::LabelProgress { id, done, total });
        }
        self.stop(id).await
    }

    /// Whether the job with this id is to make way; messages are heard between two turns of the event loop only.
    async fn stop(&self, id: u64) -> Option<Stop> {
        TimeoutFuture::new(0).await;
        let is_cancelled = self.running.get() != Some(id);
        let is_waiting = self.next_question.borrow().is_some() || self.next_load.borrow().is_some();
        is_cancelled.then_some(Stop::Cancelled).or(is_waiting.then_some(Stop::Waiting))
    }

    /// Does it, and once more after a device was lost.
    async fn over_a_loss<T>(
        &self,
        model: &mut Model,
        work: impl AsyncFn(&mut Model) -> Result<T, Failure>,
    ) -> Result<T, Problem> {
        let mut has_recovered = false;
        // A loop and no second call: what is done is a large part of this program.
        loop {
            match work(model).await {
                Err(Failure::Engine(error)) if error.is_device_lost() && !has_recovered => {
                    has_recovered = true;
                    self.recover(model, error).await?;
                }
                other => return other.map_err(Failure::problem),
            }
        }
    }

    async fn recover(&self, model: &mut Model, error: EngineError) -> Result<(), Problem> {
        let now = now_millis();
        let is_first = self.lost_at.replace(Some(now)).is_none_or(|last| now - last > LOSS_MILLIS);
        let (choice, code) = match is_first {
            // Another device of the same GPU would hardly answer.
            _ if error.is_silence() => (BackendChoice::Cpu, Code::GpuSilent),
            true => (BackendChoice::Auto, Code::DeviceLost),
            false => (BackendChoice::Cpu, Code::DeviceLostAgain),
        };
        model.recover(choice).await.map_err(load_problem)?;
        tell(&Event::Moved(Box::new(model.card())));
        tell(&Event::Notice(Problem::new(code, error)));
        Ok(())
    }
}

/// Pairs of an id and a file or a frame.
fn pictures_in(payload: JsValue) -> HashMap<u64, JsValue> {
    let pairs = payload.dyn_into::<Array>().unwrap_or_default();
    let pair = |pair: JsValue| {
        let pair: Array = pair.dyn_into().ok()?;
        Some((pair.get(0).as_f64()? as u64, pair.get(1)))
    };
    pairs.iter().filter_map(pair).collect()
}

/// Why a question has no answer.
enum Failure {
    Engine(EngineError),
    Problem(Problem),
}

impl Failure {
    fn problem(self) -> Problem {
        match self {
            Failure::Engine(error) => Problem::new(Code::EngineFailed, error),
            Failure::Problem(problem) => problem,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Failure::Engine(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure::Problem(problem)
    }
}

fn load_problem(error: EngineError) -> Problem {
    let code = match error {
        EngineError::SelfTest { .. } => Code::SelfTestFailed,
        EngineError::Model(_) | EngineError::Weights(_) | EngineError::Text(_) | EngineError::NoTokenizer => {
            Code::WeightsUnreadable
        }
        _ => Code::EngineFailed,
    };
    Problem::new(code, error)
}

fn tell(event: &Event) {
    tell_with(event, &JsValue::UNDEFINED);
}

fn tell_with(event: &Event, payload: &JsValue) {
    // Plain data always serialises; a page that is gone needs no message.
    if let Ok(text) = serde_json::to_string(event) {
        drop(scope().post_message(&Array::of2(&text.into(), payload)));
    }
}
