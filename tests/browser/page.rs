//! The page under test: `dist/` on a server of its own, in a browser of its own.
//!
//! Invariant: a journey that ends well has left no uncaught error, no request for another host and none with a body
//! ([`Page::close`]).

use crate::server::{Request, Server};
use crate::webdriver::{Browser, Element, Kind, key};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub struct Page {
    pub server: Server,
    pub browser: Browser,
}

/// Keeps what a test wants to know afterwards: streams of the camera, what failed without being caught, and workers.
const WITNESS: &str = "
    window.witness = { streams: [], errors: [], copied: [] };
    window.addEventListener('error', (event) => witness.errors.push(`${event.message} ${event.filename}:${event.lineno}`));
    window.addEventListener('unhandledrejection', (event) => witness.errors.push(`rejected: ${event.reason}`));
    window.addEventListener('securitypolicyviolation', (event) =>
        witness.errors.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    if (navigator.mediaDevices) {
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wishes) => {
            const stream = await ask(wishes);
            witness.streams.push(stream);
            return stream;
        };
    }
    if (navigator.clipboard) navigator.clipboard.writeText = async (text) => { witness.copied.push(text); };";

impl Page {
    /// The page, opened; its model may still be loading.
    pub fn open() -> Page {
        let page = Page::unopened(&[]);
        page.go("/");
        page
    }

    /// Server and browser for the page, so that a test can first prepare either.
    pub fn unopened(flags: &[String]) -> Page {
        Page::unopened_of("dist", flags)
    }

    /// The same of a page that was built into another folder of the repository.
    pub fn unopened_of(folder: &str, flags: &[String]) -> Page {
        let dist = file(folder);
        assert!(
            dist.join("index.html").is_file(),
            "{} is no page; build it: cargo xtask build",
            dist.display()
        );
        Page::on(Server::start(dist), flags)
    }

    /// Server and browser for pages below the root of a host, each a path and its folder; at the root there is nothing.
    pub fn unopened_below(mounts: &[(&str, &Path)]) -> Page {
        let server = Server::start(file("static/hosting"));
        mounts.iter().for_each(|(path, folder)| server.mount(path, *folder));
        Page::on(server, &[])
    }

    fn on(server: Server, flags: &[String]) -> Page {
        let mut all = vec![server.proxy_flag()];
        all.extend_from_slice(flags);
        let browser = Browser::with_flags(&all);
        browser.before_each_page(WITNESS);
        Page { server, browser }
    }

    /// The page in any browser, ready.
    pub fn ready_in(kind: Kind) -> Page {
        let server = Server::start(file("dist"));
        server.witness(WITNESS);
        let browser = Browser::of_kind(kind, server.port());
        let page = Page { server, browser };
        page.go("/");
        page.wait_ready();
        page
    }

    pub fn go(&self, path: &str) {
        self.browser.open(&self.server.url(path));
    }

    /// Opens the page and waits until its model answers.
    pub fn ready() -> Page {
        let page = Page::open();
        page.wait_ready();
        page
    }

    /// Waits until the helper for visits without a network has stored the page and its model: it does so, all at
    /// once, while the reader already works.
    pub fn wait_kept(&self) {
        self.browser.wait_for("page and model to be kept", || {
            let kept = "const shell = `cliplet-shell ${new URL('./', location)}`;
                const kept = async (name) => (await (await caches.open(name)).keys()).length;
                return navigator.serviceWorker.controller && await kept(shell) && await kept('cliplet-weights')";
            self.browser.run_async(kept, json!([])).as_u64().filter(|n_kept| *n_kept > 0)
        });
    }

    pub fn wait_ready(&self) {
        self.browser.wait_until(&format!("document.querySelector('{}')", with("status", "engine", "ready")));
    }

    /// Waits for an alert and returns its code. It must be one to a screen reader too; what the reader did, a status.
    pub fn alert(&self) -> String {
        self.the("alert");
        let script = "const alert = document.querySelector(arguments[0]);
            const role = ['load-cancelled', 'ranking-cancelled'].includes(alert?.dataset.code) ? 'status' : 'alert';
            return alert?.closest(`[role=${role}]`) ? alert.dataset.code : null";
        self.browser.wait_for("an alert with a code", || {
            self.browser.run(script, json!([testid("alert")])).as_str().map(str::to_owned)
        })
    }

