//! What a person does with the page, in Firefox and in WebKitGTK: the core of journeys.rs, which is Chromium's.
//!
//! Both rank on the processor: neither has WebGPU here. WebKitGTK is always a private window when it is driven, and keeps
//! nothing from one visit to the next.

use crate::page::{Page, file, testid, with};
use crate::pictures::awkward_files_in;
use crate::webdriver::{Kind, key};
use serde_json::json;

/// The same journeys in one browser.
macro_rules! journeys {
    ($browser:ident, $kind:expr, $($journey:ident),+) => {
        mod $browser {
            $(#[test] fn $journey() { super::$journey($kind) })+
        }
    };
}

journeys!(
    firefox,
    crate::webdriver::Kind::Firefox,
    pictures_are_ranked,
    awkward_files_in,
    keys_are_enough,
    the_second_visit_needs_no_server,
    the_camera_ranks_live
);
journeys!(webkit, crate::webdriver::Kind::WebKit, pictures_are_ranked, awkward_files_in, keys_are_enough);

/// Samples, an opened file, a dropped one, one that is no picture, and many labels.
fn pictures_are_ranked(kind: Kind) {
    let page = Page::ready_in(kind);
    assert!(page.text("status").is_some_and(|status| status.contains("CPU")), "{:?}", page.text("status"));
    for (sample, label) in [("rocket", "rocket"), ("coffee", "cup of coffee")] {
        page.click(&format!("sample-{sample}"));
        page.wait_winner(label);
    }
    page.choose("static/samples/flower.jpg");
    page.wait_winner("flower");
    let photo = std::fs::read(file("static/samples/astronaut.jpg")).expect("a sample");
    page.drop_file("my photo.jpg", "image/jpeg", &photo);
    page.wait_winner("astronaut");

    page.drop_file("notes.png", "image/png", b"no picture at all");
    assert_eq!(page.alert(), "picture-unreadable");
    page.choose("static/samples/cat.jpg");
    page.wait_winner("cat");

    let many: Vec<String> = (1..=100).map(|n| format!("thing number {n}")).collect();
    let typed = format!("{}{}", many.join(", "), key::ENTER);
    page.browser.type_into(&page.the("label-input"), &typed);
    // Of a long list only what is in view is drawn; how many there are is said.
    page.browser.wait_for("a hundred labels more", || {
        page.text("label-count").filter(|count| count.starts_with("107 "))
    });
    page.wait_winner("cat");
    page.browser.keep_screenshot(&format!("{kind:?}-many"));
    page.close(&[]);
}

fn keys_are_enough(kind: Kind) {
    let page = Page::ready_in(kind);
    page.tab_to("sample-rocket");
    page.browser.press(key::ENTER);
    page.wait_winner("rocket");
    page.tab_to("label-input");
    page.browser.press("teapot");
    page.browser.press(key::ENTER);
    let has_teapot = || page.ranking().iter().any(|line| line.label == "teapot");
    page.browser.wait_for("the new label ranked", || has_teapot().then_some(()));
    page.tab_to("details");
    page.browser.press(key::ENTER);
    page.the("dialog-details");
    page.browser.press(key::ESCAPE);
    page.browser.wait_for("the dialog closed", || {
        let script = "return document.querySelector(arguments[0])?.open ?? false";
        (page.browser.run(script, json!([testid("dialog-details")])) == false).then_some(())
    });
    page.close(&[]);
}

fn the_second_visit_needs_no_server(kind: Kind) {
    let page = Page::ready_in(kind);
    let n_weights =
        || page.server.requests().iter().filter(|request| request.target.contains(".gguf")).count();
    assert_eq!(n_weights(), 1);
    page.wait_kept();
    // By its address: geckodriver reloads past the helper for visits without a network.
    page.go("/");
    page.wait_ready();
    assert_eq!(n_weights(), 1, "the weights were fetched again");
    page.server.hang_up();
    page.go("/");
    page.wait_ready();
    page.click("sample-rocket");
    page.wait_winner("rocket");
}

/// Firefox's fake camera shows colours that come and go: what wins does not matter, that something does.
fn the_camera_ranks_live(kind: Kind) {
    let page = Page::ready_in(kind);
    page.click("camera-open");
    page.browser.wait_for("a rate", || {
        page.text("live-rate").filter(|text| text.chars().any(|c| c.is_ascii_digit()))
    });
    page.browser.find(&with("results", "state", "settled"));
    let n_live = "return witness.streams.flatMap((stream) => stream.getTracks())
        .filter((track) => track.readyState === 'live').length";
    let n_live = || page.browser.run(n_live, json!([])).as_u64().expect("a count");
    assert!(n_live() > 0, "the control: a running camera has live tracks");
    page.click("camera-stop");
    page.browser.wait_for("the camera to be released", || (n_live() == 0).then_some(()));
    page.close(&[]);
}
