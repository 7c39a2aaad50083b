//! What towers are built of: named weights to checked parameters, parameters to operations.
//!
//! Invariant: a parameter's shape is checked when it is loaded, so that no graph can be emitted that a backend refuses.

use super::ModelError;
use crate::graph::ParamSet;
use crate::graph::{Activation, ConvShape, Graph, Op, Param, Slot, Span, View};
use crate::tensor::{Format, Tensor};
use crate::weights::Weights;

/// Takes named weights (see `import`) out of a model's file, one by one.
pub struct Loader<'a> {
    pub weights: &'a mut Weights,
    pub params: &'a mut ParamSet,
}

impl Loader<'_> {
    pub fn has(&self, name: &str) -> bool {
        self.weights.contains(name)
    }

    /// The shape of a weight that is still to be loaded.
    pub fn shape(&self, name: &str) -> Result<&[usize], ModelError> {
        Ok(&self.weights.tensor(name)?.shape)
    }

    /// Takes a tensor of exactly this shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let tensor = self.weights.take(name)?;
        if tensor.shape != shape {
            let (given, expected) = (tensor.shape, shape.to_vec());
            return Err(ModelError::Shape { name: name.to_owned(), given, expected });
        }
        Ok(tensor)
    }

    /// Takes a parameter that kernels read as f32.
    pub fn param(&mut self, name: &str, shape: &[usize]) -> Result<Param, ModelError> {
        let tensor = self.tensor(name, shape)?;
        Ok(self.params.push(widen(tensor)))
    }

    /// `NAME.weight` `[n_out, n_in]` in whatever format it has, and `NAME.bias` `[n_out]` where there is one.
    pub fn linear(&mut self, name: &str, n_out: usize, n_in: usize) -> Result<Linear, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"), &[n_out, n_in])?;
        let weight = self.params.push(weight);
        Ok(Linear { weight, bias: self.bias(name, n_out)?, n_in, n_out })
    }

    /// A linear layer that must have a bias: without it a damaged file would compute something else.
    pub fn biased(&mut self, name: &str, n_out: usize, n_in: usize) -> Result<Linear, ModelError> {
        self.shape(&format!("{name}.bias"))?;
        self.linear(name, n_out, n_in)
    }

    /// A linear layer of `n_in` columns and as many rows as the file gives.
    pub fn linear_from(&mut self, name: &str, n_in: usize) -> Result<Linear, ModelError> {
        let n_out = self.n_out(name)?;
        self.linear(name, n_out, n_in)
    }

    /// A standard convolution: the same over gathered neighbourhoods, with f32 weights.
    pub fn conv(&mut self, name: &str, n_in: usize) -> Result<Linear, ModelError> {
        let n_out = self.n_out(name)?;
        let weight = self.param(&format!("{name}.weight"), &[n_out, n_in])?;
        Ok(Linear { weight, bias: self.bias(name, n_out)?, n_in, n_out })
    }

    fn n_out(&self, name: &str) -> Result<usize, ModelError> {
        let name = format!("{name}.weight");
        match self.shape(&name)?.first() {
            Some(&n_out) if n_out > 0 => Ok(n_out),
            _ => Err(ModelError::Config(format!("the weight {name:?} has no rows"))),
        }
    }

    pub fn bias(&mut self, name: &str, n_out: usize) -> Result<Option<Param>, ModelError> {
        let name = format!("{name}.bias");
        if self.has(&name) { self.param(&name, &[n_out]).map(Some) } else { Ok(None) }
    }

    /// `NAME.weight` and `NAME.bias`, both `[width]`.
    pub fn norm(&mut self, name: &str, width: usize, epsilon: f32) -> Result<Norm, ModelError> {
        Ok(Norm {
            weight: self.param(&format!("{name}.weight"), &[width])?,
            bias: self.param(&format!("{name}.bias"), &[width])?,
            epsilon,
            width,
        })
    }
}

fn widen(tensor: Tensor) -> Tensor {
    match tensor.format {
        Format::F32 => tensor,
        _ => {
            let bytes = tensor.to_f32().iter().flat_map(|value| value.to_le_bytes()).collect();
            Tensor { shape: tensor.shape, format: Format::F32, bytes }
        }
    }
}

/// `y = x · weightᵀ + bias`, weight `[n_out, n_in]`.
#[derive(Clone, Debug)]
pub struct Linear {
    pub weight: Param,
    pub bias: Option<Param>,
    pub n_in: usize,
    pub n_out: usize,
}

