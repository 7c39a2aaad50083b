//! The components of the ranking: the stage on one side; messages, answer and labels on the other.

mod better;
mod chips;
mod compare;
mod lines;
mod recents;
pub mod sees;
mod sets;
pub mod stage;

use super::answer::Phase;
use crate::app::hooks::CameraControl;
use crate::app::language::{self, Language};
use crate::app::loading::Engine;
use crate::app::parts::messages::{LabelProgress, LoadingCard};
use crate::app::state::{Action, State};
use crate::app::strings;
use better::{Better, BetterModel};
use chips::LabelField;
use compare::Compare;
use lines::Ranking;
use stage::Stage;
use web_sys::Blob;
use yew::prelude::*;

/// What the view needs of the page around it.
pub struct Wires {
    pub send: Callback<Action>,
    pub control: CameraControl,
    /// Something is held over the page.
    pub is_over: bool,
    pub label_input: NodeRef,
    pub on_open: Callback<()>,
    pub on_sample: Callback<usize>,
    /// Shows files, each with its name.
    pub on_show: Callback<Vec<(Blob, String)>>,
    pub on_sees: Callback<()>,
    /// The browser cannot draw the picture with this id.
    pub on_broken: Callback<u64>,
    /// Stop loading, and stop encoding labels.
    pub on_cancel: Callback<()>,
    pub on_cancel_ranking: Callback<()>,
    /// The main pointer is a finger.
    pub is_touch: bool,
    /// The picture of the last visit is on its way.
    pub is_coming: bool,
    /// What went wrong, and notices, where no dialog lies over them.
    pub alerts: Html,
    pub toasts: Html,
}

/// Stage and side.
pub fn view(page: &State, wires: Wires) -> Html {
    let Wires {
        send,
        control,
        is_over,
        label_input,
        on_open,
        on_sample,
        on_show,
        on_sees,
        on_broken,
        on_cancel,
        on_cancel_ranking,
        ..
    } = wires;
    let from_model = page.loading.card().map(|card| card.templates.clone()).unwrap_or_default();
    let phase = page.phase();
    let settled = page.ranking.answer.as_ref().filter(|_| phase == Phase::Settled);
    let top = settled.and_then(|answer| answer.ranked.labels.first()).map(|line| {
        let name = strings::shortened(strings::label_or_none(line.label.as_deref()));
        (name, strings::percent(line.probability))
    });
    let camera = page.stage.camera;
    let loading = match (&page.loading.engine, page.ranking.label_progress) {
        (Engine::Loading(progress), _) => {
            Some(html! { <LoadingCard progress={progress.clone()} {on_cancel} /> })
        }
        (_, Some(progress)) => Some(html! { <LabelProgress {progress} on_cancel={on_cancel_ranking} /> }),
        _ => None,
    };
    let better = html! { <BetterModel better={Better::of(page)} send={send.clone()} /> };
    html! {
        <>
            <Stage picture={page.stage.picture.clone()} tray={page.stage.tray_with_answers()} {camera} {control} is_mirrored={page.settings.is_mirrored}
                {top} rate={page.stage.live.rate} {is_over} is_touch={wires.is_touch} is_coming={wires.is_coming} {on_open} {on_sample} {on_show} keeps_recent={page.settings.keeps_recent} {on_sees} {on_broken} send={send.clone()} />
            <div class="side">
                { wires.alerts }
                <Ranking {loading} {phase} lines={page.lines()} answer={page.ranking.answer.clone()} {camera}
                    has_failed={matches!(page.loading.engine, Engine::Failed(_))} {better} />
                <LabelField labels={page.settings.labels.clone()} sets={page.settings.sets.clone()} refused={page.refused.clone()} n_refused={page.n_refused} is_english_only={page.ranks_starter() && language::spoken() != Language::En}
                    input={label_input} toasts={wires.toasts} send={send.clone()} />
                <Compare settings={page.settings.clone()} {from_model} none_line={page.none_line()} {send} />
            </div>
        </>
    }
}

/// Whether the key belongs to an input method. WebKit ends the composition before the key that confirms it, and tells by
/// the code alone.
fn is_composing(event: &KeyboardEvent) -> bool {
    const BY_INPUT_METHOD: u32 = 229;
    event.is_composing() || event.key_code() == BY_INPUT_METHOD
}
