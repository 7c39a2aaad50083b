//! `cliplet convert`, `inspect` and `verify` on models as other programs lay them out, and on damaged ones.

use crate::cli::{Scratch, assert_refused, cliplet, fixture, stdout};
use cliplet::cpu::CpuModel;
use cliplet::engine::cosine;
use cliplet::models::{Checkpoint, DualEncoder, Source, Taps, import, load_gguf};
use cliplet::weights::safetensors::{RawTensor, SafetensorsFile};
use cliplet::weights::{Weights, safetensors, sha256_hex};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The Hugging Face model that most tests are about.
const CLIP: &str = "models/clip-vit-quickgelu";

/// Words to ids as the fixture's configuration has them: 598 starts a text, 599 ends it.
pub const TOKENIZER: &str = r###"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                   "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 599], "cls": ["[CLS]", 598]},
    "decoder": null,
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 100,
              "vocab": {"[UNK]": 3, "[CLS]": 598, "[SEP]": 599, "a": 4, "red": 5, "green": 6, "blue": 7, "disc": 8,
                        "photo": 9, "of": 10}}
}"###;

/// A folder with a copy of the model and a tokenizer.
pub fn clip_folder(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture(CLIP).join(file), scratch.0.join(file)).unwrap();
    }
    fs::write(scratch.0.join("tokenizer.json"), TOKENIZER).unwrap();
    scratch
}

/// A safetensors file of these tensors.
pub fn safetensors_of(tensors: &BTreeMap<String, RawTensor>) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, RawTensor { shape, kind, bytes }) in tensors {
        let dtype = format!("{kind:?}").to_uppercase();
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

pub fn tensors_of(file: &Path) -> BTreeMap<String, RawTensor> {
    safetensors::read(&fs::read(file).unwrap()).unwrap().tensors
}

/// The embeddings of a model's golden inputs, pictures' and texts', on the CPU.
fn embeddings(checkpoint: Checkpoint, golden: &SafetensorsFile) -> [Vec<f32>; 2] {
    let (model, params) = DualEncoder::new(checkpoint).unwrap();
    let cpu = CpuModel::new(&params);
    let planes = golden.tensors["pixel_values"].clone().into_tensor("pixel_values").unwrap();
    let [n_images, channels, height, width] = planes.shape[..] else { panic!("{:?}", planes.shape) };
    let values = planes.to_f32();
    let n_pixels = height * width;
    let pixels: Vec<f32> = (0..values.len())
        .map(|i| {
            let (image, rest) = (i / (channels * n_pixels), i % (channels * n_pixels));
            values[image * channels * n_pixels + rest % channels * n_pixels + rest / channels]
        })
        .collect();
    let images = cpu.run(&model.image_graph(n_images, Taps::None).unwrap(), &[&pixels]).unwrap();
    let ids = golden.tensors["input_ids"].to_i64("input_ids").unwrap();
    let ids: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
    let sequences: Vec<Vec<u32>> =
        ids.chunks_exact(golden.tensors["input_ids"].shape[1]).map(<[u32]>::to_vec).collect();
    let batch = model.text_batch(&sequences).unwrap();
    let inputs = model.text_inputs(&batch).unwrap();
    let texts = cpu.run(&model.text_graph(&batch, Taps::None).unwrap(), &[&inputs]).unwrap();
    [images, texts].map(|outputs| outputs.concat())
}

fn golden() -> SafetensorsFile {
    safetensors::read(&fs::read(fixture(CLIP).join("golden.safetensors")).unwrap()).unwrap()
}

/// The smallest cosine of two equally long lists of rows of 32.
fn worst_cosine(a: &[f32], b: &[f32]) -> f64 {
    assert!(!a.is_empty() && a.len() == b.len());
    a.chunks(32).zip(b.chunks(32)).map(|(a, b)| cosine(a, b)).fold(f64::INFINITY, f64::min)
}

fn report(args: &[&str]) -> Value {
    serde_json::from_str(stdout(&cliplet(args, ""))).unwrap()
}

#[test]
fn a_hugging_face_folder_becomes_one_file_in_each_format() {
    let folder = clip_folder("convert-formats");
    let golden = golden();
    let weights = Weights::read(&fs::read(folder.0.join("model.safetensors")).unwrap()).unwrap();
    let config = fs::read(folder.0.join("config.json")).unwrap();
    let source = Source { config: &config, ..Default::default() };
    let exact = embeddings(import(source, &weights).unwrap(), &golden);
    // On random weights of width 48 and 64; trained ones lose less.
    for (quant, min_weights, min_embeds) in [
        ("f32", 1.0, 0.999_999_9),
        ("f16", 0.999_999, 0.999_99),
        ("q8_0", 0.9999, 0.999),
        ("q4_0", 0.99, 0.9),
    ] {
        let output = folder.path(&format!("{quant}.gguf"));
        let src = folder.0.to_str().unwrap();
        let report = report(&["convert", src, "--quant", quant, "-o", &output, "--json"]);
        let bytes = fs::read(&output).unwrap();
        assert_eq!(report["n_bytes"].as_u64(), Some(bytes.len() as u64));
        assert_eq!(report["sha256"], sha256_hex(&bytes));
        let checkpoint = load_gguf(&bytes).unwrap();
        assert_eq!(report["n_tensors"].as_u64(), Some(checkpoint.weights.names().count() as u64));
        let worst = report["formats"][quant]["worst_cosine"].as_f64().unwrap();
        assert!(worst >= min_weights && worst <= 1.0 + 1e-9, "{quant}: {report}");
        let tower = checkpoint.weights.tensor("vision.blocks.0.up.weight").unwrap();
        assert_eq!(tower.format.name(), quant);
        assert_eq!(checkpoint.config.tokenizer.as_ref().unwrap().json, TOKENIZER);
        assert!(checkpoint.config.about.name.contains("convert-formats"));
        let found = embeddings(checkpoint, &golden);
        for (found, exact) in found.iter().zip(&exact) {
            let worst = worst_cosine(found, exact);
            println!("{quant}: worst embedding's cosine {worst:.6}");
            assert!(worst >= min_embeds, "{quant}: {worst}");
        }
        // The self-test that was stored is one that a device passes.
        let ranked = cliplet(
            &[
                "rank",
                fixture("preprocess/png_224x224.png").to_str().unwrap(),
                "red,green",
                "--model",
                &output,
            ]
            .into_iter()
            .chain(["--backend", "cpu", "--json"])
            .collect::<Vec<_>>(),
            "",
        );
        let ranked: Value = serde_json::from_str(stdout(&ranked)).unwrap();
        assert_eq!(ranked["model"]["self_test"]["passed"], true, "{ranked}");
    }
    assert!(fs::read_dir(&folder.0).unwrap().all(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        !name.ends_with(".part")
    }));
}

