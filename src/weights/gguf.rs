//! GGUF versions 2 and 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): our own format, and
//! clip.cpp's. Little-endian: header, metadata, tensor table, padding, tensor data.
//!
//! Invariant: every length and count is checked against the bytes that are left before anything is allocated
//! or skipped, in arithmetic that also holds where `usize` has 32 bits.
//! Invariant: tensors lie aligned inside the file and do not overlap; names and keys are unique.
//! Invariant: writing is deterministic, and reading what was written gives the same file.
//! Invariant: a file can be written without holding it: tensor data as it comes, placed by a [`Table`]; the header last.

mod value;
pub use value::{Array, Value};

use crate::tensor::{Format, Tensor, TensorError, stored_bytes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use thiserror::Error;
use value::{Cursor, write_string};

/// The first four bytes of each file.
pub const MAGIC: &[u8] = b"GGUF";
const VERSION: u32 = 3;
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Far above any model's need; they bound what the tables allocate.
const MAX_KEYS: u64 = 1024;
const MAX_TENSORS: u64 = 4096;
const MAX_DIMS: u32 = 4;

/// What is wrong with a GGUF file.
#[derive(Debug, Error)]
pub enum GgufError {
    #[error("GGUF: the file does not start with \"GGUF\": it is another kind of file")]
    Magic,
    #[error(
        "GGUF: version {0} is not read, only 2 and 3 (little-endian): write the file again with current tools"
    )]
    Version(u32),
    #[error("GGUF: {what} ends at byte {needed}, the data at {found}: the file is incomplete or damaged")]
    Truncated { what: &'static str, needed: u64, found: u64 },
    #[error("GGUF: {found} {what}, the most read are {max}: the file is damaged")]
    TooMany { what: &'static str, found: u64, max: u64 },
    #[error("GGUF: the text at byte {at} is not UTF-8: the file is damaged")]
    NotUtf8 { at: u64 },
    #[error("GGUF: `{0}` appears twice")]
    Duplicate(String),
    #[error("GGUF: key `{key}` has unknown type {type_id}")]
    ValueType { key: String, type_id: u32 },
    #[error("GGUF: key `{key}` holds an array of arrays, which is not read")]
    NestedArray { key: String },
    #[error("GGUF: alignment {0} is not a power of two")]
    Alignment(u64),
    #[error("GGUF: the file has no key `{key}`: it is another kind of model, or incomplete")]
    MissingKey { key: String },
    #[error("GGUF: key `{key}` is {found}, not {wanted}")]
    WrongType { key: String, wanted: &'static str, found: &'static str },
    #[error(
        "GGUF: tensor `{name}` is stored as ggml type {type_id}, which is not read: convert it to q8_0, q4_0 or f16"
    )]
    TensorType { name: String, type_id: u32 },
    #[error("GGUF: tensor `{name}` has a dimension of 0: {shape:?}")]
    EmptyTensor { name: String, shape: Vec<u64> },
    #[error("GGUF: tensor `{name}` starts at {offset}, which {alignment} does not divide")]
    Misaligned { name: String, offset: u64, alignment: u64 },
    #[error("GGUF: tensors `{first}` and `{second}` overlap")]
    Overlap { first: String, second: String },
    #[error("GGUF: tensor `{name}`: {source}")]
    Tensor { name: String, source: TensorError },
}

/// A tensor's place in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    pub name: String,
    /// Outermost first.
    pub shape: Vec<usize>,
    pub format: Format,
    /// Its bytes, counted from the start of the file.
    pub range: Range<u64>,
}

/// Everything before the tensor data, so that a download can be read while it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub metadata: BTreeMap<String, Value>,
    /// The tensors are in the order of their bytes.
    pub tensors: Vec<TensorInfo>,
    /// Bytes before the tensor data: the header's own, with padding.
    pub len: u64,
}

impl Header {
    /// Reads the header of a file of `file_len` bytes from its first bytes. [`GgufError::Truncated`] with
    /// `found` equal to `prefix.len()` says that more of the file is needed.
    pub fn parse(prefix: &[u8], file_len: u64) -> Result<Header, GgufError> {
        if !prefix.starts_with(MAGIC) {
            return Err(GgufError::Magic);
        }
        let mut cursor = Cursor::new(prefix, MAGIC.len());
        let version = cursor.u32("the version")?;
        if !(2..=VERSION).contains(&version) {
            return Err(GgufError::Version(version));
        }
        let n_tensors = at_most(cursor.u64("the tensor count")?, MAX_TENSORS, "tensors")?;
        let n_keys = at_most(cursor.u64("the key count")?, MAX_KEYS, "keys")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..n_keys {
            let key = cursor.string("a key")?;
            let value = Value::read(&mut cursor, &key)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(GgufError::Duplicate(key));
            }
        }
        let alignment = alignment(&metadata)?;
        let mut tensors = Vec::new();
        for _ in 0..n_tensors {
            tensors.push(read_tensor_info(&mut cursor, alignment)?);
        }
        let len = cursor.position().next_multiple_of(alignment);
        place_tensors(&mut tensors, len, file_len)?;
        Ok(Header { metadata, tensors, len })
    }
}

