//! The browser's storage, files, clipboard and camera, as plain functions.
//!
//! Invariant: nothing here knows the page's state; failures come back as values.

pub mod last_picture;
pub mod poster;
pub mod recent;

use super::given::{Given, GivenFile};
use super::language::{self, Language};
use super::models::recommend::Device;
use super::settings::{GpuTrouble, Settings};
use super::{share, strings};
use crate::convert::catalogue::Catalogue;
use crate::image::FileKind;
use crate::worker::problem::{Code, Problem};
use gloo::timers::future::TimeoutFuture;
use js_sys::{Array, Promise, Reflect};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use wasm_bindgen::Clamped;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, BlobPropertyBag, CanvasRenderingContext2d, DataTransfer, EventTarget, HtmlAnchorElement,
    HtmlCanvasElement, HtmlVideoElement, ImageBitmap, ImageData, MediaStream, MediaStreamConstraints,
    MediaStreamTrack, OffscreenCanvas, OffscreenCanvasRenderingContext2d, Response, Url,
};

pub const SETTINGS_KEY: &str = "cliplet.settings";
/// As far as a file that is no picture is looked at, to name it.
const MAX_START_BYTES: f64 = 4096.0;
/// The page begins in English where its language's file takes longer.
const LANGUAGE_PATIENCE_MILLIS: u32 = 1_500;
/// Enough for any model's input, and quick to copy.
const CAMERA_WIDTH: f64 = 960.0;

/// `None` where the reader has blocked it.
fn storage() -> Option<web_sys::Storage> {
    gloo::utils::window().local_storage().ok()?
}

async fn cache_named(name: &str) -> Result<web_sys::Cache, JsValue> {
    JsFuture::from(caches()?.open(name)).await?.dyn_into()
}

/// Missing on pages that are not secure.
fn caches() -> Result<web_sys::CacheStorage, JsValue> {
    Reflect::get(&gloo::utils::window(), &"caches".into())?.dyn_into()
}

/// Where the widget's builder is, on hosts that have it.
pub fn builder_address() -> Option<String> {
    let script = gloo::utils::document().query_selector("script[data-builder]").ok()??;
    script.get_attribute("data-builder")
}

/// As they were left.
fn left_settings() -> Settings {
    let text = storage().and_then(|storage| storage.get_item(SETTINGS_KEY).ok()?);
    text.map(|text| Settings::read(&text)).unwrap_or_default()
}

pub fn stored_language() -> Option<Language> {
    left_settings().language
}

pub fn stored_settings() -> Settings {
    let mut settings = left_settings();
    let now = js_sys::Date::now();
    settings.gpu_trouble.take_if(|trouble| !trouble.is_recent(now));
    if gpu_mark::is_left() {
        // The last visit ended while the graphics processor was tried.
        settings.gpu_trouble = Some(GpuTrouble::at(now));
        gpu_mark::remove();
    }
    settings
}

/// The reader's languages, the dearest first.
fn reader_tags() -> Vec<String> {
    gloo::utils::window().navigator().languages().iter().filter_map(|tag| tag.as_string()).collect()
}

/// The language in which the page is to speak.
pub fn wanted_language(chosen: Option<Language>) -> Language {
    chosen.unwrap_or_else(|| Language::preferred(&reader_tags()))
}

/// Lets the page begin in its language: its file comes first, but nobody waits long for it.
pub async fn begin_speaking() {
    let wanted = wanted_language(stored_language());
    let come = wasm_bindgen_futures::future_to_promise(async move {
        speak(wanted).await;
        Ok(JsValue::UNDEFINED)
    });
    let patience = wasm_bindgen_futures::future_to_promise(async {
        TimeoutFuture::new(LANGUAGE_PATIENCE_MILLIS).await;
        Ok(JsValue::UNDEFINED)
    });
    drop(JsFuture::from(Promise::race(&Array::of2(&come, &patience))).await);
}

