//! Every sentence that the page says, by the key that it has in `static/locales`.
//!
//! Invariant: plain, short, active; no jargon on the main path; no sentence blames the reader.

use super::language::{Text, fill, find, number, plural, text};
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
pub const TITLE: Text = Text("title");
pub const CLAIM: Text = Text("claim");

pub const DROP_TITLE: Text = Text("drop-title");
pub const DROP_HINT: Text = Text("drop-hint");
pub const DROP_NOW: Text = Text("drop-now");
pub const OPEN: Text = Text("open");
pub const OPEN_BY_TOUCH: Text = Text("open-by-touch");
pub const CAMERA: Text = Text("camera");
pub const SAMPLES: Text = Text("samples");
pub const RECENT: Text = Text("recent");
pub const RECENT_GONE: Text = Text("recent-gone");
pub const KEEPS_RECENT: Text = Text("keeps-recent");
pub const REMOVE_PICTURE: Text = Text("remove-picture");

pub const CAMERA_OPENING: Text = Text("camera-opening");
pub const CAMERA_STOP: Text = Text("camera-stop");
pub const CAMERA_SHOOT: Text = Text("camera-shoot");
pub const CAMERA_SWITCH: Text = Text("camera-switch");
pub const CAMERA_MIRROR: Text = Text("camera-mirror");
pub const CAMERA_LIVE: Text = Text("camera-live");
pub const CAMERA_HIDDEN: Text = Text("camera-hidden");
pub const CAMERA_GONE: Text = Text("camera-gone");
pub const CAMERA_PICTURE: Text = Text("camera-picture");

pub const LABELS: Text = Text("labels");
pub const LABEL_PLACEHOLDER: Text = Text("label-placeholder");
pub const LABEL_HINT: Text = Text("label-hint");
pub const LABELS_CLEAR: Text = Text("labels-clear");
pub const LABELS_CLEARED: Text = Text("labels-cleared");
pub const LABELS_PRESET: Text = Text("labels-preset");
pub const LABELS_FROM_LINK: Text = Text("labels-from-link");
pub const LABELS_EARLIER: Text = Text("labels-earlier");
pub const CHIP_KEYS: Text = Text("chip-keys");
pub const UNDO: Text = Text("undo");
pub const PRESETS: Text = Text("presets");

pub const MORE: Text = Text("more");
pub const TEMPLATES: Text = Text("templates");
pub const TEMPLATES_HELP: Text = Text("templates-help");
pub const TEMPLATE_ADD: Text = Text("template-add");
pub const TEMPLATE_REMOVE: Text = Text("template-remove");
pub const MODE: Text = Text("mode");
pub const MODE_SOFTMAX: Text = Text("mode-softmax");
pub const MODE_SOFTMAX_HELP: Text = Text("mode-softmax-help");
pub const MODE_INDEPENDENT: Text = Text("mode-independent");
pub const MODE_INDEPENDENT_HELP: Text = Text("mode-independent-help");
pub const HAS_NONE: Text = Text("has-none");

pub const RANKING: Text = Text("ranking");
pub const ALL_LINES: Text = Text("all-lines");
pub const NONE: Text = Text("none");
pub const NEEDS_PICTURE: Text = Text("needs-picture");
pub const NEEDS_FRAME: Text = Text("needs-frame");
pub const NEEDS_LABELS: Text = Text("needs-labels");
pub const NEEDS_MODEL: Text = Text("needs-model");
pub const MODEL_FAILED: Text = Text("model-failed");
pub const RANKING_NOW: Text = Text("ranking-now");
pub const STUCK: Text = Text("stuck");
pub const NOTHING_READABLE: Text = Text("nothing-readable");
pub const ON_BLACK: Text = Text("on-black");

pub const LOADING_HINT: Text = Text("loading-hint");
pub const CANCEL: Text = Text("cancel");
pub const RETRY: Text = Text("retry");
pub const LOAD_MODEL: Text = Text("load-model");
pub const CLOSE: Text = Text("close");
pub const DISMISS: Text = Text("dismiss");

pub const SHARE: Text = Text("share");
pub const SHARED: Text = Text("shared");
pub const SHARED_BAR: Text = Text("shared-bar");
pub const COPIED: Text = Text("copied");
pub const COPY_FAILED: Text = Text("copy-failed");
pub const COPY_JSON: Text = Text("copy-json");
pub const SAVE_JSON: Text = Text("save-json");
pub const SAVE_CSV: Text = Text("save-csv");

