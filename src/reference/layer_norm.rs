//! Twin of shaders/layer_norm.wgsl.
//!
//! Invariant: the variance is about the mean and divides by n.

use super::{Memory, wide};
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::LayerNorm { x, weight, bias, eps, n_cols, .. } = op else { unreachable!("not a layer norm") };
    let (weight, bias) = (memory.param(*weight), memory.param(*bias));
    for (row, results) in memory.slot(*x).chunks_exact(*n_cols).zip(y.chunks_exact_mut(*n_cols)) {
        let mean = wide(row).sum::<f64>() / *n_cols as f64;
        let variance = wide(row).map(|x| (x - mean).powi(2)).sum::<f64>() / *n_cols as f64;
        let scale = 1.0 / (variance + f64::from(*eps)).sqrt();
        for (((x, weight), bias), result) in wide(row).zip(wide(weight)).zip(wide(bias)).zip(results) {
            *result = ((x - mean) * scale * weight + bias) as f32;
        }
    }
}
