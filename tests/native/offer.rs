//! The way to a better model without a browser: what is recommended on which device, when it is offered, what a press on it
//! does, and what stands side by side afterwards.

use crate::page::{answered, asked, edit, loaded, ready, show, told};
use cliplet::app::edits::Edit;
use cliplet::app::loading::{Engine, Model};
use cliplet::app::models::picker::{Pick, Sending};
use cliplet::app::models::recommend::{self, Device};
use cliplet::app::notices::Notice;
use cliplet::app::ranking::answer::Phase;
use cliplet::app::settings::{Chosen, Settings};
use cliplet::app::state::{Action, State};
use cliplet::app::strings;
use cliplet::convert::catalogue::{Catalogue, Entry};
use cliplet::tasks::classify::{Confidence, Mode};
use cliplet::worker::problem::{Code, Problem};
use cliplet::worker::protocol::{
    Event, FetchEvent, FetchProgress, FetchRequest, FetchStage, Store, StoredFormat, StoredModel, Vouched,
};
use std::rc::Rc;

fn catalogue() -> Catalogue {
    Catalogue::parse(include_bytes!("../../static/models/catalogue.json")).unwrap()
}

fn desktop() -> Device {
    Device {
        screen_side: 1080,
        line: Some("4g".into()),
        mbit_per_second: Some(10.0),
        memory_gib: Some(8.0),
        room_bytes: Some(100_000_000_000),
        ..Device::default()
    }
}

fn phone() -> Device {
    Device { is_coarse: true, screen_side: 390, has_gpu: true, ..desktop() }
}

fn recommended(device: &Device) -> Option<Entry> {
    let catalogue = catalogue();
    recommend::ordered(&catalogue, device, StoredFormat::Q8_0, |_| false).recommended.cloned()
}

#[test]
fn each_device_gets_a_model_that_it_can_afford() {
    let line = |line: &str| Some(line.to_owned());
    let gpu = Device { has_gpu: true, ..desktop() };
    let light: &[(&str, Device)] = &[
        ("a phone", phone()),
        (
            "a phone whose browser tells nothing",
            Device { line: None, mbit_per_second: None, memory_gib: None, room_bytes: None, ..phone() },
        ),
        ("saved data", Device { is_metered: true, ..gpu.clone() }),
        ("3g", Device { line: line("3g"), ..gpu.clone() }),
        ("2g", Device { line: line("slow-2g"), ..gpu.clone() }),
        ("a slow 4g", Device { mbit_per_second: Some(1.1), ..gpu.clone() }),
        ("little memory", Device { memory_gib: Some(2.0), ..gpu.clone() }),
        ("little room", Device { room_bytes: Some(200_000_000), ..gpu.clone() }),
    ];
    for (what, device) in light {
        let entry = recommended(device).unwrap_or_else(|| panic!("nothing for {what}"));
        assert!(entry.n_bytes() < 150_000_000, "{what}: {} of {} bytes", entry.name, entry.n_bytes());
    }
    let middle: &[(&str, Device)] = &[
        ("a desktop", desktop()),
        ("a browser that tells nothing", Device::default()),
        ("a tablet", Device { is_coarse: true, screen_side: 768, ..desktop() }),
        ("a fresh browser", Device { mbit_per_second: Some(1.6), ..desktop() }),
        ("a touch screen", Device { screen_side: 500, ..desktop() }),
    ];
    for (what, device) in middle {
        let entry = recommended(device).unwrap_or_else(|| panic!("nothing for {what}"));
        assert!((300_000_000..650_000_000).contains(&entry.n_bytes()), "{what}: {}", entry.name);
    }
    let larger = recommended(&gpu).unwrap();
    assert!(larger.n_bytes() > recommended(&desktop()).unwrap().n_bytes(), "{}", larger.name);
    assert!(larger.imagenet.top1 > recommended(&desktop()).unwrap().imagenet.top1);
    assert_eq!(recommended(&Device { room_bytes: Some(10_000_000), ..phone() }), None, "no room for any");
}

