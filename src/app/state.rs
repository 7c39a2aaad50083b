//! The page's state: what its machines know, put together, and the actions that pass between them.
//!
//! Invariant: every change of picture, labels, templates, scores or model makes a new question with a new id.
//! Invariant: a machine changes itself alone; what a change means for the others stands here.
//! Invariant: no DOM: the state is tested natively.

use super::edits::{Edit, Edited};
use super::history::{Direction, History, Step};
use super::language::Text;
use super::loading::{Engine, Loading, Model, is_of_worker};
use super::models::picker::{
    CatalogueState, Finished, ModelJob, Offer, Outcome, Phase as JobPhase, Pick, Picker,
};
use super::notices::{Notice, Notices};
use super::ranking::answer::{Line, NoneLine, Phase, Ranking};
use super::ranking::camera::{Camera, Stop};
use super::ranking::look::{Look, Seen};
use super::ranking::offering::Offering;
use super::ranking::stage::{Picture, Stage};
use super::ranking::trial::{Asked, Before, Trial};
use super::settings::{Earlier, GpuTrouble, Refused, Settings};
use super::{share, strings};
use crate::facts::{BackendChoice, BackendKind, Confidence};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{Answer, Card, Event, Question};
use std::rc::Rc;

#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub loading: Loading,
    pub settings: Settings,
    pub stage: Stage,
    pub ranking: Ranking,
    pub notices: Notices,
    pub picker: Picker,
    pub offering: Offering,
    /// While the reader looks at what the model sees.
    pub look: Option<Look>,
    pub history: History,
    /// Labels that could not be taken, and how often that was so: they go back into the field.
    pub refused: Option<Refused>,
    pub n_refused: u32,
    /// What another tab has made of labels and comparison; the reader decides whose stay.
    pub elsewhere: Option<Box<Settings>>,
    /// Labels and comparison are a link's, and not edited yet.
    is_borrowed: bool,
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
    /// Stops encoding labels; what is encoded is kept.
    CancelRanking,
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
    /// Several came at once: the first takes the stage, the others wait beside it.
    ShowAll(Vec<Picture>),
    /// The picture of the last visit, unless there is another already.
    ShowAgain(Picture),
    /// The browser cannot draw the picture with this id.
    Broken {
        picture: u64,
        problem: Problem,
    },
    /// Files of these names came and were not taken.
    LeftOut(Vec<String>),
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
    /// One step of the person's own back, or forth again.
    Step(Direction),
    /// The address changed to this fragment: by a link, or by back and forward.
    GoTo(String),
    /// Another tab has stored these settings.
    Elsewhere(Box<Settings>),
    Decide(Whose),
    Fail(Problem),
    Say(Text),
    DismissProblem,
    /// Puts the word on labels that could not be taken away; they stay in the field.
    DismissRefusal,
    /// Puts the notice with this id away.
    DismissNotice(u64),
}

impl Action {
    /// Whether it may change what a person has made, in a way that can be taken back.
    fn is_step(&self) -> bool {
        matches!(
            self,
            Action::Edit(_)
                | Action::Show(_)
                | Action::ShowAll(_)
                | Action::ClearPicture
                | Action::Undo
                | Action::Decide(_)
        )
    }
}

/// Whose labels stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Mine,
    Theirs,
}

impl State {
    pub fn new(settings: Settings) -> Self {
        let model = settings.model.clone().map_or(Model::Starter, Model::Stored);
        let mut state = Self {
            loading: Loading::new(model),
            settings: settings.cleaned(),
            stage: Stage::default(),
            ranking: Ranking::default(),
            notices: Notices::default(),
            picker: Picker::default(),
            offering: Offering::default(),
            look: None,
            history: History::default(),
            refused: None,
            n_refused: 0,
            elsewhere: None,
            is_borrowed: false,
        };
        state.offer_undo();
        state
    }

    /// As at the start, with what a link brought and the person's own at hand for undo.
    pub fn with_shared(own: Settings, shared: Settings) -> Self {
        let mut state = Self::new(own);
        state.borrow(shared);
        state
    }

