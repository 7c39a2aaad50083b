//! The engine on a small model of the starter's kind: EfficientNet-lite and BERT with heads, in one quantized GGUF.

use cliplet::engine::{BackendChoice, Engine, EngineError, KnownLabels, pack, self_test_picture};
use cliplet::image::PixelTensor;
use cliplet::models::config::{ClassesConfig, Config, HeadConfig, Text, TokenizerFile, Vision};
use cliplet::models::{Calibration, Checkpoint, ModelFolder, Quantization, import, load_gguf, save_gguf};
use cliplet::tasks::LabelEmbedding;
use cliplet::tensor::{Format, Tensor};
use cliplet::weights::Weights;
use pollster::block_on;
use std::cell::Cell;

fn fixture(name: &str) -> Checkpoint {
    let read = |file: &str| {
        let path = format!("{}/tests/fixtures/models/{name}/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let weights = Weights::read(&read("model.safetensors")).unwrap();
    import(ModelFolder { config: &read("config.json"), ..Default::default() }, &weights).unwrap()
}

/// Words to ids, start 1, end 2, as BERT's files say it.
const TOKENIZER: &str = r###"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                   "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "decoder": null,
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 100,
              "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4, "red": 5, "disc": 6, "sea": 7}}
}"###;

/// An image tower of 24 features and a text tower of 96, each with a head to 32; two blocks go to the embedding too.
fn starter_like() -> Checkpoint {
    let mut checkpoint = fixture("efficientnet-lite").join(fixture("bert-text")).unwrap();
    let n_channels = [0, 1]
        .map(|i| checkpoint.weights.tensor(&format!("vision.blocks.{i}.project.weight")).unwrap().shape[0]);
    checkpoint.limit_context(10).unwrap();
    let mut layer = |name: &str, n_out: usize, n_in: usize| {
        let value = |i: usize| ((i * 37 + name.len() * 11) as f32 * 0.7).sin() / (n_in as f32).sqrt();
        let weight: Vec<f32> = (0..n_out * n_in).map(value).collect();
        let bias: Vec<f32> = (0..n_out).map(|i| 0.1 * value(i)).collect();
        let tensor = |shape: &[usize], values: &[f32]| Tensor::from_f32(shape, values, Format::F32).unwrap();
        checkpoint.weights.insert(format!("{name}.weight"), tensor(&[n_out, n_in], &weight));
        checkpoint.weights.insert(format!("{name}.bias"), tensor(&[n_out], &bias));
    };
    layer("image_head.skip", 32, 24);
    layer("image_head.0", 64, 24);
    layer("image_head.1", 32, 64);
    layer("image_head.blocks.0", 32, n_channels[0]);
    layer("image_head.blocks.1", 32, n_channels[1]);
    layer("text_head.0", 64, 96);
    layer("text_head.1", 32, 64);
    checkpoint.config.image_head = Some(HeadConfig { normalize_input: true });
    checkpoint.config.text_head = Some(HeadConfig { normalize_input: false });
    checkpoint.config.tokenizer = Some(TokenizerFile { json: TOKENIZER.to_owned() });
    checkpoint.config.about.name = "small".to_owned();
    checkpoint
}

fn packed() -> Vec<u8> {
    block_on(pack(&starter_like(), &Quantization::all(Format::Q8_0), "a red disc")).unwrap()
}

#[test]
fn a_packed_model_loads_tests_itself_and_encodes() {
    let bytes = packed();
    let mut stages = Vec::new();
    let engine = block_on(Engine::load(&bytes, BackendChoice::Cpu, |stage| stages.push(stage))).unwrap();
    assert_eq!(stages.len(), 4, "{stages:?}");
    let info = engine.info();
    assert_eq!((info.embedding_width, info.image_size, info.context_len), (32, 45, 10));
    let test = info.self_test.expect("the file holds a self-test");
    assert!(test.passed && test.cosine_image > 0.999_999 && test.cosine_text > 0.999_999, "{test:?}");

    let picture = engine.preprocess(&self_test_picture(100));
    let one = block_on(engine.encode_images(std::slice::from_ref(&picture))).unwrap();
    let black = PixelTensor { size: 45, values: vec![-1.0; 45 * 45 * 3] };
    let two = block_on(engine.encode_images(&[black, picture])).unwrap();
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5);
    assert!(near(one[0].values(), two[1].values()), "a batch gives what one picture gives");
    assert!(!near(two[0].values(), two[1].values()), "different pictures differ");

    let together = block_on(engine.encode_texts(&["a red disc", "sea", "red"])).unwrap();
    let alone = block_on(engine.encode_texts(&["sea"])).unwrap();
    assert!(near(together[1].values(), alone[0].values()), "packing changes nothing");
    assert!(engine.last_times().run_millis > 0.0);

    let long = "red ".repeat(30);
    let tokens = engine.tokenize(&long).unwrap();
    assert!(tokens.is_cut && tokens.ids.len() == 10 && tokens.ids[9] == 2, "{tokens:?}");
    assert_eq!(block_on(engine.encode_texts(&[long.as_str()])).unwrap().len(), 1);
    assert!(block_on(engine.encode_texts(&[])).unwrap().is_empty());
    assert!(block_on(engine.encode_images(&[])).unwrap().is_empty());
}

