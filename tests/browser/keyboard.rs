//! Every control by keyboard alone: what there is to press is found in the page, so that a control of tomorrow is held too.
//!
//! Invariant: a control counts that a pointer could press: shown, enabled, and not behind a dialog.

use crate::page::{Page, testid};
use crate::webdriver::key;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `controls()` gives what can be pressed, each with a name that is the same after a reload; `watch()` and `changes()` tell
/// what a press has done: to the page, or through it to the browser.
const TOOLS: &str = "
    const PRESSED = 'button, a[href], input, select, textarea, summary, [tabindex=\"0\"]';
    const reach = () => [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;
    const isShown = (element) => element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })
        && !element.disabled && !element.closest('[aria-hidden=true], [inert]');
    const ownName = (element) => {
        const { dataset, id } = element;
        const around = element.closest('[data-label], [data-id], [data-name]')?.dataset ?? {};
        return [dataset.testid ?? id ?? '', around.label ?? around.id ?? around.name ?? '', element.type ?? '', element.value ?? '']
            .join('|') + (dataset.testid || id ? '' : element.outerHTML.slice(0, 80));
    };
    const KINDS = ['outline', 'boxShadow', 'borderColor', 'backgroundColor', 'color', 'textDecorationLine'];
    /** How a control and what is around it look: a field may show its focus by its frame. */
    window.lookOf = (element) => {
        const around = [element, element.parentElement, element.parentElement?.parentElement, element.parentElement?.parentElement?.parentElement];
        return around.filter(Boolean).map((one) => KINDS.map((kind) => getComputedStyle(one)[kind]).join()).join(';');
    };
    window.controls = () => [...reach().querySelectorAll(PRESSED)].filter(isShown);
    window.nameOf = (element) => (element === document.body ? 'BODY' : ownName(element));
    window.watch = () => {
        window.n_changes = 0;
        new MutationObserver((changes) => { n_changes += changes.length; })
            .observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
        for (const type of [HTMLInputElement, HTMLAnchorElement]) {
            const click = type.prototype.click;
            type.prototype.click = function () { n_changes += 1; if (type === HTMLAnchorElement) click.call(this); };
        }
        HTMLInputElement.prototype.showPicker = () => { n_changes += 1; };
    };";

