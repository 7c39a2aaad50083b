//! Depthwise convolution: a thread computes four neighbouring pixels of one channel.
//!
//! Invariant: the shader reads nothing outside the picture; padding is zeros.

use super::{Access, Context, Kernel, Launch, PlanError, activation_code, activation_variants, folded};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "depthwise",
    source: wgsl!("shared/activation", "depthwise"),
    params: &[
        "n_images",
        "in_height",
        "in_width",
        "out_height",
        "out_width",
        "channels",
        "kernel",
        "stride",
        "pad_top",
        "pad_left",
        "has_bias",
    ],
    bindings: &[("x", Access::Read), ("weight", Access::Read), ("bias", Access::Read), ("y", Access::Write)],
    variants: activation_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::Depthwise { x, weight, bias, activation, y, shape } = op else { return Err(KERNEL.wrong(op)) };
    let channels = shape.out_channels;
    let n_in = shape.n_images * shape.in_height * shape.in_width * channels;
    let n_out = shape.n_images * shape.out_height * shape.out_width * channels;
    Ok(Launch {
        kernel: &KERNEL,
        overrides: vec![("ACTIVATION", activation_code(activation))],
        params: vec![
            ("n_images", shape.n_images as u32),
            ("in_height", shape.in_height as u32),
            ("in_width", shape.in_width as u32),
            ("out_height", shape.out_height as u32),
            ("out_width", shape.out_width as u32),
            ("channels", channels as u32),
            ("kernel", shape.kernel as u32),
            ("stride", shape.stride as u32),
            ("pad_top", shape.pad_top as u32),
            ("pad_left", shape.pad_left as u32),
            ("has_bias", u32::from(bias.is_some())),
        ],
        operands: vec![
            context.slot(&KERNEL, "x", x, n_in)?,
            context.values(&KERNEL, "weight", weight, shape.kernel * shape.kernel * channels)?,
            context.optional(&KERNEL, "bias", bias, channels)?,
            context.slot(&KERNEL, "y", y, n_out)?,
        ],
        workgroups: folded(shape.n_images * shape.out_height * shape.out_width.div_ceil(4) * channels, 64),
    })
}
