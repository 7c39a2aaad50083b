//! What the model sees of the picture: its square, what was cut off, what lies under transparency.
//!
//! Invariant: the pixels are the engine's own, not a second crop that could differ from them.

use crate::app::hooks::use_language;
use crate::app::parts::messages::Alert;
use crate::app::ranking::look::{Look, Seen};
use crate::app::state::Action;
use crate::app::{services, strings};
use crate::image::Fit;
use web_sys::{HtmlCanvasElement, HtmlImageElement};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct SeesProps {
    pub look: Look,
    /// How the model's square is filled, and what part of a square picture's side is inside.
    pub fit: Fit,
    pub inside: f32,
    /// Where the whole picture is.
    pub url: String,
    pub send: Callback<Action>,
}

#[component]
pub fn Sees(props: &SeesProps) -> Html {
    use_language();
    let canvas = use_node_ref();
    let whole = use_state(|| (0, 0));
    let seen = props.look.seen.as_ref().and_then(|seen| seen.as_ref().ok()).cloned();
    {
        let canvas = canvas.clone();
        use_effect_with(seen.clone(), move |seen| {
            if let (Some(Seen { crop, rgb }), Some(canvas)) = (seen, canvas.cast::<HtmlCanvasElement>()) {
                // A browser that gives no canvas shows the words alone.
                drop(services::draw(&canvas, crop.size, rgb));
            }
        });
    }
    let onload = {
        let whole = whole.setter();
        Callback::from(move |event: Event| {
            let picture: HtmlImageElement = event.target_unchecked_into();
            whole.set((picture.natural_width(), picture.natural_height()));
        })
    };
    if let Some(Err(problem)) = &props.look.seen {
        return html! { <Alert problem={problem.clone()} send={props.send.clone()} retry={(strings::RETRY, Action::Look)} dismiss={None} /> };
    }
    let size = seen.as_ref().map(|seen| seen.crop.size);
    let background = seen.as_ref().and_then(|seen| strings::background(seen.crop.background));
    html! {
        <div class="sees" data-testid="sees-square" data-state={if seen.is_some() { "shown" } else { "waiting" }} data-size={size.map(|size| size.to_string())}>
            <canvas ref={canvas} role="img" aria-label={strings::SEES_PICTURE} data-testid="sees-picture"></canvas>
            if let Some(size) = size {
                <p><b data-testid="sees-size">{ strings::square(size) }</b></p>
                <p data-testid="sees-cut">{ strings::cut_off(props.fit, props.inside, *whole) }</p>
                if let Some(background) = background { <p data-testid="sees-background">{ background }</p> }
            } else {
                <p>{ strings::SEES_WAITING }</p>
            }
            // Only its size is wanted.
            <img class="sr" src={props.url.clone()} alt="" {onload} />
        </div>
    }
}
