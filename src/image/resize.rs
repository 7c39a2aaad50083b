//! Antialiased resampling, equal to Pillow's `Image.resize` bit for bit: embeddings that agree with Python start
//! here. Own code because libraries round their weights to fewer bits.
//!
//! Invariant: weights are Pillow's (`Resample.c`, `precompute_coeffs`, `normalize_coeffs_8bpc`): the filter is
//! stretched by the shrink factor, sampled in f64, normalised, then rounded to 22 bits.
//! Invariant: only the wanted window is computed, so that memory follows the output, not the picture's shape.

use super::Pixels;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::ops::Range;

/// Bits behind the point of a weight; 8 are the pixel's, 2 are left for overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// The interpolation between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Keys' cubic convolution with a = −0.5.
    #[default]
    Bicubic,
    Bilinear,
    /// A sinc under the middle of a sinc three times as wide.
    Lanczos,
    /// The one pixel under the centre; nothing is averaged.
    Nearest,
}

impl Filter {
    /// How far from its centre the filter reaches, in pixels of the coarser grid.
    fn support(self) -> f64 {
        match self {
            Filter::Lanczos => 3.0,
            Filter::Bicubic => 2.0,
            Filter::Bilinear => 1.0,
            Filter::Nearest => 0.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Filter::Bilinear if x < 1.0 => 1.0 - x,
            Filter::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// `sin(πx) / (πx)`, by the sine's series between two of its zeros: the library's, for arguments of any size, takes 6 kB
/// of the page's program.
fn sinc(x: f64) -> f64 {
    const N_TERMS: i32 = 11;
    if x == 0.0 {
        return 1.0;
    }
    let nearest = x.round();
    let angle = (x - nearest) * PI;
    let (mut term, mut sine) = (angle, angle);
    for idx in 1..N_TERMS {
        term *= -angle * angle / f64::from(2 * idx * (2 * idx + 1));
        sine += term;
    }
    let sign = if nearest % 2.0 == 0.0 { 1.0 } else { -1.0 };
    sign * sine / (x * PI)
}

/// One axis of a resize: `n_in` pixels become `n_out`, of which `window` is wanted.
#[derive(Clone, Debug)]
pub struct Axis {
    pub n_in: usize,
    pub n_out: u64,
    pub window: Range<u64>,
}

/// The input pixels from `first` on that make an output pixel, with their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Axis {
    fn taps(&self, filter: Filter) -> Vec<Taps> {
        let scale = self.n_in as f64 / self.n_out as f64;
        if filter == Filter::Nearest {
            return self.nearest(scale);
        }
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let inverse = 1.0 / stretch;
        let taps_of = |out: u64| {
            let centre = (out as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(self.n_in);
            let weight = |idx: usize| filter.weight((idx as f64 - centre + 0.5) * inverse);
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: f64| (weight / sum * f64::from(1 << PRECISION_BITS)).round() as i32;
            Taps { first, weights: weights.into_iter().map(fixed).collect() }
        };
        self.window.clone().map(taps_of).collect()
    }
}

impl Axis {
    /// Pillow adds the step again and again (`ImagingScaleAffine`), so that its rounding adds up, too.
    fn nearest(&self, scale: f64) -> Vec<Taps> {
        let mut centre = scale * 0.5;
        let mut taps = Vec::new();
        for out in 0..self.window.end {
            if out >= self.window.start {
                let first = (centre as usize).min(self.n_in - 1);
                taps.push(Taps { first, weights: vec![1 << PRECISION_BITS] });
            }
            centre += scale;
        }
        taps
    }
}

/// The `columns.window × rows.window` part of `pixels` resized to `columns.n_out × rows.n_out`.
pub fn resize(pixels: &Pixels, columns: &Axis, rows: &Axis, filter: Filter) -> Pixels {
    let (column_taps, row_taps) = (columns.taps(filter), rows.taps(filter));
    let width = column_taps.len();
    // Rows that any output row needs, squeezed to the final width.
    let first_row = row_taps.iter().map(|taps| taps.first).min().unwrap_or(0);
    let end_row = row_taps.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
    let mut squeezed = Vec::with_capacity((end_row - first_row) * width * 3);
    for row in pixels.rgb.chunks_exact(pixels.width * 3).take(end_row).skip(first_row) {
        for taps in &column_taps {
            let mut sums = [1i32 << (PRECISION_BITS - 1); 3];
            for (rgb, weight) in row[taps.first * 3..].as_chunks::<3>().0.iter().zip(&taps.weights) {
                (0..3).for_each(|c| sums[c] += i32::from(rgb[c]) * weight);
            }
            squeezed.extend(sums.map(to_byte));
        }
    }
    let mut rgb = Vec::with_capacity(width * row_taps.len() * 3);
    let mut sums = vec![0i32; width * 3];
    for taps in &row_taps {
        sums.fill(1 << (PRECISION_BITS - 1));
        let rows = squeezed[(taps.first - first_row) * width * 3..].chunks_exact(width * 3);
        for (row, weight) in rows.zip(&taps.weights) {
            sums.iter_mut().zip(row).for_each(|(sum, &byte)| *sum += i32::from(byte) * weight);
        }
        rgb.extend(sums.iter().map(|&sum| to_byte(sum)));
    }
    Pixels { width, height: row_taps.len(), rgb, background: pixels.background }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
