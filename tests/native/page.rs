//! The page's state, share links and settings, without a browser.

use cliplet::app::edits::Edit;
use cliplet::app::history::Direction;
use cliplet::app::loading::{Engine, Model};
use cliplet::app::notices::Notice;
use cliplet::app::ranking::answer::{NoneLine, Phase};
use cliplet::app::ranking::camera::{Camera, Stop};
use cliplet::app::ranking::look::Seen;
use cliplet::app::ranking::stage::Picture;
use cliplet::app::settings::{Chosen, PRESETS, Settings};
use cliplet::app::state::{Action, State};
use cliplet::app::{share, strings};
use cliplet::engine::{BackendChoice, LabelNotes, ModelInfo, SelfTest};
use cliplet::image::Fit;
use cliplet::models::config::About;
use cliplet::tasks::classify::{Confidence, Mode, RankedLabel, RankedLabels};
use cliplet::worker::problem::{Code, Problem};
use cliplet::worker::protocol::{Answer, Card, Crop, Event, LoadStage, Progress, Question, Request, Vouched};
use proptest::prelude::*;

pub fn card() -> Box<Card> {
    let info = ModelInfo {
        about: About { is_starter: true, ..Default::default() },
        backend: Default::default(),
        self_test: None,
        file_bytes: 1,
        image_size: 224,
        context_len: 77,
        embedding_width: 4,
        fit: Fit::Crop,
        inside: 1.0,
        is_calibrated: true,
        knows_none: true,
        load_millis: 1.0,
    };
    Box::new(Card {
        info,
        templates: vec!["{label}".into()],
        file: "starter.gguf".into(),
        sha256: "0".repeat(64),
        fallback: None,
    })
}

pub fn told(state: State, event: Event) -> State {
    told_at(state, event, 0.0)
}

fn told_at(state: State, event: Event, millis: f64) -> State {
    state.after(Action::Told { event, millis })
}

pub fn with_labels(labels: &[&str]) -> Settings {
    Settings { labels: labels.iter().map(|label| label.to_string()).collect(), ..Settings::default() }
}

pub fn ready(labels: &[&str]) -> State {
    loaded(told(State::new(with_labels(labels)), Event::Hello))
}

/// The load that the page waits for is done.
pub fn loaded(state: State) -> State {
    let load = state.loading.load_generation;
    told(state, Event::Ready(load, card()))
}

pub fn show(state: State, id: u64) -> State {
    state.after(Action::Show(Picture { id, name: "a.png".into(), url: format!("blob:{id}") }))
}

pub fn answer(question: &Question) -> Event {
    answer_of(question, Confidence::Likely)
}

fn answer_of(question: &Question, confidence: Confidence) -> Event {
    let line = |(idx, label): (usize, &String)| RankedLabel {
        label: Some(label.clone()),
        probability: 1.0 / (idx + 2) as f32,
        similarity: 0.2,
    };
    let labels = question.labels.iter().enumerate().map(line).collect();
    let ranked = RankedLabels { mode: question.mode, labels, confidence };
    Event::Answered(Answer {
        id: question.id,
        picture: question.pictures[0],
        ranked,
        notes: LabelNotes::default(),
        background: None,
        stages: Vec::new(),
    })
}

pub fn asked(state: &State) -> Question {
    state.question().expect("there is something to ask")
}

/// What is asked now, answered with this confidence.
pub fn answered(state: State, confidence: Confidence) -> State {
    let answer = answer_of(&asked(&state), confidence);
    told(state, answer)
}

pub fn settled(labels: &[&str]) -> State {
    let state = show(ready(labels), 1);
    let answer = answer(&asked(&state));
    let state = told(state, answer);
    assert_eq!(state.phase(), Phase::Settled);
    state
}

pub fn edit(state: State, edit: Edit) -> State {
    state.after(Action::Edit(edit))
}

#[test]
fn asks_once_picture_labels_and_model_are_there() {
    let state = State::new(with_labels(&["cat", "dog"]));
    assert_eq!(state.phase(), Phase::NeedsPicture);
    let state = show(state, 1);
    assert_eq!((state.phase(), state.question()), (Phase::NeedsModel, None));
    let state = loaded(told(state, Event::Hello));
    assert_eq!(state.phase(), Phase::Ranking);
    let question = asked(&state);
    assert_eq!((question.pictures[0], &question.labels[..]), (1, &["cat".to_owned(), "dog".to_owned()][..]));
    let state = told(state, answer(&question));
    assert_eq!(state.phase(), Phase::Settled);
    assert_eq!(state.lines().len(), 2);
    assert!(state.notices.announcement.starts_with("cat, 50 %"), "{}", state.notices.announcement);
}

