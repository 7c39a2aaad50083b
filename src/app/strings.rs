//! Every sentence that the page says, in one place, so that it can speak another language one day.
//!
//! Invariant: plain, short, active; no jargon on the main path; no sentence blames the reader.

use super::loading::Model;
use super::models::picker::{ModelJob, Offer, Phase, What};
use super::ranking::answer::NoneLine;
use super::ranking::trial::Before;
use super::settings::Refused;
use crate::facts::{BackendChoice, BackendKind, Confidence, Mode, RankedLabels};
use crate::image::{Background, FileKind, Fit};
use crate::text::TextError;
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{
    Card, FetchProgress, FetchStage, LoadStage, Progress, Store, StoredFormat, StoredModel, Vouched,
};

pub const NAME: &str = "Cliplet";
pub const CLAIM: &str = "Which label fits the picture?";

pub const DROP_TITLE: &str = "Drop a picture here";
pub const DROP_HINT: &str = "or paste one, open a file, use the camera";
pub const DROP_NOW: &str = "Let go to rank this picture";
pub const OPEN: &str = "Open picture";
pub const OPEN_BY_TOUCH: &str = "Take or choose a picture";
pub const CAMERA: &str = "Camera";
pub const SAMPLES: &str = "Try one of these";
pub const REMOVE_PICTURE: &str = "Remove picture";

pub const CAMERA_OPENING: &str = "Opening the camera …";
pub const CAMERA_STOP: &str = "Stop camera";
pub const CAMERA_SHOOT: &str = "Take picture";
pub const CAMERA_SWITCH: &str = "Switch camera";
pub const CAMERA_MIRROR: &str = "Mirror";
pub const CAMERA_LIVE: &str = "Live";
pub const CAMERA_HIDDEN: &str = "The camera was turned off because this tab was hidden.";
pub const CAMERA_GONE: &str = "The camera was disconnected.";
pub const CAMERA_PICTURE: &str = "Camera picture";

pub const LABELS: &str = "Labels";
pub const LABEL_PLACEHOLDER: &str = "Add or paste labels";
pub const LABEL_HINT: &str = "Enter or comma adds. Paste a list to add many.";
pub const LABELS_CLEAR: &str = "Clear";
pub const LABELS_CLEARED: &str = "Labels cleared.";
pub const LABELS_PRESET: &str = "Labels replaced.";
pub const LABELS_FROM_LINK: &str = "Labels came with the link. Yours are kept.";
pub const LABELS_EARLIER: &str = "Your earlier labels can come back.";
pub const CHIP_KEYS: &str = "Enter edits, Delete removes, Alt and arrow keys move";
pub const UNDO: &str = "Undo";
pub const PRESETS: &str = "Start from";

pub const MORE: &str = "How labels are compared";
pub const TEMPLATES: &str = "Sentence around a label";
pub const TEMPLATES_HELP: &str = "{label} stands for the label. “a drawing of a {label}” helps with drawings; the \
    meanings of several sentences are averaged.";
pub const TEMPLATE_ADD: &str = "Add a sentence";
pub const TEMPLATE_REMOVE: &str = "Remove this sentence";
pub const MODE: &str = "Percentages";
pub const MODE_SOFTMAX: &str = "One fits";
pub const MODE_SOFTMAX_HELP: &str = "Labels compete: their percentages share one whole.";
pub const MODE_INDEPENDENT: &str = "Several may fit";
pub const MODE_INDEPENDENT_HELP: &str = "Each label is judged by itself.";
pub const HAS_NONE: &str = "Allow “none of these”";

pub const RANKING: &str = "Ranking";
pub const ALL_LINES: &str = "All labels, best first";
pub const NONE: &str = "none of these";
pub const NEEDS_PICTURE: &str = "Choose a picture and its best label shows up here.";
pub const NEEDS_FRAME: &str = "Take a picture, or switch on Live.";
pub const NEEDS_LABELS: &str = "Add a label or two to compare the picture with.";
pub const NEEDS_MODEL: &str = "This picture is ranked as soon as the model is ready.";
pub const MODEL_FAILED: &str = "Ranking waits for the model.";
pub const RANKING_NOW: &str = "Ranking …";
pub const STUCK: &str = "No ranking for this picture.";
pub const NOTHING_READABLE: &str = "This model can't read any of these labels.";
pub const ON_BLACK: &str = "The picture is laid on black: on white nothing of it would remain.";

pub const LOADING_HINT: &str = "You can choose a picture and labels meanwhile.";
pub const CANCEL: &str = "Cancel";
pub const RETRY: &str = "Try again";
pub const LOAD_MODEL: &str = "Load the model";
pub const CLOSE: &str = "Close";
pub const DISMISS: &str = "Dismiss";

pub const SHARE: &str = "Share";
pub const SHARED: &str = "Link copied. It carries labels and settings, never the picture.";
pub const SHARED_BAR: &str =
    "The link is in the address bar. It carries labels and settings, never the picture.";
pub const COPIED: &str = "Copied.";
pub const COPY_FAILED: &str = "The browser did not allow copying.";
pub const COPY_JSON: &str = "Copy JSON";
pub const SAVE_JSON: &str = "Save JSON";
pub const SAVE_CSV: &str = "Save CSV";

