//! Weight files that arrive in pieces: tensors are handed out as soon as their last byte is there.
//!
//! Invariant: what is held is the header or one incomplete tensor, and of a GGUF at most as many bytes behind its header
//! as the header has.
//! Invariant: however a file is cut into pieces, it gives the same tensors and is refused for the same reasons as whole.

use super::gguf::{self, GgufError, GgufFile};
use super::{Weights, WeightsError, safetensors};
use crate::tensor::{Format, Tensor, TensorError};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Enough to tell the kinds of file apart.
const N_MAGIC: u64 = 9;
/// Far above any model's need, vocabulary and tokenizer included.
const MAX_HEADER: u64 = 64 << 20;

/// What came.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// First.
    Header(Header),
    /// A tensor by its name, in the order of the file; its values are finite. Tensors of integers are left out: they are no
    /// weights.
    Tensor(String, Tensor),
}

/// What a file says before its tensors.
#[derive(Debug, PartialEq)]
pub struct Header {
    /// A GGUF's metadata: a file without tensors.
    pub gguf: Option<GgufFile>,
    /// The names of tensors that are weights, in the order of their bytes.
    pub names: Vec<String>,
    /// Those tensors without their bytes: shapes and formats, by name.
    pub outlines: Weights,
    /// The file's first bytes, as many as are needed for [`Stream::resume`].
    pub bytes: Vec<u8>,
}

/// A file of a known length that is being read.
pub struct Stream {
    parse: Parse,
    n_bytes: u64,
    /// Bytes of the file that were taken in.
    n_taken: u64,
    state: State,
}

enum State {
    /// Collects the header until there are `n_wanted` bytes.
    Header {
        bytes: Vec<u8>,
        n_wanted: u64,
    },
    Tensors(Tensors),
}

/// The part behind the header.
#[derive(Default)]
struct Tensors {
    /// What was taken in with the header and belongs to tensors.
    behind_header: VecDeque<u8>,
    /// Where the next byte to be read lies in the file.
    at: u64,
    /// Still to come, in the order of their bytes.
    places: VecDeque<Place>,
    /// The beginning of the first of those.
    bytes: Vec<u8>,
}

struct Place {
    name: String,
    shape: Vec<usize>,
    /// `None`: integers.
    format: Option<Format>,
    range: Range<u64>,
}

impl Stream {
    /// Starts on a file of `n_bytes` bytes.
    pub fn new(n_bytes: u64) -> Stream {
        Stream::parsed_by(parse, n_bytes)
    }

    /// For a GGUF, for programs that read nothing else, and so need not carry a parser of safetensors.
    pub fn of_gguf(n_bytes: u64) -> Stream {
        Stream::parsed_by(parse_gguf, n_bytes)
    }

    fn parsed_by(parse: Parse, n_bytes: u64) -> Stream {
        let n_wanted = N_MAGIC.min(n_bytes);
        Stream { parse, n_bytes, n_taken: 0, state: State::Header { bytes: Vec::new(), n_wanted } }
    }

    /// Goes on at the byte `at`, where no tensor is incomplete ([`Stream::position`]), with [`Header::bytes`] of before.
    ///
    /// # Errors
    /// What [`Stream::push`] refuses in the header.
    pub fn resume(header: &[u8], n_bytes: u64, at: u64) -> Result<(Stream, Header), WeightsError> {
        let Some((header, mut tensors)) = parse(header.to_vec(), n_bytes)?.ok() else {
            return Err(GgufError::Truncated { what: "the header", needed: n_bytes, found: at }.into());
        };
        tensors.behind_header.clear();
        tensors.places.retain(|place| place.range.end > at);
        tensors.at = at;
        Ok((Stream { parse, n_bytes, n_taken: at, state: State::Tensors(tensors) }, header))
    }

    /// Takes from the front of `bytes` until something is complete; without an item, `bytes` was used up.
    ///
    /// # Errors
    /// A file of another kind, a header that the whole file's reader refuses, a tensor that is not finite.
    pub fn push(&mut self, bytes: &mut &[u8]) -> Result<Option<Item>, WeightsError> {
        if let State::Header { bytes: header, n_wanted } = &mut self.state {
            let n_more = (*n_wanted - header.len() as u64).min(bytes.len() as u64) as usize;
            self.n_taken += n_more as u64;
            header.extend(bytes.split_off(..n_more).unwrap_or_default());
            if (header.len() as u64) < *n_wanted {
                return Ok(None);
            }
            match (self.parse)(std::mem::take(header), self.n_bytes)? {
                Ok((header, tensors)) => {
                    self.state = State::Tensors(tensors);
                    return Ok(Some(Item::Header(header)));
                }
                Err((so_far, needed)) => {
                    *header = so_far;
                    *n_wanted = needed;
                    return self.push(bytes);
                }
            }
        }
        let State::Tensors(tensors) = &mut self.state else { return Ok(None) };
        if !tensors.behind_header.is_empty() {
            let mut behind = std::mem::take(&mut tensors.behind_header);
            let mut rest: &[u8] = behind.make_contiguous();
            let n_before = rest.len();
            let item = tensors.take(&mut rest)?;
            let n_read = n_before - rest.len();
            behind.drain(..n_read);
            tensors.behind_header = behind;
            if item.is_some() {
                return Ok(item);
            }
        }
        let n_before = bytes.len();
        let item = tensors.take(bytes);
        self.n_taken += (n_before - bytes.len()) as u64;
        item
    }

    /// How many bytes were taken in, where no tensor is incomplete: a place to go on from.
    pub fn position(&self) -> Option<u64> {
        match &self.state {
            State::Tensors(tensors) if tensors.bytes.is_empty() && tensors.behind_header.is_empty() => {
                Some(self.n_taken)
            }
            _ => None,
        }
    }

