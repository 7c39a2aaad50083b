//! The page's state, and the one place where it changes.
//!
//! Invariant: every change of picture, labels, templates, scores or model makes a new question with a new id;
//! an answer to any other question is dropped here, once, for everyone.
//! Invariant: percentages are shown only while [`State::phase`] is `Settled`; a live picture's answer stands until
//! the next frame's comes.
//! Invariant: no DOM: the state is tested natively.

use super::picker::{CatalogueState, Finished, ModelJob, Offer, Outcome, Phase as JobPhase, Pick, Picker};
use super::settings::{Chosen, Earlier, Settings};
use super::strings;
use super::trial::{Asked, Before, Trial};
use crate::engine::BackendKind;
use crate::tasks::classify::Confidence;
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{
    Answer, Card, Crop, Event, LoadStage, ModelRef, Progress, Question, StoredFormat,
};
use std::rc::Rc;

/// Breakdowns of the worker in a row before the page stops starting a new one by itself.
const MAX_RESTARTS: u32 = 2;

#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub engine: Engine,
    pub settings: Settings,
    pub picture: Option<Picture>,
    pub camera: Camera,
    /// The latest answer that was to the question of its time.
    pub answer: Option<Rc<Answer>>,
    /// Why the last thing did not work: `role="alert"`.
    pub problem: Option<Problem>,
    /// What happened besides.
    pub notice: Option<Notice>,
    /// The latest thing worth saying to a screen reader.
    pub announcement: String,
    /// Frames a second in live mode.
    pub live_rate: f64,
    /// Grows when the worker has to be replaced.
    pub worker_generation: u32,
    /// Grows when the model has to be loaded.
    pub load_generation: u32,
    /// What the engine has or is to load.
    pub model: Model,
    pub picker: Picker,
    /// Another model has just taken the starter's place.
    pub trial: Option<Trial>,
    /// While the reader looks at what the model sees.
    pub look: Option<Look>,
    /// The reader put the offer away; it stays away for the visit.
    is_offer_dismissed: bool,
    /// The offer was said to a screen reader, once.
    is_offer_said: bool,
    /// The last settled answer was not clear.
    is_unclear: bool,
    /// The id given last, to a question or a look.
    last_id: u64,
    question_id: u64,
    /// The camera frame that the question is about.
    frame: Option<u64>,
    /// The question that was answered or rejected last; nothing runs while it is `question_id`.
    done_id: u64,
    /// The answer on show belongs to the labels, settings and picture on show.
    is_current: bool,
    is_rejected: bool,
    n_restarts: u32,
    last_frame_millis: Option<f64>,
    /// Labels and comparison are a link's, and not edited yet.
    is_borrowed: bool,
}

/// What the engine's thread is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Engine {
    /// The worker itself is being started.
    Starting,
    Loading(Progress),
    Ready(Box<Card>),
    Failed(Problem),
}

impl Engine {
    pub fn card(&self) -> Option<&Card> {
        match self {
            Engine::Ready(card) => Some(card),
            _ => None,
        }
    }
}

/// Which model ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// The page's own.
    Starter,
    Stored(Chosen),
    /// A file of this visit, by the id under which the page keeps it.
    File {
        payload: u64,
        name: String,
    },
}

impl Model {
    /// As the worker is told.
    pub fn to_ref(&self) -> ModelRef {
        match self {
            Model::Starter => ModelRef::Starter,
            Model::Stored(chosen) => ModelRef::Stored(chosen.key.clone()),
            Model::File { name, .. } => ModelRef::File(name.clone()),
        }
    }

    pub fn payload(&self) -> Option<u64> {
        match self {
            Model::File { payload, .. } => Some(*payload),
            _ => None,
        }
    }

    /// What it was called where it was chosen.
    pub fn name(&self) -> Option<String> {
        match self {
            Model::Starter => None,
            Model::Stored(Chosen { name, .. }) | Model::File { name, .. } => Some(name.clone()),
        }
    }

    pub fn is_starter(&self) -> bool {
        *self == Model::Starter
    }