pub const PRIVACY: Text = Text("privacy");
pub const BUILDER: Text = Text("builder");
pub const PRIVACY_TITLE: Text = Text("privacy-title");
pub const PRIVACY_LINES: [Text; 6] = [
    Text("privacy-offline"),
    Text("privacy-network"),
    Text("privacy-policy"),
    Text("privacy-models"),
    Text("privacy-picture"),
    Text("privacy-links"),
];

pub const DETAILS: Text = Text("details");
pub const DETAILS_MODEL: Text = Text("details-model");
pub const DETAILS_DEVICE: Text = Text("details-device");
pub const DETAILS_TIMES: Text = Text("details-times");
pub const DETAILS_SCORES: Text = Text("details-scores");
pub const DETAILS_NO_MODEL: Text = Text("details-no-model");
pub const DETAILS_NO_ANSWER: Text = Text("details-no-answer");
pub const FORGOTTEN: Text = Text("forgotten");

pub const SEES: Text = Text("sees");
pub const SEES_PICTURE: Text = Text("sees-picture");
pub const SEES_WAITING: Text = Text("sees-waiting");

pub const MODELS: Text = Text("models");
pub const USE: Text = Text("use");
pub const IN_USE: Text = Text("in-use");
pub const LOADING: Text = Text("loading");
pub const USE_STARTER: Text = Text("use-starter");
pub const STARTER: Text = Text("starter");
pub const STARTER_ABOUT: Text = Text("starter-about");
pub const FORGET: Text = Text("forget");
pub const FILE_NOT_KEPT: Text = Text("file-not-kept");
pub const OPEN_MODELS: Text = Text("open-models");
pub const STORED: Text = Text("stored");
pub const STORED_UNKNOWN: Text = Text("stored-unknown");
pub const CATALOGUE: Text = Text("catalogue");
pub const CATALOGUE_NOTE: Text = Text("catalogue-note");
pub const CATALOGUE_UNREAD: Text = Text("catalogue-unread");
pub const DOWNLOAD: Text = Text("download");
pub const BY_ID: Text = Text("by-id");
pub const BY_ID_HINT: Text = Text("by-id-hint");
pub const BY_ID_EXAMPLE: &str = "openai/clip-vit-base-patch32";
pub const FROM_FILE: Text = Text("from-file");
pub const FROM_FILE_HINT: Text = Text("from-file-hint");
pub const CHOOSE_FILES: Text = Text("choose-files");
pub const MODEL_OPTIONS: Text = Text("model-options");
pub const FORMAT: Text = Text("format");
pub const HUB: Text = Text("hub");
pub const HUB_HINT: Text = Text("hub-hint");
pub const HUB_RESET: Text = Text("hub-reset");
pub const PAUSE: Text = Text("pause");
pub const PAUSED: Text = Text("paused");
pub const RESUME: Text = Text("resume");
pub const CANCELLED: Text = Text("cancelled");
pub const DISCARD: Text = Text("discard");
pub const DELETE: Text = Text("delete");
pub const DELETED: Text = Text("deleted");
pub const KEEP: Text = Text("keep");
pub const ONE_AT_A_TIME: Text = Text("one-at-a-time");
pub const DOWNLOAD_STOPPED: Text = Text("download-stopped");
pub const DOWNLOAD_PAUSED: Text = Text("download-paused");
pub const PERSISTENT: Text = Text("persistent");
pub const NOT_PERSISTENT: Text = Text("not-persistent");

pub const OFFER: Text = Text("offer");
pub const RECOMMENDED: Text = Text("recommended");
pub const ON_THIS_DEVICE: Text = Text("on-this-device");
pub const OFFER_TAKE: Text = Text("offer-take");
pub const OFFER_USE: Text = Text("offer-use");
pub const OFFER_DISMISS: Text = Text("offer-dismiss");
pub const TAKE_BACK: Text = Text("take-back");
pub const TRIAL: Text = Text("trial");
pub const TRIAL_KEEP: Text = Text("trial-keep");
pub const TRIAL_BEFORE: Text = Text("trial-before");
pub const TRIAL_AFTER: Text = Text("trial-after");

pub const READS_ENGLISH: Text = Text("reads-english");
pub const LANGUAGE: Text = Text("language");

