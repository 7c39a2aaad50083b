//! Embeddings: unit vectors of the space that pictures and texts share.
//!
//! Invariant: each has length 1 (or 0 where there was no direction to keep), so that a dot product is the cosine.

use serde::{Deserialize, Serialize};

/// Where a picture lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageEmbedding(Vec<f32>);

/// Where one text lies: a label in one template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextEmbedding(Vec<f32>);

/// Where a label lies: the mean of its templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelEmbedding {
    pub label: String,
    values: Vec<f32>,
}

impl ImageEmbedding {
    pub fn new(values: Vec<f32>) -> ImageEmbedding {
        ImageEmbedding(unit(values))
    }

    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

impl TextEmbedding {
    pub fn new(values: Vec<f32>) -> TextEmbedding {
        TextEmbedding(unit(values))
    }

    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

impl LabelEmbedding {
    /// The mean of unit vectors, made a unit vector again: the template ensemble of CLIP's paper.
    pub fn new(label: impl Into<String>, templates: &[TextEmbedding]) -> LabelEmbedding {
        let width = templates.first().map_or(0, |first| first.0.len());
        let mut sum = vec![0.0; width];
        for TextEmbedding(values) in templates {
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        LabelEmbedding { label: label.into(), values: unit(sum) }
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The cosine to a picture, −1 to 1.
    pub fn similarity(&self, image: &ImageEmbedding) -> f32 {
        self.values.iter().zip(&image.0).map(|(a, b)| a * b).sum()
    }
}

/// `values` at length 1; what has no finite length above 0 becomes zeros.
fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let inverse = if length > 0.0 && length.is_finite() { length.recip() } else { 0.0 };
    let scaled = |v: f32| if inverse == 0.0 { 0.0 } else { (f64::from(v) * inverse) as f32 };
    values.iter_mut().for_each(|v| *v = scaled(*v));
    values
}
