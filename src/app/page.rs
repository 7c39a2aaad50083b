//! The one page: owns the reducer, wires hooks to parts.

use super::edits::Edit;
use super::export::{self, Record, RecordModel};
use super::given::Place;
use super::hooks::{
    use_camera, use_catalogue, use_device, use_downloader, use_elsewhere, use_engine, use_gpu_watch,
    use_handed, use_intake, use_kept_focus, use_keys, use_last_picture, use_recent, use_screen_keyboard,
    use_show, use_speech, use_steps, use_stored, use_take,
};
use super::language::{Language, Text};
use super::loading::Engine;
use super::models::picker::{Phase as JobPhase, Pick};
use super::models::view::Models;
use super::parts::dialogs::{Details, Dialog, Export, privacy, shortcuts};
use super::parts::header::Header;
use super::parts::icon::icon;
use super::parts::language::LanguageChoice;
use super::parts::messages::Alert;
use super::parts::toasts::Toasts;
use super::ranking::answer::Phase;
use super::ranking::camera::{Camera, Stop};
use super::ranking::view::sees::Sees;
use super::ranking::view::stage::SAMPLES;
use super::ranking::view::{self as ranking, Wires};
use super::services::{self, Arrival, Pictures, poster};
use super::state::{Action, State};
use super::strings;
use crate::facts::Mode;
use crate::facts::table::BYTE_ORDER_MARK;
use crate::image::Fit;
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{Answer, Request};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, HtmlElement, HtmlInputElement};
use yew::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Details,
    Models,
    Privacy,
    Sees,
    Shortcuts,
}

/// The state that this browser and this address hold.
fn first_state() -> State {
    let own = services::stored_settings();
    match services::shared_settings(&own) {
        Some(shared) => State::with_shared(own, shared),
        None => State::new(own),
    }
}

/// The answer on show, with what it depended on; behind it those of the pictures that came with its own.
fn records(page: &State) -> Vec<Record> {
    let answer = page.ranking.answer.as_ref().filter(|_| page.phase() == Phase::Settled);
    let (Some(answer), Some(card)) = (answer, page.loading.card()) else { return Vec::new() };
    let record = |picture: &str, answer: &Answer| Record {
        picture: picture.to_owned(),
        date: services::now(),
        model: RecordModel::new(strings::model_name(card), card),
        templates: page.prompts(),
        ranked: answer.ranked.clone(),
    };
    let still = page.stage.picture.as_ref().filter(|_| page.stage.still().is_some());
    let first = record(still.map_or(strings::CAMERA_PICTURE.get(), |picture| &picture.name), answer);
    let tray = page.stage.tray_with_answers().into_iter().filter(|(picture, _)| Some(picture) != still);
    let others = tray.filter_map(|(picture, answer)| Some(record(&picture.name, &*answer?)));
    [first].into_iter().chain(others.filter(|_| still.is_some())).collect()
}

/// Gives an answer to where the reader wants it; returns what is to be said of that.
async fn run_export(export: Export, records: &[Record], url: &str) -> String {
    let Some(record) = records.first() else { return String::new() };
    let name = |ending: &str| export::file_name(records, ending);
    let copied = |is_copied: bool| if is_copied { strings::COPIED } else { strings::COPY_FAILED }.to_string();
    let saved = |name: String, result: Result<(), JsValue>| match result {
        Ok(()) => strings::saved(&name),
        Err(error) => strings::not_saved(&format!("{error:?}")),
    };
    let json = || export::to_json(records).unwrap_or_default();
    match export {
        Export::CopyJson => copied(services::copy(&json()).await),
        Export::CopyTable => copied(services::copy(&export::to_table(records).to_tsv()).await),
        Export::SaveJson => {
            let name = name("json");
            saved(name.clone(), services::save(&name, "application/json", &json()))
        }
        Export::SaveCsv => {
            let (name, csv) = (name("csv"), export::to_table(records).to_csv());
            saved(
                name.clone(),
                services::save(&name, "text/csv;charset=utf-8", &format!("{BYTE_ORDER_MARK}{csv}")),
            )
        }
        Export::Picture => {
            let name = export::file_name(std::slice::from_ref(record), "png");
            match poster::give(url, record, &name).await {
                Ok(poster::Given::Shared) => strings::SHARED_PICTURE.to_string(),
                Ok(poster::Given::Kept) => String::new(),
                Ok(poster::Given::Saved) => saved(name, Ok(())),
                Err(error) => saved(name, Err(error)),
            }
        }
    }
}

