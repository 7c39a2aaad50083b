//! Sets of labels to begin with: the page's own, and those that the reader named.
//!
//! Invariant: taking a set keeps the labels from before at hand for undo.

use crate::app::edits::Edit;
use crate::app::hooks::use_language;
use crate::app::parts::icon::{Button, icon};
use crate::app::settings::{LabelSet, PRESETS};
use crate::app::state::Action;
use crate::app::strings;
use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct SetsProps {
    pub sets: Vec<LabelSet>,
    /// There are labels that could be kept as a set.
    pub has_labels: bool,
    pub send: Callback<Action>,
}

#[component]
pub fn Sets(props: &SetsProps) -> Html {
    use_language();
    let SetsProps { sets, has_labels, send } = props;
    let is_naming = use_state(|| false);
    let field = use_node_ref();
    {
        let field = field.clone();
        use_effect_with(*is_naming, move |_| {
            field.cast::<HtmlElement>().iter().for_each(|field| drop(field.focus()));
        });
    }
    let take = |labels: Vec<String>| {
        send.reform(move |_: MouseEvent| {
            Action::Edit(Edit::Replace { labels: labels.clone(), why: strings::LABELS_PRESET })
        })
    };
    let preset = |(n, preset): (usize, &crate::app::settings::Preset)| {
        let labels = preset.labels.iter().map(|label| label.to_string()).collect();
        html! { <button type="button" class="preset" data-testid={format!("preset-{n}")} onclick={take(labels)}>{ preset.name }</button> }
    };
    let own = |(idx, set): (usize, &LabelSet)| {
        let LabelSet { name, labels } = set;
        html! {
            <span key={name.clone()} class="set" data-testid="set" data-name={name.clone()}>
                <button type="button" class="preset" data-testid="set-take" dir="auto" onclick={take(labels.clone())}>{ name }</button>
                <button type="button" class="remove" data-testid="set-remove" aria-label={strings::remove_set(name)}
                    onclick={send.reform(move |_: MouseEvent| Action::Edit(Edit::RemoveSet(idx)))}>{ icon("close") }</button>
            </span>
        }
    };
    let begin = {
        let is_naming = is_naming.setter();
        Callback::from(move |_: MouseEvent| is_naming.set(true))
    };
    let onkeydown = {
        let (is_naming, send) = (is_naming.setter(), send.clone());
        Callback::from(move |event: KeyboardEvent| {
            let field: HtmlInputElement = event.target_unchecked_into();
            match event.key().as_str() {
                _ if super::is_composing(&event) => {}
                "Enter" => {
                    event.prevent_default();
                    is_naming.set(false);
                    send.emit(Action::Edit(Edit::KeepSet(field.value())));
                }
                "Escape" => is_naming.set(false),
                _ => {}
            }
        })
    };
    html! {
        <div class="presets" role="group" aria-label={strings::PRESETS} data-next="set-keep preset-0">
            { for PRESETS.iter().enumerate().map(preset) }
            { for sets.iter().enumerate().map(own) }
            if *is_naming {
                <input type="text" ref={field} class="field set-name" data-testid="set-name" maxlength="40" placeholder={strings::SET_NAME} aria-label={strings::SET_NAME}
                    autocomplete="off" enterkeyhint="done" {onkeydown} />
            } else if *has_labels {
                <Button icon="add" label={strings::SET_KEEP} testid="set-keep" class="quiet" onclick={begin} />
            }
        </div>
    }
}
