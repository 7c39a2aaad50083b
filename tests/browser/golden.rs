//! The golden tensors in the browser: the engine as wasm, on SwiftShader's WebGPU and on its own CPU backend.

use crate::harness::blank_page;
use crate::page::file;
use crate::server::Server;
use crate::webdriver::Browser;
use serde_json::{Value, json};

/// The comparison of one folder; `is_spoilt` first changes 4 KiB in the middle of its weights.
fn report(browser: &Browser, folder: &str, backend: &str, is_spoilt: bool) -> Value {
    let text = browser.run_async(
        "const [folder, backend, isSpoilt] = arguments;
         const engine = await import('/golden-web/golden_web.js');
         await engine.default();
         const bytes = async (path) => {
             const response = await fetch(path);
             if (!response.ok) throw new Error(`${path}: ${response.status}`);
             return new Uint8Array(await response.arrayBuffer());
         };
         const weights = await bytes(`/models/${folder}/model.safetensors`);
         const middle = weights.length >> 1;
         if (isSpoilt) weights.subarray(middle, middle + 4096).fill(0x3f);
         return await engine.verify_on(backend, await bytes(`/models/${folder}/config.json`), weights,
             await bytes(`/models/${folder}/golden.safetensors`));",
        json!([folder, backend, is_spoilt]),
    );
    serde_json::from_str(text.as_str().expect("a report")).expect("a report in JSON")
}

/// A page with the engine's test program and the fixtures in reach.
fn engine_page() -> (Server, Browser) {
    let (server, browser) = blank_page();
    server.mount("/golden-web", file("target/golden-web"));
    (server, browser)
}

/// Every tensor of every folder on one backend.
fn every_golden_tensor(backend: &str) {
    let (_server, browser) = engine_page();
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(file("tests/fixtures/models")).expect("fixtures") {
        let path = entry.expect("an entry").path();
        if path.join("golden.safetensors").is_file() {
            folders.push(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    folders.sort();
    assert!(folders.len() >= 4, "only {folders:?}");
    for folder in &folders {
        let report = report(&browser, folder, backend, false);
        let tensors = report["tensors"].as_array().expect("comparisons");
        let failed: Vec<&Value> = tensors.iter().filter(|tensor| tensor["passed"] != true).collect();
        assert!(failed.is_empty() && report["passed"] == true, "{folder} on {backend}: {failed:#?}");
        assert!(tensors.len() > 1, "{folder}: {} tensors compared", tensors.len());
        println!("{folder} on {}: {} tensors", report["backend"], tensors.len());
    }
}

#[test]
fn every_golden_tensor_on_webgpu() {
    every_golden_tensor("gpu");
}

#[test]
fn every_golden_tensor_on_the_cpu_backend_as_wasm() {
    every_golden_tensor("cpu");
}

/// The browser's own decoders, then our resampling: the tolerances of `tests/native/image.rs`, and 1 of 255 where alpha
/// is laid over white by a canvas.
#[test]
fn every_upload_gives_pillows_crop() {
    let (server, browser) = engine_page();
    server.mount("/uploads", file("tests/fixtures/preprocess"));
    let mut n_cases = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(file("tests/fixtures/preprocess")).expect("fixtures") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.ends_with(".expect.png") || name.ends_with(".md") {
            continue;
        }
        let crop = browser.run_async(
            "const engine = await import('/golden-web/golden_web.js');
             await engine.default();
             const response = await fetch(`/uploads/${arguments[0]}`);
             return Array.from(await engine.crop(await response.blob()));",
            json!([name]),
        );
        let crop: Vec<u8> = serde_json::from_value(crop).expect("bytes");
        let expected = std::fs::read(path.with_extension("expect.png")).expect("the expected crop");
        let expected = cliplet::image::decode(&expected).expect("a picture").rgb;
        assert_eq!(crop.len(), expected.len(), "{name}");
        let differences = || crop.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        let max = differences().max().unwrap_or(0);
        let mean = differences().map(f64::from).sum::<f64>() / crop.len() as f64;
        println!("{name}: max {max}, mean {mean:.3}");
        let is_lossy = name.ends_with(".jpg") || name.contains("lossy");
        if max > if is_lossy { 12 } else { 1 } || mean > 1.0 {
            wrong.push(format!("{name}: max {max}, mean {mean:.3}"));
        }
        n_cases += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(n_cases >= 20, "only {n_cases} uploads found");
}

/// The negative control.
#[test]
fn spoilt_weights_are_noticed() {
    let (_server, browser) = engine_page();
    for backend in ["gpu", "cpu"] {
        let report = report(&browser, "clip-vit-quickgelu", backend, true);
        assert_eq!(report["passed"], false, "{backend}: {report:#}");
    }
}
