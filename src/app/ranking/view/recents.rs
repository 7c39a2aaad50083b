//! The strip of the last pictures: what each was ranked as, shown again by a press, deleted by another.
//!
//! Invariant: one stop of the Tab key; arrows go on, and Delete deletes.

use crate::app::hooks::use_language;
use crate::app::language;
use crate::app::parts::icon::icon;
use crate::app::services::recent::{self, Recent};
use crate::app::state::Action;
use crate::app::strings;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, Element, HtmlElement};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct RecentsProps {
    pub on_show: Callback<Vec<(Blob, String)>>,
    pub send: Callback<Action>,
}

#[component]
pub fn Recents(props: &RecentsProps) -> Html {
    use_language();
    let all = use_state(recent::list);
    let delete = {
        let all = all.clone();
        move |idx: usize| all.set(recent::delete(&all[idx]))
    };
    let onclick = {
        let (all, delete) = (all.clone(), delete.clone());
        let (on_show, send) = (props.on_show.clone(), props.send.clone());
        Callback::from(move |event: MouseEvent| {
            let Some((button, idx)) = place(&event) else { return };
            if button.class_name() == "remove" {
                return delete(idx);
            }
            let (recent, delete) = (all[idx].clone(), delete.clone());
            let (on_show, send) = (on_show.clone(), send.clone());
            spawn_local(async move {
                match recent::file(&recent).await {
                    Ok(file) => on_show.emit(vec![(file, recent.name)]),
                    Err(_) => {
                        send.emit(Action::Say(strings::RECENT_GONE));
                        delete(idx);
                    }
                }
            });
        })
    };
    let onkeydown = Callback::from(move |event: KeyboardEvent| {
        let Some((button, idx)) = place(&event) else { return };
        let line = button.parent_element();
        let (back, forth) = language::arrows();
        let neighbour = match event.key().as_str() {
            "Delete" | "Backspace" => {
                delete(idx);
                None
            }
            key if key == forth => line.and_then(|line| line.next_element_sibling()),
            key if key == back => line.and_then(|line| line.previous_element_sibling()),
            _ => return,
        };
        event.prevent_default();
        let button = neighbour.and_then(|line| line.first_element_child());
        button.iter().for_each(|button| drop(button.unchecked_ref::<HtmlElement>().focus()));
    });
    let one = |(idx, recent): (usize, &Recent)| {
        let Recent { name, label, percent, thumb, .. } = recent;
        let tabindex = if idx == 0 { "0" } else { "-1" };
        let label = Some(label.as_str()).filter(|label| !label.is_empty());
        html! {
            <li key={recent.key()} data-testid="recent" data-name={name.clone()} data-idx={idx.to_string()}>
                <button type="button" class="thumb" data-testid="recent-show" {tabindex} title={strings::show_picture(name)} aria-keyshortcuts="Delete">
                    <img src={thumb.clone()} alt="" draggable="false" width="78" height="56" />
                    <span class="name" dir="auto">{ strings::label_or_none(label) }</span>
                    <span class="percent">{ percent }</span>
                </button>
                <button type="button" class="remove" data-testid="recent-delete" tabindex="-1" aria-label={strings::remove_label(name)}>{ icon("close") }</button>
            </li>
        }
    };
    if all.is_empty() {
        return Html::default();
    }
    html! {
        <div class="recents" data-testid="recents" data-next="recent-show open">
            <p class="hint" id="recents-title">{ strings::RECENT }</p>
            <ul class="tray" aria-labelledby="recents-title" {onclick} {onkeydown}>{ for all.iter().enumerate().map(one) }</ul>
        </div>
    }
}

/// The button that an event is at, and whose it is.
fn place(event: &Event) -> Option<(Element, usize)> {
    let button = event.target()?.dyn_into::<Element>().ok()?.closest("button").ok()??;
    let idx = button.parent_element()?.get_attribute("data-idx")?.parse().ok()?;
    Some((button, idx))
}