    /// Waits for a settled ranking, best line first.
    pub fn ranking(&self) -> Vec<Line> {
        let script = "const results = document.querySelector(arguments[0]);
            if (results?.dataset.state !== 'settled') return null;
            return [...results.querySelectorAll(arguments[1])].map(({ dataset }) =>
                [dataset.label ?? '', Number(dataset.percent), dataset.none === 'true']);";
        let lines = self.browser.wait_for("a settled ranking", || {
            self.browser.run(script, json!([testid("results"), testid("result")])).as_array().cloned()
        });
        let line = |line: &Value| Line {
            label: line[0].as_str().expect("a label").to_owned(),
            percent: line[1].as_f64().expect("a number"),
            is_none: line[2].as_bool().expect("yes or no"),
        };
        lines.iter().map(line).collect()
    }

    /// Waits for a ranking with this winner: the picture that was shown last must lead to it.
    pub fn wait_winner(&self, label: &str) -> Vec<Line> {
        self.browser.wait_for(&format!("{label} on top"), || {
            let lines = self.ranking();
            (lines.first().map(|line| line.label.as_str()) == Some(label)).then_some(lines)
        })
    }

    /// The labels as they stand in the field, in their order.
    pub fn labels(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map((chip) => chip.dataset.label)";
        let labels = self.browser.run(script, json!([testid("chip")]));
        labels
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|label| label.as_str().map(str::to_owned))
            .collect()
    }

    /// Takes every label away and types others, each ended by Enter.
    pub fn set_labels(&self, labels: &[&str]) {
        while self.is_there("chip-remove") {
            let n_before = self.labels().len();
            // As a reader would first scroll to it: the driver takes what lies under the field for seen.
            let to_it = "document.querySelector(arguments[0])?.scrollIntoView({ block: 'nearest', inline: 'nearest' })";
            self.browser.run(to_it, json!([testid("chip-remove")]));
            self.click("chip-remove");
            self.browser.wait_for("a label to go", || (self.labels().len() < n_before).then_some(()));
        }
        let input = self.the("label-input");
        for label in labels {
            self.browser.type_into(&input, &format!("{label}{}", key::ENTER));
        }
        self.browser.wait_for("the new labels", || (self.labels() == labels).then_some(()));
    }

    /// Pastes text into the label field.
    pub fn paste_labels(&self, text: &str) {
        self.click("label-input");
        self.browser.run(
            "const clipboardData = new DataTransfer();
             clipboardData.setData('text/plain', arguments[0]);
             document.activeElement.dispatchEvent(
                 new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData }));",
            json!([text]),
        );
    }

    /// Chooses a file of the repository with the file picker.
    pub fn choose(&self, path: &str) {
        self.browser.type_into(&self.the("file-input"), &file(path).to_string_lossy());
    }

    /// The element with this `data-testid`, waited for.
    pub fn the(&self, id: &str) -> Element {
        self.browser.find(&testid(id))
    }

    pub fn click(&self, id: &str) {
        self.browser.click(&self.the(id));
    }

    /// The text of the first such element now.
    pub fn text(&self, id: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.textContent ?? null";
        self.browser.run(script, json!([testid(id)])).as_str().map(|text| text.trim().to_owned())
    }

    pub fn is_there(&self, id: &str) -> bool {
        !self.browser.all(&testid(id)).is_empty()
    }

    /// The `data-testid` of what has the focus, or of what is around it; else its tag's name.
    pub fn focused(&self) -> String {
        let script = "const focused = document.activeElement ?? document.body;
            return focused.closest('[data-testid]')?.dataset.testid ?? focused.tagName";
        self.browser.run(script, json!([])).as_str().expect("a name").to_owned()
    }

    /// Presses Tab until this has the focus.
    pub fn tab_to(&self, id: &str) {
        for _ in 0..80 {
            if self.focused() == id {
                return;
            }
            self.browser.press(key::TAB);
        }
        panic!("80 times Tab and no {id}");
    }

    /// Drops a file on the page, as a person's drag from a folder ends.
    pub fn drop_file(&self, name: &str, media_type: &str, bytes: &[u8]) {
        self.browser.run(
            "const [name, type, bytes] = arguments;
             const transfer = new DataTransfer();
             transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
             const target = document.elementFromPoint(innerWidth / 2, innerHeight / 2) ?? document.body;
             for (const kind of ['dragenter', 'dragover', 'drop']) {
                 const init = { bubbles: true, cancelable: true, composed: true, dataTransfer: transfer };
                 target.dispatchEvent(new DragEvent(kind, init));
             }",
            json!([name, media_type, bytes]),
        );
    }

    /// No violation of any of axe-core's rules in the state that the page is in.
    pub fn check_accessibility(&self, state: &str) {
        let axe = std::env::var_os("CLIPLET_AXE").expect("axe-core; run the tests by: cargo xtask browser");
        let axe = std::fs::read_to_string(&axe).expect("axe-core is readable");
        if self.browser.run("return typeof axe", json!([])) == "undefined" {
            self.browser.run(&format!("{axe}\nwindow.axe = axe;"), json!([]));
        }
        let violations = self.browser.run_async(
            "// A colour on its way from one theme to the other is neither's.
             for (const animation of document.getAnimations()) {
                 if (animation.effect.getTiming().iterations !== Infinity) animation.finish();
             }
             const { violations } = await axe.run(document, { resultTypes: ['violations'] });
             return violations.map(({ id, help, nodes }) =>
                 `${id}: ${help}: ` + nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | '));",
            json!([]),
        );
        assert_eq!(violations, json!([]), "accessibility of the page when {state}");
    }

    /// The state that the page is in, on screens of each size, and in both themes on those that differ most: axe-core's rules,
    /// nothing wider than the screen, and a screenshot of each for people.
    pub fn check_looks(&self, state: &str) {
        for (size, width, height, themes) in [
            ("wide", 2560, 1440, &["light"][..]),
            ("desktop", 1440, 900, &["light", "dark"]),
            ("laptop", 1000, 700, &["light"]),
            ("tablet", 768, 1024, &["dark"]),
            ("phone", 390, 844, &["light", "dark"]),
            ("small", 360, 640, &["light"]),
        ] {
            for theme in themes.iter().copied() {
                self.browser.resize(width, height);
                self.browser.prefer_color_scheme(theme);
                self.check_accessibility(&format!("{state}, {size}, {theme}"));
                self.browser.keep_screenshot(&format!("{state}-{size}-{theme}"));
                let overflow =
                    "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                let overflow = self.browser.run(overflow, json!([]));
                assert_eq!(overflow, 0, "{state} on a {size} screen is too wide");
                // Nor does a button leave the sentence beside it a few letters a line.
                let squeezed = "return [...document.querySelectorAll('p, span, button, label, dt, dd, li, th, td, h1, h2, h3, small')]
                    .filter((element) => {
                        const own = [...element.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE);
                        const text = own.map(({ data }) => data).join('').trim();
                        const { width, height } = element.getBoundingClientRect();
                        const em = parseFloat(getComputedStyle(element).fontSize);
                        return text.length > 20 && element.checkVisibility() && width > 1 && width < 5 * em && height > 4 * em;
                    }).map(({ textContent }) => textContent)";
                assert_eq!(
                    self.browser.run(squeezed, json!([])),
                    json!([]),
                    "{state} on a {size} screen squeezes"
                );
                // What stands below each other in the panel does not lie over each other.
                let over = "const all = [...document.querySelectorAll('.side > *, .ranking > *, .labels > *')].filter((element) => {
                        const { position, display } = getComputedStyle(element);
                        const isFree = ['absolute', 'fixed', 'sticky'].includes(position) || element.closest('.toasts');
                        return !isFree && display !== 'contents' && element.checkVisibility() && !element.matches('.sr');
                    });
                    const leaves = all.filter((element) => !all.some((other) => other !== element && element.contains(other)));
                    const boxes = leaves.map((element) => [element, element.getBoundingClientRect()]).filter(([, box]) => box.height > 0);
                    return boxes.flatMap(([a, one], idx) => boxes.slice(idx + 1)
                        .filter(([, other]) => Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1
                            && Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1)
                        .map(([b]) => `${a.className} and ${b.className}`))";
                assert_eq!(
                    self.browser.run(over, json!([])),
                    json!([]),
                    "{state} on a {size} screen lies over itself"
                );
                // Nor do the samples lie over the labels beside them.
                let spill = "return [...document.querySelectorAll('.tools')]
                    .filter((tools) => tools.scrollWidth > tools.clientWidth).length";
                assert_eq!(self.browser.run(spill, json!([])), 0, "{state} on a {size} screen spills over");
            }
        }
        self.browser.resize(1440, 900);
    }

    /// What every journey promises at its end; `expected_errors` are parts of console errors that it provoked.
    pub fn close(self, expected_errors: &[&str]) {
        let requests = self.server.requests();
        let is_stray = |request: &&Request| request.is_for_another_host && !request.is_browsers_own();
        let strays: Vec<_> = requests.iter().filter(is_stray).collect();
        assert!(strays.is_empty(), "requests for other hosts: {strays:?}");
        let uploads: Vec<_> = requests
            .iter()
            .filter(|request| {
                !request.is_browsers_own() && (request.n_body_bytes > 0 || request.method != "GET")
            })
            .collect();
        assert!(uploads.is_empty(), "requests that carry something: {uploads:?}");
        let targets = requests.iter().filter(|request| !request.is_browsers_own());
        let longest = targets.map(|request| request.target.len()).max().unwrap_or(0);
        assert!(longest < 200, "an address of {longest} characters could carry a picture");
        let errors = self.browser.run("return witness.errors", json!([]));
        assert_eq!(errors, json!([]), "uncaught errors");
        let is_unexpected = |line: &String| {
            line.starts_with("SEVERE") && !expected_errors.iter().any(|part| line.contains(part))
        };
        let severe: Vec<String> = self.browser.console().into_iter().filter(is_unexpected).collect();
        assert!(severe.is_empty(), "errors on the console: {severe:#?}");
    }
}

