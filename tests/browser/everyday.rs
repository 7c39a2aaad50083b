//! What a person relies on every day: on a phone everything important is in view, no notice is lost or in the way, the focus
//! goes on, the text follows the reader's size, and nothing jumps.

use crate::page::{Page, file, film, testid, with};
use crate::webdriver::key;
use serde_json::{Value, json};

const NO_ADAPTER: &str = "GPU.prototype.requestAdapter = async () => null;\n";

/// A page on a phone, ready.
fn phone() -> Page {
    let page = Page::unopened(&[]);
    page.browser.resize(390, 844);
    page.go("/");
    page.wait_ready();
    page
}

/// Which of these (by `data-testid`) cannot be seen and pressed where the page stands.
fn out_of_view(page: &Page, ids: &[&str]) -> Value {
    let script = "return arguments[0].flatMap((id) => {
        const element = document.querySelector(`[data-testid=\"${id}\"]`);
        const { left, right, top, bottom } = element.getBoundingClientRect();
        const isIn = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight && bottom > top;
        const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
        return isIn && (hit === element || element.contains(hit)) ? [] : [[id, left, top, right, bottom, hit?.className]];
    })";
    page.browser.run(script, json!([ids]))
}

fn sideways(page: &Page) -> i64 {
    let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    page.browser.run(script, json!([])).as_i64().expect("a number")
}

#[test]
fn on_a_phone_picture_answer_and_label_field_are_in_view() {
    let page = phone();
    page.click("sample-cat");
    page.wait_winner("cat");
    let wanted = ["picture", "winner", "winner-percent", "label-input"];
    // The last two as a keyboard on the screen leaves them.
    let sizes = [(390, 844), (360, 640), (844, 390), (640, 360), (390, 450), (360, 380)];
    for (width, height) in sizes {
        page.browser.resize(width, height);
        page.browser.run("scrollTo(0, 0)", json!([]));
        assert_eq!(out_of_view(&page, &wanted), json!([]), "{width} × {height}");
        assert_eq!(sideways(&page), 0, "{width} × {height}");
        page.check_accessibility(&format!("a phone of {width} × {height}"));
        page.browser.keep_screenshot(&format!("phone-{width}-{height}"));
    }
    // With something told besides.
    page.browser.resize(390, 844);
    page.click("preset-1");
    page.the("undo");
    page.wait_winner("cat");
    for (width, height) in sizes {
        page.browser.resize(width, height);
        page.browser.run("scrollTo(0, 0)", json!([]));
        assert_eq!(out_of_view(&page, &wanted), json!([]), "{width} × {height} with a notice");
        assert_eq!(out_of_view(&page, &["undo"]), json!([]), "{width} × {height}: the notice");
        page.browser.keep_screenshot(&format!("phone-notice-{width}-{height}"));
    }
    page.close(&[]);
}

#[test]
fn on_a_phone_the_camera_fills_the_screen_and_a_picture_can_be_taken() {
    let folder = std::env::temp_dir().join(format!("cliplet-phone-{}", std::process::id()));
    let page = Page::unopened(&[film(&file("static/samples/cat.jpg"), &folder)]);
    page.browser.devtools("Emulation.setTouchEmulationEnabled", json!({"enabled": true}));
    page.browser.resize(390, 844);
    page.go("/");
    page.wait_ready();
    assert_eq!(page.text("open").as_deref(), Some("Take or choose a picture"));
    page.click("camera-open");
    page.wait_winner("cat");
    for (width, height) in [(390, 844), (844, 390)] {
        page.browser.resize(width, height);
        assert_eq!(
            out_of_view(&page, &["camera-shoot", "camera-stop", "camera-live", "live-top"]),
            json!([])
        );
        let shown = page.browser.run(
            "const box = (id) => document.querySelector(`[data-testid=\"${id}\"]`).getBoundingClientRect();
             const [video, shutter] = [box('camera-video'), box('camera-shoot')];
             return [video.width, video.height, Math.min(shutter.width, shutter.height)];",
            json!([]),
        );
        assert_eq!((&shown[0], &shown[1]), (&json!(width), &json!(height)), "not the whole screen");
        assert!(shown[2].as_f64() >= Some(72.0), "a small shutter: {shown}");
        page.check_accessibility(&format!("the camera on a screen of {width} × {height}"));
        page.browser.keep_screenshot(&format!("camera-{width}-{height}"));
    }
    page.click("camera-shoot");
    page.browser.find(&with("stage", "view", "picture"));
    page.wait_winner("cat");
    page.close(&[]);
    std::fs::remove_dir_all(folder).expect("the film goes");
}

