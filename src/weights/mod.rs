//! Weight files to named tensors: GGUF (ours and clip.cpp's) and safetensors (Hugging Face's), and checksums.
//!
//! Invariant: any bytes give a typed error or tensors whose bytes fit their shapes and whose values are finite;
//! never a panic, never more than twice the input + 1 MiB allocated.
//! Invariant: nothing here fetches: bytes in, tensors out.

pub mod gguf;
pub mod safetensors;
mod stream;

pub use stream::{Header, Item, Stream};

use crate::tensor::{Tensor, TensorError};
use serde::Deserialize;
use serde::de::Error as _;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use thiserror::Error;

/// What is wrong with weights, whichever file they come from.
#[derive(Debug, Error)]
pub enum WeightsError {
    #[error(transparent)]
    Gguf(#[from] gguf::GgufError),
    #[error(transparent)]
    Safetensors(#[from] safetensors::SafetensorsError),
    #[error(
        "not a weight file but {found} ({n_bytes} bytes): it starts with neither GGUF's magic nor a safetensors header"
    )]
    UnknownFormat { n_bytes: u64, found: Looks },
    #[error(
        "the weights hold no tensor `{name}` ({n_tensors} others): the file is another kind of model, or incomplete"
    )]
    MissingTensor { name: String, n_tensors: usize },
    #[error("tensor `{name}`: {source}")]
    BadTensor { name: String, source: TensorError },
    #[error("the file has {found} bytes, {expected} were announced: it is incomplete or damaged")]
    Length { expected: u64, found: u64 },
    #[error("tensor `{name}` cannot be read: {source}")]
    Unreadable { name: String, source: std::io::Error },
}

/// What a file that is no weights looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    Empty,
    WebPage,
    LfsPointer,
    Pickle,
    Unknown,
}

impl std::fmt::Display for Looks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Looks::Empty => "an empty file",
            Looks::WebPage => "a web page",
            Looks::LfsPointer => "a Git LFS pointer",
            Looks::Pickle => "a Python pickle",
            Looks::Unknown => "something else",
        })
    }
}

impl WeightsError {
    /// The error for a file of `n_bytes` that is no weights; what its first bytes look like helps more than what they are not.
    pub fn unknown(prefix: &[u8], n_bytes: u64) -> WeightsError {
        let found = match prefix.trim_ascii_start() {
            [] => Looks::Empty,
            [b'<', ..] => Looks::WebPage,
            [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => Looks::LfsPointer,
            [b'P', b'K', 3, 4, ..] | [0x80, ..] => Looks::Pickle,
            _ => Looks::Unknown,
        };
        WeightsError::UnknownFormat { n_bytes, found }
    }
}

/// Where tensors come from, one at a time: memory, or files that are read as they are asked for.
pub trait TensorSource {
    fn names(&self) -> Vec<&str>;

    fn contains(&self, name: &str) -> bool;

    /// The tensor, its values finite.
    ///
    /// # Errors
    /// A tensor that is not there, cannot be read, or holds a NaN or an infinity.
    fn get(&self, name: &str) -> Result<Cow<'_, Tensor>, WeightsError>;
}

/// Named tensors: what both kinds of file yield.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Tells the kind of file from its first bytes and reads it.
    pub fn read(bytes: &[u8]) -> Result<Weights, WeightsError> {
        if bytes.starts_with(gguf::MAGIC) {
            Ok(gguf::read(bytes)?.into())
        } else if safetensors::looks_like(bytes) {
            safetensors::read(bytes)?.try_into()
        } else {
            Err(WeightsError::unknown(bytes, bytes.len() as u64))
        }
    }

    pub fn tensor(&self, name: &str) -> Result<&Tensor, WeightsError> {
        self.tensors.get(name).ok_or_else(|| self.missing(name))
    }

    /// Hands the tensor out; it is gone from here afterwards, so that no weight is held twice.
    pub fn take(&mut self, name: &str) -> Result<Tensor, WeightsError> {
        self.tensors.remove(name).ok_or_else(|| self.missing(name))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names are in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor);
    }

    fn missing(&self, name: &str) -> WeightsError {
        WeightsError::MissingTensor { name: name.to_owned(), n_tensors: self.tensors.len() }
    }
}

impl TensorSource for Weights {
    fn names(&self) -> Vec<&str> {
        self.names().collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.contains(name)
    }

    fn get(&self, name: &str) -> Result<Cow<'_, Tensor>, WeightsError> {
        self.tensor(name).map(Cow::Borrowed)
    }
}

impl From<BTreeMap<String, Tensor>> for Weights {
    fn from(tensors: BTreeMap<String, Tensor>) -> Weights {
        Weights { tensors }
    }
}

impl From<Weights> for BTreeMap<String, Tensor> {
    fn from(weights: Weights) -> BTreeMap<String, Tensor> {
        weights.tensors
    }
}

impl From<gguf::GgufFile> for Weights {
    fn from(file: gguf::GgufFile) -> Weights {
        file.tensors.into()
    }
}

impl TryFrom<safetensors::SafetensorsFile> for Weights {
    type Error = WeightsError;

    /// Tensors of integers (position ids) are left out: they are no weights.
    fn try_from(file: safetensors::SafetensorsFile) -> Result<Weights, WeightsError> {
        let mut weights = Weights::default();
        for (name, raw) in file.tensors {
            if raw.kind.is_float() {
                let tensor = raw.into_weight(&name)?;
                weights.insert(name, tensor);
            }
        }
        Ok(weights)
    }
}

/// JSON from the bytes of a file. As text everywhere: for bytes and for text serde would bring a reader of each type.
pub fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_str(std::str::from_utf8(bytes).map_err(serde_json::Error::custom)?)
}

/// The SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
