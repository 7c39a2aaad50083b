//! Hugging Face's dual encoders: CLIPModel, ChineseCLIPModel and SiglipModel.

use serde::Deserialize;
use serde_json::Value;

use super::bert::bert_tower;
use super::rules::{Rules, Transform};
use super::{CLIP_TEMPLATE, Imported, config_error, parse_activation, scalar};
use crate::graph::Activation;
use crate::image::{Fit, Preprocess};
use crate::models::config::{Calibration, Pooled, Text, Transformer, Vision};
use crate::models::{Config, ModelError};
use crate::weights::TensorSource;

/// The same of Chinese-CLIP's: "a photo of LABEL".
const CHINESE_TEMPLATE: &str = "一张{label}的照片";

/// One side of a Hugging Face CLIP or SigLIP config; files leave out what their classes have as defaults.
#[derive(Deserialize)]
struct ClipSide {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f32>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<u32>,
    pad_token_id: Option<u32>,
}

impl ClipSide {
    fn parse(json: &Value, key: &str) -> Result<Self, ModelError> {
        let side = json.get(key).cloned().unwrap_or(Value::Object(Default::default()));
        serde_json::from_value(side).map_err(config_error)
    }

    fn transformer(&self, default: Transformer) -> Result<Transformer, ModelError> {
        let activation = self.hidden_act.as_deref().map(parse_activation).transpose()?;
        Transformer {
            width: self.hidden_size.unwrap_or(default.width),
            n_layers: self.num_hidden_layers.unwrap_or(default.n_layers),
            n_heads: self.num_attention_heads.unwrap_or(default.n_heads),
            n_hidden: self.intermediate_size.unwrap_or(default.n_hidden),
            activation: activation.unwrap_or(default.activation),
            epsilon: self.layer_norm_eps.unwrap_or(default.epsilon),
        }
        .checked()
    }
}

/// What Hugging Face's configurations leave out of a tower.
fn clip_transformer(width: usize) -> Transformer {
    Transformer {
        width,
        n_layers: 12,
        n_heads: width / 64,
        n_hidden: 4 * width,
        activation: Activation::QuickGelu,
        epsilon: 1e-5,
    }
}

/// CLIPModel's image tower, which ChineseCLIPModel has as well.
fn clip_vision(rules: &mut Rules, json: &Value) -> Result<Vision, ModelError> {
    let vision = ClipSide::parse(json, "vision_config")?;
    let transformer = vision.transformer(clip_transformer(768))?;
    let patch = "vision_model.embeddings.patch_embedding.weight".to_owned();
    rules.push("vision.patch.weight", &[patch], Transform::ChannelsLast, false);
    rules.copy("vision.class", "vision_model.embeddings.class_embedding");
    rules.copy("vision.position", "vision_model.embeddings.position_embedding.weight");
    rules.layer("vision.pre_norm", "vision_model.pre_layrnorm"); // sic
    rules.layer("vision.post_norm", "vision_model.post_layernorm");
    rules.layer("vision.projection", "visual_projection");
    rules.hugging_face_blocks("vision", transformer.n_layers);
    let (image_size, patch_size) = (vision.image_size.unwrap_or(224), vision.patch_size.unwrap_or(32));
    Ok(Vision::ClipVit { image_size, patch_size, transformer })
}

/// A model of these towers, with the temperature of its file.
fn clip_config(vision: Vision, text: Text, template: &str, weights: &dyn TensorSource) -> Config {
    let mut calibration = Calibration::default();
    if let Some(scale) = scalar(weights, "logit_scale") {
        calibration.scale = scale.exp();
    }
    Config {
        preprocess: Preprocess { size: vision.image_size(), ..Default::default() },
        vision: Some(vision),
        text: Some(text),
        calibration,
        templates: vec![template.to_owned()],
        ..Default::default()
    }
}

/// Hugging Face's CLIPModel.
pub(super) fn clip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let mut rules = Rules::default();
    let vision = clip_vision(&mut rules, json)?;
    let text = ClipSide::parse(json, "text_config")?;
    let transformer = text.transformer(clip_transformer(512))?;
    rules.copy("text.token.weight", "text_model.embeddings.token_embedding.weight");
    rules.copy("text.position", "text_model.embeddings.position_embedding.weight");
    rules.layer("text.final_norm", "text_model.final_layer_norm");
    rules.layer("text.projection", "text_projection");
    rules.hugging_face_blocks("text", transformer.n_layers);
    let text = Text::ClipText {
        context_len: text.max_position_embeddings.unwrap_or(77),
        // Early configs say 2; Hugging Face then pools the highest id, and so does `None`.
        end_token: text.eos_token_id.filter(|&id| id != 2),
        transformer,
    };
    Ok((clip_config(vision, text, CLIP_TEMPLATE, weights), rules))
}

