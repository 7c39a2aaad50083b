//! Models from another host: downloaded, converted as they arrive, stored, verified, run; and every way in which that goes
//! wrong. The hub is a second server on this machine, which pages may read as they may a real one.
//!
//! Invariant: these tests speak the downloader's protocol themselves, so that they hold for any page.

use crate::page::{Page, file};
use crate::server::{Fault, Server};
use crate::synthetic;
use cliplet::worker::protocol::{
    FetchEvent, FetchRequest, FetchStage, Order, Store, StoredFormat, StoredModel,
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A model on the hub, small enough for most tests.
const SMALL: &str = "someone/clip-small";

struct Hub {
    server: Server,
    root: PathBuf,
}

impl Hub {
    /// With [`SMALL`] on it.
    fn start(name: &str) -> Hub {
        let root = std::env::temp_dir().join(format!("cliplet-hub-{}-{name}", std::process::id()));
        let hub = Hub { server: Server::hub(&root), root };
        let folder = hub.folder(SMALL);
        let fixture = file("tests/fixtures/models/clip-vit-quickgelu");
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixture.join(name), folder.join(name)).expect("a fixture");
        }
        std::fs::write(folder.join("tokenizer.json"), synthetic::TOKENIZER).expect("a tokenizer");
        hub
    }

    /// Where the files of `id` lie, on disk.
    fn folder(&self, id: &str) -> PathBuf {
        let folder = self.root.join(id).join("resolve/main");
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn order(&self, source: &str) -> Order {
        let (source, hub) = (source.to_owned(), self.server.url(""));
        Order { source, hub, format: StoredFormat::Q8_0, sha256: Vec::new() }
    }

    /// How often the file was asked for, and from which byte.
    fn requests(&self, end: &str) -> Vec<Option<u64>> {
        let requests = self.server.requests();
        requests
            .iter()
            .filter(|request| request.target.ends_with(end))
            .map(|request| request.range_start)
            .collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let requests = self.server.requests();
        let _ = std::fs::remove_dir_all(&self.root); // the system clears what is left
        if !std::thread::panicking() {
            let telling = |request: &&crate::server::Request| {
                request.is_personal || request.method != "GET" || request.n_body_bytes > 0
            };
            let telling: Vec<_> = requests.iter().filter(telling).collect();
            assert!(telling.is_empty(), "requests that say who asks, or more: {telling:?}");
        }
    }
}

/// Workers of the test's own in the page, and what they say.
const HARNESS: &str = "
    window.threads ??= {};
    const [name, script] = arguments;
    const worker = new Worker(script, { name });
    const thread = { worker, events: [], blobs: [] };
    worker.onmessage = ({ data }) => { thread.events.push(data[0]); if (data[1]) thread.blobs.push(data[1]); };
    worker.onerror = (error) => thread.events.push(JSON.stringify({ Crashed: error.message }));
    window.threads[name] = thread;";

/// Tells, when asked, how much memory the WebAssembly of a worker has: it never shrinks, so that is its peak.
const TELLS_MEMORY: &str = "
    for (const name of ['instantiate', 'instantiateStreaming']) {
        const make = WebAssembly[name];
        WebAssembly[name] = async (...args) => {
            const made = await make.apply(WebAssembly, args);
            const { memory } = (made.instance ?? made).exports;
            const channel = new BroadcastChannel('memory');
            channel.onmessage = () => channel.postMessage([self.name, memory.buffer.byteLength]);
            return made;
        };
    }\n";

/// A page that is open, with a downloader.
fn page_with_downloader() -> Page {
    let page = Page::unopened(&[]);
    page.go("/");
    start_downloader(&page);
    page
}

fn start_downloader(page: &Page) {
    page.wait_ready();
    page.browser.run(HARNESS, json!(["downloader", "downloader-boot.js"]));
    wait(page, |event| matches!(event, FetchEvent::Hello).then_some(()));
}

fn send(page: &Page, request: &FetchRequest) {
    let text = serde_json::to_string(request).expect("plain data");
    page.browser.run("threads.downloader.worker.postMessage([arguments[0]])", json!([text]));
}

