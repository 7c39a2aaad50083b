//! Safetensors, as Hugging Face writes it: a JSON header, then one buffer that its tensors cover without a gap.
//!
//! Invariant: the header is held to what its file can need before it is parsed, because the parser spends
//! many times a field's bytes on it.

use super::WeightsError;
use crate::tensor::{Format, Tensor};
use ::safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use thiserror::Error;

/// What is wrong with a safetensors file.
#[derive(Debug, Error)]
pub enum SafetensorsError {
    #[error("safetensors: {n_bytes} bytes are too few for a header: the file is incomplete")]
    Incomplete { n_bytes: usize },
    #[error(
        "safetensors: a header of {header_len} bytes and {n_fields} fields is too large for a file of {n_bytes} bytes"
    )]
    HeaderTooLarge { header_len: u64, n_fields: usize, n_bytes: usize },
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

    fn format(self) -> Option<Format> {
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
    pub metadata: BTreeMap<String, String>,
}

/// Whether `bytes` start as a safetensors file does: a length, then a JSON object.
pub fn looks_like(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// Reads a whole file.
pub fn read(bytes: &[u8]) -> Result<SafetensorsFile, SafetensorsError> {
    check_header(bytes)?;
    let malformed = |error: ::safetensors::SafeTensorError| SafetensorsError::Malformed(error.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let metadata =
        header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    drop(header);
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(malformed)?.iter() {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::F32,
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::Bf16,
            Dtype::I32 => Kind::I32,
            Dtype::I64 => Kind::I64,
            Dtype::BOOL => Kind::Bool,
            other => {
                let dtype = other.to_string();
                return Err(SafetensorsError::UnsupportedDtype { name: name.to_owned(), dtype });
            }
        };
        let tensor = RawTensor { shape: view.shape().to_vec(), kind, bytes: view.data().to_vec() };
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(SafetensorsFile { tensors, metadata })
}

/// Refuses a header whose parsing would take more than the input + 1 MiB (the tensors' copies are the other half
/// of what reading may allocate): the parser was measured to take up to 104 bytes a field, and holds each name up
/// to four times.
fn check_header(bytes: &[u8]) -> Result<(), SafetensorsError> {
    const BYTES_PER_FIELD: u64 = 112;
    let n_bytes = bytes.len();
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(SafetensorsError::Incomplete { n_bytes })?;
    let header_len = u64::from_le_bytes(*length);
    let header = usize::try_from(header_len).ok().and_then(|len| rest.get(..len));
    let n_fields = header.map_or(0, |header| header.iter().filter(|b| b",:[{".contains(b)).count());
    let cost = header_len.saturating_mul(4).saturating_add(n_fields as u64 * BYTES_PER_FIELD);
    let fits = cost <= n_bytes as u64 + (1 << 20);
    match header {
        Some(_) if fits => Ok(()),
        None if fits => Err(SafetensorsError::Incomplete { n_bytes }),
        _ => Err(SafetensorsError::HeaderTooLarge { header_len, n_fields, n_bytes }),
    }
}
