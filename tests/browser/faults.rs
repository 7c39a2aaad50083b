//! After any fault: a message with a stable code that says what to do, and then a good picture gets the right answer
//! without a reload.

use crate::page::{Page, file, film, with};
use crate::server::Fault;
use serde_json::json;

/// A picture that must be ranked right once the fault is over.
fn assert_works(page: &Page) {
    let photo = std::fs::read(file("static/samples/cat.jpg")).expect("a sample");
    page.drop_file("good.jpg", "image/jpeg", &photo);
    page.wait_winner("cat");
    page.browser.wait_for("no alert left", || (!page.is_there("alert")).then_some(()));
}

#[test]
fn a_bad_picture_is_refused_and_a_good_one_works() {
    let page = Page::ready();
    let mut cut = std::fs::read(file("static/samples/flower.jpg")).expect("a sample");
    cut.truncate(200);
    for (name, bytes, code) in [
        ("notes.png", b"no picture at all".to_vec(), "picture-unreadable"),
        ("empty.jpg", Vec::new(), "picture-unreadable"),
        ("cut.jpg", cut, "picture-cut-short"),
    ] {
        page.drop_file(name, "image/png", &bytes);
        assert_eq!(page.alert(), code, "{name}");
        assert_works(&page);
    }
    page.drop_file("huge.png", "image/png", &huge_png());
    assert_eq!(page.alert(), "picture-too-large");
    assert_works(&page);
    page.close(&[]);
}

/// Browsers that hinder fingerprinting change what a page reads from a canvas.
#[test]
fn a_browser_that_scrambles_pictures_is_told_of_and_a_little_noise_is_not() {
    let with_noise = |noise: &str| {
        format!(
            "const read = OffscreenCanvasRenderingContext2D.prototype.getImageData;
             OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...area) {{
                 const image = read.apply(this, area);
                 for (let i = 0; i < image.data.length; i += 1) image.data[i] = {noise};
                 return image;
             }};\n"
        )
    };
    let page = page_whose_worker_runs(&with_noise("image.data[i] ^ 1"));
    assert_works(&page);
    page.close(&[]);
    let page = page_whose_worker_runs(&with_noise("Math.random() * 256"));
    page.click("sample-cat");
    assert_eq!(page.alert(), "picture-scrambled");
    page.check_accessibility("pictures are scrambled");
    page.close(&[]);
}

/// A PNG whose header announces 60,000 by 60,000 pixels.
fn huge_png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    for side in [60_000_u32; 2] {
        png.extend_from_slice(&side.to_be_bytes());
    }
    png.extend_from_slice(&[8, 2, 0, 0, 0]);
    let crc = crc32(&png[12..]);
    png.extend_from_slice(&crc.to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
        crc
    })
}

/// The server answers wrongly for the weights; once it behaves, Retry leads to the right answer.
fn weights_fault(fault: Fault, code: &str) {
    let page = Page::unopened(&[]);
    page.server.misbehave(".gguf", fault);
    page.go("/");
    assert_eq!(page.alert(), code, "{fault:?}");
    page.check_accessibility(&format!("the weights fail by {fault:?}"));
    page.browser.keep_screenshot(&format!("weights-{code}"));
    page.server.behave();
    page.click("retry");
    page.wait_ready();
    assert_works(&page);
    // The browser itself reports each failed request on the console.
    page.close(&["Failed to load resource", "net::ERR"]);
}

#[test]
fn missing_weights() {
    weights_fault(Fault::NotFound, "weights-missing");
}

#[test]
fn a_server_error_for_weights() {
    weights_fault(Fault::ServerError, "weights-server");
}

#[test]
fn a_web_page_for_weights() {
    weights_fault(Fault::Html, "weights-html");
}

#[test]
fn corrupted_weights() {
    weights_fault(Fault::Corrupted, "weights-damaged");
}

#[test]
fn an_interrupted_download() {
    weights_fault(Fault::Truncated, "weights-network");
}

#[test]
fn loading_can_be_cancelled_and_taken_up_again() {
    let page = Page::unopened(&[]);
    page.server.misbehave(".gguf", Fault::Stalled);
    page.go("/");
    page.the("loading");
    page.check_accessibility("the model loads");
    page.browser.keep_screenshot("loading");
    page.click("cancel");
    assert_eq!(page.alert(), "load-cancelled");
    page.server.behave();
    page.click("retry");
    page.wait_ready();
    assert_works(&page);
    page.close(&["net::ERR"]);
}