    /// What the browser is to keep: a link's labels only once they were edited, and no labels over another tab's.
    pub fn kept_settings(&self) -> Settings {
        let mut kept = self.settings.clone();
        if self.is_borrowed {
            kept.restore();
        }
        if let Some(theirs) = &self.elsewhere {
            kept.earlier = theirs.earlier.clone();
            kept.set_made(theirs.made());
        }
        kept
    }

    /// What the address says now: a link's labels take the place of the person's own, which come back with an address that
    /// says none.
    fn go_to(&mut self, fragment: &str) {
        match share::from_fragment(fragment, &self.kept_settings()) {
            Some(shared) if shared.made() != self.settings.made() => {
                self.give_back();
                self.borrow(shared);
                self.ask_anew();
            }
            None if self.is_borrowed => {
                self.give_back();
                self.ask_anew();
            }
            _ => {}
        }
    }

    /// Shows what a link brought.
    fn borrow(&mut self, shared: Settings) {
        let shared = shared.cleaned();
        let own = self.settings.made();
        if own == shared.made() {
            return;
        }
        self.settings.keep_earlier(own.0, Some(own.1));
        self.settings.set_made(shared.made());
        self.is_borrowed = true;
        self.notices.notify(Notice::Replaced(strings::LABELS_FROM_LINK));
    }

    /// Shows the person's own instead of what a link brought.
    fn give_back(&mut self) {
        if std::mem::take(&mut self.is_borrowed) {
            self.settings.restore();
            self.offer_undo();
        }
    }

    /// Something came back: the notice goes on with what can come back still.
    fn offer_undo(&mut self) {
        self.notices.forget(|notice| matches!(notice, Notice::Replaced(_)));
        if self.can_undo() {
            self.notices.notify(Notice::Replaced(strings::LABELS_EARLIER));
        }
    }

    /// Another tab has stored its settings. Labels and comparison that differ are the reader's to choose; of the rest the
    /// latest counts.
    fn hear_elsewhere(&mut self, theirs: Settings) {
        let theirs = theirs.cleaned();
        let Settings { is_mirrored, has_shortcuts, keeps_recent, hub, format, has_stored, sets, .. } =
            theirs.clone();
        self.settings = Settings {
            is_mirrored,
            has_shortcuts,
            keeps_recent,
            hub,
            format,
            has_stored,
            sets,
            ..self.settings.clone()
        };
        if self.is_borrowed {
            // They are not on show.
            let (labels, comparison) = theirs.made();
            let before = self.settings.earlier.take().and_then(|own| own.before);
            self.settings.earlier = Some(Earlier { labels, comparison: Some(comparison), before });
        } else if theirs.made() == self.settings.made() {
            self.elsewhere = None;
            self.notices.forget(|notice| *notice == Notice::Elsewhere);
        } else {
            self.elsewhere = Some(Box::new(theirs));
            self.notices.notify(Notice::Elsewhere);
        }
    }

    /// The other tab's labels stay, or this one's; the others can come back by undo.
    fn decide(&mut self, whose: Whose) {
        let Some(theirs) = self.elsewhere.take() else { return };
        self.notices.forget(|notice| *notice == Notice::Elsewhere);
        if whose == Whose::Theirs {
            let (labels, comparison) = self.settings.made();
            self.settings.keep_earlier(labels, Some(comparison));
            self.settings.set_made(theirs.made());
            self.notices.notify(Notice::Replaced(strings::LABELS_FROM_TAB));
            self.ask_anew();
        }
    }

    /// What to ask the worker now; a new id means a new question.
    pub fn question(&self) -> Option<Question> {
        let pictures = self.stage.subjects();
        let is_ready = self.loading.is_ready() && !self.ranking.is_rejected;
        (is_ready && !pictures.is_empty() && !self.settings.labels.is_empty()).then(|| Question {
            id: self.ranking.question_id,
            pictures,
            labels: self.settings.labels.clone(),
            templates: self.prompts(),
            mode: self.settings.mode,
            has_none: self.has_none(),
        })
    }