/// Classes: units of the image head, the next of which tells photos, and as many descriptions.
fn with_classes(n_classes: usize) -> Checkpoint {
    let mut checkpoint = starter_like();
    checkpoint.config.classes =
        Some(ClassesConfig { n_classes, sharpness: 3.0, weight: 0.5, photo_likeness: [-10.0, -9.0] });
    let words: Vec<f32> = (0..n_classes * 96).map(|i| (i as f32 * 1.3).sin() / 5.0).collect();
    let tensor = |shape: &[usize], values: &[f32]| Tensor::from_f32(shape, values, Format::F32).unwrap();
    checkpoint.weights.insert("text_head.classes.weight", tensor(&[n_classes, 96], &words));
    checkpoint.weights.insert("text_head.spread", tensor(&[n_classes], &vec![0.1; n_classes]));
    checkpoint
}

#[test]
fn evidence_of_classes_is_a_part_of_both_embeddings() {
    let quantization = Quantization::all(Format::F32);
    let bytes = block_on(pack(&with_classes(10), &quantization, "a red disc")).unwrap();
    let embeddings = |bytes: &[u8], choice| {
        let engine = block_on(Engine::load(bytes, choice, |_| ())).unwrap();
        assert!(engine.info().self_test.is_some_and(|test| test.passed));
        let pictures =
            [engine.preprocess(&self_test_picture(100)), engine.preprocess(&self_test_picture(50))];
        let images = block_on(engine.encode_images(&pictures)).unwrap();
        let texts = block_on(engine.encode_texts(&["sea", "a red disc"])).unwrap();
        let images = images.iter().map(|image| image.values().to_vec());
        images.chain(texts.iter().map(|text| text.values().to_vec())).collect::<Vec<Vec<f32>>>()
    };
    let (whole, plain) = (embeddings(&bytes, BackendChoice::Cpu), embeddings(&packed(), BackendChoice::Cpu));
    for ((whole, plain), on_gpu) in whole.iter().zip(&plain).zip(embeddings(&bytes, BackendChoice::Gpu)) {
        assert_eq!((whole.len(), plain.len()), (42, 32));
        assert!(cosine(whole, &on_gpu) > 0.9999);
        // What the heads give is there as before, beside something else.
        let length = whole[..32].iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!(length < 0.999 && cosine(&whole[..32], plain) > 0.999, "{length}");
    }
}

#[test]
fn classes_that_the_head_has_no_units_for_are_refused() {
    let refused = |n_classes: usize, edit: fn(&mut ClassesConfig)| {
        let mut bad = with_classes(n_classes);
        edit(bad.config.classes.as_mut().unwrap());
        let bytes = save_gguf(&bad, &Quantization::all(Format::F32)).unwrap();
        block_on(Engine::load(&bytes, BackendChoice::Cpu, |_| ())).map(|_| ()).unwrap_err().to_string()
    };
    let error = refused(64, |_| ());
    assert!(error.contains("64 classes need more units than the 64"), "{error}");
    let error = refused(10, |classes| classes.n_classes = 12);
    assert!(error.contains("text_head.classes.weight"), "{error}");
    let error = refused(10, |classes| classes.photo_likeness = [1.0, 1.0]);
    assert!(error.contains("likeness 1 to 1"), "{error}");
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let length = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>() / (length(a) * length(b)).max(1e-12)
}

