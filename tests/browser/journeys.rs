//! What a person does with the page, from an empty one to a right answer.

use crate::everyday::in_each_state;
use crate::page::{Line, Page, file, film, testid, with};
use crate::server::BROWSERS_OWN_HOSTS;
use crate::webdriver::key;
use serde_json::json;

/// The labels that a newcomer finds name what the sample pictures show.
const SAMPLES: [(&str, &str); 5] = [
    ("cat", "cat"),
    ("coffee", "cup of coffee"),
    ("rocket", "rocket"),
    ("astronaut", "astronaut"),
    ("flower", "flower"),
];

fn assert_probabilities(lines: &[Line]) {
    let sum: f64 = lines.iter().map(|line| line.percent).sum();
    assert!((sum - 100.0).abs() <= 1.0, "the percentages add up to {sum}: {lines:?}");
    assert!(lines.windows(2).all(|pair| pair[0].percent >= pair[1].percent), "not best first: {lines:?}");
}

#[test]
fn a_dropped_photo_and_typed_labels_put_the_right_label_first() {
    let page = Page::ready();
    let photo = std::fs::read(file("static/samples/astronaut.jpg")).expect("a sample");
    page.drop_file("my photo.jpg", "image/jpeg", &photo);
    page.set_labels(&["bowl of soup", "astronaut", "steam train", "grand piano"]);
    let lines = page.wait_winner("astronaut");
    assert_probabilities(&lines);
    let mut labels: Vec<&str> =
        lines.iter().filter(|line| !line.is_none).map(|line| line.label.as_str()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["astronaut", "bowl of soup", "grand piano", "steam train"]);
    assert_eq!(page.text("winner").as_deref(), Some("astronaut"));
    page.close(&[]);
}

#[test]
fn a_chosen_file_is_ranked_and_the_next_one_replaces_it() {
    let page = Page::ready();
    page.choose("static/samples/rocket.jpg");
    page.wait_winner("rocket");
    page.choose("static/samples/flower.jpg");
    assert_probabilities(&page.wait_winner("flower"));
    page.close(&[]);
}

#[test]
fn each_sample_picture_leads_to_its_label() {
    let page = Page::ready();
    for (sample, label) in SAMPLES {
        page.click(&format!("sample-{sample}"));
        assert_probabilities(&page.wait_winner(label));
    }
    page.close(&[]);
}

#[test]
fn the_camera_ranks_live_and_is_released() {
    let folder = std::env::temp_dir().join(format!("cliplet-camera-{}", std::process::id()));
    let page = Page::unopened(&[film(&file("static/samples/cat.jpg"), &folder)]);
    page.go("/");
    page.wait_ready();
    page.click("camera-open");
    page.wait_winner("cat");
    // Live: one answer after the other, each to a question of its own, and a rate.
    let script = "return document.querySelector(arguments[0])?.dataset.question ?? null";
    let question = || page.browser.run(script, json!([testid("results")])).as_str().map(str::to_owned);
    let first = question();
    page.browser.wait_for("a second frame's answer", || question().filter(|now| Some(now) != first.as_ref()));
    page.browser.wait_for("a rate", || {
        page.text("live-rate").filter(|text| text.chars().any(|c| c.is_ascii_digit()))
    });
    page.check_accessibility("the camera is live");
    page.browser.keep_screenshot("camera-live");
    assert!(n_live_tracks(&page) > 0, "the control: a running camera has live tracks");

    page.click("camera-stop");
    page.browser.wait_for("the camera to be released", || (n_live_tracks(&page) == 0).then_some(()));
    // A hidden tab lets go of the camera too.
    page.click("camera-open");
    page.browser.wait_for("the camera again", || (n_live_tracks(&page) > 0).then_some(()));
    page.browser.run(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true });
         Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
         document.dispatchEvent(new Event('visibilitychange'));",
        json!([]),
    );
    page.browser
        .wait_for("the camera to be released by a hidden tab", || (n_live_tracks(&page) == 0).then_some(()));
    page.close(&[]);
    std::fs::remove_dir_all(folder).expect("the film goes");
}

