//! Safetensors, as Hugging Face writes it: a JSON header, then one buffer that its tensors cover without a gap.
//!
//! Invariant: the header is held to what its file can need before it is parsed, because the parser spends
//! many times a field's bytes on it.

use super::WeightsError;
use crate::tensor::{Format, Tensor};
use ::safetensors::{Dtype, tensor::Metadata};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use thiserror::Error;

/// What is wrong with a safetensors file.
#[derive(Debug, Error)]
pub enum SafetensorsError {
    #[error("safetensors: {n_bytes} bytes are too few for a header: the file is incomplete")]
    Incomplete { n_bytes: u64 },
    #[error(
        "safetensors: a header of {header_len} bytes and {n_fields} fields is too large for a file of {n_bytes} bytes"
    )]
    HeaderTooLarge { header_len: u64, n_fields: usize, n_bytes: u64 },
    #[error("safetensors: {0}")]
    Malformed(String),
    #[error("safetensors: tensor `{name}` holds {dtype}, which is not read: convert it to F32, F16 or BF16")]
    UnsupportedDtype { name: String, dtype: String },
    #[error("safetensors: tensor `{name}` holds {found:?}, not {wanted}")]
    WrongKind { name: String, found: Kind, wanted: &'static str },
}

/// What a tensor's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F32,
    F16,
    Bf16,
    I32,
    I64,
    /// One byte a value; masks.
    Bool,
}

impl Kind {
    pub fn is_float(self) -> bool {
        self.format().is_some()
    }

    pub(super) fn format(self) -> Option<Format> {
        match self {
            Kind::F32 => Some(Format::F32),
            Kind::F16 => Some(Format::F16),
            Kind::Bf16 => Some(Format::Bf16),
            Kind::I32 | Kind::I64 | Kind::Bool => None,
        }
    }
}

/// A tensor as the file holds it: floats or integers, little-endian, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    pub shape: Vec<usize>,
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// The tensor as a weight; `name` is for the error.
    pub fn into_tensor(self, name: &str) -> Result<Tensor, WeightsError> {
        let format = self.kind.format().ok_or_else(|| self.wrong_kind(name, "floats"))?;
        Tensor::new(&self.shape, format, self.bytes)
            .map_err(|source| WeightsError::BadTensor { name: name.to_owned(), source })
    }

    /// The same, and its values are finite.
    pub fn into_weight(self, name: &str) -> Result<Tensor, WeightsError> {
        let tensor = self.into_tensor(name)?;
        match tensor.check_finite() {
            Ok(()) => Ok(tensor),
            Err(source) => Err(WeightsError::BadTensor { name: name.to_owned(), source }),
        }
    }

    /// Every value of an I32, I64 or Bool tensor.
    pub fn to_i64(&self, name: &str) -> Result<Vec<i64>, SafetensorsError> {
        match self.kind {
            Kind::I32 => {
                Ok(self.bytes.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect())
            }
            Kind::I64 => Ok(self.bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect()),
            Kind::Bool => Ok(self.bytes.iter().map(|&b| i64::from(b)).collect()),
            Kind::F32 | Kind::F16 | Kind::Bf16 => Err(self.wrong_kind(name, "integers")),
        }
    }

    fn wrong_kind(&self, name: &str, wanted: &'static str) -> SafetensorsError {
        SafetensorsError::WrongKind { name: name.to_owned(), found: self.kind, wanted }
    }
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SafetensorsFile {
    pub tensors: BTreeMap<String, RawTensor>,
    pub metadata: HashMap<String, String>,
}

/// A tensor's place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    /// Outermost first.
    pub shape: Vec<usize>,
    pub kind: Kind,
    /// Its bytes, counted from the start of the file; as many as shape and kind need.
    pub range: Range<u64>,
}

/// Everything before the tensor data, so that a large file can be read tensor by tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub metadata: HashMap<String, String>,
    /// The tensors are in the order of their bytes.
    pub tensors: Vec<TensorInfo>,
}

