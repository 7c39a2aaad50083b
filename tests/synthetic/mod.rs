//! CLIP ViTs of published shapes as Hugging Face lays them out, for tests of everything between a download and an answer.
//!
//! Invariant: the weights are `models::synthetic`'s, under the names and in the layout of `CLIPModel.save_pretrained`.

use cliplet::models::config::{Text, Transformer, Vision};
use cliplet::models::{Checkpoint, Config};
use cliplet::tensor::{Format, Tensor};
use cliplet::weights::safetensors::{self, RawTensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Words to ids below 600: 598 starts a text, 599 ends it.
pub const TOKENIZER: &str = include_str!("../fixtures/tokenizer/words.json");

/// The bytes of a fixture.
pub fn fixture(path: &str) -> Vec<u8> {
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    std::fs::read(fixtures.join(path)).expect("a fixture")
}

/// Writes `config.json`, `tokenizer.json` and `model.safetensors` in f32.
pub fn write_hugging_face(mut checkpoint: Checkpoint, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("config.json"), config(&checkpoint.config).to_string())
        .expect("a configuration");
    std::fs::write(folder.join("tokenizer.json"), TOKENIZER).expect("a tokenizer");
    let names: Vec<String> = checkpoint.weights.names().map(str::to_owned).collect();
    let mut tensors = BTreeMap::new();
    for name in names {
        let tensor = checkpoint.weights.take(&name).expect("it is there");
        tensors.extend(renamed(&name, tensor.requantize(Format::F32).expect("values"), &checkpoint.config));
    }
    let scale = Tensor::from_f32(&[], &[100f32.ln()], Format::F32).expect("a number");
    tensors.insert("logit_scale".to_owned(), scale);

    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, Tensor { shape, bytes, .. }) in &tensors {
        let start = end;
        end += bytes.len();
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut file = BufWriter::new(File::create(folder.join("model.safetensors")).expect("a file"));
    file.write_all(&(header.len() as u64).to_le_bytes()).expect("room");
    file.write_all(header.as_bytes()).expect("room");
    tensors.values().for_each(|tensor| file.write_all(&tensor.bytes).expect("room"));
    file.flush().expect("room");
}

/// A safetensors file of these tensors.
pub fn safetensors<'a>(tensors: impl Iterator<Item = (&'a str, &'a RawTensor)>) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, RawTensor { shape, kind, bytes }) in tensors {
        let dtype = format!("{kind:?}").to_uppercase();
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

fn config(config: &Config) -> Value {
    let side = |transformer: &Transformer| {
        json!({"hidden_size": transformer.width, "intermediate_size": transformer.n_hidden,
            "num_hidden_layers": transformer.n_layers, "num_attention_heads": transformer.n_heads,
            "hidden_act": "quick_gelu", "layer_norm_eps": transformer.epsilon})
    };
    let (Some(Vision::ClipVit { image_size, patch_size, transformer: vision }), Some(text)) =
        (&config.vision, &config.text)
    else {
        panic!("a ViT and a text tower: {config:?}");
    };
    let Text::ClipText { context_len, transformer: text, .. } = text else { panic!("CLIP's text tower") };
    let (mut vision, mut text) = (side(vision), side(text));
    (vision["image_size"], vision["patch_size"]) = ((*image_size).into(), (*patch_size).into());
    (text["max_position_embeddings"], text["eos_token_id"]) = ((*context_len).into(), 599.into());
    json!({"model_type": "clip", "vision_config": vision, "text_config": text})
}

/// A canonical tensor as Hugging Face's own.
fn renamed(name: &str, tensor: Tensor, config: &Config) -> Vec<(String, Tensor)> {
    let (side, part) = name.split_once('.').expect("SIDE.PART");
    let one = |name: String| vec![(name, tensor.clone())];
    if let Some((layer, part)) = part.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
        let (part, kind) = part.split_once('.').expect("LAYER.KIND");
        let layer = format!("{side}_model.encoder.layers.{layer}");
        let theirs = match part {
            "qkv" => {
                let shape = [&[tensor.shape[0] / 3], &tensor.shape[1..]].concat();
                let third = tensor.bytes.len() / 3;
                let parts = tensor.bytes.chunks(third).zip(["q_proj", "k_proj", "v_proj"]);
                let part = |(bytes, name): (&[u8], &str)| {
                    let tensor = Tensor::new(&shape, Format::F32, bytes.to_vec()).expect("a third");
                    (format!("{layer}.self_attn.{name}.{kind}"), tensor)
                };
                return parts.map(part).collect();
            }
            "out" => "self_attn.out_proj",
            "norm1" => "layer_norm1",
            "norm2" => "layer_norm2",
            "up" => "mlp.fc1",
            "down" => "mlp.fc2",
            other => panic!("no such layer: {other}"),
        };
        return one(format!("{layer}.{theirs}.{kind}"));
    }
    let theirs = match name {
        "vision.patch.weight" => {
            let Some(Vision::ClipVit { patch_size, .. }) = config.vision else { panic!("a ViT") };
            let (values, n_pixels) = (tensor.to_f32(), patch_size * patch_size);
            let first = |kernel: &[f32]| -> Vec<f32> {
                (0..3)
                    .flat_map(|c| (0..n_pixels).map(move |pixel| pixel * 3 + c))
                    .map(|i| kernel[i])
                    .collect()
            };
            let moved: Vec<f32> = values.chunks_exact(3 * n_pixels).flat_map(first).collect();
            let shape = [tensor.shape[0], 3, patch_size, patch_size];
            let moved = Tensor::from_f32(&shape, &moved, Format::F32).expect("the same values");
            return vec![("vision_model.embeddings.patch_embedding.weight".to_owned(), moved)];
        }
        "vision.class" => "vision_model.embeddings.class_embedding",
        "vision.position" => "vision_model.embeddings.position_embedding.weight",
        "text.token.weight" => "text_model.embeddings.token_embedding.weight",
        "text.position" => "text_model.embeddings.position_embedding.weight",
        "vision.projection.weight" => "visual_projection.weight",
        "text.projection.weight" => "text_projection.weight",
        _ => {
            let (part, kind) = part.split_once('.').expect("NORM.KIND");
            let norm = match part {
                "pre_norm" => "pre_layrnorm", // sic
                "post_norm" => "post_layernorm",
                "final_norm" => "final_layer_norm",
                other => panic!("no such tensor: {other}"),
            };
            return one(format!("{side}_model.{norm}.{kind}"));
        }
    };
    one(theirs.to_owned())
}

