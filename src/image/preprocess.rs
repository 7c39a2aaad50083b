//! Pixels to what a model sees: its crop, then its numbers.
//!
//! Invariant: sizes and offsets are torchvision's `Resize` and `CenterCrop`, and open_clip's `ResizeKeepRatio` and
//! `CenterCropOrPad`, rounding included.

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
    /// The longer side fills it, and bars fill the rest.
    Pad,
}

/// A model's preprocessing, from its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Side of the model's square, in pixels; not 0.
    pub size: usize,
    /// What a picture is resized to before the middle of it is cut out, in pixels; absent: to the square itself. Not
    /// smaller than that, and not with bars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// The mean of each channel, where white is 1.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub fit: Fit,
    pub filter: Filter,
    /// The bars' colour, red, green and blue.
    #[serde(default, skip_serializing_if = "is_black")]
    pub fill: [u8; 3],
}

fn is_black(colour: &[u8; 3]) -> bool {
    *colour == [0; 3]
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
        resize: None,
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        fit: Fit::Crop,
        filter: Filter::Bicubic,
        fill: [0; 3],
    };

    /// The `size × size` pixels that the model sees.
    pub fn crop(&self, pixels: &Pixels) -> Pixels {
        let sides = (pixels.width, pixels.height);
        let shorter = sides.0.min(sides.1);
        let axis = |n_in| match self.fit {
            // torchvision: `int(size * long / short)`.
            Fit::Crop => self.middle(n_in, (self.resized() as f64 * n_in as f64 / shorter as f64) as u64),
            Fit::Squash => self.middle(n_in, self.resized() as u64),
            Fit::Pad => self.whole(n_in, sides),
        };
        let (columns, rows) = (axis(pixels.width), axis(pixels.height));
        let resized = resize(pixels, &columns, &rows, self.filter);
        if self.fit == Fit::Pad { self.padded(&resized) } else { resized }
    }

    /// The part of a square picture's side that the model sees.
    pub fn inside(&self) -> f32 {
        self.size as f32 / self.resized() as f32
    }

    fn resized(&self) -> usize {
        self.resize.unwrap_or(self.size).max(self.size)
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

    /// All `n_out` pixels of which the square shows the middle.
    fn middle(&self, n_in: usize, n_out: u64) -> Axis {
        let size = self.size as u64;
        // torchvision: `int(round((long - size) / 2))`, which rounds half to even.
        let first = ((n_out - size) as f64 / 2.0).round_ties_even() as u64;
        Axis { n_in, n_out, window: first..first + size }
    }

    /// An axis of as many pixels as fit the square when both sides shrink alike.
    fn whole(&self, n_in: usize, (width, height): (usize, usize)) -> Axis {
        let ratio = |side: usize| side as f64 / self.size as f64;
        let n_out = (n_in as f64 / ratio(width).max(ratio(height))).round_ties_even().max(1.0) as u64;
        Axis { n_in, n_out, window: 0..n_out }
    }

    /// The picture between two bars; the one behind it is the wider where they cannot be alike.
    fn padded(&self, pixels: &Pixels) -> Pixels {
        let Pixels { width, height, rgb, background } = pixels;
        let (left, top) = ((self.size - width) / 2, (self.size - height) / 2);
        let mut square = self.fill.repeat(self.size * self.size);
        for (row_idx, row) in rgb.chunks_exact(width * 3).enumerate() {
            let start = ((top + row_idx) * self.size + left) * 3;
            square[start..start + row.len()].copy_from_slice(row);
        }
        Pixels { width: self.size, height: self.size, rgb: square, background: *background }
    }
}
