//! Twin of shaders/avg_pool.wgsl.
//!
//! Invariant: pixels right of or below the last whole window do not count.

use super::Memory;
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::AvgPool { x, n_images, height, width, channels, window, .. } = op else {
        unreachable!("not a pooling")
    };
    let x = memory.slot(*x);
    let mut results = y.iter_mut();
    for image in 0..*n_images {
        for row in 0..height / window {
            for col in 0..width / window {
                for channel in 0..*channels {
                    let at = |dr: usize, dc: usize| {
                        let pixel = (image * height + row * window + dr) * width + col * window + dc;
                        f64::from(x[pixel * channels + channel])
                    };
                    let sum: f64 = (0..window * window).map(|i| at(i / window, i % window)).sum();
                    if let Some(result) = results.next() {
                        *result = (sum / (window * window) as f64) as f32;
                    }
                }
            }
        }
    }
}