pub const PRIVACY: &str = "Pictures stay on this device";
pub const PRIVACY_TITLE: &str = "Your pictures stay here. Check it:";
pub const PRIVACY_LINES: [&str; 6] = [
    "Switch off the network once the model is ready. Everything goes on working.",
    "Open your browser's developer tools (F12), Network, and rank a picture: nothing is sent.",
    "The page's security policy (Content-Security-Policy in its source) lets it connect to nothing but the server \
     that it came from, and it asks that server for its own files and the built-in model only.",
    "Another model comes from the host that you are shown, and only when you ask for it. A separate program fetches it \
     that never gets a picture or a label. That host learns which model you fetch and your network address.",
    "The picture on the stage is kept in this browser's own storage, so that coming back shows it again: until you \
     remove it, a day at the most.",
    "Share links carry labels and settings behind the # sign, which browsers never send to a server.",
];

pub const DETAILS: &str = "Details";
pub const DETAILS_MODEL: &str = "Model";
pub const DETAILS_DEVICE: &str = "Device";
pub const DETAILS_TIMES: &str = "Time of each stage";
pub const DETAILS_SCORES: &str = "Scores";
pub const DETAILS_NO_MODEL: &str = "No model is loaded.";
pub const DETAILS_NO_ANSWER: &str = "Rank a picture to see its times and scores.";
pub const FORGOTTEN: &str = "The stored copy is deleted. It is fetched again on the next visit.";

pub const SEES: &str = "What the model sees";
pub const SEES_PICTURE: &str = "The picture as the model sees it";
pub const SEES_WAITING: &str = "Fitting the picture …";

pub const MODELS: &str = "Models";
pub const USE: &str = "Use";
pub const IN_USE: &str = "In use";
pub const LOADING: &str = "Getting ready …";
pub const USE_STARTER: &str = "Use the built-in model";
pub const STARTER: &str = "Built-in model";
pub const STARTER_ABOUT: &str = "Small and quick. Comes with the page.";
pub const FORGET: &str = "Delete stored copy";
pub const FILE_NOT_KEPT: &str = "Not stored: the browser allows no storage here. Until the page is reloaded.";
pub const OPEN_MODELS: &str = "Choose another model";
pub const STORED: &str = "On this device";
pub const STORED_UNKNOWN: &str = "Looking at what is stored …";
pub const CATALOGUE: &str = "Get another";
pub const CATALOGUE_NOTE: &str = "Accuracy: how often the first guess is right among ImageNet's 1,000 classes, as \
    published by the makers or by others, not measured here. Each licence is its model's.";
pub const CATALOGUE_UNREAD: &str = "Reading the list …";
pub const DOWNLOAD: &str = "Download";
pub const BY_ID: &str = "By Hugging Face id or address";
pub const BY_ID_HINT: &str = "The address of a model's page works, or of a folder or GGUF file anywhere.";
pub const BY_ID_EXAMPLE: &str = "openai/clip-vit-base-patch32";
pub const FROM_FILE: &str = "From a file";
pub const FROM_FILE_HINT: &str = "One GGUF; or model.safetensors, config.json and tokenizer.json together. Dropping them \
    on the page does the same. They stay on this device.";
pub const CHOOSE_FILES: &str = "Choose files";
pub const MODEL_OPTIONS: &str = "More options";
pub const FORMAT: &str = "How precisely it is kept";
pub const HUB: &str = "Where models come from";
pub const HUB_HINT: &str = "Hugging Face, or a mirror with the same paths. Ids are looked up there.";
pub const HUB_RESET: &str = "Reset";
pub const PAUSE: &str = "Pause";
pub const PAUSED: &str = "Download paused. What has arrived is kept.";
pub const RESUME: &str = "Resume";
pub const CANCELLED: &str = "Download cancelled.";
pub const DISCARD: &str = "Discard";
pub const DELETE: &str = "Delete";
pub const DELETED: &str = "Deleted.";
pub const KEEP: &str = "Keep";
pub const ONE_AT_A_TIME: &str = "One download at a time: pause or cancel the one that runs.";
pub const DOWNLOAD_STOPPED: &str = "Download stopped";
pub const DOWNLOAD_PAUSED: &str = "Paused";
pub const PERSISTENT: &str = "The browser keeps them until you delete them.";
pub const NOT_PERSISTENT: &str = "The browser may clear them if it runs short of room.";

pub const OFFER: &str = "Recommended model";
pub const RECOMMENDED: &str = "Recommended here";
pub const ON_THIS_DEVICE: &str = "on this device";
pub const OFFER_TAKE: &str = "Download";
pub const OFFER_USE: &str = "Use it";
pub const OFFER_DISMISS: &str = "Not now";
pub const TAKE_BACK: &str = "Take back";
pub const TRIAL: &str = "Before and after";
pub const TRIAL_KEEP: &str = "Keep the new model";
pub const TRIAL_BEFORE: &str = "Before";
pub const TRIAL_AFTER: &str = "After";

pub const SHORTCUTS: &str = "Keyboard shortcuts";
pub const SHORTCUTS_ON: &str = "Single-key shortcuts";
pub const SHORTCUT_LIST: [(&str, &str); 15] = [
    ("O", "Open a picture"),
    ("Ctrl V", "Paste a picture or labels"),
    ("Ctrl Z", "Take back a step, of labels or picture"),
    ("Ctrl Shift Z", "Take it forth again"),
    ("C", "Camera on or off"),
    ("Space", "Take a camera picture"),
    ("L", "Go to the label field"),
    ("S", "One fits, or several may fit"),
    ("M", "Models"),
    ("D", "Details"),
    ("?", "This list"),
    ("← →", "From label to label"),
    ("Alt ← →", "Move a label"),
    ("Enter", "Edit a label"),
    ("Delete", "Remove a label"),
];

