//! Matrix product with fused bias, activation and residual: the tiled kernel.
//!
//! Invariant: n_in and n_out are multiples of four; [`plan`](super::plan) sends the rest to `linear_ragged`.

use super::{
    Access, Context, Kernel, Launch, MAX_WORKGROUPS, Operand, Overrides, PlanError, activation_code,
    pack::WordFormat,
};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "linear",
    source: wgsl!("shared/activation", "shared/weight", "linear"),
    params: &["n_rows", "n_in4", "n_quads", "has_bias", "residual_order"],
    bindings: &[
        ("x", Access::Read),
        ("residual", Access::Read),
        ("weight", Access::Read),
        ("scales", Access::Read),
        ("bias", Access::Read),
        ("y", Access::Write),
    ],
    variants,
};

pub(super) fn variants() -> Vec<Overrides> {
    let formats = [WordFormat::F32, WordFormat::F16, WordFormat::Q8, WordFormat::Q4];
    let one = |format: WordFormat, activation| {
        vec![("ACTIVATION", f64::from(activation)), ("WEIGHT_FORMAT", format.code())]
    };
    formats.iter().flat_map(|&format| (0..6).map(move |activation| one(format, activation))).collect()
}

/// The weight's words and scales, and the override that tells the shader their format.
pub(super) fn weight_operands(
    words: Operand,
    activation: crate::graph::Activation,
) -> (Operand, Operand, Overrides) {
    let (format, scales) = match words {
        Operand::Words { format: format @ (WordFormat::Q8 | WordFormat::Q4), param, .. } => {
            (format, Operand::Scales(param))
        }
        Operand::Words { format, .. } => (format, Operand::Nothing),
        _ => (WordFormat::F32, Operand::Nothing),
    };
    let overrides = vec![("ACTIVATION", activation_code(activation)), ("WEIGHT_FORMAT", format.code())];
    (words, scales, overrides)
}

/// What the shaders do with the residual: nothing, add it behind the activation, add it before.
pub(super) fn residual_order(has_residual: bool, activation_after_residual: bool) -> u32 {
    match (has_residual, activation_after_residual) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    }
}

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
        weight_operands(context.matrix(&KERNEL, weight, None, [n_out, n_in])?, activation);
    let row_groups = n_rows.div_ceil(32);
    if row_groups > MAX_WORKGROUPS as usize {
        let (kernel, needed) = (KERNEL.name, "at most 65535 groups of 32");
        return Err(PlanError::Unsupported { kernel, what: "n_rows / 32", actual: row_groups, needed });
    }
    Ok(Launch {
        kernel: &KERNEL,
        overrides,
        params: vec![
            ("n_rows", n_rows as u32),
            ("n_in4", (n_in / 4) as u32),
            ("n_quads", (n_out / 4) as u32),
            ("has_bias", u32::from(bias.is_some())),
            ("residual_order", residual_order(residual.is_some(), activation_after_residual)),
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
        workgroups: [n_out.div_ceil(64) as u32, row_groups as u32, 1],
    })
}
