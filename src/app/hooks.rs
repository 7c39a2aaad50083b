//! Effects: each hook ties one thing outside the page to its state.
//!
//! Invariant: what a hook starts it also stops: listeners, timers, tracks, the worker.

use super::edits::Edit;
use super::given::{Given, Place, Taken};
use super::history::Direction;
use super::language::{self, Language};
use super::models::picker::{CatalogueState, Pick};
use super::ranking::answer::Phase;
use super::ranking::camera::{Camera, Stop};
use super::ranking::look::Seen;
use super::ranking::stage::Picture;
use super::ranking::view::stage::SAMPLES;
use super::services::{
    Arrival, Pictures, SETTINGS_KEY, camera, catalogue, connection, device, fragment, gpu_mark, last_picture,
    leave_link, motion, recent, speak, store_settings, text_of, wanted_language,
};
use super::settings::Settings;
use super::state::{Action, State};
use super::strings;
use super::window::Window;
use crate::worker::client::{Client, Downloader, ask_to_persist};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{Event, FetchRequest, Request};
use gloo::events::{EventListener, EventListenerOptions};
use gloo::timers::future::TimeoutFuture;
use js_sys::{Array, Reflect};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, ClipboardEvent, DragEvent, Element, Event as DomEvent, EventTarget, HtmlElement, HtmlVideoElement,
    KeyboardEvent, MediaStream, MutationObserver, MutationObserverInit, StorageEvent, Url,
};
use yew::prelude::*;

/// The page's state with the way to change it.
pub type Page = UseReducerHandle<State>;

/// A graphics processor that has not answered after this long is one that a reader gives up on.
const PATIENCE_MILLIS: f64 = 5_000.0;
/// A video that has no frame yet is looked at again after this.
const NO_FRAME_MILLIS: u32 = 40;
/// A camera that gives none for so long will give none.
const MAX_NO_FRAME_MILLIS: f64 = 4_000.0;

/// A long list's row and view before they were measured.
const FIRST_ROW_PIXELS: f64 = 36.0;
const FIRST_VIEW_PIXELS: f64 = 400.0;

/// Of the wall clock.
fn now_millis() -> f64 {
    js_sys::Date::now()
}

/// The worker: started, replaced when it breaks down, told what to load and what to rank. Returns the way to tell
/// it anything else.
#[hook]
pub fn use_engine(page: &Page, pictures: &Rc<Pictures>) -> Callback<Request> {
    let client = use_mut_ref(|| None::<Client>);
    {
        let (client, tell) = (client.clone(), page.dispatcher());
        use_effect_with(page.loading.worker_generation, move |_| {
            let heard = tell.clone();
            let started = Client::start(move |event, pixels| {
                heard.dispatch(match (event, pixels) {
                    (Event::Crop(crop), Some(rgb)) => Action::Seen(Seen { crop, rgb: rgb.to_vec().into() }),
                    (event, _) => Action::Told { event, millis: now_millis() },
                });
            });
            match started {
                Ok(started) => drop(client.replace(Some(started))),
                Err(error) => tell.dispatch(Action::WorkerMissing(format!("{error:?}"))),
            }
            move || drop(client.take())
        });
    }
    let send = {
        let (tell, pictures) = (page.dispatcher(), pictures.clone());
        Callback::from(move |(request, file): (Request, Option<u64>)| {
            let file = file.and_then(|id| pictures.get(id));
            let send = |client: &Client| match request {
                Request::Load { .. } => client.load(&request, file.as_ref()),
                _ => client.send(&request, |id| pictures.get(id)),
            };
            let sent = client.borrow().as_ref().map_or(Ok(()), send);
            if let Err(error) = sent {
                tell.dispatch(Action::Fail(Problem::new(Code::EngineFailed, format!("{error:?}"))));
            }
        })
    };
    {
        let (send, model, backend) =
            (send.clone(), page.loading.model.clone(), page.settings.backend_in_use());
        use_effect_with(page.loading.load_generation, move |generation| {
            if *generation > 0 {
                let request = Request::Load { id: *generation, model: model.to_ref(), backend };
                send.emit((request, model.payload()));
            }
        });
    }
    {
        let send = send.clone();
        use_effect_with(page.crop_request(), move |request| {
            if let Some((id, picture)) = *request {
                send.emit((Request::Crop { id, picture }, None));
            }
        });
    }
    {
        let (send, pictures, in_use) = (send.clone(), pictures.clone(), page.payloads_in_use());
        use_effect_with(page.question(), move |question| {
            if let Some(question) = question {
                send.emit((Request::Rank(question.clone()), None));
            }
            pictures.keep(&in_use);
        });
    }
    send.reform(|request| (request, None))
}