/// The names of all controls of a state, and the one that has the focus.
fn controls(page: &Page) -> BTreeSet<String> {
    let names = page.browser.run("return controls().map(nameOf)", json!([]));
    names.as_array().expect("a list").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A state of the page, and what leads to it.
type State = (&'static str, fn(&Page));

const STATES: [State; 6] = [
    ("nothing on the stage", |_| {}),
    ("a settled ranking", |page| {
        page.click("sample-cat");
        page.wait_winner("cat");
    }),
    ("how labels are compared", |page| {
        page.click("more");
        page.the("mode-softmax");
    }),
    ("details", |page| {
        page.click("sample-cat");
        page.wait_winner("cat");
        page.click("details");
        page.the("copy-table");
    }),
    ("models", |page| {
        page.click("status");
        page.browser.find(&testid("model-download"));
    }),
    ("shortcuts", |page| page.click("shortcuts")),
];

fn in_state(page: &Page, stored: &Value, enter: fn(&Page)) {
    let set = "localStorage.clear(); sessionStorage.clear(); localStorage.setItem('cliplet.settings', arguments[0])";
    page.browser.run(set, json!([stored]));
    page.go("/");
    page.wait_ready();
    enter(page);
    page.browser.run(TOOLS, json!([]));
}

/// The page, and what it stores of a reader who has seen it once. On the processor, which is ready sooner: the page is loaded
/// anew for every press.
fn page() -> (Page, Value) {
    let page = Page::unopened(&[]);
    page.server.prelude("/worker-boot.js", "delete WorkerNavigator.prototype.gpu;\n");
    page.go("/");
    page.wait_ready();
    let stored = "return localStorage.getItem('cliplet.settings')";
    let stored = page.browser.wait_for("the settings of a page that told its facts", || {
        Some(page.browser.run(stored, json!([])))
            .filter(|text| text.as_str().is_some_and(|text| text.contains("told\":[\"")))
    });
    (page, stored)
}

#[test]
fn tab_and_arrows_reach_every_control_and_the_focus_shows() {
    let (page, stored) = page();
    for (state, enter) in STATES {
        in_state(&page, &stored, enter);
        let all = controls(&page);
        assert!(all.len() > 1, "{state}: {all:?}");
        // Where a list or a set of radio buttons is one stop, arrows go on in it.
        let stops = "return controls().filter((control) => control.tabIndex >= 0
            && (control.type !== 'radio' || control.checked)).map(nameOf)";
        let stops = page.browser.run(stops, json!([]));
        let stops: BTreeSet<&str> =
            stops.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let mut reached = BTreeSet::new();
        // A dialog begins with the focus on one of its controls: its look is learned once the focus is elsewhere.
        let learn = "document.activeElement?.blur(); document.getAnimations().forEach((animation) => animation.finish());
            window.looks = new Map(controls().map((control) => [control, lookOf(control)]))";
        page.browser.run(learn, json!([]));
        let seen = "const focused = document.activeElement;
            focused.getAnimations({ subtree: true }).forEach((animation) => animation.finish());
            document.getAnimations().forEach((animation) => animation.finish());
            return [nameOf(focused), lookOf(focused) !== looks.get(focused)]";
        for _ in 0..3 * stops.len() {
            page.browser.press(key::TAB);
            let focused = page.browser.run(seen, json!([]));
            let name = focused[0].as_str().expect("a name").to_owned();
            if name != "BODY" {
                assert_eq!(focused[1], true, "{state}: the focus on {name} cannot be seen");
            }
            reached.insert(name);
            if stops.iter().all(|stop| reached.contains(*stop)) {
                break;
            }
        }
        let missed: Vec<_> = stops.iter().filter(|stop| !reached.contains(**stop)).collect();
        assert!(missed.is_empty(), "{state}: Tab does not reach {missed:?}; it reaches {reached:?}");
        let by_arrows =
            "const missed = new Set(controls().filter((control) => control.tabIndex < 0).map(nameOf));
            return [...missed]";
        let rest = page.browser.run(by_arrows, json!([]));
        for name in rest.as_array().expect("a list").iter().filter_map(Value::as_str) {
            assert!(
                ARROWS.iter().any(|start| name.starts_with(start)),
                "{state}: neither Tab nor, as far as this test knows, arrows reach {name}"
            );
        }
    }
    page.close(&[]);
}

/// What arrow keys reach from the one stop of its list, which `journeys` and `input` hold.
const ARROWS: [&str; 5] = ["chip-", "result|", "lines|", "models-", "tray-"];

#[test]
fn every_button_does_something_by_enter_and_leaves_the_focus_somewhere() {
    let (page, stored) = page();
    let mut pressed = BTreeSet::new();
    for (state, enter) in STATES {
        in_state(&page, &stored, enter);
        let buttons = "return controls().filter((control) => control.matches('button:not([aria-pressed=true]), summary') && control.tabIndex >= 0).map(nameOf)";
        let names = page.browser.run(buttons, json!([]));
        for name in names.as_array().expect("a list").iter().filter_map(Value::as_str) {
            // What is the same in every state is pressed once; what is chosen already is left out. The first preset's labels are those that the page begins with.
            if !pressed.insert(name.to_owned()) || name.starts_with("preset-0") {
                continue;
            }
            in_state(&page, &stored, enter);
            let focus = "watch();
                const control = controls().find((control) => nameOf(control) === arguments[0]);
                control?.focus();
                n_changes = 0;
                return document.activeElement === control";
            assert_eq!(page.browser.run(focus, json!([name])), true, "{state}: {name} takes no focus");
            page.browser.press(key::ENTER);
            page.browser
                .wait_for(&format!("something to happen by {name}, in the state “{state}”"), || {
                    page.browser.run("return n_changes > 0", json!([])).as_bool()?.then_some(())
                });
            page.browser.wait_for(&format!("a focus after {name}, in the state “{state}”"), || {
                (page.focused() != "BODY").then_some(())
            });
        }
    }
    assert!(pressed.len() > 40, "{}: {pressed:?}", pressed.len());
    // Not closed as other journeys are: "Download" has asked another host, as it should.
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
    page.browser.press(key::ENTER);
    page.browser.wait_for("the notice to go", || (!page.is_there("notice")).then_some(()));
    page.browser.wait_for("the focus in the dialog", || (page.focused() != "BODY").then_some(()));
    // Out of the dialog, where the next one comes.
    page.browser.press(key::ESCAPE);
    page.click("preset-1");
    page.browser.find(&format!(".side {}", testid("notice")));
    page.close(&[]);
}
