//! Dialogs: details of model, device and times; how to check what is promised; keys.
//!
//! Invariant: the browser's own `dialog`: it keeps the focus inside, closes on Esc and gives the focus back.
//! Invariant: behind an open dialog nobody reads, hears or presses anything: what the page has to say it says inside.

use super::icon::{Button, bar, room};
use crate::app::edits::Edit;
use crate::app::hooks::{use_language, use_window};
use crate::app::language::Text;
use crate::app::loading::Model;
use crate::app::services;
use crate::app::settings::GpuTrouble;
use crate::app::state::Action;
use crate::app::strings;
use crate::app::window::LONG;
use crate::facts::BackendChoice;
use crate::worker::problem::Problem;
use crate::worker::protocol::{Answer, Card, StageTime};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlDialogElement};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct DialogProps {
    pub name: &'static str,
    pub title: Text,
    pub is_open: bool,
    pub on_close: Callback<()>,
    /// For a screen reader, what went wrong, and notices.
    pub announcement: String,
    pub alerts: Html,
    pub toasts: Html,
    pub children: Html,
}

#[component]
pub fn Dialog(props: &DialogProps) -> Html {
    use_language();
    let dialog = use_node_ref();
    {
        let dialog = dialog.clone();
        use_effect_with(props.is_open, move |is_open| {
            let Some(dialog) = dialog.cast::<HtmlDialogElement>() else { return };
            match (is_open, dialog.open()) {
                (true, false) => drop(dialog.show_modal()),
                (false, true) => dialog.close(),
                _ => {}
            }
        });
    }
    let title_id = format!("title-{}", props.name);
    let close = props.on_close.reform(|_: MouseEvent| ());
    // A press beside the dialog lands on the dialog element itself: its inside and its notices fill it.
    let beside = {
        let on_close = props.on_close.clone();
        Callback::from(move |event: MouseEvent| {
            let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
            if target.is_some_and(|target| target.is_instance_of::<HtmlDialogElement>()) {
                on_close.emit(());
            }
        })
    };
    html! {
        <dialog ref={dialog} class={props.name} data-testid={format!("dialog-{}", props.name)} aria-labelledby={title_id.clone()}
            onclose={props.on_close.reform(|_: Event| ())} onclick={beside}>
            <div class="inside">
                <div class="dialog-head">
                    <h2 id={title_id}>{ props.title }</h2>
                    <Button icon="close" label={strings::CLOSE} testid="dialog-close" has_text={false} onclick={close} />
                </div>
                <p class="sr" role="status">{ &props.announcement }</p>
                if props.is_open { { props.alerts.clone() }{ props.children.clone() } }
            </div>
            if props.is_open { { props.toasts.clone() } }
        </dialog>
    }
}

/// What can be done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    CopyJson,
    CopyTable,
    SaveJson,
    SaveCsv,
    /// The photo with its bars.
    Picture,
}

#[derive(PartialEq, Properties)]
pub struct DetailsProps {
    pub card: Option<Card>,
    /// What was chosen, and whether the graphics processor is left alone nevertheless.
    pub backend: (BackendChoice, Option<GpuTrouble>),
    pub send: Callback<Action>,
    pub model: Model,
    pub answer: Option<Rc<Answer>>,
    pub on_export: Callback<Export>,
    /// What became of the last export.
    pub exported: String,
    pub on_models: Callback<()>,
    /// Shows what the model sees, where there is a picture.
    pub on_sees: Option<Callback<()>>,
}

#[component]
pub fn Details(props: &DetailsProps) -> Html {
    use_language();
    html! {
        <>
            { match &props.answer {
                Some(answer) => scores(props, answer),
                None => html! { <p class="hint">{ strings::DETAILS_NO_ANSWER }</p> },
            } }
            { match &props.card {
                Some(card) => model_card(card, props),
                None => html! { <><p class="hint">{ strings::DETAILS_NO_MODEL }</p>{ backend_choice(props) }</> },
            } }
            <div class="row">
                <Button icon="box" label={strings::OPEN_MODELS} testid="models" onclick={props.on_models.reform(|_| ())} />
                if let Some(on_sees) = &props.on_sees {
                    <Button icon="eye" label={strings::SEES} testid="sees" onclick={on_sees.reform(|_| ())} />
                }
                if let Some(builder) = services::builder_address() {
                    <a class="button" data-testid="builder" href={builder}>{ strings::BUILDER }</a>
                }
            </div>
        </>
    }
}

