//! Fused attention: a workgroup takes a few queries of one span and one head.
//!
//! Invariant: a tile's queries belong to one span, so that they share its keys; a causal tile's next query
//! sees one key more.
//! Invariant: head size, strides and offsets are multiples of four, the head at most 256: one thread owns four
//! columns of a query's result.

use super::{Access, Context, Kernel, Launch, MAX_WORKGROUPS, Operand, PlanError, no_variants};
use crate::graph::Op;

pub static KERNEL: Kernel = Kernel {
    name: "attention",
    source: wgsl!("attention"),
    params: &[
        "dim4",
        "n_heads",
        "q_stride4",
        "q_offset4",
        "k_stride4",
        "k_offset4",
        "v_stride4",
        "v_offset4",
        "key_step",
        "scale",
    ],
    bindings: &[
        ("tiles", Access::Read),
        ("q", Access::Read),
        ("k", Access::Read),
        ("v", Access::Read),
        ("y", Access::Write),
    ],
    variants: no_variants,
};

/// Threads of a workgroup, and the most queries for which it has room for scores.
const WG_SIZE: usize = 64;
const MAX_QUERIES: usize = 16;

pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    let Op::Attention { q, k, v, y, n_heads, head_dim, spans, is_causal } = op else {
        return Err(KERNEL.wrong(op));
    };
    let (n_heads, head_dim) = (*n_heads, *head_dim);
    let unsupported =
        |what, actual, needed| PlanError::Unsupported { kernel: KERNEL.name, what, actual, needed };
    if head_dim == 0 || head_dim % 4 != 0 || head_dim > 4 * WG_SIZE {
        return Err(unsupported("head_dim", head_dim, "a multiple of 4 up to 256"));
    }
    for (what, actual) in [("q", q), ("k", k), ("v", v)]
        .into_iter()
        .flat_map(|(name, view)| [(name, view.offset), (name, view.stride)])
    {
        if actual % 4 != 0 {
            return Err(unsupported(what, actual, "an offset and a stride that are multiples of 4"));
        }
    }
    let per_tile = (WG_SIZE / (head_dim / 4)).min(MAX_QUERIES);
    let mut tiles = Vec::new();
    for span in spans {
        let n_keys = span.keys.len();
        for first in (0..span.queries.len()).step_by(per_tile) {
            let n_queries = per_tile.min(span.queries.len() - first);
            // Queries behind the last key see all keys, so they go one a tile.
            if *is_causal && first + n_queries > n_keys {
                tiles.extend((first..first + n_queries).map(|i| (span, i, 1, n_keys.min(i + 1))));
            } else {
                tiles.push((span, first, n_queries, if *is_causal { first + 1 } else { n_keys }));
            }
        }
    }
    if tiles.len() > MAX_WORKGROUPS as usize {
        return Err(unsupported("number of query tiles", tiles.len(), "at most 65535"));
    }
    let table = tiles
        .iter()
        .flat_map(|(span, first, n_queries, n_keys)| {
            [span.queries.start + first, *n_queries, span.keys.start, span.keys.start + n_keys]
        })
        .map(|value| value as u32)
        .collect();
    let n_queries = spans.iter().map(|span| span.queries.end).max().unwrap_or(0);
    let n_keys = spans.iter().map(|span| span.keys.end).max().unwrap_or(0);
    let width = n_heads * head_dim;
    let needed = |rows: usize, view: &crate::graph::View| match rows {
        0 => 0,
        _ => (rows - 1) * view.stride + view.offset + width,
    };
    Ok(Launch {
        kernel: &KERNEL,
        overrides: Vec::new(),
        params: vec![
            ("dim4", (head_dim / 4) as u32),
            ("n_heads", n_heads as u32),
            ("q_stride4", (q.stride / 4) as u32),
            ("q_offset4", (q.offset / 4) as u32),
            ("k_stride4", (k.stride / 4) as u32),
            ("k_offset4", (k.offset / 4) as u32),
            ("v_stride4", (v.stride / 4) as u32),
            ("v_offset4", (v.offset / 4) as u32),
            ("key_step", u32::from(*is_causal)),
            ("scale", (1.0 / (head_dim as f32).sqrt()).to_bits()),
        ],
        operands: vec![
            Operand::Table(table),
            context.slot(&KERNEL, "q", q.slot, needed(n_queries, q))?,
            context.slot(&KERNEL, "k", k.slot, needed(n_keys, k))?,
            context.slot(&KERNEL, "v", v.slot, needed(n_keys, v))?,
            context.slot(&KERNEL, "y", *y, n_queries * width)?,
        ],
        workgroups: [tiles.len() as u32, n_heads as u32, 1],
    })
}
