//! `cliplet convert`, `inspect` and `verify` on models as other programs lay them out, and on damaged ones.

use crate::cli::{Scratch, assert_refused, cliplet, fixture, stdout};
use cliplet::cpu::CpuModel;
use cliplet::engine::cosine;
use cliplet::models::{
    Checkpoint, DualEncoder, ModelFolder, Quantization, Taps, import, load_gguf, save_gguf,
};
use cliplet::tensor::Format;
use cliplet::weights::gguf::Header;
use cliplet::weights::safetensors::{RawTensor, SafetensorsFile};
use cliplet::weights::{Weights, gguf, safetensors, sha256_hex};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The Hugging Face model that most tests are about.
const CLIP: &str = "models/clip-vit-quickgelu";

pub use crate::synthetic::TOKENIZER;
use crate::synthetic::{open_clip_config, open_clip_tensors};

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
    crate::synthetic::safetensors(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))
}

pub fn tensors_of(file: &Path) -> BTreeMap<String, RawTensor> {
    safetensors::read(&fs::read(file).unwrap()).unwrap().tensors
}

/// The embeddings of a model's golden inputs, pictures' and texts', on the CPU.
fn embeddings(checkpoint: Checkpoint, golden: &SafetensorsFile) -> [Vec<f32>; 2] {
    let (model, params) = DualEncoder::new(checkpoint).unwrap();
    let cpu = CpuModel::new(&params);
    [image_embeddings(&model, &cpu, golden), text_embeddings(&model, &cpu, golden)]
}

fn image_embeddings(model: &DualEncoder, cpu: &CpuModel, golden: &SafetensorsFile) -> Vec<f32> {
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
    cpu.run(&model.image_graph(n_images, Taps::None).unwrap(), &[&pixels]).unwrap().concat()
}

fn text_embeddings(model: &DualEncoder, cpu: &CpuModel, golden: &SafetensorsFile) -> Vec<f32> {
    let ids = golden.tensors["input_ids"].to_i64("input_ids").unwrap();
    let ids: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
    let sequences: Vec<Vec<u32>> =
        ids.chunks_exact(golden.tensors["input_ids"].shape[1]).map(<[u32]>::to_vec).collect();
    let batch = model.text_batch(&sequences).unwrap();
    let inputs = model.text_inputs(&batch).unwrap();
    cpu.run(&model.text_graph(&batch, Taps::None).unwrap(), &[&inputs]).unwrap().concat()
}

fn golden() -> SafetensorsFile {
    safetensors::read(&fs::read(fixture(CLIP).join("golden.safetensors")).unwrap()).unwrap()
}

