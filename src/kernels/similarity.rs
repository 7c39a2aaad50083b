//! Scaled inner products of two sets of rows: one thread a pair.
//!
//! Invariant: both sides are activations; weights go through `linear`.

use super::{Access, Context, Kernel, Launch, PlanError, folded, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "similarity",
    source: wgsl!("similarity"),
    params: &["n_a", "n_b", "n_cols", "scale"],
    bindings: &[("a", Access::Read), ("b", Access::Read), ("y", Access::Write)],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::Similarity { a, b, scale, y, n_a, n_b, n_cols } = op else { return Err(KERNEL.wrong(op)) };
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![
            ("n_a", n_a as u32),
            ("n_b", n_b as u32),
            ("n_cols", n_cols as u32),
            ("scale", scale.to_bits()),
        ],
        operands: vec![
            context.slot(&KERNEL, "a", a, n_a * n_cols)?,
            context.slot(&KERNEL, "b", b, n_b * n_cols)?,
            context.slot(&KERNEL, "y", y, n_a * n_b)?,
        ],
        workgroups: folded(n_a * n_b, 64),
    })
}
