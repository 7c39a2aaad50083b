//! `<cliplet-rank>` in other people's pages, as `cargo xtask widget` writes it: under every policy that
//! static/docs/embed.md names, from the site's own folder and from another origin, in a frame, twice, removed, moved.
//!
//! Invariant: a row of the table of policies in the docs is a row of [`POLICIES`], tried and not believed.

use crate::page::file;
use crate::server::Server;
use crate::webdriver::Browser;
use serde_json::{Value, json};

/// Keeps what the elements tell, and what failed without being caught.
const WITNESS: &str = "
    window.told = [];
    window.errors = [];
    for (const name of ['load', 'progress', 'result', 'error']) {
        document.addEventListener(name, (event) => {
            const { target, detail } = event;
            if (target.localName === 'cliplet-rank') told.push({ name, id: target.id, detail });
        }, true);
    }
    window.addEventListener('error', (event) => event.message && errors.push(event.message));
    window.addEventListener('unhandledrejection', (event) => errors.push(`rejected: ${event.reason}`));";

/// The element as most tests have it.
const ELEMENT: &str = "<cliplet-rank labels=\"cat, dog, rocket\"></cliplet-rank>";

/// Somebody's site, with the widget in a folder of its own.
struct Site {
    server: Server,
    browser: Browser,
}

impl Site {
    fn new() -> Site {
        Site::with_flags(&[])
    }

    fn with_flags(flags: &[&str]) -> Site {
        let server = site();
        let mut all = vec![server.proxy_flag()];
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let browser = Browser::with_flags(&all);
        browser.before_each_page(WITNESS);
        Site { server, browser }
    }

    /// Opens a page with this body, under these headers; the module is the site's own.
    fn open(&self, body: &str, headers: &[&str]) {
        self.open_from("/widget/cliplet-rank.js", body, headers);
    }

    fn open_from(&self, module: &str, body: &str, headers: &[&str]) {
        let html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Somebody's page</title>\
             <script type=\"module\" src=\"{module}\"></script><body>{body}</body></html>"
        );
        self.server.page("/somebody.html", &html);
        self.server.send_own("/somebody.html", headers);
        self.browser.open(&self.server.url("/somebody.html"));
        self.browser.wait_until("customElements.get('cliplet-rank')");
    }

    fn run(&self, script: &str) -> Value {
        self.browser
            .run_async(&format!("const rank = document.querySelector('cliplet-rank'); {script}"), json!([]))
    }

    /// The first detail that an element told under this name and that `script` (of `detail`) takes.
    fn told(&self, name: &str, script: &str) -> Value {
        let ask = format!(
            "return told.find(({{ name, detail }}) => name === arguments[0] && ({script}))?.detail ?? null"
        );
        self.browser.wait_for(&format!("{name}: {script}"), || {
            let found = self.browser.run(&ask, json!([name]));
            (!found.is_null()).then_some(found)
        })
    }

    /// Presses the button.
    fn press(&self) {
        self.run("rank.shadowRoot.querySelector('.start').click();");
    }

    /// Drops a sample on the opened element.
    fn drop_sample(&self, name: &str) {
        let script = format!(
            "const panel = rank.shadowRoot.querySelector('.panel');
             const blob = await (await fetch('/samples/{name}')).blob();
             const dataTransfer = new DataTransfer();
             dataTransfer.items.add(new File([blob], '{name}', {{ type: blob.type }}));
             for (const kind of ['dragover', 'drop'])
                 panel.dispatchEvent(new DragEvent(kind, {{ bubbles: true, cancelable: true, dataTransfer }}));"
        );
        self.run(&script);
    }

    /// Opens the element and has it rank the cat.
    fn ranks_the_cat(&self) {
        self.press();
        self.browser.wait_until("document.querySelector('cliplet-rank').shadowRoot.querySelector('.panel')");
        self.drop_sample("cat.jpg");
        self.told("result", "detail.winner === 'cat'");
    }

    fn targets(&self) -> Vec<String> {
        self.server.requests().into_iter().map(|request| request.target).collect()
    }

    fn close(self) {
        let strays: Vec<_> = self.server.requests();
        let strays: Vec<_> = strays
            .iter()
            .filter(|request| request.is_for_another_host && !request.is_browsers_own())
            .collect();
        assert!(strays.is_empty(), "requests for other hosts: {strays:?}");
        assert_eq!(self.browser.run("return errors", json!([])), json!([]), "uncaught errors");
    }
}

/// A host with the widget, samples, and no headers of its own.
fn site() -> Server {
    let widget = file("target/widget");
    assert!(widget.join("engine.js").is_file(), "{} is no widget: cargo xtask widget", widget.display());
    let server = Server::start(file("tests/embed"));
    server.send_own("/", &[]);
    server.mount("/widget", widget);
    server.mount("/samples", file("static/samples"));
    server
}

#[test]
fn one_element_ranks_and_nothing_is_fetched_before() {
    let site = Site::new();
    site.open(ELEMENT, &["Content-Security-Policy: default-src 'self'"]);
    assert_eq!(
        site.targets().iter().filter(|target| target.contains("/widget/")).collect::<Vec<_>>(),
        ["/widget/cliplet-rank.js"],
        "nothing else before the press"
    );
    site.ranks_the_cat();
    let state = site.run(
        "return { value: rank.value, result: rank.result, text: rank.shadowRoot.querySelector('[part=results]').innerText,
            spoken: rank.shadowRoot.querySelector('[role=status]').textContent }",
    );
    assert_eq!(state["value"], "cat");
    assert_eq!(state["result"]["labels"].as_array().map(Vec::len), Some(3));
    assert!(state["text"].as_str().is_some_and(|text| text.contains("cat") && text.contains('%')), "{state}");
    assert!(state["spoken"].as_str().is_some_and(|text| text.starts_with("cat, ")), "{state}");
    let card = site.told("load", "true");
    assert_eq!(card["info"]["about"]["is_starter"], true);
    site.close();
}