/// Each on either backend, where the other tests have the CPU alone.
#[test]
fn every_part_of_the_image_head_counts() {
    let quantization = Quantization::all(Format::F32);
    let embedding = |checkpoint: &Checkpoint, choice| {
        let bytes = block_on(pack(checkpoint, &quantization, "a red disc")).unwrap();
        let engine = block_on(Engine::load(&bytes, choice, |_| ())).unwrap();
        let picture = engine.preprocess(&self_test_picture(100));
        block_on(engine.encode_images(&[picture])).unwrap()[0].values().to_vec()
    };
    let whole = embedding(&starter_like(), BackendChoice::Cpu);
    assert!(cosine(&whole, &embedding(&starter_like(), BackendChoice::Gpu)) >= 0.99999);
    for part in ["skip", "blocks.0", "blocks.1"] {
        let mut less = starter_like();
        for kind in ["weight", "bias"] {
            less.weights.take(&format!("image_head.{part}.{kind}")).unwrap();
        }
        let [on_cpu, on_gpu] =
            [BackendChoice::Cpu, BackendChoice::Gpu].map(|choice| embedding(&less, choice));
        assert!(cosine(&whole, &on_cpu) < 0.999, "{part}: {}", cosine(&whole, &on_cpu));
        assert!(cosine(&on_cpu, &on_gpu) >= 0.99999, "{part}");
    }
    // A shortcut of another width than the head's.
    let mut wrong = starter_like();
    let name = "image_head.blocks.1.weight";
    let [n_out, n_in] = wrong.weights.take(name).unwrap().shape[..] else { panic!("a matrix") };
    wrong
        .weights
        .insert(name, Tensor::from_f32(&[n_in, n_out], &vec![0.5; n_in * n_out], Format::F32).unwrap());
    let bytes = save_gguf(&wrong, &quantization).unwrap();
    let error = block_on(Engine::load(&bytes, BackendChoice::Cpu, |_| ())).map(drop).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("32"), "{error}");
}

#[test]
fn labels_are_embedded_in_one_place() {
    let engine = block_on(Engine::load(&packed(), BackendChoice::Cpu, |_| ())).unwrap();
    let labels = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let prompts = engine.prompts(&labels(&["a {label}", "{label}"])).unwrap();
    let long = "red ".repeat(30);
    let asked = labels(&["red", "zzz", "Réd", "sea", "", long.as_str(), "猫"]);
    let embedded = block_on(engine.embed_labels(&asked, &prompts)).unwrap();
    let names: Vec<&str> = embedded.readable.iter().map(|label| label.label.as_str()).collect();
    assert_eq!(names, ["red", "Réd", "sea", long.as_str()]);
    assert_eq!(embedded.notes.unreadable, ["zzz", "", "猫"]);
    assert_eq!(embedded.notes.cut, [long.as_str()]);
    assert_eq!(embedded.notes.same, [labels(&["red", "Réd"])]);
    // The mean of the prompts, as unit vectors.
    let texts = block_on(engine.encode_texts(&["a sea", "sea"])).unwrap();
    let mean = LabelEmbedding::new("sea", &texts);
    assert!(embedded.readable[2].values().iter().zip(mean.values()).all(|(a, b)| (a - b).abs() <= 1e-5));
    assert!(engine.prompts(&labels(&["no place"])).is_err());
    assert_eq!(engine.prompts(&[]).unwrap().len(), engine.templates().len());
}

#[test]
fn known_labels_are_not_encoded_again_and_unwanted_ones_not_at_all() {
    let engine = block_on(Engine::load(&packed(), BackendChoice::Cpu, |_| ())).unwrap();
    let prompts = engine.prompts(&[]).unwrap();
    let many: Vec<String> = (0..40).map(|idx| format!("red disc {idx}")).collect();
    let mut known = KnownLabels::default();
    assert_eq!(known.n_missing(&many[..20], &prompts), 20);
    let n_asked = Cell::new(0);
    let stop = async |n_encoded, n_labels| {
        n_asked.set(n_asked.get() + 1);
        assert_eq!((n_encoded, n_labels), (16 * n_asked.get(), 40));
        n_asked.get() < 2
    };
    let stopped = block_on(engine.embed_labels_while(&many, &prompts, &mut known, stop)).unwrap();
    assert!(stopped.is_none() && n_asked.get() == 2, "it stops between two chunks");
    let n_missing = known.n_missing(&many, &prompts);
    assert_eq!(n_missing, 8, "what was encoded is kept");
    let all =
        block_on(engine.embed_labels_while(&many, &prompts, &mut known, async |_, _| true)).unwrap().unwrap();
    assert_eq!(all, block_on(engine.embed_labels(&many, &prompts)).unwrap());
    assert_eq!(known.n_missing(&many, &prompts), 0);
    let twice = [&many[..1], &many[..1], &["blue".to_owned()]].concat();
    let told = Cell::new((0, 0));
    let tell = async |n_encoded, n_labels| {
        told.set((n_encoded, n_labels));
        true
    };
    block_on(engine.embed_labels_while(&twice, &prompts, &mut known, tell)).unwrap().unwrap();
    assert_eq!(told.get(), (3, 3), "what is known counts as encoded");
    let other = engine.prompts(&["a {label}".to_owned()]).unwrap();
    assert!(known.n_missing(&many, &other) > 0, "another prompt is another embedding");
}

