//! CLIP's residual networks, RN50 and its wider kin (Radford et al. 2021): a stem of three convolutions, every stride an
//! average pool, and at the end attention in which the mean pixel asks all pixels.
//!
//! Invariant: batch norms are folded into the convolutions before they get here.

use super::ModelError;
use super::layers::{Linear, Loader};
use crate::graph::{Activation, ConvShape, Graph, Op, Param, Slot, Span};

#[derive(Clone, Debug)]
pub struct ModifiedResnet {
    image_size: usize,
    stem: [Linear; 3],
    blocks: Vec<Block>,
    /// `[pixels + 1, channels]`: the mean's, then each pixel's.
    position: Param,
    qkv: Linear,
    projection: Linear,
    n_heads: usize,
}

#[derive(Clone, Debug)]
struct Block {
    reduce: Linear,
    conv: Linear,
    expand: Linear,
    /// Where the block changes the size or the channels.
    shortcut: Option<Linear>,
    stride: usize,
}

const KERNEL: usize = 3;

impl ModifiedResnet {
    /// Loads `vision.{stem.I, blocks.I.{reduce, conv, expand, shortcut}, pool.{position, qkv}, projection}`; channels come
    /// from the shapes.
    pub fn load(
        loader: &mut Loader,
        image_size: usize,
        strides: &[usize],
        n_heads: usize,
    ) -> Result<Self, ModelError> {
        let n_taps = KERNEL * KERNEL;
        let first = loader.conv("vision.stem.0", n_taps * 3)?;
        let second = loader.conv("vision.stem.1", n_taps * first.n_out)?;
        let third = loader.conv("vision.stem.2", n_taps * second.n_out)?;
        let mut channels = third.n_out;
        let mut size = image_size.div_ceil(2) / 2;
        let mut blocks = Vec::with_capacity(strides.len());
        for (i, &stride) in strides.iter().enumerate() {
            let part = |part: &str| format!("vision.blocks.{i}.{part}");
            let reduce = loader.linear_from(&part("reduce"), channels)?;
            let conv = loader.conv(&part("conv"), n_taps * reduce.n_out)?;
            let expand = loader.linear_from(&part("expand"), conv.n_out)?;
            let shortcut = match loader.has(&part("shortcut.weight")) {
                true => Some(loader.linear(&part("shortcut"), expand.n_out, channels)?),
                false => None,
            };
            if stride == 0 || shortcut.is_none() && (stride != 1 || expand.n_out != channels) {
                return Err(ModelError::Config(format!(
                    "block {i} of stride {stride} cannot add {channels} channels to {}",
                    expand.n_out
                )));
            }
            channels = expand.n_out;
            size /= stride;
            blocks.push(Block { reduce, conv, expand, shortcut, stride });
        }
        if size == 0 || n_heads == 0 || channels % n_heads != 0 {
            return Err(ModelError::Config(format!(
                "pictures of {image_size} pixels end as {size} × {size} × {channels}, which {n_heads} heads cannot share"
            )));
        }
        Ok(Self {
            image_size,
            stem: [first, second, third],
            blocks,
            position: loader.param("vision.pool.position", &[size * size + 1, channels])?,
            qkv: loader.biased("vision.pool.qkv", 3 * channels, channels)?,
            projection: loader.linear_from("vision.projection", channels)?,
            n_heads,
        })
    }

    /// Width of the features.
    pub fn n_features(&self) -> usize {
        self.projection.n_out
    }

    /// Pixels `[n_images, image_size, image_size, 3]` to features `[n_images, n_features]`.
    pub fn emit(&self, graph: &mut Graph, pixels: Slot, n_images: usize) -> Slot {
        let relu = Activation::Relu;
        let mut size = self.image_size;
        let mut x = pixels;
        for (layer, stride) in self.stem.iter().zip([2, 1, 1]) {
            let shape = padded(n_images, size, layer, stride);
            size = shape.out_height;
            x = graph.conv(x, layer, relu, shape);
        }
        x = graph.avg_pool(x, n_images, size, self.stem[2].n_out, 2);
        size /= 2;
        for Block { reduce, conv, expand, shortcut, stride } in &self.blocks {
            let inner = graph.linear(x, reduce, relu, None);
            let mut inner = graph.conv(inner, conv, relu, padded(n_images, size, conv, 1));
            if *stride > 1 {
                inner = graph.avg_pool(inner, n_images, size, conv.n_out, *stride);
                x = graph.avg_pool(x, n_images, size, reduce.n_in, *stride);
            }
            let residual = match shortcut {
                Some(shortcut) => graph.linear(x, shortcut, Activation::Identity, None),
                None => x,
            };
            x = graph.linear_activated_last(inner, expand, relu, residual);
            size /= stride;
        }

        // Tokens: the mean of all pixels, then each pixel, which is its own mean.
        let (n_pixels, channels) = (size * size, self.projection.n_in);
        let n_tokens = n_pixels + 1;
        let tokens = (0..n_images).flat_map(|image| {
            let start = image * n_pixels;
            std::iter::once(start..start + n_pixels).chain((start..start + n_pixels).map(|i| i..i + 1))
        });
        let x = graph.mean_rows(x, tokens.collect(), channels);
        let y = graph.slot(n_images * n_tokens * channels);
        graph.ops.push(Op::CopyRows {
            x,
            y,
            n_rows: n_images * n_tokens,
            n_cols: channels,
            to_row: 0,
            to_stride: 1,
            add: Some((self.position, n_tokens)),
        });
        let qkv = graph.linear(y, &self.qkv, Activation::Identity, None);
        let means: Vec<usize> = (0..n_images).map(|image| image * n_tokens).collect();
        let queries = graph.gather_rows(qkv, &means, 3 * channels);
        let span = |(i, &start): (usize, &usize)| Span { queries: i..i + 1, keys: start..start + n_tokens };
        let spans = means.iter().enumerate().map(span).collect();
        let x = graph.attention(qkv, Some(queries), self.n_heads, channels, spans, false);
        graph.linear(x, &self.projection, Activation::Identity, None)
    }
}

/// A convolution over square pictures with one pixel of zeros around them.
fn padded(n_images: usize, size: usize, layer: &Linear, stride: usize) -> ConvShape {
    let out = size.div_ceil(stride);
    ConvShape {
        n_images,
        in_height: size,
        in_width: size,
        in_channels: layer.n_in / (KERNEL * KERNEL),
        out_height: out,
        out_width: out,
        out_channels: layer.n_out,
        kernel: KERNEL,
        stride,
        pad_top: 1,
        pad_left: 1,
    }
}
