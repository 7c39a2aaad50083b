//! What is laid under a picture's transparency.
//!
//! Invariant: it is white, as Pillow's users lay it and most models saw it, but where nothing of the picture would remain.

use serde::{Deserialize, Serialize};

/// What is nearer to white than this in every channel, of 255, cannot be told from it: a web page's light greys end there.
const MIN_DIFFERENCE: u8 = 32;
/// A picture remains over white if one part in so many of what is opaque can be told from white.
const MIN_PART: u64 = 200;

/// A colour under a picture's transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    White,
    /// Under pictures that white would swallow.
    Black,
}

impl Background {
    /// `rgb` at opacity `alpha / 255` over this colour, rounded to nearest.
    pub fn under(self, rgb: [u8; 3], alpha: u8) -> [u8; 3] {
        let below = match self {
            Background::White => 255,
            Background::Black => 0,
        };
        let alpha = u32::from(alpha);
        rgb.map(|value| ((u32::from(value) * alpha + below * (255 - alpha) + 127) / 255) as u8)
    }
}

/// Looks at each pixel of a picture that was laid over white, and decides what it is to be laid over.
#[derive(Clone, Copy, Debug, Default)]
pub struct OverWhite {
    has_transparency: bool,
    /// Sums of alpha: of all pixels, and of those that can be told from white.
    opaque: u64,
    told_from_white: u64,
}

impl OverWhite {
    /// Adds a pixel: its colour over white, and its opacity.
    pub fn add(&mut self, rgb: [u8; 3], alpha: u8) {
        self.has_transparency |= alpha < 255;
        self.opaque += u64::from(alpha);
        if rgb.iter().any(|value| 255 - value >= MIN_DIFFERENCE) {
            self.told_from_white += u64::from(alpha);
        }
    }

    /// `None`: nothing is transparent, so that nothing is laid under.
    pub fn background(&self) -> Option<Background> {
        let is_swallowed = self.told_from_white * MIN_PART < self.opaque;
        self.has_transparency.then_some(if is_swallowed { Background::Black } else { Background::White })
    }
}
