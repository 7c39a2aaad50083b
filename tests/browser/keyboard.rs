//! The keyboard alone: every control of every state is collected from the page, reached, seen to have the focus, named, and
//! pressed, and does what it says.
//!
//! Invariant: a control that is on the page in one of these states and that nothing here presses is a failure, so that a
//! new one cannot be forgotten.
//! Invariant: nothing here uses the pointer, or puts the focus anywhere by script.

use crate::hub::{NETWORK_NOISE, QuietHub, WEIGHTS};
use crate::page::{Page, file, testid, with};
use crate::picker::{self, NAME, UNFIT};
use crate::server;
use crate::test_hub::Fault;
use crate::webdriver::key::{self, ENTER, ESCAPE, TAB};
use cliplet::app::strings;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SPACE: &str = " ";
const SHIFT: &str = "\u{e008}";
const ARROW_UP: &str = "\u{e013}";
const ARROW_DOWN: &str = "\u{e015}";
const ARROW_LEFT: &str = "\u{e012}";
const DELETE: &str = "\u{e017}";
const CONTROL: &str = "\u{e009}";

/// Lets a script ask for the name that a screen reader is told.
const TELLS_NAMES: &str = "--enable-blink-features=ComputedAccessibilityInfo";

/// What the page tells of its controls.
const TOOLS: &str = r#"
    window.the = (id) => document.querySelector(`[data-testid="${id}"]`);
    window.every = (id) => document.querySelectorAll(`[data-testid="${id}"]`);
    window.hands = {
        // Ways out of the page, which are counted instead of gone: choosers of files, and links.
        n_chosen: 0, n_followed: 0,
        root: () => document.querySelector('dialog[open]') ?? document,
        // By its test id, or by what is around it; one name for those of a row.
        key(control) {
            const around = control.closest('[data-testid]')?.dataset.testid ?? '';
            const name = control.dataset.testid || `${around} ${control.localName}`;
            return name.replace(/^(sample|preset|template)-(\d+|[a-z]+)$/, (whole, row, one) =>
                ['add', 'remove'].includes(one) ? whole : `${row}-N`);
        },
        all() {
            const native = 'a[href], button, input, select, summary, textarea';
            return [...this.root().querySelectorAll(`${native}, [tabindex]`)].filter((control) =>
                !control.disabled && !control.closest('[aria-hidden="true"], [inert]') && (control.matches(native) || control.tabIndex >= 0)
                && control.checkVisibility({ visibilityProperty: true, opacityProperty: true }));
        },
        // What the Tab key stops at: one of the buttons that exclude each other.
        order() {
            return this.all().filter((control) => control.tabIndex >= 0 && (control.type !== 'radio' || control.checked));
        },
        // What is wrong with a control that has the focus.
        faults(control) {
            const faults = [];
            const ringed = [control, control.closest('.chips')].filter(Boolean).some((element) => {
                const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
                return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 && !/, 0\)$/.test(outlineColor);
            });
            if (!ringed) faults.push('nothing shows the focus');
            if (!control.computedName.trim()) faults.push('no name');
            const { left, right, top, bottom } = control.getBoundingClientRect();
            const [x, y] = [(Math.max(left, 0) + Math.min(right, innerWidth)) / 2, (Math.max(top, 0) + Math.min(bottom, innerHeight)) / 2];
            const hit = document.elementFromPoint(x, y);
            const isSeen = hit && (hit === control || control.contains(hit) || hit.contains(control) || hit.closest('label')?.control === control);
            if (!isSeen) faults.push(`under ${hit?.outerHTML.slice(0, 200)}`);
            return faults.map((fault) => `${this.key(control)}: ${fault}`);
        },
    };
    const choose = HTMLInputElement.prototype.click;
    HTMLInputElement.prototype.click = function () { if (this.type === 'file') hands.n_chosen += 1; else choose.call(this); };
    addEventListener('click', (event) => {
        if (!event.target.closest?.('a[target]')) return;
        hands.n_followed += 1;
        event.preventDefault();
    });
    addEventListener('focusin', ({ target }) => hands.stops?.push([target, hands.faults(target)]));"#;

