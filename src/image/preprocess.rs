//! Pixels to what a model sees: its crop, then its numbers.
//!
//! Invariant: sizes and offsets are torchvision's `Resize` and `CenterCrop`, rounding included.

use super::Pixels;
use super::resize::{Axis, Filter, resize};
use serde::{Deserialize, Serialize};

/// How a picture fills the model's square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The shorter side fills it, the middle of the longer is kept: CLIP.
    #[default]
    Crop,
    /// Both sides are resized to it, whatever the aspect: SigLIP.
    Squash,
}

/// A model's preprocessing, from its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Side of the model's square, in pixels; not 0.
    pub size: usize,
    /// Of each channel, where white is 1.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub fit: Fit,
    pub filter: Filter,
}

/// A picture as a model's input.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelTensor {
    pub size: usize,
    /// `[size, size, 3]`, row-major: `(value / 255 − mean) / std`.
    pub values: Vec<f32>,
}

impl Default for Preprocess {
    fn default() -> Preprocess {
        Preprocess::CLIP
    }
}

impl Preprocess {
    /// OpenAI's CLIP at 224 pixels: what a file without its own figures gets.
    pub const CLIP: Preprocess = Preprocess {
        size: 224,
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        fit: Fit::Crop,
        filter: Filter::Bicubic,
    };

    /// The `size × size` pixels that the model sees.
    pub fn crop(&self, pixels: &Pixels) -> Pixels {
        let (columns, rows) = match self.fit {
            Fit::Crop => {
                let shorter = pixels.width.min(pixels.height);
                (self.cropped(pixels.width, shorter), self.cropped(pixels.height, shorter))
            }
            Fit::Squash => (self.squashed(pixels.width), self.squashed(pixels.height)),
        };
        resize(pixels, &columns, &rows, self.filter)
    }

    /// The numbers that the model sees.
    pub fn tensor(&self, pixels: &Pixels) -> PixelTensor {
        self.numbers(&self.crop(pixels))
    }

    /// The numbers of a crop.
    pub fn numbers(&self, crop: &Pixels) -> PixelTensor {
        let normalise = |(idx, &byte): (usize, &u8)| {
            let channel = idx % 3;
            (f32::from(byte) / 255.0 - self.mean[channel]) / self.std[channel]
        };
        PixelTensor { size: self.size, values: crop.rgb.iter().enumerate().map(normalise).collect() }
    }

    fn cropped(&self, n_in: usize, shorter: usize) -> Axis {
        let size = self.size as u64;
        // torchvision: `int(size * long / short)`, then `int(round((long - size) / 2))`, which rounds half to even.
        let n_out = (self.size as f64 * n_in as f64 / shorter as f64) as u64;
        let first = ((n_out - size) as f64 / 2.0).round_ties_even() as u64;
        Axis { n_in, n_out, window: first..first + size }
    }

    fn squashed(&self, n_in: usize) -> Axis {
        Axis { n_in, n_out: self.size as u64, window: 0..self.size as u64 }
    }
}
