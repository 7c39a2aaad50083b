//! The model picker without a browser: what is asked of the downloader, what is made of its answers, what can be typed.

use crate::page::{asked, card, edit, loaded, ready, settled, show, told, with_labels};
use cliplet::app::edits::Edit;
use cliplet::app::loading::{Engine, Model};
use cliplet::app::models::picker::{CatalogueState, Phase, Pick, Picker, Sending};
use cliplet::app::notices::Notice;
use cliplet::app::ranking::answer::Phase as Ranking;
use cliplet::app::settings::{Chosen, Settings};
use cliplet::app::state::{Action, State};
use cliplet::app::strings;
use cliplet::convert::catalogue::Catalogue;
use cliplet::convert::source::{self, DEFAULT_HUB, SourceError, Sources};
use cliplet::worker::problem::{Code, Problem};
use cliplet::worker::protocol::{
    Event, FetchEvent, FetchProgress, FetchRequest, FetchStage, ModelRef, Order, Store, StoredFormat,
    StoredModel, Unfinished, Vouched,
};
use proptest::prelude::*;
use std::rc::Rc;

const ID: &str = "openai/clip-vit-base-patch32";

fn catalogue() -> Rc<Catalogue> {
    let json = include_bytes!("../../static/models/catalogue.json");
    Rc::new(Catalogue::parse(json).unwrap())
}

fn pick(state: State, pick: Pick) -> State {
    state.after(Action::Pick(pick))
}

fn heard(state: State, event: FetchEvent) -> State {
    pick(state, Pick::Heard(event, None))
}

/// Everything that waits to be sent, sent.
fn send(state: State) -> (State, Vec<Sending>) {
    let sendings = state.picker.sendings().to_vec();
    let state = pick(state, Pick::Sent(sendings.len()));
    assert!(state.picker.sendings().is_empty());
    (state, sendings)
}

/// A page that ranks, with its picker open, the downloader ready and nothing stored.
fn opened() -> State {
    let state = pick(settled(&["cat", "dog"]), Pick::Open);
    assert_eq!(state.picker.generation, 1);
    let state = pick(state, Pick::CatalogueRead(Ok(catalogue())));
    let (state, sent) = send(heard(state, FetchEvent::Hello));
    assert_eq!(sent, [(FetchRequest::List, None)]);
    heard(state, FetchEvent::Stored(Store::default()))
}

fn downloading() -> (State, u32, Order) {
    let (state, sent) = send(pick(opened(), Pick::Download(ID.to_owned())));
    let [(FetchRequest::Start { id, order }, None)] = &sent[..] else { panic!("{sent:?}") };
    (state, *id, order.clone())
}

fn progress(done: u64) -> FetchProgress {
    FetchProgress { stage: FetchStage::Download, done, total: 100_000_000, bytes_per_second: 1e6 }
}

fn stored(key: &str) -> StoredModel {
    StoredModel {
        key: key.to_owned(),
        name: "from the file".to_owned(),
        source: catalogue().find(ID).unwrap().source(),
        format: StoredFormat::Q8_0,
        bytes: 160_000_000,
        sha256: "0".repeat(64),
        source_sha256: Vec::new(),
        vouched: Vouched::Nobody,
        is_kept: true,
    }
}

fn phase(state: &State) -> &Phase {
    &state.picker.job.as_ref().expect("a job").phase
}

#[test]
fn nothing_is_asked_before_the_downloader_listens() {
    let state = pick(ready(&["cat"]), Pick::Open);
    let state = pick(state, Pick::Typed(ID.to_owned()));
    let state = pick(state, Pick::DownloadTyped);
    assert!(state.picker.sendings().is_empty() && state.picker.typed.is_empty());
    let (_, sent) = send(heard(state, FetchEvent::Hello));
    let kinds: Vec<bool> = sent.iter().map(|(request, _)| *request == FetchRequest::List).collect();
    assert_eq!(kinds, [true, false], "the store first, then the download: {sent:?}");
}

