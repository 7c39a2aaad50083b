//! A forward pass as data: what the models emit, and what the backends (`gpu`, `cpu`) and the plain
//! `reference` run. Nothing here allocates device memory or computes.
//!
//! Invariant: every activation is f32, row-major, and lives in a [`Slot`]; every weight is a [`Param`].
//! Invariant: an operation reads slots written before it (or graph inputs) and writes exactly one slot; it
//! never reads the slot that it writes, so a backend may run it without a copy.
//! Invariant: slots are reused by backends only from the outside: a graph writes each slot once, except that
//! [`Op::CopyRows`] may fill different rows of one slot.
//! Invariant: pictures are NHWC (rows are pixels), so that a pointwise convolution is an [`Op::Linear`].

mod params;

pub use params::ParamSet;

use std::ops::Range;

/// An activation buffer of a graph: an index into [`Graph::slots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// A weight tensor: an index into the model's [`ParamSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Param(pub usize);

/// Applied to each value after the bias and, but for an [`Op::Linear`] that says otherwise, before the residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    #[default]
    Identity,
    /// `x · sigmoid(1.702 x)`: OpenAI's CLIP.
    QuickGelu,
    /// `x · Φ(x)` with the error function: BERT, LAION's CLIP.
    Gelu,
    /// The tanh approximation of GELU: SigLIP.
    GeluTanh,
    Relu,
    /// `min(max(x, 0), 6)`: EfficientNet-lite.
    Relu6,
}

/// Consecutive columns of a slot read as a matrix: row `r`, column `c` is at `r * stride + offset + c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub slot: Slot,
    pub offset: usize,
    pub stride: usize,
}

/// One sequence of an attention: its query rows attend to its key rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Rows of the query view, and of the output.
    pub queries: Range<usize>,
    /// Rows of the key and value views; padding is simply not in the range.
    pub keys: Range<usize>,
}

/// The geometry of a convolution over NHWC pictures. Padding is zeros; what lies right of or below the
/// picture follows from `out_height` and `out_width`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub n_images: usize,
    pub in_height: usize,
    pub in_width: usize,
    pub in_channels: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub out_channels: usize,
    /// Kernel height and width.
    pub kernel: usize,
    pub stride: usize,
    pub pad_top: usize,
    pub pad_left: usize,
}

/// One operation. Shapes are row-major; `n_*` count rows or columns.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `y[r, o] = activation(bias[o] + Σ_k x[r, k] · weight[o, k]) + residual[r, o]`; with
    /// `activation_after_residual` the activation takes the residual in (ResNet).
    /// x `[n_rows, n_in]`, weight `[n_out, n_in]` in any format, bias `[n_out]` f32, residual and y `[n_rows, n_out]`.
    Linear {
        x: Slot,
        weight: Param,
        bias: Option<Param>,
        activation: Activation,
        residual: Option<Slot>,
        activation_after_residual: bool,
        y: Slot,
        n_rows: usize,
        n_in: usize,
        n_out: usize,
    },
    /// Fused `softmax(q kᵀ / √head_dim) v` a head and a span; heads are consecutive `head_dim` columns of each view.
    /// y `[rows, n_heads * head_dim]` is dense. With `is_causal`, query `i` of a span sees its keys `0..=i`.
    Attention {
        q: View,
        k: View,
        v: View,
        y: Slot,
        n_heads: usize,
        head_dim: usize,
        spans: Vec<Span>,
        is_causal: bool,
    },
    /// `y = (x − mean) / √(variance + eps) · weight + bias` a row of `n_cols`; f32 throughout.
    LayerNorm { x: Slot, weight: Param, bias: Param, eps: f32, y: Slot, n_rows: usize, n_cols: usize },
    /// ViT's patch embedding: pixels `[n_images, image_size, image_size, 3]`, weight `[width, patch_size, patch_size, 3]`
    /// flattened to `[width, patch_size² · 3]`, position `[n_tokens, width]`.
    /// y `[n_images, n_tokens, width]`, n_tokens = patches + 1 with a class token (`class` `[width]`, row 0), else patches.
    PatchEmbed {
        pixels: Slot,
        weight: Param,
        bias: Option<Param>,
        class: Option<Param>,
        position: Param,
        y: Slot,
        n_images: usize,
        image_size: usize,
        patch_size: usize,
        width: usize,
    },
    /// Standard convolution: x `[n, h, w, c_in]`, weight `[c_out, kernel, kernel, c_in]` flattened to
    /// `[c_out, kernel² · c_in]`, bias `[c_out]`, residual and y `[n, h', w', c_out]`.
    Conv2d { x: Slot, weight: Param, bias: Option<Param>, activation: Activation, y: Slot, shape: ConvShape },
    /// Depthwise convolution (`in_channels == out_channels`): weight `[kernel, kernel, channels]` f32, bias `[channels]`.
    Depthwise {
        x: Slot,
        weight: Param,
        bias: Option<Param>,
        activation: Activation,
        y: Slot,
        shape: ConvShape,
    },
    /// Mean over `window × window` pixels at stride `window`: x `[n, h, w, c]` to y `[n, h / window, w / window, c]`.
    AvgPool { x: Slot, y: Slot, n_images: usize, height: usize, width: usize, channels: usize, window: usize },
    /// Mean of each range of rows: x `[·, n_cols]` to y `[ranges, n_cols]` (global pooling, masked mean pooling).
    MeanRows { x: Slot, y: Slot, ranges: Vec<Range<usize>>, n_cols: usize },
    /// y row `i` = x row `rows[i]` (class token, end token).
    GatherRows { x: Slot, y: Slot, rows: Vec<usize>, n_cols: usize },
    /// Copies `n_rows` rows of x to y from row `to_row` on, stride `to_stride` rows between them; adds `add[row % add_rows]`
    /// where given (`add` `[add_rows, n_cols]`). Joins tokens, adds positions.
    CopyRows {
        x: Slot,
        y: Slot,
        n_rows: usize,
        n_cols: usize,
        to_row: usize,
        to_stride: usize,
        add: Option<(Param, usize)>,
    },
    /// `y = x / ‖x‖₂` a row; a zero row stays zero.
    Normalize { x: Slot, y: Slot, n_rows: usize, n_cols: usize },
    /// `y[a, b] = scale · ⟨a_a, b_b⟩`: similarity of unit rows, a `[n_a, n_cols]`, b `[n_b, n_cols]`.
    Similarity { a: Slot, b: Slot, scale: f32, y: Slot, n_a: usize, n_b: usize, n_cols: usize },
}

