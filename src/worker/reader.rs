//! A weights file that arrives: from the network or out of a blob, parsed and hashed as it comes.
//!
//! Invariant: every byte goes through SHA-256, once, in the order of the file.
//! Invariant: a broken connection is taken up again where it broke; where a host sends only whole files, or a browser lets
//! no page ask for parts, the beginning is read once more and held to its hash. Nobody further up notices unless the file
//! changed or three tries in a row bring nothing.

use super::fetch::{self, Body, TRIES};
use super::problem::{Code, Problem};
use crate::weights::{Header, Item, Stream, WeightsError};
use js_sys::Uint8Array;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};
use std::ops::Range;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Blob};

/// A blob is read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// Where a file is.
#[derive(Clone)]
pub enum FileSource {
    Address(String),
    Blob(Blob),
}

/// Where a file was left, so that another visit can go on.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ResumePoint {
    pub n_bytes: u64,
    /// Bytes that were taken in; no tensor is incomplete there.
    pub position: u64,
    /// SHA-256 over those, not finished.
    pub hash: Vec<u8>,
    pub etag: Option<String>,
}

/// What is known of a file before it comes.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub n_bytes: Option<u64>,
    /// The hash is in lower-case hexadecimal.
    pub sha256: Option<String>,
}

pub struct WeightsReader {
    source: FileSource,
    cancel: AbortSignal,
    body: Option<Body>,
    stream: Option<Stream>,
    hash: Sha256,
    known: Known,
    n_bytes: u64,
    n_received: u64,
    etag: Option<String>,
    n_failures: u32,
    /// The host, or the browser, lets no part of a file be asked for.
    is_range_refused: bool,
    /// The beginning that is read once more: its bytes that are still to come, and the hash of those that came.
    again: Option<(u64, Sha256)>,
    piece: Vec<u8>,
    /// What of the piece is still to be parsed.
    unread: Range<usize>,
}

impl WeightsReader {
    /// From the first byte; `stream` begins one for a file of so many bytes, and decides which kinds of file are read.
    ///
    /// # Errors
    /// A file that cannot be had or is not as long as is known of it; a server that does not say how long it is.
    pub async fn open(
        source: FileSource,
        known: Known,
        stream: fn(u64) -> Stream,
        cancel: &AbortSignal,
    ) -> Result<WeightsReader, Problem> {
        let (body, n_bytes, etag) = match &source {
            FileSource::Blob(blob) => (None, blob.size() as u64, None),
            FileSource::Address(address) => {
                let body = fetch::open(address, cancel).await?;
                let n_bytes = match (body.n_bytes, known.n_bytes) {
                    (Some(found), Some(expected)) if found != expected => {
                        let detail = format!("{address} has {found} bytes, {expected} were stated");
                        return Err(Problem::new(Code::SourceHash, detail));
                    }
                    (found, expected) => found.or(expected).ok_or_else(|| {
                        let detail = format!("{address}: the server does not say its length");
                        Problem::new(Code::SourceServer, detail)
                    })?,
                };
                let etag = body.etag.clone();
                (Some(body), n_bytes, etag)
            }
        };
        let stream = stream(n_bytes);
        Ok(WeightsReader {
            body,
            etag,
            ..WeightsReader::at(source, known, cancel, n_bytes, stream, Sha256::new())
        })
    }

    /// From where an earlier visit left it, with the header of then; `None` where that cannot be read any more.
    pub fn resume(
        source: FileSource,
        known: Known,
        point: &ResumePoint,
        header: &[u8],
        cancel: &AbortSignal,
    ) -> Option<(WeightsReader, Header)> {
        let is_same_length = known.n_bytes.is_none_or(|n_bytes| n_bytes == point.n_bytes);
        let (stream, header) =
            Stream::resume(header, point.n_bytes, point.position).ok().filter(|_| is_same_length)?;
        let hash = Sha256::deserialize(&point.hash.as_slice().try_into().ok()?).ok()?;
        let reader = WeightsReader::at(source, known, cancel, point.n_bytes, stream, hash);
        let (n_received, etag) = (point.position, point.etag.clone());
        Some((WeightsReader { n_received, etag, ..reader }, header))
    }

    fn at(
        source: FileSource,
        known: Known,
        cancel: &AbortSignal,
        n_bytes: u64,
        stream: Stream,
        hash: Sha256,
    ) -> WeightsReader {
        WeightsReader {
            source,
            cancel: cancel.clone(),
            body: None,
            stream: Some(stream),
            hash,
            known,
            n_bytes,
            n_received: 0,
            etag: None,
            n_failures: 0,
            is_range_refused: false,
            again: None,
            piece: Vec::new(),
            unread: 0..0,
        }
    }

    /// Whether another visit could go on with it: something has to tell whether it is the same file then.
    pub fn can_be_resumed(&self) -> bool {
        self.etag.is_some() || self.known.sha256.is_some()
    }

    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub fn n_received(&self) -> u64 {
        self.n_received
    }

    /// Where another visit could go on, if it can from here.
    pub fn resume_point(&self) -> Option<ResumePoint> {
        let position = self.stream.as_ref()?.position().filter(|_| self.can_be_resumed())?;
        let (n_bytes, etag) = (self.n_bytes, self.etag.clone());
        Some(ResumePoint { n_bytes, position, hash: self.hash.serialize().to_vec(), etag })
    }

