//! What the page sends as a picture, made into pixels: a file or a camera frame.
//!
//! Invariant: every refusal has its own code, and the page its own advice for it.

use super::problem::{Code, Problem};
use crate::image::{ImageError, Pixels, browser};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, ImageBitmap};

/// Beyond this no decoder is asked: reading alone would take all memory.
const MAX_FILE_BYTES: f64 = 100.0 * 1024.0 * 1024.0;

pub async fn pixels(payload: JsValue) -> Result<Pixels, Problem> {
    let pixels = match payload.dyn_into::<ImageBitmap>() {
        Ok(bitmap) => browser::from_bitmap(&bitmap),
        Err(payload) => {
            let file: Blob = payload.unchecked_into();
            if file.size() > MAX_FILE_BYTES {
                return Err(Problem::new(
                    Code::PictureTooLarge,
                    format!("{} bytes; the limit is {MAX_FILE_BYTES}", file.size()),
                ));
            }
            browser::decode(&file).await
        }
    };
    pixels.map_err(|error| match error {
        ImageError::TooLarge { .. } | ImageError::TooMuchMemory { .. } => {
            Problem::new(Code::PictureTooLarge, error)
        }
        error => Problem::new(Code::PictureUnreadable, error),
    })
}