/// What a code means to a reader.
pub struct Advice {
    pub title: &'static str,
    pub todo: &'static str,
    /// Whether trying again may help.
    pub can_retry: bool,
}

/// What a problem means to a reader: its code, and the kind of file that it is about.
pub fn advice_on(problem: &Problem) -> Advice {
    let general = advice(problem.code);
    let is_of_its_kind = matches!(problem.code, Code::PictureUnreadable | Code::PictureCutShort);
    let Some(kind) = problem.kind.filter(|_| is_of_its_kind) else { return general };
    let (title, todo) = match kind {
        FileKind::Heic => (
            "This browser can't read HEIC pictures",
            "iPhones make them. Share or export the picture as JPEG, or open this page in Safari.",
        ),
        FileKind::Avif => (
            "This browser can't read this AVIF picture",
            "It may be damaged, or the browser too old. Save it as JPEG, PNG or WebP.",
        ),
        FileKind::JpegXl => ("This browser can't read JPEG XL pictures", "Save it as JPEG, PNG or WebP."),
        FileKind::Tiff => (
            "This browser can't read TIFF pictures",
            "Scanners and cameras make them, raw files too. Save it as JPEG or PNG.",
        ),
        FileKind::Svg => (
            "An SVG file is a drawing made of lines, which can't be ranked",
            "Export it as PNG, or take a screenshot of it.",
        ),
        FileKind::Pdf => {
            ("This is a PDF, not a picture", "Take a screenshot of its page, or export that as PNG or JPEG.")
        }
        FileKind::Video => {
            ("This is a video, not a picture", "Pause it where it matters and take a screenshot of it.")
        }
        FileKind::WebPage => (
            "This is a web page, not a picture",
            "Some sites give a page in a picture's place. Open it, and save the picture itself.",
        ),
        FileKind::Empty => ("This file is empty", "Copy or download it again."),
        FileKind::Jpeg => ("This JPEG file is damaged or incomplete", DAMAGED_ADVICE),
        FileKind::Png => ("This PNG file is damaged or incomplete", DAMAGED_ADVICE),
        FileKind::WebP => ("This WebP file is damaged or incomplete", DAMAGED_ADVICE),
        FileKind::Gif => ("This GIF file is damaged or incomplete", DAMAGED_ADVICE),
        FileKind::Bmp => ("This BMP file is damaged or incomplete", DAMAGED_ADVICE),
    };
    Advice { title, todo, ..general }
}

const DAMAGED_ADVICE: &str = "Copy or download it again: it may have broken off.";

