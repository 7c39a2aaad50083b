//! Twin of shaders/normalize.wgsl.
//!
//! Invariant: a zero row stays zero.

use super::{Memory, dot};
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::Normalize { x, n_cols, .. } = op else { unreachable!("not a normalisation") };
    for (row, results) in memory.slot(*x).chunks_exact(*n_cols).zip(y.chunks_exact_mut(*n_cols)) {
        let norm = dot(row, row).sqrt();
        for (x, result) in row.iter().zip(results) {
            *result = if norm > 0.0 { (f64::from(*x) / norm) as f32 } else { 0.0 };
        }
    }
}
