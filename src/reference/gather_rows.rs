//! Twin of shaders/gather_rows.wgsl.
//!
//! Invariant: values are copied bit for bit.

use super::Memory;
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::GatherRows { x, rows, n_cols, .. } = op else { unreachable!("not a gathering of rows") };
    for (row, result) in rows.iter().zip(y.chunks_exact_mut(*n_cols)) {
        result.copy_from_slice(&memory.slot(*x)[row * n_cols..][..*n_cols]);
    }
}
