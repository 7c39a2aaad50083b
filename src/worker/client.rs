//! The page's end of the channel.
//!
//! Invariant: a picture crosses once: its bytes go with the first question that names its id.
//! Invariant: dropping the client ends its worker.

use super::protocol::{Event, Request};
use gloo::events::EventListener;
use js_sys::Array;
use std::cell::Cell;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{MessageEvent, Worker};

pub struct Client {
    worker: Worker,
    sent_picture: Cell<u64>,
    _listeners: [EventListener; 2],
}

impl Client {
    /// Starts a worker; `on_event` hears everything that it says, its breakdown included.
    pub fn start(on_event: impl Fn(Event) + Clone + 'static) -> Result<Self, JsValue> {
        let worker = Worker::new("worker-boot.js")?;
        let on_error = on_event.clone();
        let message = EventListener::new(&worker, "message", move |event| {
            let data = event.dyn_ref::<MessageEvent>().map(MessageEvent::data).unwrap_or_default();
            let text = data.dyn_into::<Array>().ok().and_then(|parts| parts.get(0).as_string());
            match text.as_deref().map(serde_json::from_str::<Event>) {
                Some(Ok(event)) => on_event(event),
                // A worker of another version is in a cache: as good as broken.
                Some(Err(error)) => on_event(Event::Crashed(format!("unknown message: {error}"))),
                None => on_event(Event::Crashed("a message without text".to_owned())),
            }
        });
        let error = EventListener::new(&worker, "error", move |event| {
            let error = event.dyn_ref::<web_sys::ErrorEvent>();
            on_error(Event::Crashed(
                error.map_or("the script did not load".to_owned(), |error| error.message()),
            ));
        });
        Ok(Self { worker, sent_picture: Cell::new(0), _listeners: [message, error] })
    }

    /// Sends `request` with its `payload`: a model's file, or a picture (a blob or a bitmap, and its id) that the worker
    /// has not got yet.
    pub fn send(&self, request: &Request, payload: Option<(u64, &JsValue)>) -> Result<(), JsValue> {
        let text = serde_json::to_string(request).map_err(|error| JsValue::from_str(&error.to_string()))?;
        let message = Array::of1(&text.into());
        let transfer = Array::new();
        let is_picture = matches!(request, Request::Ask(_));
        if let Some((id, payload)) = payload.filter(|(id, _)| !is_picture || *id != self.sent_picture.get()) {
            message.push(payload);
            if payload.is_instance_of::<web_sys::ImageBitmap>() {
                transfer.push(payload);
            }
            if is_picture {
                self.sent_picture.set(id);
            }
        }
        self.worker.post_message_with_transfer(&message, &transfer)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}