    /// Whether the graphics processor is being tried.
    pub fn is_trying_gpu(&self) -> bool {
        self.loading.is_trying() && self.settings.backend_in_use() != BackendChoice::Cpu
    }

    /// Whether "none of these" takes part: only beside a model that is known to tell when no label fits.
    fn has_none(&self) -> bool {
        self.settings.has_none && self.none_line() == NoneLine::Known
    }

    /// What the model knows of labels that do not fit.
    pub fn none_line(&self) -> NoneLine {
        NoneLine::of(self.loading.card().map(|card| &card.info))
    }

    /// The templates in use: the reader's, else the model's own.
    pub fn prompts(&self) -> Vec<String> {
        let own = self.settings.prompts();
        let from_model = self.loading.card().map(|card| card.templates.clone()).unwrap_or_default();
        if own.is_empty() { from_model } else { own }
    }

    pub fn phase(&self) -> Phase {
        if self.settings.labels.is_empty() {
            Phase::NeedsLabels
        } else if self.stage.subject().is_none() && !self.stage.is_live() {
            Phase::NeedsPicture
        } else if !self.loading.is_ready() {
            Phase::NeedsModel
        } else if self.ranking.is_current {
            Phase::Settled
        } else if self.ranking.is_rejected {
            Phase::Stuck
        } else {
            Phase::Ranking
        }
    }

    /// The lines to draw: the settled answer, or while it is being made the same labels without numbers.
    pub fn lines(&self) -> Vec<Line> {
        // Before the model is known to tell when no label fits, there is no line that would go away again.
        let has_none = self.has_none() && self.loading.is_ready();
        self.ranking.lines(self.phase(), &self.settings.labels, has_none)
    }

    /// Whether the camera may take its next frame: nothing runs, and there is something to rank with. Changes with
    /// every frame that is wanted.
    pub fn wants_frame(&self) -> Option<u64> {
        let can_rank = self.loading.is_ready() && !self.settings.labels.is_empty();
        let is_wanted = self.stage.is_live() && self.ranking.is_idle() && can_rank;
        is_wanted.then_some(self.ranking.question_id)
    }

    /// The files and frames that are still needed.
    pub fn payloads_in_use(&self) -> Vec<Option<u64>> {
        let on_stage = self.stage.picture.as_ref().map(|picture| picture.id);
        let models = [self.loading.model.payload(), self.picker.payload_in_use()];
        let others = self.pictures().map(|picture| Some(picture.id)).filter(|id| *id != on_stage);
        [on_stage, self.stage.live.frame].into_iter().chain(models).chain(others).collect()
    }

    /// The starter ranks, or will: a page whose own model is a real CLIP has none.
    pub fn ranks_starter(&self) -> bool {
        self.loading.model.is_starter() && self.loading.card().is_none_or(|card| card.info.about.is_starter)
    }

    /// The recommended model, while the starter ranks and nothing is under way.
    pub fn recommended(&self) -> Option<Offer> {
        let is_free = self.loading.card().is_some() && self.ranks_starter() && self.picker.job.is_none();
        is_free.then(|| self.picker.offer(&self.settings))?
    }

    /// The recommended model where the last answer was not clear; a live picture has no time for it.
    pub fn offer(&self) -> Option<Offer> {
        let has_answer =
            matches!(self.phase(), Phase::Ranking | Phase::Settled) && self.stage.camera == Camera::Off;
        (has_answer && self.offering.is_due()).then(|| self.recommended())?
    }

    /// The download that was begun by taking the offer, while it goes on or waits.
    pub fn offered_job(&self) -> Option<&ModelJob> {
        let is_of_offer = |job: &&ModelJob| job.is_offered && !matches!(job.phase, JobPhase::Failed(_));
        self.picker.job.as_ref().filter(is_of_offer)
    }

    /// The look to be asked for, and the picture that it is at.
    pub fn crop_request(&self) -> Option<(u64, u64)> {
        let is_ready = self.loading.is_ready();
        self.look.as_ref().filter(|look| is_ready && look.seen.is_none()).map(|look| (look.id, look.picture))
    }

