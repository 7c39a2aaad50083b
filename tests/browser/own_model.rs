//! A page that was built with a model of its own: `cargo xtask build --model SRC --dist target/own-model-page`.
//!
//! Invariant: it is built by the command that the README names, so that what the command does is what is tested.

use crate::page::{Line, Page, file};
use cliplet::engine::{BackendChoice, Engine};
use cliplet::tasks::classify::{Mode, rank};
use serde_json::Value;

const PAGE: &str = "target/own-model-page";
const LABELS: [&str; 3] = ["red disc", "green disc", "blue disc"];

#[test]
fn a_page_of_its_own_model_ranks_as_the_command_does_with_and_without_a_network() {
    let page = Page::unopened_of(PAGE, &[]);
    page.go("/");
    page.wait_ready();
    assert!(!page.text("status").is_some_and(|badge| badge.contains("starter")));
    page.set_labels(&LABELS);
    page.click("sample-cat");
    let found = page.ranking();

    let manifest = std::fs::read(file(PAGE).join("models/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let model = file(PAGE).join("models").join(manifest["file"].as_str().expect("a name"));
    let bytes = std::fs::read(model).expect("the model");
    let picture = std::fs::read(file("static/samples/cat.jpg")).expect("a sample");
    let picture = cliplet::image::decode(&picture).expect("a picture");
    let expected = pollster::block_on(async {
        let engine = Engine::load(&bytes, BackendChoice::Cpu, |_| {}).await.expect("it loads");
        let image = engine.encode_images(&[engine.preprocess(&picture)]).await.expect("an embedding");
        let prompts = engine.prompts(&[]).expect("templates");
        let texts = engine.embed_labels(&LABELS.map(str::to_owned), &prompts).await.expect("embeddings");
        rank(&image[0], &texts.readable, &engine.calibration(), Mode::Softmax, true)
    });
    assert_eq!(found.len(), expected.labels.len(), "{found:?}");
    for (found, expected) in found.iter().zip(&expected.labels) {
        assert_eq!(Some(&found.label), expected.label.as_ref(), "{expected:?}");
        // Two decoders of one JPEG differ by their rounding.
        let expected = 100.0 * f64::from(expected.probability);
        assert!((found.percent - expected).abs() < 1.0, "{found:?}, natively {expected}");
    }
    // No offer of a real CLIP: this is one. And nothing was fetched from elsewhere, which `close` checks.
    assert!(!page.is_there("offer"));

    page.wait_kept();
    page.server.hang_up();
    page.browser.reload();
    page.wait_ready();
    page.click("sample-cat");
    let names = |lines: &[Line]| lines.iter().map(|line| line.label.clone()).collect::<Vec<_>>();
    assert_eq!(names(&page.ranking()), names(&found), "without a network");
    page.close(&["Failed to load resource", "net::ERR"]);
}