impl Header {
    /// The header of the same tensors with other metadata: what stands in the file from [`Header::len`] on follows it.
    ///
    /// # Errors
    /// An alignment that is none.
    pub fn with_metadata(&self, metadata: &BTreeMap<String, Value>) -> Result<Vec<u8>, GgufError> {
        let relative = |info: &TensorInfo| {
            let range = info.range.start - self.len..info.range.end - self.len;
            TensorInfo { range, ..info.clone() }
        };
        let tensors = self.tensors.iter().map(relative).collect();
        Ok(Table { alignment: alignment(metadata)?, tensors }.header(metadata))
    }
}

/// Where the tensors of a file lie that is written one by one. Their data may go to a place of its own, in the order in
/// which they come; the file is [`Table::header`], then that data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    alignment: u64,
    /// The tensors are in the order of their bytes; ranges are counted from the start of the tensor data.
    tensors: Vec<TensorInfo>,
}

impl Default for Table {
    fn default() -> Self {
        Table { alignment: DEFAULT_ALIGNMENT, tensors: Vec::new() }
    }
}

impl Table {
    /// The place of one more tensor: its bytes from the start of the tensor data. What lies between two is zeros.
    ///
    /// # Errors
    /// A tensor of this name is there already.
    pub fn push(&mut self, name: &str, tensor: &Tensor) -> Result<Range<u64>, GgufError> {
        if self.tensors.iter().any(|other| other.name == name) {
            return Err(GgufError::Duplicate(name.to_owned()));
        }
        let start = self.n_bytes().next_multiple_of(self.alignment);
        let range = start..start + tensor.bytes.len() as u64;
        let (name, shape, format) = (name.to_owned(), tensor.shape.clone(), tensor.format);
        self.tensors.push(TensorInfo { name, shape, format, range: range.clone() });
        Ok(range)
    }

    /// Keeps the first `n_tensors` only.
    pub fn truncate(&mut self, n_tensors: usize) {
        self.tensors.truncate(n_tensors);
    }

    /// The tensors are in the order of their bytes.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Bytes of the tensor data.
    pub fn n_bytes(&self) -> u64 {
        self.tensors.last().map_or(0, |last| last.range.end)
    }

    /// Everything before the tensor data, padding included.
    pub fn header(&self, metadata: &BTreeMap<String, Value>) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            write_string(&mut bytes, key);
            value.write(&mut bytes);
        }
        for TensorInfo { name, shape, format, range } in &self.tensors {
            write_string(&mut bytes, name);
            bytes.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|&dim| bytes.extend((dim as u64).to_le_bytes()));
            bytes.extend(type_id(*format).to_le_bytes());
            bytes.extend(range.start.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(self.alignment as usize), 0);
        bytes
    }
}

/// A whole file; also what writes one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufFile {
    pub metadata: BTreeMap<String, Value>,
    pub tensors: BTreeMap<String, Tensor>,
}

/// Reads a whole file.
pub fn read(bytes: &[u8]) -> Result<GgufFile, GgufError> {
    let header = Header::parse(bytes, bytes.len() as u64)?;
    let mut tensors = BTreeMap::new();
    for TensorInfo { name, shape, format, range } in header.tensors {
        // In range: `parse` checked it against the length of `bytes`.
        let data = bytes[range.start as usize..range.end as usize].to_vec();
        let tensor = Tensor { shape, format, bytes: data };
        if let Err(source) = tensor.check_finite() {
            return Err(GgufError::Tensor { name, source });
        }
        tensors.insert(name, tensor);
    }
    Ok(GgufFile { metadata: header.metadata, tensors })
}

