//! Rows copied to another place, with an optional table added: one thread a value.
//!
//! Invariant: rows of y that are not named keep what they hold.

use super::{Access, Context, Kernel, Launch, Operand, PlanError, folded, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "copy_rows",
    source: wgsl!("copy_rows"),
    params: &["n_rows", "n_cols", "to_row", "to_stride", "add_rows"],
    bindings: &[("x", Access::Read), ("add", Access::Read), ("y", Access::Write)],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::CopyRows { x, y, n_rows, n_cols, to_row, to_stride, add } = op else {
        return Err(KERNEL.wrong(op));
    };
    let (add, add_rows) = match add {
        Some((param, rows)) => (context.values(&KERNEL, "add", param, rows * n_cols)?, rows),
        None => (Operand::Nothing, 0),
    };
    let n_rows_of_y = if n_rows == 0 { 0 } else { to_row + (n_rows - 1) * to_stride + 1 };
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![
            ("n_rows", n_rows as u32),
            ("n_cols", n_cols as u32),
            ("to_row", to_row as u32),
            ("to_stride", to_stride as u32),
            ("add_rows", add_rows as u32),
        ],
        operands: vec![
            context.slot(&KERNEL, "x", x, n_rows * n_cols)?,
            add,
            context.slot(&KERNEL, "y", y, n_rows_of_y * n_cols)?,
        ],
        workgroups: folded(n_rows * n_cols, 64),
    })
}
