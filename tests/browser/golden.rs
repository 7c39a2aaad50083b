//! The golden tensors in the browser: the engine as wasm, on SwiftShader's WebGPU and on its own CPU backend.

use crate::harness::blank_page_in;
use crate::page::file;
use crate::server::Server;
use crate::webdriver::{Browser, Kind};
use cliplet::text::Tokenizer;
use serde_json::{Value, json};
use std::io::Read;
use unicode_general_category::{GeneralCategory, get_general_category};

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
    engine_page_in(Kind::Chromium)
}

pub fn engine_page_in(kind: Kind) -> (Server, Browser) {
    let (server, browser) = blank_page_in(kind);
    server.mount("/golden-web", file("target/golden-web"));
    (server, browser)
}

/// The pixels that CLIP sees of the picture at an address, or why there are none.
pub fn crop_in(browser: &Browser, address: &str) -> Result<Vec<u8>, String> {
    let outcome = browser.run_async(
        "const engine = await import('/golden-web/golden_web.js');
         await engine.default();
         const response = await fetch(arguments[0]);
         if (!response.ok) throw new Error(`${arguments[0]}: ${response.status}`);
         return await engine.crop(await response.blob()).then((crop) => ({ crop: Array.from(crop) }), String);",
        json!([address]),
    );
    match outcome.get("crop") {
        Some(crop) => Ok(serde_json::from_value(crop.clone()).expect("bytes")),
        None => Err(outcome.as_str().expect("a reason").to_owned()),
    }
}

#[test]
fn the_browsers_product_takes_weights_of_every_format() {
    let (_server, browser) = engine_page();
    let script = "const engine = await import('/golden-web/golden_web.js');
        await engine.default();
        return engine.products()";
    let worst = browser.run_async(script, json!([]));
    let worst: std::collections::BTreeMap<String, f64> =
        serde_json::from_str(worst.as_str().expect("a text")).expect("differences");
    assert_eq!(worst.len(), cliplet::tensor::Format::ALL.len());
    // Sums of 1,056 products below 1, in f32.
    assert!(worst.values().all(|difference| *difference < 1e-4), "{worst:?}");
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
        let crop = crop_in(&browser, &format!("/uploads/{name}")).expect("a crop");
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

/// Unicode's tables are the browser's there: they give what the crates' give natively, for every character that both know.
#[test]
fn the_browsers_unicode_gives_the_native_token_ids() {
    let folder = std::env::temp_dir().join(format!("cliplet-tokenizers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (server, browser) = engine_page();
    server.mount("/tokenizers", &folder);

    let cases = |path: &str| -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(file(path)).expect("a fixture")).expect("cases")
    };
    let mut all = cases("tests/fixtures/tokenizer/cases.json");
    all.extend(cases("tests/fixtures/tokenizer/sentencepiece/cases.json"));
    let mut texts: Vec<String> =
        all.iter().map(|case| case["text"].as_str().expect("a text").to_owned()).collect();
    assert_eq!(texts.len(), 460);
    // Then each character beside letters, digits, marks and itself.
    let characters: Vec<char> = ('\0'..'\u{32000}').chain('\u{E0000}'..'\u{E0200}').collect();
    texts.extend(characters.iter().map(|c| format!("a{c}1{c}{c} {c}\u{301}b{c}")));
    std::fs::write(folder.join("texts"), serde_json::to_vec(&texts).expect("plain data")).expect("a file");

    let mut clip = Vec::new();
    let packed = std::fs::File::open(file("tests/fixtures/tokenizer/tokenizer.json.gz")).expect("a fixture");
    flate2::read::GzDecoder::new(packed).read_to_end(&mut clip).expect("a file");
    let known: String =
        ('!'..'\u{3100}').filter(|c| c.is_alphanumeric()).map(|c| format!("{c}\n##{c}\n")).collect();
    let vocab = format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{known}");
    let bert = cliplet::text::vocabulary::bert_tokenizer_json(&vocab, None).expect("a tokenizer");
    let mut tokenizers = vec![("clip", clip), ("bert", bert.into_bytes())];
    for name in ["siglip", "siglip2", "xlm-roberta"] {
        let path = format!("tests/fixtures/tokenizer/sentencepiece/{name}.json");
        tokenizers.push((name, std::fs::read(file(&path)).expect("a fixture")));
    }
    for (name, json) in tokenizers {
        std::fs::write(folder.join(name), &json).expect("a file");
        let ids = browser.run_async(
            "const engine = await import('/golden-web/golden_web.js');
             await engine.default();
             const bytes = async (name) => new Uint8Array(await (await fetch(`/tokenizers/${name}`)).arrayBuffer());
             return engine.token_ids(await bytes(arguments[0]), await bytes('texts'));",
            json!([name]),
        );
        let ids: Vec<Vec<u32>> = serde_json::from_str(ids.as_str().expect("JSON")).expect("ids");
        let native = Tokenizer::from_json(&json, 100_000).expect("a tokenizer");
        let differs = |(text, ids): &(&String, &Vec<u32>)| native.encode(text).expect("ids").ids != **ids;
        let n_distinct = ids.iter().collect::<std::collections::HashSet<_>>().len();
        let others: Vec<&String> = texts.iter().zip(&ids).filter(differs).map(|(text, _)| text).collect();
        println!("{name}: {n_distinct} different answers, {} not the native one", others.len());
        // Newer than the table of categories, or than that of the normalization forms.
        const NEW_FORMS: &str = "\u{1DF6}\u{113C2}\u{1611E}\u{16D67}\u{1E4EC}\u{1E4ED}";
        let is_new =
            |c: char| get_general_category(c) == GeneralCategory::Unassigned || NEW_FORMS.contains(c);
        let known: Vec<&&String> =
            others.iter().filter(|text| !text.chars().nth(1).is_some_and(is_new)).collect();
        assert!(known.is_empty() && others.len() < 1000 && n_distinct > 500, "{name}: {known:?}");
    }
    std::fs::remove_dir_all(folder).expect("a folder");
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
