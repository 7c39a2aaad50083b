//! Imports of damaged models: every number of every configuration and every tensor's shape changed in turn. What comes
//! out is a typed error or a model whose graphs can be built, never a panic, and in bounded time and memory.

use crate::allocation::peak_of;
use cliplet::image::{Filter, Fit, Preprocess};
use cliplet::models::config::Text;
use cliplet::models::{Checkpoint, DualEncoder, Importer, ModelError, ModelFolder, Origin, Taps, import};
use cliplet::tensor::{Format, Tensor};
use cliplet::weights::Weights;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// One of each architecture.
const FOLDERS: [&str; 6] =
    ["bert-text", "clip-resnet", "clip-vit-quickgelu", "distilbert-text", "efficientnet-lite", "siglip"];

fn folder(name: &str) -> (Value, Weights) {
    let read = |file: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        fs::read(root.join(name).join(file)).unwrap()
    };
    (
        serde_json::from_slice(&read("config.json")).unwrap(),
        Weights::read(&read("model.safetensors")).unwrap(),
    )
}

/// Imports and builds, within a second and 16 MB beyond what the weights take a few times.
fn build(
    what: &str,
    config: &[u8],
    preprocessor: Option<&[u8]>,
    weights: &Weights,
) -> Result<(), ModelError> {
    let n_bytes: usize = weights.names().map(|name| weights.tensor(name).unwrap().bytes.len()).sum();
    let start = Instant::now();
    let (result, peak) = peak_of(|| {
        let checkpoint = import(ModelFolder { config, preprocessor, ..Default::default() }, weights)?;
        let Checkpoint { config, .. } = &checkpoint;
        if let Some(vision) = &config.vision {
            assert_eq!(vision.image_size(), config.preprocess.size, "{what}: pictures that the model sees");
        }
        let (model, _) = DualEncoder::new(checkpoint)?;
        if model.config.vision.is_some() {
            model.image_graph(1, Taps::None)?;
        }
        if model.config.text.is_some() {
            model.text_graph(&model.text_batch(&[vec![1, 2, 3]])?, Taps::None)?;
        }
        Ok(())
    });
    assert!(start.elapsed() < Duration::from_secs(1), "{what}: {:?}", start.elapsed());
    assert!(peak < 4 * n_bytes + (16 << 20), "{what}: {peak} bytes for weights of {n_bytes}");
    result
}

/// Pointers to every number and every list in `json`.
fn leaves(json: &Value, path: &str, found: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, json)| leaves(json, &format!("{path}/{key}"), found))
        }
        Value::Array(items) => {
            found.push(path.to_owned());
            items.iter().enumerate().for_each(|(i, json)| leaves(json, &format!("{path}/{i}"), found));
        }
        Value::Number(_) => found.push(path.to_owned()),
        _ => (),
    }
}

#[test]
fn a_changed_number_is_refused_or_harmless() {
    let values = [
        json!(0),
        json!(1),
        json!(3),
        json!(7),
        json!(1000),
        json!(65_537),
        json!(u32::MAX),
        json!(1u64 << 53),
        json!(u64::MAX),
        json!(-1),
        json!(0.5),
        json!(1e300),
        json!("text"),
        json!(null),
        json!([]),
        json!([0]),
        json!([u64::MAX]),
        json!({}),
        json!(vec![1; 100_000]),
    ];
    for name in FOLDERS {
        let (config, weights) = folder(name);
        build(name, config.to_string().as_bytes(), None, &weights).unwrap();
        let mut pointers = Vec::new();
        leaves(&config, "", &mut pointers);
        let (mut n_refused, mut n_all) = (0, 0);
        for pointer in &pointers {
            for value in &values {
                let mut changed = config.clone();
                *changed.pointer_mut(pointer).unwrap() = value.clone();
                let what =
                    format!("{name}{pointer} = {}", value.to_string().chars().take(30).collect::<String>());
                n_refused +=
                    usize::from(build(&what, changed.to_string().as_bytes(), None, &weights).is_err());
                n_all += 1;
            }
        }
        println!("{name}: {n_refused} of {n_all} changes refused");
        assert!(n_refused * 4 > n_all, "{name}: {n_refused} of {n_all} changes refused");
    }
}