#[test]
fn stale_answers_are_dropped_whatever_changed() {
    type Change = fn(State) -> State;
    let changes: Vec<(&str, Change)> = vec![
        ("picture", |state| show(state, 2)),
        ("label added", |state| edit(state, Edit::Add("bird".into()))),
        ("label removed", |state| edit(state, Edit::Remove(0))),
        ("label renamed", |state| edit(state, Edit::Rename { idx: 0, text: "lion".into() })),
        ("template", |state| edit(state, Edit::Templates(vec!["a drawing of a {label}".into()]))),
        ("mode", |state| edit(state, Edit::Mode(Mode::Independent))),
        ("none", |state| edit(state, Edit::HasNone(false))),
        ("model", |state| loaded(state)),
    ];
    for (what, change) in changes {
        let before = show(ready(&["cat", "dog"]), 1);
        let stale = answer(&asked(&before));
        let after = change(before);
        assert_eq!(after.phase(), Phase::Ranking, "{what}");
        let after = told(after, stale.clone());
        assert_eq!(after.phase(), Phase::Ranking, "{what}: the stale answer shows");
        assert!(after.lines().iter().all(|line| line.score.is_none()), "{what}");
        let fresh = answer(&asked(&after));
        assert_eq!(told(after, fresh).phase(), Phase::Settled, "{what}: the fresh answer is missing");
        // Also once an answer has settled, a change takes its numbers away.
        let changed = change(settled(&["cat", "dog"]));
        assert_eq!(changed.phase(), Phase::Ranking, "{what}");
        assert_eq!(told(changed, stale).phase(), Phase::Ranking, "{what}");
    }
}

#[test]
fn order_of_labels_and_half_typed_templates_ask_nothing() {
    let state = settled(&["cat", "dog"]);
    let id = asked(&state).id;
    let state = edit(state, Edit::Reorder { from: 0, to: 1 });
    assert_eq!(state.settings.labels, ["dog", "cat"]);
    let typed = vec!["{label}".to_owned(), "a {lab".to_owned()];
    let state = edit(state, Edit::Templates(typed.clone()));
    assert_eq!((state.phase(), asked(&state).id), (Phase::Settled, id));
    assert_eq!(state.settings.templates, typed, "what was typed stays");
}

#[test]
fn labels_can_be_undone_after_a_preset() {
    let own = ["axolotl", "quokka"];
    let labels = PRESETS[1].labels.iter().map(|label| label.to_string()).collect();
    let state = edit(State::new(with_labels(&own)), Edit::Replace { labels, why: strings::LABELS_PRESET });
    assert_eq!(state.settings.labels.len(), PRESETS[1].labels.len());
    assert!(matches!(state.notices.latest(), Some(Notice::Replaced(_))) && state.can_undo());
    let state = state.after(Action::Undo);
    assert_eq!((&state.settings.labels[..], state.notices.latest()), (&own.map(str::to_owned)[..], None));
}

/// Without its notices, put away one by one.
fn dismissed(state: State) -> State {
    let ids: Vec<u64> = state.notices.toasts.iter().map(|toast| toast.id).collect();
    ids.into_iter().fold(state, |state, id| state.after(Action::DismissNotice(id)))
}

#[test]
fn a_way_back_outlives_what_is_told_after_it() {
    let replace = |state: State, label: &str| {
        let labels = vec![label.to_owned()];
        edit(state, Edit::Replace { labels, why: strings::LABELS_PRESET })
    };
    let offers = |state: &State| {
        let is_undo = |notice: &Notice| matches!(notice, Notice::Replaced(_));
        state.notices.toasts.iter().filter(|toast| is_undo(&toast.notice)).count()
    };
    let state = replace(ready(&["own"]), "new");
    let told = [
        Notice::Told(strings::SHARED),
        Notice::Told(strings::COPIED),
        Notice::Engine(Problem::new(Code::AdapterMissing, "")),
        Notice::Switched("CLIP".into()),
        Notice::Counted("3 pictures".into()),
    ];
    let mut state = told.into_iter().fold(state, |mut state, notice| {
        state.notices.notify(notice);
        state
    });
    assert_eq!(offers(&state), 1);
    assert!(state.notices.toasts.len() <= 4, "{:?}", state.notices.toasts);
    // Said anew, it is one all the same; what only tells something goes, what offers something stays.
    state = replace(state, "newer");
    assert_eq!(offers(&state), 1);
    let fading = |notice: &Notice| notice.fade_millis().is_some();
    assert!(state.notices.toasts.iter().all(|toast| fading(&toast.notice) != toast.notice.stays()));
    let state = state.after(Action::Undo);
    assert_eq!((&state.settings.labels[..], offers(&state)), (&["new".to_owned()][..], 1));
    let state = state.after(Action::Undo);
    assert_eq!((&state.settings.labels[..], offers(&state)), (&["own".to_owned()][..], 0));
    assert!(state.notices.toasts.iter().any(|toast| matches!(toast.notice, Notice::Switched(_))));
}

