//! Mean over square windows of pixels: one thread a value.
//!
//! Invariant: pixels right of or below the last whole window are not read.

use super::{Access, Context, Kernel, Launch, PlanError, folded, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "avg_pool",
    source: wgsl!("avg_pool"),
    params: &["n_images", "height", "width", "channels", "window"],
    bindings: &[("x", Access::Read), ("y", Access::Write)],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::AvgPool { x, y, n_images, height, width, channels, window } = op else {
        return Err(KERNEL.wrong(op));
    };
    if window == 0 {
        return Err(PlanError::Unsupported {
            kernel: KERNEL.name,
            what: "window",
            actual: 0,
            needed: "1 or more",
        });
    }
    let n_out = n_images * (height / window) * (width / window) * channels;
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![
            ("n_images", n_images as u32),
            ("height", height as u32),
            ("width", width as u32),
            ("channels", channels as u32),
            ("window", window as u32),
        ],
        operands: vec![
            context.slot(&KERNEL, "x", x, n_images * height * width * channels)?,
            context.slot(&KERNEL, "y", y, n_out)?,
        ],
        workgroups: folded(n_out, 64),
    })
}
