//! The way to a better model, under the ranking: the offer, its download, and what it changed.
//!
//! Invariant: what an offer costs stands beside its button, downloaded and kept.
//! Invariant: the focus stays here while one of the three gives way to the next.

use crate::app::hooks::use_language;
use crate::app::language::Text;
use crate::app::loading::Engine;
use crate::app::models::picker::{ModelJob, Offer, Phase as JobPhase, Pick};
use crate::app::parts::deletion::Deletion;
use crate::app::parts::icon::{Button, bar};
use crate::app::parts::offer::OfferLine;
use crate::app::ranking::answer::{Line, Phase};
use crate::app::ranking::trial::Before;
use crate::app::state::{Action, State};
use crate::app::strings;
use crate::facts::RankedLabel;
use web_sys::{HtmlElement, Node};
use yew::prelude::*;

/// Lines of each answer that stand side by side.
const N_COMPARED: usize = 3;

/// What stands under the ranking.
#[derive(Debug, Clone, PartialEq)]
pub enum Better {
    Offered(Offer),
    /// Its download, and the bytes that would be lost with it.
    Coming(ModelJob, u64),
    /// It ranks now.
    Here {
        name: String,
        before: Option<Before>,
        phase: Phase,
        lines: Vec<Line>,
    },
}

impl Better {
    pub fn of(page: &State) -> Option<Self> {
        if let Some(job) = page.offered_job() {
            return Some(Better::Coming(job.clone(), page.picker.bytes_at_stake()));
        }
        match (&page.offering.trial, page.loading.model.name(), &page.loading.engine) {
            (Some(_), Some(name), engine) if !matches!(engine, Engine::Failed(_)) => {
                let before = page.before().cloned();
                Some(Better::Here { name, before, phase: page.phase(), lines: page.lines() })
            }
            _ => page.offer().map(Better::Offered),
        }
    }
}

#[derive(PartialEq, Properties)]
pub struct BetterProps {
    pub better: Option<Better>,
    pub send: Callback<Action>,
}

#[component]
pub fn BetterModel(props: &BetterProps) -> Html {
    use_language();
    let place = use_node_ref();
    let kind = props.better.as_ref().map(std::mem::discriminant);
    // A pressed button goes away with what it was part of, and the focus with it.
    let had_focus = has_focus(&place);
    let kept = place.clone();
    use_effect_with(kind, move |_| {
        let focused = gloo::utils::document().active_element();
        if had_focus && focused.is_none_or(|focused| focused.tag_name() == "BODY") {
            kept.cast::<HtmlElement>().iter().for_each(|place| drop(place.focus()));
        }
    });
    let inside = match &props.better {
        None => return html! { <div class="better empty" ref={place} data-next="lines"></div> },
        Some(Better::Offered(offer)) => {
            html! { <OfferLine offer={offer.clone()} can_dismiss=true send={props.send.clone()} /> }
        }
        Some(Better::Coming(job, bytes_at_stake)) => coming(job, *bytes_at_stake, &props.send),
        Some(Better::Here { name, before, phase, lines }) => {
            here(name, before.as_ref(), *phase, lines, &props.send)
        }
    };
    html! { <div class="better" ref={place} tabindex="-1" data-next="lines">{ inside }</div> }
}

fn has_focus(place: &NodeRef) -> bool {
    let focused = gloo::utils::document().active_element();
    place.cast::<Node>().is_some_and(|place| place.contains(focused.as_ref().map(AsRef::as_ref)))
}

fn press(send: &Callback<Action>, action: Action) -> Callback<MouseEvent> {
    send.reform(move |_| action.clone())
}

fn coming(job: &ModelJob, bytes_at_stake: u64, send: &Callback<Action>) -> Html {
    let pick = |pick: Pick| press(send, Action::Pick(pick));
    let is_paused = job.phase == JobPhase::Paused;
    let fraction = job.fraction();
    let is_waiting = fraction.is_none() && !is_paused;
    let figures = match (&job.phase, strings::fetch_figures(job)) {
        (JobPhase::Paused, figures) => format!("{}. {figures}", strings::DOWNLOAD_PAUSED),
        (_, figures) if figures.is_empty() => strings::fetch_stage(job.progress.stage).to_owned(),
        (_, figures) => figures,
    };
    let about = Some(AttrValue::from(job.name.clone()));
    html! {
        <section class="offer coming" data-testid="offer-progress" data-state={if is_paused { "paused" } else { "running" }} aria-label={job.name.clone()}>
            <div class="about"><p class="title">{ &job.name }</p><p class="hint figures">{ figures }</p></div>
            if is_paused {
                <Button icon="retry" label={strings::RESUME} {about} testid="offer-resume" has_text={false} onclick={pick(Pick::Again)} />
            } else {
                <Button icon="pause" label={strings::PAUSE} {about} testid="offer-pause" has_text={false} onclick={pick(Pick::Pause)} />
            }
            <Deletion icon="close" label={strings::CANCEL} about={job.name.clone()} testid="offer-cancel" has_text={false}
                question={strings::discard_question(bytes_at_stake)} is_light={bytes_at_stake == 0} action={Action::Pick(Pick::Cancel)} send={send.clone()} />
            <div class={classes!("progress", is_waiting.then_some("waiting"))} role="progressbar" aria-label={job.name.clone()}
                aria-valuemin="0" aria-valuemax="100" aria-valuenow={fraction.map(|fraction| format!("{:.0}", 100.0 * fraction))}>
                { bar(fraction.unwrap_or(if is_waiting { 0.3 } else { 0.0 })) }
            </div>
        </section>
    }
}

fn here(name: &str, before: Option<&Before>, phase: Phase, lines: &[Line], send: &Callback<Action>) -> Html {
    let state = match (before, phase) {
        (None, _) => "alone",
        (Some(_), Phase::Settled) => "compared",
        (Some(_), _) => "waiting",
    };
    let one = |label: Option<&str>, percent: String| {
        let none = label.is_none().then_some("none");
        html! { <li class={classes!(none)}><span class="name" dir="auto">{ strings::label_or_none(label) }</span><span class="percent">{ percent }</span></li> }
    };
    let old = |line: &RankedLabel| one(line.label.as_deref(), strings::percent(line.probability));
    let new = |line: &Line| {
        let percent = line.score.map(|score| strings::percent(score.probability));
        one(line.label.as_deref(), percent.unwrap_or_default())
    };
    let side = |testid: &'static str, when: Text, name: &str, lines: Html| {
        html! {
            <div class="answer" data-testid={testid}>
                <p class="hint" title={name.to_owned()}>{ when }{ ": " }<b>{ name }</b></p>
                <ol aria-label={format!("{when}: {name}")}>{ lines }</ol>
            </div>
        }
    };
    html! {
        <section class="trial" data-testid="before-after" data-state={state} aria-label={strings::TRIAL}>
            if let Some(before) = before {
                <div class="answers">
                    { side("before", strings::TRIAL_BEFORE, &before.name,
                        before.answer.ranked.labels.iter().take(N_COMPARED).map(old).collect()) }
                    { side("after", strings::TRIAL_AFTER, name, lines.iter().take(N_COMPARED).map(new).collect()) }
                </div>
            }
            <div class="row">
                <p>{ strings::switched(name) }</p>
                <Button icon="undo" label={strings::TAKE_BACK} testid="take-back" onclick={press(send, Action::TakeBack)} />
                <Button icon="close" label={strings::TRIAL_KEEP} testid="trial-dismiss" class="dismiss" has_text={false}
                    onclick={press(send, Action::DismissTrial)} />
            </div>
        </section>
    }
}
