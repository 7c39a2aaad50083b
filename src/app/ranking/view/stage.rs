//! The stage: an invitation, the picture, or the camera.

use super::recents::Recents;
use crate::app::edits::Edit;
use crate::app::hooks::{CameraControl, use_language};
use crate::app::parts::icon::{Button, icon};
use crate::app::ranking::camera::{Camera, Stop};
use crate::app::ranking::stage::Picture;
use crate::app::state::Action;
use crate::app::strings;
use crate::worker::protocol::Answer;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Blob, HtmlElement, HtmlImageElement};
use yew::prelude::*;

/// A picture that comes with the page.
pub struct Sample {
    pub name: &'static str,
    pub file: &'static str,
}

/// Those come first of which the model is surest.
pub const SAMPLES: [Sample; 6] = [
    Sample { name: "cat", file: "samples/cat.jpg" },
    Sample { name: "coffee", file: "samples/coffee.jpg" },
    Sample { name: "flower", file: "samples/flower.jpg" },
    Sample { name: "guitar", file: "samples/guitar.png" },
    Sample { name: "rocket", file: "samples/rocket.jpg" },
    Sample { name: "astronaut", file: "samples/astronaut.jpg" },
];

#[derive(Clone, PartialEq, Properties)]
pub struct StageProps {
    pub picture: Option<Picture>,
    /// Pictures that came together, and their answers as far as they are there.
    pub tray: Vec<(Picture, Option<Rc<Answer>>)>,
    pub camera: Camera,
    pub control: CameraControl,
    pub is_mirrored: bool,
    /// The winner and its percentage, for the camera's overlay.
    pub top: Option<(String, String)>,
    pub rate: f64,
    pub is_over: bool,
    /// The main pointer is a finger: the system's own camera is one of the ways to open a picture.
    pub is_touch: bool,
    /// A picture is on its way: its place is kept, so that nothing moves when it comes.
    pub is_coming: bool,
    pub on_open: Callback<()>,
    pub on_sample: Callback<usize>,
    /// Shows files, each with its name.
    pub on_show: Callback<Vec<(Blob, String)>>,
    /// The last pictures stay on the device.
    pub keeps_recent: bool,
    /// Shows what the model sees.
    pub on_sees: Callback<()>,
    pub on_broken: Callback<u64>,
    pub send: Callback<Action>,
}

#[component]
pub fn Stage(props: &StageProps) -> Html {
    use_language();
    let (view, inside) = match (&props.camera, &props.picture) {
        (Camera::Off, None) if props.is_coming => ("picture", coming(props)),
        (Camera::Off, None) => ("empty", invitation(props)),
        (Camera::Off, Some(picture)) => {
            ("picture", html! { <Still key={picture.id} picture={picture.clone()} stage={props.clone()} /> })
        }
        _ => ("camera", camera(props)),
    };
    html! {
        <section class={classes!("stage", view, props.is_over.then_some("over"))} data-testid="stage" data-view={view}
            data-next="camera-shoot open" aria-label={strings::STAGE}>
            { inside }
            if props.is_over { <div class="drop-now"><p>{ icon("picture") }{ strings::DROP_NOW }</p></div> }
        </section>
    }
}

fn open_buttons(props: &StageProps, class: &'static str) -> Html {
    html! {
        <>
            <Button icon="open" label={if props.is_touch { strings::OPEN_BY_TOUCH } else { strings::OPEN }} testid="open" class={class} onclick={props.on_open.reform(|_| ())} />
            <Button icon="camera" label={strings::CAMERA} testid="camera-open"
                onclick={props.send.reform(|_| Action::OpenCamera)} />
        </>
    }
}

fn invitation(props: &StageProps) -> Html {
    html! {
        <div class="invitation">
            <div class="invite">
                { icon("picture") }
                if !props.is_touch {
                    <p class="title">{ strings::DROP_TITLE }</p>
                    <p class="hint">{ strings::DROP_HINT }</p>
                }
                <div class="row">{ open_buttons(props, "primary") }</div>
                if props.keeps_recent { <Recents on_show={props.on_show.clone()} send={props.send.clone()} /> }
            </div>
            <div class="samples-block">
                <p class="hint">{ strings::SAMPLES }</p>
                { samples(props) }
            </div>
        </div>
    }
}

fn samples(props: &StageProps) -> Html {
    let one = |(idx, sample): (usize, &Sample)| {
        let Sample { name, file } = sample;
        html! {
            <li key={*name}><button type="button" class="sample" data-testid={format!("sample-{name}")}
                aria-label={strings::sample(name)} onclick={props.on_sample.reform(move |_| idx)}>
                <img src={*file} alt="" draggable="false" width="96" height="96" />
            </button></li>
        }
    };
    html! { <ul class="samples">{ for SAMPLES.iter().enumerate().map(one) }</ul> }
}

#[derive(PartialEq, Properties)]
struct StillProps {
    picture: Picture,
    stage: StageProps,
}

/// A small picture is drawn no larger than this many times its own size: more would only be a blur.
const MAX_SCALE: u32 = 2;

