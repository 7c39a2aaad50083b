//! The model picker: what is in use and stored, what runs, what else there is.
//!
//! Invariant: nothing that took long to get is deleted by one press.
//! Invariant: the host that is talked to, and what it learns, stand beside the buttons that make it happen.

use super::picker::{CatalogueState, ModelJob, Offer, Phase, Pick, Picker, What};
use super::recommend::{OrderedCatalogue, kept_bytes};
use crate::app::edits::Edit;
use crate::app::hooks::use_language;
use crate::app::loading::Model;
use crate::app::parts::deletion::{Deletion, focus};
use crate::app::parts::icon::{Button, bar, icon};
use crate::app::parts::messages::Alert;
use crate::app::parts::offer::OfferLine;
use crate::app::settings::Settings;
use crate::app::state::Action;
use crate::app::strings;
use crate::convert::catalogue::Entry;
use crate::convert::source::{self, DEFAULT_HUB, SourceError};
use crate::worker::problem::Problem;
use crate::worker::protocol::{StoredFormat, StoredModel, Unfinished};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct ModelsProps {
    pub picker: Picker,
    pub settings: Settings,
    pub model: Model,
    /// The model in use is not ready yet.
    pub is_loading: bool,
    /// The recommended model, while the starter ranks.
    pub offer: Option<Offer>,
    pub on_files: Callback<Event>,
    pub on_forget: Callback<()>,
    pub send: Callback<Action>,
}

#[component]
pub fn Models(props: &ModelsProps) -> Html {
    use_language();
    let ModelsProps { picker, settings, send, .. } = props;
    let host = source::host(&settings.hub()).to_owned();
    let file_input = use_node_ref();
    // What is pressed here often goes away by it; the focus goes to what came of it, or stays nearby.
    let job_id = picker.job.as_ref().map(|job| job.id);
    let shown_job = use_mut_ref(|| job_id);
    use_effect_with((job_id, props.model.clone(), picker.stored().len()), move |(job_id, ..)| {
        let is_new = shown_job.replace(*job_id) != *job_id;
        let focused = gloo::utils::document().active_element();
        if is_new && job_id.is_some() {
            focus("models-job");
        } else if focused.is_none_or(|focused| focused.tag_name() == "BODY") {
            focus("models-stored");
        }
    });
    html! {
        <>
            if let Some(job) = &picker.job { { job_card(job, picker.bytes_at_stake(), send) } }
            if let Some(offer) = &props.offer { <OfferLine offer={offer.clone()} send={send.clone()} /> }
            <h3 id="models-stored" tabindex="-1">{ strings::STORED }</h3>
            { stored(props) }
            <h3>{ strings::CATALOGUE }</h3>
            <p class="hint">{ strings::host_note(&host) }</p>
            { catalogue(props) }
            { by_id(props) }
            { from_file(props, file_input) }
            { options(props) }
        </>
    }
}

fn press(send: &Callback<Action>, action: Action) -> Callback<MouseEvent> {
    send.reform(move |_| action.clone())
}

/// What is under way, or why it stopped.
fn job_card(job: &ModelJob, bytes_at_stake: u64, send: &Callback<Action>) -> Html {
    let pick = |pick: Pick| press(send, Action::Pick(pick));
    let is_download = matches!(job.what, What::Order(_));
    let stage = match job.phase {
        Phase::Paused => strings::DOWNLOAD_PAUSED.get(),
        Phase::Failed(_) => strings::DOWNLOAD_STOPPED.get(),
        _ => strings::fetch_stage(job.progress.stage),
    };
    let fraction = job.fraction();
    let is_waiting = fraction.is_none() && !job.is_stopped();
    let state = match job.phase {
        Phase::Running | Phase::Pausing => "running",
        Phase::Paused => "paused",
        Phase::Failed(_) => "failed",
    };
    let (again, cancel) = match bytes_at_stake {
        0 => (strings::RETRY, strings::DISMISS),
        _ => (strings::RESUME, strings::DISCARD),
    };
    let label = if job.is_stopped() { cancel } else { strings::CANCEL };
    let can_retry = match &job.phase {
        Phase::Failed(problem) => strings::advice(problem.code).can_retry,
        _ => true,
    };
    html! {
        <section class="job" id="models-job" tabindex="-1" data-testid="job" data-state={state} aria-label={job.name.clone()}>
            <p class="title">{ &job.name }<span class="bytes">{ stage }</span></p>
            <div class={classes!("progress", is_waiting.then_some("waiting"))} role="progressbar" aria-label={job.name.clone()}
                aria-valuemin="0" aria-valuemax="100" aria-valuenow={fraction.map(|fraction| format!("{:.0}", 100.0 * fraction))}>
                { bar(fraction.unwrap_or(if is_waiting { 0.3 } else { 0.0 })) }
            </div>
            <p class="hint figures" data-testid="job-figures">{ strings::fetch_figures(job) }</p>
            if let Phase::Failed(problem) = &job.phase { { failure(problem) } }
            <div class="row">
                { match job.phase {
                    Phase::Running | Phase::Pausing if is_download => html! {
                        <Button icon="pause" label={strings::PAUSE} testid="job-pause" onclick={pick(Pick::Pause)} />
                    },
                    Phase::Paused | Phase::Failed(_) if can_retry => html! {
                        <Button icon="retry" label={again} testid="job-resume" class="primary" onclick={pick(Pick::Again)} />
                    },
                    _ => Html::default(),
                } }
                <Deletion icon="close" {label} about={job.name.clone()} testid="job-cancel"
                    question={strings::discard_question(bytes_at_stake)} is_light={bytes_at_stake == 0} action={Action::Pick(Pick::Cancel)} send={send.clone()} />
            </div>
        </section>
    }
}