#[test]
fn an_undo_outlives_what_is_told_besides_and_a_fact_is_told_once() {
    let page = Page::unopened(&[]);
    page.server.prelude("/worker-boot.js", NO_ADAPTER);
    page.go("/#labels=theirs");
    page.wait_ready();
    let fact = with("notice", "code", "adapter-missing");
    page.browser.find(&fact);
    page.the("undo");
    // Nothing that can be pressed lies under them.
    for (width, height) in [(1440, 900), (1000, 700), (768, 1024), (390, 844), (844, 390)] {
        page.browser.resize(width, height);
        let covered = page.browser.run(
            "return [...document.querySelectorAll('button, a, input, summary')].filter((control) => {
                if (control.closest('.toast') || !control.checkVisibility()) return false;
                control.scrollIntoView({ block: 'center' });
                const { left, right, top, bottom } = control.getBoundingClientRect();
                return document.elementFromPoint((left + right) / 2, (top + bottom) / 2)?.closest('.toast');
            }).map((control) => control.outerHTML)",
            json!([]),
        );
        assert_eq!(covered, json!([]), "{width} × {height}");
        page.browser.keep_screenshot(&format!("notices-{width}-{height}"));
    }
    page.click("undo");
    page.browser.wait_for("the own labels", || page.labels().contains(&"cat".to_owned()).then_some(()));
    assert!(!page.is_there("undo"), "there is nothing left to undo");
    // From now on the badge says it, and no notice pushes anything.
    page.browser.reload();
    page.wait_ready();
    assert!(page.browser.all(&fact).is_empty(), "a fact is told at every visit");
    let title =
        page.browser.run("return document.querySelector(arguments[0]).title", json!([testid("status")]));
    assert!(title.as_str().is_some_and(|title| title.contains("No graphics processor")), "{title}");
    page.close(&[]);
}

#[test]
fn a_notice_goes_by_itself_unless_it_is_pointed_at_or_offers_something() {
    let page = Page::ready();
    // Time goes fast.
    page.browser.run(
        "const later = setTimeout; setTimeout = (what, millis, ...more) => later(what, millis / 20, ...more)",
        json!([]),
    );
    page.click("preset-1");
    page.click("share");
    page.browser.wait_for("the link told of", || {
        page.text("notice").or(None).filter(|_| page.browser.all(&testid("notice")).len() == 2).map(drop)
    });
    let told = "[...document.querySelectorAll('[data-testid=notice]')].some((toast) => toast.textContent.includes('Link'))";
    page.browser.run(
        "for (const toast of document.querySelectorAll('[data-testid=notice]'))
             toast.dispatchEvent(new PointerEvent('pointerenter'));
         window.wasThere = null;
         setTimeout(() => { window.wasThere = arguments[0]; }, 16000);",
        json!([1]),
    );
    page.browser.wait_until("window.wasThere");
    page.browser.wait_until(told);
    page.browser.run(
        "for (const toast of document.querySelectorAll('[data-testid=notice]'))
             toast.dispatchEvent(new PointerEvent('pointerleave'));",
        json!([]),
    );
    page.browser.wait_until(&format!("!({told})"));
    page.the("undo");
    page.close(&[]);
}

