//! Folders as other libraries lay them out: sentence-transformers' steps, tokenizers in their older files.

use crate::cli::{Scratch, assert_refused, cliplet, fixture, stdout};
use crate::convert::{clip_folder, safetensors_of};
use cliplet::cpu::CpuModel;
use cliplet::engine::cosine;
use cliplet::models::{DualEncoder, Taps, load_gguf};
use cliplet::text::Tokenizer;
use cliplet::text::vocabulary::{bert_tokenizer_json, clip_tokenizer_json};
use cliplet::weights::safetensors::{self, Kind, RawTensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

/// Width of the text tower, and of the space that the dense layer leads to.
const WIDTHS: [usize; 2] = [72, 32];
const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nphoto\nof\nred\ndisc\n##s\n";

/// `[32, 72]`, any numbers.
fn dense_weight() -> Vec<f32> {
    (0..WIDTHS[0] * WIDTHS[1]).map(|i| (i as f32 * 0.37).sin() * 0.1).collect()
}

/// The layout of `sentence-transformers/clip-ViT-B-32-multilingual-v1`.
fn multilingual_folder(name: &str) -> Scratch {
    let folder = Scratch::new(name);
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture("models/distilbert-text").join(file), folder.0.join(file)).unwrap();
    }
    let module = |idx: usize, path: &str, kind: &str| json!({"idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules = json!([
        module(0, "", "Transformer"),
        module(1, "1_Pooling", "Pooling"),
        module(2, "2_Dense", "Dense")
    ]);
    let bytes = dense_weight().iter().flat_map(|value| value.to_le_bytes()).collect();
    let weight = RawTensor { shape: vec![WIDTHS[1], WIDTHS[0]], kind: Kind::F32, bytes };
    let dense = BTreeMap::from([("linear.weight".to_owned(), weight)]);
    for dir in ["1_Pooling", "2_Dense"] {
        fs::create_dir(folder.0.join(dir)).unwrap();
    }
    for (file, bytes) in [
        ("modules.json", modules.to_string().into_bytes()),
        (
            "1_Pooling/config.json",
            br#"{"word_embedding_dimension": 72, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#.to_vec(),
        ),
        (
            "2_Dense/config.json",
            br#"{"in_features": 72, "out_features": 32, "bias": false,
                "activation_function": "torch.nn.modules.linear.Identity"}"#
                .to_vec(),
        ),
        ("2_Dense/model.safetensors", safetensors_of(&dense)),
        ("vocab.txt", VOCAB.into()),
        ("tokenizer_config.json", br#"{"do_lower_case": false}"#.to_vec()),
    ] {
        fs::write(folder.0.join(file), bytes).unwrap();
    }
    folder
}

#[test]
fn a_multilingual_text_tower_takes_the_place_of_clips() {
    let (vision, text) = (clip_folder("multilingual-vision"), multilingual_folder("multilingual-text"));
    let output = vision.path("out.gguf");
    let report = cliplet(
        &[
            "convert",
            vision.0.to_str().unwrap(),
            "--text",
            text.0.to_str().unwrap(),
            "--quant",
            "f32",
            "-o",
            &output,
            "--json",
        ],
        "",
    );
    let report: Value = serde_json::from_str(stdout(&report)).unwrap();
    assert_eq!((&report["has_tokenizer"], &report["has_self_test"]), (&json!(true), &json!(true)));

    let checkpoint = load_gguf(&fs::read(&output).unwrap()).unwrap();
    let tokenizer = checkpoint.config.tokenizer.clone().unwrap();
    let tokenizer = Tokenizer::from_json(tokenizer.json.as_bytes(), 40).unwrap();
    assert_eq!(tokenizer.encode("a photo of reds").unwrap().ids, [2, 4, 5, 6, 7, 9, 3]);
    assert_eq!(tokenizer.encode("Red").unwrap().ids, [2, 1, 3], "tokenizer_config.json keeps capitals");
    let names: Vec<&str> = checkpoint.weights.names().filter(|name| name.starts_with("text.")).collect();
    assert!(!names.contains(&"text.final_norm.weight"), "nothing is left of CLIP's: {names:?}");

    // Against PyTorch's mean of the tokens, times the layer.
    let golden = fs::read(fixture("models/distilbert-text/golden.safetensors")).unwrap();
    let golden = safetensors::read(&golden).unwrap().tensors;
    let pooled = golden["mean_pooled"].clone().into_tensor("mean_pooled").unwrap().to_f32();
    let ids = golden["input_ids"].to_i64("input_ids").unwrap();
    let mask = golden["attention_mask"].to_i64("attention_mask").unwrap();
    let len = golden["input_ids"].shape[1];
    let sequences: Vec<Vec<u32>> =
        ids.chunks(len).map(|ids| ids.iter().map(|id| *id as u32).collect()).collect();
    let n_keys: Vec<usize> = mask.chunks(len).map(|mask| mask.iter().sum::<i64>() as usize).collect();
    let (model, params) = DualEncoder::new(checkpoint).unwrap();
    let batch = model.padded_text_batch(&sequences, &n_keys).unwrap();
    let graph = model.text_graph(&batch, Taps::None).unwrap();
    let found = CpuModel::new(&params).run(&graph, &[&model.text_inputs(&batch).unwrap()]).unwrap().concat();
    let weight = dense_weight();
    for (pooled, found) in pooled.chunks(WIDTHS[0]).zip(found.chunks(WIDTHS[1])) {
        let row = |row: &[f32]| row.iter().zip(pooled).map(|(w, x)| w * x).sum::<f32>();
        let expected: Vec<f32> = weight.chunks(WIDTHS[0]).map(row).collect();
        let cosine = cosine(&expected, found);
        assert!(cosine >= 0.999_99, "{cosine}");
    }
    assert_eq!(found.len(), sequences.len() * WIDTHS[1]);
}