/// The downloader, once the picker needs it: started, replaced, told what the picker wants.
#[hook]
pub fn use_downloader(page: &Page, pictures: &Rc<Pictures>) {
    let downloader = use_mut_ref(|| None::<Downloader>);
    {
        let (downloader, tell, pictures) = (downloader.clone(), page.dispatcher(), pictures.clone());
        use_effect_with(page.picker.generation, move |generation| {
            let heard = tell.clone();
            let start = || {
                Downloader::start(move |event, payload| {
                    let payload = payload.map(|model| pictures.put(model.into()));
                    heard.dispatch(Action::Pick(Pick::Heard(event, payload)));
                })
            };
            match (*generation > 0).then(start) {
                Some(Ok(started)) => drop(downloader.replace(Some(started))),
                Some(Err(error)) => {
                    tell.dispatch(Action::Pick(Pick::DownloaderMissing(format!("{error:?}"))));
                }
                None => {}
            }
            move || drop(downloader.take())
        });
    }
    let (tell, pictures) = (page.dispatcher(), pictures.clone());
    use_effect_with(page.picker.sendings().to_vec(), move |sendings| {
        for (request, id) in sendings {
            if matches!(request, FetchRequest::Start { .. } | FetchRequest::Import { .. }) {
                ask_to_persist();
            }
            let payload = id.and_then(|id| pictures.get(id));
            let sent = downloader.borrow().as_ref().map_or(Ok(()), |end| end.send(request, payload.as_ref()));
            if let Err(error) = sent {
                tell.dispatch(Action::Pick(Pick::DownloaderMissing(format!("{error:?}"))));
            }
        }
        if !sendings.is_empty() {
            tell.dispatch(Action::Pick(Pick::Sent(sendings.len())));
        }
    });
}

/// What the browser tells of the device, once and whenever the line changes.
#[hook]
pub fn use_device(page: &Page) {
    let tell = page.dispatcher();
    use_effect_with((), move |()| {
        let look = move || {
            let tell = tell.clone();
            spawn_local(async move { tell.dispatch(Action::Pick(Pick::Device(device().await))) });
        };
        look();
        let listener = connection().map(|line| EventListener::new(&line, "change", move |_| look()));
        move || drop(listener)
    });
}

/// The curated list, fetched when it is first wanted, and again when it is asked for after a failure.
#[hook]
pub fn use_catalogue(page: &Page, is_wanted: bool) {
    let is_wanted = is_wanted && page.picker.catalogue == CatalogueState::Unread;
    let tell = page.dispatcher();
    use_effect_with(is_wanted, move |is_wanted| {
        if *is_wanted {
            spawn_local(async move {
                let read = catalogue().await.map(Rc::new);
                tell.dispatch(Action::Pick(Pick::CatalogueRead(read)));
            });
        }
    });
}

/// The page speaks the language that was chosen, or the browser's, as soon as its file has come. Returns the language that
/// it speaks, and how many files came or failed to come.
#[hook]
pub fn use_speech(page: &Page) -> (Language, usize) {
    let spoken = use_state_eq(|| (language::spoken(), 0));
    {
        let spoken = spoken.clone();
        let n_done = use_mut_ref(|| 0);
        use_effect_with(wanted_language(page.settings.language), move |wanted| {
            let wanted = *wanted;
            spawn_local(async move {
                speak(wanted).await;
                *n_done.borrow_mut() += 1;
                spoken.set((language::spoken(), *n_done.borrow()));
            });
        });
    }
    *spoken
}

/// Draws a component anew when the page speaks another language: what it says is looked up while it is drawn.
#[hook]
pub fn use_language() {
    use_context::<Language>();
}

/// Settings are kept as soon as they change; an address that says other labels than the page's is let go of, or a reload
/// would bring them back.
#[hook]
pub fn use_stored(page: &Page) {
    use_effect_with(page.kept_settings(), store_settings);
    use_effect_with((page.settings.clone(), page.is_borrowed()), |(settings, is_borrowed)| {
        if !is_borrowed {
            leave_link(settings);
        }
    });
}

