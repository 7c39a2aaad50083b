//! Blocks to values and back: as ggml's reference code does (`ggml-quants.c`, `quantize_row_*_ref`), and, into the same
//! blocks, with the scale that is closest to the values.
//!
//! Invariant: a block is `scale f16 · [minimum f16] · [fifth bits u32] · quants`; value `j` of a nibble format
//! sits in byte `j mod 16`, low half for `j < 16`, and its fifth bit is bit `j`.
//! Invariant: quants are computed with the scale before it is rounded to f16, as ggml does.

use super::Format;
use half::{bf16, f16};

const BLOCK_LEN: usize = 32;

/// Values of whole blocks as f32; trailing bytes that fill no block are ignored.
pub fn dequantize(format: Format, bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.chunks_exact(format.block_bytes());
    match format {
        Format::F32 => blocks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Format::F16 => blocks.map(f16_at).collect(),
        Format::Bf16 => blocks.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Format::Q8_0 => {
            let values = |b: &'_ [u8]| {
                let scale = f16_at(b);
                std::array::from_fn::<f32, BLOCK_LEN, _>(|j| f32::from(b[2 + j] as i8) * scale)
            };
            blocks.flat_map(values).collect()
        }
        Format::Q5_1 | Format::Q5_0 | Format::Q4_1 | Format::Q4_0 => {
            let nibbles = Nibbles::of(format);
            blocks.flat_map(|b| nibbles.dequantize(b)).collect()
        }
    }
}

/// `values`, a multiple of the block length, as blocks, with ggml's reference rounding.
pub fn quantize(format: Format, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(format.bytes_for(values.len()));
    match format {
        Format::F32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Format::F16 => bytes.extend(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes())),
        Format::Bf16 => bytes.extend(values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes())),
        Format::Q8_0 => {
            for block in values.chunks_exact(BLOCK_LEN) {
                let scale = largest(block).abs() / 127.0;
                let inverse = inverse_or_zero(scale);
                bytes.extend(f16::from_f32(scale).to_le_bytes());
                bytes.extend(block.iter().map(|v| (v * inverse).round() as i8 as u8));
            }
        }
        Format::Q5_1 | Format::Q5_0 | Format::Q4_1 | Format::Q4_0 => {
            let nibbles = Nibbles::of(format);
            values.chunks_exact(BLOCK_LEN).for_each(|block| nibbles.quantize(block, &mut bytes));
        }
    }
    bytes
}

/// The same, but where a block has few levels and one scale (q4_0, q5_0) the scale is searched for: ggml takes the one that
/// holds the largest value exactly, which serves the 31 others less well.
pub fn quantize_closest(format: Format, values: &[f32]) -> Vec<u8> {
    if !matches!(format, Format::Q4_0 | Format::Q5_0) {
        return quantize(format, values);
    }
    let nibbles = Nibbles::of(format);
    let mut bytes = Vec::with_capacity(format.bytes_for(values.len()));
    for block in values.chunks_exact(BLOCK_LEN) {
        let scale = nibbles.closest_scale(block);
        nibbles.write(block, scale, 0.0, &mut bytes);
    }
    bytes
}

/// Blocks of q5_0 as blocks of q8_0 that hold the same values: the same scale, the quants less 16.
pub fn q8_0_from_q5_0(bytes: &[u8]) -> Vec<u8> {
    let nibbles = Nibbles::of(Format::Q5_0);
    let widen = |block: &[u8]| {
        let mut wide = block[..2].to_vec();
        wide.extend(nibbles.quants(&block[2..]).map(|quant| (quant - 16) as u8));
        wide
    };
    bytes.chunks_exact(Format::Q5_0.block_bytes()).flat_map(widen).collect()
}

/// The first block with a scale, minimum or value that is not finite.
pub(super) fn first_not_finite(format: Format, bytes: &[u8]) -> Option<usize> {
    let is_finite = |b: &[u8]| match format {
        Format::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite(),
        Format::Bf16 => bf16::from_le_bytes([b[0], b[1]]).is_finite(),
        Format::F16 | Format::Q8_0 | Format::Q5_0 | Format::Q4_0 => f16_at(b).is_finite(),
        Format::Q5_1 | Format::Q4_1 => f16_at(b).is_finite() && f16_at(&b[2..]).is_finite(),
    };
    bytes.chunks_exact(format.block_bytes()).position(|b| !is_finite(b))
}

/// A format of 4 or 5 bits a value.
#[derive(Clone, Copy)]
struct Nibbles {
    has_minimum: bool,
    has_fifth_bit: bool,
}

