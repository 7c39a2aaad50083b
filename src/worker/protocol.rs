//! Messages between page and worker, as JSON beside at most one other value (pictures, what the model sees of one,
//! embeddings).
//!
//! Invariant: every request that is answered has an id that no other of the session has, and its answers carry it back.
//! Invariant: nothing here holds picture bytes or weights.

use super::problem::Problem;
use crate::convert::catalogue::WeightFile;
use crate::facts::{BackendChoice, LabelNotes, Mode, ModelInfo, RankedLabels};
use crate::image::Background;
use crate::weights::sha256_hex;
use serde::{Deserialize, Serialize};

/// What the page asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Load a model, which takes the place of the one there. Also the way to retry.
    /// Its events carry `id` back; a load that is under way is given up for it.
    Load {
        id: u32,
        model: ModelRef,
        /// `Gpu` asks for no more than `Auto` does: a page that shows nothing would help nobody.
        #[serde(default)]
        backend: BackendChoice,
    },
    /// Stop this load.
    CancelLoad { id: u32 },
    /// Rank labels for pictures; what is not encoded yet is encoded first. A newer question takes its place.
    Rank(Question),
    /// Encode pictures and labels, for rankings to come and for whoever asked. Questions go before it, nothing takes its
    /// place.
    Encode(Encoding),
    /// Show what the model sees of a picture.
    Crop { id: u64, picture: u64 },
    /// Stop the question or the encoding with this id. What was encoded is kept, and so is the model.
    Cancel { id: u64 },
    /// Delete the stored weights.
    Forget,
}

impl Request {
    /// The pictures that travel beside it: pairs of an id and a file or a frame.
    pub fn pictures(&self) -> &[u64] {
        match self {
            Request::Rank(Question { pictures, .. }) | Request::Encode(Encoding { pictures, .. }) => pictures,
            Request::Crop { picture, .. } => std::slice::from_ref(picture),
            Request::Load { .. } | Request::CancelLoad { .. } | Request::Cancel { .. } | Request::Forget => {
                &[]
            }
        }
    }
}

/// What is to be ranked: everything that its answers, one a picture, depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub id: u64,
    pub pictures: Vec<u64>,
    pub labels: Vec<String>,
    pub templates: Vec<String>,
    pub mode: Mode,
    pub has_none: bool,
}

/// What is to be encoded: any number of pictures, and labels in these templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    pub id: u64,
    pub pictures: Vec<u64>,
    pub labels: Vec<String>,
    pub templates: Vec<String>,
}

/// What the worker tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The worker runs and listens.
    Hello,
    /// Where the load with this id stands.
    Progress(u32, Progress),
    /// The model of this load answers questions from now on.
    Ready(u32, Box<Card>),
    /// The same model now runs elsewhere; what was asked is still being answered.
    Moved(Box<Card>),
    /// Something failed, and the worker goes on in another way.
    Notice(Problem),
    /// This load failed; `Load` tries again.
    LoadFailed(u32, Problem),
    /// One picture of a question is ranked.
    Answered(Answer),
    /// Labels of the question or encoding with this id are encoded, so many of all; told only where it takes a while.
    LabelProgress { id: u64, done: usize, total: usize },
    /// Part of an encoding is there; its embeddings travel beside this, one behind the other.
    Encoded { id: u64, what: Encoded },
    /// One picture of several can't be read; the others can.
    PictureFailed { id: u64, picture: u64, problem: Problem },
    /// The question or the encoding was stopped by [`Request::Cancel`].
    Cancelled { id: u64 },
    /// What the model sees; its pixels travel beside this, 3 bytes each, row by row.
    Crop(Crop),
    /// This question can't be answered; others can.
    Rejected { id: u64, problem: Problem },
    /// The worker broke down and must be replaced.
    Crashed(String),
    /// The stored weights are gone.
    Forgotten,
}

/// Where loading stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub stage: LoadStage,
    /// Bytes for the stages that move bytes, else 0 of 0.
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadStage {
    Start,
    Download,
    /// From this browser's storage.
    Read,
    Verify,
    /// Parse, upload, compile shaders.
    Build,
    SelfTest,
}

/// The model and where it runs: what the badge and the model card show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub info: ModelInfo,
    /// The sentences that suit the model, each with `{label}`.
    pub templates: Vec<String>,
    pub file: String,
    pub sha256: String,
    /// Why it is not the GPU, if it is not.
    pub fallback: Option<Problem>,
}

/// A named time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    pub name: String,
    pub millis: f64,
}

/// What of an encoding is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Encoded {
    Picture(u64),
    /// All labels that can be read, in their order.
    Labels(LabelNotes),
}

/// The labels, best first, for one picture of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question's.
    pub id: u64,
    pub picture: u64,
    pub ranked: RankedLabels,
    /// Labels that were cut, that cannot be read, that are the same to the model.
    pub notes: LabelNotes,
    /// What was laid under the picture's transparency; `None`: it had none.
    pub background: Option<Background>,
    pub stages: Vec<StageTime>,
}

/// The square that the model sees of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// The id of the request.
    pub id: u64,
    pub picture: u64,
    /// Its side, in pixels.
    pub size: usize,
    /// What was laid under the picture's transparency; `None`: it had none.
    pub background: Option<Background>,
}

