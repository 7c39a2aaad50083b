//! The head of the page: name, badge, the ways to details, help and a link.

use super::icon::{Button, icon};
use crate::app::state::Engine;
use crate::app::words;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct HeaderProps {
    pub engine: Engine,
    pub on_details: Callback<()>,
    pub on_shortcuts: Callback<()>,
    pub on_share: Callback<()>,
}

#[component]
pub fn Header(props: &HeaderProps) -> Html {
    let on = |callback: &Callback<()>| callback.reform(|_: MouseEvent| ());
    html! {
        <header class="head">
            <h1 class="brand"><svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
                <rect class="back" width="32" height="32" rx="9" />
                <rect class="line" x="7" y="8" width="18" height="4.5" rx="2.25" />
                <rect class="line second" x="7" y="14.5" width="11" height="4.5" rx="2.25" />
                <rect class="line third" x="7" y="21" width="6" height="4.5" rx="2.25" />
            </svg>{ words::NAME }<span class="claim">{ words::CLAIM }</span></h1>
            <Badge engine={props.engine.clone()} onclick={on(&props.on_details)} />
            <Button icon="share" label={words::SHARE} testid="share" has_text={false} onclick={on(&props.on_share)} />
            <Button icon="details" label={words::DETAILS} testid="details" has_text={false} onclick={on(&props.on_details)} />
            <Button icon="keyboard" label={words::SHORTCUTS} testid="shortcuts" class="only-wide" has_text={false}
                onclick={on(&props.on_shortcuts)} />
        </header>
    }
}

#[derive(PartialEq, Properties)]
struct BadgeProps {
    engine: Engine,
    onclick: Callback<MouseEvent>,
}

/// Which backend runs, and that it was verified here.
#[component]
fn Badge(props: &BadgeProps) -> Html {
    let (state, backend, picture, text) = match &props.engine {
        Engine::Starting => ("starting", "", "processor", html! { { words::STARTING } }),
        Engine::Loading(_) => ("loading", "", "processor", html! { { words::STARTING } }),
        Engine::Failed(_) => ("failed", "", "alert", html! { { words::NO_MODEL } }),
        Engine::Ready(card) => {
            let text = html! { <><b>{ words::backend(card) }</b><span class="only-wide">{ format!(" · {}", words::verified(card)) }</span></> };
            (
                "ready",
                words::backend(card),
                if card.info.self_test.is_some() { "verified" } else { "processor" },
                text,
            )
        }
    };
    let title = props.engine.card().and_then(words::verified_figure);
    html! {
        <button type="button" class="badge" data-testid="status" data-engine={state} data-backend={backend} {title}
            onclick={props.onclick.clone()}>
            { icon(picture) }<span>{ text }</span>
        </button>
    }
}