struct Hands<'a> {
    page: &'a Page,
    /// Controls that were there, and those that were pressed, by their names.
    seen: BTreeSet<String>,
    pressed: BTreeSet<String>,
}

impl Hands<'_> {
    fn run(&self, script: &str, args: Value) -> Value {
        self.page.browser.run(script, args)
    }

    fn tabs(&self, n_steps: i64) {
        let key = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let is_back = n_steps < 0;
        let mut actions: Vec<Value> = is_back.then(|| key("keyDown", SHIFT)).into_iter().collect();
        for _ in 0..n_steps.abs() {
            actions.extend([key("keyDown", TAB), key("keyUp", TAB)]);
        }
        actions.extend(is_back.then(|| key("keyUp", SHIFT)));
        self.page.browser.act(actions);
    }

    /// The controls of the state that the page is in.
    fn collect(&mut self) {
        let keys = self.run("return hands.all().map((control) => hands.key(control))", json!([]));
        let keys = keys.as_array().expect("names").iter().filter_map(Value::as_str);
        self.seen.extend(keys.map(str::to_owned));
    }

    /// The same, and the Tab key stops at each of them.
    fn state(&mut self, state: &str) {
        self.collect();
        let mut wrong = Value::Null;
        // What came or changed meanwhile may want another round.
        for _ in 0..3 {
            self.run("hands.stops = []", json!([]));
            let n_stops = self.run("return hands.order().length", json!([]));
            self.tabs(n_stops.as_i64().expect("a number") + 3);
            wrong = self.run(
                "const missed = hands.order().filter((control) => !hands.stops.some(([stop]) => stop === control));
                 return [missed.map((control) => control.outerHTML), hands.stops.flatMap(([, faults]) => faults)];",
                json!([]),
            );
            if wrong == json!([[], []]) {
                break;
            }
        }
        self.run("hands.stops = undefined", json!([]));
        assert_eq!(
            wrong,
            json!([[], []]),
            "{state}: controls that the Tab key misses, and what is wrong with others"
        );
    }

    /// Goes to a control.
    fn to(&self, selector: &str) {
        self.page.browser.find(selector);
        for _ in 0..40 {
            let n_steps = self.run(
                "// The last step may have left the page for the browser's own controls.
                 if (!document.hasFocus()) return 1;
                 const order = hands.order();
                 const to = order.indexOf(hands.root().querySelector(arguments[0]));
                 const from = order.indexOf(document.activeElement);
                 return to >= 0 && from >= 0 ? to - from : 1;",
                json!([selector]),
            );
            match n_steps.as_i64().expect("a number") {
                0 => return,
                n_steps => self.tabs(n_steps),
            }
        }
        panic!("40 goes, and the Tab key does not come to {selector}; it is at {}", self.page.focused());
    }

    /// Goes to a control, presses keys, and waits for what is to come of it.
    fn press_at(&mut self, selector: &str, keys: &str, comes: &str) {
        self.to(selector);
        let found = self.run(
            "const control = document.activeElement; return [hands.key(control), hands.faults(control)]",
            json!([]),
        );
        assert_eq!(found[1], json!([]), "{selector}, {}", self.page.text("announcement").unwrap_or_default());
        self.pressed.insert(found[0].as_str().expect("a name").to_owned());
        assert_eq!(
            self.run(&format!("return !!({comes})"), json!([])),
            false,
            "{selector}: {comes} before the press"
        );
        self.page.browser.press(keys);
        self.page.browser.wait_until(comes);
        let has_focus = || (self.page.focused() != "BODY" && self.page.focused() != "HTML").then_some(());
        self.page.browser.wait_for(&format!("a focus after {selector}"), has_focus);
    }

    fn press(&mut self, id: &str, keys: &str, comes: &str) {
        self.press_at(&testid(id), keys, comes);
    }

    /// Opens a dialog; the control that did it has the focus again when it closes.
    fn within(&mut self, opener: &str, dialog: &str, inside: impl FnOnce(&mut Self)) {
        let is_open = format!("the('dialog-{dialog}').open");
        self.press(opener, ENTER, &is_open);
        if dialog == "models" {
            let is_known = |room: &String| room.as_str() != strings::STORED_UNKNOWN.get();
            self.page.the("shelved");
            self.page.browser.wait_for("what is stored", || self.page.text("room").filter(is_known));
        }
        self.state(dialog);
        inside(self);
        let close = format!("{} {}", testid(&format!("dialog-{dialog}")), testid("dialog-close"));
        self.press_at(&close, ENTER, &format!("!({is_open})"));
        let is_back = || (self.page.focused() == opener).then_some(());
        self.page.browser.wait_for(&format!("the focus to come back after the dialog {dialog}"), is_back);
    }
}