#[test]
fn our_file_and_clip_cpps_are_converted_again() {
    let folder = clip_folder("convert-again");
    let (first, second) = (folder.path("first.gguf"), folder.path("second.gguf"));
    let src = folder.0.to_str().unwrap();
    stdout(&cliplet(&["convert", src, "--quant", "f32", "-o", &first], ""));
    let report = report(&["convert", &first, "--quant", "q8_0", "-o", &second, "--json"]);
    assert_eq!((&report["has_tokenizer"], &report["has_self_test"]), (&json!(true), &json!(true)));
    let (first, second) = (load_gguf(&fs::read(&first).unwrap()), load_gguf(&fs::read(&second).unwrap()));
    let (first, second) = (first.unwrap().config, second.unwrap().config);
    assert_eq!((&first.vision, &first.about), (&second.vision, &second.about));
    let (first, second) = (first.selftest.unwrap(), second.selftest.unwrap());
    assert_ne!(first.image_embeds, second.image_embeds, "computed anew, on the weights as they are stored");
    assert!(cosine(&first.image_embeds, &second.image_embeds) > 0.99);

    // clip.cpp's has no tokenizer; q8_0 stays q8_0 to the bit.
    let (src, output) = (fixture("gguf-clipcpp/q8_0.gguf"), folder.path("cpp.gguf"));
    let converted = cliplet(&["convert", src.to_str().unwrap(), "--quant", "q8_0", "-o", &output], "");
    assert!(stdout(&converted).contains("worst cosine 1.000000"));
    assert!(String::from_utf8_lossy(&converted.stderr).contains("--tokenizer"));
    let exact = load_gguf(&fs::read(src).unwrap()).unwrap().weights;
    let found = load_gguf(&fs::read(&output).unwrap()).unwrap().weights;
    let name = "vision.blocks.0.qkv.weight";
    assert_eq!(found.tensor(name).unwrap(), exact.tensor(name).unwrap());
    // With one, and without the check.
    fs::write(folder.path("words.json"), TOKENIZER).unwrap();
    let args =
        ["convert", src_of("q4_0").as_str(), "--quant", "f16", "-o", &output, "--no-self-test", "--json"]
            .map(str::to_owned);
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let words = folder.path("words.json");
    args.extend(["--tokenizer", &words]);
    let report = self::report(&args);
    assert_eq!((&report["has_tokenizer"], &report["has_self_test"]), (&json!(true), &json!(false)));
}

