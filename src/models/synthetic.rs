//! CLIP of any real shape with weights made by a formula: to time, and to compare backends at full size where published
//! files cannot be had.
//!
//! Invariant: the same shape gives the same weights on every machine.

use super::config::{Text, Transformer, Vision};
use super::{Checkpoint, Config, ModelError};
use crate::graph::Activation;
use crate::image::Preprocess;
use crate::tensor::{Format, Tensor};
use crate::weights::Weights;

/// Widths of a published CLIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipShape {
    pub image_size: usize,
    pub patch_size: usize,
    pub vision_width: usize,
    pub vision_layers: usize,
    pub text_width: usize,
    pub embedding_width: usize,
}

impl ClipShape {
    pub const VIT_B32: Self = Self {
        image_size: 224,
        patch_size: 32,
        vision_width: 768,
        vision_layers: 12,
        text_width: 512,
        embedding_width: 512,
    };
    pub const VIT_B16: Self = Self { patch_size: 16, ..Self::VIT_B32 };
    pub const VIT_L14: Self = Self {
        image_size: 224,
        patch_size: 14,
        vision_width: 1024,
        vision_layers: 24,
        text_width: 768,
        embedding_width: 768,
    };

    /// The model; matrices as `format`, the text tower's 49,408 tokens too.
    pub fn checkpoint(self, format: Format) -> Result<Checkpoint, ModelError> {
        let stack = |width: usize, n_layers: usize| Transformer {
            width,
            n_layers,
            n_heads: width / 64,
            n_hidden: 4 * width,
            activation: Activation::QuickGelu,
            epsilon: 1e-5,
        };
        let vision = stack(self.vision_width, self.vision_layers);
        let text = stack(self.text_width, 12);
        let mut maker = Maker { weights: Weights::default(), format, state: 1 };
        let n_pixels = self.patch_size * self.patch_size * 3;
        maker.matrix("vision.patch.weight", self.vision_width, n_pixels)?;
        maker.vector("vision.class", self.vision_width, 0.0)?;
        let n_tokens = (self.image_size / self.patch_size).pow(2) + 1;
        maker.values("vision.position", &[n_tokens, self.vision_width], 0.0, 0.5, Format::F32)?;
        maker.norm("vision.pre_norm", self.vision_width)?;
        maker.norm("vision.post_norm", self.vision_width)?;
        maker.matrix("text.token.weight", 49_408, self.text_width)?;
        maker.values("text.position", &[77, self.text_width], 0.0, 0.05, Format::F32)?;
        maker.norm("text.final_norm", self.text_width)?;
        for (side, Transformer { width, n_layers, n_hidden, .. }) in [("vision", &vision), ("text", &text)] {
            maker.matrix(&format!("{side}.projection.weight"), self.embedding_width, *width)?;
            for i in 0..*n_layers {
                let part = |part: &str| format!("{side}.blocks.{i}.{part}");
                maker.norm(&part("norm1"), *width)?;
                maker.norm(&part("norm2"), *width)?;
                for (name, n_out, n_in) in [
                    ("qkv", 3 * width, *width),
                    ("out", *width, *width),
                    ("up", *n_hidden, *width),
                    ("down", *width, *n_hidden),
                ] {
                    maker.matrix(&part(&format!("{name}.weight")), n_out, n_in)?;
                    maker.vector(&part(&format!("{name}.bias")), n_out, 0.0)?;
                }
            }
        }
        let config = Config {
            vision: Some(Vision::ClipVit {
                image_size: self.image_size,
                patch_size: self.patch_size,
                transformer: vision,
            }),
            text: Some(Text::ClipText { context_len: 77, end_token: Some(49_407), transformer: text }),
            preprocess: Preprocess { size: self.image_size, ..Default::default() },
            ..Default::default()
        };
        Ok(Checkpoint { config, weights: maker.weights })
    }
}

struct Maker {
    weights: Weights,
    format: Format,
    state: u64,
}

impl Maker {
    /// Even numbers around `mean`, from Knuth's linear congruential generator.
    fn values(
        &mut self,
        name: &str,
        shape: &[usize],
        mean: f32,
        spread: f32,
        format: Format,
    ) -> Result<(), ModelError> {
        let mut next = || {
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            mean + spread * ((self.state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
        let format = if shape.last().is_some_and(|n| n.is_multiple_of(format.block_len())) {
            format
        } else {
            Format::F16
        };
        self.weights.insert(name, Tensor::from_f32(shape, &values, format)?);
        Ok(())
    }

    /// Rows that keep the size of what they multiply.
    fn matrix(&mut self, name: &str, n_out: usize, n_in: usize) -> Result<(), ModelError> {
        self.values(name, &[n_out, n_in], 0.0, (3.0 / n_in as f32).sqrt(), self.format)
    }

    fn vector(&mut self, name: &str, len: usize, mean: f32) -> Result<(), ModelError> {
        self.values(name, &[len], mean, 0.1, Format::F32)
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<(), ModelError> {
        self.vector(&format!("{name}.weight"), width, 1.0)?;
        self.vector(&format!("{name}.bias"), width, 0.0)
    }
}
