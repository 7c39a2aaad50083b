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
    if is_unmarked_cmyk(bytes) {
        return Err(ImageError::UnsupportedFormat("CMYK (without Adobe's marker)"));
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

/// Whether `bytes` are a JPEG of four inks that does not say how they are stored: Adobe stores them inverted and
/// leaves a marker, the decoder takes all of them to be inverted, so that others would come out as negatives.
fn is_unmarked_cmyk(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(b"\xFF\xD8") else { return false };
    let mut has_adobe_marker = false;
    while let [0xFF, marker, high, low, body @ ..] = rest {
        match marker {
            0xEE => has_adobe_marker |= body.starts_with(b"Adobe"),
            // Tables share the numbers of the frame headers.
            0xC4 | 0xC8 | 0xCC => (),
            0xC0..=0xCF => return body.get(5) == Some(&4) && !has_adobe_marker,
            _ => (),
        }
        // The length counts its own two bytes.
        let n_bytes = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(2);
        rest = body.get(n_bytes..).unwrap_or_default();
    }
    false
}