fn src_of(format: &str) -> String {
    fixture(&format!("gguf-clipcpp/{format}.gguf")).to_str().unwrap().to_owned()
}

#[test]
fn a_source_is_not_overwritten_and_a_failure_leaves_nothing() {
    let folder = clip_folder("convert-overwrite");
    let model = folder.path("model.gguf");
    let src = folder.0.to_str().unwrap();
    stdout(&cliplet(&["convert", src, "--quant", "f16", "-o", &model], ""));
    let before = fs::read(&model).unwrap();
    let other_name = folder.0.join("../").join(folder.0.file_name().unwrap()).join("model.gguf");
    for output in [model.as_str(), other_name.to_str().unwrap()] {
        assert_refused(&cliplet(&["convert", &model, "--quant", "q8_0", "-o", output], ""), "being read");
    }
    assert_eq!(fs::read(&model).unwrap(), before);
    // What stood there stays when a conversion fails halfway.
    fs::remove_file(&model).unwrap();
    let output = folder.path("kept.gguf");
    fs::write(&output, "kept").unwrap();
    let mut tensors = tensors_of(&folder.0.join("model.safetensors"));
    tensors.remove("visual_projection.weight");
    fs::write(folder.path("model.safetensors"), safetensors_of(&tensors)).unwrap();
    let refused = cliplet(&["convert", src, "--quant", "q8_0", "-o", &output], "");
    assert_refused(&refused, "`visual_projection.weight`");
    assert_eq!(fs::read(&output).unwrap(), b"kept");
    let left = fs::read_dir(&folder.0).unwrap().count();
    assert_eq!(left, 4, "config, weights, tokenizer and what was kept");
    let nowhere = folder.path("no/such/folder/x.gguf");
    assert_refused(&cliplet(&["convert", src, "--quant", "q8_0", "-o", &nowhere], ""), "no/such/folder");
}

/// Distributes a folder's weights over two shards by an index; returns what the shards hold.
fn shard(folder: &Scratch) -> [BTreeMap<String, RawTensor>; 2] {
    let tensors = tensors_of(&folder.0.join("model.safetensors"));
    fs::remove_file(folder.0.join("model.safetensors")).unwrap();
    let (text, vision) = tensors.into_iter().partition(|(name, _)| name.starts_with("text"));
    let shards: [BTreeMap<String, RawTensor>; 2] = [text, vision];
    write_shards(folder, &shards, &index_of(&shards));
    shards
}

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

fn index_of(shards: &[BTreeMap<String, RawTensor>; 2]) -> Value {
    let rows = shards.iter().zip(SHARDS).flat_map(|(shard, file)| shard.keys().map(move |name| (name, file)));
    let map: serde_json::Map<String, Value> = rows.map(|(name, file)| (name.clone(), file.into())).collect();
    json!({"metadata": {"total_size": 1}, "weight_map": map})
}

