//! ViT's patch embedding: a thread computes four patches by four columns.
//!
//! Invariant: weights are packed as f32, whatever their format.

use super::{Access, Context, Kernel, Launch, MAX_WORKGROUPS, PlanError, no_variants, pack::WordFormat};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "patch_embed",
    source: wgsl!("patch_embed"),
    params: &["n_images", "image_size", "patch_size", "width", "has_bias", "has_class"],
    bindings: &[
        ("pixels", Access::Read),
        ("weight", Access::Read),
        ("bias", Access::Read),
        ("class_token", Access::Read),
        ("position", Access::Read),
        ("y", Access::Write),
    ],
    variants: no_variants,
};

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let &Op::PatchEmbed { pixels, weight, bias, class, position, y, n_images, image_size, patch_size, width } =
        op
    else {
        return Err(KERNEL.wrong(op));
    };
    if patch_size == 0 || patch_size > image_size {
        let (kernel, needed) = (KERNEL.name, "1 to image_size");
        return Err(PlanError::Unsupported { kernel, what: "patch_size", actual: patch_size, needed });
    }
    let n_patches = (image_size / patch_size).pow(2);
    let n_tokens = n_patches + usize::from(class.is_some());
    let n_groups = (n_images * n_patches).div_ceil(16);
    if n_groups > MAX_WORKGROUPS as usize {
        let (kernel, needed) = (KERNEL.name, "at most 65535 groups of 16");
        return Err(PlanError::Unsupported { kernel, what: "patches / 16", actual: n_groups, needed });
    }
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![
            ("n_images", n_images as u32),
            ("image_size", image_size as u32),
            ("patch_size", patch_size as u32),
            ("width", width as u32),
            ("has_bias", u32::from(bias.is_some())),
            ("has_class", u32::from(class.is_some())),
        ],
        operands: vec![
            context.slot(&KERNEL, "pixels", pixels, n_images * image_size * image_size * 3)?,
            context.matrix(&KERNEL, weight, Some(WordFormat::F32), [width, patch_size * patch_size * 3])?,
            context.optional(&KERNEL, "bias", bias, width)?,
            context.optional(&KERNEL, "class_token", class, width)?,
            context.values(&KERNEL, "position", position, n_tokens * width)?,
            context.slot(&KERNEL, "y", y, n_images * n_tokens * width)?,
        ],
        workgroups: [width.div_ceil(64) as u32, n_groups as u32, 1],
    })
}