#[test]
fn the_second_visit_needs_no_server() {
    let page = Page::ready();
    let n_weights = |page: &Page| {
        page.server.requests().iter().filter(|request| request.target.contains(".gguf")).count()
    };
    assert_eq!(n_weights(&page), 1);
    page.wait_kept();
    page.browser.reload();
    page.wait_ready();
    assert_eq!(n_weights(&page), 1, "the weights were fetched again");
    page.server.hang_up();
    page.browser.reload();
    page.wait_ready();
    assert_works(&page);
    page.close(&["Failed to load resource", "net::ERR"]);
}

/// The page with a script before the engine's worker, ready.
fn page_whose_worker_runs(prelude: &str) -> Page {
    let page = Page::unopened(&[]);
    page.server.prelude("/worker-boot.js", prelude);
    page.go("/");
    page.wait_ready();
    page
}

fn wait_backend(page: &Page, name: &str) {
    page.browser.wait_until(&format!("document.querySelector('{}')", with("status", "backend", name)));
}

fn wait_notice(page: &Page, code: &str) {
    page.browser.wait_until(&format!("document.querySelector('{}')", with("notice", "code", code)));
}

#[test]
fn without_an_adapter_the_cpu_answers() {
    let page = page_whose_worker_runs("GPU.prototype.requestAdapter = async () => null;\n");
    wait_backend(&page, "CPU");
    wait_notice(&page, "adapter-missing");
    assert_works(&page);
    page.close(&[]);
}

/// A GPU that computes wrong is found out before it answers.
#[test]
fn a_gpu_that_computes_wrong_is_not_used() {
    let page = page_whose_worker_runs(
        "const write = GPUQueue.prototype.writeBuffer;
         GPUQueue.prototype.writeBuffer = function (buffer, offset, data, ...rest) {
             const bytes = data.slice(0);
             const view = new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
             if (view.length > 1e5) for (let i = 0; i < view.length; i += 64) view[i] ^= 0x55;
             return write.call(this, buffer, offset, bytes, ...rest);
         };
",
    );
    wait_backend(&page, "CPU");
    wait_notice(&page, "gpu-wrong");
    assert_works(&page);
    page.close(&[]);
}

const NO_ADAPTER_EVER: &str = "GPU.prototype.requestAdapter = () => new Promise(() => {});\n";

/// At whichever call it hangs: the CPU takes over in time, and the next visit does not wait again.
#[test]
fn a_gpu_that_never_answers_is_given_up_and_left_alone() {
    for prelude in [
        NO_ADAPTER_EVER,
        "GPUAdapter.prototype.requestDevice = () => new Promise(() => {});\n",
        // Work is taken in and never done.
        "GPUBuffer.prototype.mapAsync = () => new Promise(() => {});\n",
    ] {
        let page = page_whose_worker_runs(prelude);
        wait_backend(&page, "CPU");
        wait_notice(&page, "gpu-silent");
        assert_works(&page);
        // It would be asked now, and would answer.
        page.server.prelude("/worker-boot.js", "GPU.prototype.requestAdapter = () => postMessage([1]);\n");
        page.browser.reload();
        page.wait_ready();
        wait_backend(&page, "CPU");
        assert_why_cpu(&page, "gpu-set-aside");
        page.server.prelude("/worker-boot.js", "");
        page.close(&[]);
    }
}

/// Opens the details and looks why it is not the GPU: in plain words, and nothing of a library's.
fn assert_why_cpu(page: &Page, code: &str) {
    page.click("details");
    page.browser.wait_until(&format!("document.querySelector('{}')", with("why-cpu", "code", code)));
    let words = page.browser.run(
        "const why = document.querySelector('[data-testid=why-cpu]').cloneNode(true);
         why.querySelector('details').remove();
         return why.textContent",
        json!([]),
    );
    let words = words.as_str().expect("words").to_lowercase();
    let raw = ["wgpu", "adapter", "webgpu instance", "undefined"];
    assert!(!words.is_empty() && !raw.iter().any(|raw| words.contains(raw)), "{words}");
}

fn is_pressed(page: &Page, id: &str) -> bool {
    page.browser.run(
        "return document.querySelector(arguments[0]).getAttribute('aria-pressed')",
        json!([format!("[data-testid={id}]")]),
    ) == "true"
}