impl Nibbles {
    fn of(format: Format) -> Nibbles {
        Nibbles {
            has_minimum: matches!(format, Format::Q4_1 | Format::Q5_1),
            has_fifth_bit: matches!(format, Format::Q5_0 | Format::Q5_1),
        }
    }

    /// Number of quants: 16 or 32.
    fn n_levels(self) -> u8 {
        if self.has_fifth_bit { 32 } else { 16 }
    }

    fn dequantize(self, block: &[u8]) -> [f32; BLOCK_LEN] {
        let scale = f16_at(block);
        let (minimum, rest) =
            if self.has_minimum { (f16_at(&block[2..]), &block[4..]) } else { (0.0, &block[2..]) };
        let zero = if self.has_minimum { 0 } else { i32::from(self.n_levels() / 2) };
        self.quants(rest).map(|quant| (quant - zero) as f32 * scale + minimum)
    }

    /// The quants of a block, from behind its scale and minimum; 0 is the lowest.
    fn quants(self, rest: &[u8]) -> [i32; BLOCK_LEN] {
        let (fifth_bits, quants) = match self.has_fifth_bit {
            true => (u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]), &rest[4..]),
            false => (0, rest),
        };
        std::array::from_fn(|j| {
            let nibble = if j < 16 { quants[j] & 15 } else { quants[j - 16] >> 4 };
            i32::from(nibble) | ((fifth_bits >> j & 1) << 4) as i32
        })
    }

    fn quantize(self, block: &[f32], bytes: &mut Vec<u8>) {
        let n_levels = f32::from(self.n_levels());
        let (scale, minimum) = if self.has_minimum {
            let low = block.iter().copied().fold(f32::INFINITY, f32::min);
            let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            ((high - low) / (n_levels - 1.0), low)
        } else {
            // The value furthest from zero takes the lowest quant, which alone has no opposite.
            (largest(block) / -(n_levels / 2.0), 0.0)
        };
        self.write(block, scale, minimum, bytes);
    }

    /// A block with this scale and minimum.
    fn write(self, block: &[f32], scale: f32, minimum: f32, bytes: &mut Vec<u8>) {
        let offset = if self.has_minimum { 0.5 } else { f32::from(self.n_levels() / 2) + 0.5 };
        let inverse = inverse_or_zero(scale);
        let quant = |j: usize| (((block[j] - minimum) * inverse + offset) as u8).min(self.n_levels() - 1);
        bytes.extend(f16::from_f32(scale).to_le_bytes());
        if self.has_minimum {
            bytes.extend(f16::from_f32(minimum).to_le_bytes());
        }
        if self.has_fifth_bit {
            let bits = (0..BLOCK_LEN).fold(0u32, |bits, j| bits | u32::from(quant(j) >> 4) << j);
            bytes.extend(bits.to_le_bytes());
        }
        bytes.extend((0..16).map(|j| quant(j) & 15 | quant(j + 16) << 4));
    }

    /// The scale, as f16 holds it, of least squared error: the largest value is put on one level after the other around
    /// both ends, the quants follow, and of these the best scale (Σxq / Σq²).
    fn closest_scale(self, block: &[f32]) -> f32 {
        const STEPS_PER_LEVEL: i32 = 8;
        let half = f32::from(self.n_levels() / 2);
        let largest = largest(block);
        let quant = |x: f32, inverse: f32| (x * inverse).round_ties_even().clamp(-half, half - 1.0);
        // What a scale leaves of Σx²: less is better.
        let error = |scale: f32| {
            let inverse = inverse_or_zero(scale);
            block.iter().map(|&x| (x - scale * quant(x, inverse)).powi(2)).sum::<f32>()
        };
        let rounded = |scale: f32| f16::from_f32(scale).to_f32();
        let mut best = rounded(largest / -half);
        let mut least = error(best);
        for step in -2 * STEPS_PER_LEVEL..=STEPS_PER_LEVEL {
            let level = half + step as f32 / STEPS_PER_LEVEL as f32;
            for level in [-level, level] {
                let inverse = level * inverse_or_zero(largest);
                let (xq, qq) = block.iter().fold((0.0, 0.0), |(xq, qq), &x| {
                    let q = quant(x, inverse);
                    (xq + x * q, qq + q * q)
                });
                let scale = rounded(xq * inverse_or_zero(qq));
                let left = error(scale);
                if left < least {
                    (best, least) = (scale, left);
                }
            }
        }
        best
    }
}

fn f16_at(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// The value of the largest magnitude, with its sign; the first of several.
fn largest(block: &[f32]) -> f32 {
    block.iter().fold(0.0f32, |best, &v| if v.abs() > best.abs() { v } else { best })
}

fn inverse_or_zero(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}
