//! Transform canonical tensors are made: each [`TensorRule`] makes one from a few, by a [`Transform`].
//!
//! Invariant: what is only moved or stacked keeps its format; what is computed becomes f32.

use std::borrow::Cow;

use crate::models::ModelError;
use crate::tensor::{Format, Tensor};

/// One canonical tensor and what it is made from.
#[derive(Clone, Debug)]
pub struct TensorRule {
    pub to: String,
    pub from: Vec<String>,
    pub transform: Transform,
    /// Left out where its sources are: biases, projections.
    pub is_optional: bool,
}

/// Transform a canonical tensor is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transform {
    Copy,
    /// Rows of all sources, one below the other.
    Stack,
    /// `[n_in, n_out]` to `[n_out, n_in]`: a matrix that its model multiplies from the right.
    Transpose,
    /// `[c_out, c_in, k, k]` to `[c_out, k² · c_in]`.
    ChannelsLast,
    /// Query, key and value weights, one below the other: the query's become zeros.
    ProbeWeight,
    /// Their biases, their weights and the one vector that is ever asked with: the query's become its projection, so
    /// that with [`Transform::ProbeWeight`] every row asks just that.
    ProbeBias,
    /// The second source's first row is added to every row of the first: positions and BERT's only sentence.
    AddFirstRow,
    /// Convolution, batch norm's weight and variance: a channels-last convolution that does both.
    FoldedConv {
        epsilon: f32,
    },
    /// The same for `[channels, 1, k, k]`, to `[k, k, channels]`.
    FoldedDepthwise {
        epsilon: f32,
    },
    /// Batch norm's weight, bias, mean, variance: the folded convolution's bias.
    FoldedBias {
        epsilon: f32,
    },
}

impl TensorRule {
    /// Makes the tensor from those that [`TensorRule::from`] names, in its order.
    pub fn cook(&self, mut sources: Vec<Cow<Tensor>>) -> Result<Tensor, ModelError> {
        if self.transform == Transform::Copy && sources.len() == 1 {
            return Ok(sources.remove(0).into_owned()); // moved where it may be: it can be the largest of all
        }
        let sources: Vec<&Tensor> = sources.iter().map(|source| &**source).collect();
        let wrong = || {
            let given = sources.iter().map(|source| source.n_values()).collect();
            ModelError::Shape { name: self.from.join(" + "), given, expected: vec![] }
        };
        let [first, rest @ ..] = &sources[..] else { return Err(wrong()) };
        let values = |source: &Tensor| source.to_f32();
        let f32s = |shape: &[usize], values: &[f32]| Tensor::from_f32(shape, values, Format::F32);
        Ok(match (self.transform, rest) {
            (Transform::Stack, rest) => {
                let same = |other: &&Tensor| other.format == first.format && other.shape == first.shape;
                if first.shape.is_empty() || !rest.iter().all(same) {
                    return Err(wrong());
                }
                let mut shape = first.shape.clone();
                shape[0] *= sources.len();
                let bytes: Vec<&[u8]> = sources.iter().map(|source| &source.bytes[..]).collect();
                Tensor::new(&shape, first.format, bytes.concat())?
            }
            (Transform::Transpose, []) => {
                let [n_in, n_out] = first.shape[..] else { return Err(wrong()) };
                // One plane of `n_in` channels.
                f32s(&[n_out, n_in], &channels_last(&values(first), n_in, n_out))?
            }
            (Transform::ChannelsLast, []) => {
                let [c_out, c_in, height, width] = first.shape[..] else { return Err(wrong()) };
                f32s(&[c_out, height * width * c_in], &channels_last(&values(first), c_in, height * width))?
            }
            (Transform::ProbeWeight, []) => {
                // Zero bytes are zeros in every format.
                let mut tensor = Tensor::clone(first);
                let n_query = tensor.bytes.len() / 3;
                tensor.bytes[..n_query].fill(0);
                tensor
            }
            (Transform::ProbeBias, [weight, probe]) if weight.n_cols() == probe.n_values() => {
                let probe = values(probe);
                let mut biases = values(first);
                for (o, bias) in biases.iter_mut().take(probe.len()).enumerate().take(weight.rows()) {
                    let row = weight.row_f32(o);
                    let sum: f64 = row.iter().zip(&probe).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                    *bias = (f64::from(*bias) + sum) as f32;
                }
                f32s(&first.shape, &biases)?
            }
            (Transform::AddFirstRow, [other]) if first.n_cols() == other.n_cols() && other.rows() > 0 => {
                let row = other.row_f32(0);
                let mut sum = values(first);
                sum.iter_mut().zip(row.iter().cycle()).for_each(|(sum, value)| *sum += value);
                f32s(&first.shape, &sum)?
            }
            (
                Transform::FoldedConv { epsilon } | Transform::FoldedDepthwise { epsilon },
                [scale, variance],
            ) => {
                let [c_out, c_in, height, width] = first.shape[..] else { return Err(wrong()) };
                if first.n_values() == 0 || scale.n_values() != c_out || variance.n_values() != c_out {
                    return Err(wrong());
                }
                let scales = norm_scales(&values(scale), &values(variance), epsilon);
                let mut folded = values(first);
                for (kernel, scale) in folded.chunks_exact_mut(c_in * height * width).zip(&scales) {
                    kernel.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
                }
                match self.transform {
                    // `[channels, taps]` transposed: one picture whose "channels" are the kernel's.
                    Transform::FoldedDepthwise { .. } if c_in == 1 => {
                        f32s(&[height, width, c_out], &channels_last(&folded, c_out, height * width))?
                    }
                    Transform::FoldedConv { .. } => {
                        f32s(&[c_out, height * width * c_in], &channels_last(&folded, c_in, height * width))?
                    }
                    _ => return Err(wrong()),
                }
            }
            (Transform::FoldedBias { epsilon }, [bias, mean, variance]) => {
                let scales = norm_scales(&values(first), &values(variance), epsilon);
                let folded: Vec<f32> = (values(bias).iter().zip(&values(mean)).zip(&scales))
                    .map(|((bias, mean), scale)| (f64::from(*bias) - f64::from(*mean) * scale) as f32)
                    .collect();
                f32s(&first.shape, &folded)?
            }
            _ => return Err(wrong()),
        })
    }
}

