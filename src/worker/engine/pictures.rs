//! What the page sends as a picture, made into upright RGB pixels: a file, by the browser's own decoders, or a camera
//! frame. The browser's decoders read more formats than ours, and ours would be a fifth of the page's program.
//!
//! Invariant: what is larger than our decoder reads is read at a reduced size, or refused before the browser sees it.
//! Invariant: EXIF orientation is applied once, transparency is laid over one colour, and no colour profile: as natively,
//! held to the same expected crops by tests/browser.
//! Invariant: no picture is read in a browser that gives changed pixels back (against fingerprinting): a known pattern
//! tells.
//! Invariant: every refusal has its own code, and the page its own advice for it.

use crate::image::limits::{check_size, reduced_width, unreadable};
use crate::image::{Background, FileKind, ImageError, OverWhite, Pixels, Plain};
use crate::worker::fetch::blob_bytes;
use crate::worker::problem::{Code, Problem};
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use std::borrow::Cow;
use std::cell::Cell;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, ImageBitmap, OffscreenCanvas, OffscreenCanvasRenderingContext2d};

#[wasm_bindgen]
extern "C" {
    /// The function belongs to whatever global scope this is: a worker's or a page's.
    #[wasm_bindgen(catch, js_name = createImageBitmap)]
    fn create_image_bitmap(blob: &Blob, options: &Object) -> Result<Promise, JsValue>;
}

/// Pixels are read back in strips: a whole picture would lie in memory three times.
const STRIP_PIXELS: u32 = 1 << 22;
/// Beyond this no decoder is asked: reading alone would take all memory.
const MAX_FILE_BYTES: f64 = 100.0 * 1024.0 * 1024.0;
/// As far as a file that is no picture is looked at, to name it.
const MAX_START_BYTES: f64 = 4096.0;
/// The known pattern's side, in pixels.
const PATTERN_SIDE: u8 = 16;
/// So much noise, of 255, changes no ranking. Brave flips the lowest bit here and there; Firefox gives random pixels.
const MAX_NOISE: u8 = 3;

thread_local! {
    /// The known pattern came back as it was; looked for again until it does, as the reader may allow it meanwhile.
    static IS_TRUE_TO_PIXELS: Cell<bool> = const { Cell::new(false) };
}

pub async fn pixels(payload: JsValue) -> Result<Pixels, Problem> {
    let file = match payload.dyn_into::<ImageBitmap>() {
        Ok(bitmap) => return from_bitmap(&bitmap).map_err(problem),
        Err(payload) => payload.unchecked_into::<Blob>(),
    };
    if file.size() > MAX_FILE_BYTES {
        let detail = format!("{} bytes; the limit is {MAX_FILE_BYTES}", file.size());
        return Err(Problem::new(Code::PictureTooLarge, detail));
    }
    match decode(&file).await {
        Ok(pixels) => Ok(pixels),
        Err(error) => Err(problem(error).of(kind(&file).await)),
    }
}

fn problem(error: ImageError) -> Problem {
    let code = match error {
        ImageError::TooLarge { .. } | ImageError::TooMuchMemory { .. } => Code::PictureTooLarge,
        ImageError::Scrambled { .. } => Code::PictureScrambled,
        ImageError::CutShort { .. } => Code::PictureCutShort,
        _ => Code::PictureUnreadable,
    };
    Problem::new(code, error)
}

async fn kind(file: &Blob) -> Option<FileKind> {
    let start = file.slice_with_f64_and_f64(0.0, MAX_START_BYTES).ok()?;
    FileKind::of(&blob_bytes(&start).await.ok()?)
}

/// Decodes a picture's file: JPEG, PNG, WebP, GIF, BMP, and whatever else this browser shows.
pub async fn decode(file: &Blob) -> Result<Pixels, ImageError> {
    let bytes = blob_bytes(file).await.map_err(malformed)?;
    let known = imagesize::blob_size(&bytes).ok();
    let width = known.map_or(Ok(None), |size| reduced_width(size.width as u64, size.height as u64))?;
    let plain = Plain::new(&bytes)?;
    let file = match &plain.bytes {
        Cow::Borrowed(_) => Cow::Borrowed(file),
        Cow::Owned(bytes) => Cow::Owned(blob_of(bytes).map_err(malformed)?),
    };
    let read = async |width| bitmap(&file, width).await.map_err(|_| unreadable(&bytes));
    let mut whole = read(width).await?;
    // Of formats whose header is not known to us, the browser tells the size.
    if let Some(width) = reduced_width(whole.width().into(), whole.height().into())? {
        whole.close();
        whole = read(Some(width)).await?;
    }
    Ok(from_bitmap(&whole)?.turned(plain.orientation))
}

fn blob_of(bytes: &[u8]) -> Result<Blob, JsValue> {
    Blob::new_with_u8_array_sequence(&Array::of1(&Uint8Array::from(bytes)))
}

/// The browser's picture, of this width where one is named; its height follows.
async fn bitmap(file: &Blob, width: Option<u32>) -> Result<ImageBitmap, JsValue> {
    let mut entries = vec![
        ("imageOrientation", "from-image".into()),
        ("premultiplyAlpha", "none".into()),
        ("colorSpaceConversion", "none".into()),
    ];
    if let Some(width) = width {
        entries.extend([("resizeWidth", width.into()), ("resizeQuality", "high".into())]);
    }
    JsFuture::from(create_image_bitmap(file, &options(&entries))?).await.map(JsCast::unchecked_into)
}

