//! What is refused on a file's first bytes, natively and in the browser.
//!
//! Invariant: nothing of a picture's size is allocated here before its size was judged. A browser may decode formats whose
//! header is not known to us; their size is judged after it did.

use super::ImageError;

/// What a phone or camera of today makes at most; 300 MB as RGB.
const MAX_MEGAPIXELS: u64 = 100;
/// JPEG's own limit; it also bounds the filter taps of a thin picture.
const MAX_SIDE: u64 = 65_535;

pub fn check_size(width: u64, height: u64) -> Result<(), ImageError> {
    if width.max(height) > MAX_SIDE || width * height > MAX_MEGAPIXELS * 1_000_000 {
        return Err(ImageError::TooLarge {
            width,
            height,
            max_megapixels: MAX_MEGAPIXELS,
            max_side: MAX_SIDE,
        });
    }
    if width == 0 || height == 0 {
        return Err(ImageError::Malformed(format!("{width} × {height} pixels")));
    }
    Ok(())
}

/// The refusal that helps most: phones make HEIC, and a user can export it. Videos open with `ftyp` too.
pub fn unreadable(bytes: &[u8]) -> ImageError {
    match bytes.get(4..12) {
        Some(b"ftypavif" | b"ftypavis") => ImageError::UnsupportedFormat("AVIF"),
        Some(b"ftypheic" | b"ftypheix" | b"ftyphevc" | b"ftypmif1" | b"ftypmsf1") => {
            ImageError::UnsupportedFormat("HEIC")
        }
        _ if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") => {
            ImageError::UnsupportedFormat("TIFF")
        }
        _ => ImageError::UnknownFormat { n_bytes: bytes.len() },
    }
}