pub fn advice(code: Code) -> Advice {
    let (title, todo, can_retry) = match code {
        Code::WebgpuMissing => (
            "This browser has no WebGPU",
            "Ranking works, but slower: the processor does it. Current Chrome, Edge, Safari or Firefox is faster.",
            false,
        ),
        Code::AdapterMissing => (
            "No graphics processor could be used",
            "Ranking works, but slower: the processor does it. Hardware acceleration may be off in the browser's settings.",
            false,
        ),
        Code::GpuWrong => (
            "This graphics processor gave wrong results",
            "The self-test caught it. The processor does the ranking instead: slower, but right.",
            false,
        ),
        Code::GpuSilent => (
            "The graphics processor does not answer",
            "The processor does the ranking instead: slower, but right. It is left alone for a week, or until you choose it under Details.",
            false,
        ),
        Code::GpuSetAside => (
            "The graphics processor is left alone",
            "It failed on an earlier visit, so the processor does the ranking. Under Details you can choose it again.",
            false,
        ),
        Code::RankingCancelled => (
            "Ranking was stopped",
            "The labels that were read so far are kept. Go on whenever you like.",
            true,
        ),
        Code::DeviceLost => {
            ("The graphics processor was reset", "It was set up again and ranking goes on.", false)
        }
        Code::DeviceLostAgain => (
            "The graphics processor was lost twice",
            "The processor does the ranking from now on. Under Details you can choose the graphics processor again.",
            false,
        ),
        Code::SourceNoRevision => (
            "The hub's model has no such version",
            "Look at the branch, tag or commit behind the @; without one the main branch is meant.",
            false,
        ),
        Code::SourceNoWeights => (
            "There is no model here that can be read",
            "Weights have to be .safetensors or .gguf. What is there, and what would help, stands below.",
            false,
        ),
        Code::SourceBusy => (
            "The hub asks for patience",
            "Too many requests came from this network. Wait some minutes, then try again; what is here is kept.",
            true,
        ),
        Code::SelfTestFailed => (
            "The self-test failed on this device",
            "Results could be wrong, so none are shown. Try again, or try another browser.",
            true,
        ),
        Code::WeightsMissing => (
            "The model is not on this server",
            "The server has no such file (404). Whoever runs this page has to put it there.",
            true,
        ),
        Code::WeightsServer => {
            ("The server could not send the model", "Wait a moment, then try again.", true)
        }
        Code::WeightsNetwork => (
            "The model could not be fetched",
            "The connection failed three times. Check the network, then try again.",
            true,
        ),
        Code::WeightsHtml => (
            "A web page came instead of the model",
            "The server's address may be wrong, or a sign-in page is in between. Try again on another network.",
            true,
        ),
        Code::WeightsDamaged => (
            "The model arrived damaged",
            "Its checksum is wrong, so it was not used. Try again to fetch it anew.",
            true,
        ),
        Code::WeightsUnreadable => (
            "The model can't be read",
            "The file is complete, but this version of the page can't use it. Reload the page to update it.",
            true,
        ),
        Code::ModelFileUnusable => {
            ("That model can't be used", "It is damaged, or no CLIP of a kind that this page knows.", true)
        }
        Code::ModelFilesIncomplete => (
            "These files are no whole model",
            "Choose one GGUF; or model.safetensors, config.json and tokenizer.json together.",
            false,
        ),
        Code::CatalogueMissing => (
            "The list of models can't be read",
            "Models by id, by address and from files work without it.",
            true,
        ),
        Code::DownloaderMissing => (
            "The downloader could not start",
            "The browser may be short of memory or too old. Ranking goes on; close other tabs, then try again.",
            true,
        ),
        Code::DownloaderCrashed => (
            "The downloader stopped",
            "What has arrived is kept, and ranking goes on. Resume when you like.",
            true,
        ),
        Code::LoadCancelled => ("Loading was cancelled", "Load the model whenever you like.", true),
        Code::SourceInvalid => (
            "That is no model",
            "Give a model's id, as in openai/clip-vit-base-patch32, or an address that starts with https://.",
            false,
        ),
        Code::SourceMissing => {
            ("There is no such model", "Check the id or the address; capital letters count.", true)
        }
        Code::SourceGated => (
            "The hub does not give this model away",
            "It may want a sign-in, or the id is misspelt. Download its files yourself, then open them here.",
            true,
        ),
        Code::SourceUnreachable => (
            "The host could not be reached",
            "Check the network, or set another mirror. Some hosts don't let pages of others read their files.",
            true,
        ),
        Code::SourceServer => ("The host could not send the model", "Wait a moment, then try again.", true),
        Code::SourceHtml => (
            "A web page came instead of the model",
            "The address may be that of a page about the file, or a sign-in page is in between.",
            true,
        ),
        Code::SourceChanged => {
            ("The model changed while it was downloaded", "Try again to fetch the new one.", true)
        }
        Code::SourceHash => (
            "The model is not the one that was expected",
            "Its checksum is wrong, so nothing was kept. Try again, or try another mirror.",
            true,
        ),
        Code::SourceUnsupported => (
            "This kind of model isn't supported",
            "CLIP, SigLIP and their relatives work, with an image and a text tower.",
            false,
        ),
        Code::SourceUnusable => (
            "These files are no model that can be used",
            "They may be damaged or incomplete. It takes safetensors with config.json, or a GGUF.",
            true,
        ),
        Code::TokenizerMissing => (
            "The model comes without a tokenizer",
            "It can't read labels without tokenizer.json beside its weights. Try another copy of the model.",
            false,
        ),
        Code::StorageFull => (
            "There is no room for the model",
            "Delete a stored model, or free space on this device, then go on with the download.",
            true,
        ),
        Code::StorageFailed => ("The browser's storage failed", "Reload the page, then try again.", true),
        Code::StoredMissing => (
            "That model is not stored here any more",
            "The built-in model is used. Download the other one again under Models.",
            true,
        ),
        Code::StoredDamaged => (
            "The stored model was damaged",
            "It was deleted, so that nothing wrong is shown. Download it again.",
            true,
        ),
        Code::OutOfMemory => (
            "The model does not fit this device's memory",
            "Close other tabs, or choose a smaller model.",
            true,
        ),
        Code::WorkerMissing => (
            "The engine could not start",
            "The browser may be short of memory or block WebAssembly. Close other tabs, then try again.",
            true,
        ),
        Code::WorkerCrashed => (
            "The engine stopped and was started again",
            "Your labels and picture are safe. Try again, or choose another picture.",
            true,
        ),
        Code::EngineFailed => ("Ranking failed", "Try again, or choose another picture.", true),
        Code::LabelsRefused => {
            ("These labels can't be used", "The labels from before are still there.", false)
        }
        Code::PictureUnreadable => (
            "This file can't be read as a picture",
            "It may be damaged or of another kind. JPEG, PNG, WebP, GIF and BMP work.",
            false,
        ),
        Code::PictureCutShort => (
            "A part of this picture is missing",
            "Its file ends early. Copy or download it again, then open it.",
            false,
        ),
        Code::PictureTooLarge => ("This picture is too large", "Make it smaller, then open it again.", false),
        Code::PictureScrambled => (
            "This browser scrambles pictures",
            "Its protection against fingerprinting changes every picture that a page reads, so a ranking would be \
             noise. Switch that protection off for this page (Brave: Shields; Firefox: resistFingerprinting), then try \
             again.",
            true,
        ),
        Code::PictureNotAFile => {
            ("That holds no picture file", "Save the picture first, then drop or open the file.", false)
        }
        Code::CameraRefused => (
            "The camera is blocked",
            "Allow the camera for this page in the browser's address bar, then try again.",
            false,
        ),
        Code::CameraMissing => {
            ("No camera was found", "Connect one, then try again. Pictures work without.", false)
        }
        Code::CameraBusy => {
            ("The camera is in use", "Close the program that uses it, then try again.", false)
        }
        Code::CameraUnreadable => (
            "The camera gives no picture",
            "Open its cover or unplug it and plug it in again, then switch the camera on. Pictures work without.",
            false,
        ),
        Code::CameraUnsupported => (
            "The camera can't be used here",
            "Browsers allow it only on secure pages (https). Pictures work without.",
            false,
        ),
    };
    Advice { title, todo, can_retry }
}

/// What loading is doing.
/// What the switch of "none of these" does beside this model.
pub fn none_help(line: NoneLine) -> &'static str {
    match line {
        NoneLine::Known => "A line that wins when no label fits well.",
        NoneLine::Unreliable => {
            "Off for this model: it was measured and cannot tell when no label fits. Your choice is kept for models that can."
        }
        NoneLine::Unmeasured => {
            "Off for this model: it is not calibrated, so nobody has measured when no label fits. Your choice is kept for \
             models that are."
        }
    }
}