/// A line of the ranking.
#[derive(Clone, Debug)]
pub struct Line {
    pub label: String,
    pub percent: f64,
    pub is_none: bool,
}

/// A selector for an element with a `data-` attribute of this value.
pub fn with(id: &str, attribute: &str, value: &str) -> String {
    format!("{}[data-{attribute}=\"{value}\"]", testid(id))
}

pub fn testid(id: &str) -> String {
    format!("[data-testid=\"{id}\"]")
}

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A film for Chromium's fake camera that shows one picture: the flag that makes the camera show it.
pub fn film(picture: &Path, folder: &Path) -> String {
    let (width, height) = (640_u32, 480_u32);
    let rgb = image::open(picture)
        .expect("a picture")
        .resize_to_fill(width, height, image::imageops::Triangle)
        .to_rgb8();
    // Y4M with 4:2:0 chroma: a line of text, then planes of luma and two of chroma.
    let (mut luma, mut blue, mut red) = (Vec::new(), Vec::new(), Vec::new());
    for (x, y, pixel) in rgb.enumerate_pixels() {
        let [r, g, b] = pixel.0.map(f32::from);
        luma.push((16.0 + 0.257 * r + 0.504 * g + 0.098 * b) as u8);
        if x % 2 == 0 && y % 2 == 0 {
            blue.push((128.0 - 0.148 * r - 0.291 * g + 0.439 * b) as u8);
            red.push((128.0 + 0.439 * r - 0.368 * g - 0.071 * b) as u8);
        }
    }
    let mut film = format!("YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n").into_bytes();
    for _ in 0..2 {
        film.extend_from_slice(b"FRAME\n");
        [&luma, &blue, &red].into_iter().for_each(|plane| film.extend_from_slice(plane));
    }
    std::fs::create_dir_all(folder).expect("a folder");
    let file = folder.join("camera.y4m");
    std::fs::write(&file, film).expect("a film");
    format!("--use-file-for-fake-video-capture={}", file.display())
}