#[test]
fn steps_that_would_not_be_computed_are_refused_by_name() {
    let folder = multilingual_folder("multilingual-steps");
    let output = folder.path("out.gguf");
    let refused = |file: &str, from: &str, to: &str, what: &str| {
        let path = folder.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let convert = ["convert", folder.0.to_str().unwrap(), "--quant", "q8_0", "-o", &output];
        assert_refused(&cliplet(&convert, ""), what);
        fs::write(&path, text).unwrap();
    };
    refused(
        "1_Pooling/config.json",
        "pooling_mode_mean_tokens\": true",
        "pooling_mode_max_tokens\": true",
        "pooling by",
    );
    refused("2_Dense/config.json", "linear.Identity", "activation.Tanh", "activation.Tanh; only one without");
    refused(
        "modules.json",
        "models.Pooling",
        "models.LSTM",
        "\"sentence_transformers.models.LSTM\" in \"1_Pooling\"",
    );
    refused("modules.json", "2_Dense", "../2_Dense", "no folder beside it");
    refused("modules.json", "[", "<", "modules.json: expected value");
}

#[test]
fn clips_older_files_give_the_tokenizer_that_replaced_them() {
    let packed = fs::read(fixture("tokenizer/tokenizer.json.gz")).unwrap();
    let mut newer = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut newer).unwrap();
    let json: Value = serde_json::from_str(&newer).unwrap();
    let vocab = json["model"]["vocab"].to_string();
    let pair = |pair: &Value| match pair {
        Value::String(pair) => pair.clone(),
        pair => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
    };
    let merges: Vec<String> = json["model"]["merges"].as_array().unwrap().iter().map(pair).collect();
    let merges = format!("#version: 0.2\n{}\n", merges.join("\n"));
    let older = clip_tokenizer_json(&vocab, &merges).unwrap();
    let [newer, older] = [newer, older].map(|json| Tokenizer::from_json(json.as_bytes(), 77).unwrap());
    let cases: Value = serde_json::from_slice(&fs::read(fixture("tokenizer/cases.json")).unwrap()).unwrap();
    let texts: Vec<&str> =
        cases.as_array().unwrap().iter().map(|case| case["text"].as_str().unwrap()).collect();
    assert!(texts.len() >= 420);
    for text in texts {
        assert_eq!(older.encode(text).unwrap(), newer.encode(text).unwrap(), "{text:?}");
    }

    // A folder with them converts like one with the newer file.
    let folder = clip_folder("older-tokenizer");
    fs::remove_file(folder.0.join("tokenizer.json")).unwrap();
    fs::write(folder.0.join("vocab.json"), vocab).unwrap();
    fs::write(folder.0.join("merges.txt"), &merges).unwrap();
    let (src, output) = (folder.0.to_str().unwrap(), folder.path("out.gguf"));
    let convert = ["convert", src, "--quant", "q8_0", "-o", &output, "--no-self-test", "--json"];
    let report: Value = serde_json::from_str(stdout(&cliplet(&convert, ""))).unwrap();
    assert_eq!(report["has_tokenizer"], true);
    fs::write(folder.0.join("vocab.json"), "{\"a\": 0}").unwrap();
    assert_refused(&cliplet(&convert, ""), "vocab.json cannot be used: it lacks <|startoftext|>");
}

