//! The model picker: another model by pointer and by keyboard, and what the reader is told when it fails.

use crate::hub::{NETWORK_NOISE, QuietHub, SMALL, WEIGHTS};
use crate::page::{Line, Page, file, testid, with};
use crate::synthetic;
use crate::test_hub::Fault;
use crate::test_hub::repositories::put_catalogue;
use crate::webdriver::key;
use cliplet::convert::catalogue::Catalogue;
use cliplet::models::{Calibration, load_gguf, recalibrated};
use serde_json::{Value, json};

/// [`SMALL`] on the list of these tests.
pub const NAME: &str = "Small CLIP";

/// A page that ranks a cat, with `hub` as its hub and on the list.
fn page_on(hub: &QuietHub) -> Page {
    page_with_list(hub, &catalogue())
}

fn page_with_list(hub: &QuietHub, catalogue: &str) -> Page {
    let page = page_before(hub, catalogue, &[]);
    page.go("/");
    page.wait_ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    page
}

/// The same, not opened yet.
pub fn page_before(hub: &QuietHub, catalogue: &str, flags: &[String]) -> Page {
    let page = Page::unopened(flags);
    page.server.page("/models/catalogue.json", catalogue);
    page.browser.before_each_page(&format!(
        "const own = JSON.parse(localStorage.getItem('cliplet.settings') ?? '{{}}');
         localStorage.setItem('cliplet.settings', JSON.stringify({{ ...own, hub: '{}' }}));",
        hub.url("")
    ));
    page
}

/// What the browser tells of a device with a fast line and much memory; `line` and `rest` change it.
pub fn device(line: &str, rest: &str) -> String {
    format!(
        "const line = Object.assign(new EventTarget(), {{ effectiveType: '4g', downlink: 10, saveData: false }}, {line});
         Object.defineProperty(navigator, 'connection', {{ value: line, configurable: true }});
         Object.defineProperty(navigator, 'deviceMemory', {{ value: 8, configurable: true }});
         navigator.storage.estimate = async () => ({{ quota: 1e11, usage: 0 }});
         {rest}"
    )
}

/// A page on which the starter could not name the cat, so that a model is offered.
fn page_with_offer(hub: &QuietHub, device: &str) -> Page {
    let page = page_before(hub, &catalogue(), &[]);
    page.browser.before_each_page(device);
    page.go("/");
    page.wait_ready();
    page.set_labels(&UNFIT);
    page.click("sample-cat");
    page.ranking();
    page.the("offer");
    page
}

/// Labels of which none fits a cat, and which the hub's small model can read.
pub const UNFIT: [&str; 3] = ["red disc", "green disc", "blue disc"];

/// The shipped list, its first model on the hub of these tests.
pub fn catalogue() -> String {
    let shipped = std::fs::read(file("static/models/catalogue.json")).expect("the list");
    let mut catalogue: Value = serde_json::from_slice(&shipped).expect("JSON");
    let first = &mut catalogue["models"][0];
    (first["id"], first["revision"], first["name"]) = (json!(SMALL), json!("main"), json!(NAME));
    first["weights"][0].as_object_mut().expect("a file").remove("sha256");
    // No other that suits a computer is as good.
    first["imagenet"]["top1"] = json!(99.0);
    catalogue.to_string()
}

impl Page {
    fn open_models(&self) {
        self.click("status");
        self.the("shelved");
        self.the("room");
    }

    fn close_models(&self) {
        self.browser.press(key::ESCAPE);
        let is_open = "return document.querySelector(arguments[0]).open";
        self.browser.wait_for("the dialog to close", || {
            (self.browser.run(is_open, json!([testid("dialog-models")])) == false).then_some(())
        });
    }

    pub fn wait_there(&self, selector: &str) {
        self.browser.find(selector);
    }

    pub fn wait_gone(&self, selector: &str) {
        self.browser
            .wait_for(&format!("no {selector}"), || self.browser.all(selector).is_empty().then_some(()));
    }