    /// Whether it is the store's model of this key.
    pub fn has_key(&self, key: &str) -> bool {
        matches!(self, Model::Stored(chosen) if chosen.key == key)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub id: u64,
    /// A file's name, or what else it is called.
    pub name: String,
    /// Where the `img` finds it: a blob of this page.
    pub url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Camera {
    Off,
    Opening,
    On { is_live: bool },
}

/// Why the camera was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// By a press, or because a picture took its place.
    Asked,
    TabHidden,
    /// The device went away.
    Gone,
}

/// A look at what the model sees of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Of the request, and of no question.
    id: u64,
    picture: u64,
    pub seen: Option<Result<Seen, Problem>>,
}

/// The square that the model sees: `rgb` holds 3 bytes a pixel, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub crop: Crop,
    pub rgb: Rc<[u8]>,
}

/// Something that happened, with at most one thing to do about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The engine goes on in another way.
    Engine(Problem),
    /// Labels were replaced; the earlier ones can come back.
    Replaced(&'static str),
    /// Another model took over; the page's own can come back.
    Switched(String),
    /// The model that was chosen on an earlier visit is stored no more.
    ModelGone(String),
    Told(&'static str),
}

impl Notice {
    pub fn text(&self) -> String {
        match self {
            Notice::Engine(problem) => strings::advice(problem.code).title.to_owned(),
            Notice::Replaced(text) | Notice::Told(text) => (*text).to_owned(),
            Notice::Switched(name) => strings::switched(name),
            Notice::ModelGone(name) => strings::model_gone(name),
        }
    }
}

/// What is known of the line "none of these" beside the model at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoneLine {
    Known,
    /// It was measured, and the line would be wrong too often.
    Unreliable,
    /// Nobody has measured it.
    Unmeasured,
}

/// Where the ranking stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    NeedsPicture,
    NeedsLabels,
    NeedsModel,
    Ranking,
    Settled,
    /// The question was rejected: `problem` says why.
    Stuck,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The worker said something, at this time of the page's clock.
    Told {
        event: Event,
        millis: f64,
    },
    WorkerMissing(String),
    /// Load again, rank again, or start a new worker: whatever failed.
    Retry,
    CancelLoad,
    UseModel(Model),
    /// Something about models: what is stored, what is downloaded.
    Pick(Pick),
    /// The recommended model takes over: at once where it is stored, else after its download.
    TakeOffer,
    DismissOffer,
    /// Back to the starter, from the model that took its place.
    TakeBack,
    /// The new model stays.
    DismissTrial,
    /// Shows what the model sees of the picture.
    Look,
    StopLooking,
    /// What it sees, and the pixels that came beside.
    Seen(Seen),
    /// A still picture takes the stage. Ids of pictures and frames are the page's, each new.
    Show(Picture),
    ClearPicture,
    OpenCamera,
    CameraOpened,
    CloseCamera(Stop),
    SetLive(bool),
    /// A camera frame was taken and is what the next question is about.
    Frame(u64),
    /// One edit of what the person has made.
    Edit(Edit),
    Undo,
    Fail(Problem),
    Say(&'static str),
    DismissProblem,
    DismissNotice,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    Add(String),
    Rename {
        idx: usize,
        text: String,
    },
    Remove(usize),
    Reorder {
        from: usize,
        to: usize,
    },
    /// A preset, a link, or nothing: the earlier labels stay at hand for [`Action::Undo`].
    Replace {
        labels: Vec<String>,
        why: &'static str,
    },
    Templates(Vec<String>),
    Mode(crate::tasks::classify::Mode),
    HasNone(bool),
    IsMirrored(bool),
    HasShortcuts(bool),
    /// Where models are looked up.
    Hub(String),
    Format(StoredFormat),
}

/// One line of the ranking as it is drawn; numbers only where they are settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// `None` is "none of these".
    pub label: Option<String>,
    pub score: Option<Score>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    pub probability: f32,
    pub similarity: f32,
}