/// A mark in the browser's storage while the graphics processor is tried. Who leaves before it answered takes the mark away,
/// unless it had been waited for in vain; who hides the page may find it gone for other reasons.
#[hook]
pub fn use_gpu_watch(page: &Page) {
    use_effect_with(page.is_trying_gpu(), |is_trying| {
        let started = now_millis();
        let listeners = is_trying.then(|| {
            gpu_mark::set();
            let left = EventListener::new(&gloo::utils::window(), "pagehide", move |_| {
                if now_millis() - started < PATIENCE_MILLIS {
                    gpu_mark::remove();
                }
            });
            let hidden = EventListener::new(&gloo::utils::document(), "visibilitychange", move |_| {
                if gloo::utils::document().hidden() && now_millis() - started < PATIENCE_MILLIS {
                    gpu_mark::remove();
                }
            });
            (left, hidden)
        });
        move || {
            if listeners.is_some() {
                gpu_mark::remove();
            }
            drop(listeners);
        }
    });
}

/// Labels from elsewhere: another link in this tab, back and forward, another tab's edits.
#[hook]
pub fn use_elsewhere(page: &Page) {
    let tell = page.dispatcher();
    use_effect_with((), move |()| {
        let window = gloo::utils::window();
        let go = tell.clone();
        let hash = EventListener::new(&window, "hashchange", move |_| go.dispatch(Action::GoTo(fragment())));
        let storage = EventListener::new(&window, "storage", move |event| {
            let Some(event) = event.dyn_ref::<StorageEvent>() else { return };
            let stored = event.new_value().filter(|_| event.key().as_deref() == Some(SETTINGS_KEY));
            if let Some(stored) = stored {
                tell.dispatch(Action::Elsewhere(Box::new(Settings::read(&stored))));
            }
        });
        move || drop((hash, storage))
    });
}

/// The way to put pictures on the stage: the first, and the others beside it.
#[hook]
pub fn use_show(page: &Page, pictures: &Rc<Pictures>) -> Callback<Vec<(Blob, String)>> {
    let urls: Vec<String> = page.pictures().map(|picture| picture.url.clone()).collect();
    let before = use_mut_ref(Vec::<String>::new);
    use_effect_with(urls, move |urls| {
        let gone = before.replace(urls.clone()).into_iter().filter(|url| !urls.contains(url));
        gone.for_each(|url| drop(Url::revoke_object_url(&url)));
    });
    let (tell, pictures) = (page.dispatcher(), pictures.clone());
    Callback::from(move |blobs: Vec<(Blob, String)>| {
        let picture = |(blob, name): (Blob, String)| {
            let url = Url::create_object_url_with_blob(&blob)?;
            Ok(Picture { id: pictures.put(blob.into()), name, url })
        };
        let shown: Result<Vec<Picture>, JsValue> = blobs.into_iter().map(picture).collect();
        tell.dispatch(match shown {
            Ok(mut shown) if shown.len() == 1 => Action::Show(shown.remove(0)),
            Ok(shown) => Action::ShowAll(shown),
            Err(error) => Action::Fail(Problem::new(Code::PictureUnreadable, format!("{error:?}"))),
        });
    })
}

/// The picture of the last visit in this tab comes back; the one on the stage is kept for the next. Returns whether one is
/// still to come.
#[hook]
pub fn use_last_picture(page: &Page, pictures: &Rc<Pictures>) -> bool {
    let is_read = use_state(|| false);
    let was_kept = use_memo((), |()| last_picture::is_kept());
    let is_coming = *was_kept && !*is_read;
    {
        let (tell, pictures, is_read) = (page.dispatcher(), pictures.clone(), is_read.setter());
        use_effect_with((), move |()| {
            spawn_local(async move {
                let found = last_picture::read().await;
                let found = found.and_then(|(blob, name)| {
                    Some((Url::create_object_url_with_blob(&blob).ok()?, blob, name))
                });
                if let Some((url, blob, name)) = found {
                    tell.dispatch(Action::ShowAgain(Picture { id: pictures.put(blob.into()), name, url }));
                }
                is_read.set(true);
            });
        });
    }
    let pictures = pictures.clone();
    use_effect_with((*is_read, page.stage.picture.clone()), move |(is_read, picture)| {
        let file =
            picture.as_ref().and_then(|picture| Some((pictures.get(picture.id)?, picture.name.clone())));
        if *is_read {
            spawn_local(async move {
                match file.and_then(|(file, name)| Some((file.dyn_into::<Blob>().ok()?, name))) {
                    Some((file, name)) => last_picture::keep(&file, &name).await,
                    None => last_picture::forget().await,
                }
            });
        }
    });
    is_coming
}