#[test]
fn the_focus_goes_on_from_what_went_away() {
    let folder = std::env::temp_dir().join(format!("cliplet-focus-{}", std::process::id()));
    let page = Page::unopened(&[film(&file("static/samples/cat.jpg"), &folder)]);
    page.go("/");
    page.wait_ready();
    let press = |id: &str, key: &str| {
        page.the(id);
        page.browser.run("document.querySelector(arguments[0]).focus()", json!([testid(id)]));
        assert_eq!(page.focused(), id);
        page.browser.press(key);
    };
    let goes_to = |id: &str| {
        page.browser.wait_for(&format!("the focus on {id} (it is on {})", page.focused()), || {
            (page.focused() == id).then_some(())
        });
    };
    for (width, height, after_sample) in [(1440, 900, "sample-cat"), (390, 844, "open")] {
        page.browser.resize(width, height);
        press("sample-cat", key::ENTER);
        page.browser.find(&with("stage", "view", "picture"));
        goes_to(after_sample);
        page.wait_winner("cat");
        press("picture-remove", key::ENTER);
        page.browser.find(&with("stage", "view", "empty"));
        goes_to("open");
    }
    page.browser.resize(1440, 900);
    press("clear", key::ENTER);
    goes_to("label-input");
    press("undo", key::ENTER);
    goes_to("chip-edit");
    // A chip's editor, left by either key.
    press("chip-edit", key::ENTER);
    goes_to("chip-editor");
    page.browser.press(key::ESCAPE);
    goes_to("chip-edit");
    page.browser.press(key::ENTER);
    goes_to("chip-editor");
    page.browser.press(key::ENTER);
    goes_to("chip-edit");
    // By the pointer too.
    let n_labels = page.labels().len();
    page.click("chip-remove");
    page.browser.wait_for("a label less", || (page.labels().len() < n_labels).then_some(()));
    goes_to("chip-edit");
    press("preset-1", key::ENTER);
    press("notice-dismiss", key::ENTER);
    goes_to("chip-edit");
    press("camera-open", key::ENTER);
    goes_to("camera-shoot");
    page.wait_ready();
    page.browser.wait_until("witness.streams.length > 0");
    press("camera-stop", key::ENTER);
    goes_to("camera-open");
    press("camera-open", key::ENTER);
    page.browser.find(&testid("live-rate"));
    page.browser.wait_until("document.querySelector('video')?.videoWidth > 0");
    press("camera-shoot", key::ENTER);
    page.browser.find(&with("stage", "view", "picture"));
    page.browser.wait_for("a focus", || (page.focused() != "BODY").then_some(()));
    // Details, then the models over them, then back.
    press("details", key::ENTER);
    press("models", key::ENTER);
    page.the("model-id");
    page.browser.press(key::ESCAPE);
    page.browser.wait_for("a focus after two dialogs", || (page.focused() != "BODY").then_some(()));
    page.close(&[]);
    std::fs::remove_dir_all(folder).expect("the film goes");
}

#[test]
fn shortcuts_type_nothing_and_space_takes_the_picture_after_a_click_on_mirror() {
    let folder = std::env::temp_dir().join(format!("cliplet-keys-{}", std::process::id()));
    let page = Page::unopened(&[film(&file("static/samples/cat.jpg"), &folder)]);
    page.go("/");
    page.wait_ready();
    page.browser.press("l");
    assert_eq!(page.focused(), "label-input");
    let typed =
        page.browser.run("return document.querySelector(arguments[0]).value", json!([testid("label-input")]));
    assert_eq!(typed, "", "the shortcut is typed");
    page.click("camera-open");
    page.browser.find(&testid("live-top"));
    page.click("camera-mirror");
    page.browser.find(".mirrored");
    page.browser.press(" ");
    page.browser.find(&with("stage", "view", "picture"));
    page.close(&[]);
    std::fs::remove_dir_all(folder).expect("the film goes");
}

#[test]
fn every_list_item_and_button_is_named_once() {
    let page = Page::ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    page.browser.devtools("Accessibility.enable", json!({}));
    let tree = page.browser.devtools("Accessibility.getFullAXTree", json!({}));
    let nodes: Vec<(String, String)> = tree["nodes"]
        .as_array()
        .expect("a tree")
        .iter()
        .filter(|node| node["ignored"] == false)
        .map(|node| {
            let text = |field: &str| node[field]["value"].as_str().unwrap_or_default().to_owned();
            (text("role"), text("name"))
        })
        .collect();
    let named = |role: &str, name: &str| {
        nodes.iter().filter(|node| (node.0.as_str(), node.1.as_str()) == (role, name)).count()
    };
    assert_eq!(named("button", "Open picture"), 1, "{nodes:?}");
    let items: Vec<_> =
        nodes.iter().filter(|node| node.0 == "listitem" && node.1.contains("similarity")).collect();
    assert!(items.is_empty(), "a title names a list item: {items:?}");
    page.close(&[]);
}