/// Hugging Face's ChineseCLIPModel: CLIP's image tower, and a BERT of whose text the start token's row is taken.
pub(super) fn chinese_clip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let mut rules = Rules::default();
    let vision = clip_vision(&mut rules, json)?;
    let text = json.get("text_config").unwrap_or(&Value::Null);
    let text = bert_tower(&mut rules, text, "text_model.", Pooled::First)?;
    rules.layer("text.projection", "text_projection");
    Ok((clip_config(vision, text, CHINESE_TEMPLATE, weights), rules))
}

/// Hugging Face's SiglipModel (SigLIP 2 of one fixed size too).
pub(super) fn siglip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let vision = ClipSide::parse(json, "vision_config")?;
    let text = ClipSide::parse(json, "text_config")?;
    let default = || Transformer {
        width: 768,
        n_layers: 12,
        n_heads: 12,
        n_hidden: 3072,
        activation: Activation::GeluTanh,
        epsilon: 1e-6,
    };
    let (vision_stack, text_stack) = (vision.transformer(default())?, text.transformer(default())?);
    let image_size = vision.image_size.unwrap_or(224);

    let mut rules = Rules::default();
    let patch = "vision_model.embeddings.patch_embedding";
    rules.push("vision.patch.weight", &[format!("{patch}.weight")], Transform::ChannelsLast, false);
    rules.copy("vision.patch.bias", &format!("{patch}.bias"));
    rules.copy("vision.position", "vision_model.embeddings.position_embedding.weight");
    rules.layer("vision.post_norm", "vision_model.post_layernorm");
    let head = |part: &str| format!("vision_model.head.{part}");
    let (in_weight, in_bias) = (head("attention.in_proj_weight"), head("attention.in_proj_bias"));
    rules.push(
        "vision.pool.qkv.bias",
        &[in_bias, in_weight.clone(), head("probe")],
        Transform::ProbeBias,
        false,
    );
    rules.push("vision.pool.qkv.weight", &[in_weight], Transform::ProbeWeight, false);
    for (ours, theirs) in
        [("out", "attention.out_proj"), ("norm", "layernorm"), ("up", "mlp.fc1"), ("down", "mlp.fc2")]
    {
        rules.layer(&format!("vision.pool.{ours}"), &head(theirs));
    }
    rules.copy("text.token.weight", "text_model.embeddings.token_embedding.weight");
    rules.copy("text.position", "text_model.embeddings.position_embedding.weight");
    rules.layer("text.final_norm", "text_model.final_layer_norm");
    rules.layer("text.projection", "text_model.head");
    rules.hugging_face_blocks("vision", vision_stack.n_layers);
    rules.hugging_face_blocks("text", text_stack.n_layers);

    // Trained with a sigmoid a label: cosine × scale + bias.
    let scale = scalar(weights, "logit_scale").map_or(Calibration::default().scale, f32::exp);
    let calibration = Calibration {
        scale,
        sigmoid_scale: Some(scale),
        sigmoid_bias: scalar(weights, "logit_bias"),
        ..Default::default()
    };
    let config = Config {
        vision: Some(Vision::SiglipVit {
            image_size,
            patch_size: vision.patch_size.unwrap_or(16),
            transformer: vision_stack,
        }),
        text: Some(Text::SiglipText {
            context_len: text.max_position_embeddings.unwrap_or(64),
            pad_token: text.pad_token_id.unwrap_or(1),
            transformer: text_stack,
        }),
        preprocess: Preprocess {
            size: image_size,
            mean: [0.5; 3],
            std: [0.5; 3],
            fit: Fit::Squash,
            ..Default::default()
        },
        calibration,
        templates: vec!["This is a photo of {label}.".to_owned()],
        ..Default::default()
    };
    Ok((config, rules))
}

impl Rules {
    /// The blocks of CLIPModel and SiglipModel.
    fn hugging_face_blocks(&mut self, side: &str, n_layers: usize) {
        for i in 0..n_layers {
            let to = |part: &str| format!("{side}.blocks.{i}.{part}");
            let from = |part: &str| format!("{side}_model.encoder.layers.{i}.{part}");
            self.stack(&to("qkv"), &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(from));
            for (ours, theirs) in [
                ("out", "self_attn.out_proj"),
                ("norm1", "layer_norm1"),
                ("norm2", "layer_norm2"),
                ("up", "mlp.fc1"),
                ("down", "mlp.fc2"),
            ] {
                self.layer(&to(ours), &from(theirs));
            }
        }
    }
}