/// Waits for an event that was not waited for yet; those before it are gone.
fn wait<T>(page: &Page, mut wanted: impl FnMut(FetchEvent) -> Option<T>) -> T {
    page.browser.wait_for("the downloader", || {
        let texts = page.browser.run(
            "const thread = threads.downloader; return thread.events.slice(thread.n_heard ?? 0)",
            json!([]),
        );
        let texts = texts.as_array().cloned().unwrap_or_default();
        for (i, text) in texts.iter().enumerate() {
            let event: FetchEvent = serde_json::from_str(text.as_str().expect("a text")).expect("an event");
            assert!(!matches!(event, FetchEvent::Crashed(_)), "{event:?}");
            let found = wanted(event.clone());
            if let Some(found) = found {
                page.browser.run(
                    "const thread = threads.downloader; thread.n_heard = (thread.n_heard ?? 0) + arguments[0]",
                    json!([i + 1]),
                );
                return Some(found);
            }
            if matches!(event, FetchEvent::Failed(..)) {
                panic!("{event:?}");
            }
        }
        None
    })
}

fn finished(page: &Page, id: u32) -> StoredModel {
    wait(page, |event| match event {
        FetchEvent::Finished(found, model) if found == id => Some(model),
        FetchEvent::Progress(_, progress) => {
            assert!(progress.done <= progress.total || progress.total == 0, "{progress:?}");
            None
        }
        _ => None,
    })
}

/// The code of the problem that the download ends with.
fn failure(page: &Page, id: u32) -> String {
    wait(page, |event| match event {
        FetchEvent::Failed(found, problem) if found == id => Some(problem.code.name()),
        FetchEvent::Finished(..) => panic!("{event:?}"),
        _ => None,
    })
}

fn store(page: &Page) -> Store {
    send(page, &FetchRequest::List);
    // Others may be under way: the last counts.
    let mut last = wait(page, |event| if let FetchEvent::Stored(store) = event { Some(store) } else { None });
    let more = "return (threads.downloader.n_heard ?? 0) < threads.downloader.events.length";
    while page.browser.run(more, json!([])) == true {
        last = wait(page, |event| if let FetchEvent::Stored(store) = event { Some(store) } else { None });
    }
    last
}

fn start(page: &Page, id: u32, order: Order) {
    send(page, &FetchRequest::Start { id, order });
}

/// Loads a model in an engine of the test's own; what it says in the end.
fn load(page: &Page, model: Value) -> Value {
    page.browser.run(HARNESS, json!(["engine", "worker-boot.js"]));
    // Before that nobody listens.
    page.browser.wait_until("threads.engine.events.length > 0");
    let request = json!({"Load": {"id": 1, "model": model}}).to_string();
    page.browser.run(
        "threads.engine.worker.postMessage([arguments[0], ...threads.downloader.blobs])",
        json!([request]),
    );
    let event = page.browser.wait_for("the engine", || {
        let texts = page.browser.run("return threads.engine.events", json!([]));
        let events: Vec<Value> = texts
            .as_array()?
            .iter()
            .map(|text| serde_json::from_str(text.as_str().expect("a text")).expect("an event"))
            .collect();
        events
            .into_iter()
            .find(|event| ["Ready", "LoadFailed", "Crashed"].iter().any(|kind| event.get(kind).is_some()))
    });
    event
}

/// The stored model runs, and the device computes what the downloader computed.
fn assert_runs(page: &Page, model: &StoredModel) {
    let ready = load(page, json!({"Stored": model.key}));
    let card = &ready["Ready"][1];
    assert_eq!(card["info"]["self_test"]["passed"], true, "{ready}");
    assert_eq!(card["sha256"], model.sha256, "{ready}");
    page.browser.run("threads.engine.worker.terminate()", json!([]));
}

const NETWORK_NOISE: [&str; 3] = ["Failed to load resource", "net::ERR", "CORS policy"];

#[test]
fn a_model_of_a_hub_is_downloaded_stored_and_run() {
    let hub = Hub::start("happy");
    let page = page_with_downloader();
    start(&page, 1, hub.order(SMALL));
    let model = finished(&page, 1);
    assert_eq!((model.name.as_str(), model.is_kept), (SMALL, true));
    let bytes = std::fs::read(hub.folder(SMALL).join("model.safetensors")).expect("the weights");
    let sha256 = cliplet::weights::sha256_hex(&bytes);
    assert_eq!(model.source_sha256, [("model.safetensors".to_owned(), sha256)]);
    let Store { models, unfinished, used_bytes, quota_bytes, .. } = store(&page);
    assert_eq!(models, [model.clone()]);
    assert!(unfinished.is_empty() && used_bytes > 0 && quota_bytes > used_bytes);
    assert_runs(&page, &model);
    // Again: it is there.
    let n_requests = hub.server.requests().len();
    start(&page, 2, hub.order(SMALL));
    assert_eq!(finished(&page, 2), model);
    assert_eq!(hub.server.requests().len(), n_requests);
    send(&page, &FetchRequest::Delete(model.key));
    assert_eq!(store(&page).models, []);
    page.close(&NETWORK_NOISE);
}