impl State {
    pub fn new(settings: Settings) -> Self {
        let model = settings.model.clone().map_or(Model::Starter, Model::Stored);
        let mut state = Self {
            engine: Engine::Starting,
            settings: settings.cleaned(),
            picture: None,
            camera: Camera::Off,
            answer: None,
            problem: None,
            notice: None,
            announcement: String::new(),
            live_rate: 0.0,
            worker_generation: 0,
            load_generation: 0,
            model,
            picker: Picker::default(),
            trial: None,
            look: None,
            is_offer_dismissed: false,
            is_offer_said: false,
            is_unclear: false,
            last_id: 0,
            question_id: 0,
            frame: None,
            done_id: 0,
            is_current: false,
            is_rejected: false,
            n_restarts: 0,
            last_frame_millis: None,
            is_borrowed: false,
        };
        if state.can_undo() {
            state.notify(Notice::Replaced(strings::LABELS_EARLIER));
        }
        state
    }

    /// As at the start, with what a link brought and the person's own at hand for undo.
    pub fn with_shared(own: Settings, shared: Settings) -> Self {
        let (own, mut shared) = (own.cleaned(), shared.cleaned());
        if (&own.labels, own.comparison()) == (&shared.labels, shared.comparison()) {
            return Self::new(own);
        }
        shared.earlier = Some(Earlier { comparison: Some(own.comparison()), labels: own.labels });
        let mut state = Self::new(shared);
        state.is_borrowed = true;
        state.notify(Notice::Replaced(strings::LABELS_FROM_LINK));
        state
    }

    /// What the browser is to keep: a link's labels only once they were edited.
    pub fn kept_settings(&self) -> Settings {
        let mut kept = self.settings.clone();
        if self.is_borrowed {
            kept.restore();
        }
        kept
    }

    /// What to ask the worker now; a new id means a new question.
    pub fn question(&self) -> Option<Question> {
        let picture = self.subject()?;
        let is_ready = matches!(self.engine, Engine::Ready(_)) && !self.is_rejected;
        (is_ready && !self.settings.labels.is_empty()).then(|| Question {
            id: self.question_id,
            picture,
            labels: self.settings.labels.clone(),
            templates: self.prompts(),
            mode: self.settings.mode,
            has_none: self.has_none(),
        })
    }

    /// Whether "none of these" takes part: only beside a model that is known to tell when no label fits.
    fn has_none(&self) -> bool {
        self.settings.has_none && self.none_line() == NoneLine::Known
    }

    /// What the model knows of labels that do not fit; taken for granted until there is a model.
    pub fn none_line(&self) -> NoneLine {
        match self.engine.card().map(|card| &card.info) {
            None => NoneLine::Known,
            Some(info) if info.knows_none => NoneLine::Known,
            Some(info) if info.is_calibrated => NoneLine::Unreliable,
            Some(_) => NoneLine::Unmeasured,
        }
    }

    /// The templates in use: the reader's, else the model's own.
    fn prompts(&self) -> Vec<String> {
        let own = self.settings.prompts();
        let from_model = self.engine.card().map(|card| card.templates.clone()).unwrap_or_default();
        if own.is_empty() { from_model } else { own }
    }

    pub fn phase(&self) -> Phase {
        if self.settings.labels.is_empty() {
            Phase::NeedsLabels
        } else if self.subject().is_none() && !self.is_live() {
            Phase::NeedsPicture
        } else if !matches!(self.engine, Engine::Ready(_)) {
            Phase::NeedsModel
        } else if self.is_current {
            Phase::Settled
        } else if self.is_rejected {
            Phase::Stuck
        } else {
            Phase::Ranking
        }
    }

    /// The lines to draw: the settled answer, or while it is being made the same labels without numbers.
    pub fn lines(&self) -> Vec<Line> {
        let phase = self.phase();
        let ranked = self.answer.as_ref().map(|answer| &answer.ranked.labels[..]).unwrap_or_default();
        if phase == Phase::Settled {
            let score = |probability, similarity| Some(Score { probability, similarity });
            let lines = ranked.iter();
            return lines
                .map(|line| Line {
                    label: line.label.clone(),
                    score: score(line.probability, line.similarity),
                })
                .collect();
        }
        let mut lines: Vec<Line> = Vec::new();
        if phase != Phase::NeedsLabels {
            let labels = &self.settings.labels;
            let is_wanted = |label: &Option<String>| match label {
                Some(label) => labels.contains(label),
                None => self.has_none(),
            };
            lines.extend(ranked.iter().map(|line| line.label.clone()).filter(is_wanted).map(Line::unscored));
            let known: Vec<Option<String>> = lines.iter().map(|line| line.label.clone()).collect();
            let is_new = |label: &Option<String>| !known.contains(label) && is_wanted(label);
            let all = labels.iter().cloned().map(Some).chain([None]);
            lines.extend(all.filter(is_new).map(Line::unscored));
        }
        lines
    }