pub fn load_stage(stage: LoadStage) -> &'static str {
    match stage {
        LoadStage::Start => "Starting the engine",
        LoadStage::Download => "Fetching the model",
        LoadStage::Read => "Reading the stored model",
        LoadStage::Verify => "Checking the model",
        LoadStage::Build => "Getting the model ready",
        LoadStage::SelfTest => "Testing it on this device",
    }
}

/// `12.4 of 22.8 MB`, for stages that move bytes.
pub fn progress_bytes(progress: &Progress) -> Option<String> {
    (progress.total > 0).then(|| {
        let done = progress.done.min(progress.total);
        format!("{:.1} of {}", done as f64 / 1e6, megabytes(progress.total))
    })
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// As people say it: `605 MB`, `1.7 GB`.
pub fn size(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 9.95e6 => format!("{:.1} MB", b / 1e6),
        b if b < 999.5e6 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

pub fn format(format: StoredFormat) -> &'static str {
    match format {
        StoredFormat::Q8_0 => "8 bit",
        StoredFormat::Q4_0 => "4 bit",
        StoredFormat::F16 => "16 bit",
    }
}

pub fn format_choice(format: StoredFormat) -> (&'static str, &'static str) {
    match format {
        StoredFormat::Q8_0 => {
            ("8 bit, recommended", "A quarter of the original's size, with practically the same answers.")
        }
        StoredFormat::Q4_0 => {
            ("4 bit", "Little more than half the size of 8 bit. Close calls may come out otherwise.")
        }
        StoredFormat::F16 => ("16 bit", "Twice the size of 8 bit, for comparing."),
    }
}

/// Languages by their tags: `English`.
pub fn languages(tags: &[String]) -> String {
    let name = |tag: &String| match tag.as_str() {
        "en" => "English".to_owned(),
        "zh" => "Chinese".to_owned(),
        "mul" => "many languages".to_owned(),
        other => other.to_owned(),
    };
    tags.iter().map(name).collect::<Vec<_>>().join(", ")
}

pub fn job_started(name: &str, what: &What) -> String {
    match what {
        What::Order(_) => format!("Downloading {name}. Ranking goes on meanwhile."),
        What::Files { .. } => format!("Reading {name}. Ranking goes on meanwhile."),
    }
}

pub fn job_finished(name: &str) -> String {
    format!("{name} is here, and takes over.")
}

pub fn quarter(name: &str, quarter: u64) -> String {
    format!("{name}: {} %", 25 * quarter)
}

/// What a job is doing.
pub fn fetch_stage(stage: FetchStage) -> &'static str {
    match stage {
        FetchStage::Waiting => "Waiting: another tab has it in hand",
        FetchStage::Looking => "Looking at the model",
        FetchStage::Download => "Fetching and converting",
        FetchStage::Check => "Computing what it is checked with",
        FetchStage::Store => "Storing and reading back",
    }
}

/// `62 MB of 605 MB · 2.1 MB a second · about 4 minutes left`
pub fn fetch_figures(job: &ModelJob) -> String {
    let FetchProgress { done, total, bytes_per_second: rate, .. } = job.progress;
    if total == 0 {
        return String::new();
    }
    let mut text = format!("{} of {}", size(done.min(total)), size(total));
    if rate > 0.0 && done < total && job.phase == Phase::Running {
        text += &format!(" · {} a second · {}", size(rate as u64), time_left((total - done) as f64 / rate));
    }
    text
}

fn time_left(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => "a few seconds left".to_owned(),
        s if s < 55.0 => format!("about {:.0} seconds left", (s / 10.0).ceil() * 10.0),
        s if s < 90.0 => "about a minute left".to_owned(),
        s if s < 5400.0 => format!("about {:.0} minutes left", s / 60.0),
        s => format!("about {:.0} hours left", s / 3600.0),
    }
}

/// A job in a line beside its name: `34 % · about a minute left`.
pub fn job_line(job: &ModelJob) -> String {
    match (&job.phase, job.fraction()) {
        (Phase::Failed(_), _) => DOWNLOAD_STOPPED.to_owned(),
        (Phase::Paused, _) => DOWNLOAD_PAUSED.to_owned(),
        (_, None) => fetch_stage(job.progress.stage).to_owned(),
        (_, Some(fraction))
            if job.progress.stage == FetchStage::Download && job.progress.bytes_per_second > 0.0 =>
        {
            let FetchProgress { done, total, bytes_per_second, .. } = job.progress;
            let left = time_left(total.saturating_sub(done) as f64 / bytes_per_second);
            format!("{:.0} % · {left}", 100.0 * fraction)
        }
        (_, Some(fraction)) => format!("{:.0} %", 100.0 * fraction),
    }
}

/// As short as can be: `34 %`.
pub fn job_short(job: &ModelJob) -> String {
    match (&job.phase, job.fraction()) {
        (Phase::Failed(_), _) => "Stopped".to_owned(),
        (Phase::Paused, _) => DOWNLOAD_PAUSED.to_owned(),
        (_, fraction) => format!("{:.0} %", 100.0 * fraction.unwrap_or_default()),
    }
}

/// `164 MB used, about 2.1 GB left.`
pub fn room(store: &Store) -> Option<String> {
    let Store { used_bytes, quota_bytes, .. } = *store;
    let left = quota_bytes.saturating_sub(used_bytes);
    (quota_bytes > 0).then(|| format!("{} used, about {} left.", size(used_bytes), size(left)))
}

