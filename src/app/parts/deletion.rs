//! A button that asks before it deletes.
//!
//! Invariant: nothing that took long to get is deleted by one press.
//! Invariant: the focus follows the question, and comes back with a "no".

use super::icon::Button;
use crate::app::hooks::use_language;
use crate::app::language::Text;
use crate::app::state::Action;
use crate::app::strings;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct DeletionProps {
    pub icon: &'static str,
    pub label: Text,
    /// What would be deleted.
    pub about: AttrValue,
    pub testid: &'static str,
    /// Whether the label is drawn or only said.
    #[prop_or(true)]
    pub has_text: bool,
    pub question: String,
    /// Nothing would be lost: no question is asked.
    #[prop_or_default]
    pub is_light: bool,
    pub action: Action,
    pub send: Callback<Action>,
}

/// A button that asks before it deletes.
#[component]
pub fn Deletion(props: &DeletionProps) -> Html {
    use_language();
    let is_asking = use_state(|| false);
    let (keep, button) = (use_node_ref(), use_node_ref());
    // The focus follows the question, and comes back with a "no".
    let was_asked = use_mut_ref(|| false);
    {
        let (keep, button) = (keep.clone(), button.clone());
        use_effect_with(*is_asking, move |is_asking| {
            let was_asked = was_asked.replace(*is_asking);
            let place = if *is_asking { Some(keep) } else { was_asked.then_some(button) };
            place.and_then(|place| place.cast::<HtmlElement>()).iter().for_each(|place| drop(place.focus()));
        });
    }
    let set = |value: bool| {
        let is_asking = is_asking.setter();
        Callback::from(move |_: MouseEvent| is_asking.set(value))
    };
    let delete = {
        let (send, action, is_asking) = (props.send.clone(), props.action.clone(), is_asking.setter());
        Callback::from(move |_: MouseEvent| {
            is_asking.set(false);
            send.emit(action.clone());
            focus("models-stored");
        })
    };
    let on_escape = {
        let is_asking = is_asking.setter();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" {
                // Takes the question back, and leaves the dialog open.
                event.prevent_default();
                is_asking.set(false);
            }
        })
    };
    let about = Some(props.about.clone());
    if !*is_asking {
        let onclick = if props.is_light { delete } else { set(true) };
        return html! {
            <Button icon={props.icon} label={props.label} {about} testid={props.testid} has_text={props.has_text} node={button} {onclick} />
        };
    }
    html! {
        <div class="question" role="group" aria-label={props.question.clone()} data-testid="question" onkeydown={on_escape}>
            <p>{ &props.question }</p>
            <Button icon="trash" label={strings::DELETE} testid="question-delete" class="danger" onclick={delete} />
            <Button icon="undo" label={strings::KEEP} testid="question-keep" node={keep} onclick={set(false)} />
        </div>
    }
}

/// Puts the focus on the element of this id.
pub fn focus(id: &str) {
    let element = gloo::utils::document().get_element_by_id(id);
    element.iter().for_each(|element| drop(element.unchecked_ref::<HtmlElement>().focus()));
}