    pub fn is_live(&self) -> bool {
        self.camera == Camera::On { is_live: true }
    }

    /// Whether the camera may take its next frame: nothing runs, and there is something to rank with. Changes with
    /// every frame that is wanted.
    pub fn wants_frame(&self) -> Option<u64> {
        let is_idle = self.done_id == self.question_id && !self.is_rejected;
        let can_rank = matches!(self.engine, Engine::Ready(_)) && !self.settings.labels.is_empty();
        (self.is_live() && is_idle && can_rank).then_some(self.question_id)
    }

    /// The files and frames that are still needed.
    pub fn payloads_in_use(&self) -> [Option<u64>; 4] {
        let picture = self.picture.as_ref().map(|picture| picture.id);
        [picture, self.frame, self.model.payload(), self.picker.payload_in_use()]
    }

    /// The recommended model, while the starter ranks and nothing is under way.
    pub fn recommended(&self) -> Option<Offer> {
        // A page whose own model is a real CLIP has nothing to offer.
        let ranks_starter = self.engine.card().is_some_and(|card| card.info.about.is_starter);
        let is_free = self.model.is_starter() && ranks_starter && self.picker.job.is_none();
        is_free.then(|| self.picker.offer(&self.settings))?
    }

    /// The recommended model where the last answer was not clear. It stands until an answer is, so that nothing comes
    /// and goes while the reader edits labels; a live picture has no time for it.
    pub fn offer(&self) -> Option<Offer> {
        let has_answer =
            matches!(self.phase(), Phase::Ranking | Phase::Settled) && self.camera == Camera::Off;
        let is_due = has_answer && self.is_unclear && !self.is_offer_dismissed;
        is_due.then(|| self.recommended())?
    }

    /// The download that was begun by taking the offer, while it goes on or waits.
    pub fn offered_job(&self) -> Option<&ModelJob> {
        let is_of_offer = |job: &&ModelJob| job.is_offered && !matches!(job.phase, JobPhase::Failed(_));
        self.picker.job.as_ref().filter(is_of_offer)
    }

    /// The look to be asked for, and the picture that it is at.
    pub fn crop_request(&self) -> Option<(u64, u64)> {
        let is_ready = self.engine.card().is_some();
        self.look.as_ref().filter(|look| is_ready && look.seen.is_none()).map(|look| (look.id, look.picture))
    }

    /// What the starter said to this very question, beside what its successor says.
    pub fn before(&self) -> Option<&Before> {
        self.trial.as_ref()?.before(self.asked().as_ref())
    }

    /// Whether it is time to read the curated list: an answer was given, and a model may be offered with the next.
    pub fn wants_catalogue(&self) -> bool {
        self.model.is_starter() && self.answer.is_some() && self.picker.catalogue == CatalogueState::Unread
    }

    /// What the answer on show depends on besides the model; nothing while the camera is on.
    fn asked(&self) -> Option<Asked> {
        let picture = self.picture.as_ref().filter(|_| self.camera == Camera::Off)?.id;
        let Settings { mut labels, mode, has_none, .. } = self.settings.clone();
        labels.sort();
        Some(Asked { picture, labels, templates: self.settings.prompts(), mode, has_none })
    }

    /// Whether what is on show is a link's, as it came.
    pub fn is_borrowed(&self) -> bool {
        self.is_borrowed
    }

    pub fn can_undo(&self) -> bool {
        self.settings.earlier.is_some()
    }