pub fn switched(name: &str) -> String {
    format!("{name} ranks from now on.")
}

pub fn model_gone(name: &str) -> String {
    format!("{name} is not stored here any more; the built-in model is used.")
}

pub fn will_fetch(source: &str, host: &str) -> String {
    format!("Fetches {source} from {host}.")
}

/// Who learns what.
pub fn host_note(host: &str) -> String {
    format!(
        "Models come from {host}, and only when you press Download. That host learns which model is fetched and your \
         network address, never a picture or a label."
    )
}

pub fn delete_question(name: &str, bytes: u64, is_in_use: bool) -> String {
    let then = if is_in_use { " The built-in model takes over." } else { "" };
    format!("Delete {name} ({})?{then}", size(bytes))
}

/// `8 bit · 161 MB · from openai/clip-vit-base-patch32 · hash checked against the list`
pub fn stored_figures(model: &StoredModel, vouched_by: Vouched) -> String {
    // Of the reader's files, name and size stand there.
    let is_file = model.source.contains([' ', '\n']);
    let source = if is_file { "your files" } else { model.source.split('@').next().unwrap_or_default() };
    format!("{} · {} · from {source} · {}", format(model.format), size(model.bytes), vouched(vouched_by))
}

pub fn unfinished(done: u64, total: u64) -> String {
    match total {
        0 => "Not finished".to_owned(),
        total => format!("Not finished: {} of {} are here", size(done.min(total)), size(total)),
    }
}

pub fn to_download(bytes: u64) -> String {
    format!("{} to download", size(bytes))
}

pub fn kept(bytes: u64) -> String {
    format!("{} kept", size(bytes))
}

/// The recommended model in a line: `Try CLIP ViT-B/32: 605 MB to download, 161 MB kept.`
pub fn offer(offer: &Offer) -> String {
    match &offer.stored {
        Some(_) => format!("{} is on this device.", offer.name),
        None => format!("Try {}: {}.", offer.name, offer_sizes(offer)),
    }
}

/// The beginning of the same line where it is drawn in two parts.
pub fn offer_name(offer: &Offer) -> String {
    match &offer.stored {
        Some(_) => format!("{}:", offer.name),
        None => format!("Try {}:", offer.name),
    }
}

/// `605 MB to download, 161 MB kept`
pub fn offer_sizes(offer: &Offer) -> String {
    match &offer.stored {
        Some(_) => ON_THIS_DEVICE.to_owned(),
        None => format!("{}, {}", to_download(offer.download_bytes), kept(offer.kept_bytes)),
    }
}

/// What the earlier model said, after what the new one says.
pub fn announce_before(Before { name, answer, .. }: &Before) -> String {
    let first = answer.ranked.labels.first();
    let said = first.map(|line| (label_or_none(line.label.as_deref()), percent(line.probability)));
    said.map(|(label, percent)| format!(" {name} said: {label}, {percent}.")).unwrap_or_default()
}

pub fn accuracy(top1: f32) -> String {
    format!("{top1:.1} % ImageNet")
}

pub fn discard_question(bytes: u64) -> String {
    format!("Delete the {} that have arrived?", size(bytes))
}

/// What the badge and the picker call the model in use.
pub fn model_name(card: &Card) -> &str {
    if card.info.about.name.is_empty() { &card.file } else { &card.info.about.name }
}

/// Digits that mean something: `97 %`, `4.2 %`, `< 0.1 %`. No model is certain, so it is never `100 %` nor `0 %`.
pub fn percent(probability: f32) -> String {
    let percent = probability * 100.0;
    match percent {
        p if p < 0.1 => "< 0.1 %".to_owned(),
        p if p < 9.95 => format!("{p:.1} %"),
        p if p < 99.5 => format!("{p:.0} %"),
        p if p < 99.95 => format!("{p:.1} %"),
        _ => "> 99.9 %".to_owned(),
    }
}

pub fn millis(millis: f64) -> String {
    match millis {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

pub fn label_or_none(label: Option<&str>) -> &str {
    label.unwrap_or(NONE)
}

/// How far the first line can be relied on, by what was measured of such answers.
pub fn confidence(ranked: &RankedLabels) -> &'static str {
    let is_alone = ranked.labels.iter().filter(|line| line.label.is_some()).count() == 1;
    let is_close = match &ranked.labels[..] {
        [first, second, ..] => second.label.is_some() && second.probability > 0.6 * first.probability,
        _ => false,
    };
    match (ranked.confidence, ranked.mode) {
        (Confidence::NotCalibrated, _) if is_alone => "How well it fits by itself. Not calibrated.",
        (Confidence::NotCalibrated, _) => "Not calibrated: go by the order, not by the percentages.",
        (Confidence::NoneOfThese, _) => "None of the labels fits well.",
        (Confidence::Clear, _) => "A clear match.",
        _ if is_alone => "How well it fits by itself. Add labels to compare it with.",
        (Confidence::Likely, Mode::Softmax) => "Most likely.",
        (Confidence::Likely, Mode::Independent) => "It likely fits.",
        (Confidence::Unsure, Mode::Independent) => "Not sure that it fits.",
        (Confidence::Unsure, Mode::Softmax) if is_close => "Hard to tell: the first two are close.",
        (Confidence::Unsure, Mode::Softmax) => "A guess: not sure.",
    }
}

/// What a screen reader says once an answer is settled.
pub fn announce(ranked: &RankedLabels) -> String {
    let Some(first) = ranked.labels.first() else { return NOTHING_READABLE.to_owned() };
    let name = label_or_none(first.label.as_deref());
    format!("{name}, {}. {}", percent(first.probability), confidence(ranked))
}

pub fn ready(card: &Card) -> String {
    format!("The model is ready: {}, {}.", backend(card), self_test(card))
}

/// Where it runs, in a word.
pub fn backend(card: &Card) -> &'static str {
    match card.info.backend.kind {
        BackendKind::Gpu => "GPU",
        BackendKind::Cpu => "CPU",
    }
}

