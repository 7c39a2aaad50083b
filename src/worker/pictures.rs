//! What the page sends as a picture, made into pixels: a file's bytes or a camera frame.
//!
//! Invariant: files go through our own decoder, as natively; the browser's decoder serves only formats that ours
//! does not know.

use super::problem::{Code, Problem};
use crate::image::{self, ImageError, Pixels};
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, DedicatedWorkerGlobalScope, ImageBitmap, OffscreenCanvas, OffscreenCanvasRenderingContext2d,
};

/// Beyond this no decoder is asked: reading alone would take all memory.
const MAX_FILE_BYTES: f64 = 100.0 * 1024.0 * 1024.0;
/// The limit for what the browser decodes for us, in pixels.
const MAX_BITMAP_PIXELS: u64 = 64_000_000;

pub async fn pixels(payload: JsValue) -> Result<Pixels, Problem> {
    match payload.dyn_into::<ImageBitmap>() {
        Ok(bitmap) => from_bitmap(&bitmap),
        Err(payload) => from_blob(payload.unchecked_ref()).await,
    }
}

async fn from_blob(blob: &Blob) -> Result<Pixels, Problem> {
    let n_bytes = blob.size();
    if n_bytes > MAX_FILE_BYTES {
        return Err(Problem::new(
            Code::PictureTooLarge,
            format!("{n_bytes} bytes; the limit is {MAX_FILE_BYTES}"),
        ));
    }
    let buffer = JsFuture::from(blob.array_buffer()).await.map_err(unreadable)?;
    let decoded = image::decode(&Uint8Array::new(&buffer).to_vec());
    match decoded {
        Ok(pixels) => Ok(pixels),
        Err(error @ (ImageError::UnknownFormat { .. } | ImageError::UnsupportedFormat(_))) => {
            // AVIF, HEIC, SVG …: whatever this browser shows, it can also hand over.
            let bitmap = async {
                let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
                JsFuture::from(scope.create_image_bitmap_with_blob(blob)?).await
            };
            match bitmap.await {
                Ok(bitmap) => from_bitmap(bitmap.unchecked_ref()),
                Err(_) => Err(Problem::new(Code::PictureUnreadable, error)),
            }
        }
        Err(error @ (ImageError::TooLarge { .. } | ImageError::TooMuchMemory { .. })) => {
            Err(Problem::new(Code::PictureTooLarge, error))
        }
        Err(error) => Err(Problem::new(Code::PictureUnreadable, error)),
    }
}

fn from_bitmap(bitmap: &ImageBitmap) -> Result<Pixels, Problem> {
    let (width, height) = (bitmap.width(), bitmap.height());
    if u64::from(width) * u64::from(height) > MAX_BITMAP_PIXELS {
        return Err(Problem::new(Code::PictureTooLarge, format!("{width} × {height} pixels")));
    }
    let rgba = || -> Result<Vec<u8>, JsValue> {
        let canvas = OffscreenCanvas::new(width, height)?;
        let context = canvas.get_context("2d")?.ok_or("no 2d context")?;
        let context: OffscreenCanvasRenderingContext2d = context.unchecked_into();
        context.draw_image_with_image_bitmap(bitmap, 0.0, 0.0)?;
        let data = context.get_image_data(0.0, 0.0, width.into(), height.into())?;
        Ok(data.data().0)
    };
    let rgba = rgba().map_err(unreadable)?;
    bitmap.close();
    Pixels::from_rgba(width as usize, height as usize, &rgba)
        .map_err(|error| Problem::new(Code::PictureUnreadable, error))
}

fn unreadable(error: JsValue) -> Problem {
    Problem::new(Code::PictureUnreadable, format!("{error:?}"))
}
