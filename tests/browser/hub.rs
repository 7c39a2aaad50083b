//! Models from another host: downloaded, converted as they arrive, stored, verified, run; and every way in which that goes
//! wrong. The hub is two more servers on this machine, which pages may read as they may the real ones.
//!
//! Invariant: these tests speak the downloader's protocol themselves, so that they hold for any page.

use crate::page::Page;
use crate::synthetic;
use crate::test_hub::repositories::{self as repos};
use crate::test_hub::{Access, Content, Fault, Hub, Ranges, names};
use cliplet::convert::catalogue::WeightFile;
use cliplet::convert::source::Source;
use cliplet::engine::{MIN_COSINE, Recorder, Side, cosine};
use cliplet::models::config::SelfTestRecord;
use cliplet::models::{ClipShape, Importer, ModelError, ModelFolder, Origin, Quantization, VisionShape};
use cliplet::tensor::Format;
use cliplet::weights::gguf::{self, GgufFile, Table};
use cliplet::weights::{Item, Stream, Weights, sha256_hex};
use cliplet::worker::protocol::{
    FetchEvent, FetchRequest, FetchStage, Order, Store, StoredFormat, StoredModel, Vouched,
};
use serde_json::{Value, json};
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A model on the hub, small enough for most tests.
pub const SMALL: &str = "someone/clip-small";
/// The end of a request for its weights.
pub const WEIGHTS: &str = "/model.safetensors";

/// The hub, which nobody may tell more than what a download needs.
pub struct QuietHub(Hub);

impl QuietHub {
    /// Starts it with [`SMALL`] on it.
    pub fn start() -> QuietHub {
        let hub = QuietHub(Hub::start());
        hub.put(SMALL, "main", repos::small());
        hub
    }

    pub fn order(&self, source: &str) -> Order {
        let (source, hub) = (source.to_owned(), self.url(""));
        Order { source, hub, format: StoredFormat::Q8_0, pinned: Vec::new() }
    }

    /// Puts a copy of [`SMALL`] under another id, one file changed.
    fn put_changed(&self, id: &str, name: &str, content: impl Into<Content>) {
        let mut files = repos::small();
        files.iter_mut().find(|(found, _)| *found == name).expect("a file").1 = content.into();
        self.put(id, "main", files);
    }

    /// The weights of [`SMALL`].
    fn weights(&self) -> Vec<u8> {
        self.file(SMALL, "main", "model.safetensors")
    }

    /// How often the storage was asked for files of this name, and from which byte.
    fn starts(&self, end: &str) -> Vec<Option<u64>> {
        let requests = self.storage.requests();
        requests
            .iter()
            .filter(|request| request.file().ends_with(end))
            .map(|request| request.range_start())
            .collect()
    }

    pub fn behave(&self) {
        self.site.behave();
        self.storage.behave();
    }

    /// How many requests the hub and its storage got.
    pub fn n_requests(&self) -> usize {
        self.site.requests().len() + self.storage.requests().len()
    }
}

impl Deref for QuietHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.0
    }
}

impl Drop for QuietHub {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let requests = [self.site.requests(), self.storage.requests()].concat();
            // No preflight either, which the real storage does not answer.
            let telling: Vec<_> = requests.iter().filter(|request| request.is_telling()).collect();
            assert!(telling.is_empty(), "requests that say who asks, or more: {telling:?}");
        }
    }
}

/// Workers of the test's own in the page, and what they say.
const HARNESS: &str = "
    window.threads ??= {};
    const [key, name, script] = arguments;
    const worker = new Worker(script, { name });
    const { engineJs, engineWasm, downloaderJs, downloaderWasm } = document.querySelector('script[data-js]').dataset;
    const own = name === 'downloader' ? [downloaderJs, downloaderWasm] : [engineJs, engineWasm];
    worker.postMessage(own.map((address) => new URL(address, document.baseURI).href));
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