/// Keeps the pictures that were ranked with their winners; deletes them all when the reader wants none kept.
#[hook]
pub fn use_recent(page: &Page, pictures: &Rc<Pictures>) {
    let is_wanted = page.settings.keeps_recent;
    use_effect_with(is_wanted, |is_wanted| {
        if !is_wanted {
            recent::delete_all();
        }
    });
    let winner = || {
        let answer = page.ranking.answer.as_ref().filter(|_| page.phase() == Phase::Settled)?;
        let first = answer.ranked.labels.first()?;
        let picture = page.stage.picture.clone().filter(|picture| Some(picture.id) == page.stage.still())?;
        let label = first.label.clone().unwrap_or_default();
        Some((picture, label, strings::percent(first.probability)))
    };
    let (winner, pictures) = (winner().filter(|_| is_wanted), pictures.clone());
    use_effect_with(winner, move |winner| {
        let Some((picture, label, percent)) = winner.clone() else { return };
        let file = pictures.get(picture.id).and_then(|file| file.dyn_into::<Blob>().ok());
        let is_sample = SAMPLES.iter().any(|sample| sample.name == picture.name);
        if let Some(file) = file.filter(|_| !is_sample) {
            // Without storage, or room in it, the strip goes without.
            spawn_local(async move { drop(recent::keep(file, picture.name, label, percent).await) });
        }
    });
}

/// The way to take what was given, however it came. Returns whether anything was taken: else the browser may do what it does.
#[hook]
pub fn use_take(
    page: &Page,
    pictures: &Rc<Pictures>,
    show: &Callback<Vec<(Blob, String)>>,
) -> Callback<(Arrival, Place), bool> {
    let (tell, pictures, show) = (page.dispatcher(), pictures.clone(), show.clone());
    Callback::from(move |(arrival, place): (Arrival, Place)| {
        let Arrival { given, files } = arrival;
        let with_name = |idx: usize| (files[idx].clone().into(), files[idx].name());
        let tell_of = |left_out: Vec<String>| {
            if !left_out.is_empty() {
                tell.dispatch(Action::LeftOut(left_out));
            }
        };
        match given.taken(place) {
            Taken::Pictures { pictures, left_out } => {
                show.emit(pictures.into_iter().map(with_name).collect());
                tell_of(left_out);
            }
            Taken::Model { files: which, left_out } => {
                let names = which.iter().map(|idx| files[*idx].name()).collect();
                let payload = which.iter().map(|idx| JsValue::from(&files[*idx])).collect::<Array>();
                let payload = pictures.put(payload.into());
                tell.dispatch(Action::Pick(Pick::Import { payload, names }));
                tell_of(left_out);
            }
            Taken::Labels(text) if place == Place::LabelField => tell.dispatch(Action::Edit(Edit::Add(text))),
            Taken::Labels(text) => tell.dispatch(Action::Edit(Edit::Paste(text))),
            Taken::LabelFile(idx) => {
                let (tell, file) = (tell.clone(), files[idx].clone());
                spawn_local(async move { tell.dispatch(Action::Edit(Edit::Paste(text_of(&file).await))) });
            }
            Taken::LeftToField => return false,
            Taken::Address | Taken::Nothing => {
                tell.dispatch(Action::Fail(Problem::new(Code::PictureNotAFile, "")));
            }
        }
        true
    })
}

/// What the system hands over.
#[hook]
pub fn use_handed(take: &Callback<(Arrival, Place), bool>) {
    let take = take.clone();
    use_effect_with((), move |()| {
        spawn_local(async move {
            let handed = Arrival::handed().await.ok().filter(|arrival| !arrival.files.is_empty());
            handed.into_iter().for_each(|arrival| _ = take.emit((arrival, Place::Page)));
        });
    });
}

/// What is dropped anywhere or pasted; says whether something is held over the page.
#[hook]
pub fn use_intake(take: &Callback<(Arrival, Place), bool>) -> bool {
    let is_over = use_state(|| false);
    let (take, over) = (take.clone(), is_over.setter());
    use_effect_with((), move |_| {
        let window = gloo::utils::window();
        let options = EventListenerOptions::enable_prevent_default();
        let listen = |name: &'static str, heard: Box<dyn Fn(&DomEvent)>| {
            EventListener::new_with_options(&window, name, options, heard)
        };
        let (entered, left, dropped) = (over.clone(), over.clone(), over);
        let on_drop = take.clone();
        let listeners = [
            listen(
                "dragover",
                Box::new(move |event| {
                    if !is_left_to_field(event) {
                        event.prevent_default();
                        entered.set(true);
                    }
                }),
            ),
            listen(
                "dragleave",
                Box::new(move |event| {
                    // Out of the window, not from one part of it to the next.
                    if event.dyn_ref::<DragEvent>().is_some_and(|event| event.related_target().is_none()) {
                        left.set(false);
                    }
                }),
            ),
            listen(
                "drop",
                Box::new(move |event| {
                    dropped.set(false);
                    if is_left_to_field(event) {
                        return;
                    }
                    event.prevent_default();
                    let data = event.dyn_ref::<DragEvent>().and_then(DragEvent::data_transfer);
                    on_drop.emit((Arrival::carried(data.as_ref()), Place::Page));
                }),
            ),
            listen(
                "paste",
                Box::new(move |event| {
                    let data = event.dyn_ref::<ClipboardEvent>().and_then(ClipboardEvent::clipboard_data);
                    let arrival = Arrival::carried(data.as_ref());
                    let place = place(event);
                    // An empty clipboard is no mistake where a field has the focus.
                    let is_nothing = place != Place::Page && arrival.given == Given::default();
                    if !is_nothing && take.emit((arrival, place)) {
                        event.prevent_default();
                    }
                }),
            ),
        ];
        move || drop(listeners)
    });
    *is_over
}