    /// What the starter said to this very question, beside what its successor says.
    pub fn before(&self) -> Option<&Before> {
        self.offering.trial.as_ref()?.before(self.asked().as_ref())
    }

    /// Whether it is time to read the curated list: an answer was given, and a model may be offered with the next.
    pub fn wants_catalogue(&self) -> bool {
        self.loading.model.is_starter()
            && self.ranking.answer.is_some()
            && self.picker.catalogue == CatalogueState::Unread
    }

    /// What the answer on show depends on besides the model; nothing while the camera is on.
    fn asked(&self) -> Option<Asked> {
        let picture = self.stage.still()?;
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
        let said = self.notices.announcement.clone();
        let before = action.is_step().then(|| self.step());
        let mut state = self.reduced(action);
        if !state.is_borrowed && state.can_undo() {
            state.settings.forget_same();
            if !state.can_undo() {
                // Taken back in another way.
                state.notices.forget(|notice| matches!(notice, Notice::Replaced(_)));
            }
        }
        if let Some(before) = before.filter(|before| *before != state.step()) {
            state.history.push(before);
        }
        if !state.offering.is_said
            && let Some(offer) = state.offer()
        {
            state.offering.is_said = true;
            let announcement = &mut state.notices.announcement;
            let news = if *announcement != said { format!("{announcement} ") } else { String::new() };
            *announcement = news + &strings::offer(&offer);
        }
        state
    }

    fn reduced(mut self, action: Action) -> Self {
        match action {
            Action::Told { event, millis } => self.hear(event, millis),
            Action::WorkerMissing(why) => self.loading.fail(Problem::new(Code::WorkerMissing, why)),
            Action::Retry => self.retry(),
            Action::CancelLoad => self.loading.cancel(),
            Action::CancelRanking => {
                if self.ranking.cancel() {
                    self.fail(Problem::new(Code::RankingCancelled, ""));
                }
            }
            Action::UseModel(model) => self.use_model(model),
            Action::Pick(pick) => self.pick(pick),
            Action::TakeOffer => {
                if let Some(Offer { id, stored, .. }) = self.recommended() {
                    match stored {
                        Some(chosen) => self.use_model(Model::Stored(chosen)),
                        None => self.pick(Pick::Take(id)),
                    }
                }
            }
            Action::DismissOffer => self.offering.is_dismissed = true,
            Action::TakeBack => self.use_model(Model::Starter),
            Action::DismissTrial => self.offering.trial = None,
            Action::Look => self.look(),
            Action::StopLooking => self.look = None,
            Action::Seen(seen) => {
                let look = self.look.as_mut().filter(|look| look.id == seen.crop.id);
                look.into_iter().for_each(|look| look.seen = Some(Ok(seen.clone())));
            }
            Action::Show(picture) => self.show(picture),
            Action::ShowAll(pictures) => {
                if let Some(first) = pictures.first().cloned() {
                    if pictures.len() > 1 {
                        self.notices.notify(Notice::Counted(strings::pictures_came(pictures.len())));
                    }
                    // Those that wait already go on waiting.
                    self.stage.tray.extend(pictures);
                    self.show(first);
                }
            }
            Action::ShowAgain(picture) => {
                if self.stage.picture.is_none() && self.stage.camera == Camera::Off {
                    self.show(picture);
                }
            }
            Action::Broken { picture, problem } => {
                // Where a question is under way, the worker's word counts: it may read what the browser does not draw.
                if self.stage.still() == Some(picture) && self.question().is_none() {
                    self.refuse_picture(problem);
                }
            }
            Action::LeftOut(names) => self.notices.notify(Notice::Counted(strings::left_out(&names))),
            Action::ClearPicture => match self.stage.clear() {
                Some(next) => self.show(next),
                None => {
                    self.forget_answer();
                    self.ask_anew();
                }
            },
            Action::OpenCamera => {
                self.stage.camera = Camera::Opening;
                self.notices.problem = None;
                self.forget_answer();
                self.ask_anew();
            }
            // Stopped while it was opening.
            Action::CameraOpened if self.stage.camera == Camera::Off => {}
            Action::CameraOpened => {
                self.stage.camera = Camera::On { is_live: true };
                self.stage.live.begin();
                self.forget_answer();
                self.ask_anew();
            }
            Action::CloseCamera(stop) => self.close_camera(stop),
            Action::SetLive(is_live) => {
                if let Camera::On { .. } = self.stage.camera {
                    self.stage.camera = Camera::On { is_live };
                    self.stage.live.begin();
                    self.ask_anew();
                }
            }
            Action::Frame(id) => {
                if self.stage.is_live() {
                    self.stage.live.frame = Some(id);
                    self.ranking.ask_next();
                }
            }
            Action::Edit(edit) => self.edit(edit),
            Action::Step(direction) => self.go(direction),
            Action::GoTo(fragment) => self.go_to(&fragment),
            Action::Elsewhere(theirs) => self.hear_elsewhere(*theirs),
            Action::Decide(whose) => self.decide(whose),
            Action::Undo => {
                if self.can_undo() {
                    self.settings.restore();
                    self.is_borrowed = false;
                    self.offer_undo();
                    self.ask_anew();
                }
            }
            Action::Fail(problem) => self.fail(problem),
            Action::Say(words) => self.notices.notify(Notice::Told(words)),
            Action::DismissProblem => self.notices.problem = None,
            Action::DismissRefusal => self.refused = None,
            Action::DismissNotice(id) => {
                // What a link took the place of is not given up by putting its message away.
                if matches!(self.notices.dismiss(id), Some(Notice::Replaced(_))) && !self.is_borrowed {
                    self.settings.earlier = None;
                }
            }
        }
        self
    }

