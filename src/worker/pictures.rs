//! What the page sends as a picture, made into upright RGB pixels: a file, by the browser's own decoders, or a camera
//! frame. The browser's decoders read more formats than ours, and ours would be a fifth of the page's program.
//!
//! Invariant: what our decoder refuses on the header for its size is refused here too, before the browser sees it.
//! Invariant: EXIF orientation is applied once, alpha goes over white, and no colour profile: as natively, held to the
//! same expected crops by tests/browser.
//! Invariant: every refusal has its own code, and the page its own advice for it.

use super::problem::{Code, Problem};
use crate::image::limits::{check_size, unreadable};
use crate::image::{ImageError, Pixels};
use js_sys::{Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, ImageBitmap, OffscreenCanvas, OffscreenCanvasRenderingContext2d};

#[wasm_bindgen]
extern "C" {
    /// Of whatever global scope this is: a worker's or a page's.
    #[wasm_bindgen(catch, js_name = createImageBitmap)]
    fn create_image_bitmap(blob: &Blob, options: &Object) -> Result<Promise, JsValue>;
}

/// Pixels are read back in strips: a whole picture would lie in memory three times.
const STRIP_PIXELS: u32 = 1 << 22;
/// Beyond this no decoder is asked: reading alone would take all memory.
const MAX_FILE_BYTES: f64 = 100.0 * 1024.0 * 1024.0;

pub async fn pixels(payload: JsValue) -> Result<Pixels, Problem> {
    let pixels = match payload.dyn_into::<ImageBitmap>() {
        Ok(bitmap) => from_bitmap(&bitmap),
        Err(payload) => {
            let file: Blob = payload.unchecked_into();
            if file.size() > MAX_FILE_BYTES {
                return Err(Problem::new(
                    Code::PictureTooLarge,
                    format!("{} bytes; the limit is {MAX_FILE_BYTES}", file.size()),
                ));
            }
            decode(&file).await
        }
    };
    pixels.map_err(|error| match error {
        ImageError::TooLarge { .. } | ImageError::TooMuchMemory { .. } => {
            Problem::new(Code::PictureTooLarge, error)
        }
        error => Problem::new(Code::PictureUnreadable, error),
    })
}

/// Decodes a picture's file: JPEG, PNG, WebP, GIF, BMP, and whatever else this browser shows.
pub async fn decode(file: &Blob) -> Result<Pixels, ImageError> {
    let bytes = bytes(file).await.map_err(malformed)?;
    if let Ok(size) = imagesize::blob_size(&bytes) {
        check_size(size.width as u64, size.height as u64)?;
    }
    let options = options(&[
        ("imageOrientation", "from-image".into()),
        ("premultiplyAlpha", "none".into()),
        ("colorSpaceConversion", "none".into()),
    ]);
    let bitmap = async { JsFuture::from(create_image_bitmap(file, &options)?).await };
    let bitmap: ImageBitmap = bitmap.await.map_err(|_| unreadable(&bytes))?.unchecked_into();
    from_bitmap(&bitmap)
}

/// A file's bytes.
pub async fn bytes(file: &Blob) -> Result<Vec<u8>, JsValue> {
    let buffer = JsFuture::from(file.array_buffer()).await?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// Reads a picture that the browser has decoded, and closes it.
fn from_bitmap(bitmap: &ImageBitmap) -> Result<Pixels, ImageError> {
    let (width, height) = (bitmap.width(), bitmap.height());
    check_size(width.into(), height.into())?;
    let rgb = read(bitmap, width, height).map_err(malformed)?;
    bitmap.close();
    Ok(Pixels { width: width as usize, height: height as usize, rgb })
}

fn read(bitmap: &ImageBitmap, width: u32, height: u32) -> Result<Vec<u8>, JsValue> {
    let strip_height = (STRIP_PIXELS / width).clamp(1, height);
    let canvas = OffscreenCanvas::new(width, strip_height)?;
    let options = options(&[("willReadFrequently", true.into())]);
    let context = canvas.get_context_with_context_options("2d", &options)?.ok_or("no 2d context")?;
    let context: OffscreenCanvasRenderingContext2d = context.unchecked_into();
    context.set_fill_style_str("#fff");
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for top in (0..height).step_by(strip_height as usize) {
        let n_rows = strip_height.min(height - top);
        context.fill_rect(0.0, 0.0, width.into(), n_rows.into());
        context.draw_image_with_image_bitmap(bitmap, 0.0, -f64::from(top))?;
        let strip = context.get_image_data(0.0, 0.0, width.into(), n_rows.into())?.data().0;
        rgb.extend(strip.as_chunks().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]));
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