/// The page speaks `language` from now on, once its file has come; without it, it goes on in the language that it has.
pub async fn speak(language: Language) {
    let root = gloo::utils::document_element();
    // The offline helper keeps this one's file.
    drop(root.set_attribute("data-locale", language.tag()));
    if !language::is_known(language)
        && let Ok(file) = fetch(&format!("locales/{}.json", language.tag())).await
    {
        // One that cannot be read is not known after this either.
        drop(language::learn(language, text_of(&file).await));
    }
    let is_overtaken = root.get_attribute("data-locale").as_deref() != Some(language.tag());
    if is_overtaken || !language::is_known(language) {
        return;
    }
    language::speak(language, &language.number_tag(&reader_tags()));
    drop(root.set_attribute("lang", language.html_tag()));
    drop(root.set_attribute("dir", language.direction()));
    gloo::utils::document().set_title(&strings::TITLE);
}

/// Stands in the browser's storage while the graphics processor is tried, to be found after a breakdown.
pub mod gpu_mark {
    use super::storage;

    const KEY: &str = "cliplet.trying-gpu";

    pub fn set() {
        storage().iter().for_each(|storage| drop(storage.set_item(KEY, "1")));
    }

    pub fn remove() {
        storage().iter().for_each(|storage| drop(storage.remove_item(KEY)));
    }

    pub fn is_left() -> bool {
        storage().is_some_and(|storage| storage.get_item(KEY).is_ok_and(|mark| mark.is_some()))
    }
}

pub fn store_settings(settings: &Settings) {
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(settings)) {
        // Private mode or a full disk: the page works on without.
        drop(storage.set_item(SETTINGS_KEY, &text));
    }
}

/// Settings that this page's address carries.
pub fn shared_settings(own: &Settings) -> Option<Settings> {
    share::from_fragment(&fragment(), own)
}

/// What stands behind the # of this page's address.
pub fn fragment() -> String {
    gloo::utils::window().location().hash().unwrap_or_default()
}

/// Puts the settings into the address; returns it.
pub fn share_address(settings: &Settings) -> Option<String> {
    let address = format!("{}#{}", bare_address()?, share::to_fragment(settings));
    show_address(&address).then_some(address)
}

/// Takes settings out of the address that are not these.
pub fn leave_link(settings: &Settings) {
    if shared_settings(settings).is_some_and(|shared| shared != *settings) {
        bare_address().iter().for_each(|address| _ = show_address(address));
    }
}

/// The page's address without a fragment.
fn bare_address() -> Option<String> {
    let location = gloo::utils::window().location();
    Some(format!("{}{}{}", location.origin().ok()?, location.pathname().ok()?, location.search().ok()?))
}

fn show_address(address: &str) -> bool {
    let history = gloo::utils::window().history();
    history.is_ok_and(|history| history.replace_state_with_url(&JsValue::NULL, "", Some(address)).is_ok())
}

pub async fn copy(text: &str) -> bool {
    let navigator = gloo::utils::window().navigator();
    // Undefined on pages that are not secure.
    let has_clipboard =
        Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_truthy());
    has_clipboard && JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
}

/// Hands `text` to the browser as a download.
pub fn save(name: &str, kind: &str, text: &str) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    save_blob(name, &Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &options)?)
}

fn save_blob(name: &str, blob: &Blob) -> Result<(), JsValue> {
    let url = Url::create_object_url_with_blob(blob)?;
    let link: HtmlAnchorElement = gloo::utils::document().create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    Url::revoke_object_url(&url)
}

/// The name by which the browser's specifications call an error.
fn error_name(error: &JsValue) -> String {
    Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default()
}

/// Now, in universal time: `2026-11-25T06:52:00.000Z`.
pub fn now() -> String {
    js_sys::Date::new_0().to_iso_string().into()
}

/// What was given, and its files themselves.
pub struct Arrival {
    pub given: Given,
    pub files: Vec<web_sys::File>,
}

impl Arrival {
    /// Of a paste or a drop; to be read while its event lasts.
    pub fn carried(data: Option<&DataTransfer>) -> Self {
        let read = |kind: &str| data.and_then(|data| data.get_data(kind).ok()).unwrap_or_default();
        let mut arrival = Self::chosen(data.and_then(DataTransfer::files));
        arrival.given.text = read("text/plain");
        arrival.given.is_table = read("text/html").to_ascii_lowercase().contains("<table");
        arrival
    }

