//! The text towers: CLIP's causal transformer, SigLIP's and BERT. Both start from token vectors gathered on the CPU.
//!
//! Invariant: sequences lie one behind another without padding (goldens keep theirs), one span each.
//! Invariant: the token table never leaves the CPU and stays in its file's format: a row is widened when it is asked for.

use std::ops::Range;

use super::config::{Pooled, Text, Transformer};
use super::layers::{Linear, Loader, Norm};
use super::transformer::{Order, Rows, Stack};
use super::{ModelError, Taps};
use crate::graph::{Graph, Slot, Span};
use crate::tensor::Tensor;

/// Token sequences, packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextBatch {
    ids: Vec<u32>,
    sequences: Vec<Sequence>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sequence {
    /// Its rows among all.
    rows: Range<usize>,
    /// How many of them are not padding.
    n_keys: usize,
}

impl TextBatch {
    /// Rows of all sequences together.
    pub fn n_rows(&self) -> usize {
        self.ids.len()
    }

    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    fn push(&mut self, ids: &[u32], n_keys: usize) {
        let start = self.ids.len();
        self.ids.extend(ids);
        self.sequences.push(Sequence { rows: start..self.ids.len(), n_keys });
    }

    fn spans(&self) -> Vec<Span> {
        let span = |sequence: &Sequence| Span { queries: sequence.rows.clone(), keys: sequence.keys() };
        self.sequences.iter().map(span).collect()
    }

    /// `[n, len, width]` where all sequences are equally long (goldens), else `[rows, width]`.
    fn shape(&self, width: usize) -> Vec<usize> {
        match self.sequences.first().map(|first| first.rows.len()) {
            Some(len) if self.sequences.iter().all(|sequence| sequence.rows.len() == len) => {
                vec![self.len(), len, width]
            }
            _ => vec![self.n_rows(), width],
        }
    }
}

impl Sequence {
    fn keys(&self) -> Range<usize> {
        self.rows.start..self.rows.start + self.n_keys
    }
}

#[derive(Clone, Debug)]
pub struct TextTower {
    config: Text,
    /// `[vocab_size, width]`.
    table: Tensor,
    /// `[context_len, width]`.
    position: Vec<f32>,
    stack: Stack,
    /// CLIP, SigLIP: after the blocks. BERT: before them.
    norm: Norm,
    projection: Option<Linear>,
}

impl TextTower {
    pub fn load(loader: &mut Loader, config: &Text) -> Result<Self, ModelError> {
        let transformer = config.transformer();
        let &Transformer { width, epsilon, .. } = transformer;
        let vocab_size = loader.shape("text.token.weight")?.first().copied().unwrap_or(0);
        let (order, norm) = match config {
            Text::ClipText { .. } | Text::SiglipText { .. } => (Order::NormFirst, "text.final_norm"),
            Text::Bert { .. } => (Order::NormLast, "text.embed_norm"),
        };
        Ok(Self {
            config: config.clone(),
            table: loader.tensor("text.token.weight", &[vocab_size, width])?,
            position: loader.tensor("text.position", &[config.context_len(), width])?.to_f32(),
            stack: Stack::load(loader, "text", transformer, order)?,
            norm: loader.norm(norm, width, epsilon)?,
            projection: loader
                .has("text.projection.weight")
                .then(|| loader.linear_from("text.projection", width))
                .transpose()?,
        })
    }

    /// Width of the features.
    pub fn n_features(&self) -> usize {
        self.projection.as_ref().map_or(self.config.transformer().width, |projection| projection.n_out)
    }

    /// Packs what the tokenizer gave. CLIP's sequences end at the row that is pooled: causal, so nothing behind it counts.
    /// SigLIP's are padded to the full length: it was trained so, and pools the last row.
    pub fn batch(&self, sequences: &[Vec<u32>]) -> Result<TextBatch, ModelError> {
        let mut batch = TextBatch::default();
        for ids in sequences {
            self.check(ids)?;
            match self.config {
                Text::ClipText { end_token, .. } => {
                    let len = end_row(ids, end_token) + 1;
                    batch.push(&ids[..len], len);
                }
                Text::SiglipText { context_len, pad_token, .. } => {
                    let mut padded = ids.clone();
                    padded.resize(context_len, pad_token);
                    self.check(&padded)?;
                    batch.push(&padded, context_len);
                }
                Text::Bert { .. } => batch.push(ids, ids.len()),
            }
        }
        Ok(batch)
    }

