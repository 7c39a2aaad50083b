//! What people give to the page, however it comes, and what becomes of it.

use crate::page::{Page, file, testid, with};
use crate::webdriver::key;
use serde_json::{Value, json};

impl Page {
    /// A paste, or a drop, of these kinds of data and files (name, media type, path in the repository or text) at what has
    /// the focus or at what a selector finds.
    fn give(&self, kind: &str, at: Option<&str>, data: &[(&str, &str)], files: &[(&str, &str, Vec<u8>)]) {
        self.browser.run(
            "const [kind, at, data, files] = arguments;
             const transfer = new DataTransfer();
             for (const [type, text] of data) transfer.setData(type, text);
             for (const [name, type, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
             const target = at ? document.querySelector(at) : document.activeElement ?? document.body;
             const init = { bubbles: true, cancelable: true, composed: true };
             if (kind === 'paste') target.dispatchEvent(new ClipboardEvent('paste', { ...init, clipboardData: transfer }));
             else for (const step of ['dragenter', 'dragover', 'drop']) {
                 target.dispatchEvent(new DragEvent(step, { ...init, dataTransfer: transfer }));
             }",
            json!([kind, at, data, files]),
        );
    }

    fn wait_labels(&self, labels: &[&str]) {
        self.browser.wait_for(&format!("the labels {labels:?}"), || (self.labels() == labels).then_some(()));
    }

    fn wait_notice(&self, part: &str) {
        self.browser.wait_for(&format!("a notice with {part}"), || {
            self.text("notice").filter(|text| text.contains(part)).map(drop)
        });
    }

    /// A paste into the label field, whatever lies over it.
    fn paste_into_field(&self, text: &str) {
        self.browser.run("document.querySelector('#label-input').focus()", json!([]));
        self.give("paste", None, &[("text/plain", text)], &[]);
    }

    fn is_there_settled(&self) -> bool {
        !self.browser.all(&with("results", "state", "settled")).is_empty()
    }

    fn unfocus(&self) {
        self.browser.run("document.activeElement?.blur()", json!([]));
    }

    fn picture_name(&self) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.alt ?? null";
        self.browser.run(script, json!([testid("picture")])).as_str().map(str::to_owned)
    }
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(file(&format!("static/samples/{name}"))).expect("a sample")
}

#[test]
fn a_spreadsheets_cells_become_labels_and_replace_no_picture() {
    let page = Page::ready();
    page.choose("static/samples/cat.jpg");
    page.wait_winner("cat");
    let table =
        [("text/plain", "cat\tbus\r\ntrain\tvan\r\n"), ("text/html", "<table><tr><td>cat</td></tr></table>")];
    let image = [("image.png", "image/png", sample("guitar.png"))];
    // Nothing has the focus: the preset's labels give way, and come back.
    page.unfocus();
    let before = page.labels();
    page.give("paste", None, &table, &image);
    page.wait_labels(&["cat", "bus", "train", "van"]);
    page.wait_winner("cat");
    assert_eq!(page.picture_name().as_deref(), Some("cat.jpg"));
    page.click("undo");
    page.browser.wait_for("the labels from before", || (page.labels() == before).then_some(()));
    // Into the field: they are added, whether the text is a table or not.
    page.set_labels(&["cat"]);
    for text in ["bus\ntrain", "van，x；y"] {
        page.click("label-input");
        page.give("paste", None, &[("text/plain", text)], &image);
    }
    page.wait_labels(&["cat", "bus", "train", "van", "x", "y"]);
    assert_eq!(page.picture_name().as_deref(), Some("cat.jpg"));
    // A picture alone is a picture, also in the field.
    page.give("paste", None, &[], &[("new.jpg", "image/jpeg", sample("rocket.jpg"))]);
    page.browser.wait_for("the pasted picture", || (page.picture_name()? == "new.jpg").then_some(()));
    page.close(&[]);
}

#[test]
fn text_becomes_labels_wherever_it_is_pasted_or_dropped() {
    let page = Page::ready();
    page.set_labels(&["mine"]);
    page.unfocus();
    page.give("paste", None, &[("text/plain", "1. bus\n2. train")], &[]);
    page.wait_labels(&["mine", "bus", "train"]);
    page.click("undo");
    page.wait_labels(&["mine"]);
    page.give("drop", Some(&testid("stage")), &[("text/plain", "- van\n- 3D printer")], &[]);
    page.wait_labels(&["mine", "van", "3D printer"]);
    page.give("drop", Some("#label-input"), &[("text/plain", "one more")], &[]);
    page.wait_labels(&["mine", "van", "3D printer", "one more"]);
    assert!(!page.is_there("alert"), "text is no mistake");
    page.give("drop", Some(&testid("stage")), &[("text/plain", "https://example.org/cat.jpg")], &[]);
    assert_eq!(page.alert(), "picture-not-a-file");
    // A file of labels, too.
    page.give(
        "drop",
        Some(&testid("stage")),
        &[],
        &[("labels.csv", "text/csv", b"last,\"and, least\"\n".to_vec())],
    );
    page.wait_labels(&["mine", "van", "3D printer", "one more", "last", "and, least"]);
    page.close(&[]);
}

#[test]
fn several_pictures_wait_under_the_first_and_other_files_are_named() {
    let page = Page::ready();
    let jpeg = |name: &'static str, sample_name: &str| (name, "image/jpeg", sample(sample_name));
    let json = ("notes.json", "application/json", b"{}".to_vec());
    page.give("drop", Some(&testid("stage")), &[], &[json, jpeg("one.jpg", "cat.jpg")]);
    page.wait_winner("cat");
    page.wait_notice("notes.json");
    assert!(!page.is_there("alert"), "a picture beside a JSON file is a picture");
    let files = [jpeg("a.jpg", "rocket.jpg"), jpeg("b.jpg", "cat.jpg"), jpeg("c.jpg", "flower.jpg")];
    page.give("drop", Some(&testid("stage")), &[], &files);
    page.wait_winner("rocket");
    page.wait_notice("3 pictures");
    assert_eq!(page.browser.all(&testid("tray-picture")).len(), 3);
    // Each is ranked, and its best label stands under it.
    let labels = "return [...document.querySelectorAll(arguments[0])].map((label) => label.textContent)";
    page.browser.wait_for("a label under each", || {
        let labels = page.browser.run(labels, json!([testid("tray-label")]));
        (labels == json!(["rocket", "cat", "flower"])).then_some(())
    });
    page.browser.wait_for("the notice to fade", || (!page.is_there("notice")).then_some(()));
    page.check_looks("tray");
    page.click("details");
    page.click("copy-table");
    let copied = page.browser.wait_for("a copied table", || {
        page.browser.run("return witness.copied.at(-1) ?? null", json!([])).as_str().map(str::to_owned)
    });
    for part in ["\ta.jpg\t", "\tb.jpg\t", "\tc.jpg\t", "label\tprobability"] {
        assert!(copied.contains(part), "no {part:?} in {copied}");
    }
    page.browser.press(key::ESCAPE);
    page.browser.click(&page.browser.find("[data-testid=tray-picture][data-name=\"c.jpg\"]"));
    page.wait_winner("flower");
    assert_eq!(page.browser.all(&testid("tray-picture")).len(), 3);
    page.close(&[]);
}

/// A header of each kind that no browser, or not every one, makes a picture of.
#[test]
fn a_wrong_file_leaves_the_good_picture_and_its_answer_and_is_named() {
    let page = Page::ready();
    page.choose("static/samples/cat.jpg");
    page.wait_winner("cat");
    let mut cut = sample("flower.jpg");
    cut.truncate(400);
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec();
    for (name, media_type, bytes, word) in [
        (
            "a.svg",
            "image/svg+xml",
            b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>".to_vec(),
            "SVG",
        ),
        ("b.jpg", "image/jpeg", cut, "JPEG"),
        ("c.heic", "image/heic", heic, "HEIC"),
        ("d.tiff", "image/tiff", b"II*\0\x08\0\0\0".to_vec(), "TIFF"),
        ("e.pdf", "application/pdf", b"%PDF-1.7\n".to_vec(), "PDF"),
        ("f.mp4", "video/mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomavc1".to_vec(), "video"),
        ("g.png", "image/png", Vec::new(), "empty"),
    ] {
        page.drop_file(name, media_type, &bytes);
        page.browser.wait_for(&format!("an alert that names {word}"), || {
            page.text("alert").filter(|text| text.contains(word))
        });
        let code = if word == "JPEG" { "picture-cut-short" } else { "picture-unreadable" };
        assert_eq!(page.alert(), code, "{name}");
        page.wait_winner("cat");
        assert_eq!(page.picture_name().as_deref(), Some("cat.jpg"), "{name}");
        assert!(page.is_there("alert"), "{name}: the answer that came back took the message away");
    }
    page.browser.keep_screenshot("wrong-file");
    // It is still a picture that labels are compared with.
    page.set_labels(&["dog", "cat"]);
    page.wait_winner("cat");
    page.browser.wait_for("no alert left", || (!page.is_there("alert")).then_some(()));
    page.close(&[]);
}

/// One pixel of AVIF: the picture by which Modernizr (MIT) tells whether a browser reads the format.
const AVIF: &str = "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAA \
    AGxpYmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAABcAAAAoaWluZgAAAAAAAQAAABppbmZl \
    AgAAAAABAABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAAAEAAAABAAAAEHBpeGkAAAAAAwgICAAAAAxh \
    djFDgQAMAAAAABNjb2xybmNseAACAAIABoAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAAB9tZGF0EgAKCBgABogQEDQgMgkQAAAA \
    B8dSLfI=";

#[test]
fn a_format_that_only_the_browser_reads_is_ranked() {
    let page = Page::ready();
    page.browser.run(
        "const bytes = Uint8Array.from(atob(arguments[0].replaceAll(' ', '')), (char) => char.charCodeAt(0));
         const transfer = new DataTransfer();
         transfer.items.add(new File([bytes], 'one.avif', { type: 'image/avif' }));
         document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: transfer }));",
        json!([AVIF]),
    );
    page.ranking();
    assert_eq!(page.picture_name().as_deref(), Some("one.avif"));
    assert!(!page.is_there("alert"));
    page.close(&[]);
}

