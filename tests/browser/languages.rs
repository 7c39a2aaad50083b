//! The page in each language that it speaks: chosen by the browser, by the reader, kept, without a network, from right to left.
//!
//! Invariant: what is right in a language is read from its file, so that a better translation breaks no test.

use crate::page::{Page, file, testid};
use crate::server::Fault;
use crate::webdriver::key;
use serde_json::{Map, Value, json};

/// What a reader's browser asks for, and the language that the page then speaks, as its `lang` says it.
const READERS: [(&str, &str, &str); 7] = [
    ("zh-CN", "zh", "zh-Hans"),
    ("es-MX", "es", "es"),
    ("fr-CA", "fr", "fr"),
    ("de-CH", "de", "de"),
    ("ar-EG", "ar", "ar"),
    ("pt-BR,de", "de", "de"),
    ("en-GB,de", "en", "en"),
];

fn sentences(tag: &str) -> Map<String, Value> {
    let text = std::fs::read_to_string(file(&format!("static/locales/{tag}.json"))).expect("a file");
    serde_json::from_str(&text).expect("sentences")
}

/// A reader whose browser asks for these languages.
fn reader(tags: &str) -> Page {
    Page::unopened(&[format!("--accept-lang={tags}")])
}

fn spoken(page: &Page) -> Value {
    let script = "const { lang, dir } = document.documentElement;
        return [lang, dir || 'ltr', document.querySelector('[data-testid=language]')?.value]";
    page.browser.run(script, json!([]))
}

/// Addresses of languages' files that were asked for.
fn asked_for(page: &Page) -> Vec<String> {
    let requests = page.server.requests();
    let mut asked: Vec<String> = requests
        .iter()
        .filter_map(|request| request.target.split_once("locales/").map(|(_, name)| name.to_owned()))
        .collect();
    asked.dedup();
    asked
}

/// English sentences that stand in the page, of which another language has another.
fn english_left(page: &Page, tag: &str) -> Value {
    let (english, own) = (sentences("en"), sentences(tag));
    let differing: Vec<&Value> =
        english.iter().filter(|(key, text)| own.get(*key) != Some(*text)).map(|(_, text)| text).collect();
    let script = "const english = new Set(arguments[0]);
        const said = [];
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
        while (walker.nextNode()) {
            const node = walker.currentNode;
            if (node.nodeType === Node.TEXT_NODE) {
                if (!node.parentElement.closest('noscript, [role=status]')) said.push(node.data.trim());
            } else {
                for (const name of ['title', 'placeholder', 'aria-label', 'aria-description']) said.push(node.getAttribute(name));
            }
        }
        return said.filter((text) => english.has(text))";
    page.browser.run(script, json!([differing]))
}

fn wait_spoken(page: &Page, lang: &str) {
    page.browser.wait_until(&format!("document.documentElement.lang === '{lang}'"));
}

#[test]
fn the_browser_chooses_the_language_and_its_file_alone_is_fetched() {
    for (tags, tag, lang) in READERS {
        let page = reader(tags);
        page.go("/");
        page.wait_ready();
        let direction = if tag == "ar" { "rtl" } else { "ltr" };
        assert_eq!(spoken(&page), json!([lang, direction, tag]), "{tags}");
        let asked = asked_for(&page);
        let expected = if tag == "en" { vec![] } else { vec![format!("{tag}.json")] };
        assert_eq!(asked, expected, "{tags}");
        let sentences = sentences(tag);
        assert_eq!(page.text("privacy").as_deref(), sentences["privacy"].as_str(), "{tags}");
        assert_eq!(page.browser.run("return document.title", json!([])), sentences["title"], "{tags}");
        page.click("sample-cat");
        page.wait_winner("cat");
        if tag != "en" {
            assert_eq!(english_left(&page, tag), json!([]), "{tags}");
        }
        // Figures for programs are the same in every language.
        let percent = page.ranking()[0].percent;
        assert!(percent > 50.0, "{tags}: {percent}");
        if tag == "de" {
            let shown = page.text("winner-percent").expect("a percentage");
            assert!(shown.ends_with("\u{a0}%"), "{tags}: {shown:?}");
        }
        page.close(&[]);
    }
}