#[test]
fn the_list_shows_what_is_stored_then_the_recommended_then_the_rest_by_size() {
    let catalogue = catalogue();
    let stored_id = "openai/clip-vit-large-patch14";
    let order = |device: &Device, stored: &[&str]| {
        let list = recommend::ordered(&catalogue, device, StoredFormat::Q8_0, |entry| {
            stored.contains(&&entry.id[..])
        });
        assert_eq!(list.entries.len(), catalogue.models.len(), "none is lost");
        (list.entries.into_iter().cloned().collect::<Vec<Entry>>(), list.recommended.cloned())
    };
    let (entries, recommended) = order(&phone(), &[]);
    assert_eq!(entries.first(), recommended.as_ref());
    let sizes: Vec<u64> = entries.iter().skip(1).map(Entry::n_bytes).collect();
    assert!(sizes.is_sorted(), "what does not suit, from the smallest on: {sizes:?}");
    // What is stored costs nothing, and is recommended where it is as accurate.
    let (entries, recommended) = order(&phone(), &[stored_id]);
    assert_eq!((&entries[0].id[..], &recommended.unwrap().id[..]), (stored_id, stored_id));
    let small = entries[1].id.clone();
    let (entries, recommended) = order(&desktop(), &[&small]);
    assert_eq!(entries[0].id, small);
    assert_eq!(recommended.as_ref(), entries.get(1), "a small one that is stored does not hide a better one");
}

/// The state of a page that has just said `confidence` of the starter's answer, and read the list.
fn answered_with(confidence: Confidence) -> State {
    let state = answered(show(ready(&["cat", "dog"]), 1), confidence);
    let state = state.after(Action::Pick(Pick::Device(desktop())));
    state.after(Action::Pick(Pick::CatalogueRead(Ok(Rc::new(catalogue())))))
}

fn sent(state: State) -> (State, Vec<Sending>) {
    let state = state.after(Action::Pick(Pick::Heard(FetchEvent::Hello, None)));
    let sendings = state.picker.sendings().to_vec();
    (state.after(Action::Pick(Pick::Sent(sendings.len()))), sendings)
}

fn heard(state: State, event: FetchEvent) -> State {
    state.after(Action::Pick(Pick::Heard(event, None)))
}

/// The offer is taken and its download begun: the state, the job's id, and the model as it will be stored.
fn taken(state: State) -> (State, u32, StoredModel) {
    let (state, sent) = sent(state.after(Action::TakeOffer));
    let Some((FetchRequest::Start { id, order }, None)) = sent.last() else { panic!("{sent:?}") };
    let stored = StoredModel {
        key: "k".into(),
        name: String::new(),
        source: order.source.clone(),
        format: order.format,
        bytes: 1,
        sha256: String::new(),
        source_sha256: Vec::new(),
        vouched: Vouched::Catalogue,
        is_kept: true,
    };
    (state, *id, stored)
}

/// The download is done, and the new model ready.
fn arrived(state: State, id: u32, stored: &StoredModel) -> State {
    let store = Store { models: vec![stored.clone()], ..Store::default() };
    loaded(heard(heard(state, FetchEvent::Stored(store)), FetchEvent::Finished(id, stored.clone())))
}

/// A page that was built with a real CLIP of its own is no starter's.
#[test]
fn a_page_whose_own_model_is_no_starter_offers_nothing() {
    let mut state = answered_with(Confidence::NotCalibrated);
    assert!(state.offer().is_some(), "the starter's page does");
    let Engine::Ready(card) = &mut state.loading.engine else { panic!("not ready") };
    card.info.about.is_starter = false;
    assert_eq!((state.offer(), state.recommended()), (None, None));
}