    /// Of a file input.
    pub fn chosen(files: Option<web_sys::FileList>) -> Self {
        Self::of(
            files.iter().flat_map(|files| (0..files.length()).filter_map(|idx| files.get(idx))).collect(),
        )
    }

    /// What the system hands over, if it ever does: `static/boot.js` knows how.
    pub async fn handed() -> Result<Self, JsValue> {
        let script = gloo::utils::document().query_selector("script[data-wasm]")?;
        let hand: js_sys::Function = Reflect::get(&script.into(), &"handed".into())?.dyn_into()?;
        let files = JsFuture::from(hand.call0(&JsValue::NULL)?.dyn_into::<js_sys::Promise>()?).await?;
        Ok(Self::of(files.dyn_into::<Array>()?.iter().filter_map(|file| file.dyn_into().ok()).collect()))
    }

    fn of(files: Vec<web_sys::File>) -> Self {
        let given = files.iter().map(|file| GivenFile { name: file.name(), media_type: file.type_() });
        Self { given: Given { files: given.collect(), ..Given::default() }, files }
    }
}

/// A file's text; nothing where it cannot be read.
pub async fn text_of(file: &Blob) -> String {
    JsFuture::from(file.text()).await.ok().and_then(|text| text.as_string()).unwrap_or_default()
}

/// What a picture's file is that the browser does not draw.
pub async fn broken_picture(file: &Blob) -> Problem {
    let start = async {
        JsFuture::from(file.slice_with_f64_and_f64(0.0, MAX_START_BYTES).ok()?.array_buffer()).await.ok()
    };
    let bytes = start.await.map(|start| js_sys::Uint8Array::new(&start).to_vec());
    Problem::new(Code::PictureUnreadable, format!("{} bytes", file.size()))
        .of(bytes.and_then(|bytes| FileKind::of(&bytes)))
}

/// The line, in browsers that tell of it.
pub fn connection() -> Option<EventTarget> {
    Reflect::get(&gloo::utils::window().navigator(), &"connection".into()).ok()?.dyn_into().ok()
}

/// What the browser tells of the device; which processor ranks, the engine knows.
pub async fn device() -> Device {
    let window = gloo::utils::window();
    let get = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).unwrap_or_default();
    let navigator: JsValue = window.navigator().into();
    let line: JsValue = connection().map(JsValue::from).unwrap_or_default();
    let number = |object: &JsValue, name: &str| get(object, name).as_f64();
    let screen = get(&window, "screen");
    let side = |name: &str| number(&screen, name).unwrap_or(0.0);
    // A browser without it throws where the others give a promise.
    let estimate = async {
        let storage = get(&navigator, "storage");
        let estimate: js_sys::Function = get(&storage, "estimate").dyn_into().ok()?;
        let promise: js_sys::Promise = estimate.call0(&storage).ok()?.dyn_into().ok()?;
        let told = JsFuture::from(promise).await.ok()?;
        Some((number(&told, "quota")? - number(&told, "usage")?).max(0.0) as u64)
    };
    Device {
        is_coarse: matches_media("(pointer: coarse)"),
        screen_side: side("width").min(side("height")) as u32,
        is_metered: get(&line, "saveData").is_truthy()
            || get(&line, "type").as_string().as_deref() == Some("cellular"),
        line: get(&line, "effectiveType").as_string(),
        mbit_per_second: number(&line, "downlink").map(|rate| rate as f32),
        memory_gib: number(&navigator, "deviceMemory").map(|memory| memory as f32),
        room_bytes: estimate.await,
        has_gpu: false,
    }
}

pub fn matches_media(query: &str) -> bool {
    gloo::utils::window().match_media(query).ok().flatten().is_some_and(|query| query.matches())
}

pub async fn sample(address: &str) -> Result<Blob, Problem> {
    fetch(address).await.map_err(|error| Problem::new(Code::PictureUnreadable, error))
}