fn scores(props: &DetailsProps, answer: &Rc<Answer>) -> Html {
    let export = |export: Export| props.on_export.reform(move |_: MouseEvent| export);
    html! {
        <>
            <h3>{ strings::DETAILS_TIMES }</h3>
            { times(&answer.stages) }
            <h3>{ strings::DETAILS_SCORES }</h3>
            <Scores answer={answer.clone()} />
            <div class="row">
                <Button icon="copy" label={strings::COPY_TABLE} testid="copy-table" onclick={export(Export::CopyTable)} />
                <Button icon="copy" label={strings::COPY_JSON} testid="copy-json" onclick={export(Export::CopyJson)} />
                <Button icon="download" label={strings::SAVE_CSV} testid="save-csv" onclick={export(Export::SaveCsv)} />
                <Button icon="download" label={strings::SAVE_JSON} testid="save-json" onclick={export(Export::SaveJson)} />
                if props.on_sees.is_some() {
                    <Button icon="share" label={strings::SAVE_PICTURE} testid="save-picture" onclick={export(Export::Picture)} />
                }
            </div>
            <p class="exported" role="status" data-testid="exported">{ &props.exported }</p>
        </>
    }
}

#[derive(PartialEq, Properties)]
struct ScoresProps {
    answer: Rc<Answer>,
}

#[component]
fn Scores(props: &ScoresProps) -> Html {
    use_language();
    let lines = &props.answer.ranked.labels;
    let table = use_node_ref();
    let is_long = lines.len() > LONG;
    let (window, onscroll) = use_window(&table, lines.len(), is_long);
    let drawn = if is_long { window.rows() } else { 0..lines.len() };
    let (above, below) = window.room();
    let room = |pixels: f64, which: &'static str| {
        is_long.then(|| html! { <tr key={which} class="room" aria-hidden="true"><td colspan="3">{ room(pixels) }</td></tr> })
    };
    let row = |idx: usize| {
        let line = &lines[idx];
        html! {
            <tr key={idx} data-row={idx.to_string()}><th scope="row" dir="auto">{ strings::label_or_none(line.label.as_deref()) }</th>
                <td>{ strings::percent(line.probability) }</td><td>{ strings::cosine(line.similarity) }</td></tr>
        }
    };
    html! {
        <div class={classes!("table", is_long.then_some("long"))} role="region" aria-label={strings::DETAILS_SCORES} tabindex="0" ref={table} {onscroll}><table>
            <thead><tr><th scope="col">{ strings::COLUMN_LABEL }</th><th scope="col">{ strings::COLUMN_PERCENT }</th>
                <th scope="col">{ strings::COLUMN_SIMILARITY }</th></tr></thead>
            <tbody>{ room(above, "above") }{ for drawn.map(row) }{ room(below, "below") }</tbody>
        </table></div>
    }
}

fn times(stages: &[StageTime]) -> Html {
    let longest = stages.iter().map(|stage| stage.millis).fold(0.1, f64::max);
    html! {
        <ul class="times">{ for stages.iter().map(|stage| html! {
            <li data-stage={stage.name.clone()} data-millis={format!("{:.3}", stage.millis)}><span>{ strings::stage(&stage.name) }</span>{ bar(stage.millis / longest) }<span class="millis">{ strings::millis(stage.millis) }</span></li>
        }) }</ul>
    }
}

/// Which processor computes; while the graphics processor is left alone, none is pressed but the processor.
fn backend_choice(props: &DetailsProps) -> Html {
    let (chosen, trouble) = &props.backend;
    let in_use = if trouble.is_some() { BackendChoice::Cpu } else { *chosen };
    html! {
        <div class="row" role="group" aria-label={strings::BACKEND} data-testid="backend">
            <span class="hint">{ strings::BACKEND }</span>
            { for strings::BACKENDS.iter().map(|(choice, testid, name)| {
                let choice = *choice;
                let onclick = props.send.reform(move |_: MouseEvent| Action::Edit(Edit::Backend(choice)));
                html! {
                    <button type="button" class="button" data-testid={*testid} aria-pressed={(choice == in_use).to_string()} {onclick}>{ *name }</button>
                }
            }) }
        </div>
    }
}

