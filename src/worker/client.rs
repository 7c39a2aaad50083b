//! The page's ends of both channels.
//!
//! Invariant: pictures go to the engine's worker only, with the requests that name them; a frame crosses once.
//! Invariant: dropping an end ends its worker.

use super::Role;
use super::fetch::message;
use super::protocol::{Event, FetchEvent, FetchRequest, Request};
use gloo::events::EventListener;
use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, MessageEvent, Worker, WorkerOptions};

/// A worker and what it says.
struct Thread {
    worker: Worker,
    _listeners: [EventListener; 2],
}

impl Thread {
    /// Starts a worker; `on_event` hears everything that it says with what travels beside, and `crashed` makes its
    /// breakdown an event.
    fn start<E: DeserializeOwned + 'static>(
        role: Role,
        crashed: fn(String) -> E,
        on_event: impl Fn(E, JsValue) + Clone + 'static,
    ) -> Result<Self, JsValue> {
        let options = WorkerOptions::new();
        options.set_name(role.name());
        let worker = Worker::new_with_options(role.script(), &options)?;
        let (to_worker, not_started) = (worker.clone(), on_event.clone());
        spawn_local(async move {
            let started = program(role).await.and_then(|program| to_worker.post_message(&program));
            if let Err(error) = started {
                not_started(crashed(message(&error)), JsValue::UNDEFINED);
            }
        });
        let on_error = on_event.clone();
        let message = EventListener::new(&worker, "message", move |event| {
            let data = event.dyn_ref::<MessageEvent>().map(MessageEvent::data).unwrap_or_default();
            let parts = data.dyn_into::<Array>().unwrap_or_default();
            let event = match parts.get(0).as_string().as_deref().map(serde_json::from_str) {
                Some(Ok(event)) => event,
                // A worker of another version is in a cache: as good as broken.
                Some(Err(error)) => crashed(format!("unknown message: {error}")),
                None => crashed("a message without text".to_owned()),
            };
            on_event(event, parts.get(1));
        });
        let error = EventListener::new(&worker, "error", move |event| {
            let error = event.dyn_ref::<web_sys::ErrorEvent>();
            let text = error.map_or("the script did not load".to_owned(), |error| error.message());
            on_error(crashed(text), JsValue::UNDEFINED);
        });
        Ok(Self { worker, _listeners: [message, error] })
    }

    /// What of `payload` is in `transfer` changes sides, the rest is shared or copied.
    fn send(
        &self,
        request: &impl Serialize,
        payload: Option<&JsValue>,
        transfer: &Array,
    ) -> Result<(), JsValue> {
        let text = serde_json::to_string(request).map_err(|error| JsValue::from_str(&error.to_string()))?;
        let message = Array::of1(&text.into());
        payload.iter().for_each(|payload| _ = message.push(payload));
        self.worker.post_message_with_transfer(&message, transfer)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

/// What a worker runs, as its script expects it: the address of its JavaScript, and its WebAssembly. The engine's was
/// compiled by static/boot.js, beside the page's own program; the downloader's is an address that names the page's version.
async fn program(role: Role) -> Result<JsValue, JsValue> {
    let script =
        gloo::utils::document().query_selector("script[data-js]")?.ok_or("no script of the page's")?;
    let data = |name: &str| JsValue::from(script.get_attribute(name));
    let program = match role {
        Role::Engine => {
            let compile: Function = Reflect::get(&script, &"engine".into())?.dyn_into()?;
            let module = JsFuture::from(compile.call0(&script)?.dyn_into::<Promise>()?).await?;
            Array::of2(&data("data-engine-js"), &module)
        }
        Role::Downloader => Array::of2(&data("data-downloader-js"), &data("data-downloader-wasm")),
    };
    Ok(program.into())
}

/// The engine's worker.
pub struct Client {
    thread: Thread,
    /// Ids of frames grow.
    last_frame: Cell<u64>,
}

impl Client {
    /// Starts a worker; `on_event` hears everything that it says, its breakdown included, with the pixels of a
    /// [`Crop`](super::protocol::Crop).
    pub fn start(on_event: impl Fn(Event, Option<Uint8Array>) + Clone + 'static) -> Result<Self, JsValue> {
        let on_event = move |event, payload: JsValue| on_event(event, payload.dyn_into().ok());
        let thread = Thread::start(Role::Engine, Event::Crashed, on_event)?;
        Ok(Self { thread, last_frame: Cell::new(0) })
    }

    /// Asks for a model, with its file where it is the reader's.
    pub fn load(&self, request: &Request, file: Option<&JsValue>) -> Result<(), JsValue> {
        self.thread.send(request, file, &Array::new())
    }

    /// Sends anything else, with those of its pictures that are at hand: files as often as they are named, since only a
    /// handle travels, and a frame once.
    pub fn send(&self, request: &Request, picture: impl Fn(u64) -> Option<JsValue>) -> Result<(), JsValue> {
        let (pictures, frames) = (Array::new(), Array::new());
        for &id in request.pictures() {
            let Some(payload) = picture(id) else { continue };
            if payload.is_instance_of::<web_sys::ImageBitmap>() {
                if id <= self.last_frame.replace(id.max(self.last_frame.get())) {
                    continue;
                }
                frames.push(&payload);
            }
            pictures.push(&Array::of2(&(id as f64).into(), &payload));
        }
        self.thread.send(request, Some(&pictures), &frames)
    }
}

/// The downloader.
pub struct Downloader(Thread);

impl Downloader {
    /// Starts the worker; `on_event` hears everything that it says, with the model where it could not be stored.
    pub fn start(on_event: impl Fn(FetchEvent, Option<Blob>) + Clone + 'static) -> Result<Self, JsValue> {
        let on_event = move |event, payload: JsValue| on_event(event, payload.dyn_into().ok());
        Thread::start(Role::Downloader, FetchEvent::Crashed, on_event).map(Self)
    }

    /// Sends `request`, with the files of an import as an array.
    pub fn send(&self, request: &FetchRequest, files: Option<&JsValue>) -> Result<(), JsValue> {
        self.0.send(request, files, &Array::new())
    }
}

/// Asks the browser not to clear what is stored by itself; only pages may ask. The answer is in the next
/// [`Store`](super::protocol::Store).
pub fn ask_to_persist() {
    let ask = || {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
        let storage = Reflect::get(&navigator, &"storage".into())?;
        let persist: js_sys::Function = Reflect::get(&storage, &"persist".into())?.dyn_into()?;
        persist.call0(&storage)?.dyn_into::<Promise>()
    };
    drop(ask()); // a browser without it does as it likes
}
