//! Twin of shaders/copy_rows.wgsl.
//!
//! Invariant: rows of y that are not named keep what they hold.

use super::Memory;
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::CopyRows { x, n_rows, n_cols, to_row, to_stride, add, .. } = op else {
        unreachable!("not a copy of rows")
    };
    for (r, row) in memory.slot(*x).chunks_exact(*n_cols).take(*n_rows).enumerate() {
        let result = &mut y[(to_row + r * to_stride) * n_cols..][..*n_cols];
        result.copy_from_slice(row);
        if let Some((add, add_rows)) = add {
            let added = &memory.param(*add)[r % add_rows * n_cols..][..*n_cols];
            result.iter_mut().zip(added).for_each(|(result, added)| *result += added);
        }
    }
}