    /// The state after `action`.
    pub fn after(self, action: Action) -> Self {
        let said = self.announcement.clone();
        let mut state = self.reduced(action);
        if !state.is_offer_said
            && let Some(offer) = state.offer()
        {
            state.is_offer_said = true;
            let is_news = state.announcement != said;
            let news = if is_news { format!("{} ", state.announcement) } else { String::new() };
            state.announcement = news + &strings::offer(&offer);
        }
        state
    }

    fn reduced(mut self, action: Action) -> Self {
        match action {
            Action::Told { event, millis } => self.hear(event, millis),
            Action::WorkerMissing(why) => {
                self.engine = Engine::Failed(Problem::new(Code::WorkerMissing, why));
            }
            Action::Retry => self.retry(),
            Action::CancelLoad => {
                if matches!(self.engine, Engine::Loading(_) | Engine::Starting) {
                    self.engine = Engine::Failed(Problem::new(Code::LoadCancelled, ""));
                }
            }
            Action::UseModel(model) => self.use_model(model),
            Action::Pick(pick) => {
                let outcome = self.picker.pick(pick, &self.settings);
                self.settle_pick(outcome);
            }
            Action::TakeOffer => {
                if let Some(Offer { id, stored, .. }) = self.recommended() {
                    match stored {
                        Some(chosen) => self.use_model(Model::Stored(chosen)),
                        None => {
                            let outcome = self.picker.pick(Pick::Take(id), &self.settings);
                            self.settle_pick(outcome);
                        }
                    }
                }
            }
            Action::DismissOffer => self.is_offer_dismissed = true,
            Action::TakeBack => self.use_model(Model::Starter),
            Action::DismissTrial => self.trial = None,
            Action::Look => self.look(),
            Action::StopLooking => self.look = None,
            Action::Seen(seen) => {
                let look = self.look.as_mut().filter(|look| look.id == seen.crop.id);
                look.into_iter().for_each(|look| look.seen = Some(Ok(seen.clone())));
            }
            Action::Show(picture) => {
                self.picture = Some(picture);
                self.camera = Camera::Off;
                self.problem = None;
                self.forget_answer();
                self.ask_anew();
            }
            Action::ClearPicture => {
                self.picture = None;
                self.forget_answer();
                self.ask_anew();
            }
            Action::OpenCamera => {
                self.camera = Camera::Opening;
                self.problem = None;
                self.forget_answer();
                self.ask_anew();
            }
            // Stopped while it was opening.
            Action::CameraOpened if self.camera == Camera::Off => {}
            Action::CameraOpened => {
                self.camera = Camera::On { is_live: true };
                self.live_rate = 0.0;
                self.last_frame_millis = None;
                self.forget_answer();
                self.ask_anew();
            }
            Action::CloseCamera(stop) => self.close_camera(stop),
            Action::SetLive(is_live) => {
                if let Camera::On { .. } = self.camera {
                    self.camera = Camera::On { is_live };
                    self.last_frame_millis = None;
                    self.live_rate = 0.0;
                    self.ask_anew();
                }
            }
            Action::Frame(id) => {
                if self.is_live() {
                    self.frame = Some(id);
                    // The last frame's answer stands until this one's comes.
                    self.question_id = self.next_id();
                }
            }
            Action::Edit(edit) => self.edit(edit),
            Action::Undo => {
                if self.can_undo() {
                    self.settings.restore();
                    self.is_borrowed = false;
                    self.notice = None;
                    self.ask_anew();
                }
            }
            Action::Fail(problem) => self.fail(problem),
            Action::Say(words) => self.notify(Notice::Told(words)),
            Action::DismissProblem => self.problem = None,
            Action::DismissNotice => {
                // What a link took the place of is not given up by putting its message away.
                if matches!(self.notice.take(), Some(Notice::Replaced(_))) && !self.is_borrowed {
                    self.settings.earlier = None;
                }
            }
        }
        self
    }

    /// The picture that a question would be about.
    fn subject(&self) -> Option<u64> {
        match self.camera {
            Camera::On { is_live: true } => self.frame,
            Camera::Off => self.picture.as_ref().map(|picture| picture.id),
            _ => None,
        }
    }