/// Text that is dragged over a field which is not for labels: the browser puts it in.
fn is_left_to_field(event: &DomEvent) -> bool {
    let data = event.dyn_ref::<DragEvent>().and_then(DragEvent::data_transfer);
    let has_files = data.is_some_and(|data| data.types().includes(&"Files".into(), 0));
    place(event) == Place::OtherField && !has_files
}

/// Where something was given. A dialog lies over the page: nothing but its own fields takes text then.
fn place(event: &DomEvent) -> Place {
    if is_within(event, "#label-input, .chip-editor") {
        Place::LabelField
    } else if is_within(event, "input, textarea, dialog") {
        Place::OtherField
    } else {
        Place::Page
    }
}

/// Single keys, outside of fields and dialogs; `on_key` says whether the key meant something.
#[hook]
pub fn use_keys(is_on: bool, on_key: Callback<String, bool>) {
    use_effect_with((is_on, on_key), move |(is_on, on_key)| {
        let on_key = on_key.clone();
        let options = EventListenerOptions::enable_prevent_default();
        let listener = is_on.then(|| {
            EventListener::new_with_options(&gloo::utils::window(), "keydown", options, move |event| {
                let Some(key) = event.dyn_ref::<KeyboardEvent>() else { return };
                let has_modifier = key.ctrl_key() || key.meta_key() || key.alt_key();
                let pressed = key.key();
                // A space presses the button that has the focus.
                let is_taken = is_within(event, "input, textarea, select, dialog")
                    || (pressed == " " && is_within(event, "button, a, summary, [tabindex]"));
                // A key that has done something here is not typed besides, into what got the focus by it.
                if !has_modifier && !is_taken && !key.repeat() && on_key.emit(pressed) {
                    event.prevent_default();
                }
            })
        });
        move || drop(listener)
    });
}

/// Ctrl+Z and Ctrl+Shift+Z (or Ctrl+Y) take steps back and forth; within a field they are the field's.
#[hook]
pub fn use_steps(page: &Page) {
    let tell = page.dispatcher();
    use_effect_with((), move |()| {
        let options = EventListenerOptions::enable_prevent_default();
        let listener =
            EventListener::new_with_options(&gloo::utils::window(), "keydown", options, move |event| {
                let Some(key) = event.dyn_ref::<KeyboardEvent>() else { return };
                let has_command = (key.ctrl_key() || key.meta_key()) && !key.alt_key();
                let direction = match key.key().to_ascii_lowercase().as_str() {
                    "z" if key.shift_key() => Direction::Forth,
                    "y" => Direction::Forth,
                    "z" => Direction::Back,
                    _ => return,
                };
                // A field that holds nothing has nothing to take back.
                let is_typing =
                    is_within(event, "input, textarea") && !is_within(event, "input:placeholder-shown");
                if has_command && !is_typing && !is_within(event, "dialog") {
                    event.prevent_default();
                    tell.dispatch(Action::Step(direction));
                }
            });
        move || drop(listener)
    });
}

fn is_within(event: &DomEvent, selector: &str) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    target.is_some_and(|target| target.closest(selector).is_ok_and(|found| found.is_some()))
}