/// What was not fitted for a model is not in its file; and the figures that were once put there for want of better ones
/// are not read.
#[test]
fn a_file_without_a_fit_is_not_calibrated() {
    let load = |calibration: Calibration| {
        let mut checkpoint = starter_like();
        checkpoint.config.calibration = calibration;
        let bytes = save_gguf(&checkpoint, &Quantization::all(Format::Q8_0)).unwrap();
        let engine = block_on(Engine::load(&bytes, BackendChoice::Cpu, |_| ())).unwrap();
        assert_eq!(engine.info().knows_none, engine.calibration().none_similarity.is_some());
        (engine.info().is_calibrated, engine.calibration())
    };
    let imported = Calibration { scale: 42.0, ..Calibration::default() };
    assert_eq!(load(imported), (false, imported));
    let old = Calibration {
        sigmoid_scale: Some(100.0),
        sigmoid_bias: Some(-24.0),
        none_similarity: Some(0.22),
        ..imported
    };
    assert_eq!(load(old), (false, imported));
    // A fit that was made before files held its size, and one that found the model to know nothing of misfits.
    let fitted = Calibration { none_similarity: Some(0.25), clear_probability: Some(0.9), ..old };
    assert_eq!(load(fitted), (true, fitted));
    let without_none = Calibration { none_similarity: None, n_fitted_sets: Some(560), ..fitted };
    assert_eq!(load(without_none), (true, without_none));
    // "None of these" would have been wrong three times in four when it was measured, so the starter never says it.
    let starter = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/static/models/starter.gguf")).unwrap();
    let calibration = load_gguf(&starter).unwrap().config.calibration;
    assert!(calibration.is_fitted() && calibration.sigmoid().is_some(), "{calibration:?}");
    assert!(!calibration.knows_none() && calibration.clear_probability.is_none(), "{calibration:?}");
}

#[test]
fn a_picture_of_the_wrong_size_is_refused_with_both_sizes() {
    let engine = block_on(Engine::load(&packed(), BackendChoice::Cpu, |_| ())).unwrap();
    let error =
        block_on(engine.encode_images(&[PixelTensor { size: 8, values: vec![0.0; 192] }])).unwrap_err();
    assert!(matches!(error, EngineError::PictureSize { given: 8, expected: 45 }), "{error}");
}

/// The negative control of the self-test: a changed weight, and a changed record, are both refused with the figure.
#[test]
fn wrong_results_are_refused_with_the_figure() {
    let refused = |checkpoint: &Checkpoint| {
        let bytes = save_gguf(checkpoint, &Quantization::all(Format::Q8_0)).unwrap();
        match block_on(Engine::load(&bytes, BackendChoice::Cpu, |_| ())) {
            Err(error @ EngineError::SelfTest { .. }) => error.to_string(),
            Err(error) => panic!("another error: {error}"),
            Ok(_) => panic!("wrong results were accepted"),
        }
    };
    let good = load_gguf(&packed()).unwrap();

    let mut bad = good.clone();
    let stem = bad.weights.take("vision.stem.weight").unwrap();
    let values: Vec<f32> = stem.to_f32().iter().rev().copied().collect();
    bad.weights.insert("vision.stem.weight", Tensor::from_f32(&stem.shape, &values, Format::F32).unwrap());
    assert!(refused(&bad).contains("needed 0.999"));

    let mut bad = good;
    bad.config.selftest.as_mut().unwrap().text_embeds[0] += 0.2;
    assert!(refused(&bad).contains("wrong results on this device (CPU)"));
}

#[test]
fn a_missing_or_misshapen_weight_is_named() {
    let load = |checkpoint: &Checkpoint| {
        let bytes = save_gguf(checkpoint, &Quantization::all(Format::F32)).unwrap();
        block_on(Engine::load(&bytes, BackendChoice::Cpu, |_| ())).map(|_| ()).unwrap_err().to_string()
    };
    let mut bad = starter_like();
    bad.weights.take("text.blocks.1.up.bias").unwrap();
    assert!(load(&bad).contains("text.blocks.1.up.bias"));

    let mut bad = starter_like();
    bad.weights
        .insert("text_head.1.weight", Tensor::from_f32(&[31, 64], &[0.5; 31 * 64], Format::F32).unwrap());
    bad.weights.take("text_head.1.bias").unwrap();
    assert!(load(&bad).contains("pictures have 32, texts 31"), "{}", load(&bad));

    let mut bad = starter_like();
    bad.config.tokenizer = None;
    let bytes = save_gguf(&bad, &Quantization::all(Format::F32)).unwrap();
    let engine = block_on(Engine::load(&bytes, BackendChoice::Cpu, |_| ())).unwrap();
    assert!(matches!(block_on(engine.encode_texts(&["red"])), Err(EngineError::NoTokenizer)));
}