    fn hear(&mut self, event: Event, millis: f64) {
        match event {
            Event::Hello => self.load(),
            // Of a load that another has taken the place of.
            Event::Progress(load, _) | Event::Ready(load, _) | Event::LoadFailed(load, _)
                if load != self.load_generation => {}
            Event::Progress(_, progress) => {
                // After a cancel the worker may still report what it was doing.
                if matches!(self.engine, Engine::Loading(_)) {
                    self.engine = Engine::Loading(progress);
                }
            }
            Event::Ready(_, card) => {
                self.announcement = strings::ready(&card);
                card.fallback.clone().into_iter().for_each(|problem| self.notify(Notice::Engine(problem)));
                self.run_on(card);
                if self.look.is_some() {
                    // Another model sees another square.
                    self.look();
                }
                // What a worker broke down on waits for the reader.
                if !self.is_rejected {
                    self.ask_anew();
                }
            }
            Event::Moved(card) => self.run_on(card),
            Event::Notice(problem) => self.notify(Notice::Engine(problem)),
            Event::LoadFailed(_, problem) if problem.code == Code::StoredMissing => {
                let name = match &self.model {
                    Model::Stored(chosen) => chosen.name.clone(),
                    _ => String::new(),
                };
                self.use_model(Model::Starter);
                self.notify(Notice::ModelGone(name));
            }
            Event::LoadFailed(_, problem) => self.engine = Engine::Failed(problem),
            Event::Answered(answer) if answer.id == self.question_id => self.settle(answer, millis),
            Event::Rejected { id, problem } if id == self.question_id => {
                self.done_id = id;
                self.is_rejected = true;
                let is_about_picture = self.camera == Camera::Off;
                if is_about_picture && matches!(problem.code, Code::PictureUnreadable | Code::PictureTooLarge)
                {
                    // The browser may not be able to draw it either.
                    self.picture = None;
                }
                self.fail(problem);
            }
            Event::Rejected { id, problem } if self.look.as_ref().is_some_and(|look| look.id == id) => {
                self.look.iter_mut().for_each(|look| look.seen = Some(Err(problem.clone())));
            }
            // Answers to questions that were replaced; a crop without its pixels.
            Event::Answered(_) | Event::Rejected { .. } | Event::Crop(_) => {}
            Event::Crashed(why) => self.restart(why),
            Event::Forgotten => self.notify(Notice::Told(strings::FORGOTTEN)),
        }
    }

    /// Another model ranks from now on; picture and labels stay.
    fn use_model(&mut self, model: Model) {
        self.trial = match (self.model.is_starter(), model.is_starter()) {
            (true, false) => Some(Trial::new(self.as_before())),
            (false, false) => self.trial.take(),
            (_, true) => None,
        };
        self.settings.model = match &model {
            Model::Stored(chosen) => Some(chosen.clone()),
            _ => None,
        };
        self.model = model;
        self.problem = None;
        self.notice.take_if(|notice| matches!(notice, Notice::Switched(_)));
        self.forget_answer();
        self.ask_anew();
        self.load();
    }

    /// The answer on show, to be compared with what the next model says.
    fn as_before(&self) -> Option<Before> {
        let card = self.engine.card().filter(|_| self.phase() == Phase::Settled)?;
        let name = strings::model_name(card).to_owned();
        Some(Before { asked: self.asked()?, answer: self.answer.clone()?, name })
    }

    fn settle_pick(&mut self, outcome: Outcome) {
        let Outcome { announcement, finished, deleted } = outcome;
        if let Some(Finished { model, payload, is_offered }) = finished {
            let name = model.name.clone();
            self.use_model(match payload {
                Some(payload) => Model::File { payload, name: name.clone() },
                None => Model::Stored(self.picker.chosen(&model)),
            });
            // Where the offer was, the way back stands already.
            if !is_offered {
                self.notify(Notice::Switched(name));
            }
        }
        if let Some(store) = &self.picker.store {
            self.settings.has_stored = !store.models.is_empty();
        }
        if deleted.is_some_and(|key| self.model.has_key(&key)) {
            self.use_model(Model::Starter);
        }
        self.announcement = announcement.unwrap_or(std::mem::take(&mut self.announcement));
    }