#[test]
fn a_picture_of_108_megapixels_is_ranked_at_reduced_size() {
    let cat = image::open(file("static/samples/cat.jpg")).expect("a sample");
    let large = cat.resize_exact(12_000, 9_000, image::imageops::Nearest).into_rgb8();
    let mut bytes = std::io::Cursor::new(Vec::new());
    large.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("a JPEG");
    let path = std::env::temp_dir().join(format!("cliplet-large-{}.jpg", std::process::id()));
    std::fs::write(&path, bytes.into_inner()).expect("a file");
    let page = Page::ready();
    page.browser.type_into(&page.the("file-input"), &path.to_string_lossy());
    page.wait_winner("cat");
    page.close(&[]);
    std::fs::remove_file(path).expect("the picture goes");
}

/// What leaves: saved files by name, what was shared, and what is said of it.
#[test]
fn exports_say_what_was_asked_and_leave_as_a_picture_too() {
    let page = Page::ready();
    page.browser.run(
        "window.saved = {}; window.blobs = {};
         const create = URL.createObjectURL.bind(URL);
         URL.createObjectURL = (blob) => { const url = create(blob); blobs[url] = blob; return url; };
         HTMLAnchorElement.prototype.click = function () { saved[this.download] = blobs[this.href]; };",
        json!([]),
    );
    page.choose("static/samples/cat.jpg");
    page.wait_winner("cat");
    page.click("details");
    let said = |part: &str| {
        page.browser.wait_for(&format!("{part} said in the dialog"), || {
            page.text("exported").filter(|text| text.contains(part)).map(drop)
        });
    };
    let read = |name: &str| {
        let script = "const bytes = new Uint8Array(await saved[arguments[0]].arrayBuffer());
            return [[...bytes.slice(0, 8)], new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)];";
        page.browser.run_async(script, json!([name]))
    };
    page.click("save-csv");
    said("cat-ranking.csv");
    let csv = read("cat-ranking.csv");
    assert_eq!(
        csv[0].as_array().map(|start| start[..3].to_vec()),
        json!([0xef, 0xbb, 0xbf]).as_array().cloned()
    );
    let csv = csv[1].as_str().expect("text").to_owned();
    assert!(csv.contains("cat,") && csv.contains(",cat.jpg,") && csv.contains(",softmax,20"), "{csv}");
    page.click("save-json");
    said("cat-ranking.json");
    let json = read("cat-ranking.json");
    let json: Value = serde_json::from_str(json[1].as_str().expect("text")).expect("JSON");
    assert_eq!(
        (&json["picture"], &json["mode"], &json["labels"][0]["label"]),
        (&json!("cat.jpg"), &json!("softmax"), &json!("cat"))
    );
    assert!(
        json["model"]["name"].is_string() && json["templates"].is_array() && json["date"].is_string(),
        "{json}"
    );
    page.click("copy-json");
    said("Copied");
    page.check_accessibility("something was exported");
    // Without a share sheet it is a download, else the sheet's.
    page.browser.run("Navigator.prototype.canShare = undefined", json!([]));
    page.click("save-picture");
    said("cat-ranking.png");
    let png = read("cat-ranking.png");
    assert_eq!(png[0], json!(b"\x89PNG\r\n\x1a\n"));
    let size = page.browser.run_async(
        "const picture = await createImageBitmap(saved['cat-ranking.png']);
         const reader = new FileReader();
         const loaded = new Promise((done) => (reader.onload = done));
         reader.readAsDataURL(saved['cat-ranking.png']);
         await loaded;
         return [picture.width, picture.height, reader.result.split(',')[1]];",
        json!([]),
    );
    assert!(size[0] == 1080 && size[1].as_u64() > Some(1080), "{} × {}", size[0], size[1]);
    page.browser.keep("poster", size[2].as_str().expect("a picture"));
    page.browser.run(
        "window.shared = [];
         Navigator.prototype.canShare = () => true;
         Navigator.prototype.share = async ({ files }) => { shared.push(files[0].name, files[0].type); };",
        json!([]),
    );
    page.click("save-picture");
    said("Shared");
    assert_eq!(page.browser.run("return shared", json!([])), json!(["cat-ranking.png", "image/png"]));
    page.close(&[]);
}

