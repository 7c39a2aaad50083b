//! The ranking: the winner large, a bar a label, a line that looks different for "none of these".

use crate::app::hooks::{use_gliding, use_language, use_window};
use crate::app::parts::icon::{bar, room};
use crate::app::ranking::answer::{Line, Phase};
use crate::app::ranking::camera::Camera;
use crate::app::strings;
use crate::app::window::LONG;
use crate::facts::{LabelNotes, RankedLabels};
use crate::image::Background;
use crate::worker::protocol::Answer;
use std::rc::Rc;
use yew::prelude::*;

/// A winner with more letters is drawn smaller, so that all of it can be read.
const LONG_NAME: usize = 24;
/// Of thousands of labels hundreds may be the same to a model.
const MAX_SAME: usize = 5;

#[derive(PartialEq, Properties)]
pub struct RankingProps {
    pub phase: Phase,
    pub lines: Vec<Line>,
    pub answer: Option<Rc<Answer>>,
    pub camera: Camera,
    pub has_failed: bool,
    /// How far the model is, while it is loaded: it stands where the answer will.
    pub loading: Option<Html>,
    /// The way to a better model.
    pub better: Html,
}

#[component]
pub fn Ranking(props: &RankingProps) -> Html {
    use_language();
    let list = use_node_ref();
    let n_lines = props.lines.len();
    let is_long = n_lines > LONG;
    let (window, onscroll) = use_window(&list, n_lines, is_long);
    let drawn = if is_long { window.rows() } else { 0..n_lines };
    let room = |pixels: f64, which: &'static str| {
        is_long.then(|| html! { <li key={which} class="room" role="presentation" aria-hidden="true">{ room(pixels) }</li> })
    };
    let (above, below) = window.room();
    let order = if is_long { &[] } else { &props.lines[..] };
    use_gliding(&list, order.iter().map(|line| key(line.label.as_deref())).collect());
    let settled = props.answer.as_ref().filter(|_| props.phase == Phase::Settled);
    let state = match props.phase {
        Phase::Settled => "settled",
        Phase::Ranking => "ranking",
        _ => "ready",
    };
    html! {
        <section class="ranking" aria-label={strings::RANKING} aria-busy={(state == "ranking").to_string()} data-testid="results"
            data-state={state} data-question={settled.map(|answer| answer.id.to_string())}>
            { match (settled, &props.loading) {
                (Some(answer), _) => winner(&answer.ranked),
                (None, Some(loading)) => loading.clone(),
                (None, None) => waiting(props),
            } }
            <ol class={classes!("lines", is_long.then_some("long"))} ref={list} tabindex={(n_lines > 0).then_some("0")}
                aria-label={strings::ALL_LINES} data-testid="lines" {onscroll}>
                { room(above, " above") }
                { for drawn.map(|idx| result(idx, n_lines, &props.lines[idx])) }
                { room(below, " below") }
            </ol>
            if let Some(answer) = settled { { notes(answer) } }
            { props.better.clone() }
        </section>
    }
}

/// What is to be said of labels and picture beside the ranking.
fn notes(answer: &Answer) -> Html {
    let LabelNotes { cut, unreadable, same } = &answer.notes;
    let note = |testid: &'static str, text: String| html! { <p key={text.clone()} data-testid={testid}>{ text }</p> };
    let mut notes = Vec::new();
    notes
        .extend((!unreadable.is_empty()).then(|| note("unreadable-notice", strings::unreadable(unreadable))));
    notes.extend(same.iter().take(MAX_SAME).map(|labels| note("same-notice", strings::same(labels))));
    notes.extend((!cut.is_empty()).then(|| note("cut-notice", strings::cut(cut))));
    // White is what people expect.
    let is_on_black = answer.background == Some(Background::Black);
    notes.extend(is_on_black.then(|| note("background-notice", strings::ON_BLACK.to_string())));
    if notes.is_empty() {
        Html::default()
    } else {
        html! { <div class="notes">{ notes }</div> }
    }
}

fn winner(ranked: &RankedLabels) -> Html {
    let Some(first) = ranked.labels.first() else {
        return html! { <div class="winner waiting"><p class="hint">{ strings::NOTHING_READABLE }</p></div> };
    };
    let name = strings::label_or_none(first.label.as_deref());
    let is_long = name.chars().count() > LONG_NAME;
    html! {
        <div class={classes!("winner", first.label.is_none().then_some("none"), is_long.then_some("long"))}>
            <p class="name" dir="auto" data-testid="winner">{ name }</p>
            <p class="percent" data-testid="winner-percent">{ strings::percent(first.probability) }</p>
            <p class="hint" data-testid="confidence">{ strings::confidence(ranked) }</p>
        </div>
    }
}

fn waiting(props: &RankingProps) -> Html {
    let text = match props.phase {
        Phase::NeedsPicture if props.camera != Camera::Off => strings::NEEDS_FRAME,
        Phase::NeedsPicture => strings::NEEDS_PICTURE,
        Phase::NeedsLabels => strings::NEEDS_LABELS,
        Phase::NeedsModel if props.has_failed => strings::MODEL_FAILED,
        Phase::NeedsModel => strings::NEEDS_MODEL,
        Phase::Stuck => strings::STUCK,
        Phase::Ranking | Phase::Settled => strings::RANKING_NOW,
    };
    html! { <div class="winner waiting"><p class="hint">{ text }</p></div> }
}

fn result(idx: usize, n_lines: usize, line: &Line) -> Html {
    let name = strings::label_or_none(line.label.as_deref());
    let is_none = line.label.is_none();
    let probability = line.score.map(|score| score.probability);
    let percent = probability.map(|probability| format!("{:.2}", probability * 100.0));
    let class = classes!(
        "line",
        is_none.then_some("none"),
        (idx == 0).then_some("first"),
        probability.is_none().then_some("pending")
    );
    let similarity = line.score.filter(|_| !is_none).map(|score| strings::similarity(score.similarity));
    html! {
        // By its place: a line that got another label has not moved.
        <li key={idx.to_string()} {class} data-testid="result" data-label={key(line.label.as_deref())} data-row={idx.to_string()}
            aria-posinset={(idx + 1).to_string()} aria-setsize={n_lines.to_string()}
            data-none={is_none.to_string()} data-percent={percent}>
            <span class="name" dir="auto">{ name }</span>
            <span class="percent">{ probability.map(strings::percent).unwrap_or_default() }</span>
            { bar(probability.unwrap_or_default().into()) }
            if let Some(similarity) = similarity { <span class="sr">{ similarity }</span> }
        </li>
    }
}

/// A label's key; no label is empty, so "none of these" can't be mistaken for one.
fn key(label: Option<&str>) -> String {
    label.unwrap_or_default().to_owned()
}
