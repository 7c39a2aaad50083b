//! Any configuration and preprocessor settings over the weights of a fixture: its index, `config.json`, and, behind a zero
//! byte, `preprocessor_config.json`.
#![no_main]

mod bounds;
mod towers;

use bounds::{twice, within};
use cliplet::models::{ModelFolder, import};
use cliplet::weights::Weights;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const FIXTURES: [&str; 6] = [
    "efficientnet-lite",
    "distilbert-text",
    "siglip",
    "clip-vit-quickgelu",
    "bert-text",
    "clip-vit-gelu-odd",
];

/// Weights, and the bytes of their file.
static WEIGHTS: LazyLock<Vec<(Weights, usize)>> = LazyLock::new(|| {
    let read = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/models");
        let bytes = std::fs::read(format!("{folder}/{name}/model.safetensors")).expect("a fixture");
        (Weights::read(&bytes).expect("a fixture"), bytes.len())
    };
    FIXTURES.map(read).into()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, text)) = bytes.split_first() else { return };
    let (weights, n_bytes) = &WEIGHTS[usize::from(which) % FIXTURES.len()];
    let mut parts = text.splitn(2, |byte| *byte == 0);
    let config = parts.next().unwrap_or_default();
    let source = ModelFolder { config, tokenizer: None, preprocessor: parts.next() };
    let n_bytes = n_bytes + bytes.len();
    if let Ok(checkpoint) = within(twice(n_bytes), "import", || import(source, weights)) {
        towers::ask(checkpoint, n_bytes);
    }
});