pub const SHORTCUTS: Text = Text("shortcuts");
pub const SHORTCUTS_ON: Text = Text("shortcuts-on");
/// Keys, and what they do.
pub const SHORTCUT_LIST: [(&str, Text); 15] = [
    ("O", Text("shortcut-open")),
    ("Ctrl V", Text("shortcut-paste")),
    ("Ctrl Z", Text("shortcut-undo")),
    ("Ctrl Shift Z", Text("shortcut-redo")),
    ("C", Text("shortcut-camera")),
    ("Space", Text("shortcut-shoot")),
    ("L", Text("shortcut-label-field")),
    ("S", Text("shortcut-mode")),
    ("M", Text("shortcut-models")),
    ("D", Text("shortcut-details")),
    ("?", Text("shortcut-list")),
    ("← →", Text("shortcut-chip")),
    ("Alt ← →", Text("shortcut-move")),
    ("Enter", Text("shortcut-edit")),
    ("Delete", Text("shortcut-remove")),
];

/// What stands on a key: `Strg` in German.
pub fn key(name: &str) -> &str {
    find(&format!("key-{}", name.to_ascii_lowercase())).unwrap_or(name)
}

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
        FileKind::Heic => ("heic-title", "heic-todo"),
        FileKind::Avif => ("avif-title", "avif-todo"),
        FileKind::JpegXl => ("jpeg-xl-title", "jpeg-xl-todo"),
        FileKind::Tiff => ("tiff-title", "tiff-todo"),
        FileKind::Svg => ("svg-title", "svg-todo"),
        FileKind::Pdf => ("pdf-title", "pdf-todo"),
        FileKind::Video => ("video-title", "video-todo"),
        FileKind::WebPage => ("web-page-title", "web-page-todo"),
        FileKind::Empty => ("empty-title", "empty-todo"),
        FileKind::Jpeg => ("jpeg-title", "damaged-todo"),
        FileKind::Png => ("png-title", "damaged-todo"),
        FileKind::WebP => ("webp-title", "damaged-todo"),
        FileKind::Gif => ("gif-title", "damaged-todo"),
        FileKind::Bmp => ("bmp-title", "damaged-todo"),
    };
    Advice { title: text(title), todo: text(todo), ..general }
}

pub fn advice(code: Code) -> Advice {
    let name = code.name();
    let can_retry = matches!(
        code,
        Code::RankingCancelled
            | Code::SourceBusy
            | Code::SelfTestFailed
            | Code::WeightsMissing
            | Code::WeightsServer
            | Code::WeightsNetwork
            | Code::WeightsHtml
            | Code::WeightsDamaged
            | Code::WeightsUnreadable
            | Code::ModelFileUnusable
            | Code::CatalogueMissing
            | Code::DownloaderMissing
            | Code::DownloaderCrashed
            | Code::LoadCancelled
            | Code::SourceMissing
            | Code::SourceGated
            | Code::SourceUnreachable
            | Code::SourceServer
            | Code::SourceHtml
            | Code::SourceChanged
            | Code::SourceHash
            | Code::SourceUnusable
            | Code::StorageFull
            | Code::StorageFailed
            | Code::StoredMissing
            | Code::StoredDamaged
            | Code::OutOfMemory
            | Code::WorkerMissing
            | Code::WorkerCrashed
            | Code::EngineFailed
            | Code::PictureScrambled
    );
    Advice {
        title: text(&format!("problem.{name}.title")),
        todo: text(&format!("problem.{name}.todo")),
        can_retry,
    }
}

/// What the switch of "none of these" does beside this model.
pub fn none_help(line: NoneLine) -> &'static str {
    text(match line {
        NoneLine::Known => "none-known",
        NoneLine::Unreliable => "none-unreliable",
        NoneLine::Unmeasured => "none-unmeasured",
    })
}

/// What loading is doing.
pub fn load_stage(stage: LoadStage) -> &'static str {
    text(match stage {
        LoadStage::Start => "load-start",
        LoadStage::Download => "load-download",
        LoadStage::Read => "load-read",
        LoadStage::Verify => "load-verify",
        LoadStage::Build => "load-build",
        LoadStage::SelfTest => "load-self-test",
    })
}

/// `12.4 of 22.8 MB`, for stages that move bytes.
pub fn progress_bytes(progress: &Progress) -> Option<String> {
    (progress.total > 0).then(|| {
        let done = progress.done.min(progress.total);
        share(&number(done as f64 / 1e6, 1), &megabytes(progress.total))
    })
}

/// `12.4 of 22.8 MB`
fn share(done: &str, total: &str) -> String {
    fill("share-of", &[("done", done), ("total", total)])
}

pub fn megabytes(bytes: u64) -> String {
    in_unit("megabytes", bytes as f64 / 1e6, 1)
}