/// A phone has no Ctrl+Z: the notice alone brings everything back, also on the next visit.
#[test]
fn no_replacement_loses_what_the_one_before_it_took() {
    let back = |state: State| state.after(Action::Step(Direction::Back));
    let forth = |state: State| state.after(Action::Step(Direction::Forth));
    let labels = |state: &State| state.settings.labels.join(",");
    let clear =
        |state: State| edit(state, Edit::Replace { labels: Vec::new(), why: strings::LABELS_CLEARED });
    let start = State::new(with_labels(&["first"]));
    let state = edit(clear(start), Edit::Add("second".into()));
    let state = edit(clear(state), Edit::Add("third".into()));
    let state = state.after(Action::GoTo("#labels=link".into()));
    let seen: Vec<String> = (0..4)
        .scan(State::new(edit(state.clone(), Edit::Add("more".into())).kept_settings()), |state, _| {
            let now = labels(state);
            *state = state.clone().after(Action::Undo);
            Some(now)
        })
        .collect();
    assert_eq!(seen, ["link,more", "third", "second", "first"]);
    // Step by step the same, and both ways together: what is there already is not offered.
    let state = state.after(Action::Undo);
    assert_eq!(labels(&state), "third");
    let state = back(back(state));
    assert_eq!((labels(&state).as_str(), state.can_undo()), ("", true));
    let state = back(state);
    assert_eq!((labels(&state).as_str(), state.can_undo()), ("second", true), "the first is still to come");
    let state = back(back(state));
    assert_eq!((labels(&state).as_str(), state.can_undo(), state.notices.latest()), ("first", false, None));
    let state = forth(forth(state));
    assert_eq!(labels(&state), "second");
    // No list grows for ever.
    let many = (0..60).fold(State::new(with_labels(&["0"])), |state, n| {
        edit(state, Edit::Replace { labels: vec![format!("label {n}")], why: strings::LABELS_PASTED })
    });
    let n_kept = (0..60).scan(many, |state, _| {
        let can_undo = state.can_undo();
        *state = state.clone().after(Action::Undo);
        can_undo.then_some(())
    });
    assert_eq!(n_kept.count(), 5);
}

#[test]
fn what_a_person_made_outlives_a_walk_through_the_presets() {
    let take = |state: State, n: usize| {
        let labels = PRESETS[n].labels.iter().map(|label| label.to_string()).collect();
        edit(state, Edit::Replace { labels, why: strings::LABELS_PRESET })
    };
    let state = take(take(take(State::new(with_labels(&["mine"])), 1), 2), 3);
    assert_eq!(state.after(Action::Undo).settings.labels, ["mine"]);
}

#[test]
fn a_fact_about_the_device_is_told_once_ever() {
    let fallback = |state: State| {
        let load = state.loading.load_generation;
        let card = Card { fallback: Some(Problem::new(Code::AdapterMissing, "none")), ..*card() };
        told(state, Event::Ready(load, Box::new(card)))
    };
    let first = fallback(told(State::new(Settings::default()), Event::Hello));
    assert!(
        matches!(first.notices.latest(), Some(Notice::Engine(problem)) if problem.code == Code::AdapterMissing)
    );
    let next_visit = fallback(told(State::new(first.kept_settings()), Event::Hello));
    assert_eq!(next_visit.notices.latest(), None);
    let Engine::Ready(card) = &next_visit.loading.engine else { panic!("not ready") };
    assert!(
        strings::badge_title(card, &Model::Starter).contains("No graphics processor"),
        "the badge says it"
    );
}

#[test]
fn a_live_picture_speaks_every_three_seconds_at_most() {
    let mut state = ready(&["cat", "dog"]).after(Action::OpenCamera).after(Action::CameraOpened);
    let mut said: Vec<(f64, String)> = Vec::new();
    for frame in 0..120_u32 {
        let millis = f64::from(frame) * 100.0;
        state = state.after(Action::Frame(u64::from(frame) + 10));
        let Event::Answered(mut answer) = answer(&asked(&state)) else { panic!("no answer") };
        // Each second another winner.
        if (frame / 10) % 2 == 1 {
            answer.ranked.labels.reverse();
            answer
                .ranked
                .labels
                .iter_mut()
                .enumerate()
                .for_each(|(idx, line)| line.probability = 1.0 / (idx + 2) as f32);
        }
        state = told_at(state, Event::Answered(answer), millis);
        if said.last().is_none_or(|(_, text)| *text != state.notices.announcement) {
            said.push((millis, state.notices.announcement.clone()));
        }
    }
    assert!(said.len() >= 3, "silent: {said:?}");
    assert!(said.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 3000.0), "{said:?}");
}

#[test]
fn undo_of_a_preset_leaves_what_was_set_since() {
    let labels = vec!["new".to_owned()];
    let state =
        edit(State::new(with_labels(&["own"])), Edit::Replace { labels, why: strings::LABELS_PRESET });
    let state = edit(edit(state, Edit::HasNone(false)), Edit::Mode(Mode::Independent));
    let settings = state.after(Action::Undo).settings;
    assert_eq!(settings.labels, ["own"]);
    assert_eq!((settings.has_none, settings.mode), (false, Mode::Independent));
}

#[test]
fn a_link_takes_nothing_that_a_person_made() {
    let own = Settings { templates: vec!["my {label}".into()], ..with_labels(&["mine"]) };
    let shared = Settings { has_none: false, ..with_labels(&["theirs"]) };
    let state = State::with_shared(own.clone(), shared);
    assert_eq!((&state.settings.labels[..], state.settings.has_none), (&["theirs".to_owned()][..], false));
    assert_eq!(state.kept_settings(), own, "nothing of the link is kept before an edit");
    assert_eq!(state.clone().after(Action::Undo).settings, own);
    // What has nothing to do with the link is kept, and putting the message away loses nothing.
    let state = edit(dismissed(state), Edit::IsMirrored(true));
    assert_eq!(state.kept_settings(), Settings { is_mirrored: true, ..own.clone() });

    let edited = edit(state, Edit::Add("more".into()));
    let kept = edited.kept_settings();
    assert_eq!(kept.labels, ["theirs", "more"]);
    // After a reload, and after a preset too.
    let again = State::new(kept);
    assert!(matches!(again.notices.latest(), Some(Notice::Replaced(_))));
    let again = edit(again, Edit::Replace { labels: vec!["preset".into()], why: strings::LABELS_PRESET });
    let back = again.after(Action::Undo);
    assert_eq!(back.kept_settings(), Settings { is_mirrored: true, ..own.clone() });
    assert!(!back.can_undo());
    assert!(!State::with_shared(own.clone(), own).can_undo(), "the same labels need no undo");
}