    fn hear(&mut self, event: Event, millis: f64) {
        match event {
            Event::Hello => self.loading.load(),
            Event::Progress(load, _) | Event::Ready(load, _) | Event::LoadFailed(load, _)
                if !self.loading.is_current(load) => {}
            Event::Progress(_, progress) => self.loading.progress(progress),
            Event::Ready(_, mut card) => {
                self.note_trouble(card.fallback.as_ref(), millis);
                card.fallback = card.fallback.or_else(|| self.set_aside());
                self.notices.announcement = strings::ready(&card);
                if let Some(problem) = card.fallback.clone() {
                    self.tell_once(problem);
                }
                self.run_on(card);
                if self.look.is_some() {
                    // Another model sees another square.
                    self.look();
                }
                // What a worker broke down on waits for the reader.
                if !self.ranking.is_rejected {
                    self.ask_anew();
                }
            }
            Event::Moved(card) => self.run_on(card),
            Event::Notice(problem) => {
                self.note_trouble(Some(&problem), millis);
                self.notices.notify(Notice::Engine(problem));
            }
            Event::LoadFailed(_, problem) if problem.code == Code::StoredMissing => {
                let name = match &self.loading.model {
                    Model::Stored(chosen) => chosen.name.clone(),
                    _ => String::new(),
                };
                self.use_model(Model::Starter);
                self.notices.notify(Notice::ModelGone(name));
            }
            Event::LoadFailed(_, problem) => self.loading.fail(problem),
            Event::Answered(answer) if answer.id == self.ranking.question_id => {
                let is_in_tray = self.stage.tray.iter().any(|picture| picture.id == answer.picture);
                if is_in_tray {
                    self.stage.answers.insert(answer.picture, Rc::new(answer.clone()));
                }
                if !is_in_tray || self.stage.subject() == Some(answer.picture) {
                    self.settle(answer, millis);
                }
            }
            Event::PictureFailed { id, picture, problem } if id == self.ranking.question_id => {
                if self.stage.still() == Some(picture) {
                    self.ranking.reject();
                    self.refuse_picture(problem);
                } else if let Some(picture) = self.stage.drop_from_tray(picture) {
                    self.notices.notify(Notice::Counted(strings::left_out(&[picture.name])));
                }
            }
            Event::Rejected { id, problem } if id == self.ranking.question_id => {
                self.ranking.reject();
                let is_about_picture = self.stage.camera == Camera::Off
                    && matches!(
                        problem.code,
                        Code::PictureUnreadable | Code::PictureCutShort | Code::PictureTooLarge
                    );
                if is_about_picture { self.refuse_picture(problem) } else { self.fail(problem) }
            }
            Event::Rejected { id, problem } if self.look.as_ref().is_some_and(|look| look.id == id) => {
                self.look.iter_mut().for_each(|look| look.seen = Some(Err(problem.clone())));
            }
            Event::LabelProgress { id, done, total } if id == self.ranking.question_id => {
                self.ranking.label_progress = Some((done, total));
            }
            // Answers to questions that were replaced; a crop without its pixels; what this page never asks for.
            Event::Answered(_) | Event::Rejected { .. } | Event::Crop(_) | Event::LabelProgress { .. } => {}
            Event::Encoded { .. } | Event::PictureFailed { .. } | Event::Cancelled { .. } => {}
            Event::Crashed(why) => self.restart(why),
            Event::Forgotten => self.notices.notify(Notice::Told(strings::FORGOTTEN)),
        }
    }

