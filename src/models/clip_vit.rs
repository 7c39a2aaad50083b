//! The vision transformers of CLIP (Radford et al. 2021; Dosovitskiy et al. 2020) and SigLIP (Zhai et al. 2023).
//!
//! Invariant: a picture's tokens are its class token, where it has one, then its patches row by row.

use super::config::Transformer;
use super::layers::{Linear, Loader, Norm};
use super::transformer::{Order, Rows, Stack};
use super::{ModelError, Taps};
use crate::graph::{Activation, Graph, Op, Param, Slot, Span};

#[derive(Clone, Debug)]
pub struct ClipVit {
    image_size: usize,
    patch_size: usize,
    width: usize,
    patch: Param,
    patch_bias: Option<Param>,
    position: Param,
    stack: Stack,
    post_norm: Norm,
    pooling: Pooling,
    projection: Option<Linear>,
}

/// What becomes the picture's features.
#[derive(Clone, Debug)]
enum Pooling {
    /// CLIP: the row of a class token, which stands first; all tokens are normalised at the input.
    Class { class: Param, pre_norm: Norm },
    /// SigLIP: a learned query asks all patches.
    Probe(Box<Probe>),
}

/// Attention with one constant query, then a perceptron with a residual.
#[derive(Clone, Debug)]
struct Probe {
    /// The query's third has zero weights and the query itself as bias: every row asks the same, so one is enough.
    qkv: Linear,
    out: Linear,
    norm: Norm,
    up: Linear,
    down: Linear,
    n_heads: usize,
    activation: Activation,
}

impl Probe {
    fn load(loader: &mut Loader, config: &Transformer) -> Result<Self, ModelError> {
        let &Transformer { width, n_hidden, n_heads, activation, epsilon, .. } = config;
        Ok(Self {
            qkv: loader.biased("vision.pool.qkv", 3 * width, width)?,
            out: loader.biased("vision.pool.out", width, width)?,
            norm: loader.norm("vision.pool.norm", width, epsilon)?,
            up: loader.biased("vision.pool.up", n_hidden, width)?,
            down: loader.biased("vision.pool.down", width, n_hidden)?,
            n_heads,
            activation,
        })
    }

    /// Tokens to one row a span.
    fn emit(&self, graph: &mut Graph, x: Slot, spans: &[Span]) -> Slot {
        let width = self.out.n_out;
        let qkv = graph.linear(x, &self.qkv, Activation::Identity, None);
        let first_rows: Vec<usize> = spans.iter().map(|span| span.queries.start).collect();
        let queries = graph.gather_rows(qkv, &first_rows, 3 * width);
        let one_query = |(i, span): (usize, &Span)| Span { queries: i..i + 1, keys: span.keys.clone() };
        let spans = spans.iter().enumerate().map(one_query).collect();
        let x = graph.attention(qkv, Some(queries), self.n_heads, width, spans, false);
        let x = graph.linear(x, &self.out, Activation::Identity, None);
        let hidden = graph.norm(x, &self.norm);
        let hidden = graph.linear(hidden, &self.up, self.activation, None);
        graph.linear(hidden, &self.down, Activation::Identity, Some(x))
    }
}

impl ClipVit {
    pub fn load(
        loader: &mut Loader,
        image_size: usize,
        patch_size: usize,
        config: &Transformer,
        has_probe: bool,
    ) -> Result<Self, ModelError> {
        // No patch is wider than the picture, whose width is bounded: no product below overflows.
        if patch_size == 0 || image_size < patch_size {
            return Err(ModelError::Config(format!(
                "patches of {patch_size} pixels do not fit a picture of {image_size}"
            )));
        }
        let width = config.width;
        let n_tokens = (image_size / patch_size).pow(2) + usize::from(!has_probe);
        let pooling = match has_probe {
            true => Pooling::Probe(Box::new(Probe::load(loader, config)?)),
            false => Pooling::Class {
                class: loader.param("vision.class", &[width])?,
                pre_norm: loader.norm("vision.pre_norm", width, config.epsilon)?,
            },
        };
        Ok(Self {
            image_size,
            patch_size,
            width,
            patch: loader.param("vision.patch.weight", &[width, patch_size * patch_size * 3])?,
            patch_bias: loader.bias("vision.patch", width)?,
            position: loader.param("vision.position", &[n_tokens, width])?,
            stack: Stack::load(loader, "vision", config, Order::NormFirst)?,
            post_norm: loader.norm("vision.post_norm", width, config.epsilon)?,
            pooling,
            projection: loader
                .has("vision.projection.weight")
                .then(|| loader.linear_from("vision.projection", width))
                .transpose()?,
        })
    }

    /// Width of the features.
    pub fn n_features(&self) -> usize {
        self.projection.as_ref().map_or(self.width, |projection| projection.n_out)
    }

    /// Pixels `[n_images, image_size, image_size, 3]` to features `[n_images, n_features]`.
    pub fn emit(&self, graph: &mut Graph, pixels: Slot, n_images: usize, taps: Taps) -> Slot {
        let &Self { image_size, patch_size, width, .. } = self;
        let class = match self.pooling {
            Pooling::Class { class, .. } => Some(class),
            Pooling::Probe(_) => None,
        };
        let n_tokens = (image_size / patch_size).pow(2) + usize::from(class.is_some());
        let tokens = graph.slot(n_images * n_tokens * width);
        graph.ops.push(Op::PatchEmbed {
            pixels,
            weight: self.patch,
            bias: self.patch_bias,
            class,
            position: self.position,
            y: tokens,
            n_images,
            image_size,
            patch_size,
            width,
        });
        let x = match &self.pooling {
            Pooling::Class { pre_norm, .. } => graph.norm(tokens, pre_norm),
            Pooling::Probe(_) => tokens,
        };
        let class_rows: Vec<usize> = (0..n_images).map(|image| image * n_tokens).collect();
        let spans: Vec<Span> = class_rows
            .iter()
            .map(|&start| Span { queries: start..start + n_tokens, keys: start..start + n_tokens })
            .collect();
        let shape = [n_images, n_tokens, width];
        let wanted = (taps == Taps::None && class.is_some()).then_some(&class_rows[..]);
        let rows = Rows { spans: &spans, is_causal: false, wanted };
        let mut x = self.stack.emit(graph, x, &rows, |graph, i, slot| {
            if taps == Taps::All {
                graph.output(format!("vision_hidden.{i}"), slot, &shape);
            }
        });
        if taps == Taps::All {
            graph.output("vision_last_hidden", x, &shape);
            if class.is_some() {
                x = graph.gather_rows(x, &class_rows, width);
            }
        }
        let mut x = graph.norm(x, &self.post_norm);
        if let Pooling::Probe(probe) = &self.pooling {
            x = probe.emit(graph, x, &spans);
        }
        match &self.projection {
            Some(projection) => graph.linear(x, projection, Default::default(), None),
            None => x,
        }
    }
}