#[test]
fn rejected_question_says_why_and_the_next_is_asked() {
    let state = show(ready(&["cat"]), 1);
    let (id, problem) = (asked(&state).id, Problem::new(Code::LabelsRefused, "too long"));
    let stuck = told(state.clone(), Event::Rejected { id, problem: problem.clone() });
    assert_eq!(
        (stuck.phase(), stuck.question(), stuck.notices.problem.as_ref()),
        (Phase::Stuck, None, Some(&problem))
    );
    let problem = Problem::new(Code::PictureUnreadable, "no picture");
    let state = told(state, Event::Rejected { id, problem: problem.clone() });
    assert_eq!(
        (state.phase(), state.question(), state.notices.problem.as_ref()),
        (Phase::NeedsPicture, None, Some(&problem)),
        "a picture that cannot be read is not kept"
    );
    let state = show(state, 2);
    assert_eq!((state.phase(), state.notices.problem.as_ref()), (Phase::Ranking, None));
    let late = told(state, Event::Rejected { id, problem });
    assert_eq!((late.phase(), late.notices.problem), (Phase::Ranking, None), "a late rejection is stale too");
}

#[test]
fn worker_that_breaks_down_is_replaced_then_given_up() {
    let state = show(ready(&["cat"]), 1);
    let state = told(state, Event::Crashed("unreachable".into()));
    assert_eq!((state.loading.worker_generation, &state.loading.engine), (1, &Engine::Starting));
    let state = loaded(told(state, Event::Hello));
    assert_eq!((state.phase(), state.question()), (Phase::Stuck, None), "not asked again by itself");
    let state = state.after(Action::Retry);
    assert_eq!(state.phase(), Phase::Ranking);
    let crashes = (0..3).fold(state, |state, _| told(state, Event::Crashed("again".into())));
    assert!(
        matches!(&crashes.loading.engine, Engine::Failed(problem) if problem.code == Code::WorkerCrashed)
    );
    let generation = crashes.loading.worker_generation;
    let retried = crashes.after(Action::Retry);
    assert_eq!(
        (retried.loading.worker_generation, retried.loading.engine),
        (generation + 1, Engine::Starting)
    );
}

#[test]
fn failed_loading_can_be_retried_and_cancelled() {
    let state = told(State::new(Settings::default()), Event::Hello);
    let progress = Progress { stage: LoadStage::Download, done: 1, total: 2 };
    let load = state.loading.load_generation;
    let state = told(state, Event::Progress(load, progress.clone()));
    assert_eq!(state.loading.engine, Engine::Loading(progress.clone()));
    let cancelled = state.clone().after(Action::CancelLoad);
    assert!(
        matches!(&cancelled.loading.engine, Engine::Failed(problem) if problem.code == Code::LoadCancelled)
    );
    let late = told(cancelled.clone(), Event::Progress(load, progress.clone()));
    assert_eq!(late.loading.engine, cancelled.loading.engine, "progress of a cancelled load");
    let again = cancelled.clone().after(Action::Retry);
    assert_eq!(again.loading.load_generation, cancelled.loading.load_generation + 1);
    assert!(matches!(again.loading.engine, Engine::Loading(_)));
    // What the cancelled load still says is not about this one.
    let failed = Event::LoadFailed(load, Problem::new(Code::LoadCancelled, ""));
    for event in [failed, Event::Progress(load, progress), Event::Ready(load, card())] {
        assert_eq!(told(again.clone(), event).loading.engine, again.loading.engine);
    }
}

#[test]
fn a_model_file_is_left_when_it_fails_and_asks_anew_when_it_loads() {
    let before = show(ready(&["cat"]), 1);
    let stale = answer(&asked(&before));
    let model = Model::File { payload: 2, name: "mine.gguf".into() };
    let loading = before.after(Action::UseModel(model.clone()));
    assert!(matches!(loading.loading.engine, Engine::Loading(_)));
    assert_eq!(loading.payloads_in_use(), [Some(1), None, Some(2), None]);
    let loading = told(loading, stale);
    assert!(loading.ranking.answer.is_none(), "an answer of the model before");
    assert_eq!(loaded(loading.clone()).phase(), Phase::Ranking);
    for code in [Code::ModelFileUnusable, Code::SelfTestFailed, Code::EngineFailed] {
        let load = loading.loading.load_generation;
        let failed = told(loading.clone(), Event::LoadFailed(load, Problem::new(code, "no")));
        assert_eq!(failed.loading.model, model, "{code:?}: kept until the reader decides");
        let back = failed.after(Action::Retry);
        assert_eq!(
            (&back.loading.model, back.loading.load_generation),
            (&Model::Starter, load + 1),
            "{code:?}"
        );
    }
}

