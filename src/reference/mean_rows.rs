//! Twin of shaders/mean_rows.wgsl.
//!
//! Invariant: the mean of no rows is zero.

use super::Memory;
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::MeanRows { x, ranges, n_cols, .. } = op else { unreachable!("not a mean of rows") };
    for (range, results) in ranges.iter().zip(y.chunks_exact_mut(*n_cols)) {
        for (col, result) in results.iter_mut().enumerate() {
            let sum: f64 = range.clone().map(|row| f64::from(memory.slot(*x)[row * n_cols + col])).sum();
            *result = (sum / range.len().max(1) as f64) as f32;
        }
    }
}