/// Draws the page, in the reader's language where its file comes soon.
pub fn start() {
    let render = || drop(yew::Renderer::<Page>::new().render());
    if services::wanted_language(services::stored_language()) == Language::En {
        render();
    } else {
        spawn_local(async move {
            services::begin_speaking().await;
            render();
        });
    }
}

#[component]
pub fn Page() -> Html {
    let page = use_reducer(first_state);
    let (spoken, n_heard) = use_speech(&page);
    let pictures = use_memo((), |()| Pictures::default());
    let tell_worker = use_engine(&page, &pictures);
    let show = use_show(&page, &pictures);
    let take = use_take(&page, &pictures, &show);
    let is_over = use_intake(&take);
    use_handed(&take);
    let control = use_camera(&page, &pictures, &show);
    use_stored(&page);
    use_gpu_watch(&page);
    use_elsewhere(&page);
    let is_coming = use_last_picture(&page, &pictures);
    use_recent(&page, &pictures);
    use_steps(&page);
    use_kept_focus();
    use_screen_keyboard();
    let is_touch = use_memo((), |()| services::matches_media("(pointer: coarse)"));
    let open = use_state(|| None::<Open>);
    use_downloader(&page, &pictures);
    use_device(&page);
    use_catalogue(&page, *open == Some(Open::Models) || page.wants_catalogue());
    let file_input = use_node_ref();
    let label_input = use_node_ref();

    let send = {
        let tell = page.dispatcher();
        use_callback((), move |action: Action, ()| tell.dispatch(action))
    };
    let cancel = {
        let (send, tell_worker, id) = (send.clone(), tell_worker.clone(), page.loading.load_generation);
        Callback::from(move |()| {
            tell_worker.emit(Request::CancelLoad { id });
            send.emit(Action::CancelLoad);
        })
    };
    let cancel_ranking = {
        let (send, tell_worker, id) = (send.clone(), tell_worker.clone(), page.ranking.question_id);
        Callback::from(move |()| {
            tell_worker.emit(Request::Cancel { id });
            send.emit(Action::CancelRanking);
        })
    };
    let forget = tell_worker.reform(|()| Request::Forget);
    let choose_file = {
        let input = file_input.clone();
        Callback::from(move |()| input.cast::<HtmlElement>().iter().for_each(HtmlElement::click))
    };
    let take_files = {
        let take = take.clone();
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            // Emptying the input empties its list, and lets the same file be chosen again.
            take.emit((Arrival::chosen(input.files()), Place::Page));
            input.set_value("");
        })
    };
    let sample = {
        let (send, show) = (send.clone(), show.clone());
        Callback::from(move |idx: usize| {
            let (send, show, sample) = (send.clone(), show.clone(), &SAMPLES[idx]);
            spawn_local(async move {
                match services::sample(sample.file).await {
                    Ok(blob) => show.emit(vec![(blob, sample.name.to_owned())]),
                    Err(problem) => send.emit(Action::Fail(problem)),
                }
            });
        })
    };
    let on_broken = {
        let (send, pictures) = (send.clone(), pictures.clone());
        Callback::from(move |picture: u64| {
            let file = pictures.get(picture).and_then(|file| file.dyn_into::<Blob>().ok());
            let (send, Some(file)) = (send.clone(), file) else { return };
            spawn_local(async move {
                send.emit(Action::Broken { picture, problem: services::broken_picture(&file).await });
            });
        })
    };
    let share = {
        let (send, settings) = (send.clone(), page.settings.clone());
        Callback::from(move |()| {
            let Some(address) = services::share_address(&settings) else { return };
            let send = send.clone();
            spawn_local(async move {
                let is_copied = services::copy(&address).await;
                send.emit(Action::Say(if is_copied { strings::SHARED } else { strings::SHARED_BAR }));
            });
        })
    };
    let exported = use_state(String::new);
    let export = {
        let exported = exported.setter();
        let page = page.clone();
        let url = page.stage.picture.as_ref().map(|picture| picture.url.clone());
        Callback::from(move |export: Export| {
            let (records, exported) = (records(&page), exported.clone());
            let url = url.clone().unwrap_or_default();
            spawn_local(async move { exported.set(run_export(export, &records, &url).await) });
        })
    };
    let opener = |which: Open| {
        let open = open.setter();
        Callback::from(move |()| open.set(Some(which)))
    };
    let open_models = {
        let (open, send) = (open.setter(), send.clone());
        Callback::from(move |()| {
            open.set(Some(Open::Models));
            send.emit(Action::Pick(Pick::Open));
        })
    };
    let open_sees = {
        let (open, send) = (open.setter(), send.clone());
        Callback::from(move |()| {
            open.set(Some(Open::Sees));
            send.emit(Action::Look);
        })
    };
    let on_key = {
        let (send, open, page, label_input) =
            (send.clone(), open.setter(), page.clone(), label_input.clone());
        let (choose_file, open_models, shoot) =
            (choose_file.clone(), open_models.clone(), control.shoot.clone());
        Callback::from(move |key: String| {
            match key.to_ascii_lowercase().as_str() {
                "?" => open.set(Some(Open::Shortcuts)),
                "d" => open.set(Some(Open::Details)),
                "o" => choose_file.emit(()),
                "l" => label_input.cast::<HtmlElement>().iter().for_each(|input| drop(input.focus())),
                "c" if page.stage.camera == Camera::Off => send.emit(Action::OpenCamera),
                "c" => send.emit(Action::CloseCamera(Stop::Asked)),
                " " if matches!(page.stage.camera, Camera::On { .. }) => shoot.emit(()),
                "m" => open_models.emit(()),
                "s" => send.emit(Action::Edit(Edit::Mode(match page.settings.mode {
                    Mode::Softmax => Mode::Independent,
                    Mode::Independent => Mode::Softmax,
                }))),
                _ => return false,
            }
            true
        })
    };
    use_keys(page.settings.has_shortcuts, on_key);

    let settled = page.ranking.answer.as_ref().filter(|_| page.phase() == Phase::Settled);
    let retry = match &page.loading.engine {
        Engine::Failed(problem) if problem.code == Code::LoadCancelled => strings::LOAD_MODEL,
        _ if page.loading.model.is_starter() => strings::RETRY,
        _ => strings::USE_STARTER,
    };
    let alert = |problem: &Problem, retry: (Text, Action), dismiss: Option<Action>| {
        html! { <Alert problem={problem.clone()} send={send.clone()} {retry} {dismiss} /> }
    };
    let of_page = page.notices.problem.as_ref();
    let of_page =
        of_page.map(|problem| alert(problem, (strings::RETRY, Action::Retry), Some(Action::DismissProblem)));
    let put_away = || Some(Action::Pick(Pick::Dismiss));
    let of_engine = match &page.loading.engine {
        Engine::Failed(problem) => alert(problem, (retry, Action::Retry), None),
        _ => Html::default(),
    };
    let picker_problem = page.picker.problem.as_ref();
    let of_picker =
        picker_problem.map(|problem| alert(problem, (strings::RETRY, Action::Pick(Pick::Open)), put_away()));
    let of_job = page.picker.job.as_ref().and_then(|job| match &job.phase {
        JobPhase::Failed(problem) => {
            let again = if page.picker.bytes_at_stake() > 0 { strings::RESUME } else { strings::RETRY };
            Some(alert(problem, (again, Action::Pick(Pick::Again)), put_away()))
        }
        _ => None,
    });
    // Behind an open dialog nobody would read or hear them; that of the models tells of a download itself.
    let told = |place: Option<Open>| {
        if place != *open {
            return Default::default();
        }
        let of_job = of_job.clone().filter(|_| place != Some(Open::Models));
        let alerts = html! { <>{ of_page.clone() }{ of_picker.clone() }{ of_engine.clone() }{ of_job }</> };
        let next = if place.is_some() { "dialog-close" } else { "chip-edit" };
        (alerts, html! { <Toasts toasts={page.notices.toasts.clone()} {next} send={send.clone()} /> })
    };
    let dialog = |which: Open, name: &'static str, title: Text, inside: Html| {
        let on_close = {
            let open = open.clone();
            // A dialog that gave way to another tells of its end when that one is open already.
            let send = send.clone();
            Callback::from(move |()| {
                if *open == Some(which) {
                    open.set(None);
                }
                if which == Open::Sees {
                    send.emit(Action::StopLooking);
                }
            })
        };
        let (alerts, toasts): (Html, Html) = told(Some(which));
        html! {
            <Dialog {name} {title} is_open={*open == Some(which)} {on_close} announcement={page.notices.announcement.clone()} {alerts} {toasts}>{ inside }</Dialog>
        }
    };
    let sees = match (&page.look, &page.stage.picture, page.loading.card()) {
        (Some(look), Some(picture), card) => {
            let (fit, inside) = card.map_or((Fit::Crop, 1.0), |card| (card.info.fit, card.info.inside));
            html! { <Sees look={look.clone()} {fit} {inside} url={picture.url.clone()} send={send.clone()} /> }
        }
        _ => Html::default(),
    };
    let recommended = page.recommended();
    let (alerts, toasts) = told(None);
    let wires = Wires {
        send: send.clone(),
        control,
        is_over,
        label_input,
        on_open: choose_file,
        on_sample: sample,
        on_show: show,
        on_sees: open_sees.clone(),
        on_broken,
        on_cancel: cancel,
        on_cancel_ranking: cancel_ranking,
        is_touch: *is_touch,
        is_coming,
        alerts,
        toasts,
    };
    html! {
        <ContextProvider<Language> context={spoken}>
        <div class="page" data-next="lines open">
            <Header engine={page.loading.engine.clone()} model={page.loading.model.clone()} job={page.picker.job.clone()} offer={recommended.clone()}
                on_models={open_models.clone()} on_details={opener(Open::Details)} on_shortcuts={opener(Open::Shortcuts)} on_share={share} />
            <main>
                { ranking::view(&page, wires) }
                <input type="file" class="sr" ref={file_input} data-testid="file-input" accept="image/*" multiple=true tabindex="-1" aria-hidden="true" aria-label={strings::OPEN} onchange={take_files.clone()} />
            </main>
            <footer class="foot">
                <button type="button" class="quiet-link" data-testid="privacy" onclick={opener(Open::Privacy).reform(|_: MouseEvent| ())}>
                    { icon("lock") }{ strings::PRIVACY }
                </button>
                <LanguageChoice {spoken} {n_heard} send={send.clone()} />
            </footer>
            <p class="sr" role="status" aria-live="polite" data-testid="announcement">{ &page.notices.announcement }</p>
            { dialog(Open::Details, "details", strings::DETAILS, html! {
                <Details card={page.loading.card().cloned()} backend={(page.settings.backend, page.settings.gpu_trouble)} send={send.clone()} model={page.loading.model.clone()} answer={settled.cloned()} on_export={export} exported={(*exported).clone()} on_models={open_models}
                    on_sees={page.stage.picture.is_some().then_some(open_sees)} />
            }) }
            { dialog(Open::Models, "models", strings::MODELS, html! {
                <Models picker={page.picker.clone()} settings={page.settings.clone()} model={page.loading.model.clone()} offer={recommended}
                    is_loading={matches!(page.loading.engine, Engine::Starting | Engine::Loading(_))}
                    on_files={take_files} on_forget={forget} send={send.clone()} />
            }) }
            { dialog(Open::Sees, "sees", strings::SEES, sees) }
            { dialog(Open::Privacy, "privacy", strings::PRIVACY_TITLE, privacy(page.settings.keeps_recent, &send)) }
            { dialog(Open::Shortcuts, "shortcuts", strings::SHORTCUTS, shortcuts(page.settings.has_shortcuts, &send)) }
        </div>
        </ContextProvider<Language>>
    }
}