    /// Remembers a graphics processor that did not do its work, so that the next visit does not wait for it again.
    fn note_trouble(&mut self, problem: Option<&Problem>, millis: f64) {
        let is_trouble = |code| matches!(code, Code::GpuSilent | Code::DeviceLostAgain);
        if problem.is_some_and(|problem| is_trouble(problem.code)) {
            self.settings.gpu_trouble = Some(GpuTrouble::at(millis));
        }
    }

    /// Why the processor computes although nobody chose it.
    fn set_aside(&self) -> Option<Problem> {
        self.settings.gpu_trouble.filter(|_| self.settings.backend != BackendChoice::Cpu)?;
        Some(Problem::new(Code::GpuSetAside, strings::GPU_SET_ASIDE))
    }

    /// A fact about the device is told once ever; from then on the badge says it.
    fn tell_once(&mut self, problem: Problem) {
        let name = problem.code.name();
        if !self.settings.told.contains(&name) {
            self.settings.told.push(name);
            self.notices.notify(Notice::Engine(problem));
        }
    }

    /// Another model ranks from now on; picture and labels stay.
    fn use_model(&mut self, model: Model) {
        let trial = self.offering.trial.take();
        self.offering.trial = match (self.loading.model.is_starter(), model.is_starter()) {
            (true, false) => Some(Trial::new(self.as_before())),
            (false, false) => trial,
            (_, true) => None,
        };
        self.settings.model = match &model {
            Model::Stored(chosen) => Some(chosen.clone()),
            _ => None,
        };
        self.loading.model = model;
        self.stage.forget_answers();
        self.notices.problem = None;
        self.notices.forget(|notice| matches!(notice, Notice::Switched(_)));
        // Another model's answers are not smoothed into this one's.
        self.stage.live.begin();
        self.forget_answer();
        self.ask_anew();
        self.loading.load();
    }

    /// The answer on show, to be compared with what the next model says.
    fn as_before(&self) -> Option<Before> {
        let card = self.loading.card().filter(|_| self.phase() == Phase::Settled)?;
        let name = strings::model_name(card).to_owned();
        Some(Before { asked: self.asked()?, answer: self.ranking.answer.clone()?, name })
    }

    fn pick(&mut self, pick: Pick) {
        let Outcome { announcement, finished, deleted } = self.picker.pick(pick, &self.settings);
        if let Some(Finished { model, payload, is_offered }) = finished {
            let name = model.name.clone();
            self.use_model(match payload {
                Some(payload) => Model::File { payload, name: name.clone() },
                None => Model::Stored(self.picker.chosen(&model)),
            });
            // Where the offer was, the way back stands already.
            if !is_offered {
                self.notices.notify(Notice::Switched(name));
            }
        }
        if let Some(store) = &self.picker.store {
            self.settings.has_stored = !store.models.is_empty();
        }
        if deleted.is_some_and(|key| self.loading.model.has_key(&key)) {
            self.use_model(Model::Starter);
        }
        if let Some(announcement) = announcement {
            self.notices.announcement = announcement;
        }
    }