fn failure(problem: &Problem) -> Html {
    let strings::Advice { title, todo, .. } = strings::advice(problem.code);
    html! {
        <div class="failure" role="alert" data-testid="job-problem" data-code={problem.code.name()}>
            { icon("alert") }
            <div>
                <p class="title">{ title }</p><p>{ todo }</p>
                <details><summary>{ problem.code.name() }</summary><p class="detail">{ &problem.detail }</p></details>
            </div>
        </div>
    }
}

fn stored(props: &ModelsProps) -> Html {
    let ModelsProps { picker, model, .. } = props;
    let starter = html! {
        <li class="model" key="" data-testid="model-row" data-key="starter">
            <div><p class="title">{ strings::STARTER }</p><p class="hint">{ strings::STARTER_ABOUT }</p></div>
            <div class="row">
                { use_button(props, &strings::STARTER, "model-starter", Model::Starter) }
                <Button icon="trash" label={strings::FORGET} testid="forget" has_text={false} onclick={props.on_forget.reform(|_| ())} />
            </div>
        </li>
    };
    let file = match model {
        Model::File { name, .. } => html! {
            <li class="model" key="file" data-testid="model-row" data-key="file">
                <div><p class="title">{ name }</p><p class="hint">{ strings::FILE_NOT_KEPT }</p></div>
                <div class="row">{ use_button(props, name, "model-use", model.clone()) }</div>
            </li>
        },
        _ => Html::default(),
    };
    html! {
        <>
            <ul class="models-list">
                { starter }
                { file }
                { for picker.stored().iter().map(|stored| stored_model(props, stored)) }
                { for picker.unfinished().map(|unfinished| unfinished_model(props, unfinished)) }
            </ul>
            <p class="hint" data-testid="room">{ match &picker.store {
                None => strings::STORED_UNKNOWN.to_string(),
                Some(store) => {
                    let keeping = if store.is_persistent { strings::PERSISTENT } else { strings::NOT_PERSISTENT };
                    let room = strings::room(store).unwrap_or_default();
                    if store.models.is_empty() { room } else { format!("{room} {keeping}") }
                }
            } }</p>
        </>
    }
}

/// The way to a model, or that it is the one in use.
fn use_button(props: &ModelsProps, name: &str, testid: &'static str, model: Model) -> Html {
    let is_in_use = match (&props.model, &model) {
        (Model::Stored(used), Model::Stored(this)) => used.key == this.key,
        (used, this) => used == this,
    };
    let about = Some(AttrValue::from(name.to_owned()));
    match (is_in_use, props.is_loading) {
        (false, _) => html! {
            <Button icon="check" label={strings::USE} {about} {testid} onclick={press(&props.send, Action::UseModel(model))} />
        },
        (true, false) => {
            html! { <span class="in-use" data-testid="in-use">{ icon("check") }{ strings::IN_USE }</span> }
        }
        (true, true) => html! { <span class="in-use">{ strings::LOADING }</span> },
    }
}

