//! L2 normalisation of rows: one workgroup a row.
//!
//! Invariant: a zero row stays zero.

use super::{Access, Context, Kernel, Launch, PlanError, folded, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "normalize",
    source: wgsl!("normalize"),
    params: &["n_rows", "n_cols"],
    bindings: &[("x", Access::Read), ("y", Access::Write)],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::Normalize { x, y, n_rows, n_cols } = op else { return Err(KERNEL.wrong(op)) };
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![("n_rows", n_rows as u32), ("n_cols", n_cols as u32)],
        operands: vec![
            context.slot(&KERNEL, "x", x, n_rows * n_cols)?,
            context.slot(&KERNEL, "y", y, n_rows * n_cols)?,
        ],
        workgroups: folded(n_rows, 1),
    })
}