#[test]
fn text_follows_the_readers_size_and_nothing_is_cut() {
    let page = Page::unopened(&["--blink-settings=defaultFontSize=32".to_owned()]);
    page.go("/");
    page.wait_ready();
    let long = "an unusually long label that goes on and on, ".repeat(4) + "cat";
    page.set_labels(&["cat", "قطة برتقالية", "dog"]);
    page.click("sample-cat");
    page.wait_winner("cat");
    let sizes = page.browser.run(
        "return [...document.querySelectorAll('body, .chip .text, .line .name, .button span, .preset, .foot .quiet-link')]
            .map((element) => parseFloat(getComputedStyle(element).fontSize)).sort((a, b) => a - b)[0]",
        json!([]),
    );
    assert!(sizes.as_f64() >= Some(26.0), "the smallest text is {sizes} px");
    assert_eq!(page.browser.run("return getComputedStyle(document.body).fontSize", json!([])), "32px");
    assert_eq!(sideways(&page), 0, "at 32 px");
    page.browser.keep_screenshot("text-32");
    page.close(&[]);

    // 1,280 by 1,024 at 400 %.
    let page = Page::unopened(&[]);
    page.browser.resize(320, 256);
    page.go("/");
    page.wait_ready();
    assert_eq!(sideways(&page), 0, "empty at 400 %");
    page.set_labels(&[&long.replace(',', "")]);
    page.click("sample-cat");
    page.browser.find(&testid("winner"));
    assert_eq!(page.text("winner"), Some(long.replace(',', "")), "the winner is cut");
    let hidden = page.browser.run(
        "const name = document.querySelector(arguments[0]);
         return [name.scrollWidth - name.clientWidth, name.dir];",
        json!([testid("winner")]),
    );
    assert_eq!(hidden, json!([0, "auto"]));
    for dialog in ["details", "privacy", "status"] {
        page.click(dialog);
        assert_eq!(sideways(&page), 0, "{dialog} at 400 %");
        let inside = "const dialog = document.querySelector('dialog[open] .inside'); return dialog.scrollWidth - dialog.clientWidth";
        assert_eq!(page.browser.run(inside, json!([])), 0, "{dialog} at 400 %");
        page.browser.keep_screenshot(&format!("zoom-{dialog}"));
        page.browser.press(key::ESCAPE);
        page.browser.wait_until("!document.querySelector('dialog[open]')");
    }
    assert_eq!(sideways(&page), 0, "with an answer at 400 %");
    page.browser.keep_screenshot("zoom");
    page.close(&[]);
}

/// The states of a page that ranks, each led to from the one before it; `look` is called in each with its name.
pub fn in_each_state(page: &Page, mut look: impl FnMut(&str)) {
    let closed = || {
        page.browser.press(key::ESCAPE);
        page.browser.wait_until("!document.querySelector('dialog[open]')");
    };
    look("empty");
    page.click("sample-cat");
    page.wait_winner("cat");
    look("settled");
    for dialog in ["details", "privacy", "sees-open", "shortcuts", "status"] {
        page.browser.run("document.querySelector(arguments[0]).click()", json!([testid(dialog)]));
        page.browser.find("dialog[open]");
        if dialog == "status" {
            page.the("shelved");
        }
        look(&format!("dialog-{dialog}"));
        closed();
    }
    page.browser.run("document.querySelector(arguments[0] + ' summary').click()", json!([testid("more")]));
    look("compare");
    page.browser.run("document.querySelector(arguments[0] + ' summary').click()", json!([testid("more")]));
    page.browser.run("document.querySelector(arguments[0]).click()", json!([testid("preset-1")]));
    page.the("undo");
    page.wait_winner("cat");
    look("notice");
    page.browser.run("document.querySelector(arguments[0]).click()", json!([testid("undo")]));
    let pictures: Vec<Value> = ["flower", "rocket"]
        .map(|name| {
            json!([name, std::fs::read(file(&format!("static/samples/{name}.jpg"))).expect("a sample")])
        })
        .to_vec();
    page.browser.run(
        "const transfer = new DataTransfer();
         for (const [name, bytes] of arguments[0])
             transfer.items.add(new File([new Uint8Array(bytes)], `${name}.jpg`, { type: 'image/jpeg' }));
         document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: transfer }));",
        json!([pictures]),
    );
    page.wait_winner("flower");
    page.browser.wait_until("[...document.querySelectorAll('[data-testid=tray-label]')].every((label) => label.textContent !== '…')");
    look("tray");
    page.browser.run("document.querySelector(arguments[0]).click()", json!([testid("camera-open")]));
    page.the("live-top");
    look("camera");
    page.browser.run("document.querySelector(arguments[0]).click()", json!([testid("camera-stop")]));
    page.drop_file("notes.png", "image/png", b"no picture at all");
    page.alert();
    look("error");
    page.browser.run("document.querySelector('[data-testid=dismiss]').click()", json!([]));
    // One picture is ranked sooner than several.
    for _ in 0..2 {
        page.browser.run("document.querySelector('[data-testid=picture-remove]').click()", json!([]));
    }
    page.browser.find(&with("stage", "view", "empty"));
    page.browser.run(
        "const clipboardData = new DataTransfer();
         clipboardData.setData('text/plain', Array.from({ length: 60 }, (_, n) => `label number ${n}`).join());
         document.body.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData }));",
        json!([]),
    );
    page.the("label-count");
    look("many-labels");
}