#[test]
fn the_reader_chooses_the_processor_and_the_choice_is_kept() {
    let page = Page::ready();
    wait_backend(&page, "GPU");
    page.click("details");
    assert!(is_pressed(&page, "backend-auto") && !is_pressed(&page, "backend-cpu"));
    page.check_accessibility("the processor can be chosen");
    page.click("backend-cpu");
    wait_backend(&page, "CPU");
    assert!(is_pressed(&page, "backend-cpu") && !is_pressed(&page, "backend-auto"));
    page.browser.reload();
    page.wait_ready();
    wait_backend(&page, "CPU");
    assert!(!page.is_there("notice"), "what was chosen is no news");
    assert_works(&page);
    page.click("details");
    page.click("backend-gpu");
    wait_backend(&page, "GPU");
    assert_works(&page);
    page.close(&[]);
}

/// A reader who does not wait for a silent GPU gets the CPU by one press, at once.
#[test]
fn a_gpu_that_is_still_waited_for_can_be_left() {
    let page = Page::unopened(&[]);
    page.server.prelude("/worker-boot.js", NO_ADAPTER_EVER);
    page.go("/");
    page.the("loading");
    page.click("details");
    page.click("backend-cpu");
    let start = std::time::Instant::now();
    wait_backend(&page, "CPU");
    assert!(start.elapsed().as_secs() < 8, "{:?}: the deadline ended it", start.elapsed());
    page.close(&[]);
}

/// The browser broke down while the GPU was tried, or somebody reloaded after waiting in vain; leaving early is neither.
#[test]
fn a_visit_that_ended_over_the_gpu_is_remembered() {
    let is_marked = "localStorage.getItem('cliplet.trying-gpu')";
    for (is_breakdown, code) in [(false, "gpu-silent"), (true, "gpu-set-aside")] {
        let page = Page::unopened(&[]);
        page.server.prelude("/worker-boot.js", NO_ADAPTER_EVER);
        page.go("/");
        page.browser.wait_until(is_marked);
        if is_breakdown {
            // After a breakdown nobody says goodbye.
            page.browser.run("Storage.prototype.removeItem = () => {}", json!([]));
        }
        page.browser.reload();
        page.wait_ready();
        wait_backend(&page, "CPU");
        wait_notice(&page, code);
        page.close(&[]);
    }
}

/// A worker whose GPU goes away when [`lose_gpu`] says so.
const LOSES_ITS_GPU: &str = "const request = GPUAdapter.prototype.requestDevice;
         const channel = new BroadcastChannel('lose');
         GPUAdapter.prototype.requestDevice = async function (...wishes) {
             const device = await request.apply(this, wishes);
             channel.onmessage = () => device.destroy();
             return device;
         };
";

fn lose_gpu(page: &Page) {
    page.browser.run("new BroadcastChannel('lose').postMessage('now')", json!([]));
}

#[test]
fn a_lost_gpu_comes_back_and_lost_again_the_cpu_takes_over() {
    let page = page_whose_worker_runs(LOSES_ITS_GPU);
    wait_backend(&page, "GPU");
    assert_works(&page);
    lose_gpu(&page);
    page.click("sample-flower");
    page.wait_winner("flower");
    wait_notice(&page, "device-lost");
    wait_backend(&page, "GPU");
    lose_gpu(&page);
    page.click("sample-rocket");
    page.wait_winner("rocket");
    wait_notice(&page, "device-lost-again");
    wait_backend(&page, "CPU");
    assert_works(&page);
    page.close(&[]);
}

#[test]
fn a_refused_or_missing_camera_has_its_own_message() {
    let page = Page::ready();
    for (name, code) in [
        ("NotAllowedError", "camera-refused"),
        ("NotFoundError", "camera-missing"),
        ("NotReadableError", "camera-busy"),
    ] {
        page.browser.run(
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', arguments[0]) }"
                .replace("arguments[0]", &format!("'{name}'"))
                .as_str(),
            json!([]),
        );
        page.click("camera-open");
        page.browser.wait_until(&format!("document.querySelector('{}')", with("alert", "code", code)));
        assert_works(&page);
    }
    page.close(&[]);
}