fn many(n: usize) -> String {
    (0..n).map(|n| format!("label number {n}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn thousands_of_labels_keep_the_page_quick_and_the_field_in_reach() {
    // The processor is the quicker of two emulations.
    let page = Page::unopened(&[]);
    page.server.prelude("/worker-boot.js", "delete WorkerNavigator.prototype.gpu;\n");
    page.go("/");
    page.wait_ready();
    page.browser.run(
        "window.long = [];
         new PerformanceObserver((list) => {
             for (const task of list.getEntries()) long.push(Math.round(task.duration));
         }).observe({ type: 'longtask' });",
        json!([]),
    );
    page.click("sample-cat");
    page.wait_winner("cat");
    page.set_labels(&["cat"]);
    page.browser.run("long.length = 0", json!([]));
    page.paste_into_field(&many(1999));
    page.browser
        .wait_for("a count", || page.text("label-count").filter(|text| text.contains("2,000 labels")));
    let is_settled = || page.is_there_settled().then_some(());
    let started = std::time::Instant::now();
    while is_settled().is_none() {
        assert!(started.elapsed().as_secs() < 600, "2,000 labels are not ranked after ten minutes");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    println!("2,000 labels ranked after {:?}", started.elapsed());
    page.wait_winner("cat");
    let mut long = page.browser.run("return long", json!([]));
    println!("long tasks with 2,000 labels: {long}");
    // Another program may have had the processor: what is long by itself is long every time.
    for _ in 0..2 {
        if long == json!([]) {
            break;
        }
        page.click("clear");
        page.wait_labels(&[]);
        page.browser.run("long.length = 0", json!([]));
        page.paste_into_field(&format!("cat\n{}", many(1999)));
        page.browser
            .wait_for("a count", || page.text("label-count").filter(|text| text.contains("2,000 labels")));
        page.browser.wait_for("another ranking", is_settled);
        page.wait_winner("cat");
        long = page.browser.run("return long", json!([]));
        println!("once more: {long}");
    }
    let n_lines = page.browser.all(&testid("result")).len();
    let n_chips = page.browser.all(&testid("chip")).len();
    assert!(n_lines < 100 && n_chips < 100, "{n_lines} lines and {n_chips} chips are drawn");
    assert_eq!(long, json!([]), "tasks over 50 ms");
    // The control: the observer sees one.
    page.browser.run(
        "setTimeout(() => { const end = performance.now() + 80; while (performance.now() < end); })",
        json!([]),
    );
    page.browser.wait_until("long.length > 0");
    page.check_looks("many");
    // Anything below the answer is in reach.
    for (width, height) in [(1440, 900), (390, 844), (360, 640)] {
        page.browser.resize(width, height);
        let below = "const field = document.querySelector(arguments[0]).getBoundingClientRect();
            return Math.round(field.bottom + scrollY)";
        let y = page.browser.run(below, json!([testid("label-input")])).as_u64().expect("a place");
        assert!(y < 2000, "the field ends at {y} on {width} × {height}");
    }
    page.browser.resize(1440, 900);
    // A label is found, and the list can be walked by keys with one stop of the Tab key.
    page.browser.type_into(&page.the("label-filter"), "number 1998");
    page.wait_labels(&["label number 1998"]);
    page.click("chip-remove");
    page.browser
        .wait_for("a label less", || page.text("label-count").filter(|text| text.contains("1,999 labels")));
    page.close(&[]);
}

fn focused_label(page: &Page) -> Value {
    page.browser.run("return document.activeElement?.closest('.chip')?.dataset.label ?? null", json!([]))
}

const ARROW_UP: &str = "\u{e013}";
const ARROW_DOWN: &str = "\u{e015}";
const HOME: &str = "\u{e011}";
const DELETE: &str = "\u{e017}";

#[test]
fn the_tab_key_stops_once_at_a_list_and_arrows_go_on() {
    let page = Page::ready();
    for n_labels in [6, 300] {
        page.browser.run("document.querySelector('[data-testid=clear]')?.click()", json!([]));
        page.wait_labels(&[]);
        page.paste_into_field(&many(n_labels));
        page.browser.wait_for("the labels", || (!page.labels().is_empty()).then_some(()));
        let n_stops = "return [...document.querySelectorAll('.chips button, .lines li')].filter((one) => one.tabIndex >= 0).length";
        assert_eq!(page.browser.run(n_stops, json!([])), 1, "stops of the Tab key among {n_labels} chips");
        page.browser.run("document.querySelector('#label-input').focus()", json!([]));
        page.browser.press(ARROW_UP);
        let focus = |label: String| {
            page.browser
                .wait_for(&format!("the focus on {label}"), || (focused_label(&page) == label).then_some(()));
        };
        focus(format!("label number {}", n_labels - 1));
        page.browser.press(ARROW_UP);
        focus(format!("label number {}", n_labels - 2));
        page.browser.press(HOME);
        focus("label number 0".into());
        page.browser.press(ARROW_DOWN);
        page.browser.press(DELETE);
        focus("label number 2".into());
    }
    page.close(&[]);
}

#[test]
fn what_there_is_no_room_for_stays_in_the_field() {
    let page = Page::ready();
    page.paste_into_field(&many(2100));
    assert_eq!(page.alert(), "labels-refused");
    let said = page.text("alert").unwrap_or_default();
    assert!(said.contains("2,000") && said.contains("107"), "{said}");
    let field = || page.browser.run("return document.querySelector('#label-input').value", json!([]));
    assert!(field().as_str().is_some_and(|text| text.ends_with("label number 2099")), "{}", field());
    page.browser.run("document.querySelector('[data-testid=clear]').click()", json!([]));
    page.browser.run("document.querySelector('#label-input').focus()", json!([]));
    page.browser.press(key::ENTER);
    page.browser.wait_for("the rest", || page.text("label-count").filter(|text| text.contains("107 labels")));
    assert!(!page.is_there("alert"));
    let long = "x".repeat(1200);
    page.browser.run("document.querySelector('#label-input').value = arguments[0]", json!([long]));
    page.browser.press(key::ENTER);
    page.browser.wait_for("the limit", || page.text("alert").filter(|text| text.contains("1,000")));
    assert_eq!(field(), long);
    page.close(&[]);
}

#[test]
fn a_key_of_an_input_method_adds_and_closes_nothing() {
    let page = Page::ready();
    page.set_labels(&["cat", "dog"]);
    page.click("label-input");
    let press = |key: &str, composing: &str| {
        page.browser.run(
            "const event = new KeyboardEvent('keydown', { key: arguments[0], bubbles: true, cancelable: true, ...arguments[1] });
             document.activeElement.dispatchEvent(event);",
            json!([key, serde_json::from_str::<Value>(composing).expect("JSON")]),
        );
    };
    page.browser.press("ねこ");
    // WebKit tells by the code alone.
    for composing in [r#"{"keyCode": 229}"#, r#"{"isComposing": true}"#] {
        press("Enter", composing);
        press("Escape", composing);
        assert_eq!(page.labels(), ["cat", "dog"], "{composing}");
    }
    press("Enter", r#"{"keyCode": 13}"#);
    page.wait_labels(&["cat", "dog", "ねこ"]);
    page.click("chip-edit");
    page.the("chip-editor");
    for composing in [r#"{"keyCode": 229}"#, r#"{"isComposing": true}"#] {
        press("Escape", composing);
        press("Enter", composing);
        assert!(page.is_there("chip-editor"), "{composing}");
    }
    press("Escape", r#"{"keyCode": 27}"#);
    page.browser.wait_for("the editor to close", || (!page.is_there("chip-editor")).then_some(()));
    page.close(&[]);
}

#[test]
fn steps_can_be_taken_back_and_labels_kept_under_a_name() {
    let page = Page::ready();
    page.choose("static/samples/cat.jpg");
    page.wait_winner("cat");
    page.set_labels(&["cat", "rocket"]);
    page.choose("static/samples/rocket.jpg");
    page.wait_winner("rocket");
    page.unfocus();
    let chord = |keys: &[&str]| {
        let event = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let down = keys.iter().map(|key| event("keyDown", key));
        let up = keys.iter().rev().map(|key| event("keyUp", key));
        page.browser.act(down.chain(up).collect());
    };
    const CONTROL: &str = "\u{e009}";
    const SHIFT: &str = "\u{e008}";
    chord(&[CONTROL, "z"]);
    page.wait_winner("cat");
    assert_eq!(page.labels(), ["cat", "rocket"]);
    chord(&[CONTROL, "z"]);
    page.wait_labels(&["cat"]);
    chord(&[CONTROL, SHIFT, "z"]);
    page.wait_labels(&["cat", "rocket"]);
    chord(&[CONTROL, SHIFT, "z"]);
    page.wait_winner("rocket");
    // A set of one's own.
    page.click("set-keep");
    page.browser.press("Mine");
    page.check_accessibility("a set gets its name");
    page.browser.press(key::ENTER);
    page.the("set");
    page.click("preset-1");
    page.browser.wait_for("the preset", || (page.labels().len() == 10).then_some(()));
    page.browser.reload();
    page.wait_ready();
    page.browser.run("document.querySelector('[data-testid=notice] .dismiss')?.click()", json!([]));
    page.click("set-take");
    page.wait_labels(&["cat", "rocket"]);
    page.browser.run("document.querySelector('[data-testid=notice] .dismiss')?.click()", json!([]));
    page.browser.wait_for("no notice", || (!page.is_there("notice")).then_some(()));
    page.check_looks("set");
    page.click("set-remove");
    page.browser.wait_for("the set to go", || (!page.is_there("set")).then_some(()));
    page.close(&[]);
}

#[test]
fn links_back_and_forward_are_taken_in_the_same_tab() {
    let page = Page::ready();
    page.set_labels(&["mine"]);
    let go = |fragment: &str| drop(page.browser.run("location.hash = arguments[0]", json!([fragment])));
    go("labels=first,link");
    page.wait_labels(&["first", "link"]);
    go("labels=second&score=independent");
    page.wait_labels(&["second"]);
    page.browser.run("history.back()", json!([]));
    page.wait_labels(&["first", "link"]);
    page.browser.run("history.forward()", json!([]));
    page.wait_labels(&["second"]);
    page.browser.run("history.go(-2)", json!([]));
    page.wait_labels(&["mine"]);
    page.close(&[]);
}

#[test]
fn leaving_and_coming_back_keeps_the_picture() {
    let page = Page::ready();
    page.choose("static/samples/cat.jpg");
    page.wait_winner("cat");
    page.browser.open("about:blank");
    page.browser.wait_until("location.href === 'about:blank'");
    page.browser.back();
    page.wait_winner("cat");
    assert_eq!(page.picture_name().as_deref(), Some("cat.jpg"));
    page.browser.reload();
    page.wait_winner("cat");
    page.click("picture-remove");
    page.browser.wait_for("an empty stage", || (!page.is_there("picture")).then_some(()));
    page.browser.reload();
    page.wait_ready();
    assert!(!page.is_there("picture"), "what was removed came back");
    // Nor does one whose file was not deleted in time.
    page.choose("static/samples/cat.jpg");
    page.wait_winner("cat");
    page.browser.run("sessionStorage.removeItem('cliplet.kept')", json!([]));
    page.browser.reload();
    page.wait_ready();
    let n_files = "return (await (await caches.open('cliplet.pictures')).keys()).length";
    page.browser.wait_for("its file deleted", || {
        (page.browser.run_async(n_files, json!([])).as_u64() == Some(0)).then_some(())
    });
    assert!(!page.is_there("picture"), "what was removed came back");
    page.close(&[]);
}

/// The pictures that were ranked, as the strip names them, and what each was.
fn recents(page: &Page) -> Vec<[String; 2]> {
    let found = page.browser.run(
        "return [...document.querySelectorAll('[data-testid=recent]')]
             .map((recent) => [recent.dataset.name, recent.querySelector('.name').textContent])",
        json!([]),
    );
    serde_json::from_value(found).expect("names")
}

/// The files that the browser stores of them.
fn n_recent_files(page: &Page) -> u64 {
    let n_files = "return (await (await caches.open('cliplet.recent')).keys()).length";
    page.browser.run_async(n_files, json!([])).as_u64().expect("a number")
}

#[test]
fn the_last_pictures_and_their_winners_stay_until_they_are_deleted() {
    let page = Page::ready();
    // What comes with the page is at hand anyway.
    page.click("sample-rocket");
    page.wait_winner("rocket");
    for (name, n_files) in [("cat", 1), ("flower", 2), ("coffee", 3)] {
        page.choose(&format!("static/samples/{name}.jpg"));
        page.wait_winner(if name == "coffee" { "cup of coffee" } else { name });
        page.browser.wait_for("the picture stored", || (n_recent_files(&page) == n_files).then_some(()));
    }
    let line = |name: &str, label: &str| [format!("{name}.jpg"), label.to_owned()];
    // Another picture of the same name is another picture.
    let rocket = std::fs::read(file("static/samples/rocket.jpg")).expect("a sample");
    page.drop_file("flower.jpg", "image/jpeg", &rocket);
    page.wait_winner("rocket");
    page.browser.wait_for("the picture stored", || (n_recent_files(&page) == 4).then_some(()));
    while page.is_there("picture") {
        page.click("picture-remove");
    }
    assert_eq!(recents(&page)[..2], [line("flower", "rocket"), line("coffee", "cup of coffee")]);
    page.click("recent-show");
    page.wait_winner("rocket");
    page.click("picture-remove");
    page.tab_to("recent-show");
    page.browser.press(DELETE);
    page.browser.wait_for("its file deleted", || (n_recent_files(&page) == 3).then_some(()));
    let all = [line("coffee", "cup of coffee"), line("flower", "flower"), line("cat", "cat")];
    while page.is_there("picture") {
        page.click("picture-remove");
    }
    page.the("recents");
    assert_eq!(recents(&page), all);
    page.browser.reload();
    page.wait_ready();
    page.browser.wait_for("the strip after a reload", || (recents(&page) == all).then_some(()));
    page.browser.wait_until(
        "[...document.querySelectorAll('[data-testid=recent] img')].every((img) => img.naturalHeight === 112)",
    );
    page.browser.keep_screenshot("recents");

    // Shown again, it is ranked as it was, and comes to the front with what it is now.
    let cat = format!("{} {}", with("recent", "name", "cat.jpg"), testid("recent-show"));
    page.browser.click(&page.browser.find(&cat));
    page.wait_winner("cat");
    page.set_labels(&["a kitten", "a spoon"]);
    page.wait_winner("a kitten");
    page.click("picture-remove");
    page.browser.wait_for("the new winner", || {
        (recents(&page).first() == Some(&line("cat", "a kitten"))).then_some(())
    });
    assert_eq!(n_recent_files(&page), 3, "nothing is kept twice");

    // By keyboard: one stop, arrows, Delete.
    page.tab_to("recent-show");
    page.browser.press(key::RIGHT);
    page.browser.press(DELETE);
    page.browser.wait_for("one less", || (recents(&page).len() == 2).then_some(()));
    assert_eq!(recents(&page), [line("cat", "a kitten"), line("flower", "flower")]);
    page.browser.wait_for("the focus in the strip", || (page.focused() == "recent-show").then_some(()));
    page.browser.wait_for("its files deleted", || (n_recent_files(&page) == 2).then_some(()));

    // A browser that has cleared its storage: said, and the place goes.
    page.browser.run_async("await caches.delete('cliplet.recent')", json!([]));
    page.click("recent-show");
    page.wait_notice("deleted that picture");
    page.browser.wait_for("one less", || (recents(&page).len() == 1).then_some(()));

    // Switched off, nothing is there and nothing is kept.
    page.click("privacy");
    page.click("keeps-recent");
    page.browser.press(key::ESCAPE);
    page.browser.wait_for("the strip to go", || (!page.is_there("recents")).then_some(()));
    page.choose("static/samples/cat.jpg");
    page.ranking();
    page.browser.reload();
    page.wait_ready();
    assert_eq!(n_recent_files(&page), 0);
    assert_eq!(page.browser.run("return localStorage.getItem('cliplet.recent')", json!([])), Value::Null);
    page.close(&[]);
}

#[test]
fn two_tabs_never_overwrite_each_other_without_a_word() {
    let page = Page::ready();
    page.set_labels(&["mine", "cat"]);
    // What another tab does: it stores its own, and this one hears of it.
    let other = |labels: &[&str]| {
        page.browser.run(
            "const key = 'cliplet.settings';
             const settings = JSON.parse(localStorage.getItem(key));
             settings.labels = arguments[0];
             const newValue = JSON.stringify(settings);
             localStorage.setItem(key, newValue);
             dispatchEvent(new StorageEvent('storage', { key, newValue, storageArea: localStorage }));",
            json!([labels]),
        );
    };
    let stored = || {
        page.browser
            .run("return JSON.parse(localStorage.getItem('cliplet.settings')).labels.join()", json!([]))
    };
    other(&["theirs"]);
    page.wait_notice("another tab");
    assert_eq!(page.labels(), ["mine", "cat"]);
    assert_eq!(stored(), "theirs", "nothing is overwritten before the reader has chosen");
    page.click("take-theirs");
    page.wait_labels(&["theirs"]);
    page.click("undo");
    page.wait_labels(&["mine", "cat"]);
    other(&["theirs", "again"]);
    page.wait_notice("another tab");
    page.click("keep-mine");
    page.browser.wait_for("the own labels stored", || (stored() == "mine,cat").then_some(()));
    page.close(&[]);
}

/// However it comes: typed, pasted, put in a chip's place, stored, in a set, in a link.
#[test]
fn a_label_that_nobody_can_see_makes_no_chip() {
    const BLANKS: &str = "\u{200b} \u{2060}\u{feff}\u{ad}\u{3164}\u{2800}\u{fe0f}\u{202e}\u{115f}\u{e0061}";
    let whole = ["cat", "👩\u{200d}🚀", "قطة"];
    let page = Page::ready();
    // The driver types no character beyond the first 65,536.
    let type_into = |selector: &str, text: &str| {
        page.browser.run(
            "const field = document.querySelector(arguments[0]); field.focus(); field.value = arguments[1]",
            json!([selector, text]),
        );
        page.browser.press(key::ENTER);
    };
    page.click("clear");
    type_into("#label-input", &whole.join(","));
    page.wait_labels(&whole);
    for text in
        ["\u{3164}".to_owned(), "\u{2800}".to_owned(), format!("{BLANKS}, {BLANKS}"), BLANKS.to_owned()]
    {
        type_into("#label-input", &text);
        page.paste_into_field(&text);
        page.browser.press(key::ENTER);
        assert_eq!(page.labels(), whole, "{}", text.escape_unicode());
    }
    page.click("chip-edit");
    page.the("chip-editor");
    type_into(".chip-editor", BLANKS);
    page.wait_labels(&whole[1..]);
    page.browser.wait_for("the focus on the next chip", || (page.focused() == "chip-edit").then_some(()));
    page.browser.run(
        "const [key, blank] = arguments;
         const labels = [blank, 'dog', 'd\\u200bog', '\\u3164'];
         const sets = [blank, 'Mine'].map((name) => ({ name, labels: [...labels, 'wolf'] }));
         const stored = { ...JSON.parse(localStorage.getItem(key)), labels, earlier: { labels: [...labels, 'fox'] }, sets };
         localStorage.setItem(key, JSON.stringify(stored));",
        json!(["cliplet.settings", BLANKS]),
    );
    page.browser.reload();
    page.wait_ready();
    assert_eq!(page.labels(), ["dog"]);
    page.click("undo");
    page.wait_labels(&["dog", "fox"]);
    assert_eq!(page.browser.all(&testid("set")).len(), 1, "a set without a name that can be seen");
    page.click("set-take");
    page.wait_labels(&["dog", "wolf"]);
    page.browser.open("about:blank");
    page.go("/#labels=%E3%85%A4,%E2%A0%80,%E2%80%8B,bird");
    page.wait_ready();
    assert_eq!(page.labels(), ["bird"]);
    page.close(&[]);
}

/// As an installed page gets them: by the form that its manifest describes, and by the browser's queue of opened files.
#[test]
fn what_the_system_shares_or_opens_with_the_page_takes_the_stage() {
    let manifest = std::fs::read(file("dist/manifest.webmanifest")).expect("the manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let (target, text) =
        (&manifest["share_target"], |value: &Value| value.as_str().expect("a text").to_owned());
    let (action, method) = (text(&target["action"]), text(&target["method"]));
    let (kind, name) = (text(&target["enctype"]), text(&target["params"]["files"][0]["name"]));
    let page = Page::unopened(&[]);
    page.server.page(
        "/form.html",
        &format!(
            "<!doctype html><title>Share</title><form action={action} method={method} enctype={kind}><input type=file name={name} multiple></form>"
        ),
    );
    page.server.without_policy("/form.html");
    let share = |pictures: &[&str]| {
        page.go("/form.html");
        let paths: Vec<String> =
            pictures.iter().map(|picture| file(picture).to_string_lossy().into_owned()).collect();
        page.browser.type_into(&page.browser.find("input"), &paths.join("\n"));
        page.browser.run("document.forms[0].submit()", json!([]));
        page.wait_ready();
    };
    page.go("/");
    page.wait_ready();
    let labels = page.labels();
    page.browser.wait_until("navigator.serviceWorker.controller");
    share(&["static/samples/rocket.jpg"]);
    page.wait_winner("rocket");
    let picture = || page.browser.run("return document.querySelector('img.picture').alt", json!([]));
    assert_eq!(picture(), "rocket.jpg");
    let left = "return [location.search, (await (await caches.open('cliplet-shared')).keys()).length]";
    assert_eq!(page.browser.run_async(left, json!([])), json!(["", 0]), "address and store are cleared");
    assert_eq!(page.labels(), labels);
    // Another picture takes its place, and several wait beside each other.
    share(&["static/samples/flower.jpg", "static/samples/cat.jpg"]);
    page.wait_winner("flower");
    page.browser.wait_for("a tray", || (page.browser.all(&testid("tray-picture")).len() == 2).then_some(()));
    // The mark alone, as a bookmark would have it, brings nothing.
    page.browser.run("sessionStorage.clear()", json!([]));
    page.go("/?shared");
    page.wait_ready();
    page.browser.wait_until("location.search === ''");
    assert!(!page.is_there("picture"));

    page.browser.before_each_page(
        "const file = async () => new File([await (await fetch('samples/cat.jpg')).blob()], 'opened.jpg', { type: 'image/jpeg' });
         const launchQueue = { setConsumer: (consumer) => consumer({ files: [{ getFile: file }] }) };
         Object.defineProperty(window, 'launchQueue', { value: launchQueue, configurable: true });",
    );
    page.go("/");
    page.wait_ready();
    page.wait_winner("cat");
    assert_eq!(picture(), "opened.jpg");
    page.close(&["favicon.ico"]);
}
