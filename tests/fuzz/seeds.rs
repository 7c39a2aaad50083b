//! `seeds DIR`: small valid files for each target, `DIR/TARGET/NAME`, from which the fuzzer starts.
//!
//! Invariant: every seed is read without an error, so that the fuzzer starts behind the first checks.

use cliplet::models::{
    Checkpoint, Config, DualEncoder, ModelError, Quantization, ModelFolder, import, load_gguf, save_gguf,
};
use cliplet::tensor::{Format, Tensor};
use cliplet::text::Tokenizer;
use cliplet::weights::gguf::{self, GgufFile, Value};
use cliplet::weights::{Weights, WeightsError, safetensors};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("usage: seeds DIR"));
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(folder.join(target))?;
        fs::write(folder.join(target).join(name), bytes)
    };
    for (name, bytes) in ggufs() {
        gguf::read(&bytes).expect(&name);
        write("gguf", &name, &bytes)?;
    }
    for (name, bytes) in models() {
        load_gguf(&bytes).map(DualEncoder::new).expect(&name).expect(&name);
        write("model", &name, &bytes)?;
        write("gguf", &name, &bytes)?;
    }
    for (name, bytes) in safetensors_files() {
        safetensors::read(&bytes).expect(&name);
        write("safetensors", &name, &bytes)?;
    }
    for (which, name) in [
        "efficientnet-lite",
        "distilbert-text",
        "siglip",
        "clip-vit-quickgelu",
        "bert-text",
        "clip-vit-gelu-odd",
    ]
    .into_iter()
    .enumerate()
    {
        let config = fs::read(fixture(&format!("models/{name}/config.json")))?;
        let weights =
            Weights::read(&fs::read(fixture(&format!("models/{name}/model.safetensors")))?).expect(name);
        import(ModelFolder { config: &config, ..Default::default() }, &weights).expect(name);
        write("import", name, &[&[which as u8], &config[..]].concat())?;
    }
    // Of open_clip only the configuration: its names are in no fixture.
    let open_clip = json!({"model_cfg": {"embed_dim": 32, "quick_gelu": true,
        "vision_cfg": {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 600, "width": 48, "heads": 4, "layers": 3}},
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic",
            "resize_mode": "shortest"}});
    write("import", "open-clip", &[&[3], open_clip.to_string().as_bytes()].concat())?;
    for name in ["siglip", "siglip2", "xlm-roberta"] {
        let json = fs::read(fixture(&format!("tokenizer/sentencepiece/{name}.json")))?;
        Tokenizer::from_json(&json, 77).expect(name);
        write("tokenizer", name, &[&json[..], b"\0a photo of 2 cats"].concat())?;
    }
    for (name, json) in tokenizers() {
        let json = json.to_string();
        Tokenizer::from_json(json.as_bytes(), 77).expect(name);
        write("tokenizer", name, &[json.as_bytes(), b"\0a photo of it's 1 cat"].concat())?;
    }
    Ok(())
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)
}

fn ggufs() -> Vec<(String, Vec<u8>)> {
    let mut file = GgufFile::default();
    let values = [
        Value::U8(1),
        Value::I8(-1),
        Value::U16(2),
        Value::I16(-2),
        Value::U32(3),
        Value::I32(-3),
        Value::F32(0.5),
        Value::Bool(true),
        Value::String("text".to_owned()),
        Value::U64(4),
        Value::I64(-4),
        Value::F64(0.25),
        vec![1u8, 2].into(),
        vec![0.5f32].into(),
        vec![true, false].into(),
        vec!["a".to_owned(), String::new()].into(),
    ];
    for (at, value) in values.into_iter().enumerate() {
        file.set(&format!("key.{at}"), value);
    }
    let blocks = fs::read(fixture("gguf/blocks.gguf")).expect("a fixture");
    let mut aligned = file.clone();
    aligned.set("general.alignment", 8u32);
    for format in Format::ALL {
        let tensor = Tensor::from_f32(&[2, 32], &[0.5; 64], format).expect("32 values a row");
        aligned.tensors.insert(format.name().to_owned(), tensor);
    }
    let bytes = |file: &GgufFile| file.to_bytes().expect("a valid alignment");
    vec![
        ("keys".to_owned(), bytes(&file)),
        ("aligned".to_owned(), bytes(&aligned)),
        ("blocks".to_owned(), blocks),
    ]
}

