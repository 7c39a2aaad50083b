//! Metadata values, and the cursor that reads them.
//!
//! Invariant: an array stays in the bytes of the file, because a `Value` each would take up to 32 times as much;
//! its bytes were walked once when it was read, so that iterating cannot fail.

use super::GgufError;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// Values of one type. Built with `Value::from(vec)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    type_id: u32,
    len: u64,
    bytes: Vec<u8>,
}

impl Array {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Each item, read as it is asked for.
    pub fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        let mut cursor = Cursor::new(&self.bytes, 0);
        (0..self.len).map_while(move |_| Value::read_typed(&mut cursor, self.type_id, "").ok())
    }

    fn read(cursor: &mut Cursor, key: &str) -> Result<Array, GgufError> {
        let type_id = cursor.u32("an array's type")?;
        let len = cursor.u64("an array's length")?;
        let start = cursor.at;
        match fixed_size(type_id) {
            Some(size) => {
                let items = cursor.take(len.saturating_mul(size), "an array")?;
                if type_id == BOOL && items.iter().any(|&b| b > 1) {
                    return Err(GgufError::ValueType { key: key.to_owned(), type_id });
                }
            }
            None if type_id == STRING => {
                for _ in 0..len {
                    cursor.str("an array's text")?;
                }
            }
            None if type_id == ARRAY => return Err(GgufError::NestedArray { key: key.to_owned() }),
            None => return Err(GgufError::ValueType { key: key.to_owned(), type_id }),
        }
        Ok(Array { type_id, len, bytes: cursor.bytes[start..cursor.at].to_vec() })
    }

    /// An array of `items`, all of which have the type `type_id`.
    fn of(type_id: u32, items: impl ExactSizeIterator<Item = Value>) -> Value {
        let len = items.len() as u64;
        let mut bytes = Vec::new();
        items.for_each(|item| item.write_payload(&mut bytes));
        Value::Array(Array { type_id, len, bytes })
    }
}

