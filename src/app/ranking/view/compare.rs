//! How labels are compared: the sentence around a label, what percentages mean, "none of these".

use crate::app::edits::Edit;
use crate::app::hooks::use_language;
use crate::app::language::Text;
use crate::app::parts::icon::{Button, icon};
use crate::app::ranking::answer::NoneLine;
use crate::app::settings::{MAX_TEMPLATES, NEW_TEMPLATE, Settings};
use crate::app::state::Action;
use crate::app::strings;
use crate::facts::Mode;
use crate::text::Template;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlInputElement};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct CompareProps {
    pub settings: Settings,
    /// The model's own sentences: they stand in until the reader writes some.
    pub from_model: Vec<String>,
    pub none_line: NoneLine,
    pub send: Callback<Action>,
}

#[component]
pub fn Compare(props: &CompareProps) -> Html {
    use_language();
    let CompareProps { settings, send, .. } = props;
    let templates = in_use(props);
    let mode = |mode: Mode, testid: &'static str, name: Text, help: Text| {
        let choose = send.reform(move |_: Event| Action::Edit(Edit::Mode(mode)));
        html! {
            <label class="choice">
                <input type="radio" name="mode" data-testid={testid} checked={settings.mode == mode} onchange={choose} />
                <span><b>{ name }</b><small>{ help }</small></span>
            </label>
        }
    };
    let (has_none, is_known) = (settings.has_none, props.none_line == NoneLine::Known);
    html! {
        <details class="compare" data-testid="more" ontoggle={bring_into_view()}>
            <summary>{ icon("sliders") }<span>{ strings::MORE }</span>{ icon("down") }</summary>
            <fieldset>
                <legend>{ strings::MODE }</legend>
                { mode(Mode::Softmax, "mode-softmax", strings::MODE_SOFTMAX, strings::MODE_SOFTMAX_HELP) }
                { mode(Mode::Independent, "mode-independent", strings::MODE_INDEPENDENT, strings::MODE_INDEPENDENT_HELP) }
                <label class="choice">
                    <input type="checkbox" data-testid="has-none" checked={has_none && is_known} disabled={!is_known}
                        onchange={send.reform(move |_: Event| Action::Edit(Edit::HasNone(!has_none)))} />
                    <span><b>{ strings::HAS_NONE }</b><small data-testid="none-help">{ strings::none_help(props.none_line) }</small></span>
                </label>
            </fieldset>
            <fieldset data-next="template-add template-0">
                <legend>{ strings::TEMPLATES }</legend>
                <p class="hint">{ strings::TEMPLATES_HELP }</p>
                { for templates.iter().enumerate().map(|(idx, text)| template(props, &templates, idx, text)) }
                if templates.len() < MAX_TEMPLATES {
                    <Button icon="add" label={strings::TEMPLATE_ADD} testid="template-add" class="quiet"
                        onclick={change(props, |templates| templates.push(NEW_TEMPLATE.to_owned()))} />
                }
            </fieldset>
        </details>
    }
}

/// What opens below the fold is brought up.
pub fn bring_into_view() -> Callback<Event> {
    Callback::from(|event: Event| {
        let details: Element = event.target_unchecked_into();
        if details.has_attribute("open") {
            details.scroll_into_view();
        }
    })
}

fn in_use(props: &CompareProps) -> Vec<String> {
    let own = &props.settings.templates;
    if own.is_empty() { props.from_model.clone() } else { own.clone() }
}

fn template(props: &CompareProps, all: &[String], idx: usize, text: &str) -> Html {
    let error = Template::parse(text).err().map(|error| error.to_string());
    let (templates, send) = (all.to_vec(), props.send.clone());
    let oninput = Callback::from(move |event: InputEvent| {
        let typed = event.target().map(|target| target.unchecked_into::<HtmlInputElement>().value());
        let mut templates = templates.clone();
        templates[idx] = typed.unwrap_or_default();
        send.emit(Action::Edit(Edit::Templates(templates)));
    });
    let error_id = format!("template-error-{idx}");
    html! {
        <div class="template" key={idx}>
            <input type="text" class="field" value={text.to_owned()} {oninput} data-testid={format!("template-{idx}")} aria-label={strings::TEMPLATES}
                aria-invalid={error.is_some().to_string()} aria-describedby={error.is_some().then(|| error_id.clone())}
                autocomplete="off" spellcheck="false" maxlength="300" />
            if all.len() > 1 {
                <Button icon="close" label={strings::TEMPLATE_REMOVE} testid="template-remove" has_text={false} onclick={change(props, move |templates| {
                    templates.remove(idx);
                })} />
            }
            if let Some(error) = error { <p class="wrong" id={error_id}>{ error }</p> }
        </div>
    }
}

/// A press that changes the list of templates.
fn change(props: &CompareProps, how: impl Fn(&mut Vec<String>) + 'static) -> Callback<MouseEvent> {
    let (templates, send) = (in_use(props), props.send.clone());
    Callback::from(move |_| {
        let mut templates = templates.clone();
        how(&mut templates);
        send.emit(Action::Edit(Edit::Templates(templates)));
    })
}
