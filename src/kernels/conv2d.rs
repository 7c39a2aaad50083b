//! Standard convolution: a thread computes four pixels by four channels.
//!
//! Invariant: weights are packed as f32, whatever their format; convolutions that matter are pointwise, which
//! are `linear`.

use super::{
    Access, Context, Kernel, Launch, PlanError, activation_code, activation_variants, folded,
    pack::WordFormat,
};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "conv2d",
    source: wgsl!("shared/activation", "conv2d"),
    params: &[
        "n_images",
        "in_height",
        "in_width",
        "in_channels",
        "out_height",
        "out_width",
        "out_channels",
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
    let &Op::Conv2d { x, weight, bias, activation, y, shape } = op else { return Err(KERNEL.wrong(op)) };
    let n_pixels = shape.n_images * shape.out_height * shape.out_width;
    let n_in = shape.kernel * shape.kernel * shape.in_channels;
    let [y_groups, z_groups, _] = folded(n_pixels, 32);
    Ok(Launch {
        kernel: &KERNEL,
        overrides: vec![("ACTIVATION", activation_code(activation))],
        params: vec![
            ("n_images", shape.n_images as u32),
            ("in_height", shape.in_height as u32),
            ("in_width", shape.in_width as u32),
            ("in_channels", shape.in_channels as u32),
            ("out_height", shape.out_height as u32),
            ("out_width", shape.out_width as u32),
            ("out_channels", shape.out_channels as u32),
            ("kernel", shape.kernel as u32),
            ("stride", shape.stride as u32),
            ("pad_top", shape.pad_top as u32),
            ("pad_left", shape.pad_left as u32),
            ("has_bias", u32::from(bias.is_some())),
        ],
        operands: vec![
            context.slot(
                &KERNEL,
                "x",
                x,
                shape.n_images * shape.in_height * shape.in_width * shape.in_channels,
            )?,
            context.matrix(&KERNEL, weight, Some(WordFormat::F32), [shape.out_channels, n_in])?,
            context.optional(&KERNEL, "bias", bias, shape.out_channels)?,
            context.slot(&KERNEL, "y", y, n_pixels * shape.out_channels)?,
        ],
        workgroups: [shape.out_channels.div_ceil(32) as u32, y_groups, z_groups],
    })
}
