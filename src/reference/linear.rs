//! Twin of shaders/linear.wgsl and shaders/linear_ragged.wgsl.
//!
//! Invariant: one f64 sum a value, bias, activation and residual included.

use super::{Memory, activate, dot};
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::Linear { x, weight, bias, activation, residual, activation_after_residual, n_in, n_out, .. } = op
    else {
        unreachable!("not a linear")
    };
    let (weight, bias) = (memory.param(*weight), memory.optional(*bias));
    let residual = residual.map(|slot| memory.slot(slot));
    let rows = memory.slot(*x).chunks_exact(*n_in);
    for (row_idx, (row, results)) in rows.zip(y.chunks_exact_mut(*n_out)).enumerate() {
        for (o, result) in results.iter_mut().enumerate() {
            let sum = dot(row, &weight[o * n_in..][..*n_in]) + bias.map_or(0.0, |bias| f64::from(bias[o]));
            let added = residual.map_or(0.0, |residual| f64::from(residual[row_idx * n_out + o]));
            *result = match activation_after_residual {
                true => activate(*activation, sum + added),
                false => activate(*activation, sum) + added,
            } as f32;
        }
    }
}