    /// Keeps the padding, as goldens do: of each sequence the first `n_keys` tokens are real.
    pub fn padded_batch(&self, sequences: &[Vec<u32>], n_keys: &[usize]) -> Result<TextBatch, ModelError> {
        let mut batch = TextBatch::default();
        for (ids, &n_keys) in sequences.iter().zip(n_keys) {
            self.check(ids)?;
            batch.push(ids, n_keys.clamp(1, ids.len()));
        }
        Ok(batch)
    }

    fn check(&self, ids: &[u32]) -> Result<(), ModelError> {
        let (n_tokens, context_len) = (ids.len(), self.config.context_len());
        if n_tokens == 0 || n_tokens > context_len {
            return Err(ModelError::TextLength { n_tokens, context_len });
        }
        let vocab_size = self.table.shape[0];
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(ModelError::Token { id, vocab_size }),
            None => Ok(()),
        }
    }

    /// The graph's input: token vector plus position `[n_rows, width]`.
    pub fn inputs(&self, batch: &TextBatch) -> Vec<f32> {
        let width = self.config.transformer().width;
        let mut values = Vec::with_capacity(batch.n_rows() * width);
        for sequence in &batch.sequences {
            for (&id, position) in
                batch.ids[sequence.rows.clone()].iter().zip(self.position.chunks_exact(width))
            {
                let token = self.table.row_f32(id as usize);
                values.extend(token.iter().zip(position).map(|(token, position)| token + position));
            }
        }
        values
    }

    /// Vectors `[n_rows, width]` (from [`Self::inputs`]) to features `[n_sequences, n_features]`.
    pub fn emit(&self, graph: &mut Graph, x: Slot, batch: &TextBatch, taps: Taps) -> Slot {
        let width = self.config.transformer().width;
        let spans = batch.spans();
        let shape = batch.shape(width);
        let x = match self.config {
            Text::ClipText { .. } | Text::SiglipText { .. } => {
                let (end_rows, is_causal): (Vec<usize>, bool) = match self.config {
                    Text::ClipText { end_token, .. } => {
                        let row = |sequence: &Sequence| {
                            sequence.rows.start + end_row(&batch.ids[sequence.rows.clone()], end_token)
                        };
                        (batch.sequences.iter().map(row).collect(), true)
                    }
                    _ => (batch.sequences.iter().map(|sequence| sequence.rows.end - 1).collect(), false),
                };
                let wanted = (taps == Taps::None).then_some(&end_rows[..]);
                let rows = Rows { spans: &spans, is_causal, wanted };
                let x = self.stack.emit(graph, x, &rows, |graph, i, slot| {
                    if taps == Taps::All {
                        graph.output(format!("text_hidden.{i}"), slot, &shape);
                    }
                });
                let x = graph.norm(x, &self.norm);
                match taps {
                    Taps::None => x,
                    Taps::All => {
                        graph.output("text_last_hidden", x, &shape);
                        graph.gather_rows(x, &end_rows, width)
                    }
                }
            }
            Text::Bert { pooled, .. } => {
                let x = graph.norm(x, &self.norm);
                let rows = Rows { spans: &spans, is_causal: false, wanted: None };
                let x = self.stack.emit(graph, x, &rows, |_, _, _| {});
                if taps == Taps::All {
                    graph.output("last_hidden", x, &shape);
                }
                match pooled {
                    Pooled::First => {
                        let rows: Vec<usize> =
                            batch.sequences.iter().map(|sequence| sequence.rows.start).collect();
                        graph.gather_rows(x, &rows, width)
                    }
                    Pooled::Mean => {
                        let rows = batch.sequences.iter().map(Sequence::keys).collect();
                        let pooled = graph.mean_rows(x, rows, width);
                        if taps == Taps::All {
                            graph.output("mean_pooled", pooled, &[batch.len(), width]);
                        }
                        pooled
                    }
                }
            }
        };
        match &self.projection {
            Some(projection) => graph.linear(x, projection, Default::default(), None),
            None => x,
        }
    }
}

/// The row that CLIP pools: the first end token; without one named, the first of the highest id.
fn end_row(ids: &[u32], end_token: Option<u32>) -> usize {
    let end_token = end_token.or(ids.iter().max().copied()).unwrap_or(0);
    // Hugging Face's arg-max over "is it the end token" is 0 where there is none.
    ids.iter().position(|&id| id == end_token).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pooled_row_is_the_first_end_token() {
        assert_eq!(end_row(&[5, 7, 9, 9], Some(9)), 2);
        assert_eq!(end_row(&[5, 9, 7, 7], None), 1, "without a named end token the highest id counts");
        assert_eq!(end_row(&[5, 7], Some(9)), 0, "as Hugging Face does where it is missing");
    }
}