/// A number and its unit: `4.2 %`, `605 MB`.
fn in_unit(unit: &str, value: f64, n_digits: usize) -> String {
    fill(unit, &[("n", &number(value, n_digits))])
}

/// As people say it: `605 MB`, `1.7 GB`.
pub fn size(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 9.95e6 => in_unit("megabytes", b / 1e6, 1),
        b if b < 999.5e6 => in_unit("megabytes", b / 1e6, 0),
        b => in_unit("gigabytes", b / 1e9, 1),
    }
}

pub fn format(format: StoredFormat) -> String {
    let n_bits = match format {
        StoredFormat::Q8_0 => 8.0,
        StoredFormat::Q4_0 => 4.0,
        StoredFormat::F16 => 16.0,
    };
    in_unit("bits", n_bits, 0)
}

pub fn format_choice(format: StoredFormat) -> (&'static str, &'static str) {
    let (name, help) = match format {
        StoredFormat::Q8_0 => ("format-q8", "format-q8-help"),
        StoredFormat::Q4_0 => ("format-q4", "format-q4-help"),
        StoredFormat::F16 => ("format-f16", "format-f16-help"),
    };
    (text(name), text(help))
}

/// Languages by their tags: `English`.
pub fn languages(tags: &[String]) -> String {
    let names: Vec<&str> = tags.iter().map(|tag| find(&format!("language-{tag}")).unwrap_or(tag)).collect();
    names.join(&LIST_COMMA)
}

pub fn job_started(name: &str, what: &What) -> String {
    let key = match what {
        What::Order(_) => "job-started",
        What::Files { .. } => "job-reading",
    };
    fill(key, &[("name", name)])
}

pub fn job_finished(name: &str) -> String {
    fill("job-finished", &[("name", name)])
}

pub fn quarter(name: &str, quarter: u64) -> String {
    fill("job-quarter", &[("name", name), ("percent", &whole_percent(0.25 * quarter as f64))])
}

/// `34 %`
fn whole_percent(fraction: f64) -> String {
    in_unit("percent", 100.0 * fraction, 0)
}

/// What a job is doing.
pub fn fetch_stage(stage: FetchStage) -> &'static str {
    text(match stage {
        FetchStage::Waiting => "fetch-waiting",
        FetchStage::Looking => "fetch-looking",
        FetchStage::Download => "fetch-download",
        FetchStage::Check => "fetch-check",
        FetchStage::Store => "fetch-store",
    })
}

/// `62 MB of 605 MB · 2.1 MB a second · about 4 minutes left`
pub fn fetch_figures(job: &ModelJob) -> String {
    let FetchProgress { done, total, bytes_per_second: rate, .. } = job.progress;
    if total == 0 {
        return String::new();
    }
    let mut text = share(&size(done.min(total)), &size(total));
    if rate > 0.0 && done < total && job.phase == Phase::Running {
        let rate_shown = fill("per-second", &[("n", &size(rate as u64))]);
        text += &format!(" · {rate_shown} · {}", time_left((total - done) as f64 / rate));
    }
    text
}

fn time_left(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => text("left-little").to_owned(),
        s if s < 55.0 => plural("left-seconds", (s / 10.0).ceil() as usize * 10, &[]),
        s if s < 5400.0 => plural("left-minutes", (s / 60.0).round().max(1.0) as usize, &[]),
        s => plural("left-hours", (s / 3600.0).round() as usize, &[]),
    }
}

/// A job in a line beside its name: `34 % · about a minute left`.
pub fn job_line(job: &ModelJob) -> String {
    match (&job.phase, job.fraction()) {
        (Phase::Failed(_), _) => DOWNLOAD_STOPPED.to_string(),
        (Phase::Paused, _) => DOWNLOAD_PAUSED.to_string(),
        (_, None) => fetch_stage(job.progress.stage).to_owned(),
        (_, Some(fraction))
            if job.progress.stage == FetchStage::Download && job.progress.bytes_per_second > 0.0 =>
        {
            let FetchProgress { done, total, bytes_per_second, .. } = job.progress;
            let left = time_left(total.saturating_sub(done) as f64 / bytes_per_second);
            format!("{} · {left}", whole_percent(fraction))
        }
        (_, Some(fraction)) => whole_percent(fraction),
    }
}

/// As short as can be: `34 %`.
pub fn job_short(job: &ModelJob) -> String {
    match (&job.phase, job.fraction()) {
        (Phase::Failed(_), _) => text("stopped").to_owned(),
        (Phase::Paused, _) => DOWNLOAD_PAUSED.to_string(),
        (_, fraction) => whole_percent(fraction.unwrap_or_default()),
    }
}

