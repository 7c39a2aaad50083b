//! open_clip's own towers: a ViT or a ModifiedResNet beside its text transformer.

use serde::Deserialize;
use serde_json::Value;

use super::preprocessor::open_clip_preprocess;
use super::rules::{Rules, Transform};
use super::{CLIP_TEMPLATE, Imported, config_error, scalar};
use crate::graph::Activation;
use crate::image::Preprocess;
use crate::models::config::{Calibration, Text, Transformer, Vision, check_layers};
use crate::models::{Config, ModelError};
use crate::weights::TensorSource;

/// The image tower of open_clip's RN50 family, alone or under `visual.`. The config is
/// `{"architecture": "ModifiedResNet", "image_size": 224, "layers": [3, 4, 6, 3], "heads": 32}`.
pub(super) fn modified_resnet(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    #[derive(Deserialize)]
    struct Resnet {
        image_size: usize,
        layers: Vec<usize>,
        heads: usize,
    }
    let Resnet { image_size, layers, heads } = serde_json::from_value(json.clone()).map_err(config_error)?;
    let prefix = if weights.contains("visual.attnpool.c_proj.weight") { "visual." } else { "" };
    let mut rules = Rules::default();
    let strides = rules.modified_resnet(prefix, &layers)?;
    let config = Config {
        vision: Some(Vision::ModifiedResnet { image_size, strides, n_heads: heads }),
        preprocess: Preprocess { size: image_size, ..Default::default() },
        templates: vec![CLIP_TEMPLATE.to_owned()],
        ..Default::default()
    };
    Ok((config, rules))
}

/// open_clip's CLIP with its own towers: a ViT or a ModifiedResNet under `visual.`, and its text transformer. The config
/// is `open_clip_config.json`, or what that holds as `model_cfg`.
pub(super) fn open_clip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    /// Only what [`NEUTRAL`] does not cover; the defaults are open_clip's.
    #[derive(Deserialize)]
    struct VisionSide {
        image_size: Option<usize>,
        layers: Option<Layers>,
        width: Option<usize>,
        patch_size: Option<usize>,
        head_width: Option<usize>,
        mlp_ratio: Option<f64>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Layers {
        Vit(usize),
        Resnet(Vec<usize>),
    }
    #[derive(Deserialize)]
    struct TextSide {
        context_length: Option<usize>,
        width: Option<usize>,
        heads: Option<usize>,
        layers: Option<usize>,
        mlp_ratio: Option<f64>,
    }
    let model = json.get("model_cfg").unwrap_or(json);
    let side = |key: &str, known: &[&str]| {
        let side = model.get(key).cloned().unwrap_or_else(|| Value::Object(Default::default()));
        for foreign in ["timm_model_name", "hf_model_name"] {
            if let Some(name) = side.get(foreign).and_then(Value::as_str) {
                return Err(ModelError::Unsupported {
                    architecture: format!("{name} (open_clip's {foreign})"),
                });
            }
        }
        // A setting that is not known may change what is computed, and nothing would tell.
        let is_unknown = |(name, value): &(&String, &Value)| {
            !known.contains(&name.as_str())
                && !matches!(value, Value::Null | Value::Bool(false))
                && !NEUTRAL
                    .iter()
                    .any(|(key, neutral)| key == name && (neutral.is_empty() || value == neutral))
        };
        match side.as_object().into_iter().flatten().find(is_unknown) {
            None => Ok(side),
            Some((name, value)) => Err(ModelError::Config(format!(
                "open_clip_config.json: {key}.{name} = {value} is not supported"
            ))),
        }
    };
    let vision = ["image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"];
    let vision: VisionSide = serde_json::from_value(side("vision_cfg", &vision)?).map_err(config_error)?;
    let text = ["context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"];
    let text: TextSide = serde_json::from_value(side("text_cfg", &text)?).map_err(config_error)?;
    let is_quick = model.get("quick_gelu").and_then(Value::as_bool).unwrap_or(false);
    let stack = |width: usize, n_layers: usize, n_heads: usize, ratio: Option<f64>| {
        Transformer {
            width,
            n_layers,
            n_heads,
            n_hidden: (width as f64 * ratio.unwrap_or(4.0)) as usize,
            activation: if is_quick { Activation::QuickGelu } else { Activation::Gelu },
            epsilon: 1e-5, // PyTorch's
        }
        .checked()
    };
    let project = |rules: &mut Rules, to: &str, from: &str| {
        rules.push(&format!("{to}.weight"), &[from.to_owned()], Transform::Transpose, false);
    };

    let mut rules = Rules::default();
    let image_size = vision.image_size.unwrap_or(224);
    let head_width = vision.head_width.unwrap_or(64).max(1);
    let vision = match vision.layers.unwrap_or(Layers::Vit(12)) {
        Layers::Resnet(layers) => {
            let n_heads = vision.width.unwrap_or(64).saturating_mul(32) / head_width;
            let strides = rules.modified_resnet("visual.", &layers)?;
            Vision::ModifiedResnet { image_size, strides, n_heads }
        }
        Layers::Vit(n_layers) => {
            let width = vision.width.unwrap_or(768);
            let patch = "visual.conv1.weight".to_owned();
            rules.push("vision.patch.weight", &[patch], Transform::ChannelsLast, false);
            rules.copy("vision.class", "visual.class_embedding");
            rules.copy("vision.position", "visual.positional_embedding");
            rules.layer("vision.pre_norm", "visual.ln_pre");
            rules.layer("vision.post_norm", "visual.ln_post");
            project(&mut rules, "vision.projection", "visual.proj");
            rules.open_clip_blocks("vision", "visual.", n_layers);
            let transformer = stack(width, n_layers, width / head_width, vision.mlp_ratio)?;
            Vision::ClipVit { image_size, patch_size: vision.patch_size.unwrap_or(16), transformer }
        }
    };
    // With `custom_text` the text tower is a module of its own.
    let prefix = if weights.contains("text.token_embedding.weight") { "text." } else { "" };
    let from = |part: &str| format!("{prefix}{part}");
    let transformer =
        stack(text.width.unwrap_or(512), text.layers.unwrap_or(12), text.heads.unwrap_or(8), text.mlp_ratio)?;
    rules.copy("text.token.weight", &from("token_embedding.weight"));
    rules.copy("text.position", &from("positional_embedding"));
    rules.layer("text.final_norm", &from("ln_final"));
    project(&mut rules, "text.projection", &from("text_projection"));
    rules.open_clip_blocks("text", prefix, transformer.n_layers);

    let mut calibration = Calibration::default();
    if let Some(scale) = scalar(weights, "logit_scale") {
        calibration.scale = scale.exp();
    }
    // The highest id is pooled, whatever its name.
    let text =
        Text::ClipText { context_len: text.context_length.unwrap_or(77), end_token: None, transformer };
    let preprocess = Preprocess { size: image_size, ..Default::default() };
    let config = Config {
        vision: Some(vision),
        text: Some(text),
        preprocess: open_clip_preprocess(json.get("preprocess_cfg"), preprocess)?,
        calibration,
        templates: vec![CLIP_TEMPLATE.to_owned()],
        ..Default::default()
    };
    Ok((config, rules))
}

