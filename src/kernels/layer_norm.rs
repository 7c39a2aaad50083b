//! Layer norm: one workgroup a row.
//!
//! Invariant: mean and variance are f32, the variance about the mean.

use super::{Access, Context, Kernel, Launch, PlanError, folded, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "layer_norm",
    source: wgsl!("layer_norm"),
    params: &["n_rows", "n_cols", "eps"],
    bindings: &[("x", Access::Read), ("weight", Access::Read), ("bias", Access::Read), ("y", Access::Write)],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::LayerNorm { x, weight, bias, eps, y, n_rows, n_cols } = op else { return Err(KERNEL.wrong(op)) };
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![("n_rows", n_rows as u32), ("n_cols", n_cols as u32), ("eps", eps.to_bits())],
        operands: vec![
            context.slot(&KERNEL, "x", x, n_rows * n_cols)?,
            context.values(&KERNEL, "weight", weight, n_cols)?,
            context.values(&KERNEL, "bias", bias, n_cols)?,
            context.slot(&KERNEL, "y", y, n_rows * n_cols)?,
        ],
        workgroups: folded(n_rows, 1),
    })
}
