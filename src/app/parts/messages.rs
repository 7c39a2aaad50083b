//! What went wrong, and how far loading is.
//!
//! Invariant: an error has a title, what to do, a code, and a button where trying again may help.

use super::icon::{Button, bar, icon};
use crate::app::hooks::use_language;
use crate::app::language::Text;
use crate::app::state::Action;
use crate::app::strings::{self, Advice};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::Progress;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct AlertProps {
    pub problem: Problem,
    pub send: Callback<Action>,
    /// What its button says, and what it does, where trying again may help.
    #[prop_or((strings::RETRY, Action::Retry))]
    pub retry: (Text, Action),
    /// Puts it away; a model that did not load stays a fact.
    #[prop_or(Some(Action::DismissProblem))]
    pub dismiss: Option<Action>,
}

#[component]
pub fn Alert(props: &AlertProps) -> Html {
    use_language();
    let Problem { code, detail, .. } = &props.problem;
    let Advice { title, todo, can_retry } = strings::advice_on(&props.problem);
    let on = |action: Action| props.send.reform(move |_: MouseEvent| action.clone());
    // Cancelling is the reader's own doing, no error.
    let is_calm = matches!(code, Code::LoadCancelled | Code::RankingCancelled);
    let role = if is_calm { "status" } else { "alert" };
    let (label, retry) = props.retry.clone();
    html! {
        <section class={classes!("message", if is_calm { "calm" } else { "error" })} {role} data-testid="alert" data-code={code.name()} data-next="retry cancel">
            { icon(if is_calm { "info" } else { "alert" }) }
            <div>
                <p class="title">{ title }</p>
                <p>{ todo }</p>
                if !is_calm {
                    <details><summary>{ code.name() }</summary><p class="detail">{ detail }</p></details>
                }
            </div>
            if can_retry {
                <Button icon="retry" {label} testid="retry" class="primary retry" onclick={on(retry)} />
            }
            if let Some(dismiss) = props.dismiss.clone() {
                <Button icon="close" label={strings::DISMISS} testid="dismiss" class="dismiss" has_text={false}
                    onclick={on(dismiss)} />
            }
        </section>
    }
}

#[derive(PartialEq, Properties)]
pub struct LoadingProps {
    pub progress: Progress,
    pub on_cancel: Callback<()>,
}

#[component]
pub fn LoadingCard(props: &LoadingProps) -> Html {
    use_language();
    let LoadingProps { progress, on_cancel } = props;
    let fraction = progress.done as f64 / progress.total.max(1) as f64;
    let stage = strings::load_stage(progress.stage);
    let bytes = strings::progress_bytes(progress);
    // Only what moves bytes can be measured.
    let percent = bytes.is_some().then(|| format!("{:.0}", fraction.min(1.0) * 100.0));
    html! {
        <section class="loading" data-testid="loading" data-next="retry">
            <p class="title">{ stage }<span class="bytes">{ bytes.clone().unwrap_or_default() }</span></p>
            <div class={classes!("progress", bytes.is_none().then_some("waiting"))} role="progressbar" aria-label={stage}
                aria-valuemin="0" aria-valuemax="100" aria-valuenow={percent}>
                { bar(if bytes.is_some() { fraction } else { 0.3 }) }
            </div>
            <p class="hint"><span>{ strings::LOADING_HINT }</span>
                <Button icon="close" label={strings::CANCEL} testid="cancel" class="quiet" onclick={on_cancel.reform(|_| ())} />
            </p>
        </section>
    }
}

#[derive(PartialEq, Properties)]
pub struct LabelProgressProps {
    /// Labels that are encoded, and all of them.
    pub progress: (usize, usize),
    pub on_cancel: Callback<()>,
}

/// How far the first ranking of many labels is: a thin line, words, and the way out.
#[component]
pub fn LabelProgress(props: &LabelProgressProps) -> Html {
    use_language();
    let (done, total) = props.progress;
    let text = strings::label_progress(done, total);
    let fraction = done as f64 / total.max(1) as f64;
    html! {
        <section class="loading thin" data-testid="labels-progress" data-done={done.to_string()} data-total={total.to_string()}>
            <p class="hint"><span>{ &text }</span>
                <Button icon="close" label={strings::CANCEL} testid="labels-cancel" class="quiet" onclick={props.on_cancel.reform(|_| ())} />
            </p>
            <div class="progress" role="progressbar" aria-label={strings::RANKING_NOW} aria-valuemin="0" aria-valuemax="100"
                aria-valuenow={format!("{:.0}", fraction * 100.0)} aria-valuetext={text}>
                { bar(fraction) }
            </div>
        </section>
    }
}
