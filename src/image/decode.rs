//! Bytes of an image file to upright RGB pixels.
//!
//! Invariant: orientation is applied exactly once, transparency is laid over one colour (`background`), and of an
//! animation the first frame is read.

use super::limits::{check_size, unreadable};
use super::{ImageError, Pixels, Plain};
use ::image::{DynamicImage, ImageDecoder, ImageReader, Limits, metadata::Orientation};
use std::io::Cursor;

/// Turning a picture upright holds it twice.
const MAX_DECODED_MIB: u64 = 512;

/// Decodes JPEG, PNG, WebP, GIF or BMP.
pub fn decode(bytes: &[u8]) -> Result<Pixels, ImageError> {
    let Plain { bytes, orientation } = Plain::new(bytes)?;
    let bytes = bytes.as_ref();
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(malformed)?;
    if reader.format().is_none_or(|format| !format.reading_enabled()) {
        return Err(unreadable(bytes));
    }
    let mut decoder = reader.into_decoder().map_err(malformed)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    let needed_mib = decoder.total_bytes() >> 20;
    if needed_mib >= MAX_DECODED_MIB {
        return Err(ImageError::TooMuchMemory { needed_mib, max_mib: MAX_DECODED_MIB });
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_MIB << 20);
    decoder.set_limits(limits).map_err(malformed)?;
    // A JPEG's alone: others' was read above. A damaged EXIF block says nothing about the pixels: such a picture is shown as it
    // is stored.
    let of_decoder = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(malformed)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = if image.color().has_alpha() {
        Pixels::from_rgba(width, height, &image.into_rgba8())?
    } else {
        Pixels::opaque(width, height, image.into_rgb8().into_raw())
    };
    Ok(pixels.turned(orientation).turned(of_decoder))
}

fn malformed(error: impl std::fmt::Display) -> ImageError {
    ImageError::Malformed(error.to_string())
}
