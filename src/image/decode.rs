//! Bytes of an image file to upright RGB pixels.
//!
//! Invariant: EXIF orientation is applied exactly once, alpha goes over white, and of an animation the first
//! frame is read.

use super::{ImageError, Pixels};
use ::image::{DynamicImage, ImageDecoder, ImageReader, Limits, metadata::Orientation};
use std::io::Cursor;

/// What a phone or camera of today makes at most; 300 MB as RGB.
const MAX_MEGAPIXELS: u64 = 100;
/// JPEG's own limit; it also bounds the filter taps of a thin picture.
const MAX_SIDE: u64 = 65_535;
/// A tab has at most 4 GiB, and turning a picture upright holds it twice.
const MAX_DECODED_MIB: u64 = 512;

/// Decodes JPEG, PNG, WebP, GIF or BMP.
pub fn decode(bytes: &[u8]) -> Result<Pixels, ImageError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(malformed)?;
    if reader.format().is_none_or(|format| !format.reading_enabled()) {
        return Err(unreadable(bytes));
    }
    if is_unmarked_cmyk(bytes) {
        return Err(ImageError::UnsupportedFormat("CMYK (without Adobe's marker)"));
    }
    let mut decoder = reader.into_decoder().map_err(malformed)?;
    check_size(decoder.dimensions(), decoder.total_bytes())?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_MIB << 20);
    decoder.set_limits(limits).map_err(malformed)?;
    // A damaged EXIF block says nothing about the pixels: such a picture is shown as it is stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(malformed)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    if image.color().has_alpha() {
        Pixels::from_rgba(width, height, &image.into_rgba8())
    } else {
        Ok(Pixels { width, height, rgb: image.into_rgb8().into_raw() })
    }
}

fn malformed(error: impl std::fmt::Display) -> ImageError {
    ImageError::Malformed(error.to_string())
}

/// The refusal that helps most: phones make HEIC, and a user can export it.
fn unreadable(bytes: &[u8]) -> ImageError {
    match (bytes.get(4..8), bytes.get(8..11)) {
        (Some(b"ftyp"), Some(b"avi")) => ImageError::UnsupportedFormat("AVIF"),
        (Some(b"ftyp"), _) => ImageError::UnsupportedFormat("HEIC"),
        _ if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") => {
            ImageError::UnsupportedFormat("TIFF")
        }
        _ => ImageError::UnknownFormat { n_bytes: bytes.len() },
    }
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

fn check_size((width, height): (u32, u32), decoded_bytes: u64) -> Result<(), ImageError> {
    let (width, height) = (u64::from(width), u64::from(height));
    if width.max(height) > MAX_SIDE || width * height > MAX_MEGAPIXELS * 1_000_000 {
        return Err(ImageError::TooLarge {
            width,
            height,
            max_megapixels: MAX_MEGAPIXELS,
            max_side: MAX_SIDE,
        });
    }
    if decoded_bytes > MAX_DECODED_MIB << 20 {
        return Err(ImageError::TooMuchMemory { needed_mib: decoded_bytes >> 20, max_mib: MAX_DECODED_MIB });
    }
    if width == 0 || height == 0 {
        return Err(ImageError::Malformed(format!("{width} × {height} pixels")));
    }
    Ok(())
}
