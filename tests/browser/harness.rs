//! The tests' own tools, each seen to notice what the other tests rely on it to notice.

use crate::server::{Fault, Server};
use crate::webdriver::{Browser, Kind};
use serde_json::json;

/// A page of which nothing runs, under the strict headers.
pub const BLANK: &str = "<!doctype html><title>Blank</title>";

/// A server with a blank page and the repository's fixtures, and a browser that stands on that page.
pub fn blank_page() -> (Server, Browser) {
    blank_page_in(Kind::Chromium)
}

pub fn blank_page_in(kind: Kind) -> (Server, Browser) {
    let server = Server::start(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    server.page("/blank.html", BLANK);
    let browser = Browser::of_kind(kind, server.port());
    browser.open(&server.url("/blank.html"));
    (server, browser)
}

#[test]
fn chromium_has_an_adapter_in_software() {
    let (_server, browser) = blank_page();
    let adapter = browser.run_async(
        "const adapter = await navigator.gpu.requestAdapter();
         return { vendor: adapter.info.vendor, architecture: adapter.info.architecture, isFallback: adapter.info.isFallbackAdapter };",
        json!([]),
    );
    assert_eq!(
        adapter["architecture"], "swiftshader",
        "another adapter would make figures depend on the machine: {adapter}"
    );
}

#[test]
fn a_request_for_another_host_is_refused_and_seen() {
    let (server, browser) = blank_page();
    server.page("/open.html", BLANK);
    // The strict headers already forbid it: by the policy's own report, nothing is sent.
    let fetch = "return await fetch('http://elsewhere.example/pixel').then((r) => r.status, () => 'refused')";
    assert_eq!(browser.run_async(fetch, json!([])), "refused");
    let is_seen = |server: &Server| {
        server.requests().iter().any(|request| request.target.contains("elsewhere.example"))
    };
    assert!(!is_seen(&server), "the policy let a request out");
    // A navigation is under no policy: the proxy refuses and logs it.
    browser.open("http://elsewhere.example/page");
    assert!(is_seen(&server), "the proxy missed a request: {:?}", server.requests());
}

#[test]
fn each_fault_of_the_server_reaches_the_page() {
    let root = std::env::temp_dir().join(format!("cliplet-faults-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a folder");
    std::fs::write(root.join("file.bin"), (0..=255).collect::<Vec<u8>>()).expect("a file");
    let server = Server::start(&root);
    server.page("/blank.html", BLANK);
    let browser = Browser::start();
    browser.open(&server.url("/blank.html"));
    let fetch = || {
        browser.run_async(
            "const response = await fetch('/file.bin');
             const bytes = await response.arrayBuffer().then((b) => [...new Uint8Array(b)], () => null);
             return { status: response.status, type: response.headers.get('content-type'), bytes };",
            json!([]),
        )
    };
    let whole: Vec<u8> = (0..=255).collect();
    let good = json!({"status": 200, "type": "application/octet-stream", "bytes": whole});
    assert_eq!(fetch(), good);
    for (fault, status, n_bytes) in [
        (Fault::NotFound, 404, Some(0)),
        (Fault::ServerError, 500, Some(0)),
        (Fault::Html, 200, Some(34)),
        (Fault::Corrupted, 200, Some(256)),
        (Fault::Truncated, 200, None),
    ] {
        server.misbehave("/file.bin", fault);
        let answer = fetch();
        assert_eq!(answer["status"], status, "{fault:?}");
        assert_eq!(answer["bytes"].as_array().map(Vec::len), n_bytes, "{fault:?}");
        assert_ne!(answer, good, "{fault:?}");
        server.behave();
        assert_eq!(fetch(), good, "after {fault:?}");
    }
    server.misbehave("/file.bin", Fault::Stalled);
    browser.run("window.isDone = false; fetch('/file.bin').then((r) => r.arrayBuffer()).then(() => window.isDone = true)", json!([]));
    let n_asked = || server.requests().iter().filter(|request| request.target == "/file.bin").count();
    browser.wait_for("the stalled request", || (n_asked() == 12).then_some(()));
    assert_eq!(browser.run("return window.isDone", json!([])), false);
    server.behave();
    browser.wait_until("window.isDone");
    std::fs::remove_dir_all(&root).expect("the folder goes");
}

#[test]
fn a_browser_leaves_nothing_behind() {
    let browser = Browser::start();
    browser.open("about:blank");
    let folder = browser.folder().to_owned();
    let n_kept = std::fs::read_dir(&folder).expect("the folder").count();
    assert!(n_kept > 0, "the control: the browser keeps its things there");
    drop(browser);
    assert!(!folder.exists(), "{} is still there", folder.display());
}