#[test]
fn a_language_is_chosen_by_keyboard_kept_and_spoken_without_a_network() {
    let page = reader("en-US");
    page.go("/");
    page.wait_ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    assert_eq!(asked_for(&page), [""; 0]);
    page.tab_to("language");
    page.browser.press("D");
    wait_spoken(&page, "de");
    page.browser.wait_for("German everywhere", || (english_left(&page, "de") == json!([])).then_some(()));
    assert_eq!(page.focused(), "language", "the focus stays");
    assert_eq!(spoken(&page), json!(["de", "ltr", "de"]));
    assert_eq!(asked_for(&page), ["de.json"]);
    assert_eq!(page.ranking()[0].label, "cat", "the answer stays");
    // Dialogs that are opened later, too.
    for dialog in ["details", "shortcuts", "privacy", "status"] {
        page.click(dialog);
        page.browser.find("dialog[open]");
        assert_eq!(english_left(&page, "de"), json!([]), "{dialog}");
        page.browser.press(key::ESCAPE);
        page.browser
            .wait_for("the dialog to close", || page.browser.all("dialog[open]").is_empty().then_some(()));
    }
    page.browser.reload();
    page.wait_ready();
    assert_eq!(spoken(&page), json!(["de", "ltr", "de"]));
    page.wait_kept();
    let kept = "const shell = await caches.open(`cliplet-shell ${new URL('./', location)}`);
        return (await shell.keys()).some(({ url }) => url.endsWith('/locales/de.json'))";
    page.browser
        .wait_for("German to be kept", || page.browser.run_async(kept, json!([])).as_bool()?.then_some(()));
    page.server.hang_up();
    page.browser.reload();
    page.wait_ready();
    assert_eq!(spoken(&page), json!(["de", "ltr", "de"]), "without a network");
    // English needs none.
    page.tab_to("language");
    page.browser.press("E");
    wait_spoken(&page, "en");
    assert_eq!(page.text("privacy").as_deref(), sentences("en")["privacy"].as_str());
}

#[test]
fn a_language_that_cannot_be_had_leaves_the_page_as_it_is() {
    let page = reader("de");
    page.server.misbehave("/locales/de.json", Fault::NotFound);
    page.go("/");
    page.wait_ready();
    assert_eq!(spoken(&page), json!(["en", "ltr", "en"]));
    page.server.misbehave("/locales/fr.json", Fault::Html);
    page.tab_to("language");
    page.browser.press("F");
    page.browser.wait_for("French to be asked for", || {
        asked_for(&page).contains(&"fr.json".to_owned()).then_some(())
    });
    page.browser.wait_for("the choice to show what is spoken", || {
        (spoken(&page) == json!(["en", "ltr", "en"])).then_some(())
    });
    assert!(!page.is_there("alert"));
    // What was chosen is tried again on the next visit.
    page.server.behave();
    page.browser.reload();
    page.wait_ready();
    assert_eq!(spoken(&page), json!(["fr", "ltr", "fr"]));
    page.close(&["locales"]);
}

#[test]
fn a_reader_of_another_language_hears_that_the_starter_reads_english() {
    let page = reader("zh-CN");
    page.go("/");
    page.wait_ready();
    assert_eq!(page.text("reads-english").as_deref(), sentences("zh")["reads-english"].as_str());
    page.close(&[]);
    let page = Page::ready();
    assert!(!page.is_there("reads-english"), "who reads English needs no such word");
    page.close(&[]);
}

#[test]
fn every_language_fits_every_screen() {
    for (tags, tag, _) in &READERS[..5] {
        let page = reader(tags);
        page.go("/");
        page.wait_ready();
        for state in ["empty", "ranked", "details", "models"] {
            match state {
                "ranked" => {
                    page.click("sample-cat");
                    page.wait_winner("cat");
                }
                "details" => page.click("details"),
                "models" => {
                    page.browser.press(key::ESCAPE);
                    page.click("status");
                    page.browser.find(&testid("model-download"));
                }
                _ => {}
            }
            for (width, height) in [(1440, 900), (390, 844), (360, 640)] {
                page.browser.resize(width, height);
                page.browser.keep_screenshot(&format!("language-{tag}-{state}-{width}"));
                let wider = "return [document.documentElement, ...document.querySelectorAll('dialog[open], .side, .foot, .head')]
                    .filter((box) => box.scrollWidth > box.clientWidth).map(({ className, tagName, scrollWidth }) => `${tagName}.${className} ${scrollWidth}`)";
                assert_eq!(page.browser.run(wider, json!([])), json!([]), "{tag}, {state}, {width}");
                page.check_accessibility(&format!("{tag}, {state}, {width}"));
            }
            page.browser.resize(1440, 900);
        }
        page.close(&[]);
    }
}

#[test]
fn from_right_to_left_bars_grow_and_arrows_go_the_other_way() {
    let page = reader("ar");
    page.go("/");
    page.wait_ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    // The bar's filled end touches the side at which a line begins.
    let gaps = "const line = document.querySelector('[data-testid=result]');
        const [whole, filled] = [line.querySelector('.bar'), line.querySelector('.fill')].map((part) => part.getBoundingClientRect());
        return [Math.round(whole.right - filled.right), filled.width < whole.width]";
    assert_eq!(page.browser.run(gaps, json!([])), json!([0, true]));
    let at = "return [...document.querySelectorAll(arguments[0])].indexOf(document.activeElement)";
    let place = || page.browser.run(at, json!([testid("chip-edit")]));
    page.tab_to("chip");
    let first = place().as_i64().expect("a place");
    page.browser.press(if first == 0 { key::LEFT } else { key::RIGHT });
    page.browser.wait_for("the focus to go with the arrow", || {
        (place().as_i64()? == if first == 0 { 1 } else { first - 1 }).then_some(())
    });
    page.close(&[]);
}
