//! Matrix product for any width: one thread a row and four columns.
//!
//! Invariant: slow and rare; real models have widths that four divides.

use super::{Access, Context, Kernel, Launch, MAX_WORKGROUPS, Operand, PlanError, linear};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "linear_ragged",
    source: wgsl!("shared/activation", "shared/weight", "linear_ragged"),
    params: &["n_rows", "n_in", "n_out", "has_bias", "residual_order"],
    bindings: &[
        ("x", Access::Read),
        ("residual", Access::Read),
        ("weight", Access::Read),
        ("scales", Access::Read),
        ("bias", Access::Read),
        ("y", Access::Write),
    ],
    variants: linear::variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::Linear {
        x,
        weight,
        bias,
        activation,
        residual,
        activation_after_residual,
        y,
        n_rows,
        n_in,
        n_out,
    } = op
    else {
        return Err(KERNEL.wrong(op));
    };
    let (words, scales, overrides) =
        linear::weight_operands(context.matrix(&KERNEL, weight, None, [n_out, n_in])?, activation);
    if n_rows > MAX_WORKGROUPS as usize {
        let (kernel, needed) = (KERNEL.name, "at most 65535 with widths that four does not divide");
        return Err(PlanError::Unsupported { kernel, what: "n_rows", actual: n_rows, needed });
    }
    Ok(Launch {
        kernel: &KERNEL,
        overrides,
        params: vec![
            ("n_rows", n_rows as u32),
            ("n_in", n_in as u32),
            ("n_out", n_out as u32),
            ("has_bias", u32::from(bias.is_some())),
            ("residual_order", linear::residual_order(residual.is_some(), activation_after_residual)),
        ],
        operands: vec![
            context.slot(&KERNEL, "x", x, n_rows * n_in)?,
            residual.map_or(Ok(Operand::Nothing), |slot| {
                context.slot(&KERNEL, "residual", slot, n_rows * n_out)
            })?,
            words,
            scales,
            context.optional(&KERNEL, "bias", bias, n_out)?,
            context.slot(&KERNEL, "y", y, n_rows * n_out)?,
        ],
        workgroups: [n_out.div_ceil(256) as u32, n_rows as u32, 1],
    })
}
