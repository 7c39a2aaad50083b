//! The JavaScript module: the README's example as it stands there, and what it answers to bad input.

use crate::page::file;
use crate::server::Server;
use crate::webdriver::Browser;
use cliplet::engine::{BackendChoice, Engine};
use serde_json::{Value, json};

/// A blank page from which the module, the starter model and the sample pictures are in reach.
fn module_page() -> (Server, Browser) {
    let (server, browser) = crate::harness::blank_page();
    server.mount("/js", file("target/js"));
    server.mount("/models", file("static/models"));
    server.mount("/samples", file("static/samples"));
    (server, browser)
}

/// The README's example, its import turned into one that a test's script can make.
fn example() -> String {
    let readme = std::fs::read_to_string(file("README.md")).expect("the README");
    let (_, rest) = readme.split_once("```js\n").expect("an example in JavaScript");
    let (code, _) = rest.split_once("```").expect("its end");
    let import = "import init, { Cliplet } from \"./cliplet.js\";";
    assert!(code.contains(import), "the example starts with its import");
    code.replace(import, "const { default: init, Cliplet } = await import('/js/cliplet.js');")
}

#[test]
fn the_readmes_example_gives_the_engines_answers() {
    let (_server, browser) = module_page();
    let script = example()
        + "return { ids: Array.from(ids), isCut, similarities: [cat, dog], ranked, info: clip.info };";
    let found = browser.run_async(&script, json!([]));

    let model = std::fs::read(file("static/models/starter.gguf")).expect("the starter model");
    let picture = std::fs::read(file("static/samples/cat.jpg")).expect("a sample");
    let picture = cliplet::image::decode(&picture).expect("a picture");
    let (ids, similarities) = pollster::block_on(async {
        let engine = Engine::load(&model, BackendChoice::Cpu, |_| {}).await.expect("it loads");
        let image = engine.encode_images(&[engine.preprocess(&picture)]).await.expect("an embedding");
        let texts = ["a photo of a cat", "a photo of a dog"];
        let ids = engine.tokenize(texts[0]).expect("tokens").ids;
        let texts = engine.encode_texts(&texts).await.expect("embeddings");
        let dot = |text: &[f32]| -> f32 { text.iter().zip(image[0].values()).map(|(a, b)| a * b).sum() };
        (ids, [dot(texts[0].values()), dot(texts[1].values())])
    });
    assert_eq!(found["ids"], json!(ids));
    assert_eq!(found["isCut"], false);
    for (found, expected) in found["similarities"].as_array().expect("two").iter().zip(similarities) {
        let found = found.as_f64().expect("a number");
        // Two decoders of one JPEG differ by their rounding.
        assert!((found - f64::from(expected)).abs() < 0.02, "{found}, natively {expected}");
    }
    let ranked = found["ranked"].as_array().expect("a list");
    assert_eq!(ranked[0]["label"], "cat", "{ranked:?}");
    assert!(ranked[0]["probability"].as_f64() > Some(0.5), "{ranked:?}");
    assert_eq!(found["info"]["about"]["name"], "Cliplet starter");
}

#[test]
fn bad_input_throws_an_error_with_the_numbers() {
    let (_server, browser) = module_page();
    let script = "const { default: init, Cliplet } = await import('/js/cliplet.js');
        await init();
        const model = new Uint8Array(await (await fetch('/models/starter.gguf')).arrayBuffer());
        const clip = await Cliplet.load(model, 'cpu');
        const photo = await (await fetch('/samples/cat.jpg')).blob();
        const image = await clip.encodeImage(await clip.preprocess(photo));
        const tries = [
            () => Cliplet.load(model.slice(0, 1000)),
            () => Cliplet.load(model, 'abacus'),
            () => clip.preprocess(new Blob(['no picture'])),
            () => clip.encodeImage(new Float32Array(7)),
            () => clip.rank(image, ['cat'], { templates: ['no place'] }),
            () => clip.rank(image, ['cat'], { mood: 'independent' }),
            () => Cliplet.similarity(image, new Float32Array(3)),
        ];
        const errors = [];
        for (const attempt of tries) {
            try { await attempt(); errors.push('none'); }
            catch (error) { errors.push(error instanceof Error ? error.message : `thrown: ${error}`); }
        }
        const ranked = await clip.rank(image, ['cat', 'dog'], { mode: 'independent', none: true });
        return { errors, labels: ranked.map(({ label }) => label) };";
    let found = browser.run_async(script, json!([]));
    let errors: Vec<&str> =
        found["errors"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let parts = ["", "abacus", "no picture that can be read", "found 7", "no place", "mood", "384"];
    assert_eq!(errors.len(), parts.len(), "{errors:?}");
    for (error, part) in errors.iter().zip(parts) {
        assert!(
            *error != "none" && !error.starts_with("thrown") && error.contains(part),
            "{part}: {errors:#?}"
        );
    }
    // After all of that it still answers.
    let labels = found["labels"].as_array().expect("a list");
    // The starter was measured and cannot tell when none of the labels fits, so asking for that line gives none.
    assert_eq!(labels, &[json!("cat"), json!("dog")]);
}
