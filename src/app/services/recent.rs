//! The last pictures and what they were ranked as, kept in the browser's storage until the reader deletes them.
//!
//! Invariant: a picture is named by its file's name and size: shown again, it moves to the front and is kept once.
//! Invariant: what is listed is stored, or was: a browser may clear its storage, and whoever reads is told.

use super::super::share::encode;
use super::*;

/// In the browser's storage, which can be read before the first drawing: the strip is there at once, pictures included.
const KEY: &str = "cliplet.recent";
const CACHE: &str = "cliplet.recent";
const MAX_PICTURES: usize = 12;
const MAX_BYTES: f64 = 32.0 * 1024.0 * 1024.0;
/// Twice the height in the strip, for screens with two pixels a point.
const THUMB_PIXELS: u32 = 112;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = createImageBitmap)]
    fn create_image_bitmap(blob: &Blob, options: &js_sys::Object) -> Result<Promise, JsValue>;
}

thread_local! {
    /// How often everything was deleted: what was on its way before is not kept after.
    static N_CLEARED: Cell<u32> = const { Cell::new(0) };
}

#[derive(Debug, Clone, PartialEq)]
pub struct Recent {
    pub name: String,
    /// The winner of its last ranking; empty is "none of these".
    pub label: String,
    pub percent: String,
    /// The picture, small, as a `data:` address.
    pub thumb: String,
    /// Its address in the cache, which no file of the host has.
    address: String,
}

impl Recent {
    /// Tells it from every other: several may have one name.
    pub fn key(&self) -> &str {
        &self.address
    }
}

/// The latest first.
pub fn list() -> Vec<Recent> {
    let text = storage().and_then(|storage| storage.get_item(KEY).ok()?).unwrap_or_default();
    let mut texts = serde_json::from_str::<Vec<String>>(&text).unwrap_or_default().into_iter();
    let one = || {
        let mut next = || texts.next();
        Some(Recent { name: next()?, label: next()?, percent: next()?, thumb: next()?, address: next()? })
    };
    std::iter::from_fn(one).collect()
}

/// Whether it could be stored.
fn write(all: &[Recent]) -> bool {
    let texts: Array = all
        .iter()
        .flat_map(|recent| [&recent.name, &recent.label, &recent.percent, &recent.thumb, &recent.address])
        .map(|text| JsValue::from_str(text))
        .collect();
    let (Some(storage), Ok(text)) = (storage(), js_sys::JSON::stringify(&texts)) else { return false };
    storage.set_item(KEY, &String::from(text)).is_ok()
}

/// Keeps a picture and its winner, in front of the others; the oldest gives way.
pub async fn keep(picture: Blob, name: String, label: String, percent: String) -> Result<(), JsValue> {
    if picture.size() > MAX_BYTES {
        return Ok(());
    }
    let n_cleared = N_CLEARED.get();
    let origin = gloo::utils::window().location().origin()?;
    let address = format!("{origin}/?cliplet-recent={}-{}", picture.size(), encode(&name));
    let known = list().into_iter().find(|recent| recent.address == address);
    let thumb = match known {
        Some(known) => known.thumb,
        None => {
            let thumb = thumb(&picture).await?;
            let response = Response::new_with_opt_blob(Some(&picture))?;
            JsFuture::from(cache_named(CACHE).await?.put_with_str(&address, &response)).await?;
            thumb
        }
    };
    let recent = Recent { name, label, percent, thumb, address };
    // As it is now: another tab may have kept one meanwhile.
    let mut all = list();
    all.retain(|other| other.address != recent.address);
    all.insert(0, recent.clone());
    let old = all.split_off(all.len().min(MAX_PICTURES));
    // What the reader wants deleted meanwhile, or what there is no room to list, is not to stay unseen.
    if N_CLEARED.get() != n_cleared || !write(&all) {
        delete_file(&recent);
        return Ok(());
    }
    old.iter().for_each(delete_file);
    Ok(())
}

/// The browser makes it smaller beside the page's thread.
async fn thumb(picture: &Blob) -> Result<String, JsValue> {
    let options = js_sys::Object::new();
    Reflect::set(&options, &"resizeHeight".into(), &THUMB_PIXELS.into())?;
    let bitmap: ImageBitmap = JsFuture::from(create_image_bitmap(picture, &options)?).await?.unchecked_into();
    let canvas: HtmlCanvasElement = gloo::utils::document().create_element("canvas")?.unchecked_into();
    // Of a panorama, its middle.
    canvas.set_width(bitmap.width().min(2 * THUMB_PIXELS));
    canvas.set_height(bitmap.height());
    let context: CanvasRenderingContext2d =
        canvas.get_context("2d")?.ok_or("no 2d context")?.unchecked_into();
    context.set_fill_style_str("#fff");
    context.fill_rect(0.0, 0.0, canvas.width().into(), canvas.height().into());
    let left = (f64::from(canvas.width()) - f64::from(bitmap.width())) / 2.0;
    context.draw_image_with_image_bitmap(&bitmap, left, 0.0)?;
    bitmap.close();
    canvas.to_data_url_with_type("image/jpeg")
}

/// The picture as it came, unless the browser has cleared it away.
pub async fn file(recent: &Recent) -> Result<Blob, JsValue> {
    let found = JsFuture::from(cache_named(CACHE).await?.match_with_str(&recent.address)).await?;
    JsFuture::from(found.dyn_into::<Response>()?.blob()?).await?.dyn_into()
}

/// Deletes it; returns what is left.
pub fn delete(recent: &Recent) -> Vec<Recent> {
    let mut all = list();
    all.retain(|other| other.address != recent.address);
    _ = write(&all);
    delete_file(recent);
    all
}

fn delete_file(recent: &Recent) {
    let address = recent.address.clone();
    wasm_bindgen_futures::spawn_local(async move {
        if let Ok(cache) = cache_named(CACHE).await {
            drop(cache.delete_with_str(&address));
        }
    });
}

pub fn delete_all() {
    N_CLEARED.set(N_CLEARED.get() + 1);
    storage().iter().for_each(|storage| drop(storage.remove_item(KEY)));
    drop(caches().map(|caches| caches.delete(CACHE)));
}