#[test]
fn an_answer_that_is_not_clear_offers_the_recommended_model_with_both_sizes() {
    for confidence in
        [Confidence::Likely, Confidence::Unsure, Confidence::NoneOfThese, Confidence::NotCalibrated]
    {
        let offer = answered_with(confidence).offer().unwrap_or_else(|| panic!("none for {confidence:?}"));
        assert_eq!(offer.id, recommended(&desktop()).unwrap().id, "the same everywhere");
        let said = strings::offer(&offer);
        assert!(said.contains("605 MB to download") && said.contains("161 MB kept"), "{said}");
    }
    let clear = answered_with(Confidence::Clear);
    assert_eq!(clear.offer(), None);
    assert!(clear.recommended().is_some(), "the badge and the picker have it still");
}

#[test]
fn the_list_is_read_after_the_first_answer_and_not_before() {
    let state = show(ready(&["cat"]), 1);
    assert!(!state.wants_catalogue());
    let state = answered(state, Confidence::Clear);
    assert!(state.wants_catalogue());
    assert_eq!(state.picker.generation, 0, "what nobody stored needs no downloader");
    let problem = Problem::new(Code::CatalogueMissing, "404");
    let state = state.after(Action::Pick(Pick::CatalogueRead(Err(problem))));
    assert!(!state.wants_catalogue() && state.offer().is_none(), "not again and again");
}

#[test]
fn the_offer_is_said_once_and_stays_away_once_dismissed() {
    let state = answered_with(Confidence::Unsure);
    assert!(state.notices.announcement.starts_with("Try "), "{}", state.notices.announcement);
    let again = answered(show(state, 2), Confidence::Unsure);
    assert!(
        again.offer().is_some() && !again.notices.announcement.contains("Try "),
        "{}",
        again.notices.announcement
    );
    let away = answered(show(again.after(Action::DismissOffer), 3), Confidence::Unsure);
    assert_eq!(away.offer(), None);
    assert!(away.recommended().is_some());
}

#[test]
fn an_offer_does_not_flicker_while_labels_are_edited() {
    let state = edit(answered_with(Confidence::Unsure), Edit::Add("bird".into()));
    assert_eq!(state.phase(), Phase::Ranking);
    assert!(state.offer().is_some());
    assert_eq!(answered(state, Confidence::Clear).offer(), None);
}

#[test]
fn one_press_downloads_and_the_same_question_is_compared_and_taken_back() {
    let (state, id, stored) = taken(answered_with(Confidence::Unsure));
    assert_eq!((state.phase(), state.offer()), (Phase::Settled, None), "the starter ranks on");
    let progress = FetchProgress { stage: FetchStage::Download, done: 1, total: 4, bytes_per_second: 1.0 };
    let state = heard(state, FetchEvent::Progress(id, progress));
    assert_eq!(state.offered_job().and_then(|job| job.fraction()), Some(0.25));
    let state = arrived(state, id, &stored);
    assert!(
        state.loading.model.has_key("k") && state.notices.toasts.is_empty(),
        "{:?}",
        state.notices.toasts
    );
    let before = state.before().expect("what the starter said stands while the new one ranks").clone();
    assert_eq!(before.name, "starter.gguf");
    assert_eq!(before.answer.ranked.confidence, Confidence::Unsure);
    let state = answered(state, Confidence::NotCalibrated);
    assert_eq!(state.before(), Some(&before));
    assert!(state.notices.announcement.contains("starter.gguf said: cat"), "{}", state.notices.announcement);
    assert_eq!(state.offer(), None, "the new model offers nothing");

    let n_jobs = state.picker.job.iter().count();
    let back = answered(loaded(state.after(Action::TakeBack)), Confidence::Unsure);
    assert_eq!(
        (&back.loading.model, &back.offering.trial, &back.settings.model),
        (&Model::Starter, &None, &None)
    );
    let offer = back.offer().expect("it is offered again");
    assert_eq!(offer.stored.as_ref().map(|chosen| &chosen.key[..]), Some("k"));
    assert!(strings::offer(&offer).ends_with("is on this device."));
    let again = back.after(Action::TakeOffer);
    assert!(again.loading.model.has_key("k") && again.picker.sendings().is_empty(), "no download");
    assert_eq!(again.picker.job.iter().count(), n_jobs);
    assert!(loaded(again).before().is_some());
}