/// Batch norm's factor a channel, `weight / √(variance + epsilon)`.
fn norm_scales(weight: &[f32], variance: &[f32], epsilon: f32) -> Vec<f64> {
    let scale = |(weight, variance): (&f32, &f32)| {
        f64::from(*weight) / (f64::from(*variance) + f64::from(epsilon)).sqrt()
    };
    weight.iter().zip(variance).map(scale).collect()
}

/// `[·, channels, n_pixels]` to `[·, n_pixels, channels]`.
fn channels_last(values: &[f32], channels: usize, n_pixels: usize) -> Vec<f32> {
    let mut moved = Vec::with_capacity(values.len());
    for plane in values.chunks_exact((channels * n_pixels).max(1)) {
        for pixel in 0..n_pixels {
            moved.extend((0..channels).map(|channel| plane[channel * n_pixels + pixel]));
        }
    }
    moved
}

/// A list of rules, written as it reads: to, from.
#[derive(Default)]
pub(super) struct Rules(pub Vec<TensorRule>);

impl Rules {
    pub(super) fn push(&mut self, to: &str, from: &[String], transform: Transform, is_optional: bool) {
        self.0.push(TensorRule { to: to.to_owned(), from: from.to_vec(), transform, is_optional });
    }

    pub(super) fn copy(&mut self, to: &str, from: &str) {
        self.push(to, &[from.to_owned()], Transform::Copy, false);
    }

    /// Weight and, where there is one, bias.
    pub(super) fn layer(&mut self, to: &str, from: &str) {
        self.stack(to, &[from]);
    }

    /// Weights and biases of several layers as one.
    pub(super) fn stack(&mut self, to: &str, from: &[impl AsRef<str>]) {
        let transform = if from.len() == 1 { Transform::Copy } else { Transform::Stack };
        for (suffix, is_optional) in [("weight", false), ("bias", true)] {
            let from: Vec<String> = from.iter().map(|from| format!("{}.{suffix}", from.as_ref())).collect();
            self.push(&format!("{to}.{suffix}"), &from, transform, is_optional);
        }
    }

    /// A convolution followed by a batch norm.
    pub(super) fn folded(&mut self, to: &str, conv: &str, norm: &str, transform: Transform, epsilon: f32) {
        let part = |part: &str| format!("{norm}.{part}");
        let weights = [format!("{conv}.weight"), part("weight"), part("running_var")];
        self.push(&format!("{to}.weight"), &weights, transform, false);
        let biases = ["weight", "bias", "running_mean", "running_var"].map(part);
        self.push(&format!("{to}.bias"), &biases, Transform::FoldedBias { epsilon }, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_behind_pixels() {
        // one plane of 2 channels and 3 pixels
        assert_eq!(channels_last(&[1., 2., 3., 4., 5., 6.], 2, 3), [1., 4., 2., 5., 3., 6.]);
    }
}
