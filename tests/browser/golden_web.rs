//! The golden comparisons for the browser: the engine as wasm, on the browser's WebGPU and picture decoders. A program of the tests alone; the
//! page does not load it.

use cliplet::cpu::CpuModel;
use cliplet::engine::{BackendChoice, GoldenFiles, verify};
use cliplet::graph::{Activation, Graph, Op, ParamSet};
use cliplet::image::Preprocess;
use cliplet::tensor::{Format, Tensor};
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

/// How far the browser's own product is from a plain one at worst, for weights of each format: 5 rows of 1,056 values by 70
/// outputs, which is more than one piece of a panel and no whole number of panels or tiles. JSON by the formats' names.
#[wasm_bindgen]
pub fn products() -> Result<String, String> {
    const N_ROWS: usize = 7;
    const N_IN: usize = 1056;
    const N_OUT: usize = 70;
    let values = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
    let worst = |format: Format| {
        let x = values(N_ROWS * N_IN, 0.37);
        let tensor = Tensor::from_f32(&[N_OUT, N_IN], &values(N_OUT * N_IN, 0.71), format)
            .map_err(|e| e.to_string())?;
        let weights = tensor.to_f32();
        let (mut graph, mut params) = (Graph::default(), ParamSet::default());
        let input = graph.input(N_ROWS * N_IN);
        let y = graph.slot(N_ROWS * N_OUT);
        graph.ops.push(Op::Linear {
            x: input,
            weight: params.push(tensor),
            bias: None,
            activation: Activation::Identity,
            residual: None,
            activation_after_residual: false,
            y,
            n_rows: N_ROWS,
            n_in: N_IN,
            n_out: N_OUT,
        });
        graph.output("y", y, &[N_ROWS, N_OUT]);
        let outputs = CpuModel::new(&params).run(&graph, &[&x]).map_err(|error| error.to_string())?;
        let plain = |at: usize| {
            let (x, weight) = (&x[at / N_OUT * N_IN..][..N_IN], &weights[at % N_OUT * N_IN..][..N_IN]);
            x.iter().zip(weight).map(|(x, weight)| f64::from(*x) * f64::from(*weight)).sum::<f64>()
        };
        let differences = outputs[0].iter().enumerate().map(|(at, y)| (f64::from(*y) - plain(at)).abs());
        Ok::<_, String>(differences.fold(0.0, f64::max))
    };
    let all = Format::ALL.iter().map(|format| Ok((format.name(), worst(*format)?)));
    let all = all.collect::<Result<std::collections::BTreeMap<_, _>, String>>()?;
    serde_json::to_string(&all).map_err(|error| error.to_string())
}

fn main() {}
