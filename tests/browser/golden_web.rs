//! The golden comparisons for the browser: the engine as wasm, on the browser's WebGPU and picture decoders. A program of the tests alone; the
//! page does not load it.

use cliplet::engine::{BackendChoice, GoldenFiles, verify};
use cliplet::image::Preprocess;
use cliplet::text::Tokenizer;
use cliplet::worker::engine::pictures;
use wasm_bindgen::prelude::wasm_bindgen;

/// Recomputes every golden tensor; the report is JSON, an error is a text.
#[wasm_bindgen]
pub async fn verify_on(
    backend: String,
    config: Vec<u8>,
    weights: Vec<u8>,
    golden: Vec<u8>,
) -> Result<String, String> {
    console_error_panic_hook::set_once();
    let choice = match backend.as_str() {
        "gpu" => BackendChoice::Gpu,
        "cpu" => BackendChoice::Cpu,
        other => return Err(format!("there is no backend {other}")),
    };
    let files = GoldenFiles { config: &config, weights: &weights, golden: &golden };
    let report = verify(files, choice).await.map_err(|error| error.to_string())?;
    serde_json::to_string(&report).map_err(|error| error.to_string())
}

/// The RGB bytes of the 224 × 224 pixels that CLIP sees of a picture's file.
#[wasm_bindgen]
pub async fn crop(file: web_sys::Blob) -> Result<Vec<u8>, String> {
    let pixels = pictures::decode(&file).await.map_err(|error| error.to_string())?;
    Ok(Preprocess::CLIP.crop(&pixels).rgb)
}

/// Token ids of each text, by a `tokenizer.json`; the texts come and the ids go as JSON.
#[wasm_bindgen]
pub fn token_ids(tokenizer: Vec<u8>, texts: Vec<u8>) -> Result<String, String> {
    let tokenizer = Tokenizer::from_json(&tokenizer, 100_000).map_err(|error| error.to_string())?;
    let texts: Vec<String> = serde_json::from_slice(&texts).map_err(|error| error.to_string())?;
    let ids = |text: &String| tokenizer.encode(text).map(|tokens| tokens.ids);
    let all = texts.iter().map(ids).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    serde_json::to_string(&all).map_err(|error| error.to_string())
}

fn main() {}