    fn run_on(&mut self, card: Box<Card>) {
        let backend = &card.info.backend;
        self.picker.device.has_gpu = backend.kind == BackendKind::Gpu && !backend.is_software;
        self.loading.engine = Engine::Ready(card);
    }

    fn settle(&mut self, mut answer: Answer, millis: f64) {
        self.loading.prove();
        if self.stage.is_live() {
            answer.ranked = self.stage.live.tick(&answer.ranked, millis);
        }
        let asked = self.asked();
        let trial = self.offering.trial.take();
        self.offering.trial = trial.and_then(|trial| trial.after_answer(asked.as_ref()));
        // Per frame nobody could listen: live, only a new winner is news, and not too often.
        let top = answer.ranked.labels.first().map(|line| line.label.as_deref());
        if !self.stage.is_live() || self.stage.live.is_news(top, millis) {
            let mut announcement = strings::announce(&answer.ranked);
            if let Some(before) = self.before() {
                announcement += &strings::announce_before(before);
            }
            self.notices.announcement = announcement;
        }
        self.offering.is_unclear = answer.ranked.confidence != Confidence::Clear;
        // What is stored can be offered without a download.
        if self.loading.model.is_starter() && self.settings.has_stored {
            self.picker.look();
        }
        self.ranking.settle(answer);
        self.stage.prove();
        // A trouble that a settled answer has overcome is no trouble.
        if !self.stage.is_back() {
            self.forget_ranking_problem();
        }
    }

    fn edit(&mut self, edit: Edit) {
        let (before, prompts) = (self.settings.clone(), self.prompts());
        let of_templates = matches!(edit, Edit::Templates(_));
        let is_same_question = edit.is_same_question();
        let is_of_labels = edit.is_of_labels();
        let Edited { replaced, refused } = edit.apply(&mut self.settings);
        let is_same_question = is_same_question || (of_templates && self.prompts() == prompts);
        if let Some(why) = replaced {
            self.notices.notify(Notice::Replaced(why));
        }
        if self.settings.made() != before.made() {
            self.is_borrowed = false;
            // Who goes on here has decided.
            self.decide(Whose::Mine);
        }
        if self.settings.backend_in_use() != before.backend_in_use() {
            self.loading.change();
        }
        if let Some(refused) = refused {
            self.notices.announcement = strings::refused(&refused).concat();
            self.n_refused += 1;
            self.refused = Some(refused);
        } else if is_of_labels {
            self.refused = None;
        }
        if self.settings != before && !is_same_question {
            self.ask_anew();
        }
    }

    fn step(&self) -> Step {
        Step { made: self.settings.made(), picture: self.stage.picture.clone() }
    }

    /// Takes a step back, or forth.
    fn go(&mut self, direction: Direction) {
        let now = self.step();
        let Some(Step { made, picture }) = self.history.go(direction, now.clone()) else { return };
        self.decide(Whose::Mine);
        self.is_borrowed = false;
        self.settings.set_made(made);
        match picture {
            Some(picture) if Some(&picture) != now.picture.as_ref() => self.show(picture),
            None if now.picture.is_some() => {
                self.stage.clear();
                self.stage.tray.clear();
                self.forget_answer();
                self.ask_anew();
            }
            _ => self.ask_anew(),
        }
    }