#[test]
fn live_camera_takes_the_next_frame_after_each_answer() {
    let state = ready(&["cat"]).after(Action::OpenCamera).after(Action::CameraOpened);
    assert!(state.wants_frame().is_some() && state.question().is_none());
    let state = state.after(Action::Frame(7));
    assert_eq!((state.wants_frame(), asked(&state).pictures[0]), (None, 7));
    let reply = answer(&asked(&state));
    let state = told_at(state, reply, 1000.0);
    assert_eq!(state.phase(), Phase::Settled);
    let state = state.after(Action::Frame(8));
    assert_eq!(state.phase(), Phase::Settled, "the last frame's answer stands until the next");
    let reply = answer(&asked(&state));
    let state = told_at(state, reply, 1100.0);
    assert!((state.stage.live.rate - 10.0).abs() < 1e-9, "{}", state.stage.live.rate);
    let stale = answer(&asked(&state.clone().after(Action::Frame(9))));
    let state = edit(state.after(Action::Frame(9)), Edit::Add("dog".into()));
    assert!(state.wants_frame().is_some(), "new labels need a new frame");
    assert_eq!(told(state.clone(), stale).phase(), Phase::Ranking);
    let hidden = state.after(Action::CloseCamera(Stop::TabHidden));
    assert_eq!(
        (hidden.stage.camera, hidden.notices.latest()),
        (Camera::Off, Some(&Notice::Told(strings::CAMERA_HIDDEN)))
    );
    assert!(hidden.question().is_none() && hidden.wants_frame().is_none());
}

/// Frames contradict each other; what is shown does not.
#[test]
fn a_live_winner_stays_while_frames_disagree() {
    let mut state = ready(&["cat", "dog"]).after(Action::OpenCamera).after(Action::CameraOpened);
    let mut shown = Vec::new();
    for frame in 0..60 {
        state = state.after(Action::Frame(frame));
        let mut reply = answer(&asked(&state));
        if let Event::Answered(answer) = &mut reply
            && frame % 2 == 1
        {
            answer.ranked.labels.reverse();
            let [first, second] = &mut answer.ranked.labels[..] else { panic!("two labels") };
            std::mem::swap(&mut first.probability, &mut second.probability);
        }
        state = told_at(state, reply, 1000.0 + 160.0 * frame as f64);
        shown.push(state.lines().first().and_then(|line| line.label.clone()));
    }
    let n_flips = shown.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(n_flips <= 9, "{n_flips} flips in 9.6 seconds: {shown:?}");
    assert!(shown.iter().all(Option::is_some), "{shown:?}");
}

#[test]
fn camera_problems_close_the_camera_and_nothing_else() {
    for code in [
        Code::CameraRefused,
        Code::CameraMissing,
        Code::CameraBusy,
        Code::CameraUnreadable,
        Code::CameraUnsupported,
    ] {
        let state = settled(&["cat"]).after(Action::OpenCamera).after(Action::Fail(Problem::new(code, "")));
        assert_eq!(
            (state.stage.camera, state.notices.problem.map(|problem| problem.code)),
            (Camera::Off, Some(code))
        );
        assert!(state.stage.picture.is_some());
    }
}

#[test]
fn every_code_has_a_name_and_advice() {
    assert_eq!(Code::WeightsMissing.name(), "weights-missing");
    assert_eq!(Code::SourceNoWeights.name(), "source-no-weights");
    assert_eq!(Code::SourceBusy.name(), "source-busy");
    assert!(strings::advice(Code::SourceBusy).can_retry && !strings::advice(Code::SourceNoWeights).can_retry);
    assert_eq!(Code::WebgpuMissing.name(), "webgpu-missing");
    assert!(
        strings::advice(Code::WeightsNetwork).can_retry && !strings::advice(Code::CameraMissing).can_retry
    );
}