/// Whether it computes rightly on this device; what vouches for its file is another matter: see [`vouched`].
pub fn self_test(card: &Card) -> &'static str {
    if card.info.self_test.is_some() { "self-test passed" } else { "no self-test" }
}

/// Whose hash the model's file was compared with.
pub fn vouched(vouched: Vouched) -> &'static str {
    match vouched {
        Vouched::Catalogue => "hash checked against the list",
        Vouched::Hub => "hash checked against the hub's",
        Vouched::Nobody => "hash not known",
    }
}

/// The badge's title, with why it is not the graphics processor: `Results match the stored ones: …. Its file: hash checked against the list.`
pub fn badge_title(card: &Card, model: &Model) -> String {
    let self_test = self_test_figure(card).unwrap_or_else(|| "It has no self-test.".to_owned());
    let why =
        card.fallback.as_ref().map(|problem| format!("{}. ", advice(problem.code).title)).unwrap_or_default();
    format!("{why}{self_test} Its file: {}.", file_check(model))
}

/// In the badge, both statements in short: `self-test passed · file checked`.
pub fn badge_checks(card: &Card, model: &Model) -> String {
    let is_vouched = match model {
        Model::Starter => true,
        Model::Stored(chosen) => chosen.vouched != Vouched::Nobody,
        Model::File { .. } => false,
    };
    let file = if is_vouched { "file checked" } else { vouched(Vouched::Nobody) };
    format!("{} · {file}", self_test(card))
}

/// Where the file of the model in use comes from, and what vouches for it: of the page's own, its server.
pub fn file_check(model: &Model) -> &'static str {
    match model {
        Model::Starter => "hash checked against this page's own",
        Model::Stored(chosen) => vouched(chosen.vouched),
        Model::File { .. } => vouched(Vouched::Nobody),
    }
}

/// The self-test's figures behind the badge.
pub fn self_test_figure(card: &Card) -> Option<String> {
    let test = card.info.self_test?;
    let cosine = test.cosine_image.min(test.cosine_text);
    Some(format!("Results match the stored ones: cosine {cosine:.5}, in {}.", millis(test.millis)))
}

/// The device, in a line.
pub fn device(card: &Card) -> String {
    let adapter = card.info.backend.adapter.as_deref().unwrap_or("this computer's processor");
    let kind = if card.info.backend.is_software { ", emulated in software" } else { "" };
    format!("{}: {adapter}{kind}", backend(card))
}

pub fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "…".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1} a second"),
        rate => format!("{rate:.0} a second"),
    }
}

pub fn cut(labels: &[String]) -> String {
    format!("Too long for the model, so only the beginning counts: {}", some_quoted(labels, ", "))
}

/// Labels of which the model reads nothing, and what would help.
pub fn unreadable(labels: &[String]) -> String {
    format!(
        "This model can't read {}, so {} no part. A model that knows the language can: see Models.",
        some_quoted(labels, ", "),
        if labels.len() == 1 { "it takes" } else { "they take" }
    )
}

/// Labels that are one and the same to the model.
pub fn same(labels: &[String]) -> String {
    format!("The same to this model: {}. It can't tell them apart.", some_quoted(labels, " and "))
}

/// The model's size: `224 × 224 pixels`.
pub fn square(size: usize) -> String {
    format!("{size} × {size} pixels")
}

/// What the model does not see of a picture of this width and height; nothing before they are known. `inside` is
/// [`ModelInfo::inside`](crate::facts::ModelInfo).
pub fn cut_off(fit: Fit, inside: f32, (width, height): (u32, u32)) -> String {
    let shorter = width.min(height);
    if shorter == 0 {
        return String::new();
    }
    let seen = |side: u32| match fit {
        Fit::Crop => f64::from(inside) * f64::from(shorter) / f64::from(side),
        Fit::Squash | Fit::Pad => f64::from(inside),
    };
    let cut = |side: u32, sides: &'static str| (50.0 * (1.0 - seen(side)), sides);
    let mut cuts = vec![cut(width, "left and right"), cut(height, "top and bottom")];
    cuts.retain(|(percent, _)| *percent >= 0.05);
    let said = |(percent, sides): &(f64, &str)| match percent {
        p if *p < 1.0 => format!("less than 1 % is cut off at the {sides}"),
        p => format!("{p:.0} % is cut off at the {sides} each"),
    };
    match fit {
        _ if !cuts.is_empty() => {
            format!("It sees the middle: {}.", cuts.iter().map(said).collect::<Vec<_>>().join(", and "))
        }
        _ if width == height => "It sees the whole picture.".to_owned(),
        Fit::Squash => "It sees the whole picture, squeezed into a square.".to_owned(),
        Fit::Pad => "It sees the whole picture, with bars beside it.".to_owned(),
        Fit::Crop => "It sees the whole picture, as good as.".to_owned(),
    }
}

/// What was laid under transparency.
pub fn background(background: Option<Background>) -> Option<&'static str> {
    Some(match background? {
        Background::White => "White is laid under what is transparent.",
        Background::Black => ON_BLACK,
    })
}

