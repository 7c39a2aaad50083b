//! Twin of shaders/patch_embed.wgsl.
//!
//! Invariant: a patch's values are taken row by row, pixel by pixel, channel by channel, as the weights are.

use super::Memory;
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::PatchEmbed {
        pixels, weight, bias, class, position, n_images, image_size, patch_size, width, ..
    } = op
    else {
        unreachable!("not a patch embedding")
    };
    let (pixels, weight) = (memory.slot(*pixels), memory.param(*weight));
    let (bias, class) = (memory.optional(*bias), memory.optional(*class));
    let grid = image_size / patch_size;
    let n_first = usize::from(class.is_some());
    let n_tokens = grid * grid + n_first;
    let n_in = patch_size * patch_size * 3;
    for image in 0..*n_images {
        for token in 0..n_tokens {
            for col in 0..*width {
                let mut sum = f64::from(memory.param(*position)[token * width + col]);
                match class {
                    Some(class) if token == 0 => sum += f64::from(class[col]),
                    _ => {
                        let (patch_row, patch_col) = ((token - n_first) / grid, (token - n_first) % grid);
                        for k in 0..n_in {
                            let (row, rest) = (k / (patch_size * 3), k % (patch_size * 3));
                            let line = (image * image_size + patch_row * patch_size + row) * image_size;
                            let pixel = pixels[(line + patch_col * patch_size) * 3 + rest];
                            sum += f64::from(pixel) * f64::from(weight[col * n_in + k]);
                        }
                        sum += bias.map_or(0.0, |bias| f64::from(bias[col]));
                    }
                }
                y[(image * n_tokens + token) * width + col] = sum as f32;
            }
        }
    }
}