#[component]
fn Still(props: &StillProps) -> Html {
    use_language();
    let StillProps { picture, stage: props } = props;
    let id = picture.id;
    let width = use_state(|| None::<u32>);
    let onload = {
        let width = width.setter();
        Callback::from(move |event: Event| {
            let natural = event.target_unchecked_into::<HtmlImageElement>().natural_width();
            width.set(Some(MAX_SCALE * natural));
        })
    };
    html! {
        <>
            <figure class="frame">
                <img class={classes!("picture", width.is_some().then_some("sized"))} data-testid="picture" src={picture.url.clone()} alt={picture.name.clone()}
                    width={width.map(|width| width.to_string())} draggable="false" {onload} onerror={props.on_broken.reform(move |_| id)} />
                <Button icon="close" label={strings::REMOVE_PICTURE} testid="picture-remove" class="over-picture" has_text={false}
                    onclick={props.send.reform(|_| Action::ClearPicture)} />
                <Button icon="eye" label={strings::SEES} testid="sees-open" class="over-picture second" has_text={false}
                    onclick={props.on_sees.reform(|_| ())} />
            </figure>
            if props.tray.len() > 1 { { tray(props, picture) } }
            <div class="tools">{ open_buttons(props, "") }{ samples(props) }</div>
        </>
    }
}

fn coming(props: &StageProps) -> Html {
    html! {
        <>
            <figure class="frame"></figure>
            <div class="tools">{ open_buttons(props, "") }{ samples(props) }</div>
        </>
    }
}

fn tray(props: &StageProps, on_stage: &Picture) -> Html {
    let one = |(picture, answer): &(Picture, Option<Rc<Answer>>)| {
        let first = answer.as_ref().and_then(|answer| answer.ranked.labels.first());
        let label = first.map(|line| strings::label_or_none(line.label.as_deref()));
        let is_on_stage = picture.id == on_stage.id;
        let show = {
            let picture = picture.clone();
            props.send.reform(move |_: MouseEvent| Action::Show(picture.clone()))
        };
        let show = (!is_on_stage).then_some(show);
        html! {
            <li key={picture.id}><button type="button" class="thumb" data-testid="tray-picture" data-name={picture.name.clone()}
                title={strings::show_picture(&picture.name)} aria-current={is_on_stage.then_some("true")} onclick={show}>
                <img src={picture.url.clone()} alt="" draggable="false" loading="lazy" decoding="async" width="56" height="56" />
                <span class="name" data-testid="tray-label">{ label.unwrap_or("…") }</span>
                <span class="percent">{ first.map(|line| strings::percent(line.probability)) }</span>
            </button></li>
        }
    };
    html! { <ul class="tray" data-testid="tray" aria-label={strings::TRAY}>{ for props.tray.iter().map(one) }</ul> }
}

fn camera(props: &StageProps) -> Html {
    let is_live = props.camera == Camera::On { is_live: true };
    let CameraControl { video, n_cameras, switch, shoot } = &props.control;
    let send = |action: Action| props.send.reform(move |()| action.clone());
    html! {
        <>
            <figure class="frame">
                <video ref={video} class={classes!("picture", props.is_mirrored.then_some("mirrored"))}
                    data-testid="camera-video" playsinline=true muted=true aria-label={strings::CAMERA}></video>
                if props.camera == Camera::Opening { <p class="opening">{ strings::CAMERA_OPENING }</p> }
                if is_live {
                    <p class="live-rate" data-testid="live-rate">{ icon("live") }{ strings::CAMERA_LIVE }{ " · " }{ strings::rate(props.rate) }</p>
                    if let Some((label, percent)) = &props.top {
                        <p class="live-top" data-testid="live-top"><b dir="auto">{ label }</b>{ " " }{ percent }</p>
                    }
                }
            </figure>
            <div class="tools camera-tools" data-next="camera-open">
                <Button icon="stop" label={strings::CAMERA_STOP} testid="camera-stop" onclick={send(Action::CloseCamera(Stop::Asked)).reform(|_| ())} />
                <Button icon="live" label={strings::CAMERA_LIVE} testid="camera-live" is_pressed={Some(is_live)}
                    onclick={tool(send(Action::SetLive(!is_live)))} />
                <Button icon="camera" label={strings::CAMERA_SHOOT} testid="camera-shoot" class="primary" onclick={shoot.reform(|_| ())} />
                <Button icon="mirror" label={strings::CAMERA_MIRROR} testid="camera-mirror" has_text={false} is_pressed={Some(props.is_mirrored)}
                    onclick={tool(send(Action::Edit(Edit::IsMirrored(!props.is_mirrored))))} />
                if *n_cameras > 1 {
                    <Button icon="switch" label={strings::CAMERA_SWITCH} testid="camera-switch" has_text={false} onclick={tool(switch.clone())} />
                }
            </div>
        </>
    }
}

/// A press on a tool of the camera. After a click the shutter gets the focus, so that Space takes the picture and does not
/// press the tool again; who works with keys stays where they are.
fn tool(press: Callback<()>) -> Callback<MouseEvent> {
    Callback::from(move |event: MouseEvent| {
        press.emit(());
        let is_by_pointer = event.detail() > 0;
        if is_by_pointer {
            let shutter =
                gloo::utils::document().query_selector("[data-testid=\"camera-shoot\"]").ok().flatten();
            shutter.iter().for_each(|shutter| drop(shutter.unchecked_ref::<HtmlElement>().focus()));
        }
    })
}
