//! Twin of shaders/attention.wgsl.
//!
//! Invariant: softmax over the keys that a query sees, in f64; a query that sees none yields zeros.

use super::{Memory, dot};
use crate::graph::Op;

pub(super) fn run(op: &Op, memory: &Memory, y: &mut [f32]) {
    let Op::Attention { q, k, v, n_heads, head_dim, spans, is_causal, .. } = op else {
        unreachable!("not a attention")
    };
    let width = n_heads * head_dim;
    let head_row = |view: &crate::graph::View, row: usize, head: usize| {
        &memory.slot(view.slot)[row * view.stride + view.offset + head * head_dim..][..*head_dim]
    };
    for span in spans {
        for (i, query) in span.queries.clone().enumerate() {
            let seen = if *is_causal { span.keys.len().min(i + 1) } else { span.keys.len() };
            let keys = span.keys.start..span.keys.start + seen;
            for head in 0..*n_heads {
                let scale = 1.0 / (*head_dim as f64).sqrt();
                let score = |key| scale * dot(head_row(q, query, head), head_row(k, key, head));
                let scores: Vec<f64> = keys.clone().map(score).collect();
                let maximum = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - maximum).exp()).collect();
                let total: f64 = weights.iter().sum();
                let results = &mut y[query * width + head * head_dim..][..*head_dim];
                for (col, result) in results.iter_mut().enumerate() {
                    let sum: f64 = keys
                        .clone()
                        .zip(&weights)
                        .map(|(key, weight)| weight * f64::from(head_row(v, key, head)[col]))
                        .sum();
                    *result = if keys.is_empty() { 0.0 } else { (sum / total) as f32 };
                }
            }
        }
    }
}