    pub fn wait_job(&self, state: &str) {
        self.wait_there(&with("job", "state", state));
    }

    /// The badge says what ranks.
    pub fn wait_badge(&self, name: &str) {
        self.wait_ready();
        self.browser.wait_for(&format!("{name} in the badge"), || {
            self.text("status").filter(|text| text.contains(name))
        });
    }
}

/// The download of [`SMALL`] from the list.
fn download() -> String {
    download_of(SMALL)
}

fn download_of(id: &str) -> String {
    format!("{} {}", with("shelved", "id", id), testid("model-download"))
}

#[test]
fn another_model_comes_while_the_first_goes_on_and_takes_over() {
    let hub = QuietHub::start();
    let page = page_on(&hub);
    let labels = page.labels();
    page.open_models();
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    page.browser.click(&page.browser.find(&download()));
    page.wait_job("running");
    page.browser.wait_for("the focus on it", || (page.focused() == "job").then_some(()));
    page.browser.wait_for("figures", || page.text("job-figures").filter(|text| text.contains(" of ")));
    page.check_accessibility("a model is downloaded");
    page.close_models();
    // The model from before ranks on, and the badge or the line beside it says how far the download is.
    page.click("sample-flower");
    page.wait_winner("flower");
    page.wait_there(&with("job-line", "state", "running"));
    page.check_accessibility("a model is downloaded meanwhile");

    page.open_models();
    page.click("job-pause");
    page.wait_job("paused");
    assert_eq!(page.focused(), "job-resume", "the same button");
    assert_eq!(page.text("job-cancel").as_deref(), Some("Discard"), "what has arrived is kept");
    // On the next visit it can be gone on with.
    page.browser.reload();
    page.wait_ready();
    page.click("sample-flower");
    page.open_models();
    page.the("unfinished");
    hub.behave();
    page.click("unfinished-resume");
    page.wait_gone(&testid("job"));
    page.wait_badge(NAME);
    page.close_models();
    // Picture and labels stayed; the answer is the new model's, whose weights are random.
    assert_eq!(page.labels(), labels);
    assert!(
        page.ranking().iter().all(|line| labels.contains(&line.label)),
        "nobody knows when no label fits it"
    );
    page.browser.keep_screenshot("model-switched");

    // One press back, and again from what is stored; a reload keeps the choice.
    page.click("model-back");
    page.wait_winner("flower");
    page.open_models();
    page.click("model-use");
    page.wait_badge(NAME);
    let n_requests = hub.n_requests();
    page.browser.reload();
    page.wait_badge(NAME);
    assert_eq!(hub.n_requests(), n_requests, "what is stored was fetched again");

    // Deleting asks first.
    page.open_models();
    page.click("model-delete");
    assert_eq!(page.focused(), "question-keep");
    page.check_accessibility("a question before deleting");
    page.click("question-keep");
    assert_eq!(page.focused(), "model-delete");
    page.click("model-delete");
    page.click("question-delete");
    page.wait_gone(&testid("model-delete"));
    page.wait_badge("starter");
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_model_by_its_id_by_keyboard_alone() {
    let hub = QuietHub::start();
    let page = page_on(&hub);
    page.tab_to("details");
    page.browser.press("m");
    page.the("shelved");
    page.tab_to("model-id");
    page.browser.press("clip");
    let is_refused = || {
        let script = "return document.querySelector(arguments[0]).getAttribute('aria-invalid')";
        page.browser.run(script, json!([testid("model-id")])) == "true"
    };
    page.browser.wait_for("a hint", || is_refused().then_some(()));
    assert!(page.text("model-id-hint").is_some_and(|hint| hint.contains("OWNER/NAME")));
    page.check_accessibility("an id that is none");
    for _ in 0.."clip".len() {
        page.browser.press(key::BACKSPACE);
    }
    page.browser.press(SMALL);
    page.browser.wait_for("no hint", || (!is_refused()).then_some(()));
    page.browser.press(key::ENTER);
    page.wait_badge(NAME);
    page.tab_to("model-delete");
    page.browser.press(key::ENTER);
    page.browser.wait_for("the question", || (page.focused() == "question-keep").then_some(()));
    // Escape takes the question back and not the dialog away.
    page.browser.press(key::ESCAPE);
    page.browser.wait_for("the focus to come back", || (page.focused() == "model-delete").then_some(()));
    page.close_models();
    assert_eq!(page.focused(), "details", "the focus comes back to where it was");
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_failed_download_says_why_and_costs_nothing() {
    let hub = QuietHub::start();
    let page = page_on(&hub);
    page.open_models();
    for (fault, code) in
        [(Fault::Status(404, "EntryNotFound"), "source-missing"), (Fault::Html(200), "source-html")]
    {
        hub.site.misbehave(WEIGHTS, fault.clone());
        page.browser.click(&page.browser.find(&download()));
        page.wait_there(&with("job-problem", "code", code));
        page.check_accessibility(&format!("a download failed by {fault:?}"));
        page.browser.keep_screenshot(&format!("download-{code}"));
        page.close_models();
        assert_eq!(page.alert(), code);
        page.click("sample-rocket");
        page.wait_winner("rocket");
        hub.behave();
        page.open_models();
        page.click("job-resume");
        page.wait_badge(NAME);
        page.click("model-delete");
        page.click("question-delete");
        page.wait_badge("starter");
    }
    page.close(&NETWORK_NOISE);
}

/// Every model of the list, from its repository as it is laid out: exactly the pinned file at the pinned commit, and no
/// other file of that name.
#[test]
fn each_model_of_the_list_is_its_pinned_file() {
    let hub = QuietHub::start();
    let catalogue: Catalogue = put_catalogue(&hub);
    let page = page_with_list(&hub, &serde_json::to_string(&catalogue).expect("plain data"));
    page.open_models();
    let is_used = |name: &str| page.text("status").is_some_and(|text| text.contains(name));
    let stored_files = "const root = await navigator.storage.getDirectory();
        const names = [];
        for await (const [name, folder] of root) for await (const file of folder.keys()) names.push(file);
        return names;";
    for entry in &catalogue.models {
        let (id, [pinned]) = (&entry.id, &entry.weights[..]) else { panic!("{entry:?}") };
        // One byte is another on the way.
        hub.storage.misbehave(&format!("/{}", pinned.file), Fault::Corrupted);
        page.browser.click(&page.browser.find(&download_of(id)));
        page.browser.wait_for(&format!("a refusal of {id}"), || page.is_there("job-problem").then_some(()));
        page.wait_there(&with("job-problem", "code", "source-hash"));
        assert!(!is_used(&entry.name), "{id}: what is not as pinned ranks");
        assert!(!page.is_there("model-use") && !page.is_there("unfinished"), "{id}: it can be used");
        let files = page.browser.run_async(stored_files, json!([]));
        assert_eq!(files, json!([]), "{id}: something stays");
        hub.behave();
        // The control.
        let n_before = hub.storage.requests().len();
        page.click("job-resume");
        page.wait_gone(&testid("job"));
        page.wait_badge(&entry.name);
        let fetched: Vec<String> =
            hub.storage.requests()[n_before..].iter().map(|request| request.file().to_owned()).collect();
        assert!(
            fetched.len() == 1 && fetched[0].ends_with(&format!("/{}", pinned.file)),
            "{id}: {fetched:?}"
        );
        let resolved = hub.site.requests();
        let of_entry: Vec<&str> = (resolved.iter().map(|request| request.file()))
            .filter(|path| path.starts_with(&format!("/{id}/resolve/")))
            .collect();
        let at_pin = format!("/{id}/resolve/{}/", entry.revision);
        assert!(
            !of_entry.is_empty() && of_entry.iter().all(|path| path.starts_with(&at_pin)),
            "{of_entry:?}"
        );
        page.click("model-delete");
        page.click("question-delete");
        page.wait_badge("starter");
    }

    // The page suggests an id; typed as it stands, it means the same files.
    let entry = &catalogue.models[0];
    let n_before = hub.site.requests().len();
    page.browser.type_into(&page.the("model-id"), &entry.id);
    page.click("model-id-download");
    page.wait_gone(&testid("job"));
    page.wait_badge(&entry.name);
    let of_main =
        hub.site.requests()[n_before..].iter().filter(|request| request.path.contains("/main")).count();
    assert_eq!(of_main, 0, "without a revision the pinned commit is meant");
    page.close(&NETWORK_NOISE);
}

/// Of a model that no list has and whose hub lists nothing, nobody knows what its file should be.
#[test]
fn a_hash_that_nobody_states_is_said_to_be_unknown() {
    let hub = QuietHub::start();
    hub.put("someone/unlisted", "main", crate::test_hub::repositories::small());
    let page = page_on(&hub);
    page.open_models();
    hub.site.misbehave("/api/models/", Fault::Status(500, ""));
    page.browser.type_into(&page.the("model-id"), "someone/unlisted");
    page.click("model-id-download");
    page.wait_badge("someone/unlisted");
    let text = || {
        let text = page.browser.run("return document.body.textContent", json!([]));
        text.as_str().unwrap_or_default().to_lowercase()
    };
    page.browser.wait_for("that the hash is not known", || text().contains("hash not known").then_some(()));
    page.close(&NETWORK_NOISE);
}

#[test]
fn without_the_list_models_are_found_by_id() {
    let hub = QuietHub::start();
    let page = page_with_list(&hub, "no list");
    assert!(!page.is_there("alert") && !page.is_there("offer"), "nobody has asked for the list yet");
    page.click("status");
    page.wait_there(&with("alert", "code", "catalogue-missing"));
    page.check_accessibility("the list is missing");
    let input = page.the("model-id");
    page.browser.type_into(&input, &format!("{}/{SMALL}/tree/main", hub.url("")));
    page.click("model-id-download");
    page.wait_badge(SMALL);
    page.server.page("/models/catalogue.json", &catalogue());
    page.click("retry");
    page.the("shelved");
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_model_that_is_gone_is_told_of_and_the_built_in_one_ranks() {
    let page = Page::unopened(&[]);
    page.browser.before_each_page(
        "localStorage.setItem('cliplet.settings', JSON.stringify({ model: { key: 'gone', name: 'Lost CLIP' } }))",
    );
    page.go("/");
    page.wait_badge("starter");
    page.browser.wait_for("a notice", || page.text("notice").filter(|text| text.contains("Lost CLIP")));
    page.click("sample-cat");
    page.wait_winner("cat");
    page.close(&[]);
}

/// Files of the reader's own, and back; what is no model costs nothing.
#[test]
fn model_files_take_the_place_of_the_built_in_model() {
    let folder = std::env::temp_dir().join(format!("cliplet-models-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let model = std::fs::read(file("static/models/starter.gguf")).expect("the starter model");
    let (mine, cut) = (folder.join("my own.gguf"), folder.join("cut.gguf"));
    std::fs::write(&mine, &model).expect("a copy");
    std::fs::write(&cut, &model[..1_000_000]).expect("half of a copy");
    let page = Page::ready();
    page.click("sample-cat");
    page.wait_winner("cat");

    // Known by its name, wherever it is opened; the model in use stays when it can't be used.
    page.browser.type_into(&page.the("file-input"), &cut.to_string_lossy());
    assert_eq!(page.alert(), "source-unusable");
    page.check_accessibility("a model file can't be used");
    page.click("dismiss");
    page.wait_gone(&testid("alert"));
    page.click("sample-flower");
    page.wait_winner("flower");

    page.click("details");
    page.click("models");
    page.browser.type_into(&page.the("model-input"), &mine.to_string_lossy());
    page.the("model-delete");
    page.wait_ready();
    // Kept as it is, since 8 bits for all of it would only make it larger.
    let rows = page.browser.run(
        "return [...document.querySelectorAll('[data-testid=model-row]')].map((row) => row.textContent)",
        json!([]),
    );
    let is_own_size = |row: &Value| row.as_str().is_some_and(|row| row.contains("24 MB"));
    assert!(rows.as_array().is_some_and(|rows| rows.iter().any(is_own_size)), "{rows}");
    page.check_accessibility("another model is in use");
    page.close_models();
    // What was on show is asked again, and so is what comes next.
    page.wait_winner("flower");
    page.click("sample-cat");
    page.wait_winner("cat");
    page.click("model-back");
    page.wait_ready();
    page.wait_winner("cat");

    // Weights with their JSON files, chosen together; not all of them say which is missing.
    let fixture = file("tests/fixtures/models/clip-vit-quickgelu");
    let tokenizer = folder.join("tokenizer.json");
    std::fs::write(&tokenizer, synthetic::TOKENIZER).expect("a tokenizer");
    let two =
        format!("{}\n{}", fixture.join("config.json").display(), fixture.join("model.safetensors").display());
    page.click("status");
    page.browser.type_into(&page.the("model-input"), &two);
    assert_eq!(page.alert(), "model-files-incomplete");
    assert!(page.text("alert").is_some_and(|text| text.contains("tokenizer.json")));
    // Of preprocessing alone, too, and of a model's files that lie among pictures.
    let preprocessor = folder.join("preprocessor_config.json");
    std::fs::write(&preprocessor, "{}").expect("a file");
    page.click("dismiss");
    page.browser.type_into(&page.the("model-input"), &preprocessor.to_string_lossy());
    assert_eq!(page.alert(), "model-files-incomplete");
    let cat = file("static/samples/cat.jpg");
    let [config, weights, words] = [
        (fixture.join("config.json"), "config (1).json"),
        (fixture.join("model.safetensors"), "model (2).safetensors"),
        (tokenizer.clone(), "TOKENIZER.JSON"),
    ]
    .map(|(from, name)| {
        std::fs::copy(from, folder.join(name)).expect("a copy");
        folder.join(name).display().to_string()
    });
    let all = format!("{}\n{config}\n{weights}\n{words}", cat.display());
    page.browser.type_into(&page.the("model-input"), &all);
    page.browser.wait_for("that they are taken", || page.is_there("model-delete").then_some(()));
    page.wait_ready();
    page.close(&[]);
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

/// The starter was measured and cannot tell when no label fits; a copy of it that says it can has the line.
#[test]
fn none_of_these_is_there_for_a_model_that_was_calibrated_for_it() {
    let model = std::fs::read(file("static/models/starter.gguf")).expect("the starter model");
    let own = load_gguf(&model).expect("the starter").config.calibration;
    let with_level = Calibration { none_similarity: Some(0.1), ..own };
    let path = std::env::temp_dir().join(format!("cliplet-none-{}.gguf", std::process::id()));
    std::fs::write(&path, recalibrated(&model, &with_level).expect("a calibration")).expect("a copy");
    let page = Page::ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    let has_none = || page.ranking().iter().any(|line| line.is_none);
    let is_off = || {
        page.browser.run("return document.querySelector(arguments[0]).disabled", json!([testid("has-none")]))
    };
    page.click("more");
    assert_eq!((has_none(), is_off()), (false, json!(true)));
    assert!(page.text("none-help").is_some_and(|help| help.contains("cannot tell")));
    page.browser.type_into(&page.the("file-input"), &path.to_string_lossy());
    page.browser.wait_for("the line", || has_none().then_some(()));
    assert_eq!(is_off(), false);
    page.click("has-none");
    page.browser.wait_for("no line for none of these", || (!has_none()).then_some(()));
    page.click("has-none");
    page.browser.wait_for("the line again", || has_none().then_some(()));
    // Nothing that was asked fits, and the page says so.
    page.set_labels(&["volcano", "violin"]);
    page.browser
        .wait_for("it to win", || page.ranking().first().is_some_and(|line| line.is_none).then_some(()));
    page.close(&[]);
    std::fs::remove_file(path).expect("the file goes");
}

#[test]
fn one_press_on_a_weak_answer_brings_a_model_that_can_be_taken_back() {
    let hub = QuietHub::start();
    let page = page_with_offer(&hub, &device("{}", ""));
    let offer = page.text("offer").expect("an offer");
    assert!(offer.contains(&format!("Try {NAME}: 605 MB to download, 161 MB kept.")), "{offer}");
    let badge = page.text("badge-offer").expect("a line in the badge");
    assert!(badge.contains(NAME) && badge.contains("605 MB to download, 161 MB kept"), "{badge}");
    page.browser.wait_for("the offer to be said", || {
        page.text("announcement").filter(|text| text.contains("Try Small CLIP"))
    });
    let ranking = page.ranking();

    // The starter ranks on beside the download, which can be paused where it was asked for.
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    page.click("offer-take");
    page.wait_there(&with("offer-progress", "state", "running"));
    page.wait_there(&with("job-line", "state", "running"));
    page.browser.wait_for("figures", || page.text("offer-progress").filter(|text| text.contains(" of ")));
    assert_eq!(page.ranking().len(), ranking.len(), "the answer stands");
    page.click("offer-pause");
    page.wait_there(&with("offer-progress", "state", "paused"));
    hub.behave();
    page.click("offer-resume");

    // The same question, by both.
    page.wait_badge(NAME);
    page.wait_there(&with("before-after", "state", "compared"));
    let (before, after) = (page.text("before").expect("before"), page.text("after").expect("after"));
    assert!(before.contains("starter") && UNFIT.iter().all(|label| before.contains(label)), "{before}");
    assert!(after.contains(NAME) && after.contains("%"), "{after}");
    assert!(page.text("confidence").is_some_and(|text| text.contains("ot calibrated")));
    assert!(!page.is_there("offer"));
    // Nobody has measured when no label fits this model.
    page.click("more");
    let is_off = "return document.querySelector(arguments[0]).disabled";
    assert_eq!(page.browser.run(is_off, json!([testid("has-none")])), true);
    assert!(page.ranking().iter().all(|line| !line.is_none));

    page.click("take-back");
    page.wait_badge("starter");
    page.wait_there(&with("offer", "state", "stored"));
    assert!(page.text("offer").is_some_and(|text| text.contains("is on this device")));
    let labels = |lines: &[Line]| lines.iter().map(|line| line.label.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&page.ranking()), labels(&ranking), "the starter's answer is back");
    let n_requests = hub.n_requests();
    page.click("offer-take");
    page.wait_badge(NAME);
    page.wait_there(&with("before-after", "state", "compared"));
    assert_eq!(hub.n_requests(), n_requests, "what is stored was fetched again");

    // Another question is not compared with what the starter said to this one.
    page.browser.type_into(&page.the("label-input"), &format!("kitten{}", key::ENTER));
    page.wait_gone(&testid("before-after"));
    // A new visit by way of the starter finds what is stored.
    page.open_models();
    page.click("model-starter");
    page.wait_badge("starter");
    page.close_models();
    page.browser.reload();
    page.wait_ready();
    page.set_labels(&UNFIT);
    page.click("sample-cat");
    page.wait_there(&with("offer", "state", "stored"));
    assert_eq!(hub.n_requests(), n_requests);
    // Not now: for this visit, and the picker has it still.
    page.click("offer-dismiss");
    page.wait_gone(&testid("offer"));
    page.click("sample-rocket");
    page.ranking();
    assert!(!page.is_there("offer"));
    page.open_models();
    page.wait_there(&format!("{} {}", testid("dialog-models"), testid("offer")));
    page.close(&NETWORK_NOISE);
}

#[test]
fn the_offer_by_keyboard_alone() {
    let hub = QuietHub::start();
    let page = page_with_offer(&hub, &device("{}", ""));
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    page.tab_to("offer-take");
    page.browser.press(key::ENTER);
    page.wait_there(&testid("offer-progress"));
    // What was pressed is gone; the next key is still among what came of it.
    page.browser.press(key::TAB);
    assert_eq!(page.focused(), "offer-pause");
    page.browser.press(key::ENTER);
    page.wait_there(&with("offer-progress", "state", "paused"));
    hub.behave();
    page.tab_to("offer-resume");
    page.browser.press(key::ENTER);
    page.wait_there(&with("before-after", "state", "compared"));
    page.tab_to("take-back");
    page.browser.press(key::ENTER);
    page.wait_badge("starter");
    page.wait_there(&with("offer", "state", "stored"));
    page.tab_to("offer-dismiss");
    page.browser.press(key::ENTER);
    page.wait_gone(&testid("offer"));
    page.close(&NETWORK_NOISE);
}

#[test]
fn a_phone_and_a_metered_line_are_offered_a_small_model() {
    let phone = "const media = matchMedia.bind(window);
        window.matchMedia = (query) => query === '(pointer: coarse)' ? { matches: true } : media(query);
        Object.defineProperty(window, 'screen', { value: { width: 390, height: 844 } });";
    for device in
        [device("{}", phone), device("{ saveData: true }", ""), device("{ effectiveType: '3g' }", "")]
    {
        let hub = QuietHub::start();
        let page = page_with_offer(&hub, &device);
        let offer = page.text("offer").expect("an offer");
        assert!(offer.contains("94 MB to download, 25 MB kept"), "{offer}");
        page.open_models();
        let marks =
            "return [...document.querySelectorAll(arguments[0])].map(({ dataset }) => dataset.recommended)";
        let marks = page.browser.run(marks, json!([testid("shelved")]));
        let marks: Vec<&str> = marks.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(marks[0] == "true" && marks[1..].iter().all(|mark| *mark == "false"), "{marks:?}");
        assert_eq!(hub.n_requests(), 0, "nothing is fetched unasked");
        page.close(&[]);
    }
}

#[test]
fn the_way_to_a_better_model_is_accessible_in_both_themes_and_sizes() {
    let hub = QuietHub::start();
    let page = page_with_offer(&hub, &device("{}", ""));
    page.check_looks("offer");
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    page.click("offer-take");
    page.browser.wait_for("figures", || page.text("offer-progress").filter(|text| text.contains(" of ")));
    page.check_looks("offer-progress");
    page.click("offer-pause");
    page.wait_there(&with("offer-progress", "state", "paused"));
    hub.behave();
    page.click("offer-resume");
    page.wait_there(&with("before-after", "state", "compared"));
    page.check_looks("before-after");
    page.click("take-back");
    page.wait_there(&with("offer", "state", "stored"));
    page.check_looks("offer-stored");
    page.close(&NETWORK_NOISE);
}

/// Looks, for people, and axe-core's rules, for everyone.
#[test]
fn the_picker_is_accessible_in_both_themes_and_sizes() {
    let hub = QuietHub::start();
    let page = page_on(&hub);
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    page.open_models();
    page.check_looks("models");
    page.browser.click(&page.browser.find(&download()));
    page.wait_job("running");
    page.check_looks("models-downloading");
    page.close_models();
    page.check_looks("downloading");
    page.open_models();
    hub.behave();
    if page.is_there("job-resume") {
        // A stalled host is given up after a minute.
        page.click("job-resume");
    }
    page.wait_badge(NAME);
    page.click("model-delete");
    page.the("question");
    page.check_looks("models-question");
    page.click("question-keep");
    page.click("model-options");
    page.browser.run(
        "document.querySelector(arguments[0]).scrollIntoView({ block: 'end' })",
        json!([testid("hub-reset")]),
    );
    page.check_looks("models-options");
    page.close(&NETWORK_NOISE);
}