#[test]
fn every_control_works_by_keyboard_alone() {
    let page = Page::unopened(&[
        "--use-fake-device-for-media-stream=device-count=2".to_owned(),
        TELLS_NAMES.to_owned(),
    ]);
    page.browser.before_each_page(TOOLS);
    page.server.misbehave(".gguf", server::Fault::Stalled);
    page.go("/");
    page.the("loading");
    let mut hands = Hands { page: &page, seen: BTreeSet::new(), pressed: BTreeSet::new() };
    hands.state("loading");
    hands.press("cancel", ENTER, "the('alert')?.dataset.code === 'load-cancelled'");
    hands.state("cancelled");
    page.server.behave();
    hands.press("retry", ENTER, "the('status').dataset.engine === 'ready'");

    hands.state("empty");
    hands.press("share", SPACE, "witness.copied.length === 1 && the('notice')");
    hands.press("notice-dismiss", ENTER, "!the('notice')");
    hands.press("open", ENTER, "hands.n_chosen === 1");
    hands.press("language", ARROW_DOWN, "document.documentElement.lang === 'zh-Hans'");
    hands.press("language", ARROW_UP, "document.documentElement.lang === 'en'");
    hands.within("shortcuts", "shortcuts", |hands| {
        hands.press("has-shortcuts", SPACE, "!the('has-shortcuts').checked");
        hands.press("has-shortcuts", SPACE, "the('has-shortcuts').checked");
    });
    hands.within("privacy", "privacy", |hands| {
        hands.press("keeps-recent", SPACE, "!the('keeps-recent').checked");
        hands.press("keeps-recent", SPACE, "the('keeps-recent').checked");
    });
    labels(&mut hands);
    comparison(&mut hands);

    hands.press("sample-cat", ENTER, "the('results').dataset.state === 'settled'");
    page.wait_winner("cat");
    hands.state("settled");
    hands.within("sees-open", "sees", |_| ());
    hands.within("details", "details", details);
    // One dialog gives way to another, and the last gives the focus back.
    hands.press("details", SPACE, "the('dialog-details').open");
    hands.press_at(&format!("dialog[open] {}", testid("sees")), ENTER, "the('dialog-sees').open");
    page.browser.press(ESCAPE);
    page.browser.wait_until("!document.querySelector('dialog[open]')");
    hands.press("details", SPACE, "the('dialog-details').open");
    hands.press_at(&format!("dialog[open] {}", testid("models")), ENTER, "the('dialog-models').open");
    page.browser.press(ESCAPE);
    page.browser.wait_until("!document.querySelector('dialog[open]')");
    hands.press("picture-remove", ENTER, "the('stage').dataset.view === 'empty'");
    tray(&mut hands);
    recents(&mut hands);
    camera(&mut hands);
    messages(&mut hands);
    many_labels(&mut hands);
    // The one that leads away.
    page.click("details");
    page.the("dialog-details");
    hands.to(&testid("builder"));
    hands.pressed.insert("builder".to_owned());
    page.browser.press(ENTER);
    page.browser.wait_until("location.pathname.endsWith('/embed/')");
    let Hands { seen, pressed, .. } = hands;
    page.close(&["net::ERR"]);

    let hub = QuietHub::start();
    let page = picker::page_before(&hub, &picker::catalogue(), &[TELLS_NAMES.to_owned()]);
    page.browser.before_each_page(&picker::device("{}", ""));
    page.browser.before_each_page(TOOLS);
    page.server.prelude("/worker-boot.js", "GPU.prototype.requestAdapter = async () => null;\n");
    page.go("/");
    page.wait_ready();
    page.set_labels(&UNFIT);
    let mut hands = Hands { page: &page, seen, pressed };
    hands.press("sample-cat", ENTER, "the('offer')");
    models(&mut hands, &hub);
    let unpressed: Vec<_> = hands.seen.difference(&hands.pressed).collect();
    assert!(unpressed.is_empty(), "controls that no key was tried on: {unpressed:?}");
    page.close(&NETWORK_NOISE);
}