#[test]
fn a_tensor_of_another_shape_is_refused_or_harmless() {
    for name in FOLDERS {
        let (config, weights) = folder(name);
        let config = config.to_string();
        // Later blocks are read as the first one is.
        let is_first = |name: &&str| ![".1.", ".2.", ".3."].iter().any(|part| name.contains(part));
        let names: Vec<String> = weights.names().filter(is_first).map(str::to_owned).collect();
        for tensor in names {
            let mut weights = weights.clone();
            let original = weights.take(&tensor).unwrap();
            // Left out: some may be; what may not is named.
            if let Err(error) = build(&format!("{name} without {tensor}"), config.as_bytes(), None, &weights)
            {
                let error = error.to_string();
                assert!(error.contains('`') || error.contains('"'), "{name} without {tensor}: {error}");
            }
            let mut shapes: Vec<Vec<usize>> =
                [&[][..], &[0], &[1], &[0, 0], &[5, 7], &[1, 1, 1, 1], &[4, 3, 0, 1]]
                    .map(<[usize]>::to_vec)
                    .into();
            for dim_idx in 0..original.shape.len() {
                for change in [|_| 0, |dim| dim + 1, |dim| dim - 1, |dim| 2 * dim] as [fn(usize) -> usize; 4]
                {
                    let mut shape = original.shape.clone();
                    shape[dim_idx] = change(shape[dim_idx]);
                    shapes.push(shape);
                }
            }
            for shape in shapes {
                let values = vec![0.5; shape.iter().product()];
                weights.insert(tensor.clone(), Tensor::from_f32(&shape, &values, Format::F32).unwrap());
                let _ = build(&format!("{name}: {tensor} {shape:?}"), config.as_bytes(), None, &weights);
            }
        }
    }
}

/// What a file makes of the fixture's pictures of 32 pixels.
fn prepared(model: &str, json: Value) -> Result<Preprocess, ModelError> {
    let (config, weights) = folder(model);
    let (config, json) = (config.to_string(), json.to_string());
    let source =
        ModelFolder { config: config.as_bytes(), preprocessor: Some(json.as_bytes()), ..Default::default() };
    import(source, &weights).map(|checkpoint| checkpoint.config.preprocess)
}