/// When what has the focus goes away, it passes to what came of it: what carries the same `data-testid`, else what the nearest
/// `data-next` names (several test ids, the first that is there counts), else what had it before.
#[hook]
pub fn use_kept_focus() {
    use_effect_with((), |()| {
        let history = Rc::new(RefCell::new(Vec::<Focused>::new()));
        let noted = history.clone();
        let listener = EventListener::new(&gloo::utils::document(), "focusin", move |event| {
            let element = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok());
            if let Some(element) = element {
                let mut history = noted.borrow_mut();
                history.retain(|focused| focused.element != element);
                if history.len() >= MAX_FOCUSED {
                    // What had it before a dialog opened is needed when that closes.
                    let place = history.iter().position(|focused| focused.is_in_dialog);
                    history.remove(place.unwrap_or_default());
                }
                history.push(Focused::new(element));
            }
        });
        let look = Closure::<dyn Fn()>::new(move || {
            // Taken out: what gets the focus is noted anew.
            let mut all = history.take();
            if has_focus() {
                history.replace(all);
            } else if let Some(lost) = all.pop() {
                if lost.is_there() {
                    // The reader let go of it by a press beside it.
                    all.push(lost);
                    history.replace(all);
                } else {
                    lost.pass_on(&all);
                    let mut now = history.borrow_mut();
                    all.append(&mut now);
                    *now = all;
                }
            }
        });
        let observer = MutationObserver::new(look.as_ref().unchecked_ref());
        if let Ok(observer) = &observer {
            let options = MutationObserverInit::new();
            options.set_child_list(true);
            options.set_subtree(true);
            options.set_attribute_filter(&Array::of3(
                &"disabled".into(),
                &"open".into(),
                &"data-view".into(),
            ));
            drop(observer.observe_with_options(&gloo::utils::body(), &options));
        }
        move || {
            observer.iter().for_each(MutationObserver::disconnect);
            drop((listener, look));
        }
    });
}

/// Elements that had the focus and are remembered.
const MAX_FOCUSED: usize = 8;

/// An element that had the focus, and who comes after it.
struct Focused {
    element: HtmlElement,
    /// By their test ids, its own first where it has one.
    next: Vec<String>,
    is_in_dialog: bool,
}

impl Focused {
    fn new(element: HtmlElement) -> Self {
        let mut next: Vec<String> = element.get_attribute("data-testid").into_iter().collect();
        let mut place = element.closest("[data-next]").ok().flatten();
        // A dialog that closes gives the focus back to what had it before.
        let dialog = element.closest("dialog").ok().flatten();
        let is_inside = |around: &Element| dialog.as_ref().is_none_or(|dialog| dialog.contains(Some(around)));
        while let Some(around) = place.filter(is_inside) {
            let names = around.get_attribute("data-next").unwrap_or_default();
            next.extend(names.split_whitespace().map(str::to_owned));
            place = around.parent_element().and_then(|parent| parent.closest("[data-next]").ok().flatten());
        }
        Self { element, next, is_in_dialog: dialog.is_some() }
    }

    /// Whether it is drawn, and can be pressed.
    fn is_there(&self) -> bool {
        let is_drawn = self.element.is_connected() && self.element.offset_width() > 0;
        is_drawn && !self.element.matches(":disabled").unwrap_or_default()
    }

    fn pass_on(&self, earlier: &[Focused]) {
        let document = gloo::utils::document();
        let takes = |element: &HtmlElement| element.focus().is_ok() && has_focus();
        let takes_by_name = |name: &String| {
            let found = document.query_selector(&format!("[data-testid=\"{name}\"]")).ok().flatten();
            found.is_some_and(|found| found.dyn_ref().is_some_and(takes))
        };
        // What had it before may have become another element of the same name.
        let takes_again = |focused: &Focused| {
            let name = focused.next.first().filter(|_| !focused.is_in_dialog);
            (focused.is_there() && takes(&focused.element)) || name.is_some_and(takes_by_name)
        };
        _ = self.next.iter().any(takes_by_name) || earlier.iter().rev().any(takes_again);
    }
}

/// Whether anything but the page as a whole has the focus, and may keep it: from what was closed or switched off a browser
/// takes it only when it draws next, and tells nobody.
fn has_focus() -> bool {
    let loses =
        |element: &Element| element.matches("body, :disabled, dialog:not([open]) *").unwrap_or_default();
    gloo::utils::document().active_element().is_some_and(|element| !loses(&element))
}

/// Where a keyboard on the screen lies over the page instead of making it smaller, what sticks to the page's end sticks to
/// the keyboard (`--keyboard` in the style sheet).
#[hook]
pub fn use_screen_keyboard() {
    use_effect_with((), |()| {
        let window = gloo::utils::window();
        let number = |object: &JsValue, name: &str| {
            Reflect::get(object, &name.into()).ok().and_then(|value| value.as_f64()).unwrap_or_default()
        };
        let viewport = Reflect::get(&window, &"visualViewport".into()).ok();
        let viewport = viewport.and_then(|viewport| viewport.dyn_into::<EventTarget>().ok());
        let listeners = viewport.map(|viewport| {
            ["resize", "scroll"].map(|name| {
                let shown = viewport.clone();
                EventListener::new(&viewport, name, move |_| {
                    // A page that was zoomed into shows a part of itself all the same.
                    let is_zoomed = (number(&shown, "scale") - 1.0).abs() > 0.01;
                    let seen = number(&shown, "height") + number(&shown, "offsetTop");
                    let hidden =
                        if is_zoomed { 0.0 } else { number(&gloo::utils::window(), "innerHeight") - seen };
                    let root = gloo::utils::document_element().unchecked_into::<HtmlElement>();
                    drop(root.style().set_property("--keyboard", &format!("{:.0}px", hidden.max(0.0))));
                })
            })
        });
        move || drop(listeners)
    });
}