/// The label field, its chips, presets and sets.
fn labels(hands: &mut Hands) {
    let page = hands.page;
    let n_chips = |n: usize| format!("every('chip').length === {n}");
    hands.press("preset-1", ENTER, &n_chips(10));
    hands.state("with a notice");
    hands.press("undo", SPACE, &n_chips(7));
    hands.press("clear", ENTER, &n_chips(0));
    hands.press("label-input", &format!("zebra{ENTER}"), &n_chips(1));
    page.browser.press(&format!("lion{ENTER}"));
    page.browser.wait_until(&n_chips(2));
    let chip = |label: &str| format!("{} {}", with("chip", "label", label), testid("chip-edit"));
    // From the field backwards to the last chip, as arrows go.
    page.browser.press(ARROW_LEFT);
    page.browser.wait_for("the focus on a chip", || (page.focused() == "chip-edit").then_some(()));
    hands.press_at(&chip("lion"), ENTER, "the('chip-editor')");
    // Who leaves it has ended the edit.
    hands.collect();
    hands.press(
        "chip-editor",
        &format!("lioness{ENTER}"),
        "[...every('chip')].some(({ dataset }) => dataset.label === 'lioness')",
    );
    // What the pointer presses is the Delete key's: the Tab key does not stop there.
    hands.press_at(&chip("lioness"), DELETE, &n_chips(1));
    hands.pressed.insert("chip-remove".to_owned());
    hands.press("set-keep", ENTER, "the('set-name')");
    hands.state("a set gets its name");
    hands.press("set-name", &format!("Mine{ENTER}"), "the('set')?.dataset.name === 'Mine'");
    hands.state("a set");
    hands.press("preset-0", ENTER, &n_chips(7));
    hands.press("set-take", ENTER, &n_chips(1));
    hands.press("set-remove", ENTER, "!the('set')");
    hands.press("preset-0", SPACE, &n_chips(7));
    while page.is_there("undo") {
        hands.press("notice-dismiss", SPACE, "!the('undo')");
    }
}

/// How labels are compared.
fn comparison(hands: &mut Hands) {
    hands.press_at(&format!("{} summary", testid("more")), ENTER, "the('more').open");
    hands.state("how labels are compared");
    hands.press("mode-softmax", ARROW_DOWN, "the('mode-independent').checked");
    hands.press("mode-independent", ARROW_UP, "the('mode-softmax').checked");
    hands.run("window.n_before = every('template-remove').length", json!([]));
    hands.press("template-add", ENTER, "every('template-remove').length > n_before");
    hands.press("template-0", "!", "the('template-0').value.includes('!')");
    hands.press("template-remove", ENTER, "every('template-remove').length === n_before");
    hands.press_at(&format!("{} summary", testid("more")), SPACE, "!the('more').open");
}