/// `164 MB used, about 2.1 GB left.`
pub fn room(store: &Store) -> Option<String> {
    let Store { used_bytes, quota_bytes, .. } = *store;
    let left = quota_bytes.saturating_sub(used_bytes);
    (quota_bytes > 0).then(|| fill("room", &[("used", &size(used_bytes)), ("left", &size(left))]))
}

pub fn switched(name: &str) -> String {
    fill("switched", &[("name", name)])
}

pub fn model_gone(name: &str) -> String {
    fill("model-gone", &[("name", name)])
}

pub fn will_fetch(source: &str, host: &str) -> String {
    fill("will-fetch", &[("source", source), ("host", host)])
}

/// Who learns what.
pub fn host_note(host: &str) -> String {
    fill("host-note", &[("host", host)])
}

pub fn delete_question(name: &str, bytes: u64, is_in_use: bool) -> String {
    let key = if is_in_use { "delete-question-in-use" } else { "delete-question" };
    fill(key, &[("name", name), ("size", &size(bytes))])
}

/// `8 bit · 161 MB · from openai/clip-vit-base-patch32 · hash checked against the list`
pub fn stored_figures(model: &StoredModel, vouched_by: Vouched) -> String {
    // Of the reader's files, name and size stand there.
    let is_file = model.source.contains([' ', '\n']);
    let source = match is_file {
        true => text("from-your-files").to_owned(),
        false => fill("from", &[("source", model.source.split('@').next().unwrap_or_default())]),
    };
    format!("{} · {} · {source} · {}", format(model.format), size(model.bytes), vouched(vouched_by))
}

pub fn unfinished(done: u64, total: u64) -> String {
    match total {
        0 => text("unfinished").to_owned(),
        total => fill("unfinished-of", &[("done", &size(done.min(total))), ("total", &size(total))]),
    }
}

/// What a model costs: `605 MB to download, 161 MB kept`.
pub fn costs(download_bytes: u64, kept_bytes: u64) -> String {
    fill("costs", &[("download", &size(download_bytes)), ("kept", &size(kept_bytes))])
}

/// The recommended model in a line: `Try CLIP ViT-B/32: 605 MB to download, 161 MB kept.`
pub fn offer(offer: &Offer) -> String {
    match &offer.stored {
        Some(_) => fill("offer-stored", &[("name", &offer.name)]),
        None => fill("offer-line", &[("name", &offer.name), ("costs", &offer_sizes(offer))]),
    }
}

/// The beginning of the same line where it is drawn in two parts.
pub fn offer_name(offer: &Offer) -> String {
    let key = if offer.stored.is_some() { "offer-name-stored" } else { "offer-name" };
    fill(key, &[("name", &offer.name)])
}

/// `605 MB to download, 161 MB kept`
pub fn offer_sizes(offer: &Offer) -> String {
    match &offer.stored {
        Some(_) => ON_THIS_DEVICE.to_string(),
        None => costs(offer.download_bytes, offer.kept_bytes),
    }
}

/// What the earlier model said, after what the new one says.
pub fn announce_before(Before { name, answer, .. }: &Before) -> String {
    let first = answer.ranked.labels.first();
    let said = first.map(|line| (label_or_none(line.label.as_deref()), percent(line.probability)));
    said.map(|(label, percent)| {
        let said = fill("announce-before", &[("name", name), ("label", label), ("percent", &percent)]);
        format!(" {said}")
    })
    .unwrap_or_default()
}

pub fn accuracy(top1: f32) -> String {
    fill("accuracy", &[("percent", &in_unit("percent", top1.into(), 1))])
}

pub fn discard_question(bytes: u64) -> String {
    fill("discard-question", &[("size", &size(bytes))])
}

/// What the badge and the picker call the model in use.
pub fn model_name(card: &Card) -> &str {
    if card.info.about.name.is_empty() { &card.file } else { &card.info.about.name }
}

/// Digits that mean something: `97 %`, `4.2 %`, `< 0.1 %`. No model is certain, so it is never `100 %` nor `0 %`.
pub fn percent(probability: f32) -> String {
    let percent = probability * 100.0;
    let in_percent = |value: f32, n_digits| in_unit("percent", value.into(), n_digits);
    match percent {
        p if p < 0.1 => fill("below", &[("n", &in_percent(0.1, 1))]),
        p if p < 9.95 => in_percent(p, 1),
        p if p < 99.5 => in_percent(p, 0),
        p if p < 99.95 => in_percent(p, 1),
        _ => fill("above", &[("n", &in_percent(99.9, 1))]),
    }
}