const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Bytes of a value of a type that always takes as many.
fn fixed_size(type_id: u32) -> Option<u64> {
    match type_id {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

impl Value {
    pub(super) fn read(cursor: &mut Cursor, key: &str) -> Result<Value, GgufError> {
        let type_id = cursor.u32("a value's type")?;
        Value::read_typed(cursor, type_id, key)
    }

    fn read_typed(cursor: &mut Cursor, type_id: u32, key: &str) -> Result<Value, GgufError> {
        const WHAT: &str = "a value";
        Ok(match type_id {
            0 => Value::U8(u8::from_le_bytes(cursor.array(WHAT)?)),
            1 => Value::I8(i8::from_le_bytes(cursor.array(WHAT)?)),
            2 => Value::U16(u16::from_le_bytes(cursor.array(WHAT)?)),
            3 => Value::I16(i16::from_le_bytes(cursor.array(WHAT)?)),
            4 => Value::U32(cursor.u32(WHAT)?),
            5 => Value::I32(i32::from_le_bytes(cursor.array(WHAT)?)),
            6 => Value::F32(f32::from_le_bytes(cursor.array(WHAT)?)),
            BOOL => match cursor.array(WHAT)? {
                [byte @ 0..=1] => Value::Bool(byte == 1),
                _ => return Err(GgufError::ValueType { key: key.to_owned(), type_id }),
            },
            STRING => Value::String(cursor.string(WHAT)?),
            ARRAY => Value::Array(Array::read(cursor, key)?),
            10 => Value::U64(cursor.u64(WHAT)?),
            11 => Value::I64(i64::from_le_bytes(cursor.array(WHAT)?)),
            12 => Value::F64(f64::from_le_bytes(cursor.array(WHAT)?)),
            _ => return Err(GgufError::ValueType { key: key.to_owned(), type_id }),
        })
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.type_id().to_le_bytes());
        self.write_payload(bytes);
    }

    fn write_payload(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::U8(v) => bytes.extend(v.to_le_bytes()),
            Value::I8(v) => bytes.extend(v.to_le_bytes()),
            Value::U16(v) => bytes.extend(v.to_le_bytes()),
            Value::I16(v) => bytes.extend(v.to_le_bytes()),
            Value::U32(v) => bytes.extend(v.to_le_bytes()),
            Value::I32(v) => bytes.extend(v.to_le_bytes()),
            Value::F32(v) => bytes.extend(v.to_le_bytes()),
            Value::Bool(v) => bytes.push(u8::from(*v)),
            Value::String(v) => write_string(bytes, v),
            Value::Array(v) => {
                bytes.extend(v.type_id.to_le_bytes());
                bytes.extend(v.len.to_le_bytes());
                bytes.extend(&v.bytes);
            }
            Value::U64(v) => bytes.extend(v.to_le_bytes()),
            Value::I64(v) => bytes.extend(v.to_le_bytes()),
            Value::F64(v) => bytes.extend(v.to_le_bytes()),
        }
    }

    fn type_id(&self) -> u32 {
        match self {
            Value::U8(_) => 0,
            Value::I8(_) => 1,
            Value::U16(_) => 2,
            Value::I16(_) => 3,
            Value::U32(_) => 4,
            Value::I32(_) => 5,
            Value::F32(_) => 6,
            Value::Bool(_) => BOOL,
            Value::String(_) => STRING,
            Value::Array(_) => ARRAY,
            Value::U64(_) => 10,
            Value::I64(_) => 11,
            Value::F64(_) => 12,
        }
    }

    /// Its type's name, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::U8(_) => "a u8",
            Value::I8(_) => "an i8",
            Value::U16(_) => "a u16",
            Value::I16(_) => "an i16",
            Value::U32(_) => "a u32",
            Value::I32(_) => "an i32",
            Value::F32(_) => "an f32",
            Value::Bool(_) => "a bool",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::U64(_) => "a u64",
            Value::I64(_) => "an i64",
            Value::F64(_) => "an f64",
        }
    }

    /// An integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::I8(v) => v.try_into().ok(),
            Value::U16(v) => Some(v.into()),
            Value::I16(v) => v.try_into().ok(),
            Value::U32(v) => Some(v.into()),
            Value::I32(v) => v.try_into().ok(),
            Value::U64(v) => Some(v),
            Value::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    pub fn as_f32(&self) -> Option<f32> {
        match *self {
            Value::F32(v) => Some(v),
            Value::F64(v) => Some(v as f32),
            _ => None,
        }
    }
}

/// Whoever writes a value: `file.set("cliplet.vision.width", 768u32)`.
macro_rules! value_from {
    ($($type:ty => $variant:ident $id:literal),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Value {
                Value::$variant(value)
            }
        }
        impl From<Vec<$type>> for Value {
            fn from(items: Vec<$type>) -> Value {
                Array::of($id, items.into_iter().map(Value::$variant))
            }
        }
    )*};
}
value_from!(u8 => U8 0, u32 => U32 4, i32 => I32 5, f32 => F32 6, bool => Bool 7, String => String 8, u64 => U64 10);

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.to_owned())
    }
}

pub(super) fn write_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A place in bytes that are not trusted.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at }
    }

    pub fn position(&self) -> u64 {
        self.at as u64
    }

    /// The next `n_bytes` bytes.
    pub fn take(&mut self, n_bytes: u64, what: &'static str) -> Result<&'a [u8], GgufError> {
        let rest = &self.bytes[self.at..];
        match usize::try_from(n_bytes).ok().and_then(|n_bytes| rest.get(..n_bytes)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(GgufError::Truncated {
                what,
                needed: self.position().saturating_add(n_bytes),
                found: self.bytes.len() as u64,
            }),
        }
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub fn str(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let n_bytes = self.u64(what)?;
        let at = self.position();
        std::str::from_utf8(self.take(n_bytes, what)?).map_err(|_| GgufError::NotUtf8 { at })
    }

    pub fn string(&mut self, what: &'static str) -> Result<String, GgufError> {
        self.str(what).map(str::to_owned)
    }
}
