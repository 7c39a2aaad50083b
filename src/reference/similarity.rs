//! Twin of shaders/similarity.wgsl.
//!
//! Invariant: one f64 sum a pair.

use super::{Memory, dot};
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::Similarity { a, b, scale, n_b, n_cols, .. } = op else { unreachable!("not a similarity") };
    let rows = |slot| memory.slot(slot).chunks_exact(*n_cols);
    for (a, results) in rows(*a).zip(y.chunks_exact_mut(*n_b)) {
        for (b, result) in rows(*b).zip(results) {
            *result = (f64::from(*scale) * dot(a, b)) as f32;
        }
    }
}