#[test]
fn a_curated_model_is_ordered_by_commit_and_hash() {
    let (_, _, order) = downloading();
    let entry = catalogue().find(ID).unwrap().clone();
    assert_eq!(order.source, format!("{ID}@{}", entry.revision));
    assert_eq!((order.hub.as_str(), order.format), (DEFAULT_HUB, StoredFormat::Q8_0));
    assert_eq!(order.pinned, entry.weights);
    assert!(!order.pinned.is_empty());
    let state = edit(opened(), Edit::Format(StoredFormat::Q4_0));
    let state = edit(state, Edit::Hub("https://mirror.example/hf/".into()));
    let (_, sent) = send(pick(state, Pick::Download(ID.to_owned())));
    let [(FetchRequest::Start { order, .. }, None)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((order.hub.as_str(), order.format), ("https://mirror.example/hf", StoredFormat::Q4_0));
}

#[test]
fn ranking_goes_on_while_a_model_comes_and_it_takes_over_with_picture_and_labels() {
    let (state, id, _) = downloading();
    assert!(state.notices.announcement.contains("CLIP ViT-B/32"), "{}", state.notices.announcement);
    let mut said = vec![state.notices.announcement.clone()];
    let mut state = state;
    for done in (0..=100).map(|percent| percent * 1_000_000) {
        state = heard(state, FetchEvent::Progress(id, progress(done)));
        assert_eq!(state.phase(), Ranking::Settled);
        if said.last() != Some(&state.notices.announcement) {
            said.push(state.notices.announcement.clone());
        }
    }
    assert_eq!(said.len(), 4, "at its start and at each quarter: {said:?}");
    let state = heard(state, FetchEvent::Finished(id, stored("k")));
    assert!(state.picker.job.is_none() && matches!(state.loading.engine, Engine::Loading(_)));
    let chosen = Chosen { key: "k".into(), name: "CLIP ViT-B/32".into(), vouched: Vouched::Nobody };
    assert_eq!(
        (&state.loading.model, &state.settings.model),
        (&Model::Stored(chosen.clone()), &Some(chosen))
    );
    assert_eq!(state.notices.latest(), Some(&Notice::Switched("CLIP ViT-B/32".into())));
    let state = loaded(state);
    assert_eq!(asked(&state).labels, ["cat", "dog"]);
    assert!(state.stage.picture.is_some());
    // One press back.
    let back = loaded(state.after(Action::UseModel(Model::Starter)));
    assert_eq!(
        (&back.settings.model, back.notices.latest(), &back.loading.model),
        (&None, None, &Model::Starter)
    );
}

#[test]
fn without_storage_the_model_is_used_until_the_page_closes() {
    let (state, id, _) = downloading();
    let unkept = StoredModel { is_kept: false, ..stored("k") };
    let state = pick(state, Pick::Heard(FetchEvent::Finished(id, unkept), Some(77)));
    assert!(matches!(&state.loading.model, Model::File { payload: 77, .. }), "{:?}", state.loading.model);
    assert_eq!((state.settings.model.as_ref(), state.payloads_in_use()[2]), (None, Some(77)));
}

#[test]
fn a_download_pauses_goes_on_and_is_cancelled() {
    let (state, id, order) = downloading();
    let state = heard(state, FetchEvent::Progress(id, progress(40_000_000)));
    let (state, sent) = send(pick(state, Pick::Pause));
    assert_eq!((sent, phase(&state)), (vec![(FetchRequest::Pause, None)], &Phase::Pausing));
    let unfinished =
        Unfinished { key: "u".into(), order: order.clone(), done: 40_000_000, total: 100_000_000 };
    let store = Store { unfinished: vec![unfinished.clone()], ..Store::default() };
    let state = heard(heard(state, FetchEvent::Stored(store.clone())), FetchEvent::Paused(id));
    assert_eq!(phase(&state), &Phase::Paused);
    assert_eq!(state.picker.unfinished().count(), 0, "the job is not shown twice");
    let late = heard(state.clone(), FetchEvent::Progress(id, progress(99)));
    assert_eq!(late.picker, state.picker, "progress of a paused download");

    let (resumed, sent) = send(pick(state.clone(), Pick::Again));
    let [(FetchRequest::Start { id: new, order: again }, None)] = &sent[..] else { panic!("{sent:?}") };
    assert!(*new != id && *again == order);
    assert_eq!(resumed.picker.job.as_ref().unwrap().fraction(), Some(0.4), "the bar stays where it was");
    let (cancelled, sent) = send(pick(resumed, Pick::Cancel));
    assert_eq!((sent, cancelled.picker.job.as_ref()), (vec![(FetchRequest::Cancel, None)], None));
    let late = heard(cancelled.clone(), FetchEvent::Finished(*new, stored("k")));
    assert_eq!((late.loading.model, late.picker.job), (Model::Starter, None), "a cancelled model takes over");

    // What stopped is deleted by its key; on the next visit it can be gone on with.
    let (_, sent) = send(pick(state, Pick::Cancel));
    assert_eq!(sent, [(FetchRequest::Delete("u".into()), None)]);
    let next_visit = heard(opened(), FetchEvent::Stored(store));
    assert_eq!(next_visit.picker.unfinished().collect::<Vec<_>>(), [&unfinished]);
    let (state, sent) = send(pick(next_visit, Pick::Resume(order)));
    assert!(matches!(&sent[..], [(FetchRequest::Start { .. }, None)]));
    assert_eq!(state.picker.job.unwrap().name, "CLIP ViT-B/32");
}

#[test]
fn one_download_at_a_time() {
    let (state, id, _) = downloading();
    let other = catalogue().models[1].id.clone();
    let (state, sent) = send(pick(state, Pick::Download(other.clone())));
    assert_eq!((sent.len(), state.picker.job.as_ref().unwrap().id), (0, id));
    assert_eq!(state.notices.announcement, strings::ONE_AT_A_TIME.get());
    // One that failed gives way.
    let problem = Problem::new(Code::WeightsNetwork, "reset");
    let failed = heard(state, FetchEvent::Failed(id, problem.clone()));
    assert_eq!((phase(&failed), failed.phase()), (&Phase::Failed(problem), Ranking::Settled));
    let (state, sent) = send(pick(failed, Pick::Download(other)));
    assert!(sent.len() == 1 && *phase(&state) == Phase::Running);
}

#[test]
fn a_downloader_that_breaks_down_is_replaced_then_given_up() {
    let (state, _, order) = downloading();
    let state = heard(state, FetchEvent::Crashed("unreachable".into()));
    assert_eq!(state.picker.generation, 2);
    assert!(matches!(phase(&state), Phase::Failed(problem) if problem.code == Code::DownloaderCrashed));
    assert_eq!(state.phase(), Ranking::Settled, "ranking goes on");
    let (state, sent) = send(heard(pick(state, Pick::Again), FetchEvent::Hello));
    let started = sent
        .iter()
        .any(|(request, _)| matches!(request, FetchRequest::Start { order: again, .. } if *again == order));
    assert!(started, "{sent:?}");
    let state = (0..3).fold(state, |state, _| heard(state, FetchEvent::Crashed("again".into())));
    assert_eq!(state.picker.generation, 3, "two restarts, no more");
    let state = pick(state, Pick::Open);
    assert_eq!((state.picker.generation, state.picker.problem.as_ref()), (4, None), "until asked for");
}

#[test]
fn deleting_the_model_in_use_goes_back_to_the_built_in_one() {
    let (state, id, _) = downloading();
    let state = loaded(heard(state, FetchEvent::Finished(id, stored("k"))));
    let (other, _) = send(pick(state.clone(), Pick::Delete("x".into())));
    assert!(other.loading.model.has_key("k"));
    let (state, sent) = send(pick(state, Pick::Delete("k".into())));
    assert_eq!(
        (sent, &state.loading.model),
        (vec![(FetchRequest::Delete("k".into()), None)], &Model::Starter)
    );
    assert_eq!(state.settings.model, None);
}

#[test]
fn the_chosen_model_is_loaded_at_the_next_visit_or_its_absence_told() {
    let chosen = Chosen { key: "k".into(), name: "CLIP".into(), vouched: Vouched::Hub };
    let settings = Settings { model: Some(chosen), ..with_labels(&["cat"]) };
    let there = serde_json::to_string(&settings).unwrap();
    let settings: Settings = serde_json::from_str(&there).unwrap();
    let state = told(State::new(settings), Event::Hello);
    assert_eq!(state.loading.model.to_ref(), ModelRef::Stored("k".into()));
    let load = state.loading.load_generation;
    let gone = Event::LoadFailed(load, Problem::new(Code::StoredMissing, "k"));
    let state = told(state, gone);
    assert_eq!((&state.loading.model, &state.settings.model), (&Model::Starter, &None));
    assert_eq!(state.notices.latest(), Some(&Notice::ModelGone("CLIP".into())));
    assert!(matches!(state.loading.engine, Engine::Loading(_)) && state.loading.load_generation == load + 1);
    let state = told(state.clone(), Event::Ready(state.loading.load_generation, card()));
    assert_eq!(show(state, 1).phase(), Ranking::Ranking);
}

#[test]
fn files_are_taken_when_they_are_a_whole_model() {
    let import = |names: &[&str]| {
        let names = names.iter().map(|name| name.to_string()).collect();
        let (state, sent) = send(pick(opened(), Pick::Import { payload: 9, names }));
        let detail = state.picker.problem.as_ref().map(|problem| problem.detail.clone());
        (sent, detail, state.payloads_in_use()[3])
    };
    for names in [&["a.GGUF"][..], &["tokenizer.json", "model.safetensors", "config.json"]] {
        let (sent, problem, in_use) = import(names);
        assert!(matches!(sent[..], [(FetchRequest::Import { .. }, Some(9))]), "{names:?}: {sent:?}");
        assert_eq!((problem, in_use), (None, Some(9)));
    }
    for (names, missing) in [
        (&["model.safetensors", "config.json"][..], "tokenizer.json"),
        (&["model.safetensors", "tokenizer.json"], "config.json"),
        (&["config.json"], ".safetensors"),
    ] {
        let (sent, problem, _) = import(names);
        assert!(sent.is_empty() && problem.unwrap().contains(missing), "{names:?}");
    }
}

#[test]
fn who_vouches_for_a_model_is_remembered_with_the_choice() {
    for vouched in [Vouched::Catalogue, Vouched::Hub, Vouched::Nobody] {
        let (state, id, _) = downloading();
        let state = heard(state, FetchEvent::Finished(id, StoredModel { vouched, ..stored("k") }));
        assert_eq!(state.settings.model.as_ref().map(|chosen| chosen.vouched), Some(vouched));
        let figures = strings::stored_figures(&stored("k"), vouched);
        assert!(figures.ends_with(strings::vouched(vouched)), "{figures}");
    }
}

#[test]
fn a_list_that_came_too_early_is_read_again_when_the_picker_opens() {
    let problem = Problem::new(Code::CatalogueMissing, "offline");
    let state = pick(settled(&["cat"]), Pick::CatalogueRead(Err(problem)));
    assert_eq!(pick(state, Pick::Open).picker.catalogue, CatalogueState::Unread);
    assert_eq!(
        pick(opened(), Pick::Open).picker.entries().len(),
        catalogue().models.len(),
        "what is read stays"
    );
}

#[test]
fn without_the_list_the_rest_works() {
    let problem = Problem::new(Code::CatalogueMissing, "404");
    let state = pick(opened(), Pick::CatalogueRead(Err(problem.clone())));
    assert_eq!(state.picker.catalogue, CatalogueState::Missing(problem));
    let (_, sent) = send(pick(pick(state, Pick::Typed(ID.into())), Pick::DownloadTyped));
    let [(FetchRequest::Start { order, .. }, None)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((order.source.as_str(), order.pinned.len()), (ID, 0));
}

/// What is typed, as an order's source.
fn parse(typed: &str, hub: &str) -> Result<String, SourceError> {
    Sources::parse(typed, hub).map(|sources| sources.text(hub))
}

#[test]
fn ids_and_addresses_are_understood() {
    for (typed, source) in [
        (ID, ID),
        ("  openai/clip-vit-base-patch32  ", ID),
        ("openai/clip-vit-base-patch32@main", ID),
        ("openai/clip-vit-base-patch32@v1.0", "openai/clip-vit-base-patch32@v1.0"),
        ("https://huggingface.co/openai/clip-vit-base-patch32", ID),
        ("huggingface.co/openai/clip-vit-base-patch32/", ID),
        ("hf.co/openai/clip-vit-base-patch32", ID),
        ("https://huggingface.co/openai/clip-vit-base-patch32/tree/main", ID),
        ("https://huggingface.co/openai/clip-vit-base-patch32?library=x#y", ID),
        ("https://huggingface.co/openai/clip-vit-base-patch32/discussions", ID),
        ("https://huggingface.co/o/n/tree/abc123", "o/n@abc123"),
        (
            "https://huggingface.co/o/n/resolve/abc123/model.safetensors?download=true",
            "https://huggingface.co/o/n/resolve/abc123/model.safetensors",
        ),
        ("https://huggingface.co/o/n/discussions/15", "o/n@refs/pr/15"),
        ("o/n@refs/pr/15", "o/n@refs/pr/15"),
        ("o/n + hf.co/p/q/tree/v1", "o/n + p/q@v1"),
        ("https://huggingface.co/o/n/blob/main/config.json", "o/n"),
        ("https://huggingface.co/o/n/blob/main/q8.gguf", "https://huggingface.co/o/n/resolve/main/q8.gguf"),
        ("https://huggingface.co/o/n/tree/main/onnx/sub", "https://huggingface.co/o/n/resolve/main/onnx/sub"),
        ("https://models.example/clip/", "https://models.example/clip"),
        ("https://models.example/a.gguf?key=1", "https://models.example/a.gguf?key=1"),
        ("http://localhost:8000/clip", "http://localhost:8000/clip"),
    ] {
        assert_eq!(parse(typed, DEFAULT_HUB).as_deref(), Ok(source), "{typed}");
    }
    let mirror = "https://mirror.example/hf";
    assert_eq!(parse("https://mirror.example/hf/o/n/tree/main", mirror).as_deref(), Ok("o/n"));
    let file = parse("https://huggingface.co/o/n/blob/main/q8.gguf", mirror);
    assert_eq!(file.as_deref(), Ok("https://mirror.example/hf/o/n/resolve/main/q8.gguf"));
}

#[test]
fn what_names_no_model_is_refused_while_typing() {
    use SourceError::*;
    for (typed, error) in [
        ("", Empty),
        ("  ", Empty),
        ("openai", NoOwner),
        ("a/b/c", NoOwner),
        ("model.gguf", FileName),
        ("openai/clip vit", Character(' ')),
        ("openai/clip?", Character('?')),
        ("openai/", Name),
        ("../secret", Name),
        ("a/b@", Revision(String::new())),
        ("a/b@../c", Revision("../c".into())),
        ("https://huggingface.co/", OtherPage),
        ("https://huggingface.co/openai", OtherPage),
        ("https://huggingface.co/datasets/a/b", OtherPage),
        ("https://huggingface.co/spaces/a/b", OtherPage),
        ("http://models.example/a", NotSecure),
        ("http://localhost.example/a", NotSecure),
        ("ftp://models.example/a", NotSecure),
        ("https://", Host),
        ("https:///a", Host),
        ("https://me:secret@models.example/a", Credentials),
        ("https://models.example", NoPath),
    ] {
        assert_eq!(parse(typed, DEFAULT_HUB), Err(error.clone()), "{typed}");
        assert!(error == Empty || !error.to_string().is_empty());
    }
}

#[test]
fn a_half_typed_hub_is_kept_and_not_used() {
    for (typed, used) in [
        ("https://hf-mirror.example", "https://hf-mirror.example"),
        ("https://hf-mirror.example/", "https://hf-mirror.example"),
        (" http://127.0.0.1:9000 ", "http://127.0.0.1:9000"),
        ("https://", DEFAULT_HUB),
        ("", DEFAULT_HUB),
        ("http://hf-mirror.example", DEFAULT_HUB),
        ("https://hf-mirror.example/?a=b", DEFAULT_HUB),
    ] {
        let state = edit(opened(), Edit::Hub(typed.into()));
        assert_eq!((state.settings.hub.as_str(), state.settings.hub()), (typed, used.to_owned()));
        assert_eq!(state.phase(), Ranking::Settled, "the ranking does not depend on it");
    }
    assert_eq!(Settings::default().hub(), DEFAULT_HUB);
}

#[test]
fn figures_are_said_as_people_say_them() {
    let (state, id, _) = downloading();
    let figures = |state: &State| strings::fetch_figures(state.picker.job.as_ref().unwrap());
    assert_eq!(figures(&state), "", "nothing is known yet");
    let state = heard(state, FetchEvent::Progress(id, progress(25_000_000)));
    assert_eq!(figures(&state), "25 MB of 100 MB · 1.0 MB a second · about a minute left");
    let sizes = [900_000, 9_990_000, 605_157_884, 999_600_000, 1_710_540_580].map(strings::size);
    assert_eq!(sizes, ["0.9 MB", "10 MB", "605 MB", "1.0 GB", "1.7 GB"]);
    let store = Store { used_bytes: 164_000_000, quota_bytes: 2_264_000_000, ..Store::default() };
    assert_eq!(strings::room(&store).unwrap(), "164 MB used, about 2.1 GB left.");
    assert_eq!(strings::room(&Store::default()), None, "the browser does not say");
}

#[test]
fn a_new_picker_asks_nothing() {
    assert_eq!(Picker::default().sendings(), []);
    assert_eq!(State::new(Settings::default()).picker.generation, 0, "the downloader is started when needed");
}

proptest! {
    #[test]
    fn what_is_typed_never_breaks_out(typed in ".{0,60}") {
        if let Ok(source) = parse(&typed, DEFAULT_HUB) {
            let is_id = source.split('@').next().unwrap().matches('/').count() == 1 && !source.contains(':');
            prop_assert!(is_id || source.starts_with("https://") || source.starts_with("http://"), "{}", source);
            prop_assert!(!source.contains(char::is_whitespace) && !source.contains('#'));
        }
        if let Ok(hub) = source::parse_hub(&typed) {
            prop_assert!(hub.starts_with("http") && !hub.ends_with('/'));
        }
    }
}
