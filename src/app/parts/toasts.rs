//! Notices over the page's foot, or above the label field on a phone, or at the end of the dialog that is open: each with
//! what there is to do about it.
//!
//! Invariant: what only tells something goes by itself, but not while it is pointed at or has the focus.

use super::icon::{Button, icon};
use crate::app::hooks::use_language;
use crate::app::loading::Model;
use crate::app::notices::{Notice, Toast};
use crate::app::state::{Action, Whose};
use crate::app::strings;
use gloo::timers::callback::Timeout;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct ToastsProps {
    pub toasts: Vec<Toast>,
    /// What gets the focus when the last one goes that had it, by test id.
    pub next: &'static str,
    pub send: Callback<Action>,
}

#[component]
pub fn Toasts(props: &ToastsProps) -> Html {
    use_language();
    // Where there is no room for all, the last are in view: those that stay.
    let of = |stays: bool| props.toasts.iter().filter(move |toast| toast.notice.stays() == stays);
    let ordered = of(false).chain(of(true));
    html! {
        <div class="toasts" data-next={format!("notice-dismiss {}", props.next)}>
            { for ordered.map(|toast| html! { <ToastCard key={toast.id} toast={toast.clone()} send={props.send.clone()} /> }) }
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct ToastProps {
    toast: Toast,
    send: Callback<Action>,
}

#[component]
fn ToastCard(props: &ToastProps) -> Html {
    use_language();
    let Toast { id, notice } = &props.toast;
    let id = *id;
    let is_held = use_state(|| false);
    let fades = notice.fade_millis().filter(|_| !*is_held);
    {
        let send = props.send.clone();
        use_effect_with(fades, move |fades| {
            let timer =
                fades.map(|millis| Timeout::new(millis, move || send.emit(Action::DismissNotice(id))));
            move || drop(timer)
        });
    }
    let hold = |value: bool| {
        let is_held = is_held.setter();
        move || is_held.set(value)
    };
    let by_pointer = |value: bool| {
        let hold = hold(value);
        Callback::from(move |_: PointerEvent| hold())
    };
    let by_focus = |value: bool| {
        let hold = hold(value);
        Callback::from(move |_: FocusEvent| hold())
    };
    let on = |action: Action| props.send.reform(move |_: MouseEvent| action.clone());
    let code = match notice {
        Notice::Engine(problem) => Some(problem.code.name()),
        _ => None,
    };
    // A finger has no keys to press.
    let by_key = matches!(notice, Notice::Replaced(_)).then_some("only-mouse");
    let offer = match notice {
        Notice::Replaced(_) => {
            html! { <Button icon="undo" label={strings::UNDO} testid="undo" onclick={on(Action::Undo)} /> }
        }
        Notice::Elsewhere => html! {
            <>
                <Button icon="check" label={strings::KEEP_MINE} testid="keep-mine" onclick={on(Action::Decide(Whose::Mine))} />
                <Button icon="switch" label={strings::TAKE_THEIRS} testid="take-theirs" onclick={on(Action::Decide(Whose::Theirs))} />
            </>
        },
        Notice::Switched(_) => html! {
            <Button icon="undo" label={strings::USE_STARTER} testid="model-back" onclick={on(Action::UseModel(Model::Starter))} />
        },
        _ => Html::default(),
    };
    html! {
        <section class="toast" data-testid="notice" data-code={code.clone()} onpointerenter={by_pointer(true)} onpointerleave={by_pointer(false)}
            onfocusin={by_focus(true)} onfocusout={by_focus(false)}>
            if code.is_some() { { icon("info") } }
            <p><span>{ notice.text() }</span>if let Some(more) = notice.more() { <small class={by_key}>{ more }</small> }</p>
            { offer }
            <Button icon="close" label={strings::DISMISS} testid="notice-dismiss" class="dismiss" has_text={false} onclick={on(Action::DismissNotice(id))} />
        </section>
    }
}