fn stored_model(props: &ModelsProps, stored: &StoredModel) -> Html {
    let name = props.picker.name_of(stored);
    let figures = strings::stored_figures(stored, stored.vouched);
    let model = Model::Stored(props.picker.chosen(stored));
    let is_in_use = props.model.has_key(&stored.key);
    let question = strings::delete_question(&name, stored.bytes, is_in_use);
    let delete = Action::Pick(Pick::Delete(stored.key.clone()));
    html! {
        <li class="model" key={stored.key.clone()} data-testid="model-row" data-key={stored.key.clone()}>
            <div><p class="title">{ &name }</p><p class="hint">{ figures }</p></div>
            <div class="row">
                { use_button(props, &name, "model-use", model) }
                <Deletion icon="trash" label={strings::DELETE} about={name} testid="model-delete" {question} action={delete} send={props.send.clone()} />
            </div>
        </li>
    }
}

fn unfinished_model(props: &ModelsProps, unfinished: &Unfinished) -> Html {
    let Unfinished { key, order, done, total } = unfinished;
    let name = props.picker.name(&order.source);
    let delete = Action::Pick(Pick::Delete(key.clone()));
    let resume = Action::Pick(Pick::Resume(order.clone()));
    html! {
        <li class="model" key={key.clone()} data-testid="unfinished" data-key={key.clone()}>
            <div><p class="title">{ &name }</p><p class="hint">{ strings::unfinished(*done, *total) }</p></div>
            <div class="row">
                <Button icon="retry" label={strings::RESUME} about={Some(AttrValue::from(name.clone()))} testid="unfinished-resume"
                    is_disabled={props.picker.is_busy()} onclick={press(&props.send, resume)} />
                <Deletion icon="trash" label={strings::DISCARD} about={name} testid="unfinished-discard" question={strings::discard_question(*done)}
                    action={delete} send={props.send.clone()} />
            </div>
        </li>
    }
}

fn catalogue(props: &ModelsProps) -> Html {
    match &props.picker.catalogue {
        CatalogueState::Unread => html! { <p class="hint">{ strings::CATALOGUE_UNREAD }</p> },
        CatalogueState::Missing(problem) => {
            let again = Action::Pick(Pick::ReadAgain);
            html! { <Alert problem={problem.clone()} send={props.send.clone()} retry={(strings::RETRY, again)} dismiss={None} /> }
        }
        CatalogueState::Here(_) => {
            let OrderedCatalogue { entries, recommended } = props.picker.ordered(&props.settings);
            let is_recommended = |entry: &Entry| recommended.is_some_and(|other| other.id == entry.id);
            html! {
                <>
                    <ul class="models-list ordered">{
                        for entries.into_iter().map(|entry| shelved(props, entry, is_recommended(entry)))
                    }</ul>
                    <p class="hint">{ strings::CATALOGUE_NOTE }</p>
                </>
            }
        }
    }
}

fn shelved(props: &ModelsProps, entry: &Entry, is_recommended: bool) -> Html {
    let ModelsProps { picker, settings, send, .. } = props;
    let is_here = |stored: &&StoredModel| stored.source == entry.source() && stored.format == settings.format;
    let about = Some(AttrValue::from(entry.name.clone()));
    let button = match picker.stored().iter().find(is_here) {
        Some(stored) => use_button(props, &entry.name, "model-use", Model::Stored(picker.chosen(stored))),
        None => html! {
            <Button icon="download" label={strings::DOWNLOAD} {about} testid="model-download" is_disabled={picker.is_busy()}
                onclick={press(send, Action::Pick(Pick::Download(entry.id.clone())))} />
        },
    };
    let link = |address: &str, text: String| {
        html! { <a href={address.to_owned()} target="_blank" rel="noopener noreferrer">{ text }</a> }
    };
    html! {
        <li class="model" key={entry.id.clone()} data-testid="shelved" data-id={entry.id.clone()}
            data-recommended={is_recommended.to_string()}>
            <div>
                <p class="title">{ &entry.name }
                    if is_recommended { <span class="tag" data-testid="recommended">{ strings::RECOMMENDED }</span> }
                </p>
                <p class="sizes">{ strings::costs(entry.n_bytes(), kept_bytes(entry, settings.format)) }</p>
                <p dir="auto">{ &entry.about }</p>
                <p class="hint facts">
                    <span>{ link(&entry.imagenet.source, strings::accuracy(entry.imagenet.top1)) }</span>
                    <span>{ link(&entry.license.source, entry.license.name.clone()) }</span>
                    <span>{ strings::languages(&entry.languages) }</span>
                </p>
            </div>
            <div class="row">{ button }</div>
        </li>
    }
}