/// The curated list of models, of the page's own origin.
pub async fn catalogue() -> Result<Catalogue, Problem> {
    let read = async {
        let text = fetch("models/catalogue.json").await?.text();
        let text = JsFuture::from(text).await.map_err(|error| format!("{error:?}"))?;
        let text = text.as_string().unwrap_or_default();
        Catalogue::parse(text.as_bytes()).map_err(|error| error.to_string())
    };
    read.await.map_err(|error: String| Problem::new(Code::CatalogueMissing, error))
}

/// A file of the page's own, or what is wrong with it.
async fn fetch(address: &str) -> Result<Blob, String> {
    let failed = |error: JsValue| format!("{address}: {error:?}");
    let response = JsFuture::from(gloo::utils::window().fetch_with_str(address)).await.map_err(failed)?;
    let response: Response = response.unchecked_into();
    if !response.ok() {
        return Err(format!("{address}: status {}", response.status()));
    }
    let blob = async { JsFuture::from(response.blob()?).await };
    blob.await.map(JsCast::unchecked_into).map_err(failed)
}

/// Pictures, frames and models' files on their way to the workers, by id.
///
/// Invariant: ids are never used twice.
#[derive(Default)]
pub struct Pictures {
    last_id: Cell<u64>,
    payloads: RefCell<HashMap<u64, JsValue>>,
}

impl Pictures {
    pub fn put(&self, payload: JsValue) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.payloads.borrow_mut().insert(self.last_id.get(), payload);
        self.last_id.get()
    }

    pub fn get(&self, id: u64) -> Option<JsValue> {
        self.payloads.borrow().get(&id).cloned()
    }

    /// Lets go of all others.
    pub fn keep(&self, ids: &[Option<u64>]) {
        let last = self.last_id.get();
        self.payloads.borrow_mut().retain(|id, _| ids.contains(&Some(*id)) || *id == last);
    }
}

/// Draws a square of RGB pixels.
pub fn draw(canvas: &HtmlCanvasElement, size: usize, rgb: &[u8]) -> Result<(), JsValue> {
    let side = size as u32;
    canvas.set_width(side);
    canvas.set_height(side);
    let rgba: Vec<u8> = rgb.as_chunks().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect();
    let pixels = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), side, side)?;
    let context = canvas.get_context("2d")?.ok_or("no 2d context")?;
    context.unchecked_into::<CanvasRenderingContext2d>().put_image_data(&pixels, 0.0, 0.0)
}

pub mod camera {
    use super::*;

    /// Which camera to open.
    #[derive(Clone, PartialEq)]
    pub enum Choice {
        /// The one that looks away from the reader, where there are two.
        Any,
        Device(String),
    }

    /// Opens a camera; where any will do and the first is in use, the next that is free.
    pub async fn open(choice: &Choice) -> Result<MediaStream, Problem> {
        let first = ask(choice).await;
        let is_busy = matches!(&first, Err(problem) if problem.code == Code::CameraBusy);
        if is_busy && *choice == Choice::Any {
            // Before it was allowed any camera, the browser hides their ids.
            for id in devices().await.into_iter().filter(|id| !id.is_empty()) {
                if let Ok(stream) = ask(&Choice::Device(id)).await {
                    return Ok(stream);
                }
            }
        }
        first
    }

    async fn ask(choice: &Choice) -> Result<MediaStream, Problem> {
        let unsupported = |error: JsValue| Problem::new(Code::CameraUnsupported, format!("{error:?}"));
        let navigator = gloo::utils::window().navigator();
        // Undefined on pages that are not secure.
        if Reflect::get(&navigator, &"mediaDevices".into()).is_ok_and(|devices| devices.is_undefined()) {
            return Err(Problem::new(Code::CameraUnsupported, "no navigator.mediaDevices"));
        }
        let video = match choice {
            Choice::Any => object(&[("facingMode", "environment".into())]),
            Choice::Device(id) => object(&[("deviceId", object(&[("exact", id.as_str().into())]))]),
        };
        drop(Reflect::set(&video, &"width".into(), &object(&[("ideal", CAMERA_WIDTH.into())])));
        let constraints = MediaStreamConstraints::new();
        constraints.set_video(&video);
        let asked = navigator
            .media_devices()
            .and_then(|devices| devices.get_user_media_with_constraints(&constraints));
        let stream = JsFuture::from(asked.map_err(unsupported)?).await.map_err(refusal)?;
        Ok(stream.unchecked_into())
    }

