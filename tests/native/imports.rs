//! Imports of damaged models: every number of every configuration and every tensor's shape changed in turn. What comes
//! out is a typed error or a model whose graphs can be built, never a panic, and in bounded time and memory.

use crate::allocation::peak_of;
use cliplet::models::{Checkpoint, DualEncoder, ModelError, ModelFolder, Taps, import};
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