fn quoted(labels: &[String], between: &str) -> String {
    labels.iter().map(|label| format!("“{}”", shortened(label))).collect::<Vec<_>>().join(between)
}

pub fn shortened(label: &str) -> String {
    let start: String = label.chars().take(40).collect();
    if start.len() < label.len() { format!("{start}…") } else { start }
}

pub fn remove_label(label: &str) -> String {
    format!("Remove {label}")
}

pub fn sample(name: &str) -> String {
    format!("Sample picture: {name}")
}

pub fn similarity(similarity: f32) -> String {
    format!("similarity {similarity:.3}")
}

pub const STAGE: &str = "Picture";
pub const STARTING: &str = "Getting ready";
pub const NO_MODEL: &str = "No model";
pub const COLUMN_LABEL: &str = "Label";
pub const COLUMN_PERCENT: &str = "Percentage";
pub const COLUMN_SIMILARITY: &str = "Similarity";
pub const FACT_RUNS_ON: &str = "Runs on";
pub const FACT_CHECKED: &str = "Self-test";
pub const FACT_FILE_CHECK: &str = "Its file";
pub const FACT_LOADED: &str = "Started in";
pub const FACT_WHY_CPU: &str = "Why not the GPU";
pub const FACT_NAME: &str = "Name";
pub const FACT_ABOUT: &str = "What it is";
pub const FACT_ACCURACY: &str = "How good it is";
pub const FACT_LICENCE: &str = "Licence";
pub const FACT_SOURCES: &str = "Made from";
pub const BACKEND: &str = "Compute on";
pub const BACKENDS: [(BackendChoice, &str, &str); 3] = [
    (BackendChoice::Auto, "backend-auto", "Automatic"),
    (BackendChoice::Gpu, "backend-gpu", "Graphics processor"),
    (BackendChoice::Cpu, "backend-cpu", "Processor"),
];
pub const WHY_CPU_DETAIL: &str = "What the browser says";
pub const GPU_SET_ASIDE: &str = "gave no answer, was lost, or the browser broke down while it was tried";

/// How many labels are encoded, of all.
pub fn label_progress(done: usize, total: usize) -> String {
    format!("{done} of {total} labels read")
}

pub const FACT_FILE: &str = "File";
pub const FACT_SIZE: &str = "Size";
pub const FACT_CHECKSUM: &str = "SHA-256";

// ---- what is given, stored, exported; long lists ----

pub const LABELS_PASTED: &str = "The pasted labels took the place of the preset.";
pub const LABELS_ADDED: &str = "The pasted labels were added.";
pub const LABELS_ELSEWHERE: &str = "Labels were changed in another tab. Which are to stay?";
pub const LABELS_FROM_TAB: &str = "Labels came from the other tab.";
pub const KEEP_MINE: &str = "These";
pub const TAKE_THEIRS: &str = "Those";

pub const SET_KEEP: &str = "Keep these labels";
pub const SET_NAME: &str = "Name of the set";

pub fn remove_set(name: &str) -> String {
    format!("Delete the set {name}")
}

pub const COPY_TABLE: &str = "Copy table";
pub const SAVE_PICTURE: &str = "Save or share as a picture";
pub const SHARED_PICTURE: &str = "Shared.";

pub fn saved(name: &str) -> String {
    format!("Saved as {name}.")
}

pub fn not_saved(why: &str) -> String {
    format!("It could not be saved: {why}")
}

pub const LABELS_FIND: &str = "Find a label";
pub const TRAY: &str = "Pictures";

/// `2,000 labels`, `12 of 2,000 labels`
pub fn labels_shown(n_shown: usize, n_labels: usize) -> String {
    match n_shown {
        n if n == n_labels => format!("{} labels", count(n)),
        n => format!("{} of {} labels", count(n), count(n_labels)),
    }
}

pub fn show_picture(name: &str) -> String {
    format!("Show {name}")
}

/// Title and advice on labels that could not be taken.
pub fn refused(Refused { n_labels, error, .. }: &Refused) -> [String; 2] {
    match error {
        TextError::LongLabel { n_chars, max, .. } => [
            "This label is too long. ".to_owned(),
            format!(
                "It has {} characters, {} at most are read. It is back in the field.",
                count(*n_chars),
                count(*max)
            ),
        ],
        TextError::ManyLabels { max } => [
            format!("{} labels are the most. ", count(*max)),
            match n_labels {
                1 => "The last one is back in the field: remove a label, then add it.".to_owned(),
                n => format!("The other {} are back in the field: remove labels, then add them.", count(*n)),
            },
        ],
        error => ["These labels can't be used. ".to_owned(), error.to_string()],
    }
}

pub fn pictures_came(n_pictures: usize) -> String {
    format!("{} pictures: the first is shown, the others wait under it.", count(n_pictures))
}

/// Files that were not taken, by name.
pub fn left_out(names: &[String]) -> String {
    let verb = if names.len() == 1 { "is no picture and was" } else { "are no pictures and were" };
    format!("{} {verb} left out.", some_quoted(names, ", "))
}

/// `2,000`
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The first of many, and how many more there are.
fn some_quoted(labels: &[String], between: &str) -> String {
    const MOST: usize = 8;
    match labels.len() {
        0..=MOST => quoted(labels, between),
        n => format!("{} and {} more", quoted(&labels[..MOST], ", "), count(n - MOST)),
    }
}

pub const UNDO_BY_KEY: &str = "Ctrl+Z takes back each step.";