fn n_live_tracks(page: &Page) -> u64 {
    let script = "return witness.streams.flatMap((stream) => stream.getTracks())
        .filter((track) => track.readyState === 'live').length";
    page.browser.run(script, json!([])).as_u64().expect("a count")
}

#[test]
fn no_answer_is_shown_beside_labels_that_it_does_not_belong_to() {
    let page = Page::ready();
    page.set_labels(&["cat", "dog"]);
    page.click("sample-cat");
    page.wait_winner("cat");
    // Notes every state of the page in which numbers stand beside other labels than the field's.
    page.browser.run(
        "const [results, result, chip] = arguments;
         window.stale = []; window.nSettled = 0;
         const look = () => {
             const panel = document.querySelector(results);
             if (panel?.dataset.state !== 'settled') return;
             const lines = [...panel.querySelectorAll(result)].filter((line) => line.dataset.none !== 'true');
             const shown = lines.map((line) => line.dataset.label).sort().join('|');
             const wanted = [...document.querySelectorAll(chip)].map((chip) => chip.dataset.label).sort().join('|');
             nSettled += 1;
             if (shown !== wanted) stale.push(`${shown} beside ${wanted}`);
         };
         new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });",
        json!([testid("results"), testid("result"), testid("chip")]),
    );
    let input = page.the("label-input");
    for label in ["rocket", "flower", "bird", "house", "tree", "car"] {
        page.browser.type_into(&input, &format!("{label}{}", key::ENTER));
        if label == "bird" {
            page.click("sample-flower");
        }
    }
    page.wait_winner("flower");
    for n_left in [7, 6] {
        page.click("chip-remove");
        page.browser.wait_for("a chip less", || (page.labels().len() == n_left).then_some(()));
    }
    page.browser.wait_for("the rest ranked", || {
        (page.ranking().iter().filter(|line| !line.is_none).count() == 6).then_some(())
    });
    assert_eq!(page.browser.run("return stale", json!([])), json!([]));
    assert!(page.browser.run("return nSettled", json!([])).as_u64() > Some(0), "the observer saw nothing");
    page.close(&[]);
}

#[test]
fn labels_that_the_model_cannot_read_are_named_and_take_no_part() {
    const RUNES: &str = "\u{16a0}\u{16b1}\u{16c1}";
    let page = Page::ready();
    page.set_labels(&["cat", "dog", RUNES]);
    page.click("sample-cat");
    let lines = page.wait_winner("cat");
    assert!(lines.iter().all(|line| line.label != RUNES), "{lines:?}");
    let said = page.text("unreadable-notice").expect("a sentence");
    assert!(said.contains(RUNES) && said.contains("no part"), "{said}");
    page.check_looks("unreadable");
    // A label alone is judged by itself.
    page.set_labels(&["cat"]);
    page.browser
        .wait_for("a score of its own", || page.text("confidence").filter(|text| text.contains("by itself")));
    assert!(page.text("winner-percent").is_some_and(|percent| percent != "100 %"));
    page.close(&[]);
}

#[test]
fn what_the_model_sees_can_be_looked_at() {
    let page = Page::ready();
    page.choose("static/samples/rocket.jpg");
    page.wait_winner("rocket");
    page.click("sees-open");
    page.browser.find(&with("sees-square", "state", "shown"));
    // The engine's own pixels.
    let drawn = page.browser.run(
        "const canvas = document.querySelector(arguments[0]);
         const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
         return [canvas.width, canvas.height, new Set(pixels).size];",
        json!([testid("sees-picture")]),
    );
    let side = drawn[0].as_u64().expect("a width");
    assert!(side >= 224 && drawn[1] == drawn[0], "{drawn}");
    assert!(drawn[2].as_u64() > Some(50), "an empty square: {drawn}");
    assert_eq!(page.text("sees-size"), Some(format!("{side} × {side} pixels")));
    page.browser
        .wait_for("what was cut off", || page.text("sees-cut").filter(|text| text.contains("It sees")));
    page.check_looks("sees");
    page.browser.press(key::ESCAPE);
    page.browser.wait_for("the dialog to close", || (!page.is_there("sees-square")).then_some(()));
    // The same way from the details.
    page.click("details");
    page.click("sees");
    page.browser.find(&with("sees-square", "state", "shown"));
    page.browser.press(key::ESCAPE);
    page.close(&[]);
}

