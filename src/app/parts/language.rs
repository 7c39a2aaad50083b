//! The choice of the language in which the page speaks.
//!
//! Invariant: it shows the language that is spoken: one whose file cannot be had does not stay chosen in sight.

use super::icon::icon;
use crate::app::edits::Edit;
use crate::app::hooks::use_language;
use crate::app::language::Language;
use crate::app::state::Action;
use crate::app::strings;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct LanguageChoiceProps {
    pub spoken: Language,
    /// How many files came or failed to come: after each the choice shows again what is spoken.
    pub n_heard: usize,
    pub send: Callback<Action>,
}

#[component]
pub fn LanguageChoice(props: &LanguageChoiceProps) -> Html {
    use_language();
    let field = use_node_ref();
    {
        let field = field.clone();
        use_effect_with((props.spoken, props.n_heard), move |(spoken, _)| {
            field.cast::<HtmlSelectElement>().iter().for_each(|field| field.set_value(spoken.tag()));
        });
    }
    let send = props.send.clone();
    let onchange = Callback::from(move |event: Event| {
        let field: HtmlSelectElement = event.target_unchecked_into();
        if let Some(language) = Language::of_tag(&field.value()) {
            send.emit(Action::Edit(Edit::Language(language)));
        }
    });
    let option = |language: Language| {
        html! { <option value={language.tag()} lang={language.html_tag()}>{ language.name() }</option> }
    };
    html! {
        <label class="language">
            { icon("language") }<span class="sr">{ strings::LANGUAGE }</span>
            <select ref={field} data-testid="language" {onchange}>{ for Language::ALL.into_iter().map(option) }</select>
        </label>
    }
}
