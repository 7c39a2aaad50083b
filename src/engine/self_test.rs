//! The start-up check: a picture and a label whose embeddings the model's file holds.
//!
//! Invariant: the picture is drawn by a formula at the size that the model sees, so that every device gets the same
//! numbers and only the towers are on trial.

use crate::facts::SelfTest;
use crate::image::Pixels;

/// Smallest cosine that passes. f32 kernels agree with the stored vectors to 1 − 1e-6, kernels that multiply in f16 to about
/// 1 − 1e-4; 0.999 turns a vector by 2.6°, less than what separates labels. A broken kernel gives far less: 0 or NaN.
pub const MIN_COSINE: f64 = 0.999;

/// Judges the cosines between what this device computed and what the file holds.
pub(super) fn judged(cosine_image: f64, cosine_text: f64, millis: f64) -> SelfTest {
    let passed = cosine_image >= MIN_COSINE && cosine_text >= MIN_COSINE;
    SelfTest { cosine_image, cosine_text, millis, passed }
}

/// The picture: a red disc with soft shading over a meadow under a sky, `size × size`. Whole-number arithmetic only.
pub fn picture(size: usize) -> Pixels {
    let scale = size.max(1) as i64;
    let colour = |x: i64, y: i64| -> [u8; 3] {
        // in thousandths of the side
        let (x, y) = (x * 1000 / scale, y * 1000 / scale);
        let (dx, dy) = (x - 500, y - 450);
        let square = dx * dx + dy * dy;
        let ripple = (x * y / 700 + x) % 64;
        let [r, g, b] = if square < 270 * 270 {
            let shade = (square / 600) + (dx + dy) / 10;
            [230 - shade, 60 - shade / 4, 50 - shade / 4]
        } else if y < 600 {
            [120 + y / 10, 170 + y / 12, 235 - ripple / 8]
        } else {
            [60 + ripple, 140 + ripple / 2 - (y - 600) / 8, 50 + ripple / 4]
        };
        [r, g, b].map(|value| value.clamp(0, 255) as u8)
    };
    let rgb = (0..scale * scale).flat_map(|i| colour(i % scale, i / scale)).collect();
    Pixels::opaque(size.max(1), size.max(1), rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_vectors_pass() {
        assert!(judged(0.9999, 0.9995, 1.0).passed);
        assert!(!judged(0.9999, 0.99, 1.0).passed);
        assert!(!judged(f64::NAN, 1.0, 1.0).passed);
    }

    #[test]
    fn the_picture_is_a_red_disc_on_green_and_blue() {
        let Pixels { width, height, rgb, .. } = picture(224);
        assert_eq!((width, height, rgb.len()), (224, 224, 224 * 224 * 3));
        let pixel = |x: usize, y: usize| &rgb[(y * 224 + x) * 3..][..3];
        assert!(pixel(112, 100)[0] > 150 && pixel(112, 100)[1] < 80, "{:?}", pixel(112, 100));
        assert!(pixel(5, 5)[2] > 200 && pixel(5, 220)[1] > pixel(5, 220)[2], "sky and meadow");
    }
}