#[test]
fn a_camera_in_use_gives_way_to_one_that_is_free() {
    let page = Page::unopened(&["--use-fake-device-for-media-stream=device-count=2".to_owned()]);
    page.go("/");
    page.wait_ready();
    page.browser.run(
        "window.asked = [];
         const ask = navigator.mediaDevices.getUserMedia;
         const first = navigator.mediaDevices.enumerateDevices().then((devices) =>
             devices.filter(({ kind }) => kind === 'videoinput')[0].deviceId);
         navigator.mediaDevices.getUserMedia = async (wishes) => {
             const id = wishes.video.deviceId?.exact;
             asked.push(id ?? 'any');
             if (!id || id === await first) throw new DOMException('in use', 'NotReadableError');
             return ask(wishes);
         };",
        json!([]),
    );
    page.click("camera-open");
    page.browser.find(&with("results", "state", "settled"));
    let asked = page.browser.run("return [asked.length, asked[0]]", json!([]));
    assert_eq!(asked, json!([3, "any"]), "any, the first, which is in use, and the second");
    assert!(!page.is_there("alert"));
    page.click("camera-stop");
    page.close(&[]);
}

#[test]
fn a_camera_that_gives_no_frame_is_told_of() {
    let page = Page::ready();
    page.browser.run(
        "window.nTries = 0;
         const make = window.createImageBitmap.bind(window);
         window.createImageBitmap = async (source, ...more) => {
             if (!(source instanceof HTMLVideoElement)) return make(source, ...more);
             nTries += 1;
             throw new DOMException('no frame', 'InvalidStateError');
         };",
        json!([]),
    );
    page.click("camera-open");
    page.browser
        .wait_until(&format!("document.querySelector('{}')", with("alert", "code", "camera-unreadable")));
    let n_tries = || page.browser.run("return nTries", json!([])).as_u64().expect("a count");
    let n_then = n_tries();
    assert!(n_then > 2, "it gave up after {n_then} tries");
    let n_live = "witness.streams.flatMap((stream) => stream.getTracks()).filter((track) => track.readyState === 'live').length";
    page.browser.wait_until(&format!("{n_live} === 0"));
    assert_works(&page);
    assert_eq!(n_tries(), n_then, "it goes on trying");
    page.close(&[]);
}

/// A browser holds a worker to the policy of its own file: on a host that sends none, the worker must hold itself.
#[test]
fn the_worker_reaches_no_other_host_even_without_a_policy() {
    // Runs in the worker once its own script is through, and goes on telling what it found.
    let prelude = "setTimeout(async () => {
        const address = `http://elsewhere.example/${'x'.repeat(8)}`;
        const outcome = async (attempt) => { try { await attempt(); return 'reached'; } catch (error) { return error.name; } };
        const found = {
            fetch: await outcome(() => fetch(address)),
            request: await outcome(() => fetch(new Request(address))),
            xhr: await outcome(() => new XMLHttpRequest()),
            socket: await outcome(() => new WebSocket('ws://elsewhere.example/')),
            events: await outcome(() => new EventSource(address)),
            ours: await outcome(() => fetch('models/manifest.json')),
        };
        const channel = new BroadcastChannel('found');
        setInterval(() => channel.postMessage(found), 100);
    }, 0);\n";
    let page = Page::unopened(&[]);
    page.server.prelude("/worker-boot.js", prelude);
    page.server.without_policy("/worker-boot.js");
    page.go("/");
    page.browser
        .run("new BroadcastChannel('found').onmessage = ({ data }) => { window.found = data; }", json!([]));
    page.wait_ready();
    let found = page.browser.wait_for("what the worker found", || {
        let found = page.browser.run("return window.found ?? null", json!([]));
        (!found.is_null()).then_some(found)
    });
    assert_eq!(
        found,
        json!({"fetch": "TypeError", "request": "TypeError", "xhr": "ReferenceError", "socket": "ReferenceError",
            "events": "ReferenceError", "ours": "reached"})
    );
    assert_works(&page);
    page.close(&[]);
}

/// A camera frame can be read once only: what was made of it outlives the GPU that it was on.
#[test]
fn a_gpu_lost_while_the_camera_runs_costs_no_frame() {
    let folder = std::env::temp_dir().join(format!("cliplet-lost-{}", std::process::id()));
    let page = Page::unopened(&[film(&file("static/samples/cat.jpg"), &folder)]);
    page.server.prelude("/worker-boot.js", LOSES_ITS_GPU);
    page.go("/");
    page.wait_ready();
    page.click("camera-open");
    page.wait_winner("cat");
    lose_gpu(&page);
    wait_notice(&page, "device-lost");
    page.wait_winner("cat");
    assert!(!page.is_there("alert"), "a frame was lost with the GPU");
    assert!(page.is_there("live-rate"), "the camera goes on");
    page.click("camera-stop");
    page.close(&[]);
    std::fs::remove_dir_all(folder).expect("the film goes");
}