#[test]
fn a_files_templates_are_at_least_one_and_parse() {
    let load = |templates: &[&str]| {
        let mut checkpoint = starter_like();
        checkpoint.config.templates = templates.iter().map(|&text| text.to_owned()).collect();
        block_on(Engine::from_checkpoint(checkpoint, 0, BackendChoice::Cpu, |_| ()))
    };
    assert_eq!(load(&[]).unwrap().templates(), ["{label}"]);
    assert_eq!(load(&["a {label}", "{label}"]).unwrap().templates(), ["a {label}", "{label}"]);
    for bad in ["no place", "{label} {label}", "{label} {"] {
        let error = load(&["{label}", bad]).map(|_| ()).unwrap_err();
        assert!(matches!(error, EngineError::Text(_)) && error.to_string().contains("template"), "{error}");
    }
}

/// Our own file is judged as an imported folder is.
#[test]
fn a_files_pictures_are_those_that_its_tower_sees() {
    let refused = |edit: fn(&mut Config)| {
        let mut bad = starter_like();
        edit(&mut bad.config);
        let bytes = save_gguf(&bad, &Quantization::all(Format::F32)).unwrap();
        block_on(Engine::load(&bytes, BackendChoice::Cpu, |_| ())).map(|_| ()).unwrap_err().to_string()
    };
    let error = refused(|config| config.preprocess.size = 44);
    assert!(error.contains("makes pictures of 44 pixels, the model sees 45"), "{error}");
    let error = refused(|config| config.preprocess.std[1] = 0.0);
    assert!(error.contains("deviation [") && error.contains("0.0"), "{error}");
    let error = refused(|config| {
        config.preprocess.size = 1_000_000;
        let strides = vec![1];
        config.vision = Some(Vision::EfficientnetLite { image_size: 1_000_000, strides });
    });
    assert!(error.contains("pictures of 1000000 pixels, the most are 4096"), "{error}");
    let error = refused(|config| {
        let Some(Text::Bert { transformer, .. }) = config.text.clone() else { panic!("not BERT") };
        let image_size = config.preprocess.size;
        config.vision = Some(Vision::ClipVit { image_size, patch_size: u32::MAX as usize, transformer });
    });
    assert!(error.contains("patches of 4294967295 pixels do not fit"), "{error}");
}

#[test]
fn any_bytes_give_an_error() {
    for bytes in [&b""[..], b"GGUF", b"<!doctype html>", &[0xff; 64]] {
        assert!(block_on(Engine::load(bytes, BackendChoice::Cpu, |_| ())).is_err());
    }
}

/// The GPU gives what the CPU gives, says which adapter it is, and comes back after it was lost.
#[test]
fn the_gpu_agrees_and_recovers() {
    let bytes = packed();
    let mut engine = block_on(Engine::load(&bytes, BackendChoice::Gpu, |_| ())).unwrap();
    let info = engine.info().clone();
    assert!(info.backend.adapter.is_some_and(|name| !name.is_empty()));
    assert!(info.self_test.is_some_and(|test| test.passed && test.cosine_image > 0.999_99));
    let picture = engine.preprocess(&self_test_picture(60));
    let before = block_on(engine.encode_images(std::slice::from_ref(&picture))).unwrap();

    engine.lose_device();
    let error = block_on(engine.encode_images(std::slice::from_ref(&picture))).unwrap_err();
    assert!(error.is_device_lost(), "{error}");
    block_on(engine.recover(BackendChoice::Gpu)).unwrap();
    assert_eq!(block_on(engine.encode_images(std::slice::from_ref(&picture))).unwrap(), before);

    engine.lose_device();
    block_on(engine.recover(BackendChoice::Cpu)).unwrap();
    let cpu = block_on(engine.encode_images(&[picture])).unwrap();
    let near = cpu[0].values().iter().zip(before[0].values()).all(|(a, b)| (a - b).abs() <= 1e-5);
    assert!(near && engine.info().backend.kind == cliplet::engine::BackendKind::Cpu);
}
