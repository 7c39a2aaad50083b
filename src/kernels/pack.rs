//! How weight matrices lie in GPU memory; shaders/shared/weight.wgsl reads them.
//!
//! Invariant: a word holds V consecutive k of one column (row of the tensor), lowest bits first; four columns
//! stand side by side: word `[(k / V) * n_columns + column]`, with n_columns padded to a multiple of four and
//! k to a multiple of what a word and a tile of four k need. Padding is zeros.
//! Invariant: quantized formats carry one f32 scale for 32 k of a column: `[(k / 32) * n_columns + column]`.
//! Invariant: packing never loses a bit: formats without a word format of their own become f32
//! (q5_0: eight bits).

use crate::tensor::{Format, Tensor, q8_0_from_q5_0};
use std::borrow::Cow;

/// How a word holds weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WordFormat {
    F32,
    F16,
    Q8,
    Q4,
}

impl WordFormat {
    /// The format in which a tensor's values are kept.
    pub fn of(format: Format) -> Self {
        match format {
            Format::F16 => WordFormat::F16,
            // Five bits fit no word evenly; eight hold the same values.
            Format::Q8_0 | Format::Q5_0 => WordFormat::Q8,
            Format::Q4_0 => WordFormat::Q4,
            Format::F32 | Format::Bf16 | Format::Q5_1 | Format::Q4_1 => WordFormat::F32,
        }
    }

    /// Its number in shared/weight.wgsl.
    pub fn code(self) -> f64 {
        match self {
            WordFormat::F32 => 0.0,
            WordFormat::F16 => 1.0,
            WordFormat::Q8 => 2.0,
            WordFormat::Q4 => 3.0,
        }
    }
}

/// A packed matrix: words, and scales where the format has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    pub words: Vec<u32>,
    pub scales: Vec<f32>,
}

/// Bytes of a q8_0 or q4_0 block before its quants: an f16 scale.
const SCALE_BYTES: usize = 2;
const BLOCK_LEN: usize = 32;

/// Packs `tensor`, read as `[n_out, n_in]`. Formats other than its own take its values as f32, and blocks
/// that do not line up with rows do too (a typed error is the planner's business: it asked for the format).
pub fn pack(tensor: &Tensor, format: WordFormat, n_out: usize, n_in: usize) -> Packed {
    let n_columns = n_out.next_multiple_of(4);
    match format {
        WordFormat::F32 => {
            let values = tensor.to_f32();
            let mut words = vec![0; n_in.next_multiple_of(4) * n_columns];
            for (column, row) in values.chunks_exact(n_in).take(n_out).enumerate() {
                for (k, value) in row.iter().enumerate() {
                    words[k * n_columns + column] = value.to_bits();
                }
            }
            Packed { words, scales: Vec::new() }
        }
        WordFormat::F16 => {
            let mut words = vec![0; n_in.next_multiple_of(4) / 2 * n_columns];
            for (column, row) in tensor.bytes.chunks_exact(2 * n_in).take(n_out).enumerate() {
                for (k, bytes) in row.chunks_exact(2).enumerate() {
                    let half = u32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
                    words[k / 2 * n_columns + column] |= half << (16 * (k % 2));
                }
            }
            Packed { words, scales: Vec::new() }
        }
        WordFormat::Q8 => {
            let bytes = match tensor.format {
                Format::Q5_0 => Cow::Owned(q8_0_from_q5_0(&tensor.bytes)),
                _ => Cow::Borrowed(&tensor.bytes[..]),
            };
            pack_blocks(&bytes, n_out, n_in, 4, |quants, k| u32::from(quants[k]))
        }
        // Byte j holds value j low and value j + 16 high.
        WordFormat::Q4 => pack_blocks(&tensor.bytes, n_out, n_in, 8, |quants, k| {
            u32::from(if k < 16 { quants[k] & 15 } else { quants[k - 16] >> 4 })
        }),
    }
}

/// Packs blocks of 32 values, `per_word` of them in a word; `quant` reads value `k` of a block.
fn pack_blocks(
    bytes: &[u8],
    n_out: usize,
    n_in: usize,
    per_word: usize,
    quant: impl Fn(&[u8], usize) -> u32,
) -> Packed {
    let n_columns = n_out.next_multiple_of(4);
    let n_blocks = n_in.div_ceil(BLOCK_LEN);
    let block_bytes = SCALE_BYTES + BLOCK_LEN * 4 / per_word;
    let bits = 32 / per_word;
    let mut words = vec![0; n_blocks * BLOCK_LEN / per_word * n_columns];
    let mut scales = vec![0.0; n_blocks * n_columns];
    for (column, row) in bytes.chunks_exact(n_blocks * block_bytes).take(n_out).enumerate() {
        for (block_idx, block) in row.chunks_exact(block_bytes).enumerate() {
            let (scale, quants) = block.split_at(SCALE_BYTES);
            let scale = half::f16::from_le_bytes([scale[0], scale[1]]);
            scales[block_idx * n_columns + column] = scale.to_f32();
            for word_idx in 0..BLOCK_LEN / per_word {
                let word = (0..per_word)
                    .map(|j| quant(quants, word_idx * per_word + j) << (bits * j))
                    .fold(0, |word, bits| word | bits);
                words[(block_idx * BLOCK_LEN / per_word + word_idx) * n_columns + column] = word;
            }
        }
    }
    Packed { words, scales }
}