pub fn millis(millis: f64) -> String {
    match millis {
        ms if ms < 9.95 => in_unit("milliseconds", ms, 1),
        ms if ms < 1000.0 => in_unit("milliseconds", ms, 0),
        ms => in_unit("seconds", ms / 1000.0, 1),
    }
}

pub fn label_or_none(label: Option<&str>) -> &str {
    label.unwrap_or(NONE.get())
}

/// How far the first line can be relied on, by what was measured of such answers.
pub fn confidence(ranked: &RankedLabels) -> &'static str {
    let is_alone = ranked.labels.iter().filter(|line| line.label.is_some()).count() == 1;
    let is_close = match &ranked.labels[..] {
        [first, second, ..] => second.label.is_some() && second.probability > 0.6 * first.probability,
        _ => false,
    };
    text(match (ranked.confidence, ranked.mode) {
        (Confidence::NotCalibrated, _) if is_alone => "confidence-alone-not-calibrated",
        (Confidence::NotCalibrated, _) => "confidence-not-calibrated",
        (Confidence::NoneOfThese, _) => "confidence-none-fits",
        (Confidence::Clear, _) => "confidence-clear-match",
        _ if is_alone => "confidence-alone",
        (Confidence::Likely, Mode::Softmax) => "confidence-likely",
        (Confidence::Likely, Mode::Independent) => "confidence-likely-fits",
        (Confidence::Unsure, Mode::Independent) => "confidence-unsure-fits",
        (Confidence::Unsure, Mode::Softmax) if is_close => "confidence-close",
        (Confidence::Unsure, Mode::Softmax) => "confidence-guess",
    })
}

/// What a screen reader says once an answer is settled.
pub fn announce(ranked: &RankedLabels) -> String {
    let Some(first) = ranked.labels.first() else { return NOTHING_READABLE.to_string() };
    let label = label_or_none(first.label.as_deref());
    let percent = percent(first.probability);
    fill("announce", &[("label", label), ("percent", &percent), ("confidence", confidence(ranked))])
}

pub fn ready(card: &Card) -> String {
    fill("ready", &[("backend", backend(card)), ("test", self_test(card))])
}

/// Where it runs, in a word that all languages know.
pub fn backend(card: &Card) -> &'static str {
    match card.info.backend.kind {
        BackendKind::Gpu => "GPU",
        BackendKind::Cpu => "CPU",
    }
}

/// Whether it computes rightly on this device; what vouches for its file is another matter: see [`vouched`].
pub fn self_test(card: &Card) -> &'static str {
    text(if card.info.self_test.is_some() { "self-test-passed" } else { "self-test-none" })
}

/// Whose hash the model's file was compared with.
pub fn vouched(vouched: Vouched) -> &'static str {
    text(match vouched {
        Vouched::Catalogue => "vouched-list",
        Vouched::Hub => "vouched-hub",
        Vouched::Nobody => "vouched-nobody",
    })
}

/// The badge's title, with why it is not the graphics processor: `Results match the stored ones: …. Its file: hash checked against the list.`
pub fn badge_title(card: &Card, model: &Model) -> String {
    let test = self_test_figure(card).unwrap_or_else(|| text("badge-no-test").to_owned());
    let said = fill("badge-title", &[("test", &test), ("check", file_check(model))]);
    match &card.fallback {
        Some(problem) => fill("badge-why", &[("why", advice(problem.code).title), ("rest", &said)]),
        None => said,
    }
}

/// In the badge, both statements in short: `self-test passed · file checked`.
pub fn badge_checks(card: &Card, model: &Model) -> String {
    let is_vouched = match model {
        Model::Starter => true,
        Model::Stored(chosen) => chosen.vouched != Vouched::Nobody,
        Model::File { .. } => false,
    };
    let file = if is_vouched { text("file-checked") } else { vouched(Vouched::Nobody) };
    format!("{} · {file}", self_test(card))
}

/// Where the file of the model in use comes from, and what vouches for it: of the page's own, its server.
pub fn file_check(model: &Model) -> &'static str {
    match model {
        Model::Starter => text("vouched-page"),
        Model::Stored(chosen) => vouched(chosen.vouched),
        Model::File { .. } => vouched(Vouched::Nobody),
    }
}

/// The self-test's figures behind the badge.
pub fn self_test_figure(card: &Card) -> Option<String> {
    let test = card.info.self_test?;
    let cosine = number(test.cosine_image.min(test.cosine_text), 5);
    Some(fill("self-test-figure", &[("cosine", &cosine), ("time", &millis(test.millis))]))
}