/// In the high contrast of Windows only the system's colours are left: what is pressed, chosen or current must differ by them.
#[test]
fn in_forced_colours_what_is_pressed_or_current_stands_out() {
    let page = Page::ready();
    page.browser.prefer(&[("forced-colors", "active"), ("prefers-reduced-motion", "reduce")]);
    let mut n_marked = 0;
    in_each_state(&page, |state| {
        for (size, width, height) in [("desktop", 1440, 900), ("phone", 390, 844)] {
            page.browser.resize(width, height);
            page.check_accessibility(&format!("{state} in forced colours on a {size}"));
            let marks = page.browser.run(
                "const names = ['aria-pressed', 'aria-current', 'aria-selected'];
                 window.marked = names.flatMap((name) => [...document.querySelectorAll(`[${name}=true]`)].map((element) => [element, name]))
                     .filter(([element]) => element.checkVisibility({ visibilityProperty: true }));
                 return marked.map(([element]) => element.outerHTML)",
                json!([]),
            );
            // Painted, since a style sheet's colours are computed all the same.
            let painted = |idx: usize, value: &str| {
                let clip = page.browser.run(
                    "const [element, name] = marked[arguments[0]];
                     element.setAttribute(name, arguments[1]);
                     element.scrollIntoView({ block: 'nearest', inline: 'nearest' });
                     const { left, top, width, height } = element.getBoundingClientRect();
                     return { x: left + scrollX - 4, y: top + scrollY - 4, width: width + 8, height: height + 8, scale: 1 }",
                    json!([idx, value]),
                );
                page.browser.devtools("Page.captureScreenshot", json!({"format": "png", "clip": clip}))
            };
            for (idx, mark) in marks.as_array().expect("a list").iter().enumerate() {
                let (off, on) = (painted(idx, "false"), painted(idx, "true"));
                assert_ne!(off, on, "{state} on a {size}: looks as if it were not pressed: {mark}");
                n_marked += 1;
            }
            page.browser.keep_screenshot(&format!("forced-{state}-{size}"));
        }
        page.browser.resize(1440, 900);
    });
    assert!(n_marked >= 6, "only {n_marked} pressed or current things were there to be looked at");
    page.close(&[]);
}

#[test]
fn nothing_moves_for_who_asks_for_less_motion() {
    let page = Page::unopened(&[]);
    page.browser.before_each_page(
        "window.moved = [];
         const look = () => {
             for (const animation of document.getAnimations())
                 if (animation.effect.getComputedTiming().duration > 10)
                     moved.push(`${animation.animationName ?? animation.transitionProperty ?? 'glide'} ${animation.effect.target?.className}`);
             requestAnimationFrame(look);
         };
         look();
         for (const name of ['scrollIntoView', 'scrollTo', 'scrollBy']) {
             const scroll = Element.prototype[name];
             Element.prototype[name] = function (...how) {
                 if (how[0]?.behavior === 'smooth') moved.push(name);
                 return scroll.apply(this, how);
             };
         }",
    );
    for motion in ["no-preference", "reduce"] {
        page.browser.prefer(&[("prefers-reduced-motion", motion)]);
        page.go("/");
        page.wait_ready();
        in_each_state(&page, |_| {
            page.browser.run_async(
                "await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))",
                json!([]),
            );
        });
        let moved = page.browser.run("return [...new Set(moved)]", json!([]));
        let is_still = moved == json!([]);
        assert_eq!(is_still, motion == "reduce", "with {motion}: {moved}");
        page.browser.run("localStorage.clear(); sessionStorage.clear()", json!([]));
        page.browser.open("about:blank");
    }
}