    fn run_on(&mut self, card: Box<Card>) {
        let backend = &card.info.backend;
        self.picker.device.has_gpu = backend.kind == BackendKind::Gpu && !backend.is_software;
        self.engine = Engine::Ready(card);
    }

    fn load(&mut self) {
        self.load_generation += 1;
        self.engine = Engine::Loading(Progress { stage: LoadStage::Start, done: 0, total: 0 });
    }

    fn settle(&mut self, answer: Answer, millis: f64) {
        self.done_id = answer.id;
        self.n_restarts = 0;
        let top = answer.ranked.labels.first().map(|line| line.label.clone());
        let was =
            self.answer.as_ref().and_then(|answer| answer.ranked.labels.first()).map(|line| &line.label);
        let asked = self.asked();
        self.trial = self.trial.take().and_then(|trial| trial.after_answer(asked.as_ref()));
        // Per frame nobody could listen: live, only a new winner is news.
        if !self.is_live() || top.as_ref() != was {
            self.announcement = strings::announce(&answer.ranked);
            if let Some(before) = self.before() {
                self.announcement += &strings::announce_before(before);
            }
        }
        self.is_unclear = answer.ranked.confidence != Confidence::Clear;
        // What is stored can be offered without a download.
        if self.model.is_starter() && self.settings.has_stored {
            self.picker.look();
        }
        if self.is_live() {
            let rate = self.last_frame_millis.map(|last| 1000.0 / (millis - last).max(1.0));
            let smooth =
                |rate: f64| if self.live_rate == 0.0 { rate } else { 0.7 * self.live_rate + 0.3 * rate };
            self.live_rate = rate.map_or(0.0, smooth);
            self.last_frame_millis = Some(millis);
        }
        self.answer = Some(Rc::new(answer));
        self.is_current = true;
        // A trouble that a settled answer has overcome is no trouble.
        if self.problem.as_ref().is_some_and(|problem| is_about_ranking(problem.code)) {
            self.problem = None;
        }
    }

    fn edit(&mut self, edit: Edit) {
        let (before, prompts) = (self.settings.clone(), self.prompts());
        let settings = &mut self.settings;
        let mut is_same_question = false;
        let done = match edit {
            Edit::Add(text) => settings.add(&text).map(|_| ()),
            Edit::Rename { idx, text } => settings.rename(idx, &text),
            Edit::Remove(idx) => {
                settings.remove(idx);
                Ok(())
            }
            Edit::Reorder { from, to } => {
                // The same labels: the answer stands.
                is_same_question = true;
                settings.reorder(from, to);
                Ok(())
            }
            Edit::Replace { labels, why } => {
                settings.labels = labels;
                *settings = std::mem::take(settings).cleaned();
                if settings.labels != before.labels && !before.labels.is_empty() {
                    // What the person had before a link counts for more than the link's.
                    if settings.earlier.as_ref().is_none_or(|earlier| earlier.comparison.is_none()) {
                        let labels = before.labels.clone();
                        settings.earlier = Some(Earlier { labels, comparison: None });
                    }
                    self.notify(Notice::Replaced(why));
                }
                Ok(())
            }
            Edit::Templates(templates) => {
                self.settings.templates = templates;
                is_same_question = self.prompts() == prompts;
                Ok(())
            }
            Edit::Mode(mode) => {
                settings.mode = mode;
                Ok(())
            }
            Edit::HasNone(has_none) => {
                settings.has_none = has_none;
                Ok(())
            }
            Edit::IsMirrored(is_mirrored) => {
                is_same_question = true;
                settings.is_mirrored = is_mirrored;
                Ok(())
            }
            Edit::HasShortcuts(has_shortcuts) => {
                is_same_question = true;
                settings.has_shortcuts = has_shortcuts;
                Ok(())
            }
            Edit::Hub(hub) => {
                is_same_question = true;
                settings.hub = hub;
                Ok(())
            }
            Edit::Format(format) => {
                is_same_question = true;
                settings.format = format;
                Ok(())
            }
        };
        let made = |settings: &Settings| (settings.labels.clone(), settings.comparison());
        self.is_borrowed &= made(&self.settings) == made(&before);
        if let Err(error) = done {
            self.fail(Problem::new(Code::LabelsRefused, error));
        } else if self.settings != before && !is_same_question {
            self.ask_anew();
        }
    }