#[test]
fn before_and_after_are_of_one_question_or_not_shown() {
    type Change = fn(State) -> State;
    let changes: &[(&str, Change)] = &[
        ("picture", |state| show(state, 2)),
        ("label", |state| edit(state, Edit::Add("bird".into()))),
        ("mode", |state| edit(state, Edit::Mode(Mode::Independent))),
        ("none", |state| edit(state, Edit::HasNone(false))),
        ("template", |state| edit(state, Edit::Templates(vec!["a drawing of a {label}".into()]))),
        ("camera", |state| state.after(Action::OpenCamera)),
    ];
    for (what, change) in changes {
        // While the download runs, an answer that is not there yet can't be compared.
        let (state, id, stored) = taken(answered_with(Confidence::Unsure));
        let state = arrived(change(state), id, &stored);
        assert_eq!(state.before(), None, "{what} changed during the download");
        assert!(state.offering.trial.is_some(), "{what}: the way back is there all the same");
        // Afterwards, too.
        let (state, id, stored) = taken(answered_with(Confidence::Unsure));
        let state = answered(arrived(state, id, &stored), Confidence::NotCalibrated);
        assert!(state.before().is_some());
        assert_eq!(change(state).before(), None, "{what} changed after it");
    }
    let (state, id, stored) = taken(answered_with(Confidence::Unsure));
    let moved = edit(state, Edit::Reorder { from: 0, to: 1 });
    assert!(arrived(moved, id, &stored).before().is_some(), "the order of labels is no part of the question");
    // The starter's answer to the new question counts, where there is one.
    let (state, id, stored) = taken(answered_with(Confidence::Unsure));
    let state = arrived(answered(show(state, 2), Confidence::Likely), id, &stored);
    assert_eq!(state.before().unwrap().answer.ranked.confidence, Confidence::Likely);
    // Once compared, the next question ends the trial; before that it does not.
    let state = answered(state, Confidence::NotCalibrated);
    assert!(state.offering.trial.is_some());
    let next = answered(show(state, 3), Confidence::NotCalibrated);
    assert_eq!(next.offering.trial, None);
}

#[test]
fn a_download_from_the_picker_says_so_and_is_compared_as_well() {
    let id = recommended(&desktop()).unwrap().id;
    let (state, sent) = sent(answered_with(Confidence::Unsure).after(Action::Pick(Pick::Download(id))));
    let Some((FetchRequest::Start { id, .. }, None)) = sent.last() else { panic!("{sent:?}") };
    assert!(state.offered_job().is_none(), "its progress stands where it was pressed");
    assert_eq!(state.offer(), None, "one download at a time");
    let (_, _, stored) = taken(answered_with(Confidence::Unsure));
    let state = arrived(state, *id, &stored);
    assert!(matches!(state.notices.latest(), Some(Notice::Switched(_))) && state.before().is_some());
}

#[test]
fn a_failed_download_leaves_the_offer_to_its_message() {
    let (state, id, _) = taken(answered_with(Confidence::Unsure));
    let failed = heard(state, FetchEvent::Failed(id, Problem::new(Code::StorageFull, "full")));
    assert!(failed.offered_job().is_none() && failed.offer().is_none());
    let again = failed.clone().after(Action::Pick(Pick::Again));
    assert!(again.offered_job().is_some(), "it is still the offer's");
    let dismissed = failed.after(Action::Pick(Pick::Dismiss));
    assert!(dismissed.offer().is_some(), "and can be taken anew");
}

#[test]
fn what_is_stored_is_looked_up_on_the_next_visit_by_those_who_stored_something() {
    let (state, id, stored) = taken(answered_with(Confidence::Unsure));
    let kept = arrived(state, id, &stored).kept_settings();
    assert!(kept.has_stored);
    let kept = Settings { model: None::<Chosen>, ..kept };
    let next = loaded(told(State::new(kept), Event::Hello));
    let next = answered(show(next, 1), Confidence::Unsure);
    assert_eq!(next.picker.generation, 1, "the downloader is asked");
    assert_eq!(asked(&next).labels, ["cat", "dog"]);
}
