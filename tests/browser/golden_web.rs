//! The golden comparison for the browser: the engine as wasm, on the browser's WebGPU. A program of the tests alone; the
//! page does not load it.

use cliplet::engine::{BackendChoice, GoldenFiles, verify};
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

fn main() {}