/// The device, in a line.
pub fn device(card: &Card) -> String {
    let adapter = card.info.backend.adapter.as_deref().unwrap_or(text("this-processor"));
    let key = if card.info.backend.is_software { "device-emulated" } else { "device" };
    fill(key, &[("backend", backend(card)), ("adapter", adapter)])
}

/// The model's file and what it takes, in a line.
pub fn measures(card: &Card) -> String {
    let (bytes, side) = (megabytes(card.info.file_bytes as u64), square(card.info.image_size));
    let n_tokens = count(card.info.context_len);
    fill("measures", &[("size", &bytes), ("side", &side), ("n_tokens", &n_tokens)])
}

/// A stage of an answer, which has one name for programs.
pub fn stage(name: &str) -> String {
    match name.split(' ').find_map(|word| word.parse().ok()) {
        Some(n_labels) => plural("stage-labels", n_labels, &[]),
        None => find(&format!("stage-{name}")).unwrap_or(name).to_owned(),
    }
}

pub fn rate(per_second: f64) -> String {
    let n_digits = if per_second < 10.0 { 1 } else { 0 };
    match per_second {
        0.0 => "…".to_owned(),
        rate => in_unit("per-second", rate, n_digits),
    }
}

pub fn cut(labels: &[String]) -> String {
    fill("cut", &[("labels", &some_quoted(labels, &LIST_COMMA))])
}

/// Labels of which the model reads nothing, and what would help.
pub fn unreadable(labels: &[String]) -> String {
    plural("unreadable", labels.len(), &[("labels", &some_quoted(labels, &LIST_COMMA))])
}

/// Labels that are one and the same to the model.
pub fn same(labels: &[String]) -> String {
    fill("same", &[("labels", &some_quoted(labels, &LIST_AND))])
}

/// The model's size: `224 × 224 pixels`.
pub fn square(size: usize) -> String {
    in_unit("square", size as f64, 0)
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
    let cuts: Vec<String> = [(width, "cut-sides"), (height, "cut-ends")]
        .into_iter()
        .map(|(side, key)| (50.0 * (1.0 - seen(side)), key))
        .filter(|(percent, _)| *percent >= 0.05)
        .map(|(percent, key)| match percent {
            p if p < 1.0 => fill(&format!("{key}-little"), &[("percent", &whole_percent(0.01))]),
            p => fill(key, &[("percent", &whole_percent(p / 100.0))]),
        })
        .collect();
    if !cuts.is_empty() {
        return fill("sees-middle", &[("cuts", &cuts.join(text("cut-and")))]);
    }
    text(match fit {
        _ if width == height => "sees-whole",
        Fit::Squash => "sees-squeezed",
        Fit::Pad => "sees-bars",
        Fit::Crop => "sees-nearly",
    })
    .to_owned()
}

/// What was laid under transparency.
pub fn background(background: Option<Background>) -> Option<&'static str> {
    Some(match background? {
        Background::White => text("on-white"),
        Background::Black => ON_BLACK.get(),
    })
}

fn quoted(labels: &[String], between: &str) -> String {
    let quoted: Vec<String> =
        labels.iter().map(|label| fill("quoted", &[("text", &shortened(label))])).collect();
    quoted.join(between)
}

pub fn shortened(label: &str) -> String {
    let start: String = label.chars().take(40).collect();
    if start.len() < label.len() { format!("{start}…") } else { start }
}

pub fn remove_label(label: &str) -> String {
    fill("remove-label", &[("label", label)])
}

/// A sample picture by its file's name.
pub fn sample(name: &str) -> String {
    fill("sample", &[("name", text(&format!("sample-{name}")))])
}

pub fn similarity(similarity: f32) -> String {
    fill("similarity", &[("n", &cosine(similarity))])
}

/// `0.274`
pub fn cosine(cosine: f32) -> String {
    number(cosine.into(), 3)
}