    /// After the last byte.
    ///
    /// # Errors
    /// Fewer or more bytes than the file was said to have.
    pub fn finish(self) -> Result<(), WeightsError> {
        match self.n_taken == self.n_bytes {
            true => Ok(()),
            false => Err(WeightsError::Length { expected: self.n_bytes, found: self.n_taken }),
        }
    }
}

impl Tensors {
    fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Item>, WeightsError> {
        loop {
            let Some(place) = self.places.front() else {
                self.at += bytes.len() as u64;
                *bytes = &[];
                return Ok(None);
            };
            let n_padding = place.range.start.saturating_sub(self.at);
            split(bytes, n_padding, &mut self.at);
            if self.at < place.range.start {
                return Ok(None);
            }
            let n_missing = place.range.end - self.at;
            let Some(format) = place.format else {
                split(bytes, n_missing, &mut self.at);
                if self.at < place.range.end {
                    return Ok(None);
                }
                self.places.pop_front();
                continue;
            };
            let n_bytes = (place.range.end - place.range.start) as usize;
            if self.bytes.capacity() < n_bytes && self.bytes.try_reserve_exact(n_bytes).is_err() {
                let source = TensorError::TooLarge { shape: place.shape.clone() };
                return Err(WeightsError::BadTensor { name: place.name.clone(), source });
            }
            self.bytes.extend(split(bytes, n_missing, &mut self.at));
            if self.at < place.range.end {
                return Ok(None);
            }
            let bytes = std::mem::take(&mut self.bytes);
            let Some(Place { name, shape, .. }) = self.places.pop_front() else { return Ok(None) };
            let tensor =
                Tensor::new(&shape, format, bytes).and_then(|tensor| tensor.check_finite().map(|()| tensor));
            return match tensor {
                Ok(tensor) => Ok(Some(Item::Tensor(name, tensor))),
                Err(source) => Err(WeightsError::BadTensor { name, source }),
            };
        }
    }
}

/// Takes up to `n_wanted` bytes from the front and counts them.
fn split<'a>(bytes: &mut &'a [u8], n_wanted: u64, at: &mut u64) -> &'a [u8] {
    let n_bytes = n_wanted.min(bytes.len() as u64);
    *at += n_bytes;
    bytes.split_off(..n_bytes as usize).unwrap_or_default()
}

type Parsed = (Header, Tensors);
/// The header, or the bytes so far and how many are needed to go on.
type Parse = fn(Vec<u8>, u64) -> Result<Result<Parsed, (Vec<u8>, u64)>, WeightsError>;

fn parse(bytes: Vec<u8>, n_bytes: u64) -> Result<Result<Parsed, (Vec<u8>, u64)>, WeightsError> {
    match safetensors::looks_like(&bytes) && !bytes.starts_with(gguf::MAGIC) {
        true => parse_safetensors(bytes, n_bytes),
        false => parse_gguf(bytes, n_bytes),
    }
}

fn parse_gguf(bytes: Vec<u8>, n_bytes: u64) -> Result<Result<Parsed, (Vec<u8>, u64)>, WeightsError> {
    let found = bytes.len() as u64;
    if !bytes.starts_with(gguf::MAGIC) {
        return Err(WeightsError::unknown(&bytes, n_bytes));
    }
    match gguf::Header::parse(&bytes, n_bytes) {
        Ok(gguf::Header { metadata, tensors, len }) => {
            let place = |gguf::TensorInfo { name, shape, format, range }| Place {
                name,
                shape,
                format: Some(format),
                range,
            };
            let file = GgufFile { metadata, tensors: BTreeMap::new() };
            Ok(Ok(parsed(Some(file), tensors.into_iter().map(place).collect(), bytes, len)))
        }
        // Twice as many each time, so that a header that tells its length only at its end is read a few times.
        Err(GgufError::Truncated { needed, found: end, .. })
            if end == found && found < n_bytes && needed <= n_bytes && needed <= MAX_HEADER =>
        {
            Ok(Err((bytes, needed.max(2 * found).min(n_bytes).min(MAX_HEADER))))
        }
        Err(error) => Err(error.into()),
    }
}

fn parse_safetensors(bytes: Vec<u8>, n_bytes: u64) -> Result<Result<Parsed, (Vec<u8>, u64)>, WeightsError> {
    let len = safetensors::Header::len_of(&bytes, n_bytes)?;
    if (bytes.len() as u64) < len {
        return Ok(Err((bytes, len)));
    }
    let place = |safetensors::TensorInfo { name, shape, kind, range }| Place {
        name,
        shape,
        format: kind.format(),
        range,
    };
    let header = safetensors::Header::parse(&bytes, n_bytes)?;
    Ok(Ok(parsed(None, header.tensors.into_iter().map(place).collect(), bytes, len)))
}

/// The first `len` of the bytes are the header's.
fn parsed(gguf: Option<GgufFile>, places: VecDeque<Place>, mut bytes: Vec<u8>, len: u64) -> Parsed {
    let mut names = Vec::new();
    let mut outlines = Weights::default();
    for Place { name, shape, format, .. } in &places {
        let Some(format) = *format else { continue };
        names.push(name.clone());
        outlines.insert(name.clone(), Tensor { shape: shape.clone(), format, bytes: Vec::new() });
    }
    let at = len.min(bytes.len() as u64);
    let behind_header = bytes.split_off(at as usize).into();
    let tensors = Tensors { behind_header, at, places, bytes: Vec::new() };
    (Header { gguf, names, outlines, bytes }, tensors)
}