/// So that such a request in the server's list is Chromium's own.
#[test]
fn no_file_of_the_page_names_the_browsers_own_hosts() {
    let mut n_files = 0;
    for entry in std::fs::read_dir(file("dist")).expect("the page") {
        let path = entry.expect("an entry").path();
        if let Ok(bytes) = std::fs::read(&path) {
            for host in BROWSERS_OWN_HOSTS {
                let is_named = bytes.windows(host.len()).any(|part| part == host.as_bytes());
                assert!(!is_named, "{} names {host}", path.display());
            }
            n_files += 1;
        }
    }
    assert!(n_files >= 6, "only {n_files} files");
}

#[test]
fn a_share_link_carries_labels_and_settings_and_no_picture() {
    let page = Page::ready();
    page.click("sample-cat");
    page.set_labels(&["ein Kater"]);
    page.paste_labels("\"a dog, asleep\"\n100 % cotton");
    page.browser.wait_for("the pasted labels", || (page.labels().len() == 3).then_some(()));
    page.ranking();
    page.click("share");
    let link = page.browser.wait_for("a copied link", || {
        page.browser.run("return witness.copied.at(-1) ?? null", json!([])).as_str().map(str::to_owned)
    });
    assert!(link.starts_with(&page.server.url("/")) && link.len() < 300, "{link}");
    page.close(&[]);

    // Someone else's browser, and another server of the same page.
    let other = Page::unopened(&[]);
    let fragment = &link[link.find('#').expect("labels behind a #, which no server sees")..];
    other.go(&format!("/{fragment}"));
    other.wait_ready();
    assert_eq!(other.labels(), ["ein Kater", "a dog, asleep", "100 % cotton"]);
    assert!(!other.is_there("picture"), "the link brought a picture");
    other.close(&[]);
}

/// A link shows what it brought; what the person made before comes back.
#[test]
fn a_link_overwrites_nothing() {
    let page = Page::ready();
    page.set_labels(&["mine", "my own"]);
    let go = |path: &str| {
        // Another page in between: to an address that differs behind the # only, a browser would not go anew.
        page.browser.open("about:blank");
        page.go(path);
        page.wait_ready();
    };
    go("/#labels=theirs&none=0");
    assert_eq!(page.labels(), ["theirs"]);
    go("/");
    assert_eq!(page.labels(), ["mine", "my own"], "a look at a link changed what was there");
    // After an edit the labels are the person's, and those from before are still at hand, also after a reload.
    go("/#labels=theirs");
    page.browser.type_into(&page.the("label-input"), &format!("more{}", key::ENTER));
    page.browser.wait_until("location.hash === ''");
    page.browser.reload();
    page.wait_ready();
    assert_eq!(page.labels(), ["theirs", "more"]);
    page.click("undo");
    page.browser.wait_for("the own labels", || (page.labels() == ["mine", "my own"]).then_some(()));
    page.close(&[]);
}

#[test]
fn the_whole_journey_by_keyboard() {
    let page = Page::ready();
    page.tab_to("sample-rocket");
    page.browser.press(key::ENTER);
    page.wait_winner("rocket");
    page.tab_to("label-input");
    page.browser.press("teapot");
    page.browser.press(key::ENTER);
    let has_teapot = || page.ranking().iter().any(|line| line.label == "teapot");
    page.browser.wait_for("the new label ranked", || has_teapot().then_some(()));
    // Backspace in the empty field takes the last label back.
    page.browser.press(key::BACKSPACE);
    page.browser.wait_for("the label gone", || (!has_teapot()).then_some(()));
    page.tab_to("details");
    page.browser.press(key::ENTER);
    page.the("dialog-details");
    page.check_accessibility("the details are open");
    page.browser.press(key::ESCAPE);
    page.browser.wait_for("the dialog closed", || {
        let script = "return document.querySelector(arguments[0])?.open ?? false";
        (page.browser.run(script, json!([testid("dialog-details")])) == false).then_some(())
    });
    assert_eq!(page.focused(), "details", "the focus comes back to where it was");
    page.close(&[]);
}