/// Settings of open_clip's towers that change nothing at this value; at any, where none is given.
const NEUTRAL: [(&str, &str); 9] = [
    ("pool_type", "tok"),
    ("pool_type", "argmax"),
    ("pos_embed_type", "learnable"),
    ("proj_type", "linear"),
    ("attn_type", ""), // which kernel computes it
    ("patch_dropout", ""),
    ("pad_id", ""),
    ("hf_tokenizer_name", ""),
    ("tokenizer_kwargs", ""),
];

impl Rules {
    fn open_clip_blocks(&mut self, side: &str, prefix: &str, n_layers: usize) {
        for i in 0..n_layers {
            let to = |part: &str| format!("{side}.blocks.{i}.{part}");
            let from = |part: &str| format!("{prefix}transformer.resblocks.{i}.{part}");
            for part in ["weight", "bias"] {
                self.copy(&to(&format!("qkv.{part}")), &from(&format!("attn.in_proj_{part}")));
            }
            for (ours, theirs) in [
                ("out", "attn.out_proj"),
                ("norm1", "ln_1"),
                ("norm2", "ln_2"),
                ("up", "mlp.c_fc"),
                ("down", "mlp.c_proj"),
            ] {
                self.layer(&to(ours), &from(theirs));
            }
        }
    }

    /// Stages of `layers` blocks each under open_clip's names; returns the blocks' strides: 2 where a stage but the first
    /// begins.
    pub(super) fn modified_resnet(
        &mut self,
        prefix: &str,
        layers: &[usize],
    ) -> Result<Vec<usize>, ModelError> {
        check_layers(layers.iter().fold(layers.len(), |sum, n_blocks| sum.saturating_add(*n_blocks)))?;
        const EPSILON: f32 = 1e-5; // PyTorch's
        let transform = Transform::FoldedConv { epsilon: EPSILON };
        let mut conv =
            |to: String, from: String, norm: String| self.folded(&to, &from, &norm, transform, EPSILON);
        for i in 0..3 {
            let from = |part: &str| format!("{prefix}{part}{}", i + 1);
            conv(format!("vision.stem.{i}"), from("conv"), from("bn"));
        }
        let mut strides = Vec::new();
        for (stage, &n_blocks) in layers.iter().enumerate() {
            for block in 0..n_blocks {
                let to = |part: &str| format!("vision.blocks.{}.{part}", strides.len());
                let from = |part: &str| format!("{prefix}layer{}.{block}.{part}", stage + 1);
                for (i, part) in ["reduce", "conv", "expand"].into_iter().enumerate() {
                    conv(to(part), from(&format!("conv{}", i + 1)), from(&format!("bn{}", i + 1)));
                }
                // A stage's first block changes size or channels, the others never.
                if block == 0 {
                    conv(to("shortcut"), from("downsample.0"), from("downsample.1"));
                }
                strides.push(if block == 0 && stage > 0 { 2 } else { 1 });
            }
        }
        let from = |part: &str| format!("{prefix}attnpool.{part}");
        self.copy("vision.pool.position", &from("positional_embedding"));
        self.stack("vision.pool.qkv", &["q_proj", "k_proj", "v_proj"].map(from));
        self.layer("vision.projection", &from("c_proj"));
        Ok(strides)
    }
}
