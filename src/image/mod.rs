//! Pictures: a file to upright RGB pixels (natively [`decode()`], in a page `worker::engine::pictures::decode`), pixels to what a model
//! sees ([`Preprocess`]).
//!
//! Invariant: natively and in the browser a model sees the same crop: only the decoders differ, both are given the same
//! bytes ([`Plain`]), and both are held to the same expected crops.
//! Invariant: transparency is laid over one colour by one rule ([`OverWhite`]), natively and in the browser.
//! Invariant: a picture's size is judged on its header, before anything of that size is allocated; where only the browser
//! knows the format, on what it decoded.

mod background;
#[cfg(feature = "decode")]
mod decode;
mod kind;
pub mod limits;
mod plain;
mod preprocess;
mod resize;

pub use background::{Background, OverWhite};
#[cfg(feature = "decode")]
pub use decode::decode;
pub use kind::FileKind;
pub use plain::Plain;
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
    #[error("the file ends before the picture does ({n_bytes} bytes): copy or download it again")]
    CutShort { n_bytes: usize },
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
    /// What was laid under its transparency; `None`: it had none.
    pub background: Option<Background>,
}

impl Pixels {
    /// A picture without transparency.
    pub fn opaque(width: usize, height: usize, rgb: Vec<u8>) -> Pixels {
        Pixels { width, height, rgb, background: None }
    }

    /// Pixels with alpha (a canvas, a video frame), laid over white; over black where nothing would remain over white.
    pub fn from_rgba(width: usize, height: usize, rgba: &[u8]) -> Result<Pixels, ImageError> {
        let expected = width.saturating_mul(height).saturating_mul(4);
        if rgba.len() != expected || expected == 0 {
            return Err(ImageError::ByteCount { width, height, expected, found: rgba.len() });
        }
        let over = |background: Background| -> Vec<u8> {
            let pixels = rgba.as_chunks().0;
            pixels.iter().flat_map(|[r, g, b, alpha]| background.under([*r, *g, *b], *alpha)).collect()
        };
        let mut rgb = over(Background::White);
        let mut seen = OverWhite::default();
        for (rgb, [_, _, _, alpha]) in rgb.as_chunks().0.iter().zip(rgba.as_chunks().0) {
            seen.add(*rgb, *alpha);
        }
        let background = seen.background();
        if background == Some(Background::Black) {
            rgb = over(Background::Black);
        }
        Ok(Pixels { width, height, rgb, background })
    }
}