/// One small model of each architecture, as our own file and (CLIP) as clip.cpp's.
fn models() -> Vec<(String, Vec<u8>)> {
    let stack = |architecture: &str, more: Json| {
        let mut json = json!({"architecture": architecture, "width": 32, "n_layers": 1, "n_heads": 2, "n_hidden": 32,
            "activation": "quick_gelu", "epsilon": 1e-5});
        let fields = json.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        json
    };
    let vit = json!({"image_size": 8, "patch_size": 4});
    let size = |size: usize| {
        json!({"size": size, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "fit": "crop",
        "filter": "bicubic"})
    };
    let configs = [
        (
            "clip",
            json!({"vision": stack("clip_vit", vit.clone()), "preprocess": size(8),
            "text": stack("clip_text", json!({"context_len": 4, "end_token": 2})), "templates": ["a {label}"],
            "tokenizer": {"json": "{}"},
            "selftest": {"label": "a", "image_embeds": [1.0, 0.5], "text_embeds": [0.5]}}),
        ),
        (
            "siglip",
            json!({"vision": stack("siglip_vit", vit), "preprocess": size(8),
            "text": stack("siglip_text", json!({"context_len": 4, "pad_token": 1}))}),
        ),
        (
            "resnet",
            json!({"preprocess": size(8),
            "vision": {"architecture": "modified_resnet", "image_size": 8, "strides": [1], "n_heads": 4}}),
        ),
        (
            "efficientnet",
            json!({"preprocess": size(9), "image_head": {"normalize_input": true},
            "vision": {"architecture": "efficientnet_lite", "image_size": 9, "strides": [1, 2]},
            "text": stack("bert", json!({"context_len": 4})), "text_head": {"normalize_input": false}}),
        ),
    ];
    let mut models = Vec::new();
    for (name, config) in configs {
        let config: Config = serde_json::from_value(config).expect(name);
        let bytes = save_gguf(&grown(&config), &Quantization::all(Format::Q4_0)).expect(name);
        models.push((name.to_owned(), bytes));
    }
    models.push(("clip-cpp".to_owned(), clip_cpp()));
    models
}

