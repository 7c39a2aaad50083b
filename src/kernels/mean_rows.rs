//! Means of ranges of rows: one thread a value.
//!
//! Invariant: the mean of no rows is zero.

use super::{Access, Context, Kernel, Launch, MAX_WORKGROUPS, Operand, PlanError, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "mean_rows",
    source: wgsl!("mean_rows"),
    params: &["n_cols"],
    bindings: &[("ranges", Access::Read), ("x", Access::Read), ("y", Access::Write)],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let Op::MeanRows { x, y, ranges, n_cols } = op else { return Err(KERNEL.wrong(op)) };
    if ranges.len() > MAX_WORKGROUPS as usize {
        let (what, actual) = ("number of ranges", ranges.len());
        return Err(PlanError::Unsupported { kernel: KERNEL.name, what, actual, needed: "at most 65535" });
    }
    let n_rows = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![("n_cols", *n_cols as u32)],
        operands: vec![
            Operand::Table(ranges.iter().flat_map(|range| [range.start as u32, range.end as u32]).collect()),
            context.slot(&KERNEL, "x", *x, n_rows * n_cols)?,
            context.slot(&KERNEL, "y", *y, ranges.len() * n_cols)?,
        ],
        workgroups: [n_cols.div_ceil(64) as u32, ranges.len() as u32, 1],
    })
}