fn write_shards(folder: &Scratch, shards: &[BTreeMap<String, RawTensor>; 2], index: &Value) {
    for (shard, file) in shards.iter().zip(SHARDS) {
        fs::write(folder.0.join(file), safetensors_of(shard)).unwrap();
    }
    fs::write(folder.0.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn shards_are_one_model() {
    let folder = clip_folder("shards");
    let (whole, sharded) = (folder.path("whole.gguf"), folder.path("sharded.gguf"));
    let src = folder.0.to_str().unwrap();
    stdout(&cliplet(&["convert", src, "--quant", "q8_0", "-o", &whole], ""));
    let shards = shard(&folder);
    stdout(&cliplet(&["convert", src, "--quant", "q8_0", "-o", &sharded], ""));
    assert!(
        fs::read(&whole).unwrap() == fs::read(&sharded).unwrap(),
        "the same file from one part and from two"
    );
    let index = folder.path("model.safetensors.index.json");
    for path in [src, &index] {
        let report = report(&["inspect", path, "--json"]);
        let n_tensors: usize = shards.iter().map(BTreeMap::len).sum();
        assert_eq!(report["tensors"].as_array().unwrap().len(), n_tensors);
        assert_eq!(report["files"].as_array().unwrap().len(), 2);
        assert_eq!(report["files"][0]["sha256"], sha256_hex(&safetensors_of(&shards[0])));
    }
    let image = fixture("preprocess/png_224x224.png");
    let ranked = cliplet(&["rank", image.to_str().unwrap(), "a,red", "--model", src, "--backend", "cpu"], "");
    assert_eq!(stdout(&ranked).lines().count(), 2);
    fs::copy(fixture(CLIP).join("golden.safetensors"), folder.0.join("golden.safetensors")).unwrap();
    let verified = cliplet(&["verify", src, "--backend", "cpu"], "");
    assert!(stdout(&verified).contains("all tensors agree"));
}

#[test]
fn shards_that_do_not_belong_together_are_told_apart() {
    let folder = clip_folder("shards-bad");
    let shards = shard(&folder);
    let src = folder.0.to_str().unwrap();
    let refused = |what: &[&str]| {
        let output = folder.path("x.gguf");
        for args in [vec!["convert", src, "--quant", "f16", "-o", &output], vec!["inspect", src]] {
            let output = cliplet(&args, "");
            what.iter().for_each(|what| assert_refused(&output, what));
        }
    };
    let good = index_of(&shards);
    let tensor = "text_model.final_layer_norm.bias";

    // In the index, in no file.
    let mut index = good.clone();
    index["weight_map"]["text_model.extra"] = SHARDS[0].into();
    write_shards(&folder, &shards, &index);
    refused(&["`text_model.extra`", SHARDS[0], "index.json"]);
    // In another file than the index says.
    let mut index = good.clone();
    index["weight_map"][tensor] = SHARDS[1].into();
    write_shards(&folder, &shards, &index);
    refused(&[tensor, SHARDS[1], "holds no tensor"]);
    // In both.
    let mut twice = shards.clone();
    twice[1].insert(tensor.to_owned(), shards[0][tensor].clone());
    write_shards(&folder, &twice, &good);
    refused(&[tensor, "two files", SHARDS[0], SHARDS[1]]);
    // Out of the folder.
    let mut index = good.clone();
    index["weight_map"][tensor] = "../model.safetensors".into();
    write_shards(&folder, &shards, &index);
    refused(&[tensor, "\"../model.safetensors\""]);
    // No index, an empty one.
    for (text, what) in
        [("<html>", "weight_map"), (r#"{"weight_map": {}}"#, "no tensors"), ("{}", "weight_map")]
    {
        fs::write(folder.0.join("model.safetensors.index.json"), text).unwrap();
        refused(&[what, "index.json"]);
    }
    // A shard that is cut, a page in its place, none.
    write_shards(&folder, &shards, &good);
    let second = folder.0.join(SHARDS[1]);
    let whole = fs::read(&second).unwrap();
    for (bytes, what) in [
        (&whole[..whole.len() - 1], "incomplete or damaged"),
        (&whole[..100], "too few"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"", "an empty file"),
    ] {
        fs::write(&second, bytes).unwrap();
        refused(&[what, SHARDS[1]]);
    }
    fs::remove_file(&second).unwrap();
    refused(&[SHARDS[1], "index.json", &format!("{} tensors", shards[1].len())]);
}
