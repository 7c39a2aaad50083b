//! Weight tensors: a shape, a storage format, bytes. The one definition of each quantized block.
//!
//! Invariant: bytes are little-endian and laid out as GGUF lays them out: rows of the innermost dimension,
//! each cut into blocks. A format with blocks of 32 needs an innermost dimension that 32 divides.
//! Invariant: `shape` is outermost first (PyTorch's order; GGUF's files store the reverse).

mod block;
pub use block::{dequantize, q8_0_from_q5_0, quantize, quantize_closest};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What is wrong with a tensor.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TensorError {
    #[error(
        "rows of {n_cols} values do not divide into {format} blocks of {block_len}: store them as f16 or f32"
    )]
    RaggedRows { format: Format, n_cols: usize, block_len: usize },
    #[error("shape {shape:?} needs {expected} values, found {found}")]
    ValueCount { shape: Vec<usize>, expected: usize, found: usize },
    #[error("shape {shape:?} as {format} needs {expected} bytes, found {found}")]
    ByteCount { shape: Vec<usize>, format: Format, expected: usize, found: usize },
    #[error("shape {shape:?} holds more values than this machine can address")]
    TooLarge { shape: Vec<usize> },
    #[error("{format} block {block_idx} holds a NaN or an infinity: the weights are damaged")]
    NotFinite { format: Format, block_idx: usize },
}

/// How a tensor's values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    F32,
    F16,
    Bf16,
    /// 32 i8 with one f16 scale: 34 bytes.
    Q8_0,
    /// Q4_1 with a fifth bit: 24 bytes.
    Q5_1,
    /// Q4_0 with a fifth bit (value − 16): 22 bytes.
    Q5_0,
    /// 32 nibbles with an f16 scale and an f16 minimum: 20 bytes.
    Q4_1,
    /// 32 nibbles (value − 8) with one f16 scale: 18 bytes. Byte `j` holds value `j` low, value `j + 16` high.
    Q4_0,
}

impl Format {
    pub const ALL: [Format; 8] = [
        Format::F32,
        Format::F16,
        Format::Bf16,
        Format::Q8_0,
        Format::Q5_1,
        Format::Q5_0,
        Format::Q4_1,
        Format::Q4_0,
    ];

    /// Values that share a block.
    pub const fn block_len(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::Bf16 => 1,
            _ => 32,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::Bf16 => 2,
            Format::Q8_0 => 34,
            Format::Q5_1 => 24,
            Format::Q5_0 => 22,
            Format::Q4_1 => 20,
            Format::Q4_0 => 18,
        }
    }

    /// Bytes of `n_values` values, a multiple of [`block_len`](Self::block_len).
    pub const fn bytes_for(self, n_values: usize) -> usize {
        n_values / self.block_len() * self.block_bytes()
    }

    /// Its name in GGUF's tools: `f32`, `q8_0`, …
    pub const fn name(self) -> &'static str {
        match self {
            Format::F32 => "f32",
            Format::F16 => "f16",
            Format::Bf16 => "bf16",
            Format::Q8_0 => "q8_0",
            Format::Q5_1 => "q5_1",
            Format::Q5_0 => "q5_0",
            Format::Q4_1 => "q4_1",
            Format::Q4_0 => "q4_0",
        }
    }

    /// The format called `name`, if there is one.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A weight tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub format: Format,
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor over bytes that are stored already; their number must fit the shape.
    pub fn new(shape: &[usize], format: Format, bytes: Vec<u8>) -> Result<Tensor, TensorError> {
        let expected = stored_bytes(shape, format)?;
        if bytes.len() != expected {
            return Err(TensorError::ByteCount {
                shape: shape.to_vec(),
                format,
                expected,
                found: bytes.len(),
            });
        }
        Ok(Tensor { shape: shape.to_vec(), format, bytes })
    }

    /// `values`, row-major, stored as `format` with ggml's reference rounding.
    pub fn from_f32(shape: &[usize], values: &[f32], format: Format) -> Result<Tensor, TensorError> {
        stored_bytes(shape, format)?;
        let expected = shape.iter().product();
        if values.len() != expected {
            return Err(TensorError::ValueCount { shape: shape.to_vec(), expected, found: values.len() });
        }
        Ok(Tensor { shape: shape.to_vec(), format, bytes: quantize(format, values) })
    }

    /// Every value, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        dequantize(self.format, &self.bytes)
    }

    /// The values of one row, for tables that stay quantized; `row_idx` is below [`rows`](Self::rows).
    pub fn row_f32(&self, row_idx: usize) -> Vec<f32> {
        let row_bytes = self.format.bytes_for(self.n_cols());
        dequantize(self.format, &self.bytes[row_idx * row_bytes..][..row_bytes])
    }

    /// Every value, row-major, some thousands at a time: a whole table in f32 can be more than a browser's tab has.
    pub fn pieces_f32(&self) -> impl Iterator<Item = Vec<f32>> + '_ {
        const PIECE_LEN: usize = 4096; // a multiple of every block's length
        let pieces = self.bytes.chunks(self.format.bytes_for(PIECE_LEN));
        pieces.map(|bytes| dequantize(self.format, bytes))
    }

    /// The same values in another format, as near as its blocks hold them.
    pub fn requantize(&self, format: Format) -> Result<Tensor, TensorError> {
        if format == self.format {
            return Ok(self.clone());
        }
        let mut bytes = Vec::with_capacity(stored_bytes(&self.shape, format)?);
        self.pieces_f32().for_each(|values| bytes.extend(quantize_closest(format, &values)));
        Ok(Tensor { shape: self.shape.clone(), format, bytes })
    }

    pub fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Product of all dimensions but the innermost.
    pub fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The innermost dimension.
    pub fn n_cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Refuses a NaN or an infinity, in a value or in a block's scale: one would turn every result to NaN.
    pub fn check_finite(&self) -> Result<(), TensorError> {
        match block::first_not_finite(self.format, &self.bytes) {
            None => Ok(()),
            Some(block_idx) => Err(TensorError::NotFinite { format: self.format, block_idx }),
        }
    }
}

/// Bytes that `shape` takes as `format`, in checked arithmetic: shapes come from files.
pub(crate) fn stored_bytes(shape: &[usize], format: Format) -> Result<usize, TensorError> {
    let (n_cols, block_len) = (shape.last().copied().unwrap_or(1), format.block_len());
    if !n_cols.is_multiple_of(block_len) {
        return Err(TensorError::RaggedRows { format, n_cols, block_len });
    }
    shape
        .iter()
        .try_fold(1usize, |n_values, &dim| n_values.checked_mul(dim))
        .and_then(|n_values| (n_values / block_len).checked_mul(format.block_bytes()))
        .ok_or_else(|| TensorError::TooLarge { shape: shape.to_vec() })
}