    /// By the names of the specification.
    fn refusal(error: JsValue) -> Problem {
        let name = error_name(&error);
        let code = match name.as_str() {
            "NotFoundError" | "OverconstrainedError" => Code::CameraMissing,
            "NotReadableError" | "AbortError" => Code::CameraBusy,
            "NotSupportedError" | "TypeError" => Code::CameraUnsupported,
            _ => Code::CameraRefused,
        };
        Problem::new(code, name)
    }

    pub fn tracks(stream: &MediaStream) -> Vec<MediaStreamTrack> {
        stream.get_tracks().iter().map(JsCast::unchecked_into).collect()
    }

    /// The id of the camera in use.
    pub fn device_of(stream: &MediaStream) -> Option<String> {
        let settings = tracks(stream).first()?.get_settings();
        Reflect::get(&settings, &"deviceId".into()).ok()?.as_string()
    }

    /// The ids of all cameras.
    pub async fn devices() -> Vec<String> {
        let found = async {
            let devices = gloo::utils::window().navigator().media_devices()?;
            JsFuture::from(devices.enumerate_devices()?).await
        };
        let field = |device: &JsValue, name: &str| Reflect::get(device, &name.into()).ok()?.as_string();
        let devices: Array = found.await.map(JsCast::unchecked_into).unwrap_or_default();
        let cameras = devices.iter().filter(|device| field(device, "kind").as_deref() == Some("videoinput"));
        cameras.filter_map(|device| field(&device, "deviceId")).collect()
    }

    /// What the video shows now.
    pub async fn frame(video: &HtmlVideoElement) -> Result<ImageBitmap, JsValue> {
        let bitmap = gloo::utils::window().create_image_bitmap_with_html_video_element(video)?;
        JsFuture::from(bitmap).await.map(JsCast::unchecked_into)
    }

    /// What the video shows now, as a file.
    pub async fn still(video: &HtmlVideoElement) -> Result<Blob, JsValue> {
        let canvas = OffscreenCanvas::new(video.video_width(), video.video_height())?;
        let context = canvas.get_context("2d")?.ok_or("no 2d context")?;
        let context: OffscreenCanvasRenderingContext2d = context.unchecked_into();
        context.draw_image_with_html_video_element(video, 0.0, 0.0)?;
        JsFuture::from(canvas.convert_to_blob()?).await.map(JsCast::unchecked_into)
    }

    fn object(fields: &[(&str, JsValue)]) -> JsValue {
        let object = js_sys::Object::new();
        for (name, value) in fields {
            drop(Reflect::set(&object, &(*name).into(), value));
        }
        object.into()
    }
}

pub mod motion {
    use super::*;

    #[wasm_bindgen]
    extern "C" {
        /// `Element.animate`, which web-sys holds to be unstable.
        type Animated;
        #[wasm_bindgen(method)]
        fn animate(this: &Animated, frames: &JsValue, options: &JsValue) -> JsValue;
    }

    /// Lets `element` glide from `dy` pixels below its place to its place.
    pub fn glide(element: &web_sys::Element, dy: f64) {
        let frames = js_sys::Object::new();
        let transforms = Array::of2(&format!("translateY({dy}px)").into(), &"none".into());
        let options = js_sys::Object::new();
        let set =
            |object: &JsValue, name: &str, value: &JsValue| drop(Reflect::set(object, &name.into(), value));
        set(&frames, "transform", &transforms);
        set(&options, "duration", &150.0.into());
        set(&options, "easing", &"ease-out".into());
        element.unchecked_ref::<Animated>().animate(&frames, &options);
    }

    /// Whether the reader asked for less motion.
    pub fn is_reduced() -> bool {
        matches_media("(prefers-reduced-motion: reduce)")
    }
}
