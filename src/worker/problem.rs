//! Everything that can go wrong between a person and an answer, as stable codes.
//!
//! Invariant: a code's text (`weights-missing`) never changes its meaning: people search for it and tests name it.
//! Invariant: `detail` holds figures for a report; advice to the reader is the page's (`app::strings`).

use crate::image::FileKind;
use serde::{Deserialize, Serialize};

/// What went wrong, and the figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    /// What the file is that it is about, where that helps.
    #[serde(default)]
    pub kind: Option<FileKind>,
}

impl Problem {
    pub fn new(code: Code, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string(), kind: None }
    }

    /// The same of a file of this kind.
    pub fn of(self, kind: Option<FileKind>) -> Self {
        Self { kind, ..self }
    }
}

/// One code per thing that a person can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The browser has no WebGPU at all: the CPU computes instead.
    WebgpuMissing,
    /// WebGPU is there but gave no adapter or device: the CPU computes instead.
    AdapterMissing,
    /// The GPU gave results that differ from the stored ones: the CPU computes instead.
    GpuWrong,
    /// The GPU did not answer in time: the CPU computes instead.
    GpuSilent,
    /// The GPU failed on an earlier visit: the CPU computes until that is long ago or the reader chooses.
    GpuSetAside,
    /// The GPU was lost and came back.
    DeviceLost,
    /// The GPU was lost twice: the CPU computes instead.
    DeviceLostAgain,
    /// The self-test fails on the CPU too: nothing can be trusted.
    SelfTestFailed,
    /// The model's file or its manifest is not on the server (404).
    WeightsMissing,
    /// The server answered with an error (5xx and the like).
    WeightsServer,
    /// No connection, or it broke off three times.
    WeightsNetwork,
    /// A web page came where the model should be.
    WeightsHtml,
    /// Length or SHA-256 differ from the manifest.
    WeightsDamaged,
    /// Verified, and yet the engine can't read it.
    WeightsUnreadable,
    /// The reader's own model file can't be used.
    ModelFileUnusable,
    /// The reader's files are no whole model.
    ModelFilesIncomplete,
    /// The page's list of models can't be read.
    CatalogueMissing,
    /// The downloader's thread could not start.
    DownloaderMissing,
    /// The downloader's thread broke down.
    DownloaderCrashed,
    /// Loading was stopped by the reader.
    LoadCancelled,
    /// What is to be downloaded is neither a model's id nor an address that may be talked to.
    SourceInvalid,
    /// The hub or the host has no such model or file (404).
    SourceMissing,
    /// The hub wants a sign-in or an agreement first (401, 403); hubs also say so of ids that they do not have.
    SourceGated,
    /// The hub's model has no such branch, tag or commit.
    SourceNoRevision,
    /// The source holds no weights that are read: pickles, ONNX, or nothing of the kind.
    SourceNoWeights,
    /// The hub wants fewer requests (429), and went on wanting it.
    SourceBusy,
    /// No connection, no permission for pages of other hosts (CORS), or it broke off three times.
    SourceUnreachable,
    /// The host answered with an error (5xx and the like).
    SourceServer,
    /// A web page came where a model's file should be.
    SourceHtml,
    /// A file changed while it was downloaded.
    SourceChanged,
    /// A file's SHA-256 is not the one that is known of it.
    SourceHash,
    /// An architecture that is not read.
    SourceUnsupported,
    /// The files are no model that can be converted: damaged, incomplete, of another kind.
    SourceUnusable,
    /// No tokenizer lies beside the weights.
    TokenizerMissing,
    /// This browser gives no more room.
    StorageFull,
    /// This browser's storage failed.
    StorageFailed,
    /// The model is not in this browser's storage.
    StoredMissing,
    /// The stored model was not what was stored, and was deleted.
    StoredDamaged,
    /// The model does not fit this device's memory.
    OutOfMemory,
    /// The engine's thread could not start.
    WorkerMissing,
    /// The engine's thread broke down.
    WorkerCrashed,
    /// Any other failure while computing.
    EngineFailed,
    /// The ranking was stopped by the reader.
    RankingCancelled,
    /// Labels or templates that can't be taken as they are.
    LabelsRefused,
    /// The file is no picture, or it is damaged.
    PictureUnreadable,
    /// The file ends before the picture does.
    PictureCutShort,
    /// More bytes or pixels than the limit.
    PictureTooLarge,
    /// The browser gives changed pixels back, against fingerprinting.
    PictureScrambled,
    /// What was dropped or pasted holds no file.
    PictureNotAFile,
    /// The browser or the reader refused the camera.
    CameraRefused,
    /// There is no camera.
    CameraMissing,
    /// Another program holds the camera.
    CameraBusy,
    /// The camera is open, and the browser gets no picture of it.
    CameraUnreadable,
    /// The page may not use cameras at all (no HTTPS, old browser).
    CameraUnsupported,
}

impl Code {
    /// The stable text: `weights-missing`.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
