//! A weights file that arrives: from the network or out of a blob, parsed and hashed as it comes.
//!
//! Invariant: every byte goes through SHA-256, once, in the order of the file.
//! Invariant: a broken connection is taken up again where it broke; nobody further up notices unless the file changed or
//! three tries in a row bring nothing.

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
    pub etag: String,
}

pub struct WeightsReader {
    source: FileSource,
    cancel: AbortSignal,
    body: Option<Body>,
    stream: Option<Stream>,
    hash: Sha256,
    n_bytes: u64,
    n_received: u64,
    etag: Option<String>,
    n_failures: u32,
    piece: Vec<u8>,
    /// What of the piece is still to be parsed.
    unread: Range<usize>,
}

impl WeightsReader {
    /// From the first byte.
    ///
    /// # Errors
    /// A file that cannot be had; a server that does not say how long it is.
    pub async fn open(source: FileSource, cancel: &AbortSignal) -> Result<WeightsReader, Problem> {
        let (body, n_bytes, etag) = match &source {
            FileSource::Blob(blob) => (None, blob.size() as u64, None),
            FileSource::Address(address) => {
                let body =
                    fetch::with_tries(cancel, async || Body::open(address, None, cancel).await).await?;
                let n_bytes = body.n_bytes.ok_or_else(|| {
                    Problem::new(Code::SourceServer, format!("{address}: the server does not say its length"))
                })?;
                let etag = body.etag.clone();
                (Some(body), n_bytes, etag)
            }
        };
        Ok(WeightsReader {
            source,
            cancel: cancel.clone(),
            body,
            stream: Some(Stream::new(n_bytes)),
            hash: Sha256::new(),
            n_bytes,
            n_received: 0,
            etag,
            n_failures: 0,
            piece: Vec::new(),
            unread: 0..0,
        })
    }

    /// From where an earlier visit left it, with the header of then; `None` where the file is not the same any more.
    pub async fn resume(
        address: String,
        resume_point: &ResumePoint,
        header: &[u8],
        cancel: &AbortSignal,
    ) -> Result<Option<(WeightsReader, Header)>, Problem> {
        let Ok((stream, header)) = Stream::resume(header, resume_point.n_bytes, resume_point.position) else {
            return Ok(None);
        };
        let state = resume_point.hash.as_slice().try_into().ok();
        let Some(Ok(hash)) = state.map(|state| Sha256::deserialize(&state)) else { return Ok(None) };
        let mut body = None;
        if resume_point.position < resume_point.n_bytes {
            let from = Some(fetch::From { start: resume_point.position, etag: &resume_point.etag });
            let opened = fetch::with_tries(cancel, async || Body::open(&address, from, cancel).await).await?;
            if opened.start != resume_point.position || opened.n_bytes != Some(resume_point.n_bytes) {
                return Ok(None);
            }
            body = Some(opened);
        }
        let reader = WeightsReader {
            source: FileSource::Address(address),
            cancel: cancel.clone(),
            body,
            stream: Some(stream),
            hash,
            n_bytes: resume_point.n_bytes,
            n_received: resume_point.position,
            etag: Some(resume_point.etag.clone()),
            n_failures: 0,
            piece: Vec::new(),
            unread: 0..0,
        };
        Ok(Some((reader, header)))
    }

    /// Whether another visit could go on with it.
    pub fn has_etag(&self) -> bool {
        self.etag.is_some()
    }

    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub fn n_received(&self) -> u64 {
        self.n_received
    }

    /// Where another visit could go on, if it can from here.
    pub fn resume_point(&self) -> Option<ResumePoint> {
        let (etag, position) = (self.etag.clone()?, self.stream.as_ref()?.position()?);
        Some(ResumePoint { n_bytes: self.n_bytes, position, hash: self.hash.serialize().to_vec(), etag })
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

    /// Of everything that was taken in; meant for after the end.
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
            let from = self.etag.as_deref().map(|etag| fetch::From { start: self.n_received, etag });
            let body = Body::open(address, from, &self.cancel).await?;
            if body.start != self.n_received {
                // Without an ETag nothing says that the file is the same.
                let detail = format!("{address}: changed while it was downloaded, or cannot be gone on with");
                return Err(Problem::new(Code::SourceChanged, detail));
            }
            self.body = Some(body);
        }
        match &mut self.body {
            Some(body) => body.next().await,
            None => Ok(None),
        }
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