fn details(hands: &mut Hands) {
    let said = |part: &str| format!("the('exported').textContent.includes('{part}')");
    hands.press("copy-table", ENTER, "witness.copied.length === 2");
    hands.press("copy-json", ENTER, "witness.copied.length === 3");
    hands.press("save-csv", ENTER, &said(".csv"));
    hands.press("save-json", SPACE, &said(".json"));
    hands.press("save-picture", ENTER, &said(".png"));
    // A table that is higher than its room scrolls.
    let table = "dialog[open] .table";
    hands.run("document.querySelector(arguments[0]).classList.add('low')", json!([table]));
    hands.run(
        "const sheet = new CSSStyleSheet(); sheet.replaceSync('.table.low { max-height: 4rem }'); document.adoptedStyleSheets.push(sheet)",
        json!([]),
    );
    hands.press_at(table, ARROW_DOWN, &format!("document.querySelector('{table}').scrollTop > 0"));
    for (id, backend) in [("backend-cpu", "CPU"), ("backend-gpu", "GPU"), ("backend-auto", "")] {
        hands.press(id, ENTER, &format!("the('{id}').ariaPressed === 'true'"));
        hands.page.wait_ready();
        assert!(hands.page.text("status").is_some_and(|text| text.contains(backend)), "{id}");
    }
}

/// Pictures that came together.
fn tray(hands: &mut Hands) {
    let picture = |name: &str| {
        let bytes = std::fs::read(file(&format!("static/samples/{name}.jpg"))).expect("a sample");
        (format!("{name}.jpg"), bytes)
    };
    hands.page.browser.run(
        "const transfer = new DataTransfer();
         for (const [name, bytes] of arguments[0]) transfer.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/jpeg' }));
         for (const kind of ['dragenter', 'dragover', 'drop'])
             document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));",
        json!([[picture("flower"), picture("rocket")]]),
    );
    hands.page.wait_winner("flower");
    hands.state("several pictures");
    hands.press_at(&with("tray-picture", "name", "rocket.jpg"), ENTER, "the('picture').alt === 'rocket.jpg'");
    hands.page.wait_winner("rocket");
    hands.press("picture-remove", SPACE, "the('picture').alt === 'flower.jpg'");
}

/// The strip of the last pictures, which the empty stage shows.
fn recents(hands: &mut Hands) {
    hands.press("picture-remove", ENTER, "the('stage').dataset.view === 'empty'");
    hands.page.the("recents");
    hands.state("the last pictures");
    // What the pointer presses is the Delete key's.
    hands.press("recent-show", DELETE, "every('recent').length === 1");
    hands.pressed.insert("recent-delete".to_owned());
    hands.press("recent-show", ENTER, "the('stage').dataset.view === 'picture'");
    hands.page.ranking();
}

fn camera(hands: &mut Hands) {
    let is_camera = "the('stage').dataset.view === 'camera'";
    hands.press("camera-open", ENTER, is_camera);
    hands.page.the("camera-switch");
    hands.page.the("live-top");
    hands.state("camera");
    hands.press("camera-live", SPACE, "the('camera-live').ariaPressed === 'false'");
    hands.press("camera-mirror", SPACE, "the('camera-mirror').ariaPressed === 'true'");
    hands.press("camera-mirror", ENTER, "the('camera-mirror').ariaPressed === 'false'");
    hands.run("window.n_streams = witness.streams.length", json!([]));
    hands.press("camera-switch", ENTER, "witness.streams.length > n_streams");
    hands.press("camera-stop", ENTER, &format!("!({is_camera})"));
    hands.press("camera-open", SPACE, is_camera);
    hands.page.browser.wait_until("document.querySelector('video')?.videoWidth > 0");
    hands.press("camera-shoot", SPACE, "the('stage').dataset.view === 'picture'");
    hands.page.ranking();
}

