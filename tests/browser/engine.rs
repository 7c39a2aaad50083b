//! The engine's program by itself, as its worker is spoken to: encodings and rankings as requests of their own, any number
//! of pictures, progress and stopping; and a long list of labels on the page.

use crate::page::Page;
use cliplet::facts::{BackendChoice, Mode};
use cliplet::worker::protocol::{Answer, Encoded, Encoding, Event, ModelRef, Question, Request};
use serde_json::{Value, json};

/// An engine's worker of the test's own, and what it says: text, and the numbers beside it.
const HARNESS: &str = "
    const { engineJs, engineWasm } = document.querySelector('script[data-js]').dataset;
    window.engine = new Worker('worker-boot.js', { name: 'engine' });
    window.told = [];
    engine.postMessage([engineJs, engineWasm]);
    engine.onmessage = ({ data: [text, beside] }) =>
        told.push([text, beside instanceof Float32Array ? [...beside] : null]);
    engine.onerror = (error) => told.push([JSON.stringify({ Crashed: error.message }), null]);";

struct Thread {
    page: Page,
}

impl Thread {
    /// With the page's own model loaded.
    fn ready() -> Thread {
        let thread = Thread { page: Page::ready() };
        thread.page.browser.run(HARNESS, json!([]));
        thread.wait(|event| matches!(event, Event::Hello).then_some(()));
        let backend = BackendChoice::Auto;
        thread.send(&Request::Load { id: 1, model: ModelRef::Starter, backend }, &[]);
        thread.wait(|event| matches!(event, Event::Ready(1, _)).then_some(()));
        thread
    }

    /// Sends a request with files of the page's under these ids.
    fn send(&self, request: &Request, files: &[(u64, &str)]) {
        let text = serde_json::to_string(request).expect("plain data");
        self.page.browser.run_async(
            "const [text, files] = arguments;
             const get = async ([id, file]) => [id, await (await fetch(file)).blob()];
             engine.postMessage([text, await Promise.all(files.map(get))]);",
            json!([text, files]),
        );
    }

    fn told(&self) -> Vec<(Event, Vec<f32>)> {
        let told = self.page.browser.run("return told", json!([]));
        let one = |pair: &Value| {
            let event = serde_json::from_str(pair[0].as_str().expect("a text")).expect("an event");
            (event, serde_json::from_value(pair[1].clone()).unwrap_or_default())
        };
        told.as_array().expect("a list").iter().map(one).collect()
    }

    fn wait<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        self.page.browser.wait_for("the engine", || {
            let told = self.told();
            let crash = told.iter().find(|(event, _)| matches!(event, Event::Crashed(_)));
            assert_eq!(crash, None);
            told.iter().find_map(|(event, _)| wanted(event))
        })
    }

    fn wait_answer(&self, question: u64, picture: u64) -> Answer {
        self.wait(|event| match event {
            Event::Answered(answer) if (answer.id, answer.picture) == (question, picture) => {
                Some(answer.clone())
            }
            _ => None,
        })
    }
}

fn question(id: u64, pictures: &[u64], labels: &[String]) -> Request {
    let (pictures, labels) = (pictures.to_vec(), labels.to_vec());
    Request::Rank(Question {
        id,
        pictures,
        labels,
        templates: Vec::new(),
        mode: Mode::Softmax,
        has_none: false,
    })
}

fn texts(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| label.to_string()).collect()
}

fn many(n: usize) -> Vec<String> {
    (0..n).map(|idx| format!("thing number {idx}")).collect()
}

const CAT: (u64, &str) = (1, "samples/cat.jpg");
const FLOWER: (u64, &str) = (2, "samples/flower.jpg");
const NO_PICTURE: (u64, &str) = (3, "boot.js");

#[test]
fn pictures_and_labels_are_encoded_on_their_own_and_ranked_together() {
    let thread = Thread::ready();
    let labels = texts(&["cat", "flower", "rocket"]);
    let encoding =
        Encoding { id: 10, pictures: vec![1, 3, 2], labels: labels.clone(), templates: Vec::new() };
    thread.send(&Request::Encode(encoding), &[CAT, FLOWER, NO_PICTURE]);
    thread.wait(|event| matches!(event, Event::Encoded { what: Encoded::Labels(_), .. }).then_some(()));
    let told = thread.told();
    let values = |wanted: fn(&Encoded) -> bool| -> Vec<f32> {
        let is_it = |event: &Event| matches!(event, Event::Encoded { id: 10, what } if wanted(what));
        told.iter().find(|(event, _)| is_it(event)).expect("an encoding").1.clone()
    };
    let (cat, flower) =
        (values(|what| *what == Encoded::Picture(1)), values(|what| *what == Encoded::Picture(2)));
    let of_labels = values(|what| matches!(what, Encoded::Labels(_)));
    assert!(!cat.is_empty() && cat.len() == flower.len() && of_labels.len() == 3 * cat.len());
    let failed = |event: &Event| matches!(event, Event::PictureFailed { id: 10, picture: 3, .. });
    assert!(told.iter().any(|(event, _)| failed(event)), "one that is no picture keeps no other back");
    // Nothing has to come again: what was encoded is there.
    thread.send(&question(11, &[1, 2], &labels), &[]);
    let (of_cat, of_flower) = (thread.wait_answer(11, 1), thread.wait_answer(11, 2));
    for (answer, picture, name) in [(&of_cat, &cat, "cat"), (&of_flower, &flower, "flower")] {
        let first = &answer.ranked.labels[0];
        assert_eq!(first.label.as_deref(), Some(name));
        let row = labels.iter().position(|label| label == name).expect("a label");
        let label = &of_labels[row * cat.len()..][..cat.len()];
        let product: f32 = picture.iter().zip(label).map(|(a, b)| a * b).sum();
        assert!((product - first.similarity).abs() < 1e-5, "{product} {}", first.similarity);
        let names: Vec<&str> = answer.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, ["Labels (known)", "Rank"], "nothing was encoded again");
    }
    thread.page.close(&[]);
}