    fn retry(&mut self) {
        let Engine::Failed(problem) = &self.engine else {
            self.problem = None;
            return self.ask_anew();
        };
        let code = problem.code;
        // Another model is not tried again: the page's own works.
        if code != Code::LoadCancelled && !self.model.is_starter() {
            self.use_model(Model::Starter);
        } else {
            self.problem = None;
            self.load();
        }
        if matches!(code, Code::WorkerMissing | Code::WorkerCrashed) {
            self.n_restarts = 0;
            self.worker_generation += 1;
            self.engine = Engine::Starting;
        }
    }

    /// The worker broke down: a new one takes over, and what it broke down on is not asked again by itself.
    fn restart(&mut self, why: String) {
        let was_asking = self.question().is_some() && !self.is_current;
        let problem = Problem::new(Code::WorkerCrashed, why);
        self.n_restarts += 1;
        if self.n_restarts > MAX_RESTARTS {
            self.engine = Engine::Failed(problem);
            return;
        }
        self.worker_generation += 1;
        self.engine = Engine::Starting;
        if was_asking {
            self.is_rejected = true;
            self.fail(problem);
        }
    }

    fn close_camera(&mut self, stop: Stop) {
        if self.camera == Camera::Off {
            return;
        }
        self.camera = Camera::Off;
        self.forget_answer();
        self.ask_anew();
        match stop {
            Stop::Asked => {}
            Stop::TabHidden => self.notify(Notice::Told(strings::CAMERA_HIDDEN)),
            Stop::Gone => self.notify(Notice::Told(strings::CAMERA_GONE)),
        }
    }

    /// Shown, and said once: a region that comes with its text already in it is often not read.
    fn notify(&mut self, notice: Notice) {
        self.announcement = notice.text();
        self.notice = Some(notice);
    }

    fn fail(&mut self, problem: Problem) {
        if matches!(
            problem.code,
            Code::CameraRefused | Code::CameraMissing | Code::CameraBusy | Code::CameraUnsupported
        ) {
            self.camera = Camera::Off;
        }
        if let (true, Camera::On { .. }) = (self.is_rejected, self.camera) {
            // One failing frame after the other would only repeat the message.
            self.camera = Camera::On { is_live: false };
        }
        self.problem = Some(problem);
    }

    /// A question that no earlier answer fits.
    fn ask_anew(&mut self) {
        self.question_id = self.next_id();
        self.is_current = false;
        self.is_rejected = false;
        if self.camera != Camera::Off {
            // The next frame asks; the last one is gone to the worker.
            self.frame = None;
            self.done_id = self.question_id;
        }
    }

    fn look(&mut self) {
        let picture = self.picture.as_ref().filter(|_| self.camera == Camera::Off).map(|picture| picture.id);
        self.look = picture.map(|picture| Look { id: self.next_id(), picture, seen: None });
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn forget_answer(&mut self) {
        self.answer = None;
        self.is_current = false;
        self.problem = self.problem.take().filter(|problem| !is_about_ranking(problem.code));
    }
}

impl Line {
    fn unscored(label: Option<String>) -> Self {
        Self { label, score: None }
    }
}

/// Problems that end when another question is answered.
fn is_about_ranking(code: Code) -> bool {
    matches!(
        code,
        Code::PictureUnreadable
            | Code::PictureTooLarge
            | Code::PictureScrambled
            | Code::PictureNotAFile
            | Code::EngineFailed
            | Code::WorkerCrashed
            | Code::LabelsRefused
    )
}

#[cfg(feature = "web")]
impl yew::Reducible for State {
    type Action = Action;

    fn reduce(self: Rc<Self>, action: Action) -> Rc<Self> {
        Rc::new((*self).clone().after(action))
    }
}