    /// What comes next, `None` after the end; `on_piece` hears of every piece that arrives.
    ///
    /// # Errors
    /// [`Unfit::Weights`] for bytes that are no weights; the rest can still be hashed.
    pub async fn next(&mut self, on_piece: &mut dyn FnMut(&WeightsReader)) -> Result<Option<Item>, Unfit> {
        loop {
            if let Some(stream) = &mut self.stream {
                let mut bytes = &self.piece[self.unread.clone()];
                let n_before = bytes.len();
                let item = stream.push(&mut bytes);
                let n_taken = n_before - bytes.len();
                self.hash.update(&self.piece[self.unread.start..self.unread.start + n_taken]);
                self.unread.start += n_taken;
                match item {
                    Ok(Some(item)) => return Ok(Some(item)),
                    Ok(None) => {}
                    Err(error) => {
                        self.stream = None;
                        return Err(Unfit::Weights(error));
                    }
                }
            }
            self.hash.update(&self.piece[self.unread.clone()]);
            self.unread = 0..0;
            if self.n_received == self.n_bytes {
                let finished = self.stream.take().map_or(Ok(()), Stream::finish);
                return finished.map(|()| None).map_err(Unfit::Weights);
            }
            self.receive().await?;
            on_piece(self);
        }
    }

    /// The SHA-256 of everything that was taken in; it is the file's after the end.
    pub fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Gets the next piece, over broken connections.
    async fn receive(&mut self) -> Result<(), Problem> {
        loop {
            fetch::check(&self.cancel)?;
            let problem = match self.try_receive().await {
                Ok(Some(piece)) => {
                    self.n_failures = 0;
                    let Some(piece) = self.behind_beginning(piece)? else { continue };
                    self.n_received += u64::from(piece.length());
                    if self.n_received > self.n_bytes {
                        let detail = format!("more than the {} bytes that were announced", self.n_bytes);
                        return Err(Problem::new(Code::SourceChanged, detail));
                    }
                    self.piece.resize(piece.length() as usize, 0);
                    piece.copy_to(&mut self.piece);
                    self.unread = 0..self.piece.len();
                    return Ok(());
                }
                Ok(None) => Problem::new(
                    Code::SourceUnreachable,
                    format!("the connection ended at byte {} of {}", self.n_received, self.n_bytes),
                ),
                Err(problem) => problem,
            };
            fetch::check(&self.cancel)?;
            self.body = None;
            self.n_failures += 1;
            if self.n_failures == TRIES || fetch::is_final(problem.code) {
                return Err(problem);
            }
            fetch::pause(self.n_failures).await;
        }
    }

    async fn try_receive(&mut self) -> Result<Option<Uint8Array>, Problem> {
        let address = match &self.source {
            FileSource::Address(address) => address,
            FileSource::Blob(blob) => {
                let end = self.n_bytes.min(self.n_received + PIECE_BYTES);
                let piece = blob.slice_with_f64_and_f64(self.n_received as f64, end as f64);
                let piece = async { JsFuture::from(piece?.array_buffer()).await };
                let piece = piece.await.map_err(|error| {
                    Problem::new(Code::StorageFailed, format!("reading: {}", fetch::message(&error)))
                })?;
                return Ok(Some(Uint8Array::new(&piece)));
            }
        };
        if self.body.is_none() {
            // The last try asks for everything: a part may be what is refused.
            let is_last = self.n_failures + 1 == TRIES;
            let wants_rest = !self.is_range_refused && !is_last && self.can_be_resumed();
            let etag = self.etag.as_deref().filter(|_| self.known.sha256.is_none());
            let from = wants_rest.then_some(fetch::From { start: self.n_received, etag });
            let body = Body::open(address, from, &self.cancel).await?;
            if body.n_bytes.is_some_and(|n_bytes| n_bytes != self.n_bytes) {
                return Err(Problem::new(Code::SourceChanged, format!("{address}: its length changed")));
            }
            self.again = None;
            if body.start != self.n_received {
                self.is_range_refused = true;
                self.again = Some((self.n_received, Sha256::new()));
            }
            self.body = Some(body);
        }
        match &mut self.body {
            Some(body) => body.next().await,
            None => Ok(None),
        }
    }
}

impl WeightsReader {
    /// What of a piece is new, where the beginning is read once more.
    ///
    /// # Errors
    /// [`Code::SourceChanged`]: the beginning is another one now.
    fn behind_beginning(&mut self, piece: Uint8Array) -> Result<Option<Uint8Array>, Problem> {
        let Some((n_left, mut hash)) = self.again.take() else { return Ok(Some(piece)) };
        let n_bytes = piece.length();
        let n_known = n_left.min(n_bytes.into()) as u32;
        hash.update(piece.subarray(0, n_known).to_vec());
        if n_left > u64::from(n_bytes) {
            self.again = Some((n_left - u64::from(n_bytes), hash));
            return Ok(None);
        }
        if hash.finalize() != self.hash.clone().finalize() {
            let detail = "it changed while it was downloaded: its beginning is another one now";
            return Err(Problem::new(Code::SourceChanged, detail));
        }
        Ok((n_known < n_bytes).then(|| piece.subarray(n_known, n_bytes)))
    }
}

/// Why a file gives no weights.
pub enum Unfit {
    Problem(Problem),
    Weights(WeightsError),
}

impl From<Problem> for Unfit {
    fn from(problem: Problem) -> Unfit {
        Unfit::Problem(problem)
    }
}