#[test]
fn a_ranking_is_stopped_or_replaced_and_what_was_encoded_is_kept() {
    let thread = Thread::ready();
    let labels = many(200);
    let progress = |wanted: u64| {
        thread.wait(|event| match event {
            Event::LabelProgress { id, done, total } if *id == wanted => Some((*done, *total)),
            _ => None,
        })
    };
    thread.send(&question(20, &[1], &labels), &[CAT]);
    let (first_done, total) = progress(20);
    assert_eq!((first_done, total), (16, 200));
    thread.send(&Request::Cancel { id: 20 }, &[]);
    thread.wait(|event| (*event == Event::Cancelled { id: 20 }).then_some(()));
    // The picture does not come again, and the labels go on where they stopped.
    thread.send(&question(21, &[1], &labels), &[]);
    assert!(progress(21).0 > first_done);
    // A newer one takes its place.
    thread.send(&question(22, &[1], &texts(&["cat", "rocket"])), &[]);
    assert_eq!(thread.wait_answer(22, 1).ranked.labels[0].label.as_deref(), Some("cat"));
    let is_stale = |event: &Event| matches!(event, Event::Answered(answer) if answer.id < 22);
    assert!(!thread.told().iter().any(|(event, _)| is_stale(event)));
    // An encoding makes way for a question and goes on behind it; one that waits can be stopped too.
    let encoding = |id| {
        let labels = many(240);
        Request::Encode(Encoding { id, pictures: Vec::new(), labels, templates: Vec::new() })
    };
    thread.send(&encoding(30), &[]);
    thread.send(&encoding(31), &[]);
    thread.send(&Request::Cancel { id: 31 }, &[]);
    thread.send(&question(32, &[1], &texts(&["cat", "a yellow submarine"])), &[]);
    thread.wait_answer(32, 1);
    thread.wait(|event| matches!(event, Event::Encoded { id: 30, what: Encoded::Labels(_) }).then_some(()));
    let told = thread.told();
    let place = |wanted: &dyn Fn(&Event) -> bool| told.iter().position(|(event, _)| wanted(event));
    let answered = place(&|event| matches!(event, Event::Answered(answer) if answer.id == 32));
    let encoded = place(&|event| matches!(event, Event::Encoded { id: 30, .. }));
    assert!(answered < encoded, "{answered:?} {encoded:?}");
    assert!(place(&|event| *event == Event::Cancelled { id: 31 }).is_some());
    let n_loaded = told.iter().filter(|(event, _)| matches!(event, Event::Ready(..))).count();
    assert_eq!(n_loaded, 1, "the model stayed");
    thread.page.close(&[]);
}

#[test]
fn a_long_list_of_labels_says_how_far_it_is_and_can_be_stopped() {
    let page = Page::ready();
    page.click("sample-cat");
    page.wait_winner("cat");
    page.paste_labels(&many(100).join("\n"));
    page.the("labels-progress");
    page.check_accessibility("many labels are being read");
    let progress = page.text("labels-progress").expect("words");
    assert!(progress.contains("of 107 labels"), "{progress}");
    page.click("labels-cancel");
    assert_eq!(page.alert(), "ranking-cancelled");
    assert!(!page.is_there("labels-progress"));
    page.click("retry");
    // Of a long list only what is in view is drawn; how many there are is said.
    page.ranking();
    assert!(page.text("label-count").is_some_and(|count| count.starts_with("107 ")));
    assert!(!page.is_there("labels-progress") && !page.is_there("alert"));
    // A new picture costs no label.
    page.click("sample-flower");
    page.wait_winner("flower");
    page.click("details");
    let stages = "return [...document.querySelectorAll('[data-stage]')].map((stage) => stage.dataset.stage)";
    let stages = page.browser.run(stages, json!([]));
    assert!(stages.as_array().expect("stages").contains(&json!("Labels (known)")), "{stages}");
    page.close(&[]);
}
