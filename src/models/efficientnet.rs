//! EfficientNet-lite (Tan and Le 2019; Google's lite variants 2020): inverted residual blocks, ReLU6, no squeeze.
//!
//! Invariant: batch norms are folded into the convolutions before they get here.
//! Invariant: padding is TensorFlow's "SAME": the output is `⌈size / stride⌉` and an odd pixel goes right and below.

use super::layers::{Linear, Loader};
use super::{ModelError, Taps};
use crate::graph::{Activation, ConvShape, Graph, Slot};

#[derive(Clone, Debug)]
pub struct EfficientNet {
    image_size: usize,
    stem: Linear,
    blocks: Vec<Block>,
    head: Linear,
    /// ImageNet's classes; goldens and training look at it.
    classifier: Option<Linear>,
}

#[derive(Clone, Debug)]
struct Block {
    expand: Option<Linear>,
    /// `n_in` and `n_out` both count channels.
    depthwise: Linear,
    project: Linear,
    kernel: usize,
    stride: usize,
    /// Leads from the mean of its maps to the embedding, beside the head.
    shortcut: Option<Linear>,
}

const STEM_KERNEL: usize = 3;

impl EfficientNet {
    /// Loads `vision.{stem, blocks.I.{expand, depthwise, project}, head, classifier}`; channels come from the shapes.
    pub fn load(loader: &mut Loader, image_size: usize, strides: &[usize]) -> Result<Self, ModelError> {
        if image_size == 0 || strides.contains(&0) {
            return Err(ModelError::Config(
                "the picture's size and every stride must be positive".to_owned(),
            ));
        }
        let stem = loader.conv("vision.stem", STEM_KERNEL * STEM_KERNEL * 3)?;
        let mut channels = stem.n_out;
        let mut blocks = Vec::with_capacity(strides.len());
        for (i, &stride) in strides.iter().enumerate() {
            let part = |part: &str| format!("vision.blocks.{i}.{part}");
            let expand = match loader.has(&part("expand.weight")) {
                true => Some(loader.linear_from(&part("expand"), channels)?),
                false => None,
            };
            let n_inner = expand.as_ref().map_or(channels, |expand| expand.n_out);
            let name = part("depthwise.weight");
            let kernel = loader.shape(&name)?.first().copied().unwrap_or(0);
            let weight = loader.param(&name, &[kernel, kernel, n_inner])?;
            let bias = loader.bias(&part("depthwise"), n_inner)?;
            let depthwise = Linear { weight, bias, n_in: n_inner, n_out: n_inner };
            let project = loader.linear_from(&part("project"), n_inner)?;
            channels = project.n_out;
            blocks.push(Block { expand, depthwise, project, kernel, stride, shortcut: None });
        }
        let head = loader.linear_from("vision.head", channels)?;
        let classifier = match loader.has("vision.classifier.weight") {
            true => Some(loader.linear_from("vision.classifier", head.n_out)?),
            false => None,
        };
        Ok(Self { image_size, stem, blocks, head, classifier })
    }

    /// Loads `image_head.blocks.I` of whichever blocks have one: to embeddings of `n_out` numbers.
    pub fn load_shortcuts(&mut self, loader: &mut Loader, n_out: usize) -> Result<(), ModelError> {
        for (i, block) in self.blocks.iter_mut().enumerate() {
            let name = format!("image_head.blocks.{i}");
            if loader.has(&format!("{name}.weight")) {
                block.shortcut = Some(loader.linear(&name, n_out, block.project.n_out)?);
            }
        }
        Ok(())
    }

    /// Width of the features.
    pub fn n_features(&self) -> usize {
        self.head.n_out
    }

    /// Pixels `[n_images, image_size, image_size, 3]` to features `[n_images, n_features]`: the last maps, averaged. Beside
    /// them the sum of the shortcuts, if there are any: what the head's result is added to.
    pub fn emit(&self, graph: &mut Graph, pixels: Slot, n_images: usize, taps: Taps) -> (Slot, Option<Slot>) {
        let relu6 = Activation::Relu6;
        let shape = same(n_images, self.image_size, 3, self.stem.n_out, STEM_KERNEL, 2);
        let mut size = shape.out_height;
        let mut x = graph.conv(pixels, &self.stem, relu6, shape);
        let mut beside = None;
        let mean = |graph: &mut Graph, x: Slot, size: usize, channels: usize| {
            let n_pixels = size * size;
            let ranges = (0..n_images).map(|image| image * n_pixels..(image + 1) * n_pixels).collect();
            graph.mean_rows(x, ranges, channels)
        };
        for (i, block) in self.blocks.iter().enumerate() {
            let Block { expand, depthwise, project, kernel, stride, shortcut } = block;
            let inner = match expand {
                Some(expand) => graph.linear(x, expand, relu6, None),
                None => x,
            };
            let channels = depthwise.n_in;
            let shape = same(n_images, size, channels, channels, *kernel, *stride);
            let inner = graph.depthwise(inner, depthwise, relu6, shape);
            let n_in = expand.as_ref().map_or(channels, |expand| expand.n_in);
            let residual = (*stride == 1 && n_in == project.n_out).then_some(x);
            x = graph.linear(inner, project, Activation::Identity, residual);
            size = shape.out_height;
            if taps == Taps::All || shortcut.is_some() {
                let mean = mean(graph, x, size, project.n_out);
                if taps == Taps::All {
                    graph.output(format!("blocks.{i}.mean"), mean, &[n_images, project.n_out]);
                }
                if let Some(shortcut) = shortcut {
                    beside = Some(graph.linear(mean, shortcut, Activation::Identity, beside));
                }
            }
        }
        let x = graph.linear(x, &self.head, relu6, None);
        let pooled = mean(graph, x, size, self.head.n_out);
        if let (Taps::All, Some(classifier)) = (taps, &self.classifier) {
            let logits = graph.linear(pooled, classifier, Activation::Identity, None);
            graph.output("class_logits", logits, &[n_images, classifier.n_out]);
        }
        (pooled, beside)
    }
}

/// The geometry of a "SAME" convolution over square pictures.
fn same(
    n_images: usize,
    size: usize,
    in_channels: usize,
    out_channels: usize,
    kernel: usize,
    stride: usize,
) -> ConvShape {
    let out = size.div_ceil(stride);
    let pad = ((out - 1) * stride + kernel).saturating_sub(size) / 2;
    ConvShape {
        n_images,
        in_height: size,
        in_width: size,
        in_channels,
        out_height: out,
        out_width: out,
        out_channels,
        kernel,
        stride,
        pad_top: pad,
        pad_left: pad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TensorFlow pads 224 at kernel 3, stride 2 by nothing above and one pixel below.
    #[test]
    fn same_padding_puts_the_odd_pixel_below() {
        let shape = same(1, 224, 3, 32, 3, 2);
        assert_eq!((shape.out_height, shape.pad_top), (112, 0));
        let shape = same(1, 7, 8, 8, 5, 1);
        assert_eq!((shape.out_height, shape.pad_top), (7, 2));
        let shape = same(1, 15, 8, 8, 5, 2);
        assert_eq!((shape.out_height, shape.pad_top), (8, 2));
    }
}