/// The origin's file system holds these models, and nothing else.
fn assert_only(page: &Page, keys: &[&str]) {
    let names: Vec<String> = serde_json::from_value(files(page)).expect("names");
    let is_known = |name: &String| keys.iter().any(|key| name.starts_with(key));
    assert!(names.len() >= keys.len() && names.iter().all(is_known), "{names:?}");
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
    // A model of full size is read, hashed, built and tested, perhaps on a busy machine.
    page.browser.wait_within(Duration::from_secs(300), "the engine", || {
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
    let hub = QuietHub::start();
    let page = page_with_downloader();
    start(&page, 1, hub.order(SMALL));
    let model = finished(&page, 1);
    assert_eq!((model.name.as_str(), model.is_kept), (SMALL, true));
    let sha256 = sha256_hex(&hub.weights());
    assert_eq!(model.source_sha256, [("model.safetensors".to_owned(), sha256)]);
    let Store { models, unfinished, used_bytes, quota_bytes, .. } = wait_store(&page, |_| true);
    assert_eq!(models, std::slice::from_ref(&model));
    assert!(unfinished.is_empty() && used_bytes > 0 && quota_bytes > used_bytes);
    assert_only(&page, &[&model.key]);
    assert_runs(&page, &model);
    // Again: it is there.
    let n_requests = hub.n_requests();
    start(&page, 2, hub.order(SMALL));
    assert_eq!(finished(&page, 2), model);
    assert_eq!(hub.n_requests(), n_requests);
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
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.put("someone/shards", "main", repos::sharded());
    start(&page, 1, hub.order("someone/shards"));
    let sharded = finished(&page, 1);
    assert_eq!(sharded.source_sha256.len(), 2);
    assert_runs(&page, &sharded);

    // clip.cpp's GGUF by its address on another host, with a tokenizer beside it.
    hub.host("/plain/tokenizer.json", synthetic::TOKENIZER);
    let address = hub.host("/plain/clip.gguf", synthetic::fixture("gguf-clipcpp/q8_0.gguf"));
    start(&page, 2, hub.order(&address));
    let gguf = finished(&page, 2);
    assert_eq!(gguf.source_sha256[0].0, "clip.gguf");
    assert_runs(&page, &gguf);

    // The reader's own files, in q4_0.
    import(&page, 3, StoredFormat::Q4_0, &own_files(&["config.json", "tokenizer.json", "model.safetensors"]));
    let imported = finished(&page, 3);
    assert_eq!((imported.name.as_str(), imported.format), ("model", StoredFormat::Q4_0));
    assert_runs(&page, &imported);
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_download_can_be_cancelled_and_paused_and_gone_on_with_on_another_visit() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
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

    hub.behave();
    page.browser.reload();
    start_downloader(&page);
    assert_eq!(wait_store(&page, |_| true).unfinished, unfinished);
    start(&page, 3, hub.order(SMALL));
    let model = finished(&page, 3);
    assert_eq!(hub.starts(WEIGHTS), [None, None, Some(unfinished[0].done)]);
    assert_eq!(model.source_sha256[0].1, sha256_hex(&hub.weights()), "over both parts");
    assert_runs(&page, &model);
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_broken_connection_is_taken_up_again_and_a_changed_file_is_not_mixed() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.storage.misbehave(WEIGHTS, Fault::Cut(0.5));
    start(&page, 1, hub.order(SMALL));
    page.browser.wait_for("a second try", || (hub.starts(WEIGHTS).len() > 1).then_some(()));
    hub.behave();
    let model = finished(&page, 1);
    assert_eq!(model.source_sha256[0].1, sha256_hex(&hub.weights()));
    assert_runs(&page, &model);

    // The other model's file changes while its download is paused.
    hub.put("someone/changing", "main", repos::small());
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    start(&page, 2, hub.order("someone/changing"));
    wait_beginning(&page);
    send(&page, &FetchRequest::Pause);
    wait(&page, |event| if event == FetchEvent::Paused(2) { Some(()) } else { None });
    hub.behave();
    let bytes = repos::retouched(&hub.weights());
    hub.put_changed("someone/changing", "model.safetensors", bytes.clone());
    start(&page, 3, hub.order("someone/changing"));
    let changed = finished(&page, 3);
    assert_eq!(changed.source_sha256[0].1, sha256_hex(&bytes));
    assert_runs(&page, &changed);
    page.close(&NETWORK_NOISE);
}

#[test]
fn whatever_goes_wrong_has_its_own_code_and_leaves_nothing_behind() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    let (mut id, mut codes) = (0, Vec::new());
    let mut fails = |order: Order| {
        id += 1;
        start(&page, id, order);
        codes.push(failure(&page, id));
    };
    for (name, at_storage, fault) in [
        ("no-file", false, Fault::Status(404, "EntryNotFound")),
        ("refused", false, Fault::Status(403, "")),
        ("page", false, Fault::Html(200)),
        ("no-cors", true, Fault::NoCors),
        ("server", false, Fault::Status(500, "")),
        ("gone", true, Fault::Status(404, "")),
    ] {
        let id = format!("faults/{name}");
        hub.put(&id, "main", repos::small());
        let origin = if at_storage { &hub.storage } else { &hub.site };
        origin.misbehave(WEIGHTS, fault);
        fails(hub.order(&id));
        hub.behave();
    }
    for (name, access) in [("gated", Access::Gated), ("private", Access::Private)] {
        let id = format!("faults/{name}");
        hub.put(&id, "main", repos::small());
        hub.restrict(&id, access);
        fails(hub.order(&id));
    }
    for (name, (file, content)) in [
        ("not-a-model", ("model.safetensors", "no weights at all")),
        ("a-page", ("model.safetensors", "<!doctype html><title>Home</title>")),
        ("unknown", ("config.json", r#"{"model_type": "blip"}"#)),
        ("no-json", ("config.json", "{")),
    ] {
        hub.put_changed(&format!("wrong/{name}"), file, content);
        fails(hub.order(&format!("wrong/{name}")));
    }
    let mut cut = hub.weights();
    cut.pop();
    hub.put_changed("wrong/cut", "model.safetensors", cut);
    fails(hub.order("wrong/cut"));
    let mut mute = repos::small();
    mute.retain(|(name, _)| *name != "tokenizer.json");
    hub.put("wrong/mute", "main", mute);
    fails(hub.order("wrong/mute"));
    fails(hub.order("no/such"));
    fails(hub.order(&format!("{SMALL}@v9")));
    fails(hub.order("http://elsewhere.example/model"));
    // A byte that is wrong on the way: the catalogue knows the hash, or the hub's listing does.
    hub.storage.misbehave(SMALL, Fault::Corrupted);
    let pinned = vec![WeightFile {
        file: "model.safetensors".to_owned(),
        bytes: hub.weights().len() as u64,
        sha256: Some(sha256_hex(&hub.weights())),
    }];
    fails(Order { pinned: pinned.clone(), ..hub.order(SMALL) });
    fails(hub.order(SMALL));
    assert_eq!(
        codes,
        [
            "source-missing",
            "source-gated",
            "source-html",
            "source-unreachable",
            "source-server",
            "source-missing",
            "source-gated",
            "source-gated", // nobody can tell a private model from one that is not there
            "source-unusable",
            "source-html",
            "source-unsupported",
            "source-unusable",
            "source-unusable",
            "tokenizer-missing",
            "source-gated",
            "source-no-revision",
            "source-invalid",
            "source-hash",
            "source-hash",
        ]
    );
    let store = wait_store(&page, |_| true);
    assert!(store.models.is_empty() && store.unfinished.is_empty(), "{store:?}");
    assert_eq!(files(&page), json!([]));
    // And then it works.
    hub.behave();
    start(&page, 99, Order { pinned, ..hub.order(SMALL) });
    assert_runs(&page, &finished(&page, 99));
    page.close(&NETWORK_NOISE);
}

/// Room for so many bytes more than there are; `None` lifts that.
fn leave_room(page: &Page, n_bytes: Option<u64>) {
    let mut params = json!({"origin": page.server.url("")});
    if let Some(n_bytes) = n_bytes {
        params["quotaSize"] = (wait_store(page, |_| true).used_bytes + n_bytes).into();
    }
    page.browser.devtools("Storage.overrideQuotaForOrigin", params);
}

#[test]
fn a_full_storage_is_told_before_the_first_byte_and_leaves_nothing() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    leave_room(&page, Some(100_000));
    start(&page, 1, hub.order(SMALL));
    let mut most = 0;
    let code = wait(&page, |event| match event {
        FetchEvent::Failed(1, problem) => Some(problem.code.name()),
        FetchEvent::Progress(_, progress) if progress.stage == FetchStage::Download => {
            most = most.max(progress.done);
            None
        }
        _ => None,
    });
    assert_eq!(code, "storage-full");
    assert!(most < 200_000, "{most} bytes of weights came first");
    let store = wait_store(&page, |_| true);
    assert!(store.models.is_empty() && store.unfinished.is_empty(), "{store:?}");
    assert_eq!(files(&page), json!([]), "nothing is left that no list shows");
    leave_room(&page, None);
    start(&page, 2, hub.order(SMALL));
    assert_runs(&page, &finished(&page, 2));
    page.close(&NETWORK_NOISE);
}

/// A few megabytes, because Chromium takes room for a file in steps that double.
#[test]
fn a_model_that_fits_once_is_stored() {
    const ID: &str = "someone/clip-medium";
    let shape = ClipShape {
        image_size: 64,
        vision: VisionShape::Vit { patch_size: 32, width: 64, n_layers: 1 },
        text_width: 64,
        embedding_width: 64,
    };
    let hub = QuietHub::start();
    let folder = std::env::temp_dir().join(format!("cliplet-medium-{}", std::process::id()));
    synthetic::write_hugging_face(shape.checkpoint(Format::F32).expect("weights"), &folder);
    let read = |name| (name, std::fs::read(folder.join(name)).expect("a file"));
    hub.put(ID, "main", ["config.json", "model.safetensors", "tokenizer.json"].map(read).into());
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    let page = page_with_downloader();
    let order = || Order { format: StoredFormat::F16, ..hub.order(ID) };
    start(&page, 1, order());
    let model = finished(&page, 1);
    send(&page, &FetchRequest::Delete(model.key.clone()));
    wait_store(&page, |store| store.models.is_empty());
    // What a second copy would need is not there.
    let n_bytes = model.bytes.next_power_of_two() + (3 << 20);
    assert!(n_bytes < 2 * model.bytes, "{n_bytes} bytes hold {} twice", model.bytes);
    leave_room(&page, Some(n_bytes));
    start(&page, 2, order());
    let again = finished(&page, 2);
    assert_eq!(again.sha256, model.sha256);
    assert_runs(&page, &again);
    page.close(&NETWORK_NOISE);
}

/// Files as a person has them on disk, of the fixture, under the names that they would have on the hub.
fn own_files(files: &[&str]) -> Vec<(String, Vec<u8>)> {
    let older = repos::older_tokenizer_texts().map(|(name, text)| (name, Content::from(text)));
    let known: Vec<(&str, Content)> = [repos::with_preprocessor(), repos::sharded(), older.into()].concat();
    let found = |name: &&str| {
        let (_, content) = known.iter().find(|(found, _)| found == name).expect("a file");
        ((*name).to_owned(), content.bytes())
    };
    files.iter().map(found).collect()
}

fn import(page: &Page, id: u32, format: StoredFormat, files: &[(String, Vec<u8>)]) {
    let request = FetchRequest::Import { id, format };
    page.browser.run(
        "const files = arguments[1].map(([name, bytes]) => new File([new Uint8Array(bytes)], name));
         threads.downloader.worker.postMessage([arguments[0], files]);",
        json!([serde_json::to_string(&request).expect("plain data"), files]),
    );
}

/// The reader's own files under the names that browsers, systems and older programs give them.
#[test]
fn the_readers_own_files_are_known_by_any_name_that_they_get() {
    let page = page_with_downloader();
    let mut kinds = Vec::new();
    let newer = || own_files(&["config.json", "model.safetensors", "tokenizer.json"]);
    let older = own_files(&["config.json", "model.safetensors", "vocab.json", "merges.txt"]);
    let shards = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"];
    let sharded =
        own_files(&["tokenizer.json", shards[0], "model.safetensors.index.json", "config.json", shards[1]]);
    let renamed = |files: &[(String, Vec<u8>)], name: &dyn Fn(&str) -> String| -> Vec<(String, Vec<u8>)> {
        files.iter().map(|(found, bytes)| (name(found), bytes.clone())).collect()
    };
    let again = |name: &str| {
        let (stem, end) = name.rsplit_once('.').expect("an ending");
        format!("{stem} (1).{end}")
    };
    kinds.push(("older tokenizer", older.clone()));
    kinds.push(("downloaded again", renamed(&newer(), &again)));
    kinds.push(("older tokenizer, again", renamed(&older, &again)));
    kinds.push(("upper case", renamed(&newer(), &|name| name.to_uppercase())));
    kinds.push(("shards in any order", sharded.clone()));
    kinds.push(("shards, again", renamed(&sharded, &again)));
    let mut with_picture = newer();
    let cat = std::fs::read(crate::page::file("static/samples/cat.jpg")).expect("a picture");
    with_picture.insert(0, ("cat.jpg".to_owned(), cat));
    kinds.push(("a picture among them", with_picture));
    kinds.push((
        "with how pictures are prepared",
        [newer(), own_files(&["preprocessor_config.json"])].concat(),
    ));
    let mut refused = Vec::new();
    for (id, (kind, files)) in (1..).zip(&kinds) {
        import(&page, id, StoredFormat::Q8_0, files);
        let outcome = wait(&page, |event| match event {
            FetchEvent::Finished(found, model) if found == id => Some(Ok(model)),
            FetchEvent::Failed(found, problem) if found == id => Some(Err(problem)),
            _ => None,
        });
        match outcome {
            Ok(model) => {
                assert_eq!(model.source_sha256.len(), if kind.starts_with("shards") { 2 } else { 1 })
            }
            Err(problem) => refused.push(format!("{kind}: {problem:?}")),
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    page.close(&[]);
}

/// Everything that people paste leads to the file that it names, as it does for the command.
#[test]
fn each_name_leads_to_its_revision() {
    let hub = QuietHub::start();
    names::put(&hub);
    let page = page_with_downloader();
    let mut wrong = Vec::new();
    for (id, (name, revision)) in (1..).zip(names::NAMES) {
        let typed = names::typed(name, &hub);
        let source = match Source::parse(&typed, &hub.url("")).map(|source| source.text(&hub.url(""))) {
            Ok(source) => source,
            Err(error) => {
                wrong.push(format!("{name:?}: {error}"));
                continue;
            }
        };
        start(&page, id, hub.order(&source));
        let outcome = wait(&page, |event| match event {
            FetchEvent::Finished(found, model) if found == id => Some(Ok(model)),
            FetchEvent::Failed(found, problem) if found == id => Some(Err(problem)),
            _ => None,
        });
        match outcome {
            Ok(model) if model.source_sha256[0].1 == names::sha256(&hub, revision) => {}
            other => wrong.push(format!("{name:?} as {source:?}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let asked = hub.site.requests();
    assert_eq!(asked.iter().filter(|request| request.path.contains("/refs/pr/")).count(), 0, "unescaped");
    page.close(&NETWORK_NOISE);
}

/// What the hub states of any model's files is what they are held to; what nobody states is not claimed.
#[test]
fn the_listing_gives_hash_and_size_of_any_model() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.put("someone/shards", "main", repos::sharded());
    hub.storage.misbehave("/model-00002-of-00002.safetensors", Fault::Corrupted);
    start(&page, 1, hub.order("someone/shards"));
    assert_eq!(failure(&page, 1), "source-hash");
    assert_eq!(files(&page), json!([]), "nothing of it is left");
    hub.behave();

    start(&page, 2, hub.order("someone/shards"));
    let mut totals = Vec::new();
    let model = wait(&page, |event| match event {
        FetchEvent::Finished(2, model) => Some(model),
        FetchEvent::Progress(2, progress) if progress.stage == FetchStage::Download => {
            totals.push(progress.total);
            None
        }
        _ => None,
    });
    assert_eq!(model.source_sha256.len(), 2);
    let n_bytes = |name: &str| hub.file("someone/shards", "main", name).len() as u64;
    let weights: u64 = model.source_sha256.iter().map(|(name, _)| n_bytes(name)).sum();
    let beside = ["config.json", "model.safetensors.index.json", "tokenizer.json"].map(n_bytes);
    let possible = weights..=weights + beside.iter().sum::<u64>();
    let is_right = |total: &u64| possible.contains(total) && *total == totals[0];
    assert!(!totals.is_empty() && totals.iter().all(is_right), "{totals:?} instead of {weights}");

    // Without a listing the page goes on.
    assert_eq!(model.vouched, Vouched::Hub);
    hub.site.misbehave("/api/models/", Fault::Status(500, ""));
    start(&page, 3, hub.order(SMALL));
    let unlisted = finished(&page, 3);
    assert_eq!(unlisted.vouched, Vouched::Nobody);
    assert_runs(&page, &unlisted);
    page.close(&NETWORK_NOISE);
}

/// A page does not see for how long to wait (neither `Retry-After` nor `RateLimit` is among the headers that the hub lets
/// it read), so it waits longer than for a host that is broken.
#[test]
fn too_many_requests_are_waited_out() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.site.misbehave("/resolve/", Fault::TooMany { seconds: 7 });
    start(&page, 1, hub.order(SMALL));
    assert_eq!(finished(&page, 1).source_sha256[0].1, sha256_hex(&hub.weights()));
    let n_asked = hub.site.requests().iter().filter(|request| request.path.contains("/resolve/")).count();
    assert!(n_asked < 20, "it waits instead of asking {n_asked} times");
    page.close(&NETWORK_NOISE);
}

/// Storage that does not let a download go on: it begins anew, and nobody is told of an error.
#[test]
fn where_no_part_is_to_be_had_the_whole_file_is_fetched_again() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.change_tags();
    let all = [Ranges::Served, Ranges::Unreachable, Ranges::Ignored, Ranges::Refused];
    for (id, ranges) in (1..).step_by(3).zip(all) {
        // On another try after a pause.
        let source = format!("someone/ranges-{id}");
        hub.put(&source, "main", repos::small());
        hub.serve_ranges(ranges);
        hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
        start(&page, id, hub.order(&source));
        wait_beginning(&page);
        send(&page, &FetchRequest::Pause);
        wait(&page, |event| if event == FetchEvent::Paused(id) { Some(()) } else { None });
        hub.behave();
        start(&page, id + 1, hub.order(&source));
        assert_eq!(finished(&page, id + 1).source_sha256[0].1, sha256_hex(&hub.weights()), "{ranges:?}");
        // In the middle of a transfer.
        let source = format!("someone/cut-{id}");
        hub.put(&source, "main", repos::small());
        hub.storage.misbehave_times(1, WEIGHTS, Fault::Cut(0.5));
        start(&page, id + 2, hub.order(&source));
        assert_eq!(finished(&page, id + 2).source_sha256[0].1, sha256_hex(&hub.weights()), "{ranges:?}");
        hub.behave();
    }
    page.close(&NETWORK_NOISE);
}

#[test]
fn what_a_model_holds_is_listed_to_its_end_and_told_where_it_is_not_readable() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    let states: Vec<String> = (0..3000).map(|i| format!("checkpoints/{i:04}/state.json")).collect();
    let others = states.iter().map(|name| (name.as_str(), "{}".into()));
    hub.page_listings(1000);
    hub.put("someone/thousands", "main", others.chain(repos::small()).collect());
    start(&page, 1, hub.order("someone/thousands"));
    let first = finished(&page, 1);
    assert_eq!(first.source_sha256[0].1, sha256_hex(&hub.weights()));
    hub.page_listings(4);

    hub.put("someone/pickles", "main", repos::pickles_only());
    hub.put("someone/pickles", "refs/pr/3", repos::small());
    hub.put("someone/onnx", "main", repos::onnx_only());
    let holds = [(2, "someone/pickles", "pytorch_model.bin"), (3, "someone/onnx", "onnx/model.onnx")];
    for (id, source, held) in holds {
        start(&page, id, hub.order(source));
        let problem = wait(&page, |event| match event {
            FetchEvent::Failed(found, problem) if found == id => Some(problem),
            _ => None,
        });
        assert_ne!(problem.code.name(), "source-missing", "it is there: {problem:?}");
        assert!(problem.detail.contains(held), "{problem:?}");
    }
    assert_only(&page, &[&first.key]);
    start(&page, 4, hub.order("someone/pickles@refs/pr/3"));
    finished(&page, 4);
    page.close(&NETWORK_NOISE);
}

/// Sources of every kind give the file that the command gives, to the byte; only what a device is checked with is
/// computed by another processor's arithmetic.
#[test]
fn the_page_and_the_command_give_the_same_file() {
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.put("same/prepared", "main", repos::with_preprocessor());
    hub.put("same/open-clip", "main", repos::open_clip_only());
    hub.put("same/sharded", "main", repos::sharded());
    hub.put("same/siglip2", "main", repos::siglip2());
    let clip_cpp = hub.host("/same/clip.gguf", synthetic::fixture("gguf-clipcpp/q8_0.gguf"));
    hub.host("/same/tokenizer.json", synthetic::TOKENIZER);
    let home = std::env::temp_dir().join(format!("cliplet-same-{}", std::process::id()));
    let mut different = Vec::new();
    let sources = ["same/prepared", "same/open-clip", "same/sharded", "same/siglip2", clip_cpp.as_str()];
    for (id, source) in (1..).zip(sources) {
        start(&page, id, hub.order(source));
        let theirs = stored(&page, &finished(&page, id));
        let output = home.join(format!("{id}.gguf"));
        std::fs::create_dir_all(&home).expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliplet"));
        command.args(["convert", source, "--quant", "q8_0", "-o"]).arg(&output);
        command.env("HF_ENDPOINT", hub.url("")).env("HF_HOME", &home);
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        let converted = command.output().expect("the command runs");
        assert!(converted.status.success(), "{source}: {}", String::from_utf8_lossy(&converted.stderr));
        let ours = std::fs::read(&output).expect("a model");
        if let Err(why) = same(&theirs, &ours) {
            different.push(format!("{source}: {why}"));
        }
    }
    std::fs::remove_dir_all(&home).expect("the folder goes");
    assert!(different.is_empty(), "{}", different.join("\n"));
    page.close(&NETWORK_NOISE);
}

/// The bytes of a stored model: its header, then its tensors.
fn stored(page: &Page, model: &StoredModel) -> Vec<u8> {
    let script = "const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('models');
        const bytes = async (end) => {
            const file = await (await folder.getFileHandle(arguments[0] + end)).getFile();
            return [...new Uint8Array(await file.arrayBuffer())];
        };
        return [...await bytes('.head'), ...await bytes('.data')];";
    serde_json::from_value(page.browser.run_async(script, json!([model.key]))).expect("bytes")
}

/// Whether two files are the same but for the self-test's record, which agrees within 1e-5.
fn same(page: &[u8], command: &[u8]) -> Result<(), String> {
    let parse = |bytes: &[u8]| {
        let header = gguf::Header::parse(bytes, bytes.len() as u64).map_err(|error| error.to_string())?;
        Ok::<_, String>(GgufFile { metadata: header.metadata, ..Default::default() })
    };
    let (theirs, ours) = (parse(page)?, parse(command)?);
    let (mut page, mut command) = (page.to_vec(), command.to_vec());
    for key in ["cliplet.selftest.image_embeds", "cliplet.selftest.text_embeds"] {
        let [theirs, ours] = [&theirs, &ours].map(|file| file.f32s(key));
        let (theirs, ours) =
            (theirs.map_err(|error| error.to_string())?, ours.map_err(|error| error.to_string())?);
        let worst = theirs.iter().zip(&ours).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if theirs.len() != ours.len() || worst > 1e-5 {
            return Err(format!("{key} differs by {worst}"));
        }
        for (bytes, values) in [(&mut page, &theirs), (&mut command, &ours)] {
            let found: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let at = bytes.windows(found.len()).position(|window| window == found).ok_or("no record")?;
            bytes[at..at + found.len()].fill(0);
        }
    }
    if page == command {
        return Ok(());
    }
    let (theirs, ours) = (theirs.metadata, ours.metadata);
    let differing =
        theirs.iter().filter(|(key, value)| !key.contains("selftest") && ours.get(*key) != Some(value));
    let keys: Vec<&str> = differing.map(|(key, _)| key.as_str()).collect();
    let at = page.iter().zip(&command).position(|(a, b)| a != b);
    Err(format!("{} and {} bytes, first other at {at:?}; settings {keys:?}", page.len(), command.len()))
}

#[test]
fn a_stored_model_that_is_damaged_is_deleted_and_can_be_downloaded_again() {
    let hub = QuietHub::start();
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
             const handle = await folder.getFileHandle(arguments[0] + '.data');
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
    let hub = QuietHub::start();
    let page = page_with_downloader();
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    start(&page, 1, hub.order(SMALL));
    wait_beginning(&page);
    page.browser.run("threads.first = threads.downloader", json!([]));
    start_downloader(&page);
    start(&page, 2, hub.order(SMALL));
    wait(&page, |event| match event {
        FetchEvent::Progress(2, progress) => (progress.stage == FetchStage::Waiting).then_some(()),
        _ => None,
    });
    hub.behave();
    let model = finished(&page, 2);
    // A stall may have been gone on with; from its start it was asked for once.
    let n_starts = hub.starts(WEIGHTS).iter().filter(|start| start.is_none()).count();
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
        let hub = QuietHub::start();
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
    let hub = QuietHub::start();
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
        hub.url(&format!("/{SMALL}/resolve/main/config.json"))
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
    let address = hub.url(&format!("/{SMALL}/resolve/main/tokenizer.json"));
    assert_eq!(page.browser.run_async(from_page, json!([address])), "TypeError");
    let asked = |end: &str| hub.site.requests().iter().filter(|request| request.path.ends_with(end)).count();
    assert_eq!(asked("tokenizer.json"), 0, "the page's policy let a request out");
    assert_eq!(asked("?engine"), 0, "the engine's worker let a request out");
    assert_eq!(asked("?downloader"), 1);
}

/// ViT-B/32 as it is published, 605 MB in f32: downloaded, quantized and run in a tab, in less than half of its size.
#[test]
fn a_model_of_real_size_takes_little_memory_and_gives_the_native_answers() {
    assert_small_and_exact(ClipShape::VIT_B32, 300 << 20);
}

mod heavy {
    use super::*;

    /// 1.7 GB in f32, and 455 MB in q8_0.
    #[test]
    fn vit_l14_fits_a_tab_and_gives_the_native_answers() {
        assert_small_and_exact(ClipShape::VIT_L14, 512 << 20);
    }
}

fn assert_small_and_exact(shape: ClipShape, max_bytes: u64) {
    let hub = QuietHub::start();
    let folder = std::env::temp_dir().join(format!("cliplet-full-size-{}", std::process::id()));
    synthetic::write_hugging_face(shape.checkpoint(Format::F32).expect("weights"), &folder);
    let files = ["config.json", "model.safetensors", "tokenizer.json"].map(|name| (name, folder.join(name)));
    let files = files.iter().map(|(name, path)| (*name, path.as_path())).collect();
    hub.put("someone/clip-of-real-size", "main", files);
    let page = Page::unopened(&[]);
    for boot in ["/downloader-boot.js", "/worker-boot.js"] {
        page.server.prelude(boot, TELLS_MEMORY);
    }
    page.go("/");
    start_downloader(&page);
    let started = Instant::now();
    start(&page, 1, hub.order("someone/clip-of-real-size"));
    let model = finished(&page, 1);
    let downloaded = started.elapsed();

    // The same, natively: the tensor data is the same to the bit, the embeddings to rounding.
    let (data, record) = converted_natively(&folder);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    let script = "const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('models');
        const bytes = async (end) => {
            const file = await (await folder.getFileHandle(arguments[0] + end)).getFile();
            return await file.arrayBuffer();
        };
        const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await bytes('.data')));
        return [[...new Uint8Array(await bytes('.head'))],
            [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('')];";
    let stored = page.browser.run_async(script, json!([model.key]));
    assert_eq!(stored[1], sha256_hex(&data));
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
    assert_little_memory(&page, "downloader", max_bytes);
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
        assert_little_memory(&page, "engine", max_bytes);
        page.browser.run("threads.engine.worker.terminate()", json!([]));
    }
    page.close(&NETWORK_NOISE);
}

/// Checks the worker of this name; where there are several, the largest counts.
fn assert_little_memory(page: &Page, name: &str, max_bytes: u64) {
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
    assert!(n_bytes > 0 && n_bytes <= max_bytes, "{name}: {n_bytes} bytes, {max_bytes} are allowed");
}

/// The tensor data of a folder's model in q8_0, as the downloader lays it out, and what its towers compute on the CPU.
fn converted_natively(folder: &Path) -> (Vec<u8>, SelfTestRecord) {
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