#[test]
fn hostile_labels_stay_text() {
    let page = Page::ready();
    page.click("sample-cat");
    let markup = "<img src=x onerror=alert(1)>";
    let long = "very ".repeat(190) + "long";
    page.set_labels(&[markup, "<|endoftext|>", "{label}", &long, "cat"]);
    let lines = page.wait_winner("cat");
    assert!(lines.iter().any(|line| line.label == markup), "{lines:?}");
    assert!(page.browser.all("img[src=x]").is_empty(), "a label became markup");
    assert!(page.the_text_of_cut_labels().contains("long"), "a label that was cut is not named");
    page.close(&[]);
}

impl Page {
    fn the_text_of_cut_labels(&self) -> String {
        self.the("cut-notice");
        self.text("cut-notice").unwrap_or_default()
    }
}

#[test]
fn scores_can_be_independent() {
    let page = Page::ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    page.click("more");
    page.click("mode-independent");
    let sum = || page.ranking().iter().map(|line| line.percent).sum::<f64>();
    page.browser.wait_for("independent scores", || ((sum() - 100.0).abs() > 1.0).then_some(()));
    assert_eq!(page.ranking().first().map(|line| line.label.clone()).as_deref(), Some("cat"));
    page.close(&[]);
}

/// Looks, for people, and axe-core's rules, for everyone.
#[test]
fn each_state_is_accessible_in_both_themes_and_sizes() {
    let page = Page::ready();
    in_each_state(&page, |state| page.check_looks(state));
    page.close(&[]);
}

#[test]
fn without_webgpu_the_cpu_answers_and_says_so() {
    let page = Page::unopened(&[]);
    page.server.prelude("/worker-boot.js", "delete WorkerNavigator.prototype.gpu;\n");
    page.go("/");
    page.wait_ready();
    let is_cpu = format!("document.querySelector('{}')", with("status", "backend", "CPU"));
    page.browser.wait_until(&is_cpu);
    page.check_accessibility("the CPU takes over");
    page.browser.keep_screenshot("cpu");
    page.click("sample-rocket");
    page.wait_winner("rocket");
    page.close(&[]);
}

/// The time of each stage as the page tells it, printed on both backends: how the README's figures are made.
#[test]
fn the_details_tell_the_time_of_each_stage() {
    for prelude in ["", "delete WorkerNavigator.prototype.gpu;\n"] {
        let page = Page::unopened(&[]);
        page.server.prelude("/worker-boot.js", prelude);
        page.go("/");
        page.wait_ready();
        for (sample, label) in SAMPLES {
            page.click(&format!("sample-{sample}"));
            page.wait_winner(label);
        }
        page.click("details");
        page.the("dialog-details");
        let script = "return [...document.querySelectorAll('[data-stage]')].map(({ dataset }) =>
            [dataset.stage, Number(dataset.millis)])";
        let stages = page.browser.run(script, json!([]));
        let stages: Vec<(String, f64)> = serde_json::from_value(stages).expect("names and times");
        let facts = "const facts = [...document.querySelectorAll('[data-testid=dialog-details] dd')];
            return facts.map((fact) => fact.textContent).find((fact) => fact.includes('cosine'))";
        let self_test = page.browser.run(facts, json!([]));
        assert!(self_test.is_string(), "no self-test is told of");
        println!("{}: {stages:?}; {self_test}", page.text("status").unwrap_or_default());
        assert!(stages.len() >= 3, "{stages:?}");
        assert!(stages.iter().all(|(name, millis)| !name.is_empty() && *millis >= 0.0), "{stages:?}");
        assert!(stages.iter().map(|(_, millis)| millis).sum::<f64>() > 0.0, "{stages:?}");
        page.close(&[]);
    }
}
