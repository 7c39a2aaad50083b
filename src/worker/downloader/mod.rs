//! The downloader's end of its channel: fetches a model's files, converts them as they arrive, and stores the result.
//!
//! ```text
//! files      a source's files, on a host or chosen by the reader: which there are, and their bytes
//! download   a model in hand: from files through the converter into the store, and where to go on
//! ```
//!
//! Invariant: the only thread that talks to other hosts. It sees addresses and weights, never a picture or a label.

mod download;
mod files;

use self::files::Files;
use crate::worker::fetch;
use crate::worker::model_store::{ModelStore, failed};
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{FetchEvent, FetchRequest, Order};
use gloo::events::EventListener;
use js_sys::Array;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, Blob, MessageEvent};

/// Listens; to be called once, by the worker's binary.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        tell(&FetchEvent::Crashed(info.to_string()), None);
    }));
    let host = Rc::new(Host::default());
    let listener = EventListener::new(&fetch::scope(), "message", move |event| {
        let data = event.dyn_ref::<MessageEvent>().map(MessageEvent::data).unwrap_or_default();
        let parts: Array = data.unchecked_into();
        match parts.get(0).as_string().map(|text| serde_json::from_str(&text)) {
            Some(Ok(request)) => host.take(request, parts.get(1)),
            Some(Err(error)) => tell(&FetchEvent::Crashed(format!("unknown request: {error}")), None),
            None => tell(&FetchEvent::Crashed("a request without text".to_owned()), None),
        }
    });
    listener.forget();
    tell(&FetchEvent::Hello, None);
    spawn_local(async {
        let store = ModelStore::open().await;
        store.tidy().await;
    });
}

#[derive(Default)]
struct Host {
    is_busy: Cell<bool>,
    running: RefCell<Option<Running>>,
    /// Asked for while another was running, which is paused for it.
    next: RefCell<Option<(u32, Task)>>,
}

struct Running {
    abort: AbortController,
    is_cancelled: bool,
}

/// What is to be stored.
struct Task {
    order: Order,
    /// Where the model's files are, or its pictures' and its texts'.
    files: Vec<Files>,
}

impl Host {
    fn take(self: &Rc<Self>, request: FetchRequest, payload: JsValue) {
        let host = self.clone();
        match request {
            FetchRequest::List => spawn_local(async { list(&ModelStore::open().await).await }),
            FetchRequest::Delete(key) => spawn_local(async move {
                let store = ModelStore::open().await;
                drop(store.delete(&key).await); // what is still there is still listed
                list(&store).await;
            }),
            FetchRequest::Pause => self.stop(false),
            FetchRequest::Cancel => self.stop(true),
            FetchRequest::Start { id, order } => match Files::remote(&order) {
                Ok(files) => host.run(id, Task { order, files }),
                Err(problem) => tell(&FetchEvent::Failed(id, problem), None),
            },
            FetchRequest::Import { id, format } => {
                let files: Vec<web_sys::File> = payload
                    .dyn_into::<Array>()
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|file| file.dyn_into().ok())
                    .collect();
                let name = |file: &web_sys::File| format!("{} {}", file.name(), file.size());
                let source = files.iter().map(name).collect::<Vec<_>>().join("\n");
                let order = Order { source, hub: String::new(), format, pinned: Vec::new() };
                host.run(id, Task { order, files: vec![Files::own(files)] });
            }
        }
    }

    fn stop(&self, is_cancelled: bool) {
        if let Some(running) = &mut *self.running.borrow_mut() {
            running.is_cancelled |= is_cancelled;
            running.abort.abort();
        }
    }

    fn run(self: Rc<Self>, id: u32, task: Task) {
        if let Some((id, _)) = self.next.replace(Some((id, task))) {
            tell(&FetchEvent::Failed(id, Problem::new(Code::LoadCancelled, "another was asked for")), None);
        }
        if self.is_busy.replace(true) {
            return self.stop(false);
        }
        spawn_local(async move {
            loop {
                let Some((id, task)) = self.next.take() else { break };
                self.run_task(id, task).await;
            }
            self.is_busy.set(false);
        });
    }

    async fn run_task(&self, id: u32, task: Task) {
        let abort = match AbortController::new() {
            Ok(abort) => abort,
            Err(error) => return tell(&FetchEvent::Failed(id, failed(error)), None),
        };
        let cancel = abort.signal();
        self.running.replace(Some(Running { abort, is_cancelled: false }));
        let store = ModelStore::open().await;
        let key = task.order.key();
        let is_cancelled = || self.running.borrow().as_ref().is_some_and(|running| running.is_cancelled);
        let outcome = download::run(id, &key, &store, &task, &cancel, &is_cancelled).await;
        let is_cancelled = is_cancelled();
        self.running.take();
        list(&store).await;
        match outcome {
            Ok((model, blob)) => tell(&FetchEvent::Finished(id, model), blob.as_ref()),
            Err(problem) if problem.code == Code::LoadCancelled && !is_cancelled => {
                tell(&FetchEvent::Paused(id), None);
            }
            Err(problem) => tell(&FetchEvent::Failed(id, problem), None),
        }
    }
}

async fn list(store: &ModelStore) {
    tell(&FetchEvent::Stored(store.list().await), None);
}

fn tell(event: &FetchEvent, blob: Option<&Blob>) {
    // Plain data always serialises; a page that is gone needs no message.
    if let Ok(text) = serde_json::to_string(event) {
        let message = Array::of1(&text.into());
        if let Some(blob) = blob {
            message.push(blob);
        }
        drop(fetch::scope().post_message(&message));
    }
}