/// What the page says, and what can be done about it.
fn messages(hands: &mut Hands) {
    let page = hands.page;
    page.drop_file("notes.png", "image/png", b"no picture at all");
    page.alert();
    hands.state("a picture that cannot be read");
    hands.press_at(
        &format!("{} summary", testid("alert")),
        ENTER,
        "the('alert').querySelector('details').open",
    );
    hands.press("dismiss", ENTER, "!the('alert')");
    let elsewhere = |label: &str| {
        page.browser.run(
            "const key = 'cliplet.settings';
             const newValue = JSON.stringify({ ...JSON.parse(localStorage.getItem(key)), labels: [arguments[0]] });
             localStorage.setItem(key, newValue);
             dispatchEvent(new StorageEvent('storage', { key, newValue, storageArea: localStorage }));",
            json!([label]),
        );
        page.the("take-theirs");
    };
    elsewhere("theirs");
    hands.state("another tab");
    hands.press("keep-mine", ENTER, "!the('keep-mine')");
    elsewhere("theirs again");
    hands.press("take-theirs", ENTER, "the('chip').dataset.label === 'theirs again'");
    // A notice's undo and Ctrl+Z come to the same.
    hands.to(&testid("undo"));
    let key = |kind: &str, key: &str| json!({ "type": kind, "value": key });
    page.browser.act(vec![
        key("keyDown", CONTROL),
        key("keyDown", "z"),
        key("keyUp", "z"),
        key("keyUp", CONTROL),
    ]);
    page.browser.wait_until("every('chip').length === 7 && !the('undo')");
    page.browser.wait_for("a focus", || (page.focused() != "BODY").then_some(()));
}

fn many_labels(hands: &mut Hands) {
    let page = hands.page;
    page.browser.run(
        "const clipboardData = new DataTransfer();
         clipboardData.setData('text/plain', Array.from({ length: 60 }, (_, n) => `label number ${n}`).join());
         document.body.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData }));",
        json!([]),
    );
    page.the("labels-progress");
    hands.press("labels-cancel", ENTER, "the('alert')?.dataset.code === 'ranking-cancelled'");
    hands.press("retry", SPACE, "the('results').dataset.state === 'settled'");
    hands.state("many labels");
    hands.press("lines", ARROW_DOWN, "the('lines').scrollTop > 0");
    hands.press("label-filter", "number 59", "every('chip').length === 1");
    (0.."number 59".len()).for_each(|_| page.browser.press(key::BACKSPACE));
}