impl Op {
    /// The slots that it reads, in the order of its fields.
    pub fn reads(&self) -> Vec<Slot> {
        match self {
            Op::Linear { x, residual, .. } => std::iter::once(*x).chain(*residual).collect(),
            Op::Attention { q, k, v, .. } => vec![q.slot, k.slot, v.slot],
            Op::LayerNorm { x, .. }
            | Op::Conv2d { x, .. }
            | Op::Depthwise { x, .. }
            | Op::AvgPool { x, .. }
            | Op::MeanRows { x, .. }
            | Op::GatherRows { x, .. }
            | Op::CopyRows { x, .. }
            | Op::Normalize { x, .. } => vec![*x],
            Op::PatchEmbed { pixels, .. } => vec![*pixels],
            Op::Similarity { a, b, .. } => vec![*a, *b],
        }
    }

    /// The slot that it writes.
    pub fn writes(&self) -> Slot {
        match self {
            Op::Linear { y, .. }
            | Op::Attention { y, .. }
            | Op::LayerNorm { y, .. }
            | Op::PatchEmbed { y, .. }
            | Op::Conv2d { y, .. }
            | Op::Depthwise { y, .. }
            | Op::AvgPool { y, .. }
            | Op::MeanRows { y, .. }
            | Op::GatherRows { y, .. }
            | Op::CopyRows { y, .. }
            | Op::Normalize { y, .. }
            | Op::Similarity { y, .. } => *y,
        }
    }

    /// The kernel's name: the stem of its shader, its host file, its twin.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Linear { .. } => "linear",
            Op::Attention { .. } => "attention",
            Op::LayerNorm { .. } => "layer_norm",
            Op::PatchEmbed { .. } => "patch_embed",
            Op::Conv2d { .. } => "conv2d",
            Op::Depthwise { .. } => "depthwise",
            Op::AvgPool { .. } => "avg_pool",
            Op::MeanRows { .. } => "mean_rows",
            Op::GatherRows { .. } => "gather_rows",
            Op::CopyRows { .. } => "copy_rows",
            Op::Normalize { .. } => "normalize",
            Op::Similarity { .. } => "similarity",
        }
    }
}

/// A value that a backend hands back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name, as golden files call it: `image_embeds`, `vision_hidden.0`, …
    pub name: String,
    pub slot: Slot,
    /// Row-major; its product is the slot's length.
    pub shape: Vec<usize>,
}

/// A forward pass: operations in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Length of each slot, in f32 values.
    pub slots: Vec<usize>,
    /// Slots that the caller fills, in the order in which it gives them.
    pub inputs: Vec<Slot>,
    pub ops: Vec<Op>,
    pub outputs: Vec<Output>,
}

impl Graph {
    /// A new slot of `len` f32 values.
    pub fn slot(&mut self, len: usize) -> Slot {
        self.slots.push(len);
        Slot(self.slots.len() - 1)
    }

    /// A new slot that the caller fills.
    pub fn input(&mut self, len: usize) -> Slot {
        let slot = self.slot(len);
        self.inputs.push(slot);
        slot
    }

    /// Marks `slot` as a result.
    pub fn output(&mut self, name: impl Into<String>, slot: Slot, shape: &[usize]) {
        self.outputs.push(Output { name: name.into(), slot, shape: shape.to_vec() });
    }

    pub fn len(&self, slot: Slot) -> usize {
        self.slots[slot.0]
    }
}
