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
    pub vision: VisionShape,
    /// 12 layers, heads of 64.
    pub text_width: usize,
    pub embedding_width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisionShape {
    /// Heads of 64.
    Vit { patch_size: usize, width: usize, n_layers: usize },
    /// ModifiedResNet: channels of the stem, blocks of each of the four stages; heads of 64.
    Resnet { width: usize, n_blocks: [usize; 4] },
}

impl ClipShape {
    pub const VIT_B32: Self = Self::vit(32, 768, 12, 512);
    pub const VIT_B16: Self = Self::vit(16, 768, 12, 512);
    pub const VIT_L14: Self = Self::vit(14, 1024, 24, 768);
    pub const RN50: Self = Self {
        image_size: 224,
        vision: VisionShape::Resnet { width: 64, n_blocks: [3, 4, 6, 3] },
        text_width: 512,
        embedding_width: 1024,
    };

    const fn vit(patch_size: usize, width: usize, n_layers: usize, text_width: usize) -> Self {
        let vision = VisionShape::Vit { patch_size, width, n_layers };
        Self { image_size: 224, vision, text_width, embedding_width: text_width }
    }

    /// The model; matrices as `format`, the text tower's 49,408 tokens too.
    pub fn checkpoint(self, format: Format) -> Result<Checkpoint, ModelError> {
        let mut maker = Maker { weights: Weights::default(), format, state: 1 };
        let vision = match self.vision {
            VisionShape::Vit { patch_size, width, n_layers } => {
                maker.vit(self, patch_size, transformer(width, n_layers))?
            }
            VisionShape::Resnet { width, n_blocks } => maker.resnet(self, width, n_blocks)?,
        };
        let text = transformer(self.text_width, 12);
        maker.matrix("text.token.weight", 49_408, self.text_width)?;
        maker.values("text.position", &[77, self.text_width], 0.0, 0.05, Format::F32)?;
        maker.norm("text.final_norm", self.text_width)?;
        maker.blocks("text", &text)?;
        maker.matrix("text.projection.weight", self.embedding_width, self.text_width)?;
        let config = Config {
            vision: Some(vision),
            text: Some(Text::ClipText { context_len: 77, end_token: Some(49_407), transformer: text }),
            preprocess: Preprocess { size: self.image_size, ..Default::default() },
            ..Default::default()
        };
        Ok(Checkpoint { config, weights: maker.weights })
    }
}

fn transformer(width: usize, n_layers: usize) -> Transformer {
    let (n_heads, n_hidden) = (width / 64, 4 * width);
    Transformer { width, n_layers, n_heads, n_hidden, activation: Activation::QuickGelu, epsilon: 1e-5 }
}

struct Maker {
    weights: Weights,
    format: Format,
    state: u64,
}

impl Maker {
    fn vit(
        &mut self,
        shape: ClipShape,
        patch_size: usize,
        transformer: Transformer,
    ) -> Result<Vision, ModelError> {
        let (image_size, width) = (shape.image_size, transformer.width);
        self.matrix("vision.patch.weight", width, patch_size * patch_size * 3)?;
        self.vector("vision.class", width, 0.0)?;
        let n_tokens = (image_size / patch_size).pow(2) + 1;
        self.values("vision.position", &[n_tokens, width], 0.0, 0.5, Format::F32)?;
        self.norm("vision.pre_norm", width)?;
        self.norm("vision.post_norm", width)?;
        self.blocks("vision", &transformer)?;
        self.matrix("vision.projection.weight", shape.embedding_width, width)?;
        Ok(Vision::ClipVit { image_size, patch_size, transformer })
    }

    fn resnet(&mut self, shape: ClipShape, width: usize, n_blocks: [usize; 4]) -> Result<Vision, ModelError> {
        let n_taps = 9;
        for (i, (n_in, n_out)) in
            [(3, width / 2), (width / 2, width / 2), (width / 2, width)].into_iter().enumerate()
        {
            self.linear(&format!("vision.stem.{i}"), n_out, n_taps * n_in)?;
        }
        let mut strides = Vec::new();
        let mut channels = width;
        for (stage, n_blocks) in n_blocks.into_iter().enumerate() {
            let inner = width << stage;
            for block in 0..n_blocks {
                let part = |part: &str, i: usize| format!("vision.blocks.{i}.{part}");
                let i = strides.len();
                self.linear(&part("reduce", i), inner, channels)?;
                self.linear(&part("conv", i), inner, n_taps * inner)?;
                self.linear(&part("expand", i), 4 * inner, inner)?;
                if block == 0 {
                    self.linear(&part("shortcut", i), 4 * inner, channels)?;
                }
                channels = 4 * inner;
                strides.push(if block == 0 && stage > 0 { 2 } else { 1 });
            }
        }
        let n_pixels = (shape.image_size / 32).pow(2);
        self.values("vision.pool.position", &[n_pixels + 1, channels], 0.0, 0.05, Format::F32)?;
        self.linear("vision.pool.qkv", 3 * channels, channels)?;
        self.linear("vision.projection", shape.embedding_width, channels)?;
        Ok(Vision::ModifiedResnet { image_size: shape.image_size, strides, n_heads: channels / 64 })
    }

    fn blocks(&mut self, side: &str, transformer: &Transformer) -> Result<(), ModelError> {
        let Transformer { width, n_hidden, .. } = *transformer;
        for i in 0..transformer.n_layers {
            let part = |part: &str| format!("{side}.blocks.{i}.{part}");
            self.norm(&part("norm1"), width)?;
            self.norm(&part("norm2"), width)?;
            for (name, n_out, n_in) in [
                ("qkv", 3 * width, width),
                ("out", width, width),
                ("up", n_hidden, width),
                ("down", width, n_hidden),
            ] {
                self.linear(&part(name), n_out, n_in)?;
            }
        }
        Ok(())
    }

    fn linear(&mut self, name: &str, n_out: usize, n_in: usize) -> Result<(), ModelError> {
        self.matrix(&format!("{name}.weight"), n_out, n_in)?;
        self.vector(&format!("{name}.bias"), n_out, 0.0)
    }

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