/// Which model the engine is to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelRef {
    /// The page's own, fetched from its origin and verified.
    Starter,
    /// One of the store's, by [`StoredModel::key`].
    Stored(String),
    /// The reader's GGUF of this name, which travels beside the request.
    File(String),
}

/// What the page asks of the downloader, a second worker: the only thread that talks to other hosts, and one that never
/// sees a picture or a label. One download at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FetchRequest {
    /// Tell what is stored.
    List,
    /// Download, convert and store. Goes on where an earlier try at the same order stopped.
    Start { id: u32, order: Order },
    /// Convert and store files of the reader's (an array of `File`s beside the request): a safetensors model with its
    /// JSON files, or a GGUF.
    Import { id: u32, format: StoredFormat },
    /// Stop, and keep what is there for the next [`FetchRequest::Start`].
    Pause,
    /// Stop, and delete what is there of it.
    Cancel,
    /// Delete a stored model, or what is there of an unfinished one.
    Delete(String),
}

/// What to download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What [`Sources`](crate::convert::source::Sources) writes: a hub id (`openai/clip-vit-base-patch32`), optionally
    /// `@REVISION`, or the address of a folder or of a file; two of them, joined by ` + `, where the texts' tower is another
    /// model's.
    pub source: String,
    /// Where hub ids are looked up: `https://huggingface.co` or a mirror of it.
    pub hub: String,
    pub format: StoredFormat,
    /// The weights that a catalogue pins: these files are taken and no others, and used only if they have these hashes.
    pub pinned: Vec<WeightFile>,
}

impl Order {
    /// The store's key of the model: the same for the same files in the same format.
    pub fn key(&self) -> String {
        let (source, hub) = (self.source.trim(), self.hub.trim().trim_end_matches('/'));
        let mut key = sha256_hex(format!("{source}\n{hub}\n{:?}", self.format).as_bytes());
        key.truncate(16);
        key
    }
}

/// How matrices of a stored model are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredFormat {
    #[default]
    #[serde(rename = "q8_0")]
    Q8_0,
    #[serde(rename = "q4_0")]
    Q4_0,
    F16,
}

/// What the downloader tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FetchEvent {
    /// The worker runs and listens.
    Hello,
    /// The store, after every change and on request.
    Stored(Store),
    Progress(u32, FetchProgress),
    /// The model is stored; where the browser allows no storage (`is_kept` is false) its GGUF travels beside this as a
    /// `Blob`, to be used as a [`ModelRef::File`] until the page is closed.
    Finished(u32, StoredModel),
    Paused(u32),
    Failed(u32, Problem),
    Crashed(String),
}

/// Everything that is stored, and the room for more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    pub models: Vec<StoredModel>,
    /// Begun, and to be gone on with.
    pub unfinished: Vec<Unfinished>,
    /// Bytes that this origin has stored and may store; 0 where the browser does not say.
    pub used_bytes: u64,
    pub quota_bytes: u64,
    /// The browser will not clear it by itself.
    pub is_persistent: bool,
}

/// A model in this browser's storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredModel {
    pub key: String,
    pub name: String,
    /// [`Order::source`], or the name of the reader's file.
    pub source: String,
    pub format: StoredFormat,
    pub bytes: u64,
    /// The SHA-256 of the stored GGUF.
    pub sha256: String,
    /// The SHA-256 of each weight file as it was downloaded, by name.
    pub source_sha256: Vec<(String, String)>,
    /// Who stated those hashes before the files came.
    #[serde(default)]
    pub vouched: Vouched,
    pub is_kept: bool,
}

/// Who stated the SHA-256 that every weight file of a model was found to have; the least certain of several files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vouched {
    /// Nobody: the files are what came.
    #[default]
    Nobody,
    /// The hub that they came from, in its listing.
    Hub,
    /// The catalogue beside the page.
    Catalogue,
}

/// A download that was paused or broke off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    pub key: String,
    pub order: Order,
    pub done: u64,
    pub total: u64,
}

/// Where a download stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FetchProgress {
    pub stage: FetchStage,
    /// Bytes that came over the network, of all files together; never more than `total`.
    pub done: u64,
    /// 0 while it is not known.
    pub total: u64,
    pub bytes_per_second: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchStage {
    /// Another tab has this download in hand.
    Waiting,
    /// Configuration, tokenizer, the weight file's header.
    Looking,
    /// Weights arrive and are converted as they do.
    Download,
    /// Computing what a device is checked with.
    Check,
    /// Putting the file together and reading it back.
    Store,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_models_apart() {
        let key = |source: &str, hub: &str, format| {
            Order { source: source.to_owned(), hub: hub.to_owned(), format, pinned: Vec::new() }.key()
        };
        let one = key("a/b", "https://h.example", StoredFormat::Q8_0);
        assert_eq!(one, key(" a/b ", "https://h.example/", StoredFormat::Q8_0));
        assert_ne!(one, key("a/b", "https://h.example", StoredFormat::F16));
        assert_ne!(one, key("a/b@c", "https://h.example", StoredFormat::Q8_0));
        assert_eq!(one.len(), 16);
    }
}
