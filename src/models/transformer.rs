//! A stack of attention blocks, shared by CLIP's two towers (norm before) and BERT (norm after).
//!
//! Invariant: where only some rows are wanted, the last block computes queries, projection and perceptron for those
//! rows alone; the result is the same to f32 rounding.

use super::ModelError;
use super::config::Transformer;
use super::layers::{Linear, Loader, Norm};
use crate::graph::{Graph, Slot, Span};

/// Where a block's layer norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `x + f(norm(x))`: ViT, GPT-2, CLIP.
    NormFirst,
    /// `norm(x + f(x))`: the original transformer, BERT.
    NormLast,
}

/// The blocks of one tower.
#[derive(Clone, Debug)]
pub struct Stack {
    blocks: Vec<Block>,
    config: Transformer,
    order: Order,
}

#[derive(Clone, Debug)]
struct Block {
    norm1: Norm,
    qkv: Linear,
    out: Linear,
    norm2: Norm,
    up: Linear,
    down: Linear,
}

/// Which rows a stack works on.
pub struct Rows<'a> {
    pub spans: &'a [Span],
    pub is_causal: bool,
    /// The only rows whose result is wanted: one a span, in the spans' order.
    pub wanted: Option<&'a [usize]>,
}

impl Stack {
    /// Loads `NAME.blocks.I.*`.
    pub fn load(
        loader: &mut Loader,
        name: &str,
        config: &Transformer,
        order: Order,
    ) -> Result<Self, ModelError> {
        let config = config.clone().checked()?;
        let Transformer { width, n_hidden, n_heads, epsilon, .. } = config;
        if width == 0 || n_heads == 0 || width % n_heads != 0 {
            return Err(ModelError::Config(format!(
                "{name}: width {width} cannot be shared by {n_heads} heads"
            )));
        }
        let block = |i| -> Result<Block, ModelError> {
            let part = |part: &str| format!("{name}.blocks.{i}.{part}");
            Ok(Block {
                norm1: loader.norm(&part("norm1"), width, epsilon)?,
                qkv: loader.biased(&part("qkv"), 3 * width, width)?,
                out: loader.biased(&part("out"), width, width)?,
                norm2: loader.norm(&part("norm2"), width, epsilon)?,
                up: loader.biased(&part("up"), n_hidden, width)?,
                down: loader.biased(&part("down"), width, n_hidden)?,
            })
        };
        let blocks = (0..config.n_layers).map(block).collect::<Result<_, _>>()?;
        Ok(Self { blocks, config, order })
    }

    /// Runs `x` `[n_rows, width]` through every block. `tap` sees the input and each block's output; the result has the
    /// wanted rows only.
    pub fn emit(
        &self,
        graph: &mut Graph,
        mut x: Slot,
        rows: &Rows,
        mut tap: impl FnMut(&mut Graph, usize, Slot),
    ) -> Slot {
        tap(graph, 0, x);
        for (i, block) in self.blocks.iter().enumerate() {
            let wanted = rows.wanted.filter(|_| i + 1 == self.blocks.len());
            x = self.emit_block(graph, block, x, rows, wanted);
            tap(graph, i + 1, x);
        }
        match rows.wanted {
            Some(wanted) if self.blocks.is_empty() => graph.gather_rows(x, wanted, self.config.width),
            _ => x,
        }
    }

    fn emit_block(
        &self,
        graph: &mut Graph,
        block: &Block,
        x: Slot,
        rows: &Rows,
        wanted: Option<&[usize]>,
    ) -> Slot {
        let &Transformer { width, n_heads, activation, .. } = &self.config;
        let norms_first = self.order == Order::NormFirst;
        let h = if norms_first { graph.norm(x, &block.norm1) } else { x };
        let qkv = graph.linear(h, &block.qkv, Default::default(), None);
        let (a, x) = match wanted {
            // A wanted row asks all keys that it may see, so no mask is left.
            Some(wanted) => {
                let queries = graph.gather_rows(qkv, wanted, 3 * width);
                let seen = |(i, (span, &row)): (usize, (&Span, &usize))| {
                    let end = if rows.is_causal {
                        span.keys.start + row - span.queries.start + 1
                    } else {
                        span.keys.end
                    };
                    Span { queries: i..i + 1, keys: span.keys.start..end }
                };
                let spans = rows.spans.iter().zip(wanted).enumerate().map(seen).collect();
                let a = graph.attention(qkv, Some(queries), n_heads, width, spans, false);
                (a, graph.gather_rows(x, wanted, width))
            }
            None => (graph.attention(qkv, None, n_heads, width, rows.spans.to_vec(), rows.is_causal), x),
        };
        let x = graph.linear(a, &block.out, Default::default(), Some(x));
        let x = if norms_first { x } else { graph.norm(x, &block.norm1) };
        let h = if norms_first { graph.norm(x, &block.norm2) } else { x };
        let h = graph.linear(h, &block.up, activation, None);
        let x = graph.linear(h, &block.down, Default::default(), Some(x));
        if norms_first { x } else { graph.norm(x, &block.norm2) }
    }
}
