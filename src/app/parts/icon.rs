//! Icons and what is drawn with SVG: no inline style is needed, so none is.
//!
//! Invariant: icons and bars are decoration: the words beside them or a label say the same.

use yew::prelude::*;

/// An icon of `static/icons.svg`.
pub fn icon(name: &str) -> Html {
    html! { <svg class="icon" aria-hidden="true"><use href={format!("icons.svg#{name}")} /></svg> }
}

/// A bar filled to `fraction` of its length.
pub fn bar(fraction: f64) -> Html {
    let width = format!("{:.2}%", fraction.clamp(0.0, 1.0) * 100.0);
    html! { <svg class="bar" aria-hidden="true"><rect class="fill" width={width} height="100%" rx="3" /></svg> }
}

#[derive(PartialEq, Properties)]
pub struct ButtonProps {
    pub icon: &'static str,
    pub label: AttrValue,
    pub onclick: Callback<MouseEvent>,
    #[prop_or_default]
    pub testid: AttrValue,
    /// Whether the label is drawn or only said.
    #[prop_or(true)]
    pub has_text: bool,
    #[prop_or_default]
    pub class: Classes,
    /// For buttons that switch something on and off.
    #[prop_or_default]
    pub is_pressed: Option<bool>,
    /// What it is about, where several buttons say the same: said, not drawn.
    #[prop_or_default]
    pub about: Option<AttrValue>,
    #[prop_or_default]
    pub is_disabled: bool,
    #[prop_or_default]
    pub node: NodeRef,
}

#[component]
pub fn Button(props: &ButtonProps) -> Html {
    let ButtonProps { icon: name, label, onclick, testid, has_text, class, is_pressed, .. } = props;
    let pressed = is_pressed.map(|is_pressed| if is_pressed { "true" } else { "false" });
    let title = (!has_text).then(|| label.clone());
    let about = props.about.as_ref().map(|about| AttrValue::from(format!("{label}: {about}")));
    html! {
        <button type="button" ref={&props.node} disabled={props.is_disabled} class={classes!("button", (!has_text).then_some("round"), class.clone())}
            data-testid={testid.clone()} aria-pressed={pressed} aria-label={about.or(title.clone())} {title} {onclick}>
            { icon(name) }
            if *has_text { <span>{ label }</span> }
        </button>
    }
}

/// Empty room of a height in pixels, in a long list of which only a part is drawn.
pub fn room(pixels: f64) -> Html {
    html! { <svg class="room" width="1" height={format!("{pixels:.1}")} aria-hidden="true"></svg> }
}