/// Twice the usual size: all that is written can be read, and nothing is wider than the screen.
#[test]
fn at_twice_the_text_size_nothing_is_cut_in_any_state() {
    let page = Page::unopened(&["--blink-settings=defaultFontSize=32".to_owned()]);
    page.go("/");
    page.wait_ready();
    let mut wrong = Vec::new();
    in_each_state(&page, |state| {
        for (width, height) in [(1440, 900), (768, 1024), (390, 844), (360, 640)] {
            page.browser.resize(width, height);
            let cut = page.browser.run(
                "const hides = (overflow) => ['hidden', 'clip'].includes(overflow);
                 return [...document.querySelectorAll('body *')].filter((element) => {
                     if (!element.innerText?.trim() || element.closest('.sr') || !element.checkVisibility({ visibilityProperty: true })) return false;
                     const { overflowX, overflowY, clipPath } = getComputedStyle(element);
                     const isWide = element.scrollWidth > element.clientWidth + 1;
                     const isHigh = element.scrollHeight > element.clientHeight + 1;
                     // Rows of a long list are of one height, or thousands could not be drawn.
                     if (element.closest('.long')) return false;
                     return clipPath === 'none' && ((hides(overflowX) && isWide) || (hides(overflowY) && isHigh)
                         || (isWide && element.matches('button, .toast, .message, .chip, p, h2')));
                 }).map((element) => `${element.className || element.localName}: ${element.innerText.slice(0, 60)}`)",
                json!([]),
            );
            if state == "camera" {
                let tools = ["camera-stop", "camera-live", "camera-shoot", "camera-mirror"];
                assert_eq!(out_of_view(&page, &tools), json!([]), "{width} × {height}");
            }
            if cut != json!([]) || sideways(&page) != 0 {
                wrong.push(format!("{state} at {width} × {height}: sideways {}, cut {cut}", sideways(&page)));
            }
            page.browser.keep_screenshot(&format!("large-{state}-{width}"));
        }
        page.browser.resize(1440, 900);
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    page.close(&[]);
}

/// Adds up what moves without the reader having done anything.
const SHIFTS: &str = "window.shifts = []; window.shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            if (entry.hadRecentInput) continue;
            shift += entry.value;
            shifts.push(entry.value.toFixed(4) + ' ' + entry.sources.map(({ node, previousRect: a, currentRect: b }) =>
                `${node?.className ?? node?.nodeName} ${a.x},${a.y} ${a.width}×${a.height} → ${b.x},${b.y} ${b.width}×${b.height}`));
        }
    }).observe({ type: 'layout-shift', buffered: true });";

#[test]
fn nothing_moves_while_the_page_gets_ready_and_while_it_answers() {
    for (width, height) in [(1440, 900), (390, 844), (844, 390)] {
        for prelude in ["", NO_ADAPTER] {
            let page = Page::unopened(&[]);
            if !prelude.is_empty() {
                page.server.prelude("/worker-boot.js", prelude);
            }
            page.browser.resize(width, height);
            page.browser.before_each_page(SHIFTS);
            page.go("/");
            page.wait_ready();
            let check = |when: &str| {
                let shift = page.browser.run_async(
                    "await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
                     return [shift, shifts];",
                    json!([]),
                );
                assert!(shift[0].as_f64() <= Some(0.01), "{when} at {width} × {height}: {shift:#}");
            };
            check("ready");
            page.click("sample-cat");
            page.wait_winner("cat");
            check("answered");
            // Who comes back finds the picture.
            page.browser.reload();
            page.wait_ready();
            page.wait_winner("cat");
            check("back");
            // And the strip of the last pictures, once there is none.
            page.choose("static/samples/flower.jpg");
            page.wait_winner("flower");
            page.browser.wait_until("localStorage.getItem('cliplet.recent')");
            while page.is_there("picture") {
                page.click("picture-remove");
            }
            page.the("recents");
            page.browser.reload();
            page.wait_ready();
            page.the("recents");
            page.browser.keep_screenshot(&format!("recents-{width}"));
            check("back to the last pictures");
            page.close(&[]);
        }
    }
}

