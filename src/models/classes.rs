//! Evidence of classes, beside what the heads give: which of a classifier's classes a picture shows, and which of them a
//! label is about.
//!
//! A label is spread over the classes by the likeness of their descriptions, `a = softmax(sharpness · cosine)`, less what
//! labels have on average, at length 1. A picture has the evidence `e = gelu(z) + ¼ z` of its class units' inputs `z`. What
//! is added to the similarity is `weight · ⟨e, a⟩`: embeddings are longer by a number a class.
//!
//! A classifier of photos knows nothing of drawings: the evidence counts as far as the picture is like a photo.
//!
//! Invariant: both parts of a text's embedding have length 1, and the first part of a picture's.

use super::ModelError;
use super::config::ClassesConfig;
use super::layers::{Linear, Loader};

impl ClassesConfig {
    /// Whether an image head of so many units has one a class and the one behind them, and the numbers give numbers.
    pub(super) fn check(&self, n_units: usize) -> Result<(), ModelError> {
        let &Self { n_classes, sharpness, weight, photo_likeness: [low, high] } = self;
        if n_classes >= n_units {
            let problem = format!("{n_classes} classes need more units than the {n_units} of the image head");
            return Err(ModelError::Config(problem));
        }
        if !(sharpness.is_finite() && weight.is_finite() && low.is_finite() && high.is_finite() && low < high)
        {
            let problem = format!(
                "its classes have sharpness {sharpness}, weight {weight} and a likeness {low} to {high}"
            );
            return Err(ModelError::Config(problem));
        }
        Ok(())
    }
}

/// The text side: descriptions of the classes as unit vectors.
#[derive(Clone, Debug)]
pub struct ClassWords {
    pub words: Linear,
    /// How labels spread on average.
    mean: Vec<f32>,
}

impl ClassWords {
    /// Loads `text_head.classes` `[n_classes, width]` and `text_head.spread` `[n_classes]`.
    pub fn load(loader: &mut Loader, n_classes: usize, width: usize) -> Result<Self, ModelError> {
        let words = loader.linear("text_head.classes", n_classes, width)?;
        Ok(Self { words, mean: loader.tensor("text_head.spread", &[n_classes])?.to_f32() })
    }

    /// Turns cosines into where the label is among the classes.
    pub fn spread(&self, cosines: &[f32], config: &ClassesConfig) -> Vec<f32> {
        let best = cosines.iter().copied().fold(f32::MIN, f32::max);
        let mut spread: Vec<f32> =
            cosines.iter().map(|cosine| (config.sharpness * (cosine - best)).exp()).collect();
        let sum: f32 = spread.iter().sum();
        spread.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value = *value / sum - mean);
        let length = spread.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            spread.iter_mut().for_each(|value| *value /= length);
        }
        spread
    }
}

/// Turns the inputs of the class units, and after them how like a photo the picture is, into the evidence.
pub fn evidence(units: &[f32], config: &ClassesConfig) -> Vec<f32> {
    let (units, rest) = units.split_at(config.n_classes.min(units.len()));
    let [low, high] = config.photo_likeness;
    let likeness = rest.first().map_or(1.0, |likeness| ((likeness - low) / (high - low)).clamp(0.0, 1.0));
    units.iter().map(|&z| config.weight * likeness * (gelu(z) + 0.25 * z)).collect()
}

/// This takes the error function of Abramowitz and Stegun, as the CPU backend computes it.
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152_1 + t * 1.061_405_4))));
    0.5 * x * (1.0 + (1.0 - p * (-z * z).exp()).copysign(x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Param;

    const CONFIG: ClassesConfig =
        ClassesConfig { n_classes: 2, sharpness: 20.0, weight: 0.5, photo_likeness: [0.5, 1.0] };

    #[test]
    fn a_label_is_about_the_class_that_it_is_like() {
        let words = Linear { weight: Param(0), bias: None, n_in: 1, n_out: 2 };
        let spread = ClassWords { words, mean: vec![0.5, 0.5] }.spread(&[0.9, 0.3], &CONFIG);
        assert!(spread[0] > 0.7 && spread[1] < -0.7, "{spread:?}");
        assert!((spread.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_drawing_gives_no_evidence_and_a_photo_all_of_it() {
        assert_eq!(evidence(&[4.0, -4.0, 0.5], &CONFIG), [0.0, 0.0]);
        let photo = evidence(&[4.0, -4.0, 1.2], &CONFIG);
        assert!((photo[0] - 2.5).abs() < 0.01 && (photo[1] + 0.5).abs() < 0.01, "{photo:?}");
        let between = evidence(&[4.0, -4.0, 0.75], &CONFIG);
        assert!((between[0] - 1.25).abs() < 0.01, "{between:?}");
    }
}
