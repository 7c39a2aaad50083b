//! Models from another host: downloaded, converted as they arrive, stored, verified, run; and every way in which that goes
//! wrong. The hub is a second server on this machine, which pages may read as they may a real one.
//!
//! Invariant: these tests speak the downloader's protocol themselves, so that they hold for any page.

use crate::page::{Page, file};
use crate::server::{Fault, Server};
use crate::synthetic;
use cliplet::engine::{MIN_COSINE, Recorder, Side, cosine};
use cliplet::models::config::SelfTestRecord;
use cliplet::models::{ClipShape, Importer, ModelError, ModelFolder, Origin, Quantization};
use cliplet::tensor::Format;
use cliplet::weights::gguf::{self, GgufFile, Table};
use cliplet::weights::{Item, Stream, Weights};
use cliplet::worker::protocol::{
    FetchEvent, FetchRequest, FetchStage, Order, Store, StoredFormat, StoredModel,
};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// A model on the hub, small enough for most tests.
pub const SMALL: &str = "someone/clip-small";

pub struct Hub {
    pub server: Server,
    root: PathBuf,
}

impl Hub {
    /// With [`SMALL`] on it.
    pub fn start(name: &str) -> Hub {
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

    /// A copy of [`SMALL`] under another id.
    fn copy(&self, id: &str) -> PathBuf {
        let (from, to) = (self.folder(SMALL), self.folder(id));
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            std::fs::copy(from.join(name), to.join(name)).expect("a copy");
        }
        to
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
    const [key, name, script] = arguments;
    const worker = new Worker(script, { name });
    const { js, wasm } = document.querySelector('script[data-js]').dataset;
    worker.postMessage([js, new URL(wasm, document.baseURI).href]);
    const thread = { worker, events: [], blobs: [], n_heard: 0 };
    worker.onmessage = ({ data }) => { thread.events.push(data[0]); if (data[1]) thread.blobs.push(data[1]); };
    worker.onerror = (error) => thread.events.push(JSON.stringify({ Crashed: error.message }));
    window.threads[key] = thread;";

/// Tells, when asked, how much memory the WebAssembly of a worker has: it never shrinks, so that is its peak.
const TELLS_MEMORY: &str = "
    for (const name of ['instantiate', 'instantiateStreaming']) {
        const make = WebAssembly[name];
        WebAssembly[name] = async (...args) => {
            const made = await make.apply(WebAssembly, args);
            const { memory } = (made.instance ?? made).exports;
            const answers = new BroadcastChannel('answers');
            new BroadcastChannel('questions').onmessage = () => answers.postMessage([self.name, memory.buffer.byteLength]);
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
    page.browser.run(HARNESS, json!(["downloader", "downloader", "downloader-boot.js"]));
    wait(page, |event| matches!(event, FetchEvent::Hello).then_some(()));
}

fn send(page: &Page, request: &FetchRequest) {
    let text = serde_json::to_string(request).expect("plain data");
    page.browser.run("threads.downloader.worker.postMessage([arguments[0]])", json!([text]));
}

/// Waits for an event that was not waited for yet; those before it are gone.
fn wait<T>(page: &Page, mut wanted: impl FnMut(FetchEvent) -> Option<T>) -> T {
    page.browser.wait_for("the downloader", || {
        let texts = page
            .browser
            .run("const thread = threads.downloader; return thread.events.slice(thread.n_heard)", json!([]));
        let texts = texts.as_array().cloned().unwrap_or_default();
        for (i, text) in texts.iter().enumerate() {
            let event: FetchEvent = serde_json::from_str(text.as_str().expect("a text")).expect("an event");
            assert!(!matches!(event, FetchEvent::Crashed(_)), "{event:?}");
            let found = wanted(event.clone());
            if let Some(found) = found {
                page.browser
                    .run("const thread = threads.downloader; thread.n_heard += arguments[0]", json!([i + 1]));
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

/// Waits for a store that is as wanted.
fn wait_store(page: &Page, is_wanted: impl Fn(&Store) -> bool) -> Store {
    send(page, &FetchRequest::List);
    wait(page, |event| match event {
        FetchEvent::Stored(store) if is_wanted(&store) => Some(store),
        _ => None,
    })
}

/// Waits until part of a file is here.
fn wait_beginning(page: &Page) {
    wait(page, |event| match event {
        FetchEvent::Progress(_, progress) => {
            (progress.stage == FetchStage::Download && progress.done > 0).then_some(())
        }
        _ => None,
    });
}

/// Names of files in this origin's file system.
fn files(page: &Page) -> Value {
    page.browser.run_async(
        "const root = await navigator.storage.getDirectory();
         const names = [];
         for await (const [name, folder] of root) for await (const file of folder.keys()) names.push(file);
         return names;",
        json!([]),
    )
}

fn start(page: &Page, id: u32, order: Order) {
    send(page, &FetchRequest::Start { id, order });
}

/// Loads a model in an engine of the test's own; what it says in the end.
fn load(page: &Page, model: Value) -> Value {
    page.browser.run(HARNESS, json!(["engine", "engine", "worker-boot.js"]));
    // Before that nobody listens.
    page.browser.wait_until("threads.engine.events.length > 0");
    let request = json!({"Load": {"id": 1, "model": model}}).to_string();
    page.browser.run(
        "threads.engine.worker.postMessage([arguments[0], ...threads.downloader.blobs])",
        json!([request]),
    );
    page.browser.wait_for("the engine", || {
        let texts = page.browser.run("return threads.engine.events", json!([]));
        let events: Vec<Value> = texts
            .as_array()?
            .iter()
            .map(|text| serde_json::from_str(text.as_str().expect("a text")).expect("an event"))
            .collect();
        events
            .into_iter()
            .find(|event| ["Ready", "LoadFailed", "Crashed"].iter().any(|kind| event.get(kind).is_some()))
    })
}

/// The stored model runs, and the device computes what the downloader computed.
fn assert_runs(page: &Page, model: &StoredModel) {
    let ready = load(page, json!({"Stored": model.key}));
    let card = &ready["Ready"][1];
    assert_eq!(card["info"]["self_test"]["passed"], true, "{ready}");
    assert_eq!(card["sha256"], model.sha256, "{ready}");
    page.browser.run("threads.engine.worker.terminate()", json!([]));
}

pub const NETWORK_NOISE: [&str; 3] = ["Failed to load resource", "net::ERR", "CORS policy"];

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
    let Store { models, unfinished, used_bytes, quota_bytes, .. } = wait_store(&page, |_| true);
    assert_eq!(models, std::slice::from_ref(&model));
    assert!(unfinished.is_empty() && used_bytes > 0 && quota_bytes > used_bytes);
    assert_eq!(files(&page).as_array().map(Vec::len), Some(2), "the model and its entry: {}", files(&page));
    assert_runs(&page, &model);
    // Again: it is there.
    let n_requests = hub.server.requests().len();
    start(&page, 2, hub.order(SMALL));
    assert_eq!(finished(&page, 2), model);
    assert_eq!(hub.server.requests().len(), n_requests);
    // Who reads it is waited for.
    page.browser.run(
        "navigator.locks.request('cliplet-model:' + arguments[0], { mode: 'shared' }, () => {
             window.isRead = true;
             return new Promise((release) => { window.release = release; });
         });",
        json!([model.key]),
    );
    page.browser.wait_until("window.isRead");
    send(&page, &FetchRequest::Delete(model.key.clone()));
    page.browser.wait_for("a waiting deletion", || {
        let pending = "return (await navigator.locks.query()).pending.length";
        (page.browser.run_async(pending, json!([])) == 1).then_some(())
    });
    assert_eq!(wait_store(&page, |_| true).models, [model]);
    page.browser.run("window.release()", json!([]));
    wait_store(&page, |store| store.models.is_empty());
    assert_eq!(files(&page), json!([]));
    page.close(&NETWORK_NOISE);
}

/// Sources of other kinds: all give the same model.
#[test]
fn shards_a_gguf_and_the_readers_own_files_are_taken_too() {
    let hub = Hub::start("kinds");
    let page = page_with_downloader();
    let small = hub.folder(SMALL);
    let tensors =
        cliplet::weights::safetensors::read(&std::fs::read(small.join("model.safetensors")).expect("it"))
            .expect("weights")
            .tensors;

    // Two shards and their index.
    let folder = hub.copy("someone/shards");
    std::fs::remove_file(folder.join("model.safetensors")).expect("no such file");
    let (mut map, mut halves) = (serde_json::Map::new(), [Vec::new(), Vec::new()]);
    for (i, tensor) in tensors.iter().enumerate() {
        let half = usize::from(i > tensors.len() / 2);
        map.insert(tensor.0.clone(), format!("model-{half}.safetensors").into());
        halves[half].push(tensor);
    }
    for (half, tensors) in halves.iter().enumerate() {
        let file = synthetic::safetensors(tensors.iter().map(|(name, raw)| (name.as_str(), *raw)));
        std::fs::write(folder.join(format!("model-{half}.safetensors")), file).expect("a shard");
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    std::fs::write(folder.join("model.safetensors.index.json"), index).expect("an index");
    start(&page, 1, hub.order("someone/shards"));
    let sharded = finished(&page, 1);
    assert_eq!(sharded.source_sha256.len(), 2);
    assert_runs(&page, &sharded);

    // clip.cpp's GGUF by its address, with a tokenizer beside it.
    let folder = hub.root.join("plain");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::copy(file("tests/fixtures/gguf-clipcpp/q8_0.gguf"), folder.join("clip.gguf"))
        .expect("a fixture");
    std::fs::write(folder.join("tokenizer.json"), synthetic::TOKENIZER).expect("a tokenizer");
    start(&page, 2, hub.order(&hub.server.url("/plain/clip.gguf")));
    let gguf = finished(&page, 2);
    assert_eq!(gguf.source_sha256[0].0, "clip.gguf");
    assert_runs(&page, &gguf);

    // The reader's own files, in q4_0.
    let bytes = |name: &str| std::fs::read(small.join(name)).expect("a file");
    let files = ["config.json", "tokenizer.json", "model.safetensors"].map(|name| json!([name, bytes(name)]));
    let request = FetchRequest::Import { id: 3, format: StoredFormat::Q4_0 };
    page.browser.run(
        "const files = arguments[1].map(([name, bytes]) => new File([new Uint8Array(bytes)], name));
         threads.downloader.worker.postMessage([arguments[0], files]);",
        json!([serde_json::to_string(&request).expect("plain data"), files,]),
    );
    let imported = finished(&page, 3);
    assert_eq!((imported.name.as_str(), imported.format), ("model", StoredFormat::Q4_0));
    assert_runs(&page, &imported);
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_download_can_be_cancelled_and_paused_and_gone_on_with_on_another_visit() {
    let hub = Hub::start("pause");
    let page = page_with_downloader();
    hub.server.misbehave("model.safetensors", Fault::Stalled);
    start(&page, 1, hub.order(SMALL));
    wait_beginning(&page);
    send(&page, &FetchRequest::Cancel);
    assert_eq!(failure(&page, 1), "load-cancelled");
    wait_store(&page, |store| store.unfinished.is_empty());
    assert_eq!(files(&page), json!([]));

    start(&page, 2, hub.order(SMALL));
    wait_beginning(&page);
    send(&page, &FetchRequest::Pause);
    wait(&page, |event| if event == FetchEvent::Paused(2) { Some(()) } else { None });
    let unfinished = wait_store(&page, |store| !store.unfinished.is_empty()).unfinished;
    assert_eq!(unfinished[0].order, hub.order(SMALL));
    assert!(unfinished[0].done > 0 && unfinished[0].done < unfinished[0].total, "{unfinished:?}");

    hub.server.behave();
    page.browser.reload();
    start_downloader(&page);
    assert_eq!(wait_store(&page, |_| true).unfinished, unfinished);
    start(&page, 3, hub.order(SMALL));
    let model = finished(&page, 3);
    assert_eq!(hub.requests("model.safetensors"), [None, None, Some(unfinished[0].done)]);
    let bytes = std::fs::read(hub.folder(SMALL).join("model.safetensors")).expect("the weights");
    assert_eq!(model.source_sha256[0].1, cliplet::weights::sha256_hex(&bytes), "over both parts");
    assert_runs(&page, &model);
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_broken_connection_is_taken_up_again_and_a_changed_file_is_not_mixed() {
    let hub = Hub::start("broken");
    let page = page_with_downloader();
    hub.server.misbehave("model.safetensors", Fault::Truncated);
    start(&page, 1, hub.order(SMALL));
    page.browser.wait_for("a second try", || (hub.requests("model.safetensors").len() > 1).then_some(()));
    hub.server.behave();
    let model = finished(&page, 1);
    let bytes = std::fs::read(hub.folder(SMALL).join("model.safetensors")).expect("the weights");
    assert_eq!(model.source_sha256[0].1, cliplet::weights::sha256_hex(&bytes));
    assert_runs(&page, &model);

    // The other model's file changes while its download is paused.
    let folder = hub.copy("someone/changing");
    hub.server.misbehave("model.safetensors", Fault::Stalled);
    start(&page, 2, hub.order("someone/changing"));
    wait_beginning(&page);
    send(&page, &FetchRequest::Pause);
    wait(&page, |event| if event == FetchEvent::Paused(2) { Some(()) } else { None });
    hub.server.behave();
    let mut bytes = std::fs::read(folder.join("model.safetensors")).expect("the weights");
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&0.25f32.to_le_bytes());
    std::fs::write(folder.join("model.safetensors"), &bytes).expect("others");
    hub.server.change_files();
    start(&page, 3, hub.order("someone/changing"));
    let changed = finished(&page, 3);
    assert_eq!(changed.source_sha256[0].1, cliplet::weights::sha256_hex(&bytes));
    assert_runs(&page, &changed);
    page.close(&NETWORK_NOISE);
}

#[test]
fn whatever_goes_wrong_has_its_own_code_and_leaves_nothing_behind() {
    let hub = Hub::start("wrong");
    let page = page_with_downloader();
    let (mut id, mut codes) = (0, Vec::new());
    let mut fails = |order: Order| {
        id += 1;
        start(&page, id, order);
        codes.push(failure(&page, id));
    };
    for (fault, name) in [
        (Fault::NotFound, "not-found"),
        (Fault::Gated, "gated"),
        (Fault::Html, "html"),
        (Fault::NoCors, "no-cors"),
        (Fault::ServerError, "server"),
    ] {
        let id = format!("faults/{name}");
        hub.copy(&id);
        hub.server.misbehave(&format!("/{id}/resolve/main/model.safetensors"), fault);
        fails(hub.order(&id));
    }
    for (name, wrong) in [
        ("not-a-model", ("model.safetensors", b"no weights at all".to_vec())),
        ("a-page", ("model.safetensors", b"<!doctype html><title>Home</title>".to_vec())),
        ("unknown", ("config.json", br#"{"model_type": "blip"}"#.to_vec())),
        ("no-json", ("config.json", b"{".to_vec())),
    ] {
        let folder = hub.copy(&format!("wrong/{name}"));
        std::fs::write(folder.join(wrong.0), wrong.1).expect("a wrong file");
        fails(hub.order(&format!("wrong/{name}")));
    }
    let folder = hub.copy("wrong/cut");
    let mut bytes = std::fs::read(folder.join("model.safetensors")).expect("the weights");
    bytes.pop();
    std::fs::write(folder.join("model.safetensors"), bytes).expect("one byte fewer");
    fails(hub.order("wrong/cut"));
    std::fs::remove_file(hub.copy("wrong/mute").join("tokenizer.json")).expect("it was there");
    fails(hub.order("wrong/mute"));
    fails(hub.order("no/such"));
    fails(hub.order("http://elsewhere.example/model"));
    // A byte that is wrong on the way, where the hash is known.
    hub.server.misbehave(&format!("/{SMALL}/resolve/main/model.safetensors"), Fault::Corrupted);
    let bytes = std::fs::read(hub.folder(SMALL).join("model.safetensors")).expect("the weights");
    let sha256 = vec![("model.safetensors".to_owned(), cliplet::weights::sha256_hex(&bytes))];
    fails(Order { sha256: sha256.clone(), ..hub.order(SMALL) });
    assert_eq!(
        codes,
        [
            "source-missing",
            "source-gated",
            "source-html",
            "source-unreachable",
            "source-server",
            "source-unusable",
            "source-html",
            "source-unsupported",
            "source-unusable",
            "source-unusable",
            "tokenizer-missing",
            "source-missing",
            "source-invalid",
            "source-hash",
        ]
    );
    let store = wait_store(&page, |_| true);
    assert!(store.models.is_empty() && store.unfinished.is_empty(), "{store:?}");
    assert_eq!(files(&page), json!([]));
    // And then it works.
    hub.server.behave();
    start(&page, 99, Order { sha256, ..hub.order(SMALL) });
    assert_runs(&page, &finished(&page, 99));
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_full_storage_is_told_and_gone_on_with_once_there_is_room() {
    let hub = Hub::start("full");
    let page = page_with_downloader();
    let quota = |quota_bytes: Option<u64>| {
        let mut params = json!({"origin": page.server.url("")});
        if let Some(quota_bytes) = quota_bytes {
            params["quotaSize"] = quota_bytes.into();
        }
        page.browser.devtools("Storage.overrideQuotaForOrigin", params);
    };
    let used_bytes = wait_store(&page, |_| true).used_bytes;
    quota(Some(used_bytes + 100_000));
    start(&page, 1, hub.order(SMALL));
    assert_eq!(failure(&page, 1), "storage-full");
    quota(None);
    start(&page, 2, hub.order(SMALL));
    assert_runs(&page, &finished(&page, 2));
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_stored_model_that_is_damaged_is_deleted_and_can_be_downloaded_again() {
    let hub = Hub::start("damaged");
    let page = page_with_downloader();
    start(&page, 1, hub.order(SMALL));
    let model = finished(&page, 1);
    // A bit in the middle of its weights, then an entry without its file.
    for damage in [
        "const at = Math.floor(file.size / 2);
         const byte = new Uint8Array(await file.slice(at, at + 1).arrayBuffer());
         const writable = await handle.createWritable({ keepExistingData: true });
         await writable.write({ type: 'write', position: at, data: new Uint8Array([byte[0] ^ 1]) });
         await writable.close();",
        "await folder.removeEntry(handle.name);",
    ] {
        let script = format!(
            "const root = await navigator.storage.getDirectory();
             const folder = await root.getDirectoryHandle('models');
             const handle = await folder.getFileHandle(arguments[0] + '.gguf');
             const file = await handle.getFile();
             {damage}"
        );
        page.browser.run_async(&script, json!([model.key]));
        let failed = load(&page, json!({"Stored": model.key}));
        assert_eq!(failed["LoadFailed"][1]["code"], "stored-damaged", "{failed}");
        assert_eq!(load(&page, json!({"Stored": model.key}))["LoadFailed"][1]["code"], "stored-missing");
        wait_store(&page, |store| store.models.is_empty());
        start(&page, 2, hub.order(SMALL));
        assert_eq!(finished(&page, 2).sha256, model.sha256);
        assert_runs(&page, &model);
    }
    page.close(&NETWORK_NOISE);
}

/// Two workers are to each other what two tabs' are.
#[test]
fn two_tabs_download_a_model_once() {
    let hub = Hub::start("tabs");
    let page = page_with_downloader();
    hub.server.misbehave("model.safetensors", Fault::Stalled);
    start(&page, 1, hub.order(SMALL));
    wait_beginning(&page);
    page.browser.run("threads.first = threads.downloader", json!([]));
    start_downloader(&page);
    start(&page, 2, hub.order(SMALL));
    wait(&page, |event| match event {
        FetchEvent::Progress(2, progress) => (progress.stage == FetchStage::Waiting).then_some(()),
        _ => None,
    });
    hub.server.behave();
    let model = finished(&page, 2);
    // A stall may have been gone on with; from its start it was asked for once.
    let n_starts = hub.requests("model.safetensors").iter().filter(|start| start.is_none()).count();
    assert_eq!(n_starts, 1, "downloaded once");
    assert_runs(&page, &model);
    page.close(&NETWORK_NOISE);
}

#[test]
fn without_a_file_system_the_cache_keeps_a_model_and_without_both_the_tab_does() {
    const NO_FILES: &str = "delete StorageManager.prototype.getDirectory;\n";
    for (prelude, is_kept) in [
        (NO_FILES.to_owned(), true),
        (format!("{NO_FILES}delete WorkerGlobalScope.prototype.caches;\n"), false),
    ] {
        let hub = Hub::start(&format!("fallback-{is_kept}"));
        let page = Page::unopened(&[]);
        for boot in ["/downloader-boot.js", "/worker-boot.js"] {
            page.server.prelude(boot, &prelude);
        }
        page.go("/");
        start_downloader(&page);
        start(&page, 1, hub.order(SMALL));
        let model = finished(&page, 1);
        assert_eq!(model.is_kept, is_kept);
        let models = wait_store(&page, |_| true).models;
        if is_kept {
            assert_eq!(models, std::slice::from_ref(&model));
            assert_runs(&page, &model);
            send(&page, &FetchRequest::Delete(model.key));
            wait_store(&page, |store| store.models.is_empty());
        } else {
            assert_eq!(models, []);
            let ready = load(&page, json!({"File": "it.gguf"}));
            assert_eq!(ready["Ready"][1]["sha256"], model.sha256, "{ready}");
        }
        page.close(&NETWORK_NOISE);
    }
}

/// Under the policy that hosts send, which lets the downloader talk to other hosts.
#[test]
fn only_the_downloader_reaches_another_host() {
    let hub = Hub::start("privacy");
    let page = Page::unopened(&[]);
    let probe = format!(
        "const address = '{}?' + self.name;
         const outcome = async (attempt) => {{ try {{ await attempt(); return 'reached'; }} catch (error) {{ return error.name; }} }};
         const probes = async () => ({{
             fetch: await outcome(() => self.fetch(address)),
             bare: await outcome(() => WorkerGlobalScope.prototype.fetch.call(self, address)),
             cache: await outcome(async () => (await caches.open('probe')).add(address)),
             image: await outcome(() => createImageBitmap(address)),
             worker: await outcome(() => new Worker(address)),
             script: await outcome(() => importScripts(address)),
         }});
         setTimeout(async () => {{
             const found = await probes();
             const channel = new BroadcastChannel('found-' + self.name);
             setInterval(() => channel.postMessage(found), 100);
         }}, 0);\n",
        hub.server.url(&format!("/{SMALL}/resolve/main/config.json"))
    );
    page.server.prelude("/worker-boot.js", &probe);
    page.server.prelude("/downloader-boot.js", &probe);
    page.go("/");
    page.browser.run(
        "window.found = {};
         for (const name of ['engine', 'downloader'])
             new BroadcastChannel('found-' + name).onmessage = ({ data }) => { window.found[name] = data; };",
        json!([]),
    );
    start_downloader(&page);
    page.browser.wait_until("window.found.engine && window.found.downloader");
    let found = page.browser.run("return window.found", json!([]));
    let engine = found["engine"].as_object().expect("outcomes");
    assert!(engine.values().all(|outcome| outcome != "reached"), "{found}");
    assert_eq!(found["downloader"]["fetch"], "reached", "the negative control: {found}");
    for (name, outcome) in found["downloader"].as_object().expect("outcomes") {
        assert!(name == "fetch" || outcome != "reached", "{found}");
    }
    let from_page = "return await fetch(arguments[0]).then(() => 'reached', (error) => error.name)";
    let address = hub.server.url(&format!("/{SMALL}/resolve/main/tokenizer.json"));
    assert_eq!(page.browser.run_async(from_page, json!([address])), "TypeError");
    assert!(hub.requests("tokenizer.json").is_empty(), "the page's policy let a request out");
    assert!(hub.requests("?engine").is_empty(), "the engine's worker let a request out");
    assert_eq!(hub.requests("?downloader"), [None]);
}

/// ViT-B/32 as it is published, 605 MB in f32: downloaded, quantized and run in a tab, in less than half of its size.
#[test]
fn a_model_of_real_size_takes_little_memory_and_gives_the_native_answers() {
    let hub = Hub::start("full-size");
    let folder = hub.folder("openai/clip-vit-base-patch32");
    synthetic::write_hugging_face(ClipShape::VIT_B32.checkpoint(Format::F32).expect("weights"), &folder);
    let page = Page::unopened(&[]);
    for boot in ["/downloader-boot.js", "/worker-boot.js"] {
        page.server.prelude(boot, TELLS_MEMORY);
    }
    page.go("/");
    start_downloader(&page);
    let started = Instant::now();
    start(&page, 1, hub.order("openai/clip-vit-base-patch32"));
    let model = finished(&page, 1);
    let downloaded = started.elapsed();

    // The same, natively: the tensor data is the same to the bit, the embeddings to rounding.
    let (data, record) = converted_natively(&folder);
    let script = "const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('models');
        const file = await (await folder.getFileHandle(arguments[0] + '.gguf')).getFile();
        const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.slice(-arguments[1]).arrayBuffer()));
        return [[...new Uint8Array(await file.slice(0, -arguments[1]).arrayBuffer())],
            [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('')];";
    let stored = page.browser.run_async(script, json!([model.key, data.len()]));
    assert_eq!(stored[1], cliplet::weights::sha256_hex(&data));
    let header: Vec<u8> = serde_json::from_value(stored[0].clone()).expect("bytes");
    let header = gguf::Header::parse(&header, model.bytes).expect("a header");
    let file = GgufFile { metadata: header.metadata, ..Default::default() };
    for (key, native) in [("image_embeds", &record.image_embeds), ("text_embeds", &record.text_embeds)] {
        let found = file.f32s(&format!("cliplet.selftest.{key}")).expect("a record");
        let cosine = cosine(&found, native);
        println!("{key}: cosine of Chromium's CPU path to the native one {cosine:.9}");
        assert!(cosine >= MIN_COSINE, "{key}: {cosine}");
    }
    println!("downloaded and converted in {downloaded:.1?}");
    assert_little_memory(&page, "downloader");
    for (kind, prelude) in [("gpu", ""), ("cpu", "GPU.prototype.requestAdapter = async () => null;\n")] {
        page.server.prelude("/worker-boot.js", &format!("{TELLS_MEMORY}{prelude}"));
        let started = Instant::now();
        let ready = load(&page, json!({"Stored": model.key}));
        let info = &ready["Ready"][1]["info"];
        assert_eq!(
            (&info["self_test"]["passed"], &info["backend"]["kind"]),
            (&json!(true), &json!(kind)),
            "{ready}"
        );
        for key in ["cosine_image", "cosine_text"] {
            let cosine = info["self_test"][key].as_f64().expect("a number");
            println!("{key}: Chromium's {kind} path to the downloader's {cosine:.9}");
            assert!(cosine >= MIN_COSINE, "{key}: {cosine}");
        }
        println!("{kind}: loaded and tested in {:.1?}", started.elapsed());
        assert_little_memory(&page, "engine");
        page.browser.run("threads.engine.worker.terminate()", json!([]));
    }
    page.close(&NETWORK_NOISE);
}

/// Of the worker of this name; where there are several, the largest counts.
fn assert_little_memory(page: &Page, name: &str) {
    const MAX_BYTES: u64 = 300 << 20;
    let n_bytes = page.browser.run_async(
        "const answers = new BroadcastChannel('answers');
         let largest = 0;
         const asked = new Promise((done) => {
             answers.onmessage = ({ data: [name, n_bytes] }) => {
                 if (name === arguments[0]) largest = Math.max(largest, n_bytes);
                 setTimeout(() => done(largest), 500);
             };
         });
         new BroadcastChannel('questions').postMessage('how much?');
         return await asked;",
        json!([name]),
    );
    let n_bytes = n_bytes.as_u64().expect("a size");
    println!("{name}: {:.1} MiB of WebAssembly's memory at its peak", n_bytes as f64 / f64::from(1 << 20));
    assert!(n_bytes > 0 && n_bytes <= MAX_BYTES, "{name}: {n_bytes} bytes, {MAX_BYTES} are allowed");
}

/// The tensor data of a folder's model in q8_0, as the downloader lays it out, and what its towers compute on the CPU.
fn converted_natively(folder: &std::path::Path) -> (Vec<u8>, SelfTestRecord) {
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
    let (config, tokenizer) = (read("config.json"), read("tokenizer.json"));
    let tokenizer = std::str::from_utf8(&tokenizer).ok();
    let source = ModelFolder { config: &config, tokenizer, preprocessor: None };
    let bytes = read("model.safetensors");
    let mut stream = Stream::new(bytes.len() as u64);
    let mut rest = &bytes[..];
    let Some(Item::Header(header)) = stream.push(&mut rest).expect("weights") else { panic!("a header") };
    let mut importer = Importer::new(Origin::Folder(source), header.names).expect("a model");
    let (mut table, mut data, mut towers) =
        (Table::default(), Vec::new(), [Weights::default(), Weights::default()]);
    let quantization = Quantization::all(Format::Q8_0);
    while let Some(Item::Tensor(name, tensor)) = stream.push(&mut rest).expect("weights") {
        let sink = &mut |name: &str, tensor| {
            let tensor = quantization.store(name, tensor)?;
            data.resize(table.push(name, &tensor)?.start as usize, 0);
            data.extend(&tensor.bytes);
            towers[usize::from(Side::of(name) == Side::Text)].insert(name, tensor);
            Ok::<_, ModelError>(())
        };
        importer.push(&name, tensor, sink).expect("it fits");
    }
    let mut recorder = Recorder::new(&importer.finish().expect("all"), true).expect("a tokenizer");
    let [image, text] = towers;
    recorder.add(Side::Image, image).expect("a tower");
    recorder.add(Side::Text, text).expect("a tower");
    (data, recorder.finish().expect("one width").expect("a record"))
}