#[test]
fn preprocessing_files_are_followed_in_all_their_forms() {
    let of =
        |json: Value| prepared("clip-vit-quickgelu", json.clone()).unwrap_or_else(|e| panic!("{json}: {e}"));
    let clip = Preprocess { size: 32, ..Preprocess::CLIP };
    let same = |json: Value, expected: Preprocess| assert_eq!(of(json.clone()), expected, "{json}");
    // OpenAI's own, as it was first published, and as it is written today.
    let colours = json!({"image_mean": Preprocess::CLIP.mean, "image_std": Preprocess::CLIP.std});
    let with = |mut json: Value| {
        json.as_object_mut().unwrap().extend(colours.as_object().unwrap().clone());
        json
    };
    same(
        with(json!({"crop_size": 32, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 32})),
        clip.clone(),
    );
    same(
        with(
            json!({"crop_size": {"height": 32, "width": 32}, "data_format": "channels_first", "default_to_square": false,
            "device": null, "do_center_crop": true, "do_convert_rgb": true, "do_normalize": true, "do_pad": null,
            "do_rescale": true, "do_resize": true, "image_processor_type": "CLIPImageProcessorFast", "pad_size": null,
            "processor_class": "CLIPProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
            "return_tensors": null, "size": {"shortest_edge": 32}}),
        ),
        clip.clone(),
    );
    // A larger picture, and its middle.
    let cropped = Preprocess { resize: Some(40), ..clip.clone() };
    for crop in [json!(32), json!([32, 32]), json!({"height": 32, "width": 32}), json!({"shortest_edge": 32})]
    {
        same(json!({"size": {"shortest_edge": 40}, "crop_size": crop}), cropped.clone());
        same(json!({"size": 40, "crop_size": crop}), cropped.clone());
        let squashed = Preprocess { fit: Fit::Squash, ..cropped.clone() };
        same(json!({"size": {"height": 40, "width": 40}, "crop_size": crop}), squashed);
    }
    // Squash.
    let squashed = Preprocess { fit: Fit::Squash, ..clip.clone() };
    for json in [
        json!({"size": {"height": 32, "width": 32}}),
        json!({"size": {"height": 32, "width": 32}, "do_center_crop": false}),
        json!({"size": 32, "crop_size": 32, "do_center_crop": false, "feature_extractor_type": "ChineseCLIPFeatureExtractor"}),
        json!({"size": 32, "image_processor_type": "ViTImageProcessor"}),
        json!({"size": {"height": 32, "width": 32}, "image_processor_type": "SiglipImageProcessorFast"}),
    ] {
        same(json, squashed.clone());
    }
    // A smaller crop that is not made.
    same(
        json!({"size": {"height": 32, "width": 32}, "crop_size": 16, "do_center_crop": false}),
        squashed.clone(),
    );
    for (resample, filter) in [
        (json!(0), Filter::Nearest),
        (json!(1), Filter::Lanczos),
        (json!(2), Filter::Bilinear),
        (json!(3), Filter::Bicubic),
        (json!("bilinear"), Filter::Bilinear),
    ] {
        same(json!({"size": 32, "resample": resample}), Preprocess { filter, ..clip.clone() });
        if resample.is_string() {
            same(json!({"size": 32, "interpolation": resample}), Preprocess { filter, ..clip.clone() });
        }
    }
    // Numbers: as if white were 1.
    let near = |found: [f32; 3], expected: [f32; 3]| {
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1e-3)),
            "{found:?} {expected:?}"
        );
    };
    let found = of(json!({"size": 32, "do_normalize": false}));
    assert_eq!((found.mean, found.std), ([0.0; 3], [1.0; 3]));
    let found =
        of(json!({"size": 32, "do_rescale": false, "image_mean": [127.5, 0.0, 255.0], "image_std": 255.0}));
    near(found.mean, [0.5, 0.0, 1.0]);
    near(found.std, [1.0; 3]);
    let found = of(
        json!({"size": 32, "rescale_factor": 2.0 / 255.0, "image_mean": 1.0, "image_std": [1.0, 2.0, 4.0]}),
    );
    near(found.mean, [0.5; 3]);
    near(found.std, [0.5, 1.0, 2.0]);
    // ConvNext's part, and timm's.
    let part = |extra: Value| {
        let mut json = json!({"size": {"shortest_edge": 32}, "crop_pct": 0.8, "image_processor_type": "ConvNextImageProcessor"});
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json
    };
    same(part(json!({})), cropped.clone());
    let timm = |mode: Value, part: Value| {
        json!({"architecture": "vit", "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": part, "crop_mode": mode,
            "interpolation": "bicubic", "mean": Preprocess::CLIP.mean, "std": Preprocess::CLIP.std, "fixed_input_size": true,
            "classifier": "head", "first_conv": "conv", "num_classes": 0}})
    };
    let fill = Preprocess::CLIP.mean.map(|mean| (mean * 255.0).round() as u8);
    same(timm(json!("center"), json!(0.8)), Preprocess { fill, ..cropped.clone() });
    same(timm(json!(null), json!(1.0)), Preprocess { fill, ..clip.clone() });
    same(timm(json!("squash"), json!(1.0)), Preprocess { fill, fit: Fit::Squash, ..clip.clone() });
    same(timm(json!("border"), json!(1.0)), Preprocess { fill, fit: Fit::Pad, ..clip.clone() });
}

