//! CLIP ViTs of published shapes as Hugging Face lays them out, for tests of everything between a download and an answer.
//!
//! Invariant: the weights are `models::synthetic`'s, under the names and in the layout of `CLIPModel.save_pretrained`.

use cliplet::models::config::{Text, Transformer, Vision};
use cliplet::models::{Checkpoint, Config};
use cliplet::tensor::{Format, Tensor};
use cliplet::weights::safetensors::RawTensor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Words to ids below 600: 598 starts a text, 599 ends it.
pub const TOKENIZER: &str = include_str!("../fixtures/tokenizer/words.json");

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