/// Other models: offered, downloaded, kept, used, deleted.
fn models(hands: &mut Hands, hub: &QuietHub) {
    let page = hands.page;
    let is_ranking = |name: &str| {
        format!(
            "the('status').dataset.engine === 'ready' && document.querySelector('.model-name').textContent.includes('{name}')"
        )
    };
    let job = |id: &str, state: &str| format!("the('{id}')?.dataset.state === '{state}'");
    hands.state("an offer");
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    hands.press("offer-take", ENTER, &job("offer-progress", "running"));
    page.browser.wait_for("figures", || page.text("offer-progress").filter(|text| text.contains(" of ")));
    hands.state("a model is on its way");
    hands.press("offer-pause", ENTER, &job("offer-progress", "paused"));
    hands.press("offer-resume", SPACE, &job("offer-progress", "running"));
    page.browser.wait_for("figures", || page.text("offer-progress").filter(|text| text.contains(" of ")));
    hands.press("offer-cancel", ENTER, "the('question')");
    hands.state("a question");
    hands.press("question-keep", ENTER, "!the('question')");
    hands.within("job-line", "models", |hands| {
        hands.press("job-pause", ENTER, &job("job", "paused"));
        hands.press("job-resume", ENTER, &job("job", "running"));
        hands.press("job-pause", SPACE, &job("job", "paused"));
        hands.press("job-cancel", ENTER, "the('question')");
        page.browser.press(ESCAPE);
        page.browser.wait_until("!the('question') && the('dialog-models').open");
    });
    page.browser.reload();
    page.wait_ready();
    hands.within("status", "models", |hands| {
        page.the("unfinished");
        hands.press("unfinished-discard", ENTER, "the('question')");
        hands.press("question-keep", SPACE, "!the('question')");
        hub.behave();
        hands.press("unfinished-resume", ENTER, &is_ranking(NAME));
        // What the page says, it says in the dialog.
        hands.press_at(&format!("dialog[open] {}", testid("model-back")), ENTER, &is_ranking("starter"));
        hands.state("models");
        hands.press_at(&format!("dialog[open] {}", testid("offer-take")), ENTER, &is_ranking(NAME));
        hands.press("model-starter", ENTER, &is_ranking("starter"));
        hands.press("model-use", ENTER, &is_ranking(NAME));
        hands.press("model-delete", ENTER, "the('question')");
        hands.press("question-delete", ENTER, "every('model-row').length === 1");
        page.browser.wait_until(&is_ranking("starter"));
        hands.press("forget", ENTER, "document.querySelector('dialog[open] [data-testid=notice]')");
        hands.press("model-download", ENTER, &is_ranking(NAME));
        hands.press("model-starter", SPACE, &is_ranking("starter"));
        hands.press("model-id", "xenova/none", "!the('model-id-download').disabled");
        hands.press("model-id-download", ENTER, "the('job-problem')");
        hands.state("a download that failed");
        hands.press_at(
            "[data-testid=job-problem] summary",
            ENTER,
            "the('job-problem').querySelector('details').open",
        );
        hands.press("job-cancel", ENTER, "!the('job')");
        hands.press("model-open", ENTER, "hands.n_chosen > 0");
        hands.press_at("[data-testid=shelved] a", ENTER, "hands.n_followed > 0");
        hands.press_at("[data-testid=model-options] summary", ENTER, "the('model-options').open");
        hands.state("how models are kept");
        hands.press("format-q8_0", ARROW_DOWN, "the('format-q4_0').checked");
        hands.press("format-q4_0", ARROW_DOWN, "the('format-f16').checked");
        hands.press("format-f16", ARROW_DOWN, "the('format-q8_0').checked");
        hands.run("window.hub_before = the('hub').value", json!([]));
        hands.press("hub", "x", "the('hub').value !== hub_before");
        page.browser.press(key::BACKSPACE);
        hands.press("hub-reset", ENTER, "the('hub-reset').disabled");
    });
    page.browser.reload();
    page.wait_ready();
    hands.press("sample-cat", ENTER, "the('offer')");
    hands.press("offer-take", SPACE, "the('take-back')");
    hands.state("another model's answer");
    hands.press("take-back", ENTER, "the('offer')");
    hands.press("offer-take", SPACE, "the('take-back')");
    hands.press("trial-dismiss", ENTER, "!the('before-after')");
    hands.within("status", "models", |hands| hands.press("model-starter", ENTER, &is_ranking("starter")));
    page.browser.wait_until("the('offer')");
    hands.press("offer-dismiss", ENTER, "!the('offer')");
    hands.press("details", ENTER, "the('dialog-details').open");
    hands.state("why it is not the graphics processor");
    hands.press_at("[data-testid=why-cpu] summary", ENTER, "the('why-cpu').querySelector('details').open");
}

#[test]
fn what_is_told_while_a_dialog_is_open_can_be_seen_reached_and_heard() {
    let page = Page::ready();
    page.click("status");
    page.browser.find("dialog[open]");
    page.click("forget");
    page.browser.find(&format!("dialog[open] {}", testid("notice")));
    let script = "const notice = document.querySelector(arguments[0]);
        const { left, right, top, bottom } = notice.getBoundingClientRect();
        const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
        const said = [...document.querySelectorAll('dialog[open] [role=status]')].map((region) => region.textContent);
        return [notice.contains(hit), said.some((text) => text && notice.textContent.includes(text))]";
    assert_eq!(page.browser.run(script, json!([testid("notice")])), json!([true, true]));
    page.tab_to("notice-dismiss");
    page.browser.press(ENTER);
    page.browser.wait_for("the notice to go", || (!page.is_there("notice")).then_some(()));
    page.browser.wait_for("the focus in the dialog", || (page.focused() != "BODY").then_some(()));
    // Out of the dialog, where the next one comes.
    page.browser.press(ESCAPE);
    page.click("preset-1");
    page.browser.find(&format!(".side {}", testid("notice")));
    page.close(&[]);
}