/// Why it is not the graphics processor: in plain words, and behind them what the browser says.
fn why_cpu(problem: &Problem) -> Html {
    let strings::Advice { title, todo, .. } = strings::advice(problem.code);
    html! {
        <div data-testid="why-cpu" data-code={problem.code.name()}>
            { format!("{title}. {todo}") }
            <details><summary>{ strings::WHY_CPU_DETAIL }</summary><p class="detail">{ &problem.detail }</p></details>
        </div>
    }
}

fn model_card(card: &Card, props: &DetailsProps) -> Html {
    let model = &props.model;
    let about = &card.info.about;
    let fact = |name: Text, value: Html| html! { <><dt>{ name }</dt><dd dir="auto">{ value }</dd></> };
    let text = |text: &str| html! { { text } };
    let optional =
        |name, value: &str| if value.is_empty() { Html::default() } else { fact(name, text(value)) };
    let size = strings::measures(card);
    html! {
        <>
            <h3>{ strings::DETAILS_DEVICE }</h3>
            <dl>
                { fact(strings::FACT_RUNS_ON, text(&strings::device(card))) }
                { fact(strings::FACT_CHECKED, text(&strings::self_test_figure(card).unwrap_or_else(|| strings::self_test(card).to_owned()))) }
                { fact(strings::FACT_LOADED, text(&strings::millis(card.info.load_millis))) }
                if let Some(problem) = &card.fallback { { fact(strings::FACT_WHY_CPU, why_cpu(problem)) } }
            </dl>
            { backend_choice(props) }
            <h3>{ strings::DETAILS_MODEL }</h3>
            <dl>
                { optional(strings::FACT_NAME, &about.name) }
                { optional(strings::FACT_ABOUT, &about.description) }
                { optional(strings::FACT_ACCURACY, &about.accuracy) }
                { optional(strings::FACT_LICENCE, &about.license) }
                if !about.sources.is_empty() {
                    { fact(strings::FACT_SOURCES, html! { <ul>{ for about.sources.iter().map(|source| html! { <li>{ source }</li> }) }</ul> }) }
                }
                { fact(strings::FACT_FILE, text(&card.file)) }
                { fact(strings::FACT_FILE_CHECK, text(strings::file_check(model))) }
                { fact(strings::FACT_SIZE, text(&size)) }
                { fact(strings::FACT_CHECKSUM, html! { <code>{ &card.sha256 }</code> }) }
            </dl>
        </>
    }
}

/// How a reader can check that pictures stay.
pub fn privacy(keeps_recent: bool, send: &Callback<Action>) -> Html {
    let change = send.reform(move |_: Event| Action::Edit(Edit::KeepsRecent(!keeps_recent)));
    html! {
        <>
            <ul class="lines-of-text">{ for strings::PRIVACY_LINES.iter().map(|line| html! { <li>{ *line }</li> }) }</ul>
            <label class="choice"><input type="checkbox" data-testid="keeps-recent" checked={keeps_recent} onchange={change} />
                <span>{ strings::KEEPS_RECENT }</span></label>
        </>
    }
}

pub fn shortcuts(is_on: bool, send: &Callback<Action>) -> Html {
    let change = send.reform(move |_: Event| Action::Edit(Edit::HasShortcuts(!is_on)));
    html! {
        <>
            <dl class="keys">{ for strings::SHORTCUT_LIST.iter().map(|(keys, what)| html! {
                <><dt>{ for keys.split(' ').map(|key| html! { <kbd>{ strings::key(key) }</kbd> }) }</dt><dd>{ *what }</dd></>
            }) }</dl>
            <label class="choice"><input type="checkbox" data-testid="has-shortcuts" checked={is_on} onchange={change} />
                <span>{ strings::SHORTCUTS_ON }</span></label>
        </>
    }
}
