//! clip.cpp's GGUF files: both towers, or one of them in a file of its own.

use super::CLIP_TEMPLATE;
use super::rules::{Rules, TensorRule, Transform};
use crate::graph::Activation;
use crate::image::Preprocess;
use crate::models::config::{Text, Transformer, Vision};
use crate::models::{Config, ModelError};
use crate::weights::gguf::GgufFile;

/// clip.cpp's GGUF: both towers, or one of them in a file of its own.
///
/// Its traps: `ffn_down` is the first layer of the perceptron and `ffn_up` the second; the patch convolution is f16; there
/// is no temperature (CLIP's trained value is 100, its ceiling) and no way to tokenize (the merges are missing); no end
/// token is named, but in CLIP's vocabulary it has the highest id.
pub(super) fn plan_clip_cpp(file: &GgufFile) -> Result<(Config, Vec<TensorRule>), ModelError> {
    let has = |side: &str| file.bool(&format!("clip.has_{side}_encoder"));
    let mut config = Config { templates: vec![CLIP_TEMPLATE.to_owned()], ..Default::default() };
    config.about.name = file.string("general.name").unwrap_or("clip.cpp model").to_owned();
    let activation = if file.bool("clip.use_gelu")? { Activation::Gelu } else { Activation::QuickGelu };
    let stack = |side: &str| -> Result<Transformer, ModelError> {
        let key = |part: &str| format!("clip.{side}.{part}");
        Transformer {
            width: file.usize(&key("embedding_length"))?,
            n_layers: file.usize(&key("block_count"))?,
            n_heads: file.usize(&key("attention.head_count"))?,
            n_hidden: file.usize(&key("feed_forward_length"))?,
            activation,
            epsilon: file.f32(&key("attention.layer_norm_epsilon"))?,
        }
        .checked()
    };
    let mut rules = Rules::default();
    if has("vision")? {
        let image_size = file.usize("clip.vision.image_size")?;
        let patch_size = file.usize("clip.vision.patch_size")?;
        let transformer = stack("vision")?;
        rules.push(
            "vision.patch.weight",
            &["v.patch_embd.weight".to_owned()],
            Transform::ChannelsLast,
            false,
        );
        rules.copy("vision.class", "v.class_embd");
        rules.copy("vision.position", "v.position_embd.weight");
        rules.layer("vision.pre_norm", "v.pre_ln");
        rules.layer("vision.post_norm", "v.post_ln");
        rules.layer("vision.projection", "visual_projection");
        rules.clip_cpp_blocks("vision", "v", transformer.n_layers);
        let rgb = |key: &str, fallback: [f32; 3]| {
            file.f32s(key).ok().and_then(|values| values.try_into().ok()).unwrap_or(fallback)
        };
        config.preprocess = Preprocess {
            size: image_size,
            mean: rgb("clip.vision.image_mean", Preprocess::CLIP.mean),
            std: rgb("clip.vision.image_std", Preprocess::CLIP.std),
            ..Default::default()
        };
        config.vision = Some(Vision::ClipVit { image_size, patch_size, transformer });
    }
    if has("text")? {
        let transformer = stack("text")?;
        rules.copy("text.token.weight", "t.token_embd.weight");
        rules.copy("text.position", "t.position_embd.weight");
        rules.layer("text.final_norm", "t.post_ln");
        rules.layer("text.projection", "text_projection");
        rules.clip_cpp_blocks("text", "t", transformer.n_layers);
        let context_len = file.usize("clip.text.context_length")?;
        config.text = Some(Text::ClipText { context_len, end_token: None, transformer });
    }
    Ok((config, rules.0))
}

impl Rules {
    fn clip_cpp_blocks(&mut self, side: &str, prefix: &str, n_layers: usize) {
        for i in 0..n_layers {
            let to = |part: &str| format!("{side}.blocks.{i}.{part}");
            let from = |part: &str| format!("{prefix}.blk.{i}.{part}");
            self.stack(&to("qkv"), &["attn_q", "attn_k", "attn_v"].map(from));
            for (ours, theirs) in [
                ("out", "attn_out"),
                ("norm1", "ln1"),
                ("norm2", "ln2"),
                ("up", "ffn_down"),
                ("down", "ffn_up"),
            ] {
                self.layer(&to(ours), &from(theirs));
            }
        }
    }
}
