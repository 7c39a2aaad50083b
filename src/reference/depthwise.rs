//! Twin of shaders/depthwise.wgsl.
//!
//! Invariant: what lies outside the picture is zero.

use super::{Memory, activate};
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::Depthwise { x, weight, bias, activation, shape, .. } = op else {
        unreachable!("not a depthwise convolution")
    };
    let (x, weight, bias) = (memory.slot(*x), memory.param(*weight), memory.optional(*bias));
    let at = |image: usize, row: usize, col: usize, channel: usize| {
        let (row, col) = (row.checked_sub(shape.pad_top)?, col.checked_sub(shape.pad_left)?);
        (row < shape.in_height && col < shape.in_width).then(|| {
            let pixel = (image * shape.in_height + row) * shape.in_width + col;
            f64::from(x[pixel * shape.in_channels + channel])
        })
    };
    let n_out = shape.n_images * shape.out_height * shape.out_width * shape.out_channels;
    for (i, result) in y[..n_out].iter_mut().enumerate() {
        let (pixel, o) = (i / shape.out_channels, i % shape.out_channels);
        let (line, col) = (pixel / shape.out_width, pixel % shape.out_width);
        let (image, row) = (line / shape.out_height, line % shape.out_height);
        let mut sum = bias.map_or(0.0, |bias| f64::from(bias[o]));
        for (dr, dc) in (0..shape.kernel).flat_map(|dr| (0..shape.kernel).map(move |dc| (dr, dc))) {
            let tap = dr * shape.kernel + dc;
            let value = at(image, row * shape.stride + dr, col * shape.stride + dc, o).unwrap_or(0.0);
            sum += value * f64::from(weight[tap * shape.out_channels + o]);
        }
        *result = activate(*activation, sum) as f32;
    }
}