/// A layer norm over `width` columns.
#[derive(Clone, Debug)]
pub struct Norm {
    pub weight: Param,
    pub bias: Param,
    pub epsilon: f32,
    pub width: usize,
}

/// Emits operations; each returns the slot that it writes. Row counts follow from the slots' lengths.
impl Graph {
    pub(super) fn linear(
        &mut self,
        x: Slot,
        layer: &Linear,
        activation: Activation,
        residual: Option<Slot>,
    ) -> Slot {
        let &Linear { weight, bias, n_in, n_out } = layer;
        let n_rows = self.len(x) / n_in;
        let y = self.slot(n_rows * n_out);
        let activation_after_residual = false;
        self.ops.push(Op::Linear {
            x,
            weight,
            bias,
            activation,
            residual,
            activation_after_residual,
            y,
            n_rows,
            n_in,
            n_out,
        });
        y
    }

    /// `activation(layer(x) + residual)`.
    pub(super) fn linear_activated_last(
        &mut self,
        x: Slot,
        layer: &Linear,
        activation: Activation,
        residual: Slot,
    ) -> Slot {
        let y = self.linear(x, layer, activation, Some(residual));
        if let Some(Op::Linear { activation_after_residual, .. }) = self.ops.last_mut() {
            *activation_after_residual = true;
        }
        y
    }

    /// Means of `window × window` pixels of square pictures.
    pub(super) fn avg_pool(
        &mut self,
        x: Slot,
        n_images: usize,
        size: usize,
        channels: usize,
        window: usize,
    ) -> Slot {
        let y = self.slot(n_images * (size / window).pow(2) * channels);
        self.ops.push(Op::AvgPool { x, y, n_images, height: size, width: size, channels, window });
        y
    }

    pub(super) fn norm(&mut self, x: Slot, norm: &Norm) -> Slot {
        let &Norm { weight, bias, epsilon: eps, width: n_cols } = norm;
        let n_rows = self.len(x) / n_cols;
        let y = self.slot(n_rows * n_cols);
        self.ops.push(Op::LayerNorm { x, weight, bias, eps, y, n_rows, n_cols });
        y
    }

    /// Self-attention over one fused projection: row = query, key, value of `width` columns each. `queries` replaces the
    /// rows that ask (same three parts a row) where only some answers are needed.
    pub(super) fn attention(
        &mut self,
        qkv: Slot,
        queries: Option<Slot>,
        n_heads: usize,
        width: usize,
        spans: Vec<Span>,
        is_causal: bool,
    ) -> Slot {
        let view = |slot, part| View { slot, offset: part * width, stride: 3 * width };
        let q = view(queries.unwrap_or(qkv), 0);
        let y = self.slot(self.len(q.slot) / 3);
        let head_dim = width / n_heads;
        let (k, v) = (view(qkv, 1), view(qkv, 2));
        self.ops.push(Op::Attention { q, k, v, y, n_heads, head_dim, spans, is_causal });
        y
    }

    pub(super) fn conv(&mut self, x: Slot, layer: &Linear, activation: Activation, shape: ConvShape) -> Slot {
        let y = self.slot(shape.n_images * shape.out_height * shape.out_width * shape.out_channels);
        let &Linear { weight, bias, .. } = layer;
        self.ops.push(Op::Conv2d { x, weight, bias, activation, y, shape });
        y
    }

    pub(super) fn depthwise(
        &mut self,
        x: Slot,
        layer: &Linear,
        activation: Activation,
        shape: ConvShape,
    ) -> Slot {
        let y = self.slot(shape.n_images * shape.out_height * shape.out_width * shape.out_channels);
        let &Linear { weight, bias, .. } = layer;
        self.ops.push(Op::Depthwise { x, weight, bias, activation, y, shape });
        y
    }

    pub(super) fn gather_rows(&mut self, x: Slot, rows: &[usize], n_cols: usize) -> Slot {
        let y = self.slot(rows.len() * n_cols);
        self.ops.push(Op::GatherRows { x, y, rows: rows.to_vec(), n_cols });
        y
    }

    pub(super) fn mean_rows(&mut self, x: Slot, ranges: Vec<std::ops::Range<usize>>, n_cols: usize) -> Slot {
        let y = self.slot(ranges.len() * n_cols);
        self.ops.push(Op::MeanRows { x, y, ranges, n_cols });
        y
    }

    pub(super) fn normalize(&mut self, x: Slot, n_cols: usize) -> Slot {
        let n_rows = self.len(x) / n_cols;
        let y = self.slot(n_rows * n_cols);
        self.ops.push(Op::Normalize { x, y, n_rows, n_cols });
        y
    }
}