#[test]
fn what_preprocessing_files_ask_for_else_is_refused_by_name() {
    for (key, json) in [
        ("do_resize", json!({"do_resize": false})),
        ("do_center_crop", json!({"size": {"shortest_edge": 32}, "do_center_crop": false})),
        ("size", json!({"size": {"height": 32, "width": 48}})),
        ("size", json!({"size": {"longest_edge": 32}})),
        ("size", json!({"size": {"shortest_edge": 32, "longest_edge": 64}})),
        ("size", json!({"size": {"max_height": 32, "max_width": 32}})),
        ("crop_size", json!({"size": 32, "crop_size": {"height": 32, "width": 16}})),
        ("crop_size", json!({"size": 24, "crop_size": 32})),
        ("resample", json!({"size": 32, "resample": 4})),
        ("resample", json!({"size": 32, "resample": 5})),
        ("interpolation", json!({"size": 32, "interpolation": "area"})),
        ("do_pad", json!({"size": 32, "do_pad": true})),
        ("pad_size", json!({"size": 32, "pad_size": {"height": 48, "width": 48}})),
        ("do_flip_channel_order", json!({"size": 32, "do_flip_channel_order": true})),
        ("size_divisor", json!({"size": 32, "size_divisor": 16})),
        ("image_processor_type", json!({"size": 32, "image_processor_type": "Siglip2ImageProcessor"})),
        ("feature_extractor_type", json!({"size": 32, "feature_extractor_type": "FlavaFeatureExtractor"})),
        ("crop_pct", json!({"size": 32, "crop_pct": 0.9})),
        (
            "crop_mode",
            json!({"pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0, "crop_mode": "random"}}),
        ),
        ("input_size", json!({"pretrained_cfg": {"input_size": [3, 32, 48], "crop_pct": 1.0}})),
        ("4097", json!({"size": 4097, "crop_size": 32})),
    ] {
        let error =
            prepared("clip-vit-quickgelu", json.clone()).map(drop).expect_err(&json.to_string()).to_string();
        assert!(error.contains(key) && error.contains("preprocessor_config.json"), "{json}: {error}");
    }
}

#[test]
fn siglip_2_pads_with_its_tokenizers_token() {
    let (mut config, weights) = folder("siglip");
    let text = config["text_config"].as_object_mut().unwrap();
    text.remove("pad_token_id");
    let pad_of = |config: &Value, tokenizer: Option<Value>| {
        let (config, tokenizer) = (config.to_string(), tokenizer.map(|json| json.to_string()));
        let source =
            ModelFolder { config: config.as_bytes(), tokenizer: tokenizer.as_deref(), ..Default::default() };
        match import(source, &weights).unwrap().config.text {
            Some(Text::SiglipText { pad_token, .. }) => pad_token,
            other => panic!("{other:?}"),
        }
    };
    let special = json!({"added_tokens": [{"id": 5, "content": "<pad>", "special": true}], "padding": null});
    assert_eq!(pad_of(&config, None), 1, "what Hugging Face's configuration class says");
    assert_eq!(pad_of(&config, Some(special.clone())), 5);
    assert_eq!(
        pad_of(&config, Some(json!({"added_tokens": [], "padding": {"pad_id": 0, "pad_token": "<pad>"}}))),
        0
    );
    assert_eq!(
        pad_of(&config, Some(json!({"added_tokens": [{"id": 1, "content": "</s>", "special": true}]}))),
        1
    );
    config["text_config"]["pad_token_id"] = json!(1);
    assert_eq!(pad_of(&config, Some(special)), 5, "the tokenizer's goes before");
    // Nothing but these two: all else is the class' own.
    config["text_config"] = json!({"model_type": "siglip_text_model", "vocab_size": 256_000});
    let json = config.to_string();
    let folder = ModelFolder { config: json.as_bytes(), ..Default::default() };
    // The names of twelve layers instead of the fixture's two.
    let of_layers = |name: &str| {
        let layer = |idx: usize| name.replace(".layers.0.", &format!(".layers.{idx}."));
        if name.contains(".layers.0.") { (0..12).map(layer).collect() } else { vec![name.to_owned()] }
    };
    let names: Vec<String> = weights.names().flat_map(of_layers).collect();
    let importer = Importer::new(Origin::Folder(folder), names).unwrap();
    let text = importer.config().text.clone().unwrap();
    let (n_layers, width) = (text.transformer().n_layers, text.transformer().width);
    assert_eq!((text.context_len(), n_layers, width), (64, 12, 768));
}

#[test]
fn pictures_of_a_size_that_the_model_does_not_see_are_refused() {
    let (config, weights) = folder("clip-vit-quickgelu");
    let config = config.to_string();
    let build = |json: &str| build(json, config.as_bytes(), Some(json.as_bytes()), &weights);
    build(r#"{"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}"#).unwrap();
    build(r#"{"size": 32}"#).unwrap();
    for json in [r#"{"size": 33}"#, r#"{"crop_size": {"height": 4294967296}}"#, r#"{"size": 0}"#] {
        let error = build(json).unwrap_err().to_string();
        assert!(error.contains("preprocessor_config.json") && error.contains("32"), "{error}");
    }
    for json in [
        r#"{"image_std": [0.5, 0.0, 0.5]}"#,
        r#"{"image_mean": [1e39, 0, 0]}"#,
        "<html>",
        r#"{"size": -1}"#,
        "",
    ] {
        let error = build(json).unwrap_err().to_string();
        assert!(error.contains("preprocessor_config.json"), "{error}");
    }
}
