//! The catalogue's repositories with small weights in place of the real ones, and repositories of other common layouts.
//!
//! What each holds is what the hub's design notes report; files of tokenizers, and anything else that no source states,
//! are assumed and say so.
//!
//! Invariant: ids, pinned commits, file names and architectures are the catalogue's own; sizes and hashes are the small
//! files'.

use super::{Content, Hub};
use crate::synthetic::{TOKENIZER, fixture, open_clip_config, open_clip_tensors, safetensors};
use cliplet::convert::catalogue::Catalogue;
use cliplet::text::vocabulary::clip_tokenizer_json;
use cliplet::weights::safetensors::{self, Kind, RawTensor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Files = Vec<(&'static str, Content)>;

/// What the catalogue's entries lie in, put on `hub`; the catalogue of those small files.
pub fn put_catalogue(hub: &Hub) -> Catalogue {
    let mut catalogue = shipped();
    for entry in &mut catalogue.models {
        let (pinned, main) = layout(&entry.id);
        hub.put(&entry.id, &entry.revision, pinned);
        if let Some(main) = main {
            hub.put(&entry.id, "main", main);
            hub.point(&entry.id, "refs/pr/15", &entry.revision);
        } else {
            // The branch went on: the weights have the same name and are others.
            let (mut later, _) = layout(&entry.id);
            later.iter_mut().filter(|(name, _)| name.ends_with(".safetensors")).for_each(|(_, content)| {
                *content = retouched(&content.bytes()).into();
            });
            hub.put(&entry.id, "main", later);
        }
        for weights in &mut entry.weights {
            let content = Content::from(hub.file(&entry.id, &entry.revision, &weights.file));
            (weights.bytes, weights.sha256) = (content.len(), Some(content.sha256()));
        }
    }
    catalogue
}

/// The list that the page ships.
pub fn shipped() -> Catalogue {
    Catalogue::parse(include_bytes!("../../static/models/catalogue.json")).expect("the list")
}

/// An entry's files: those at its pinned commit, and those on `main` where that is not an earlier or later state of the
/// same.
fn layout(id: &str) -> (Files, Option<Files>) {
    let files = match id {
        // Safetensors stand at the commit of a pull request alone.
        "openai/clip-vit-base-patch32" => {
            let main = [hugging_face_frame(), newer_tokenizer(), older_tokenizer(), pickles()].concat();
            let pinned = [main.clone(), vec![("model.safetensors", clip_weights())]].concat();
            return (pinned, Some(main));
        }
        // Both tokenizers are assumed.
        "openai/clip-vit-large-patch14" => [
            hugging_face_frame(),
            newer_tokenizer(),
            older_tokenizer(),
            pickles(),
            vec![("model.safetensors", clip_weights())],
        ]
        .concat(),
        // timm's image tower beside open_clip's file. That B/16 has `tokenizer.json` is assumed.
        "timm/vit_base_patch16_clip_224.openai" => [
            timm_image_tower("vit_base_patch16_clip_224"),
            open_clip(&open_clip_config(), &open_clip_tensors()),
            newer_tokenizer(),
        ]
        .concat(),
        // Assumed to have the older tokenizer alone, so that one of the list has it.
        "timm/resnet50_clip.openai" => {
            let (config, tensors) = open_clip_resnet();
            [timm_image_tower("resnet50_clip"), open_clip(&config, &tensors), older_tokenizer()].concat()
        }
        // Either file is right; one is pinned. The tokenizers are assumed.
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K" | "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K" => [
            hugging_face_frame(),
            vec![("model.safetensors", clip_weights()), ("pytorch_model.bin", pickle())],
            open_clip(&open_clip_config(), &open_clip_tensors()),
            newer_tokenizer(),
            older_tokenizer(),
        ]
        .concat(),
        "google/siglip-base-patch16-224" => siglip(),
        // Assumed: Hugging Face's layout without pickles.
        "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M" => [
            hugging_face_frame(),
            vec![("model.safetensors", clip_weights())],
            newer_tokenizer(),
            older_tokenizer(),
        ]
        .concat(),
        other => panic!("the tests' hub does not know how {other} is laid out"),
    };
    (files, None)
}

/// What lies beside CLIP's weights in Hugging Face's layout.
fn hugging_face_frame() -> Files {
    vec![
        (".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n".into()),
        ("README.md", "# CLIP\n".into()),
        ("config.json", fixture("models/clip-vit-quickgelu/config.json").into()),
        ("preprocessor_config.json", clip_preprocessor(32).to_string().into()),
        ("special_tokens_map.json", "{}".into()),
        ("tokenizer_config.json", r#"{"do_lower_case": true, "model_max_length": 20}"#.into()),
    ]
}

/// The preprocessing, written as in the oldest of these files.
pub fn clip_preprocessor(side: usize) -> Value {
    json!({"crop_size": side, "do_center_crop": true, "do_normalize": true, "do_resize": true,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": side})
}

pub fn clip_weights() -> Content {
    fixture("models/clip-vit-quickgelu/model.safetensors").into()
}

pub fn clip_config() -> Content {
    fixture("models/clip-vit-quickgelu/config.json").into()
}

fn newer_tokenizer() -> Files {
    let [(_, vocab), (_, merges)] = older_tokenizer_texts();
    vec![("tokenizer.json", clip_tokenizer_json(&vocab, &merges).expect("a tokenizer").into())]
}

fn older_tokenizer() -> Files {
    older_tokenizer_texts().map(|(name, text)| (name, text.into())).into()
}

/// CLIP's `vocab.json` and `merges.txt` in small: bytes, a few words, and both special tokens at the ends of the
/// fixture's 600.
pub fn older_tokenizer_texts() -> [(&'static str, String); 2] {
    // GPT-2's letters for bytes: those that can be printed stand for themselves.
    let is_printed = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let own = (0..256).filter(is_printed);
    let moved = (0..256).filter(|byte| !is_printed(byte)).enumerate().map(|(i, _)| 256 + i as u32);
    let letters: Vec<String> = own.chain(moved).filter_map(char::from_u32).map(String::from).collect();
    let merges = [
        ("c", "a"),
        ("ca", "t</w>"),
        ("d", "o"),
        ("do", "g</w>"),
        ("r", "e"),
        ("re", "d</w>"),
        ("o", "f</w>"),
    ];
    let mut vocab = Map::new();
    let tokens = letters.iter().cloned().chain(letters.iter().map(|letter| format!("{letter}</w>")));
    for token in tokens.chain(merges.iter().map(|(left, right)| format!("{left}{right}"))) {
        vocab.insert(token, vocab.len().into());
    }
    vocab.insert("<|startoftext|>".to_owned(), 598.into());
    vocab.insert("<|endoftext|>".to_owned(), 599.into());
    let lines: String = merges.iter().map(|(left, right)| format!("{left} {right}\n")).collect();
    [("vocab.json", Value::Object(vocab).to_string()), ("merges.txt", format!("#version: 0.2\n{lines}"))]
}

/// A zip, as `torch.save` writes.
fn pickle() -> Content {
    b"PK\x03\x04 archive/data.pkl".to_vec().into()
}

fn pickles() -> Files {
    vec![
        ("flax_model.msgpack", b"\x83".to_vec().into()),
        ("pytorch_model.bin", pickle()),
        ("tf_model.h5", b"\x89HDF".to_vec().into()),
    ]
}

/// timm's own part of its copies: an image tower without texts, under timm's names.
fn timm_image_tower(architecture: &str) -> Files {
    let config = json!({"architecture": architecture, "num_classes": 0, "num_features": 64, "global_pool": "token",
        "pretrained_cfg": {"tag": "openai", "custom_load": false, "input_size": [3, 32, 32], "fixed_input_size": true,
            "interpolation": "bicubic", "crop_pct": 1.0, "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}});
    let tensor = |shape: &[usize]| {
        let n_bytes = shape.iter().product::<usize>() * 4;
        RawTensor { shape: shape.to_vec(), kind: Kind::F32, bytes: vec![0; n_bytes] }
    };
    let tensors = BTreeMap::from([
        ("blocks.0.attn.qkv.weight", tensor(&[192, 64])),
        ("cls_token", tensor(&[1, 1, 64])),
        ("norm.weight", tensor(&[64])),
        ("patch_embed.proj.weight", tensor(&[64, 3, 8, 8])),
        ("pos_embed", tensor(&[1, 17, 64])),
    ]);
    let weights = safetensors(tensors.iter().map(|(name, tensor)| (*name, tensor)));
    vec![
        ("README.md", "# timm\n".into()),
        ("config.json", config.to_string().into()),
        ("model.safetensors", weights.into()),
        ("pytorch_model.bin", pickle()),
    ]
}

fn open_clip(config: &Value, tensors: &BTreeMap<String, RawTensor>) -> Files {
    vec![
        ("open_clip_config.json", config.to_string().into()),
        ("open_clip_model.safetensors", written(tensors).into()),
        ("open_clip_pytorch_model.bin", pickle()),
    ]
}

fn written(tensors: &BTreeMap<String, RawTensor>) -> Vec<u8> {
    safetensors(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))
}

/// open_clip's ResNet with the text tower of [`open_clip_tensors`].
fn open_clip_resnet() -> (Value, BTreeMap<String, RawTensor>) {
    let mut tensors = open_clip_tensors();
    tensors.retain(|name, _| !name.starts_with("visual."));
    let vision =
        safetensors::read(&fixture("models/clip-resnet/model.safetensors")).expect("weights").tensors;
    tensors.extend(vision.into_iter().map(|(name, tensor)| (format!("visual.{name}"), tensor)));
    // The image tower's embeddings have 48 values.
    let bytes =
        (0..48 * 48).flat_map(|i: usize| f32::from(u8::from(i / 48 == i % 48)).to_le_bytes()).collect();
    tensors.insert("text_projection".to_owned(), RawTensor { shape: vec![48, 48], kind: Kind::F32, bytes });
    let mut config = open_clip_config();
    config["model_cfg"]["embed_dim"] = 48.into();
    config["model_cfg"]["vision_cfg"] =
        json!({"image_size": 64, "layers": [1, 2, 1, 1], "width": 16, "patch_size": null, "head_width": 64});
    (config, tensors)
}

fn siglip() -> Files {
    let preprocessor = json!({"do_normalize": true, "do_rescale": true, "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5],
        "processor_class": "SiglipProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"height": 48, "width": 48}});
    vec![
        ("README.md", "# SigLIP\n".into()),
        ("config.json", fixture("models/siglip/config.json").into()),
        ("model.safetensors", fixture("models/siglip/model.safetensors").into()),
        ("preprocessor_config.json", preprocessor.to_string().into()),
        ("special_tokens_map.json", "{}".into()),
        ("spiece.model", b"\n\x0e".to_vec().into()),
        ("tokenizer.json", fixture("tokenizer/sentencepiece/siglip.json").into()),
        ("tokenizer_config.json", r#"{"model_max_length": 16, "tokenizer_class": "SiglipTokenizer"}"#.into()),
    ]
}

/// SigLIP 2: what its `text_config` does not say are the defaults of a model of real size, which the weights here have
/// not; so all that can be left out in small is what is about tokens.
pub fn siglip2() -> Files {
    let mut config: Value = serde_json::from_slice(&fixture("models/siglip/config.json")).expect("JSON");
    for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        config["text_config"].as_object_mut().expect("an object").remove(key);
    }
    let mut files = siglip();
    files.iter_mut().find(|(name, _)| *name == "config.json").expect("it is there").1 =
        config.to_string().into();
    files
}

/// The model that most tests download, as `save_pretrained` lays it out.
pub fn small() -> Files {
    vec![
        ("README.md", "a model".into()),
        ("config.json", clip_config()),
        ("model.safetensors", clip_weights()),
        ("pytorch_model.bin", pickle()),
        ("tokenizer.json", TOKENIZER.into()),
    ]
}

/// The same with how pictures are prepared.
pub fn with_preprocessor() -> Files {
    [small(), vec![("preprocessor_config.json", clip_preprocessor(32).to_string().into())]].concat()
}

/// open_clip's own layout, as it pushes to the hub.
pub fn open_clip_only() -> Files {
    [open_clip(&open_clip_config(), &open_clip_tensors()), newer_tokenizer()].concat()
}

/// The same weights in two files and their index.
pub fn sharded() -> Files {
    const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let tensors = safetensors::read(&clip_weights().bytes()).expect("weights").tensors;
    let (mut map, mut halves) = (Map::new(), [BTreeMap::new(), BTreeMap::new()]);
    for (name, tensor) in tensors {
        let half = usize::from(name.starts_with("vision_model"));
        map.insert(name.clone(), SHARDS[half].into());
        halves[half].insert(name, tensor);
    }
    let index = json!({"metadata": {"total_size": 1_128_404}, "weight_map": map}).to_string();
    let mut files = small();
    files.retain(|(name, _)| *name != "model.safetensors");
    files.push(("model.safetensors.index.json", index.into()));
    files.extend(SHARDS.into_iter().zip(&halves).map(|(name, half)| (name, Content::from(written(half)))));
    files
}

/// clip.cpp's file, alone but for a tokenizer.
pub fn clip_cpp() -> Files {
    vec![("clip-q8_0.gguf", fixture("gguf-clipcpp/q8_0.gguf").into()), ("tokenizer.json", TOKENIZER.into())]
}

/// Nothing that is read here: many older models.
pub fn pickles_only() -> Files {
    [hugging_face_frame(), newer_tokenizer(), pickles()].concat()
}

/// Nothing that is read here: ports to browsers.
pub fn onnx_only() -> Files {
    let onnx = || Content::from(b"\x08\x08".to_vec());
    let files = vec![
        ("onnx/model.onnx", onnx()),
        ("onnx/text_model_quantized.onnx", onnx()),
        ("onnx/vision_model_quantized.onnx", onnx()),
    ];
    [hugging_face_frame(), newer_tokenizer(), files].concat()
}

/// The last number of a weight file is another: as sound a file, with another hash.
pub fn retouched(weights: &[u8]) -> Vec<u8> {
    let mut bytes = weights.to_vec();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&0.25f32.to_le_bytes());
    bytes
}