/// The smallest cosine of two equally long lists of rows of `width`.
fn worst_cosine(a: &[f32], b: &[f32], width: usize) -> f64 {
    assert!(!a.is_empty() && a.len() == b.len() && a.len().is_multiple_of(width));
    a.chunks(width).zip(b.chunks(width)).map(|(a, b)| cosine(a, b)).fold(f64::INFINITY, f64::min)
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
    let source = ModelFolder { config: &config, ..Default::default() };
    let exact = embeddings(import(source, &weights).unwrap(), &golden);
    for (quant, min_weights, min_embeds) in [
        ("f32", 1.0, 0.999_999_9),
        ("f16", 0.999_999, 0.999_99),
        ("q8_0", 0.9999, 0.9995),
        ("q4_0", 0.99, 0.985),
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
            let worst = worst_cosine(found, exact, 32);
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

/// The worst embedding's cosine to f32, pictures' and texts', of a fixture's golden inputs stored like this.
fn cost(name: &str, quantization: &Quantization) -> [Option<f64>; 2] {
    let folder = fixture("models").join(name);
    let weights = Weights::read(&fs::read(folder.join("model.safetensors")).unwrap()).unwrap();
    let config = fs::read(folder.join("config.json")).unwrap();
    let golden = safetensors::read(&fs::read(folder.join("golden.safetensors")).unwrap()).unwrap();
    let exact = import(ModelFolder { config: &config, ..Default::default() }, &weights).unwrap();
    let stored = load_gguf(&save_gguf(&exact, quantization).unwrap()).unwrap();
    let [exact, stored] = [exact, stored].map(|checkpoint| {
        let (model, params) = DualEncoder::new(checkpoint).unwrap();
        (CpuModel::new(&params), model)
    });
    let worst = |embeddings: fn(&DualEncoder, &CpuModel, &SafetensorsFile) -> Vec<f32>, width| {
        let [exact, stored] = [&exact, &stored].map(|(cpu, model)| embeddings(model, cpu, &golden));
        worst_cosine(&exact, &stored, width)
    };
    let model = &exact.1;
    [
        model.image_width().ok().map(|width| worst(image_embeddings, width)),
        model.text_width().ok().map(|width| worst(text_embeddings, width)),
    ]
}

/// What each preset costs on models of random weights (trained ones lose less), as a table.
#[test]
fn quantized_embeddings_stay_near() {
    let presets =
        [(Format::F16, 0.999_99), (Format::Q8_0, 0.9995), (Format::Q5_0, 0.99), (Format::Q4_0, 0.985)];
    println!("| worst cosine to f32: pictures, texts | f16 | q8_0 | q5_0 | q4_0 | q4_0 throughout |");
    println!("|---|---|---|---|---|---|");
    for name in [
        "clip-vit-quickgelu",
        "clip-vit-gelu-odd",
        "clip-vit-headdim64",
        "siglip",
        "clip-resnet",
        "efficientnet-lite",
        "bert-text",
        "distilbert-text",
    ] {
        let mut row = format!("| {name} |");
        let mut show = |cosines: [Option<f64>; 2]| {
            let cells =
                cosines.map(|cosine| cosine.map_or("–".to_owned(), |cosine| format!("{cosine:.5}")));
            row += &format!(" {} |", cells.join(", "));
        };
        for (format, least) in presets {
            let cosines = cost(name, &Quantization::preset(format));
            assert!(cosines.iter().flatten().all(|cosine| *cosine >= least), "{name} {format}: {cosines:?}");
            show(cosines);
        }
        show(cost(name, &Quantization::all(Format::Q4_0)));
        println!("{row}");
    }
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

fn import_open_clip(config: &Value, tensors: &BTreeMap<String, RawTensor>) -> Result<Checkpoint, String> {
    let config = config.to_string();
    let weights = Weights::read(&safetensors_of(tensors)).unwrap();
    import(ModelFolder { config: config.as_bytes(), ..Default::default() }, &weights)
        .map_err(|error| error.to_string())
}

#[test]
fn open_clips_names_give_hugging_faces_embeddings() {
    let golden = golden();
    let weights = Weights::read(&fs::read(fixture(CLIP).join("model.safetensors")).unwrap()).unwrap();
    let config = fs::read(fixture(CLIP).join("config.json")).unwrap();
    let theirs = import(ModelFolder { config: &config, ..Default::default() }, &weights).unwrap();
    let tensors = open_clip_tensors();
    let checkpoint = import_open_clip(&open_clip_config(), &tensors).unwrap();
    assert_eq!(checkpoint.weights, theirs.weights, "the same canonical weights, to the bit");
    assert_eq!(checkpoint.config.vision, theirs.config.vision);
    assert_eq!(checkpoint.config.calibration, theirs.config.calibration);
    assert_eq!(checkpoint.config.preprocess.mean, [0.5, 0.4, 0.3]);
    let found = embeddings(checkpoint, &golden);
    for (found, theirs) in found.iter().zip(embeddings(theirs, &golden)) {
        let worst = found.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-6, "{worst}");
    }
    // The configuration without its wrapper, and a text tower that is a module of its own.
    let bare = &open_clip_config()["model_cfg"];
    let is_vision = |name: &String| name.starts_with("visual.") || name == "logit_scale";
    let custom = tensors
        .iter()
        .map(|(name, tensor)| {
            let name = if is_vision(name) { name.clone() } else { format!("text.{name}") };
            (name, tensor.clone())
        })
        .collect();
    let custom = import_open_clip(bare, &custom).unwrap();
    assert_eq!(custom.weights, import_open_clip(bare, &tensors).unwrap().weights);
}

#[test]
fn an_open_clip_folder_is_verified_and_converted() {
    let folder = Scratch::new("open-clip");
    fs::write(folder.path("open_clip_config.json"), open_clip_config().to_string()).unwrap();
    let weights = folder.path("open_clip_model.safetensors");
    fs::write(&weights, safetensors_of(&open_clip_tensors())).unwrap();
    fs::copy(fixture(CLIP).join("golden.safetensors"), folder.path("golden.safetensors")).unwrap();
    let (src, output) = (folder.0.to_str().unwrap(), folder.path("out/model.gguf"));
    let verified = report(&["verify", src, "--backend", "cpu", "--json"]);
    assert_eq!(
        (verified["passed"].as_bool(), verified["tensors"].as_array().unwrap().len()),
        (Some(true), 13)
    );
    fs::create_dir(folder.path("out")).unwrap();
    stdout(&cliplet(&["convert", src, "--quant", "f32", "-o", &output], ""));
    // A folder with the converted file and the goldens, and nothing else.
    fs::copy(folder.path("golden.safetensors"), folder.path("out/golden.safetensors")).unwrap();
    assert!(
        stdout(&cliplet(&["verify", &folder.path("out"), "--backend", "cpu"], ""))
            .contains("all tensors agree")
    );
    // Where both configurations lie side by side, the weights decide.
    fs::copy(fixture(CLIP).join("config.json"), folder.path("config.json")).unwrap();
    stdout(&cliplet(&["convert", &weights, "--quant", "f16", "-o", &output], ""));
    fs::copy(fixture(CLIP).join("model.safetensors"), folder.path("model.safetensors")).unwrap();
    stdout(&cliplet(&["convert", src, "--quant", "f16", "-o", &output], ""));
}

#[test]
fn open_clips_resnet_brings_its_text_tower() {
    let mut tensors: BTreeMap<String, RawTensor> = open_clip_tensors();
    tensors.retain(|name, _| !name.starts_with("visual."));
    let vision = tensors_of(&fixture("models/clip-resnet/model.safetensors"));
    tensors.extend(vision.into_iter().map(|(name, tensor)| (format!("visual.{name}"), tensor)));
    // The image tower's embeddings have 48 values; 48 × 48 leaves the text's as they are.
    let identity = |i: usize| if i / 48 == i % 48 { 1.0f32 } else { 0.0 };
    let projection = tensors.get_mut("text_projection").unwrap();
    projection.shape = vec![48, 48];
    projection.bytes = (0..48 * 48).flat_map(|i| identity(i).to_le_bytes()).collect();
    let mut config = open_clip_config();
    config["model_cfg"]["embed_dim"] = 48.into();
    config["model_cfg"]["vision_cfg"] =
        json!({"image_size": 64, "layers": [1, 2, 1, 1], "width": 16, "patch_size": null, "head_width": 64});
    let folder = Scratch::new("open-clip-resnet");
    fs::write(folder.path("open_clip_config.json"), config.to_string()).unwrap();
    fs::write(folder.path("open_clip_model.safetensors"), safetensors_of(&tensors)).unwrap();
    fs::copy(fixture("models/clip-resnet/golden.safetensors"), folder.path("golden.safetensors")).unwrap();
    let verified = report(&["verify", folder.0.to_str().unwrap(), "--backend", "cpu", "--json"]);
    assert_eq!(
        (verified["passed"].as_bool(), verified["tensors"].as_array().unwrap().len()),
        (Some(true), 2)
    );
    let checkpoint = import_open_clip(&config, &tensors).unwrap();
    let (model, _) = DualEncoder::new(checkpoint).unwrap();
    assert_eq!((model.image_width().unwrap(), model.text_width().unwrap()), (48, 48));
}

#[test]
fn what_would_be_computed_otherwise_is_refused_by_name() {
    let tensors = open_clip_tensors();
    let refused = |pointer: &str, value: Value, what: &[&str]| {
        let mut config = open_clip_config();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value;
        let error = import_open_clip(&config, &tensors).unwrap_err();
        what.iter().for_each(|what| assert!(error.contains(what), "{error}"));
    };
    let supported = ["siglip (SiglipModel)", "open_clip's ViT", "clip.cpp's GGUF", "bert (BertModel)"];
    let timm = [&["vit_base_patch16_siglip_224"][..], &supported].concat();
    refused("/model_cfg/vision_cfg/timm_model_name", "vit_base_patch16_siglip_224".into(), &timm);
    refused("/model_cfg/text_cfg/hf_model_name", "roberta-base".into(), &["roberta-base", "these are: clip"]);
    refused("/model_cfg/vision_cfg/attentional_pool", true.into(), &["vision_cfg.attentional_pool"]);
    refused("/model_cfg/vision_cfg/pool_type", "avg".into(), &["pool_type", "avg"]);
    refused("/model_cfg/text_cfg/no_causal_mask", true.into(), &["text_cfg.no_causal_mask = true"]);
    refused("/preprocess_cfg/resize_mode", "tallest".into(), &["resize_mode", "tallest"]);
    refused("/model_cfg/vision_cfg/layers", "many".into(), &["config.json"]);
    refused("/model_cfg/vision_cfg/layers", 4.into(), &["`visual.transformer.resblocks.3."]);
    let mut config = open_clip_config();
    config["model_cfg"]["vision_cfg"]["pool_type"] = "tok".into();
    config["model_cfg"]["vision_cfg"]["attentional_pool"] = false.into();
    config["model_cfg"]["text_cfg"]["hf_model_name"] = Value::Null;
    assert!(import_open_clip(&config, &tensors).is_ok(), "what changes nothing");

    // From the command line: the file, the architecture, and what there is.
    let folder = clip_folder("unknown");
    let src = folder.0.to_str().unwrap();
    let output = folder.path("x.gguf");
    for (config, what) in [
        (r#"{"model_type": "blip"}"#, "\"blip\""),
        (r#"{"model_type": "clip""#, "config.json"),
        ("<html>", "config.json"),
        ("{}", "\"\""),
    ] {
        fs::write(folder.path("config.json"), config).unwrap();
        let refused = cliplet(&["convert", src, "--quant", "f16", "-o", &output], "");
        assert_refused(&refused, what);
        assert_refused(&refused, src);
    }
    fs::remove_file(folder.path("config.json")).unwrap();
    assert_refused(
        &cliplet(&["convert", src, "--quant", "f16", "-o", &output], ""),
        "config.json is not there",
    );
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    fs::write(folder.path("pytorch_model.bin"), "").unwrap();
    assert_refused(&cliplet(&["convert", src, "--quant", "f16", "-o", &output], ""), "pickle");
    fs::remove_file(folder.path("pytorch_model.bin")).unwrap();
    assert_refused(
        &cliplet(&["convert", src, "--quant", "f16", "-o", &output], ""),
        "no weights that are read here (.safetensors or .gguf)",
    );
}

#[test]
fn a_folder_of_a_gguf_and_goldens_alone_is_verified() {
    let folder = Scratch::new("verify");
    let dir = folder.0.to_str().unwrap();
    let golden = folder.path("golden.safetensors");
    for format in ["q8_0", "q4_1"] {
        fs::copy(src_of(format), folder.path("model.gguf")).unwrap();
        fs::copy(fixture(&format!("gguf-clipcpp/{format}.golden.safetensors")), &golden).unwrap();
        let report = report(&["verify", dir, "--backend", "cpu", "--json"]);
        assert_eq!((&report["passed"], report["tensors"].as_array().unwrap().len()), (&json!(true), 3));
    }
    let verify = || cliplet(&["verify", dir, "--backend", "cpu"], "");
    // Another model's goldens do not agree: the answer is printed, the status is 1.
    fs::copy(fixture("gguf-clipcpp/q4_0.golden.safetensors"), &golden).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("some tensors do not agree"));

    let tensors = tensors_of(Path::new(&golden));
    let changed = |change: &dyn Fn(&mut BTreeMap<String, RawTensor>)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        fs::write(&golden, safetensors_of(&tensors)).unwrap();
        verify()
    };
    // Nothing to compare, a tensor that no model computes, and a golden that is no number: all fail.
    for output in [
        changed(&|tensors| tensors.retain(|name, _| name == "pixel_values")),
        changed(&|tensors| {
            let embeds = tensors["image_embeds"].clone();
            tensors.insert("no_such_tensor".to_owned(), embeds);
        }),
        changed(&|tensors| {
            tensors.get_mut("image_embeds").unwrap().bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }),
    ] {
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains("do not agree"));
    }
    // Inputs that are none of this model's.
    assert_refused(
        &changed(&|tensors| tensors.get_mut("pixel_values").unwrap().shape = vec![3, 3 * 96 * 96]),
        "pixel_values",
    );
    assert_refused(
        &changed(&|tensors| tensors.get_mut("pixel_values").unwrap().shape = vec![9, 1, 96, 96]),
        "[9, 1, 96, 96], the model sees [images, 3, 96, 96]",
    );
    assert_refused(
        &changed(&|tensors| tensors.get_mut("input_ids").unwrap().shape = vec![1, 385]),
        "385 tokens",
    );
    assert_refused(
        &changed(&|tensors| {
            tensors.get_mut("input_ids").unwrap().bytes[..4].copy_from_slice(&9_000_000u32.to_le_bytes())
        }),
        "9000000",
    );
    // Files that are damaged or not there are named.
    let whole = safetensors_of(&tensors);
    for bytes in [&whole[..whole.len() / 2], b"<html>", b""] {
        fs::write(&golden, bytes).unwrap();
        assert_refused(&verify(), &golden);
    }
    fs::remove_file(&golden).unwrap();
    assert_refused(&verify(), &golden);
    fs::write(&golden, &whole).unwrap();
    let model = folder.path("model.gguf");
    let whole = fs::read(&model).unwrap();
    for bytes in [&whole[..whole.len() / 2], &whole[..100], b"GGUF"] {
        fs::write(&model, bytes).unwrap();
        assert_refused(&verify(), dir);
    }
    fs::write(&model, "<html>").unwrap();
    assert_refused(&verify(), "a web page");
    fs::remove_file(&model).unwrap();
    assert_refused(&verify(), "no weights that are read here");
}

#[test]
fn damaged_weights_are_refused_by_name_and_leave_nothing() {
    let folder = clip_folder("damaged");
    let src = folder.0.to_str().unwrap();
    let (weights, output) = (folder.path("model.safetensors"), folder.path("x.gguf"));
    let whole = fs::read(&weights).unwrap();
    let tensors = tensors_of(Path::new(&weights));
    let refused = |what: &[&str]| {
        let start = std::time::Instant::now();
        let refused = cliplet(&["convert", src, "--quant", "q8_0", "-o", &output], "");
        assert!(start.elapsed() < std::time::Duration::from_secs(1), "{:?}", start.elapsed());
        what.iter().for_each(|what| assert_refused(&refused, what));
        let left = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("x.gguf")));
    };
    let header = |json: &str| [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    for (bytes, what) in [
        (whole[..whole.len() / 2].to_vec(), "incomplete or damaged"),
        ([&whole[..], b"tail"].concat(), "incomplete or damaged"),
        (whole[..20].to_vec(), "too few"),
        ([&u64::MAX.to_le_bytes()[..], b"{"].concat(), "too large"),
        ([&(1u64 << 40).to_le_bytes()[..], b"{"].concat(), "too large"),
        (
            header(r#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#),
            "end at byte 43980465111",
        ),
        (header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#), "model.safetensors"),
        (header(r#"{"a":"#), "model.safetensors"),
        (b"<!DOCTYPE html><html>Not Found</html>".to_vec(), "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "a Git LFS pointer"),
        (Vec::new(), "an empty file"),
    ] {
        fs::write(&weights, bytes).unwrap();
        refused(&[what, &weights]);
    }
    let with = |name: &str, change: &dyn Fn(&mut RawTensor)| {
        let mut tensors = tensors.clone();
        change(tensors.get_mut(name).unwrap());
        fs::write(&weights, safetensors_of(&tensors)).unwrap();
    };
    let name = "vision_model.encoder.layers.1.mlp.fc1.weight";
    for value in [f32::NAN, f32::INFINITY] {
        with(name, &|tensor| tensor.bytes[64..68].copy_from_slice(&value.to_le_bytes()));
        refused(&[name, "a NaN or an infinity", src]);
    }
    // Too large for the block's f16 scale; f32 would hold it.
    with(name, &|tensor| tensor.bytes[64..68].copy_from_slice(&1e30f32.to_le_bytes()));
    refused(&["vision.blocks.1.up.weight", "q8_0"]);
    with(name, &|tensor| tensor.shape.reverse());
    refused(&["vision.blocks.1.up.weight", "[64, 256]", "[256, 64]"]);
    with("visual_projection.weight", &|tensor| tensor.shape.reverse());
    refused(&["vision.projection.weight", "[64, 32]", "[64, 64]"]);
    with("text_projection.weight", &|tensor| {
        tensor.shape[0] -= 1;
        tensor.bytes.truncate(31 * 48 * 4);
    });
    refused(&["pictures have 32, texts 31"]);
    fs::write(&weights, &whole).unwrap();
    for (file, bytes, what) in [
        ("preprocessor_config.json", "<html>", "preprocessor_config.json"),
        ("preprocessor_config.json", r#"{"size": 224}"#, "224 pixels, the model sees 32"),
        ("tokenizer.json", "<html>", "tokenizer.json"),
    ] {
        fs::write(folder.path(file), bytes).unwrap();
        refused(&[what]);
        fs::remove_file(folder.path(file)).unwrap();
    }

    // The same of a GGUF: clip.cpp's, cut, lengthened and with a scale that is no number.
    let gguf = fs::read(src_of("q8_0")).unwrap();
    let file = folder.path("cpp.gguf");
    let tensor = "v.blk.0.attn_q.weight";
    let info = Header::parse(&gguf, gguf.len() as u64).unwrap().tensors;
    let at = info.iter().find(|info| info.name == tensor).unwrap().range.start as usize;
    let mut no_number = gguf.clone();
    no_number[at..at + 2].copy_from_slice(&[0xFF, 0x7F]);
    for (bytes, what) in [
        (&gguf[..gguf.len() - 1], "incomplete or damaged"),
        (&gguf[..64], "incomplete or damaged"),
        (&no_number, tensor),
        (b"GGUF\0\0\0\x03", "little-endian"),
    ] {
        fs::write(&file, bytes).unwrap();
        let refused = cliplet(&["convert", &file, "--quant", "q4_0", "-o", &output], "");
        assert_refused(&refused, what);
        assert_refused(&refused, &file);
    }
}

#[test]
fn two_files_of_clip_cpp_become_one_model() {
    let folder = Scratch::new("two-files");
    let whole = gguf::read(&fs::read(src_of("q8_0")).unwrap()).unwrap();
    let half = |side: &str, other: &str, prefixes: [&str; 2]| {
        let mut half = whole.clone();
        half.set(&format!("clip.has_{other}_encoder"), false);
        half.tensors.retain(|name, _| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        let path = folder.path(&format!("{side}.gguf"));
        fs::write(&path, half.to_bytes().unwrap()).unwrap();
        path
    };
    let vision = half("vision", "text", ["v.", "visual_"]);
    let text = half("text", "vision", ["t.", "text_"]);
    let (joined, direct) = (folder.path("joined.gguf"), folder.path("direct.gguf"));
    let quant = ["--quant", "q8_0"];
    let convert = |args: &[&str]| cliplet(&[&["convert"], args, &quant].concat(), "");
    stdout(&convert(&[&vision, "--text", &text, "-o", &joined]));
    stdout(&convert(&[&src_of("q8_0"), "-o", &direct]));
    // Tensors lie in the order in which they came.
    let load = |path: &String| load_gguf(&fs::read(path).unwrap()).unwrap();
    assert!(load(&joined) == load(&direct));
    // One tower is a model of its own; neither of two sources is overwritten.
    let report = report(&[&["convert", &vision, "-o", &joined, "--json"][..], &quant].concat());
    assert_eq!(report["has_tokenizer"], false);
    assert_refused(&convert(&[&vision, "--text", &text, "-o", &text]), "being read");
    // A text tower of another width.
    let other = clip_folder("two-widths");
    let output = folder.path("widths.gguf");
    let refused = convert(&[other.0.to_str().unwrap(), "--text", &text, "-o", &output]);
    assert_refused(&refused, "pictures have 32, texts 128");
    assert!(!Path::new(&output).exists());
}