/// Reads a picture that the browser has decoded, and closes it.
fn from_bitmap(bitmap: &ImageBitmap) -> Result<Pixels, ImageError> {
    let (width, height) = (bitmap.width(), bitmap.height());
    check_size(width.into(), height.into())?;
    check_pixels()?;
    let pixels = read(bitmap, width, height).map_err(malformed)?;
    bitmap.close();
    Ok(pixels)
}

/// Refuses a browser that gives changed pixels back.
fn check_pixels() -> Result<(), ImageError> {
    if IS_TRUE_TO_PIXELS.get() {
        return Ok(());
    }
    let largest = noise().map_err(malformed)?;
    if largest > MAX_NOISE {
        return Err(ImageError::Scrambled { largest });
    }
    IS_TRUE_TO_PIXELS.set(true);
    Ok(())
}

/// Draws known colours and returns by how much the worst of them comes back changed.
fn noise() -> Result<u8, JsValue> {
    let places = || (0..PATTERN_SIDE).flat_map(|y| (0..PATTERN_SIDE).map(move |x| (x, y)));
    let colour = |x: u8, y: u8| [x, y, x ^ y].map(|step| step * 16 + 7);
    let context = context(PATTERN_SIDE.into(), PATTERN_SIDE.into())?;
    for (x, y) in places() {
        let [r, g, b] = colour(x, y);
        context.set_fill_style_str(&format!("rgb({r},{g},{b})"));
        context.fill_rect(x.into(), y.into(), 1.0, 1.0);
    }
    let side = PATTERN_SIDE.into();
    let found = context.get_image_data(0.0, 0.0, side, side)?.data().0;
    let of_pixel = |((x, y), [r, g, b, _]): (_, &[u8; 4])| {
        let [drawn_r, drawn_g, drawn_b] = colour(x, y);
        drawn_r.abs_diff(*r).max(drawn_g.abs_diff(*g)).max(drawn_b.abs_diff(*b))
    };
    Ok(places().zip(found.as_chunks().0).map(of_pixel).max().unwrap_or(u8::MAX))
}

fn context(width: u32, height: u32) -> Result<OffscreenCanvasRenderingContext2d, JsValue> {
    let canvas = OffscreenCanvas::new(width, height)?;
    let options = options(&[("willReadFrequently", true.into())]);
    let context = canvas.get_context_with_context_options("2d", &options)?.ok_or("no 2d context")?;
    Ok(context.unchecked_into())
}

fn read(bitmap: &ImageBitmap, width: u32, height: u32) -> Result<Pixels, JsValue> {
    let mut seen = OverWhite::default();
    let over_white = read_over(Background::White, bitmap, &mut seen)?;
    let background = seen.background();
    let rgb = match background {
        Some(Background::Black) => read_over(Background::Black, bitmap, &mut OverWhite::default())?,
        _ => over_white,
    };
    Ok(Pixels { width: width as usize, height: height as usize, rgb, background })
}

/// The bitmap's colours over one, and what was seen of its transparency.
fn read_over(background: Background, bitmap: &ImageBitmap, seen: &mut OverWhite) -> Result<Vec<u8>, JsValue> {
    let (width, height) = (bitmap.width(), bitmap.height());
    let strip_height = (STRIP_PIXELS / width).clamp(1, height);
    let context = context(width, strip_height)?;
    context.set_fill_style_str(match background {
        Background::White => "#fff",
        Background::Black => "#000",
    });
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for top in (0..height).step_by(strip_height as usize) {
        let n_rows = strip_height.min(height - top);
        let (width, height, top) = (f64::from(width), f64::from(n_rows), f64::from(top));
        let strip = || Ok::<_, JsValue>(context.get_image_data(0.0, 0.0, width, height)?.data().0);
        context.clear_rect(0.0, 0.0, width, height);
        context.draw_image_with_image_bitmap(bitmap, 0.0, -top)?;
        let alone = strip()?;
        let is_opaque = alone.as_chunks().0.iter().all(|[_, _, _, alpha]| *alpha == 255);
        let laid = if is_opaque {
            None
        } else {
            context.fill_rect(0.0, 0.0, width, height);
            context.draw_image_with_image_bitmap(bitmap, 0.0, -top)?;
            Some(strip()?)
        };
        let laid = laid.as_ref().unwrap_or(&alone);
        for ([r, g, b, _], [_, _, _, alpha]) in laid.as_chunks().0.iter().zip(alone.as_chunks().0) {
            seen.add([*r, *g, *b], *alpha);
            rgb.extend([*r, *g, *b]);
        }
    }
    Ok(rgb)
}

fn options(entries: &[(&str, JsValue)]) -> Object {
    let options = Object::new();
    for (name, value) in entries {
        // A plain object takes every property.
        let _ = Reflect::set(&options, &(*name).into(), value);
    }
    options
}

fn malformed(error: JsValue) -> ImageError {
    ImageError::Malformed(format!("{error:?}"))
}