#[test]
fn older_tokenizer_files_of_other_models_are_refused() {
    let special = r#"{"<|startoftext|>": 0, "<|endoftext|>": 1}"#;
    for (vocab, merges, what) in [
        ("[]", "", "vocab.json"),
        (special, "a b c", "merges.txt"),
        (special, "ab", "\"ab\" is not two tokens"),
    ] {
        let error = clip_tokenizer_json(vocab, merges).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    for (vocab, config, what) in
        [("a\nb", None, "it lacks [CLS]"), (VOCAB, Some(&b"<html>"[..]), "tokenizer_config.json")]
    {
        let error = bert_tokenizer_json(vocab, config).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let upper = bert_tokenizer_json(&VOCAB.replace('\n', "\r\n"), None).unwrap();
    let tokenizer = Tokenizer::from_json(upper.as_bytes(), 8).unwrap();
    assert_eq!(tokenizer.encode("RED discs").unwrap().ids, [2, 7, 8, 9, 3]);
}

/// The same towers under ChineseCLIPModel's names: CLIP's image tower, BERT's rows of which the first is pooled.
#[test]
fn chinese_clip_gives_its_towers_golden_embeddings() {
    let folder = Scratch::new("chinese-clip");
    let read = |model: &str, file: &str| fs::read(fixture("models").join(model).join(file)).unwrap();
    let json = |model: &str| serde_json::from_slice::<Value>(&read(model, "config.json")).unwrap();
    let tensors = |model: &str, file: &str| safetensors::read(&read(model, file)).unwrap().tensors;
    let clip = json("clip-vit-quickgelu");
    let config = json!({"model_type": "chinese_clip", "projection_dim": 32, "vision_config": clip["vision_config"],
                        "text_config": json("bert-text")});
    let mut all: BTreeMap<String, RawTensor> = tensors("clip-vit-quickgelu", "model.safetensors");
    all.retain(|name, _| !name.starts_with("text_"));
    for (name, tensor) in tensors("bert-text", "model.safetensors") {
        all.insert(format!("text_model.{name}"), tensor);
    }
    let width = 96;
    let projection: Vec<f32> = (0..32 * width).map(|i| (i as f32 * 0.71).cos() * 0.1).collect();
    let bytes = projection.iter().flat_map(|value| value.to_le_bytes()).collect();
    all.insert(
        "text_projection.weight".to_owned(),
        RawTensor { shape: vec![32, width], kind: Kind::F32, bytes },
    );
    fs::write(folder.0.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.0.join("model.safetensors"), safetensors_of(&all)).unwrap();
    fs::write(folder.0.join("vocab.txt"), format!("{VOCAB}一\n张\n红\n的\n照\n片\n")).unwrap();
    let (src, output) = (folder.0.to_str().unwrap(), folder.path("out.gguf"));
    let convert = ["convert", src, "--quant", "f32", "-o", &output, "--json"];
    let report: Value = serde_json::from_str(stdout(&cliplet(&convert, ""))).unwrap();
    assert_eq!((&report["has_tokenizer"], &report["has_self_test"]), (&json!(true), &json!(true)));

    // From the file: the way of pooling is written there.
    let checkpoint = load_gguf(&fs::read(&output).unwrap()).unwrap();
    assert_eq!(checkpoint.config.templates, ["一张{label}的照片"]);
    let tokenizer = checkpoint.config.tokenizer.clone().unwrap();
    let tokenizer = Tokenizer::from_json(tokenizer.json.as_bytes(), 40).unwrap();
    assert_eq!(tokenizer.encode("一张红的照片").unwrap().ids, [2, 10, 11, 12, 13, 14, 15, 3]);
    let (model, params) = DualEncoder::new(checkpoint).unwrap();
    let cpu = CpuModel::new(&params);

    let golden = tensors("bert-text", "golden.safetensors");
    let hidden = golden["last_hidden"].clone().into_tensor("last_hidden").unwrap();
    let len = hidden.shape[1];
    let ids = golden["input_ids"].to_i64("input_ids").unwrap();
    let mask = golden["attention_mask"].to_i64("attention_mask").unwrap();
    // Without the padding, as texts come: the golden's own rows must not depend on it.
    let sequences: Vec<Vec<u32>> = (ids.chunks(len).zip(mask.chunks(len)))
        .map(|(ids, mask)| {
            ids.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id as u32).collect()
        })
        .collect();
    let batch = model.text_batch(&sequences).unwrap();
    let graph = model.text_graph(&batch, Taps::None).unwrap();
    let found = cpu.run(&graph, &[&model.text_inputs(&batch).unwrap()]).unwrap().concat();
    let hidden = hidden.to_f32();
    assert_eq!(found.len(), sequences.len() * 32);
    for (rows, found) in hidden.chunks(len * width).zip(found.chunks(32)) {
        let row = |weights: &[f32]| weights.iter().zip(&rows[..width]).map(|(w, x)| w * x).sum::<f32>();
        let expected: Vec<f32> = projection.chunks(width).map(row).collect();
        let cosine = cosine(&expected, found);
        assert!(cosine >= 0.999_99, "{cosine}");
    }

    // The image tower is CLIP's, to the bit.
    let clip = cliplet::weights::Weights::read(&read("clip-vit-quickgelu", "model.safetensors")).unwrap();
    let source = cliplet::models::ModelFolder {
        config: &read("clip-vit-quickgelu", "config.json"),
        ..Default::default()
    };
    let (twin, twin_params) = DualEncoder::new(cliplet::models::import(source, &clip).unwrap()).unwrap();
    let pixels: Vec<f32> = (0..32 * 32 * 3).map(|i| (i as f32 * 0.1).sin()).collect();
    let embed = |model: &DualEncoder, cpu: &CpuModel| {
        cpu.run(&model.image_graph(1, Taps::None).unwrap(), &[&pixels]).unwrap().concat()
    };
    assert!(embed(&model, &cpu) == embed(&twin, &CpuModel::new(&twin_params)));
}