/// What the stage needs of the camera.
#[derive(Clone, PartialEq)]
pub struct CameraControl {
    pub video: NodeRef,
    pub n_cameras: usize,
    pub switch: Callback<()>,
    pub shoot: Callback<()>,
}

/// The camera while the state wants one: opened, shown, its frames taken, closed when the tab hides.
#[hook]
pub fn use_camera(
    page: &Page,
    pictures: &Rc<Pictures>,
    show: &Callback<Vec<(Blob, String)>>,
) -> CameraControl {
    let video = use_node_ref();
    let devices = use_state(Vec::<String>::new);
    let choice = use_state(|| camera::Choice::Any);
    let current = use_mut_ref(|| None::<String>);
    let is_wanted = page.stage.camera != Camera::Off;
    {
        let (tell, video, devices, current) =
            (page.dispatcher(), video.clone(), devices.setter(), current.clone());
        use_effect_with((is_wanted, (*choice).clone()), move |(is_wanted, choice)| {
            let open = Rc::new(OpenCamera::default());
            if *is_wanted {
                let (open, choice) = (open.clone(), choice.clone());
                spawn_local(async move {
                    match open.start(&choice, &video, &tell).await {
                        Ok(device) => {
                            current.replace(device);
                            devices.set(camera::devices().await);
                        }
                        Err(_) if open.is_closed.get() => {}
                        Err(problem) => tell.dispatch(Action::Fail(problem)),
                    }
                });
            }
            move || open.close()
        });
    }
    {
        let tell = page.dispatcher();
        use_effect_with(is_wanted, move |is_wanted| {
            let listener = is_wanted.then(|| {
                EventListener::new(&gloo::utils::document(), "visibilitychange", move |_| {
                    if gloo::utils::document().hidden() {
                        tell.dispatch(Action::CloseCamera(Stop::TabHidden));
                    }
                })
            });
            move || drop(listener)
        });
    }
    {
        let (tell, video, pictures) = (page.dispatcher(), video.clone(), pictures.clone());
        use_effect_with(page.wants_frame(), move |wanted| {
            let is_over = Rc::new(Cell::new(wanted.is_none()));
            let is_cancelled = is_over.clone();
            spawn_local(async move {
                let start = now_millis();
                while !is_cancelled.get() {
                    let Some(video) = video.cast::<HtmlVideoElement>() else { return };
                    match camera::frame(&video).await {
                        Ok(frame) if !is_cancelled.get() => {
                            tell.dispatch(Action::Frame(pictures.put(frame.into())));
                            return;
                        }
                        Ok(frame) => frame.close(),
                        Err(error) if now_millis() - start > MAX_NO_FRAME_MILLIS => {
                            let problem = Problem::new(Code::CameraUnreadable, format!("{error:?}"));
                            return tell.dispatch(Action::Fail(problem));
                        }
                        Err(_) => TimeoutFuture::new(NO_FRAME_MILLIS).await,
                    }
                }
            });
            move || is_over.set(true)
        });
    }
    let switch = {
        let (devices, current) = (devices.clone(), current.clone());
        Callback::from(move |()| {
            let now = devices.iter().position(|id| Some(id) == current.borrow().as_ref());
            let next = now.map_or(0, |idx| idx + 1) % devices.len().max(1);
            if let Some(id) = devices.get(next) {
                choice.set(camera::Choice::Device(id.clone()));
            }
        })
    };
    let shoot = {
        let (tell, video, show) = (page.dispatcher(), video.clone(), show.clone());
        Callback::from(move |()| {
            let Some(video) = video.cast::<HtmlVideoElement>() else { return };
            let (tell, show) = (tell.clone(), show.clone());
            spawn_local(async move {
                match camera::still(&video).await {
                    Ok(blob) => show.emit(vec![(blob, strings::CAMERA_PICTURE.to_string())]),
                    Err(error) => {
                        tell.dispatch(Action::Fail(Problem::new(Code::CameraBusy, format!("{error:?}"))))
                    }
                }
            });
        })
    };
    CameraControl { video, n_cameras: devices.len(), switch, shoot }
}

