//! Pictures: a file to upright RGB pixels (natively [`decode()`], in a page `worker::engine::pictures::decode`), pixels to what a model
//! sees ([`Preprocess`]).
//!
//! Invariant: natively and in the browser a model sees the same crop: only the decoders differ, and both are held to
//! the same expected crops.
//! Invariant: a picture's size is judged on its header, before anything of that size is allocated; where only the browser
//! knows the format, on what it decoded.

#[cfg(feature = "decode")]
mod decode;
pub mod limits;
mod preprocess;
mod resize;

#[cfg(feature = "decode")]
pub use decode::decode;
pub use preprocess::{Fit, PixelTensor, Preprocess};
pub use resize::Filter;

use thiserror::Error;

/// Why bytes did not become pixels.
#[derive(Debug, Error)]
pub enum ImageError {
    #[error("this is no picture that can be read ({n_bytes} bytes): use JPEG, PNG, WebP, GIF or BMP")]
    UnknownFormat { n_bytes: usize },
    #[error("{0} pictures cannot be read: save it as JPEG, PNG or WebP")]
    UnsupportedFormat(&'static str),
    #[error(
        "the picture is {width} × {height} pixels; the most read are {max_megapixels} megapixels and {max_side} a side: make it smaller"
    )]
    TooLarge { width: u64, height: u64, max_megapixels: u64, max_side: u64 },
    #[error(
        "the picture would take {needed_mib} MiB in memory, the limit is {max_mib}: save it with 8 bits a channel or make it smaller"
    )]
    TooMuchMemory { needed_mib: u64, max_mib: u64 },
    #[error("the picture is damaged or of a rare kind: {0}")]
    Malformed(String),
    #[error(
        "this browser gives changed pixels back to hinder fingerprinting (off by up to {largest} of 255): allow it for this page"
    )]
    Scrambled { largest: u8 },
    #[error("{width} × {height} pixels need {expected} bytes, found {found}")]
    ByteCount { width: usize, height: usize, expected: usize, found: usize },
}

/// An upright picture: rows from the top, 3 bytes a pixel, no alpha. At least one pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Pixels {
    /// Pixels with alpha (a canvas, a video frame), laid over white.
    pub fn from_rgba(width: usize, height: usize, rgba: &[u8]) -> Result<Pixels, ImageError> {
        let expected = width.saturating_mul(height).saturating_mul(4);
        if rgba.len() != expected || expected == 0 {
            return Err(ImageError::ByteCount { width, height, expected, found: rgba.len() });
        }
        let mut rgb = Vec::with_capacity(expected / 4 * 3);
        for [r, g, b, alpha] in rgba.as_chunks().0 {
            rgb.extend([r, g, b].map(|&value| over_white(value, *alpha)));
        }
        Ok(Pixels { width, height, rgb })
    }
}

/// `value` at opacity `alpha / 255` over white, rounded to nearest.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