impl GgufFile {
    /// Sets a metadata value.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.metadata.insert(key.to_owned(), value.into());
    }

    /// Any unsigned integer that fits, or a non-negative signed one.
    pub fn u32(&self, key: &str) -> Result<u32, GgufError> {
        let value = self.value(key)?;
        value.as_u64().and_then(|v| v.try_into().ok()).ok_or_else(|| wrong_type(key, "a u32", value))
    }

    /// A [`u32`](Self::u32) as a size.
    pub fn usize(&self, key: &str) -> Result<usize, GgufError> {
        Ok(self.u32(key)? as usize)
    }

    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        let value = self.value(key)?;
        value.as_f32().ok_or_else(|| wrong_type(key, "a float", value))
    }

    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        match self.value(key)? {
            Value::Bool(value) => Ok(*value),
            value => Err(wrong_type(key, "a bool", value)),
        }
    }

    pub fn string(&self, key: &str) -> Result<&str, GgufError> {
        match self.value(key)? {
            Value::String(value) => Ok(value),
            value => Err(wrong_type(key, "a string", value)),
        }
    }

    pub fn f32s(&self, key: &str) -> Result<Vec<f32>, GgufError> {
        self.array(key, "an array of floats", |value| value.as_f32())
    }

    pub fn strings(&self, key: &str) -> Result<Vec<String>, GgufError> {
        self.array(key, "an array of strings", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// The value of `key`, or an error that names it.
    pub fn value(&self, key: &str) -> Result<&Value, GgufError> {
        self.metadata.get(key).ok_or_else(|| GgufError::MissingKey { key: key.to_owned() })
    }

    fn array<T>(
        &self,
        key: &str,
        wanted: &'static str,
        item: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<T>, GgufError> {
        let value = self.value(key)?;
        let items = match value {
            Value::Array(array) => array.iter().map(item).collect::<Option<Vec<T>>>(),
            _ => None,
        };
        items.ok_or_else(|| wrong_type(key, wanted, value))
    }

    /// The whole file as bytes: version 3, keys and tensors in alphabetical order.
    pub fn to_bytes(&self) -> Result<Vec<u8>, GgufError> {
        let mut table = Table { alignment: alignment(&self.metadata)?, tensors: Vec::new() };
        self.tensors.iter().try_for_each(|(name, tensor)| table.push(name, tensor).map(drop))?;
        let mut bytes = table.header(&self.metadata);
        let data_start = bytes.len();
        for (tensor, info) in self.tensors.values().zip(&table.tensors) {
            bytes.resize(data_start + info.range.start as usize, 0);
            bytes.extend(&tensor.bytes);
        }
        Ok(bytes)
    }
}

fn wrong_type(key: &str, wanted: &'static str, found: &Value) -> GgufError {
    GgufError::WrongType { key: key.to_owned(), wanted, found: found.type_name() }
}

fn at_most(found: u64, max: u64, what: &'static str) -> Result<u64, GgufError> {
    if found <= max { Ok(found) } else { Err(GgufError::TooMany { what, found, max }) }
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, GgufError> {
    let alignment = match metadata.get(ALIGNMENT_KEY) {
        None => DEFAULT_ALIGNMENT,
        Some(value) => {
            value.as_u64().ok_or_else(|| wrong_type(ALIGNMENT_KEY, "an unsigned integer", value))?
        }
    };
    // 64 KiB is the largest page that anyone maps; more would let padding overflow.
    if alignment.is_power_of_two() && alignment <= 1 << 16 {
        Ok(alignment)
    } else {
        Err(GgufError::Alignment(alignment))
    }
}

/// One row of the tensor table; its range is still relative to the tensor data.
fn read_tensor_info(cursor: &mut Cursor, alignment: u64) -> Result<TensorInfo, GgufError> {
    let name = cursor.string("a tensor's name")?;
    let n_dims = cursor.u32("a tensor's rank")?;
    at_most(n_dims.into(), MAX_DIMS.into(), "dimensions")?;
    let mut dims = (0..n_dims).map(|_| cursor.u64("a tensor's shape")).collect::<Result<Vec<u64>, _>>()?;
    dims.reverse();
    let type_id = cursor.u32("a tensor's type")?;
    let offset = cursor.u64("a tensor's offset")?;
    if dims.contains(&0) {
        return Err(GgufError::EmptyTensor { name, shape: dims });
    }
    let Some(format) = format_of(type_id) else { return Err(GgufError::TensorType { name, type_id }) };
    if !offset.is_multiple_of(alignment) {
        return Err(GgufError::Misaligned { name, offset, alignment });
    }
    // A dimension beyond `usize` saturates, and the product is then refused as too large.
    let shape: Vec<usize> = dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect();
    match stored_bytes(&shape, format) {
        Ok(n_bytes) => {
            Ok(TensorInfo { name, shape, format, range: offset..offset.saturating_add(n_bytes as u64) })
        }
        Err(source) => Err(GgufError::Tensor { name, source }),
    }
}

/// Sorts tensors by place, moves their ranges behind the header, and refuses what overlaps or is not there.
fn place_tensors(tensors: &mut [TensorInfo], header_len: u64, file_len: u64) -> Result<(), GgufError> {
    let mut names = HashSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
        return Err(GgufError::Duplicate(twice.name.clone()));
    }
    tensors.sort_by_key(|tensor| tensor.range.start);
    for tensor in tensors.iter_mut() {
        let Range { start, end } = tensor.range;
        tensor.range = start.saturating_add(header_len)..end.saturating_add(header_len);
        if tensor.range.end > file_len {
            return Err(GgufError::Truncated {
                what: "the tensor data",
                needed: tensor.range.end,
                found: file_len,
            });
        }
    }
    match tensors.windows(2).find(|pair| pair[0].range.end > pair[1].range.start) {
        None => Ok(()),
        Some(pair) => Err(GgufError::Overlap { first: pair[0].name.clone(), second: pair[1].name.clone() }),
    }
}

/// ggml's number of a format (`enum ggml_type`).
fn type_id(format: Format) -> u32 {
    match format {
        Format::F32 => 0,
        Format::F16 => 1,
        Format::Q4_0 => 2,
        Format::Q4_1 => 3,
        Format::Q5_0 => 6,
        Format::Q5_1 => 7,
        Format::Q8_0 => 8,
        Format::Bf16 => 30,
    }
}

fn format_of(id: u32) -> Option<Format> {
    Format::ALL.into_iter().find(|&format| type_id(format) == id)
}