#[test]
fn the_page_stands_there_before_its_program_and_is_replaced_in_place() {
    let boxes = |page: &Page| {
        page.browser.run(
            "return ['.head', '.brand', '.stage', '.invite', '.invite .title', '.samples', '.side', '.labels-head', '.label-bar', '.presets', '.foot']
                .map((selector) => {
                    const found = document.querySelector(selector)?.getBoundingClientRect();
                    return found && [selector, Math.round(found.left), Math.round(found.top)];
                }).filter((place) => place && place[2] < innerHeight)",
            json!([]),
        )
    };
    for (width, height) in [(1440, 900), (390, 844)] {
        let page = Page::unopened(&[]);
        page.browser.resize(width, height);
        // The page's own program does not come.
        page.browser.devtools("Network.enable", json!({}));
        page.browser.devtools("Network.setBlockedURLs", json!({"urls": ["*boot.js"]}));
        page.go("/");
        page.browser.find(".shell");
        page.browser.wait_until(
            "document.fonts.status === 'loaded' && [...document.images].every((image) => image.complete)",
        );
        let before = boxes(&page);
        page.browser.keep_screenshot(&format!("shell-{width}"));
        page.browser.devtools("Network.setBlockedURLs", json!({"urls": []}));
        page.browser.reload();
        page.wait_ready();
        assert!(page.browser.all(".shell").is_empty(), "the shell stays");
        let after = boxes(&page);
        // With a newcomer's labels the field is higher; on a desktop it grows upwards from the panel's end.
        let places = |boxes: &Value| -> Vec<Value> {
            let all = boxes.as_array().expect("a list").clone();
            all.into_iter()
                .filter(|place| {
                    !["label-bar", "labels-head", "presets"]
                        .iter()
                        .any(|part| place[0].as_str().is_some_and(|name| name.contains(part)))
                })
                .collect()
        };
        assert_eq!(places(&before), places(&after), "{width} × {height}");
        page.close(&["boot.js"]);
    }
}

#[test]
fn bars_stand_out_from_their_tracks_and_what_opens_is_brought_up() {
    let page = Page::ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    for theme in ["light", "dark"] {
        page.browser.prefer_color_scheme(theme);
        let contrasts = page.browser.run(
            "const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
             const over = (...colours) => {
                 canvas.clearRect(0, 0, 1, 1);
                 for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
                 return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
             };
             const luminance = (rgb) => rgb.map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
                 .reduce((sum, v, idx) => sum + v * [.2126, .7152, .0722][idx], 0);
             return [...document.querySelectorAll('.line .bar')].map((bar) => {
                 const track = over(getComputedStyle(bar.closest('.side')).backgroundColor, getComputedStyle(bar).backgroundColor);
                 const fill = over(getComputedStyle(bar.querySelector('.fill')).fill);
                 const [a, b] = [luminance(track), luminance(fill)].sort((a, b) => b - a);
                 return (a + .05) / (b + .05);
             });",
            json!([]),
        );
        let contrasts = contrasts.as_array().expect("a list");
        assert!(
            contrasts.len() > 3 && contrasts.iter().all(|contrast| contrast.as_f64() >= Some(3.0)),
            "{theme}: {contrasts:?}"
        );
    }
    for (width, height) in [(1440, 900), (390, 844)] {
        page.browser.resize(width, height);
        page.browser.run("document.querySelector(arguments[0]).open = false", json!([testid("more")]));
        page.browser
            .run("document.querySelector(arguments[0] + ' summary').click()", json!([testid("more")]));
        page.browser.wait_for("what opened to be in view", || {
            (out_of_view(&page, &["mode-softmax", "mode-independent"]) == json!([])).then_some(())
        });
    }
    // A dialog's way out stays in reach, and a message's is a round button.
    page.browser.resize(390, 500);
    page.click("details");
    page.browser.run("document.querySelector('dialog[open] .inside').scrollTo(0, 1e6)", json!([]));
    let close = page.browser.run(
        "const { top, bottom } = document.querySelector('dialog[open] [data-testid=dialog-close]').getBoundingClientRect();
         return top >= 0 && bottom <= innerHeight",
        json!([]),
    );
    assert_eq!(close, true, "the close button scrolled away");
    page.close(&[]);
}