#[test]
fn percentages_have_sensible_digits_and_none_is_certain() {
    for (probability, shown) in [
        (0.0, "< 0.1 %"),
        (0.0004, "< 0.1 %"),
        (0.000_999, "< 0.1 %"),
        (0.001, "0.1 %"),
        (0.012, "1.2 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.42, "42 %"),
        (0.9949, "99 %"),
        (0.9951, "99.5 %"),
        (0.9994, "99.9 %"),
        (0.999_51, "> 99.9 %"),
        (0.999_99, "> 99.9 %"),
        (1.0, "> 99.9 %"),
    ] {
        assert_eq!(strings::percent(probability), shown, "{probability}");
    }
    for step in 0..=100_000 {
        let shown = strings::percent(step as f32 / 100_000.0);
        assert!(shown != "100 %" && shown != "0 %" && shown != "0.0 %", "{step}: {shown}");
    }
}

fn ranked(mode: Mode, confidence: Confidence, values: &[(Option<&str>, f32)]) -> RankedLabels {
    let line = |(label, probability): &(Option<&str>, f32)| RankedLabel {
        label: label.map(str::to_owned),
        probability: *probability,
        similarity: 0.0,
    };
    RankedLabels { mode, confidence, labels: values.iter().map(line).collect() }
}

#[test]
fn only_what_was_measured_is_called_clear() {
    use Confidence::*;
    let two = [(Some("a"), 0.9999), (Some("b"), 0.0001)];
    let clear = "A clear match.";
    assert_eq!(strings::confidence(&ranked(Mode::Softmax, Clear, &two)), clear);
    for confidence in [Likely, Unsure, NoneOfThese, NotCalibrated] {
        for mode in [Mode::Softmax, Mode::Independent] {
            let said = strings::confidence(&ranked(mode, confidence, &two));
            assert!(said != clear && !said.is_empty(), "{confidence:?} by {mode:?}: {said}");
            assert_eq!(said.contains("ot calibrated"), confidence == NotCalibrated, "{said}");
        }
    }
    let said = |confidence, values| strings::confidence(&ranked(Mode::Softmax, confidence, values));
    assert_eq!(said(NoneOfThese, &[(None, 0.9), (Some("b"), 0.1)]), "None of the labels fits well.");
    assert!(said(Unsure, &[(Some("a"), 0.45), (Some("b"), 0.4)]).starts_with("Hard to tell"));
    assert!(said(Unsure, &[(Some("a"), 0.2), (Some("b"), 0.05)]).starts_with("A guess"));
}

#[test]
fn a_label_alone_is_judged_by_itself_in_words_too() {
    for lines in [&[(Some("a"), 0.9)][..], &[(Some("a"), 0.9), (None, 0.1)]] {
        for confidence in [Confidence::Likely, Confidence::Unsure, Confidence::NotCalibrated] {
            let said = strings::confidence(&ranked(Mode::Independent, confidence, lines));
            assert!(said.starts_with("How well it fits by itself"), "{said}");
        }
    }
}

#[test]
fn labels_that_are_not_understood_are_named_with_what_would_help() {
    let labels = |labels: &[&str]| labels.iter().map(|label| label.to_string()).collect::<Vec<_>>();
    let one = strings::unreadable(&labels(&["猫"]));
    assert!(one.contains("“猫”") && one.contains("it takes no part") && one.contains("Models"), "{one}");
    assert!(strings::unreadable(&labels(&["猫", "犬"])).contains("they take no part"));
    let same = strings::same(&labels(&["Cat", "cat"]));
    assert!(same.contains("“Cat” and “cat”"), "{same}");
    // With nothing left to rank, that is what is said.
    let state = show(ready(&["猫"]), 1);
    let id = asked(&state).id;
    let ranked = ranked(Mode::Softmax, Confidence::Unsure, &[]);
    let notes = LabelNotes { unreadable: labels(&["猫"]), ..LabelNotes::default() };
    let answer = Answer { id, picture: 1, ranked, notes, background: None, stages: Vec::new() };
    let state = told(state, Event::Answered(answer));
    assert_eq!((state.phase(), state.lines().len()), (Phase::Settled, 0));
    assert_eq!(state.notices.announcement.split(" Try").next(), Some(strings::NOTHING_READABLE.get()));
}

#[test]
fn none_of_these_waits_for_a_model_that_can_tell_and_the_choice_is_kept() {
    let loaded_with = |state: State, is_calibrated, knows_none| {
        let load = state.loading.load_generation;
        let mut card = card();
        (card.info.is_calibrated, card.info.knows_none) = (is_calibrated, knows_none);
        told(state, Event::Ready(load, card))
    };
    let state = show(ready(&["cat", "dog"]), 1);
    assert!(asked(&state).has_none && state.none_line() == NoneLine::Known);
    let model = Model::File { payload: 2, name: "mine.gguf".into() };
    for (is_calibrated, line) in [(false, NoneLine::Unmeasured), (true, NoneLine::Unreliable)] {
        let state = loaded_with(state.clone().after(Action::UseModel(model.clone())), is_calibrated, false);
        assert_eq!((asked(&state).has_none, state.none_line()), (false, line));
        assert!(state.lines().iter().all(|line| line.label.is_some()), "no line that will not be there");
        assert!(state.settings.has_none, "the choice is kept");
        assert!(strings::none_help(line).contains("Your choice is kept"));
        let back = loaded(state.after(Action::UseModel(Model::Starter)));
        assert!(asked(&back).has_none);
    }
}

#[test]
fn what_a_file_is_checked_against_is_not_what_a_device_is_checked_for() {
    use Vouched::*;
    let said = [Catalogue, Hub, Nobody].map(strings::vouched);
    assert!(said[0].contains("list") && said[1].contains("hub") && said[2] == "hash not known");
    for by in [Catalogue, Hub, Nobody] {
        let chosen = Chosen { key: "k".into(), name: "CLIP".into(), vouched: by };
        let mut card = card();
        let badge = |card: &Card| strings::badge_checks(card, &Model::Stored(chosen.clone()));
        assert!(badge(&card).starts_with("no self-test"));
        card.info.self_test =
            Some(SelfTest { cosine_image: 1.0, cosine_text: 1.0, millis: 5.0, passed: true });
        let badge = badge(&card);
        assert!(badge.starts_with("self-test passed"), "{badge}");
        assert_eq!(badge.ends_with("file checked"), by != Nobody, "{badge}");
        assert_eq!(badge.ends_with("hash not known"), by == Nobody, "{badge}");
        assert!(!badge.contains("verified"));
    }
    // What an older version of the page stored says nothing of it.
    let older: Chosen = serde_json::from_str(r#"{"key": "k", "name": "CLIP"}"#).unwrap();
    assert_eq!(older.vouched, Nobody);
}

#[test]
fn the_model_shows_what_it_sees_of_the_picture_on_show() {
    let state = settled(&["cat", "dog"]).after(Action::Look);
    let (id, picture) = state.crop_request().expect("it is asked for");
    assert_eq!(picture, 1);
    assert!(id > asked(&state).id, "no question's id");
    let seen = |id: u64| Seen {
        crop: Crop { id, picture: 1, size: 1, background: None },
        rgb: vec![1, 2, 3].into(),
    };
    let late = state.clone().after(Action::Seen(seen(id - 1)));
    assert_eq!(late.crop_request(), Some((id, 1)), "of another look");
    let shown = late.after(Action::Seen(seen(id)));
    assert_eq!((shown.crop_request(), &shown.look.as_ref().unwrap().seen), (None, &Some(Ok(seen(id)))));
    assert_eq!(shown.phase(), Phase::Settled, "the ranking stands");
    // Another model sees another square.
    let again = loaded(shown.clone());
    assert!(again.crop_request().is_some_and(|(new, _)| new > id));
    assert_eq!(shown.after(Action::StopLooking).look, None);
    let problem = Problem::new(Code::PictureUnreadable, "gone");
    let failed = told(state.clone(), Event::Rejected { id, problem: problem.clone() });
    assert_eq!((failed.look.unwrap().seen, failed.notices.problem), (Some(Err(problem)), None));
    assert!(failed.stage.picture.is_some());
    assert_eq!(state.after(Action::OpenCamera).after(Action::Look).look, None, "a film has no still");
}

#[test]
fn what_is_cut_off_is_said_in_percent_of_each_side() {
    for (fit, inside, size, said) in [
        (Fit::Crop, 1.0, (0, 0), ""),
        (Fit::Crop, 1.0, (300, 300), "whole picture."),
        (Fit::Crop, 1.0, (400, 300), "12 % is cut off at the left and right each."),
        (Fit::Crop, 1.0, (100, 400), "38 % is cut off at the top and bottom each."),
        (Fit::Crop, 1.0, (1000, 990), "less than 1 % is cut off at the left and right."),
        (Fit::Crop, 0.875, (300, 300), "6 % is cut off at the left and right each, and 6 % is"),
        (Fit::Squash, 1.0, (400, 300), "squeezed"),
        (Fit::Squash, 0.875, (400, 300), "6 % is cut off at the left"),
        (Fit::Pad, 1.0, (300, 400), "bars"),
        (Fit::Squash, 1.0, (300, 300), "whole picture."),
    ] {
        let found = strings::cut_off(fit, inside, size);
        assert!(found.contains(said) && found.is_empty() == said.is_empty(), "{fit:?} {size:?}: {found}");
    }
    assert_eq!(strings::square(224), "224 × 224 pixels");
}

#[test]
fn messages_survive_the_way_between_threads() {
    let question = asked(&show(ready(&["cat, \"dog\"", "<b>"]), 1));
    let request = Request::Rank(question);
    let there = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<Request>(&there).unwrap(), request);
    // What static/worker-boot.js writes by hand.
    let crashed: Event = serde_json::from_str(r#"{"Crashed":"boom"}"#).unwrap();
    assert_eq!(crashed, Event::Crashed("boom".into()));
}

#[test]
fn older_settings_are_read_and_cleaned() {
    let stored = r#"{"labels": [" cat ", "Cat", "", "a, b"], "templates": []}"#;
    let settings = serde_json::from_str::<Settings>(stored).unwrap().cleaned();
    assert_eq!(settings.labels, ["cat", "a, b"]);
    assert!(settings.prompts().is_empty(), "the model's own are used");
}

#[test]
fn renaming_can_split_and_remove() {
    let mut settings = with_labels(&["cat", "dog", "bird"]);
    settings.rename(1, "wolf, CAT, fox").unwrap();
    assert_eq!(settings.labels, ["cat", "wolf", "fox", "bird"]);
    settings.rename(0, "  ").unwrap();
    assert_eq!(settings.labels, ["wolf", "fox", "bird"]);
    assert!(settings.rename(0, &"x".repeat(5000)).is_err());
    assert_eq!(settings.labels, ["wolf", "fox", "bird"], "a refused edit changes nothing");
}

proptest! {
    #[test]
    fn share_links_bring_back_what_they_carry(
        labels in prop::collection::vec("[^\\p{C}]{1,20}", 1..8),
        independent in any::<bool>(),
        has_none in any::<bool>(),
    ) {
        let mode = if independent { Mode::Independent } else { Mode::Softmax };
        let sent = Settings { labels, mode, has_none, ..Settings::default() }.cleaned();
        prop_assume!(!sent.labels.is_empty());
        let fragment = share::to_fragment(&sent);
        prop_assert!(fragment.is_ascii() && !fragment.contains([' ', '#', '"', '<']));
        prop_assert_eq!(share::from_fragment(&format!("#{fragment}"), &Settings::default()), Some(sent));
    }

    #[test]
    fn any_fragment_is_read_without_a_panic(fragment in ".{0,200}") {
        drop(share::from_fragment(&fragment, &Settings::default()));
        drop(share::from_fragment(&format!("labels={fragment}&template={fragment}"), &Settings::default()));
    }
}

#[test]
fn many_labels_report_how_far_they_are_and_stop_without_losing_the_model() {
    let state = show(ready(&["cat", "dog"]), 1);
    let first = asked(&state);
    let progress = |id, done| Event::LabelProgress { id, done, total: 300 };
    let state = told(state, progress(first.id, 16));
    assert_eq!((state.ranking.label_progress, state.phase()), (Some((16, 300)), Phase::Ranking));
    // Of a question that was replaced.
    let state = told(state, progress(first.id + 7, 99));
    assert_eq!(state.ranking.label_progress, Some((16, 300)));
    let stopped = state.clone().after(Action::CancelRanking);
    assert_eq!(
        (stopped.ranking.label_progress, stopped.phase(), stopped.question()),
        (None, Phase::Stuck, None)
    );
    assert_eq!(stopped.notices.problem.as_ref().map(|problem| problem.code), Some(Code::RankingCancelled));
    assert!(matches!(stopped.loading.engine, Engine::Ready(_)), "the model stays");
    // The answer that was on its way is nobody's.
    let late = told(stopped, answer(&first));
    assert!(late.ranking.answer.is_none() && late.phase() == Phase::Stuck);
    let again = late.after(Action::Retry);
    assert!(asked(&again).id > first.id && again.notices.problem.is_none());
    // An answer ends the progress, and a press that comes too late stops nothing.
    let settled = told(state, answer(&first));
    assert_eq!((settled.ranking.label_progress, settled.phase()), (None, Phase::Settled));
    assert_eq!(settled.clone().after(Action::CancelRanking).phase(), Phase::Settled);
}

#[test]
fn lines_while_ranking_keep_the_ranked_order_and_put_new_labels_behind() {
    let state = settled(&["b", "a", "c"]);
    let state = edit(state, Edit::Add("d".into()));
    let state = edit(state, Edit::Remove(1));
    let names: Vec<Option<String>> = state.lines().into_iter().map(|line| line.label).collect();
    assert_eq!(names, [Some("b".into()), Some("c".into()), Some("d".into()), None]);
}

/// With a step that looks at all labels for each label this would take minutes.
#[test]
fn lines_of_very_many_labels_are_made_in_one_pass() {
    let labels: Vec<String> = (0..200_000).map(|idx| format!("label number {idx}")).collect();
    let mut state = show(ready(&["cat"]), 1);
    state.settings.labels = labels;
    let start = std::time::Instant::now();
    assert_eq!(state.lines().len(), 200_001);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

const A_DAY: f64 = 86_400_000.0;

#[test]
fn a_graphics_processor_that_failed_is_left_alone_until_it_is_chosen() {
    let now = 1.8e12;
    let state = told(State::new(with_labels(&["cat"])), Event::Hello);
    assert_eq!(state.settings.backend_in_use(), BackendChoice::Auto);
    let mut silent = card();
    silent.fallback = Some(Problem::new(Code::GpuSilent, "no answer"));
    let load = state.loading.load_generation;
    let state = told_at(state, Event::Ready(load, silent), now);
    assert_eq!(state.settings.backend_in_use(), BackendChoice::Cpu, "for loads to come");
    let kept = state.kept_settings();
    let trouble = kept.gpu_trouble.unwrap();
    assert!(trouble.is_recent(now + 6.0 * A_DAY) && !trouble.is_recent(now + 8.0 * A_DAY));
    assert!(!trouble.is_recent(now - A_DAY), "a clock that was wrong");
    // The next visit says why it is the processor.
    let next = loaded(told(State::new(kept), Event::Hello));
    let why = next.loading.engine.card().unwrap().fallback.as_ref().unwrap();
    assert_eq!(why.code, Code::GpuSetAside);
    // The reader's choice counts, and is kept.
    for (choice, wanted) in
        [(BackendChoice::Gpu, BackendChoice::Gpu), (BackendChoice::Auto, BackendChoice::Auto)]
    {
        let chosen = edit(next.clone(), Edit::Backend(choice));
        assert_eq!((chosen.settings.backend_in_use(), chosen.kept_settings().backend), (wanted, choice));
        assert_eq!(chosen.loading.load_generation, next.loading.load_generation + 1, "it loads at once");
    }
    let chosen = edit(next.clone(), Edit::Backend(BackendChoice::Cpu));
    assert_eq!(chosen.loading.load_generation, next.loading.load_generation, "it is there already");
    assert_eq!(chosen.kept_settings().gpu_trouble, None);
    // Lost twice is remembered too, lost once is not.
    for (code, is_trouble) in [(Code::DeviceLost, false), (Code::DeviceLostAgain, true)] {
        let state = told_at(ready(&["cat"]), Event::Notice(Problem::new(code, "")), now);
        assert_eq!(state.settings.gpu_trouble.is_some(), is_trouble, "{code:?}");
    }
}

#[test]
fn it_is_known_when_the_graphics_processor_is_tried() {
    let at = |stage| {
        let state = told(State::new(with_labels(&["cat"])), Event::Hello);
        let load = state.loading.load_generation;
        told(state, Event::Progress(load, Progress { stage, done: 0, total: 0 }))
    };
    assert!(!at(LoadStage::Download).is_trying_gpu());
    for stage in [LoadStage::Read, LoadStage::Build, LoadStage::SelfTest] {
        assert!(at(stage).is_trying_gpu());
        assert!(!edit(at(stage), Edit::Backend(BackendChoice::Cpu)).is_trying_gpu());
    }
    assert!(!loaded(at(LoadStage::Build)).is_trying_gpu());
}