impl Header {
    /// How many bytes of a file of `file_len` bytes [`Header::parse`] needs, from the file's first bytes (8 are enough).
    ///
    /// # Errors
    /// Fewer than 8 bytes; a header that is longer than its file could need.
    pub fn len_of(prefix: &[u8], file_len: u64) -> Result<u64, SafetensorsError> {
        let incomplete = SafetensorsError::Incomplete { n_bytes: prefix.len() as u64 };
        let header_len = u64::from_le_bytes(*prefix.first_chunk::<8>().ok_or(incomplete)?);
        check_cost(header_len, 0, file_len)?;
        let needed = header_len.saturating_add(8);
        if needed > file_len { Err(SafetensorsError::Incomplete { n_bytes: file_len }) } else { Ok(needed) }
    }

    /// Reads the header of a file of `file_len` bytes from its first bytes.
    ///
    /// # Errors
    /// A header that is incomplete, too large for its file, or no JSON; tensors that overlap, leave a gap, do not fit
    /// their shapes or do not end with the file; a type of values that is not read.
    pub fn parse(prefix: &[u8], file_len: u64) -> Result<Header, SafetensorsError> {
        let header_len = Header::len_of(prefix, file_len)?;
        let header = usize::try_from(header_len).ok().and_then(|len| prefix.get(8..len));
        let header = header.ok_or(SafetensorsError::Incomplete { n_bytes: prefix.len() as u64 })?;
        let n_fields = header.iter().filter(|b| b",:[{".contains(b)).count();
        check_cost(header.len() as u64, n_fields, file_len)?;
        let malformed = |error: &dyn std::fmt::Display| SafetensorsError::Malformed(error.to_string());
        let header = std::str::from_utf8(header).map_err(|error| malformed(&error))?;
        // Parsing also checks that tensors follow each other without a gap and fit their shapes.
        let parsed: Metadata = serde_json::from_str(header).map_err(|error| malformed(&error))?;
        let end = header_len.saturating_add(parsed.data_len() as u64);
        if end != file_len {
            return Err(malformed(&format_args!(
                "the tensors end at byte {end}, the file at {file_len}: it is incomplete or damaged"
            )));
        }
        let mut tensors = Vec::new();
        for name in parsed.offset_keys() {
            let Some(info) = parsed.info(&name) else { continue };
            let Some(kind) = kind_of(info.dtype) else {
                return Err(SafetensorsError::UnsupportedDtype { name, dtype: info.dtype.to_string() });
            };
            let (start, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
            let range = header_len + start..header_len + end;
            tensors.push(TensorInfo { name, shape: info.shape.clone(), kind, range });
        }
        let metadata = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Header { metadata, tensors })
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::F32),
        Dtype::F16 => Some(Kind::F16),
        Dtype::BF16 => Some(Kind::Bf16),
        Dtype::I32 => Some(Kind::I32),
        Dtype::I64 => Some(Kind::I64),
        Dtype::BOOL => Some(Kind::Bool),
        _ => None,
    }
}

/// Whether `bytes` start as a safetensors file does: a length, then a JSON object.
pub fn looks_like(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// Reads a whole file.
pub fn read(bytes: &[u8]) -> Result<SafetensorsFile, SafetensorsError> {
    let Header { metadata, tensors } = Header::parse(bytes, bytes.len() as u64)?;
    let raw = |TensorInfo { name, shape, kind, range }: TensorInfo| {
        // In range: `parse` checked it against the length of `bytes`.
        let bytes = bytes[range.start as usize..range.end as usize].to_vec();
        (name, RawTensor { shape, kind, bytes })
    };
    Ok(SafetensorsFile { tensors: tensors.into_iter().map(raw).collect(), metadata })
}

/// Refuses a header whose parsing would take more than the input + 1 MiB (the tensors' copies are the other half
/// of what reading may allocate): the parser was measured to take up to 104 bytes a field, and holds each name up
/// to four times.
fn check_cost(header_len: u64, n_fields: usize, n_bytes: u64) -> Result<(), SafetensorsError> {
    const BYTES_PER_FIELD: u64 = 112;
    let cost = header_len.saturating_mul(4).saturating_add(n_fields as u64 * BYTES_PER_FIELD);
    if cost <= n_bytes.saturating_add(1 << 20) {
        Ok(())
    } else {
        Err(SafetensorsError::HeaderTooLarge { header_len, n_fields, n_bytes })
    }
}
