//! The worker's end of the channel: one engine, one job at a time, the newest question first.
//!
//! Invariant: while a job runs, of the questions that arrive only the last is kept; the page counts on an answer to
//! the last question only. A load goes before a question, and ends the one that is under way.
//! Invariant: what was computed of a picture or a label is kept: a new label costs one label, a new picture none.
//! Invariant: a lost device is replaced once; lost again within two minutes, the CPU takes over for good.

mod load;
pub mod pictures;

use crate::engine::{
    BackendChoice, BackendKind, EmbeddedLabels, Engine, EngineError, EngineStage, Fallback, FallbackCause,
    KnownLabels, now_millis,
};
use crate::image::Pixels;
use crate::tasks::{ImageEmbedding, classify};
use crate::text::Template;
use crate::worker::fetch::scope;
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{
    Answer, Card, Crop, Event, LoadStage, ModelRef, Progress, Question, Request, StageTime,
};
use gloo::events::EventListener;
use gloo::timers::future::TimeoutFuture;
use js_sys::{Array, Reflect, Uint8Array};
use std::cell::{Cell, RefCell};
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
    /// What to do next, a load first and a question last; a newer one takes the place of one of its kind.
    next_load: RefCell<Option<Load>>,
    next_forget: Cell<bool>,
    next_crop: RefCell<Option<CropRequest>>,
    next_question: RefCell<Option<Question>>,
    is_busy: Cell<bool>,
    abort: RefCell<Option<AbortController>>,
    /// The picture that arrived last.
    picture: RefCell<Option<Picture>>,
    /// Only the running job takes it out.
    model: RefCell<Option<Model>>,
    lost_at: Cell<Option<f64>>,
}

enum EngineJob {
    Load(Load),
    Crop(CropRequest),
    Ask(Question),
    Forget,
}

struct CropRequest {
    id: u64,
    picture: u64,
}

struct Load {
    id: u32,
    model: ModelRef,
    /// A file of the reader's.
    file: Option<Blob>,
}

struct Picture {
    id: u64,
    payload: JsValue,
}

struct Model {
    engine: Engine,
    file: String,
    sha256: String,
    labels: KnownLabels,
    /// What the model sees of the picture that was read last: a camera frame can be read once.
    crop: Option<(u64, Pixels)>,
    image: Option<(u64, ImageEmbedding)>,
}