/// One opening of the camera, from the request to its tracks' end.
#[derive(Default)]
struct OpenCamera {
    is_closed: Cell<bool>,
    stream: RefCell<Option<MediaStream>>,
    ended: RefCell<Vec<EventListener>>,
}

impl OpenCamera {
    /// Returns the id of the device.
    async fn start(
        &self,
        choice: &camera::Choice,
        video: &NodeRef,
        tell: &UseReducerDispatcher<State>,
    ) -> Result<Option<String>, Problem> {
        let stream = camera::open(choice).await?;
        // `stream.clone()` would be JavaScript's, which opens the camera a second time.
        self.stream.replace(Some(Clone::clone(&stream)));
        if self.is_closed.get() {
            // Closed while the browser was asking.
            self.close();
            return Ok(None);
        }
        let listeners = camera::tracks(&stream).into_iter().map(|track| {
            let tell = tell.clone();
            EventListener::new(&track, "ended", move |_| tell.dispatch(Action::CloseCamera(Stop::Gone)))
        });
        self.ended.replace(listeners.collect());
        let busy = |error: JsValue| Problem::new(Code::CameraBusy, format!("{error:?}"));
        let video = video.cast::<HtmlVideoElement>().ok_or_else(|| busy("no video element".into()))?;
        video.set_src_object(Some(&stream));
        JsFuture::from(video.play().map_err(busy)?).await.map_err(busy)?;
        tell.dispatch(Action::CameraOpened);
        Ok(camera::device_of(&stream))
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.ended.take();
        if let Some(stream) = self.stream.take() {
            camera::tracks(&stream).iter().for_each(web_sys::MediaStreamTrack::stop);
        }
    }
}

/// Lets the lines of a list glide to their new places.
#[hook]
pub fn use_gliding(list: &NodeRef, order: Vec<String>) {
    let places = use_mut_ref(HashMap::<String, f64>::new);
    let list = list.clone();
    use_effect_with(order, move |_| {
        let Some(list) = list.cast::<Element>() else { return };
        let children = list.children();
        let is_still = motion::is_reduced();
        let mut new = HashMap::new();
        for line in (0..children.length()).filter_map(|idx| children.item(idx)) {
            let Some(label) = line.get_attribute("data-label") else { continue };
            let top = line.get_bounding_client_rect().top() + list.scroll_top() as f64;
            let from = places.borrow().get(&label).map(|old| old - top).filter(|dy| dy.abs() > 1.0);
            if let Some(dy) = from.filter(|_| !is_still) {
                motion::glide(&line, dy);
            }
            new.insert(label, top);
        }
        places.replace(new);
    });
}

/// What is in view of a long list, and what its scroll event is to call. Rows carry `data-row`; those of a list that is not
/// long are all drawn.
#[hook]
pub fn use_window(list: &NodeRef, n_rows: usize, is_long: bool) -> (Window, Callback<DomEvent>) {
    let seen =
        use_state(|| Window { n_rows: 0, row_height: FIRST_ROW_PIXELS, top: 0.0, height: FIRST_VIEW_PIXELS });
    let window = Window { n_rows, ..*seen };
    let look = {
        let (list, seen) = (list.clone(), seen.setter());
        Rc::new(move |window: Window| {
            let Some(list) = list.cast::<Element>() else { return };
            let (top, height) = (list.scroll_top().into(), list.client_height().into());
            let row_height = row_height(&list).unwrap_or(window.row_height);
            let now = Window { top, height, row_height, ..window };
            // What draws the same rows is no news.
            if (now.rows(), now.room()) != (window.rows(), window.room()) {
                seen.set(now);
            }
        })
    };
    let onscroll = {
        let look = look.clone();
        Callback::from(move |_: DomEvent| look(window))
    };
    use_effect_with((n_rows, is_long, *seen), move |_| {
        let listener = is_long.then(|| {
            look(window);
            EventListener::new(&gloo::utils::window(), "resize", move |_| look(window))
        });
        move || drop(listener)
    });
    (window, onscroll)
}

/// From one row to the next, gaps included.
fn row_height(list: &Element) -> Option<f64> {
    let first = list.query_selector("[data-row]").ok()??;
    let top = first.get_bounding_client_rect().top();
    let next = first.next_element_sibling().filter(|next| next.has_attribute("data-row"));
    let height = next.map_or(first.get_bounding_client_rect().height(), |next| {
        next.get_bounding_client_rect().top() - top
    });
    (height > 0.0).then_some(height)
}