    /// Every picture that may be shown again.
    pub fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.stage.pictures().chain(self.history.pictures())
    }

    /// A still picture takes the stage.
    fn show(&mut self, picture: Picture) {
        let is_settled = self.phase() == Phase::Settled;
        let answer = self.asked().zip(self.ranking.answer.clone()).filter(|_| is_settled);
        let known = self.stage.answers.clone();
        let first = known.get(&picture.id).cloned();
        self.stage.show(picture, answer);
        self.notices.problem = None;
        self.forget_answer();
        self.ask_anew();
        // Of pictures that came together the answers are there already.
        self.stage.answers = known;
        if let Some(answer) = first {
            self.ranking.restore(answer);
        }
    }

    /// The picture on the stage cannot be read: the one before it comes back, with its answer where that still stands.
    fn refuse_picture(&mut self, problem: Problem) {
        let answer = self.stage.take_back();
        if let (None, Some(next)) = (&self.stage.picture, self.stage.tray.first().cloned()) {
            self.show(next);
            return self.fail(problem);
        }
        self.forget_answer();
        if self.stage.picture.is_some() {
            self.ask_anew();
            if let Some((_, answer)) = answer.filter(|(asked, _)| Some(asked) == self.asked().as_ref()) {
                self.ranking.restore(answer);
            }
        }
        self.fail(problem);
    }

    fn retry(&mut self) {
        let Engine::Failed(problem) = &self.loading.engine else {
            self.notices.problem = None;
            return self.ask_anew();
        };
        let code = problem.code;
        // Another model is not tried again: the page's own works.
        if code != Code::LoadCancelled && !self.loading.model.is_starter() {
            self.use_model(Model::Starter);
        } else {
            self.notices.problem = None;
            self.loading.load();
        }
        if is_of_worker(code) {
            self.loading.start_worker();
        }
    }

    /// The worker broke down: what it broke down on is not asked again by itself.
    fn restart(&mut self, why: String) {
        let was_asking = self.question().is_some() && !self.ranking.is_current;
        let problem = Problem::new(Code::WorkerCrashed, why);
        if self.loading.restart(problem.clone()) && was_asking {
            self.ranking.is_rejected = true;
            self.fail(problem);
        }
    }

    fn close_camera(&mut self, stop: Stop) {
        if self.stage.camera == Camera::Off {
            return;
        }
        self.stage.camera = Camera::Off;
        self.forget_answer();
        self.ask_anew();
        match stop {
            Stop::Asked => {}
            Stop::TabHidden => self.notices.notify(Notice::Told(strings::CAMERA_HIDDEN)),
            Stop::Gone => self.notices.notify(Notice::Told(strings::CAMERA_GONE)),
        }
    }

    fn fail(&mut self, problem: Problem) {
        if matches!(
            problem.code,
            Code::CameraRefused
                | Code::CameraMissing
                | Code::CameraBusy
                | Code::CameraUnreadable
                | Code::CameraUnsupported
        ) {
            self.stage.camera = Camera::Off;
        }
        if let (true, Camera::On { .. }) = (self.ranking.is_rejected, self.stage.camera) {
            // One failing frame after the other would only repeat the message.
            self.stage.camera = Camera::On { is_live: false };
        }
        self.notices.problem = Some(problem);
    }

    /// A question that no earlier answer fits.
    fn ask_anew(&mut self) {
        self.ranking.ask_anew();
        self.stage.answers.clear();
        if self.stage.camera != Camera::Off {
            // The next frame asks; the last one is gone to the worker.
            self.stage.live.frame = None;
            self.ranking.wait_for_frame();
        }
    }

    fn look(&mut self) {
        let picture = self.stage.still();
        self.look = picture.map(|picture| Look { id: self.ranking.next_id(), picture, seen: None });
    }

    fn forget_answer(&mut self) {
        self.ranking.forget_answer();
        self.forget_ranking_problem();
    }

    fn forget_ranking_problem(&mut self) {
        self.notices.problem.take_if(|problem| is_about_ranking(problem.code));
    }
}

/// Problems that end when another question is answered.
fn is_about_ranking(code: Code) -> bool {
    matches!(
        code,
        Code::PictureUnreadable
            | Code::PictureCutShort
            | Code::PictureTooLarge
            | Code::PictureScrambled
            | Code::PictureNotAFile
            | Code::EngineFailed
            | Code::RankingCancelled
            | Code::WorkerCrashed
            | Code::LabelsRefused
    )
}

#[cfg(feature = "web")]
impl yew::Reducible for State {
    type Action = Action;

    fn reduce(self: std::rc::Rc<Self>, action: Action) -> std::rc::Rc<Self> {
        std::rc::Rc::new((*self).clone().after(action))
    }
}