/// The Hugging Face fixture under open_clip's names.
pub fn open_clip_tensors() -> BTreeMap<String, RawTensor> {
    let mut theirs =
        safetensors::read(&fixture("models/clip-vit-quickgelu/model.safetensors")).expect("weights").tensors;
    let mut renamed = BTreeMap::new();
    for (side, prefix) in [("vision", "visual."), ("text", "")] {
        for i in 0..3 {
            let from = |part: &str| format!("{side}_model.encoder.layers.{i}.{part}");
            let to = |part: &str| format!("{prefix}transformer.resblocks.{i}.{part}");
            for suffix in ["weight", "bias"] {
                let parts = ["q", "k", "v"].map(|part| {
                    theirs.remove(&from(&format!("self_attn.{part}_proj.{suffix}"))).expect("it is there")
                });
                let mut stacked = parts[0].clone();
                stacked.shape[0] *= 3;
                stacked.bytes = parts.iter().flat_map(|part| part.bytes.clone()).collect();
                renamed.insert(to(&format!("attn.in_proj_{suffix}")), stacked);
                for (ours, open_clips) in [
                    ("self_attn.out_proj", "attn.out_proj"),
                    ("layer_norm1", "ln_1"),
                    ("layer_norm2", "ln_2"),
                    ("mlp.fc1", "mlp.c_fc"),
                    ("mlp.fc2", "mlp.c_proj"),
                ] {
                    let tensor = theirs.remove(&from(&format!("{ours}.{suffix}"))).expect("it is there");
                    renamed.insert(to(&format!("{open_clips}.{suffix}")), tensor);
                }
            }
        }
    }
    for (theirs_name, name) in [
        ("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
        ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
        ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
        ("vision_model.pre_layrnorm.weight", "visual.ln_pre.weight"),
        ("vision_model.pre_layrnorm.bias", "visual.ln_pre.bias"),
        ("vision_model.post_layernorm.weight", "visual.ln_post.weight"),
        ("vision_model.post_layernorm.bias", "visual.ln_post.bias"),
        ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
        ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ("text_model.final_layer_norm.weight", "ln_final.weight"),
        ("text_model.final_layer_norm.bias", "ln_final.bias"),
        ("logit_scale", "logit_scale"),
    ] {
        renamed.insert(name.to_owned(), theirs.remove(theirs_name).expect("it is there"));
    }
    for (theirs_name, name) in
        [("visual_projection.weight", "visual.proj"), ("text_projection.weight", "text_projection")]
    {
        let matrix = theirs.remove(theirs_name).expect("it is there");
        let [n_out, n_in] = matrix.shape[..] else { panic!("{:?}", matrix.shape) };
        let value = |row: usize, col: usize| &matrix.bytes[4 * (row * n_in + col)..][..4];
        let cells = (0..n_in).flat_map(|col| (0..n_out).map(move |row| (row, col)));
        let bytes = cells.flat_map(|(row, col)| value(row, col).to_vec()).collect();
        renamed.insert(name.to_owned(), RawTensor { shape: vec![n_in, n_out], kind: matrix.kind, bytes });
    }
    assert!(theirs.is_empty(), "{:?}", theirs.keys());
    renamed
}

/// The configuration of [`open_clip_tensors`].
pub fn open_clip_config() -> Value {
    json!({
        "model_cfg": {
            "embed_dim": 32,
            "quick_gelu": true,
            "vision_cfg": {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8, "head_width": 16},
            "text_cfg": {"context_length": 20, "vocab_size": 600, "width": 48, "heads": 4, "layers": 3}
        },
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic",
                           "resize_mode": "shortest"}
    })
}