/// A model of this configuration: whatever weight loading misses is added, in the shape that it asks for.
fn grown(config: &Config) -> Checkpoint {
    let mut weights = Weights::default();
    // Rows where the file decides: of tokens, embeddings, channels.
    const N_ROWS: usize = 32;
    for name in
        ["image_head.skip.weight", "image_head.0.weight", "image_head.1.weight", "text_head.skip.weight"]
    {
        if config.image_head.is_some() {
            weights.insert(name, tensor(&[N_ROWS, N_ROWS]));
        }
    }
    loop {
        let checkpoint = Checkpoint { config: config.clone(), weights: weights.clone() };
        match DualEncoder::new(checkpoint.clone()) {
            Ok(_) => return checkpoint,
            Err(ModelError::Weights(WeightsError::MissingTensor { name, .. })) => {
                let shape: &[usize] = match name.rsplit('.').nth(1) {
                    Some("depthwise") => &[3, 3, N_ROWS],
                    _ => &[N_ROWS, N_ROWS],
                };
                weights.insert(name, tensor(shape));
            }
            Err(ModelError::Shape { name, expected, .. }) => weights.insert(name, tensor(&expected)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn tensor(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    Tensor::from_f32(shape, &values, Format::F32).expect("values of the shape")
}

fn clip_cpp() -> Vec<u8> {
    let mut file = GgufFile::default();
    file.set("general.architecture", "clip");
    file.set("clip.use_gelu", false);
    for (side, size, prefix) in [("vision", "image_size", "v"), ("text", "context_length", "t")] {
        file.set(&format!("clip.has_{side}_encoder"), true);
        for (key, value) in [
            ("embedding_length", 32u32),
            ("block_count", 1),
            ("attention.head_count", 2),
            ("feed_forward_length", 32),
            (size, 4),
            ("patch_size", 4),
        ] {
            file.set(&format!("clip.{side}.{key}"), value);
        }
        file.set(&format!("clip.{side}.attention.layer_norm_epsilon"), 1e-5f32);
        let mut layers = vec![format!("{prefix}.post_ln"), format!("{prefix}.pre_ln")];
        let mut matrices =
            vec![format!("{prefix}.token_embd"), format!("{side}_projection").replace("vision", "visual")];
        for part in ["ln1", "ln2"] {
            layers.push(format!("{prefix}.blk.0.{part}"));
        }
        for part in ["attn_q", "attn_k", "attn_v", "attn_out", "ffn_down", "ffn_up"] {
            matrices.push(format!("{prefix}.blk.0.{part}"));
        }
        for layer in layers {
            file.tensors.insert(format!("{layer}.weight"), tensor(&[32]));
            file.tensors.insert(format!("{layer}.bias"), tensor(&[32]));
        }
        for layer in matrices {
            let matrix = tensor(&[32, 32]).requantize(Format::Q4_0).expect("32 values a row");
            file.tensors.insert(format!("{layer}.weight"), matrix);
            file.tensors.insert(format!("{layer}.bias"), tensor(&[32]));
        }
    }
    file.tensors.insert("v.patch_embd.weight".to_owned(), tensor(&[32, 3, 4, 4]));
    file.tensors.insert("v.class_embd".to_owned(), tensor(&[32]));
    file.tensors.insert("v.position_embd.weight".to_owned(), tensor(&[2, 32]));
    file.tensors.insert("t.position_embd.weight".to_owned(), tensor(&[4, 32]));
    file.set("clip.vision.image_mean", vec![0.5f32; 3]);
    file.set("clip.vision.image_std", vec![0.5f32; 3]);
    file.to_bytes().expect("a valid alignment")
}

fn safetensors_files() -> Vec<(String, Vec<u8>)> {
    let file = |header: Json, n_data: usize| {
        let header = header.to_string();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; n_data]].concat()
    };
    let kinds = json!({"__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [8, 16]},
        "c": {"dtype": "F16", "shape": [], "data_offsets": [16, 18]},
        "d": {"dtype": "I32", "shape": [1], "data_offsets": [18, 22]},
        "e": {"dtype": "I64", "shape": [1, 1, 1], "data_offsets": [22, 30]},
        "f": {"dtype": "BOOL", "shape": [3], "data_offsets": [30, 33]}});
    let one = json!({"w": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}});
    vec![
        ("kinds".to_owned(), file(kinds, 33)),
        ("one".to_owned(), file(one, 0)),
        ("none".to_owned(), file(json!({}), 0)),
    ]
}

fn tokenizers() -> Vec<(&'static str, Json)> {
    let word_piece = json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 1, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}}},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "[CLS]": 1, "a": 2, "photo": 3, "##s": 4}}});
    let clip_bpe = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"},
             "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
        "post_processor": {"type": "RobertaProcessing", "sep": ["<|endoftext|>", 6], "cls": ["<|startoftext|>", 5],
            "trim_offsets": false, "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b</w>": 1, "ab</w>": 2, "a</w>": 3, "i": 4, "<|startoftext|>": 5, "<|endoftext|>": 6},
            "merges": [["a", "b</w>"]]}});
    vec![("word-piece", word_piece), ("clip-bpe", clip_bpe)]
}