fn by_id(props: &ModelsProps) -> Html {
    let ModelsProps { picker, settings, send, .. } = props;
    let source = picker.source(settings);
    let oninput = send.reform(|event: InputEvent| Action::Pick(Pick::Typed(value_of(&event))));
    let onkeydown = send.clone();
    let onkeydown = Callback::from(move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            onkeydown.emit(Action::Pick(Pick::DownloadTyped));
        }
    });
    let (is_wrong, hint) = match &source {
        Ok(source) => (false, strings::will_fetch(source, &settings.hub())),
        Err(SourceError::Empty) => (false, strings::BY_ID_HINT.to_string()),
        Err(error) => (true, error.to_string()),
    };
    html! {
        <section class="by-id">
            <h3><label for="model-id">{ strings::BY_ID }</label></h3>
            <div class="with-button">
                <input type="text" class="field" id="model-id" data-testid="model-id" value={picker.typed.clone()} placeholder={strings::BY_ID_EXAMPLE}
                    aria-invalid={is_wrong.to_string()} aria-describedby="model-id-hint" inputmode="url" autocomplete="off" autocapitalize="none"
                    spellcheck="false" enterkeyhint="go" maxlength="500" {oninput} {onkeydown} />
                <Button icon="download" label={strings::DOWNLOAD} testid="model-id-download" is_disabled={source.is_err() || picker.is_busy()}
                    onclick={press(send, Action::Pick(Pick::DownloadTyped))} />
            </div>
            <p class={if is_wrong { "wrong" } else { "hint" }} id="model-id-hint" data-testid="model-id-hint">{ hint }</p>
        </section>
    }
}

fn value_of(event: &InputEvent) -> String {
    event.target().map(|target| target.unchecked_into::<HtmlInputElement>().value()).unwrap_or_default()
}

fn from_file(props: &ModelsProps, input: NodeRef) -> Html {
    let choose = {
        let input = input.clone();
        Callback::from(move |_: MouseEvent| input.cast::<HtmlElement>().iter().for_each(HtmlElement::click))
    };
    html! {
        <section class="from-file">
            <h3>{ strings::FROM_FILE }</h3>
            <div class="model">
                <p class="hint">{ strings::FROM_FILE_HINT }</p>
                <div class="row">
                    <Button icon="open" label={strings::CHOOSE_FILES} testid="model-open" is_disabled={props.picker.is_busy()} onclick={choose} />
                </div>
            </div>
            <input type="file" class="sr" ref={input} data-testid="model-input" accept=".gguf,.safetensors,.json" multiple=true tabindex="-1" aria-hidden="true"
                aria-label={strings::CHOOSE_FILES} onchange={props.on_files.clone()} />
        </section>
    }
}

fn options(props: &ModelsProps) -> Html {
    let ModelsProps { settings, send, .. } = props;
    let choice = |format: StoredFormat, testid: &'static str| {
        let (name, help) = strings::format_choice(format);
        html! {
            <label class="choice">
                <input type="radio" name="format" data-testid={testid} checked={settings.format == format}
                    onchange={send.reform(move |_: Event| Action::Edit(Edit::Format(format)))} />
                <span><b>{ name }</b><small>{ help }</small></span>
            </label>
        }
    };
    let error = source::parse_hub(&settings.hub).err().map(|error| error.to_string());
    let hint = error.clone().unwrap_or_else(|| strings::HUB_HINT.to_string());
    html! {
        <details class="compare" data-testid="model-options">
            <summary>{ icon("sliders") }<span>{ strings::MODEL_OPTIONS }</span>{ icon("down") }</summary>
            <fieldset>
                <legend>{ strings::FORMAT }</legend>
                { choice(StoredFormat::Q8_0, "format-q8_0") }
                { choice(StoredFormat::Q4_0, "format-q4_0") }
                { choice(StoredFormat::F16, "format-f16") }
            </fieldset>
            <fieldset>
                <legend><label for="hub">{ strings::HUB }</label></legend>
                <div class="with-button" data-next="hub">
                    <input type="text" class="field" id="hub" data-testid="hub" value={settings.hub.clone()} aria-invalid={error.is_some().to_string()}
                        aria-describedby="hub-hint" inputmode="url" autocomplete="off" autocapitalize="none" spellcheck="false" maxlength="200"
                        oninput={send.reform(|event: InputEvent| Action::Edit(Edit::Hub(value_of(&event))))} />
                    <Button icon="undo" label={strings::HUB_RESET} testid="hub-reset" is_disabled={settings.hub == DEFAULT_HUB}
                        onclick={press(send, Action::Edit(Edit::Hub(DEFAULT_HUB.to_owned())))} />
                </div>
                <p class={if error.is_some() { "wrong" } else { "hint" }} id="hub-hint" data-testid="hub-hint">{ hint }</p>
            </fieldset>
        </details>
    }
}
