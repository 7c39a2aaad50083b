//! Rows picked by a list: one thread a value.
//!
//! Invariant: every index is checked against x when planned; the shader trusts the list.

use super::{Access, Context, Kernel, Launch, Operand, PlanError, folded, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "gather_rows",
    source: wgsl!("gather_rows"),
    params: &["n_rows", "n_cols"],
    bindings: &[("rows", Access::Read), ("x", Access::Read), ("y", Access::Write)],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let Op::GatherRows { x, y, rows, n_cols } = op else { return Err(KERNEL.wrong(op)) };
    let n_rows_of_x = rows.iter().max().map_or(0, |row| row + 1);
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![("n_rows", rows.len() as u32), ("n_cols", *n_cols as u32)],
        operands: vec![
            Operand::Table(rows.iter().map(|&row| row as u32).collect()),
            context.slot(&KERNEL, "x", *x, n_rows_of_x * n_cols)?,
            context.slot(&KERNEL, "y", *y, rows.len() * n_cols)?,
        ],
        workgroups: folded(rows.len() * n_cols, 64),
    })
}