impl Host {
    fn take(self: &Rc<Self>, request: Request, payload: JsValue) {
        match request {
            Request::CancelLoad => {
                self.next_load.take();
                self.give_up_loading();
                return;
            }
            Request::Load { id, model } => {
                self.give_up_loading();
                self.next_load.replace(Some(Load { id, model, file: payload.dyn_into().ok() }));
            }
            Request::Forget => self.next_forget.set(true),
            Request::Crop { id, picture } => {
                self.keep_picture(picture, payload);
                self.next_crop.replace(Some(CropRequest { id, picture }));
            }
            Request::Ask(question) => {
                self.keep_picture(question.picture, payload);
                self.next_question.replace(Some(question));
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

    fn keep_picture(&self, id: u64, payload: JsValue) {
        if !payload.is_undefined() {
            self.picture.replace(Some(Picture { id, payload }));
        }
    }

    fn give_up_loading(&self) {
        self.abort.take().iter().for_each(AbortController::abort);
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
        question.or_else(|| self.next_crop.take().map(EngineJob::Crop))
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
            EngineJob::Crop(request) => {
                let Some(mut model) = self.model.take() else { return };
                let CropRequest { id, picture } = request;
                match self.crop(&mut model, picture, &mut Vec::new()).await {
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
                let answered = self.answer(&mut model, &question).await;
                self.model.replace(Some(model));
                match answered {
                    Ok(Some(answer)) => tell(&Event::Answered(answer)),
                    // A newer question or model is next.
                    Ok(None) => {}
                    Err(problem) => tell(&Event::Rejected { id: question.id, problem }),
                }
            }
        }
    }

    async fn load(&self, Load { id, model, file }: Load) -> Result<Card, Problem> {
        self.model.take();
        let is_own = matches!(model, ModelRef::File(_));
        let abort =
            AbortController::new().map_err(|error| Problem::new(Code::EngineFailed, format!("{error:?}")))?;
        self.abort.replace(Some(abort.clone()));
        let on_progress = |progress| tell(&Event::Progress(id, progress));
        let cancel = abort.signal();
        let loaded = match (model, file) {
            (ModelRef::Starter, _) => load::starter(&cancel, on_progress).await?,
            (ModelRef::Stored(key), _) => load::from_store(&key, &cancel, on_progress).await?,
            (ModelRef::File(name), Some(file)) => load::from_file(&name, &file, &cancel, on_progress).await?,
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
            let n_bytes = n_bytes as usize;
            let engine =
                Engine::on_warm_gpu(warm, checkpoint, n_bytes, BackendChoice::Auto, on_stage).await?;
            // Without a tokenizer no label could be asked about.
            engine.tokenize("").map(|_| engine)
        };
        let engine = engine.await.map_err(load_problem).map_err(|problem| match (is_own, problem.code) {
            (true, Code::WeightsUnreadable) => Problem { code: Code::ModelFileUnusable, ..problem },
            _ => problem,
        })?;
        crate::worker::fetch::check(&cancel)?;
        let model = Model { engine, file, sha256, labels: KnownLabels::default(), crop: None, image: None };
        let card = model.card();
        self.model.replace(Some(model));
        Ok(card)
    }

    /// Answers, over one lost device; `None` if the question was replaced meanwhile.
    async fn answer(&self, model: &mut Model, question: &Question) -> Result<Option<Answer>, Problem> {
        match self.try_answer(model, question).await {
            Err(Failure::Engine(error)) if error.is_device_lost() => {
                self.recover(model, error).await?;
                self.try_answer(model, question).await.map_err(Failure::problem)
            }
            other => other.map_err(Failure::problem),
        }
    }

    async fn recover(&self, model: &mut Model, error: EngineError) -> Result<(), Problem> {
        let now = now_millis();
        let is_first = self.lost_at.replace(Some(now)).is_none_or(|last| now - last > LOSS_MILLIS);
        let (choice, code) = match is_first {
            true => (BackendChoice::Auto, Code::DeviceLost),
            false => (BackendChoice::Cpu, Code::DeviceLostAgain),
        };
        model.engine.recover(choice).await.map_err(load_problem)?;
        tell(&Event::Moved(Box::new(model.card())));
        tell(&Event::Notice(Problem::new(code, error)));
        Ok(())
    }

    async fn try_answer(&self, model: &mut Model, question: &Question) -> Result<Option<Answer>, Failure> {
        let mut stages = Vec::new();
        let image = self.image(model, question.picture, &mut stages).await?;
        let Some(labels) = self.labels(model, question, &mut stages).await? else { return Ok(None) };
        let EmbeddedLabels { readable, notes } = labels;
        let started = now_millis();
        let calibration = model.engine.calibration();
        let ranked = classify::rank(&image, &readable, &calibration, question.mode, question.has_none);
        stages.push(stage("Rank", now_millis() - started));
        let crop = model.crop.as_ref().filter(|(id, _)| *id == question.picture);
        let background = crop.and_then(|(_, crop)| crop.background);
        Ok(Some(Answer { id: question.id, ranked, notes, background, stages }))
    }

    async fn image(
        &self,
        model: &mut Model,
        id: u64,
        stages: &mut Vec<StageTime>,
    ) -> Result<ImageEmbedding, Failure> {
        if let Some((_, embedding)) = model.image.as_ref().filter(|(known, _)| *known == id) {
            return Ok(embedding.clone());
        }
        let crop = self.crop(model, id, stages).await?.clone();
        let started = now_millis();
        let tensor = model.engine.tensor(&crop);
        let embedding = model.engine.encode_images(&[tensor]).await?.pop();
        let embedding =
            embedding.ok_or_else(|| Problem::new(Code::EngineFailed, "no embedding came for the picture"))?;
        stages.push(stage("Encode picture", now_millis() - started));
        model.image = Some((id, embedding.clone()));
        Ok(embedding)
    }

    /// What the model sees of a picture.
    async fn crop<'a>(
        &self,
        model: &'a mut Model,
        id: u64,
        stages: &mut Vec<StageTime>,
    ) -> Result<&'a Pixels, Problem> {
        let missing = || Problem::new(Code::PictureUnreadable, "the picture did not arrive");
        if model.crop.as_ref().is_none_or(|(known, _)| *known != id) {
            let started = now_millis();
            let picture = self
                .picture
                .borrow()
                .as_ref()
                .filter(|picture| picture.id == id)
                .map(|picture| picture.payload.clone());
            let pixels = pictures::pixels(picture.ok_or_else(missing)?).await?;
            let decoded = now_millis();
            model.crop = Some((id, model.engine.crop(&pixels)));
            stages.push(stage("Read picture", decoded - started));
            stages.push(stage("Fit to model", now_millis() - decoded));
        }
        model.crop.as_ref().map(|(_, crop)| crop).ok_or_else(missing)
    }

    /// The labels' embeddings; `None` if the question was replaced meanwhile.
    async fn labels(
        &self,
        model: &mut Model,
        question: &Question,
        stages: &mut Vec<StageTime>,
    ) -> Result<Option<EmbeddedLabels>, Failure> {
        let started = now_millis();
        let prompts: Vec<Template> =
            question.templates.iter().filter_map(|text| Template::parse(text).ok()).collect();
        let prompts = if prompts.is_empty() { vec![Template::default()] } else { prompts };
        let n_missing = model.labels.n_missing(&question.labels, &prompts);
        let is_wanted = async || {
            // Messages are heard between two turns of the event loop only.
            TimeoutFuture::new(0).await;
            self.next_question.borrow().is_none() && self.next_load.borrow().is_none()
        };
        let Model { engine, labels, .. } = model;
        let embedded = engine.embed_labels_while(&question.labels, &prompts, labels, is_wanted).await?;
        let name = match n_missing {
            0 => "Labels (known)".to_owned(),
            1 => "Encode 1 label".to_owned(),
            n => format!("Encode {n} labels"),
        };
        stages.push(stage(&name, now_millis() - started));
        Ok(embedded)
    }
}

impl Model {
    fn card(&self) -> Card {
        let info = self.engine.info().clone();
        let left = info.backend.fallback.as_ref().filter(|_| info.backend.kind == BackendKind::Cpu);
        let fallback = left.map(|Fallback { cause, detail }| {
            let code = match (cause, has_webgpu()) {
                (_, false) => Code::WebgpuMissing,
                (FallbackCause::WrongResults, true) => Code::GpuWrong,
                (FallbackCause::NoGpu, true) => Code::AdapterMissing,
            };
            Problem::new(code, detail)
        });
        Card {
            info,
            templates: self.engine.templates().to_vec(),
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            fallback,
        }
    }
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

fn stage(name: &str, millis: f64) -> StageTime {
    StageTime { name: name.to_owned(), millis }
}

fn has_webgpu() -> bool {
    Reflect::get(&scope().navigator(), &"gpu".into()).is_ok_and(|gpu| gpu.is_truthy())
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
