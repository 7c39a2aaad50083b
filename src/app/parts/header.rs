//! The head of the page: name, badge, the ways to details, help and a link.

use super::icon::{Button, bar, icon};
use crate::app::hooks::use_language;
use crate::app::loading::{Engine, Model};
use crate::app::models::picker::{ModelJob, Offer, Phase};
use crate::app::strings;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct HeaderProps {
    pub engine: Engine,
    pub model: Model,
    pub job: Option<ModelJob>,
    /// The recommended model, while the starter ranks.
    pub offer: Option<Offer>,
    pub on_models: Callback<()>,
    pub on_details: Callback<()>,
    pub on_shortcuts: Callback<()>,
    pub on_share: Callback<()>,
}

#[component]
pub fn Header(props: &HeaderProps) -> Html {
    use_language();
    let on = |callback: &Callback<()>| callback.reform(|_: MouseEvent| ());
    html! {
        <header class="head">
            <h1 class="brand"><svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
                <rect class="back" width="32" height="32" rx="9" />
                <rect class="line" x="7" y="8" width="18" height="4.5" rx="2.25" />
                <rect class="line second" x="7" y="14.5" width="11" height="4.5" rx="2.25" />
                <rect class="line third" x="7" y="21" width="6" height="4.5" rx="2.25" />
            </svg>{ strings::NAME }<span class="claim">{ strings::CLAIM }</span></h1>
            if let Some(job) = &props.job { { pill(job, on(&props.on_models)) } }
            <Badge engine={props.engine.clone()} model={props.model.clone()} job={props.job.clone()}
                offer={props.offer.clone()} onclick={on(&props.on_models)} />
            <Button icon="share" label={strings::SHARE} testid="share" has_text={false} onclick={on(&props.on_share)} />
            <Button icon="details" label={strings::DETAILS} testid="details" has_text={false} onclick={on(&props.on_details)} />
            <Button icon="keyboard" label={strings::SHORTCUTS} testid="shortcuts" class="only-wide" has_text={false}
                onclick={on(&props.on_shortcuts)} />
        </header>
    }
}

/// How far a download is, on screens with room for it; on others the badge says it.
fn pill(job: &ModelJob, onclick: Callback<MouseEvent>) -> Html {
    let (state, picture) = look(job);
    let text = strings::job_line(job);
    html! {
        <button type="button" class="pill only-wide" data-testid="job-line" data-state={state} title={job.name.clone()} {onclick}>
            { icon(picture) }<span class="text"><span class="name">{ &job.name }</span><span class="figures">{ text }</span></span>
            { bar(job.fraction().unwrap_or_default()) }
        </button>
    }
}

fn look(job: &ModelJob) -> (&'static str, &'static str) {
    match job.phase {
        Phase::Running | Phase::Pausing => ("running", "download"),
        Phase::Paused => ("paused", "pause"),
        Phase::Failed(_) => ("failed", "alert"),
    }
}

#[derive(PartialEq, Properties)]
struct BadgeProps {
    engine: Engine,
    model: Model,
    job: Option<ModelJob>,
    offer: Option<Offer>,
    onclick: Callback<MouseEvent>,
}

/// Which model ranks and where, and that it was verified here; opens the models.
#[component]
fn Badge(props: &BadgeProps) -> Html {
    use_language();
    let (state, backend, picture, text) = match &props.engine {
        Engine::Starting | Engine::Loading(_) => {
            ("loading", "", "processor", html! { { strings::STARTING } })
        }
        Engine::Failed(_) => ("failed", "", "alert", html! { { strings::NO_MODEL } }),
        Engine::Ready(card) => {
            let name = props.model.name().unwrap_or_else(|| strings::model_name(card).to_owned());
            let text = html! {
                <><span class="model-name only-wide">{ name }{ " · " }</span><b>{ strings::backend(card) }</b>
                    <span class="only-widest">{ format!(" · {}", strings::badge_checks(card, &props.model)) }</span></>
            };
            let picture = if card.info.self_test.is_some() { "verified" } else { "processor" };
            ("ready", strings::backend(card), picture, text)
        }
    };
    let state = if props.engine == Engine::Starting { "starting" } else { state };
    // Two statements: that it computes rightly here, and whose bytes they are.
    let title = props.engine.card().map(|card| strings::badge_title(card, &props.model));
    let download = props.job.as_ref().map(|job| {
        let (state, picture) = look(job);
        html! {
            <span class="only-narrow job-short" data-state={state}>{ icon(picture) }{ strings::job_short(job) }</span>
        }
    });
    let offer = props.offer.as_ref().map(|offer| {
        html! {
            <span class="better-line only-wide" data-testid="badge-offer">
                <span class="name">{ strings::offer_name(offer) }</span><span class="sizes">{ strings::offer_sizes(offer) }</span>
            </span>
        }
    });
    html! {
        // In each state a new one: what grew has not moved.
        <button type="button" key={state} class={classes!("badge", download.is_some().then_some("has-job"))} data-testid="status" data-engine={state}
            data-backend={backend} {title} aria-description={strings::OPEN_MODELS} onclick={props.onclick.clone()}>
            <span class="engine">{ icon(picture) }<span class="both"><span class="text">{ text }</span>{ offer }</span></span>{ download }{ icon("down") }
        </button>
    }
}