pub const STAGE: Text = Text("stage");
pub const STARTING: Text = Text("starting");
pub const NO_MODEL: Text = Text("no-model");
pub const COLUMN_LABEL: Text = Text("column-label");
pub const COLUMN_PERCENT: Text = Text("column-percent");
pub const COLUMN_SIMILARITY: Text = Text("column-similarity");
pub const FACT_RUNS_ON: Text = Text("fact-runs-on");
pub const FACT_CHECKED: Text = Text("fact-checked");
pub const FACT_FILE_CHECK: Text = Text("fact-file-check");
pub const FACT_LOADED: Text = Text("fact-loaded");
pub const FACT_WHY_CPU: Text = Text("fact-why-cpu");
pub const FACT_NAME: Text = Text("fact-name");
pub const FACT_ABOUT: Text = Text("fact-about");
pub const FACT_ACCURACY: Text = Text("fact-accuracy");
pub const FACT_LICENCE: Text = Text("fact-licence");
pub const FACT_SOURCES: Text = Text("fact-sources");
pub const BACKEND: Text = Text("backend");
pub const BACKENDS: [(BackendChoice, &str, Text); 3] = [
    (BackendChoice::Auto, "backend-auto", Text("backend-auto")),
    (BackendChoice::Gpu, "backend-gpu", Text("backend-gpu")),
    (BackendChoice::Cpu, "backend-cpu", Text("backend-cpu")),
];
pub const WHY_CPU_DETAIL: Text = Text("why-cpu-detail");
pub const GPU_SET_ASIDE: Text = Text("gpu-set-aside");

/// How many labels are encoded, of all.
pub fn label_progress(done: usize, total: usize) -> String {
    plural("label-progress", total, &[("done", &count(done))])
}

pub const FACT_FILE: Text = Text("fact-file");
pub const FACT_SIZE: Text = Text("fact-size");
pub const FACT_CHECKSUM: Text = Text("fact-checksum");

// ---- what is given, stored, exported; long lists ----

pub const LABELS_PASTED: Text = Text("labels-pasted");
pub const LABELS_ADDED: Text = Text("labels-added");
pub const LABELS_ELSEWHERE: Text = Text("labels-elsewhere");
pub const LABELS_FROM_TAB: Text = Text("labels-from-tab");
pub const KEEP_MINE: Text = Text("keep-mine");
pub const TAKE_THEIRS: Text = Text("take-theirs");

pub const SET_KEEP: Text = Text("set-keep");
pub const SET_NAME: Text = Text("set-name");

pub fn remove_set(name: &str) -> String {
    fill("remove-set", &[("name", name)])
}

pub const COPY_TABLE: Text = Text("copy-table");
pub const SAVE_PICTURE: Text = Text("save-picture");
pub const SHARED_PICTURE: Text = Text("shared-picture");

pub fn saved(name: &str) -> String {
    fill("saved", &[("name", name)])
}

pub fn not_saved(why: &str) -> String {
    fill("not-saved", &[("why", why)])
}

pub const LABELS_FIND: Text = Text("labels-find");
pub const TRAY: Text = Text("tray");

/// `2,000 labels`, `12 of 2,000 labels`
pub fn labels_shown(n_shown: usize, n_labels: usize) -> String {
    match n_shown {
        n if n == n_labels => plural("n-labels", n, &[]),
        n => plural("labels-shown", n_labels, &[("shown", &count(n))]),
    }
}

pub fn show_picture(name: &str) -> String {
    fill("show-picture", &[("name", name)])
}

/// Title and advice on labels that could not be taken.
pub fn refused(Refused { n_labels, error, .. }: &Refused) -> [String; 2] {
    let (title, todo) = match error {
        TextError::LongLabel { n_chars, max, .. } => {
            (text("label-long").to_owned(), plural("label-long-todo", *n_chars, &[("max", &count(*max))]))
        }
        TextError::ManyLabels { max } => {
            (plural("labels-many", *max, &[]), plural("labels-many-todo", *n_labels, &[]))
        }
        error => (text("labels-refused").to_owned(), error.to_string()),
    };
    [format!("{title} "), todo]
}

pub fn pictures_came(n_pictures: usize) -> String {
    plural("pictures-came", n_pictures, &[])
}

/// Files that were not taken, by name.
pub fn left_out(names: &[String]) -> String {
    plural("left-out", names.len(), &[("names", &some_quoted(names, &LIST_COMMA))])
}

/// `2,000`
pub fn count(n: usize) -> String {
    number(n as f64, 0)
}

const LIST_COMMA: Text = Text("list-comma");
const LIST_AND: Text = Text("list-and");

/// The first of many, and how many more there are.
fn some_quoted(labels: &[String], between: &str) -> String {
    const MOST: usize = 8;
    match labels.len() {
        0..=MOST => quoted(labels, between),
        n => plural("list-more", n - MOST, &[("list", &quoted(&labels[..MOST], &LIST_COMMA))]),
    }
}

pub const UNDO_BY_KEY: Text = Text("undo-by-key");
