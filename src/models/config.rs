//! What a model is made of: the one description that every tower, file format and backend shares.
//!
//! Invariant: in our GGUF each field is one metadata key, its path under `cliplet.`; nothing else is read. So the
//! structs below *are* the table of keys:
//!
//! | key | value |
//! |---|---|
//! | `general.architecture` | `cliplet` |
//! | `cliplet.about.{name, license, description, accuracy}` | texts for people; `about.sources`: an array of texts |
//! | `cliplet.vision.architecture` | `clip_vit`, `siglip_vit`, `modified_resnet` or `efficientnet_lite` |
//! | `cliplet.vision.{image_size, patch_size, width, n_layers, n_heads, n_hidden, activation, epsilon}` | `clip_vit`, `siglip_vit` |
//! | `cliplet.vision.{image_size, strides}` | `efficientnet_lite`: the stride of each block; all else is in the shapes |
//! | `cliplet.vision.{image_size, strides, n_heads}` | `modified_resnet`: the stride of each block, the heads of the pooling |
//! | `cliplet.text.architecture` | `clip_text`, `siglip_text` or `bert` |
//! | `cliplet.text.{context_len, width, n_layers, n_heads, n_hidden, activation, epsilon}` | all |
//! | `cliplet.text.end_token` | `clip_text`: the id of the token whose row is pooled; absent: the highest id |
//! | `cliplet.text.pooled` | `bert`: `mean` of the tokens, which it is where it is absent, or the `first` |
//! | `cliplet.text.pad_token` | `siglip_text`: fills every text up to `context_len` |
//! | `cliplet.preprocess.{size, mean, std, fit, filter}` | pixels to model input; mean and std where white is 1; `crop`, `squash` or `pad`; `bicubic`, `bilinear`, `lanczos` or `nearest` |
//! | `cliplet.preprocess.{resize, fill}` | the size before the crop, where it is another; the colour of a `pad`'s bars, where it is not black |
//! | `cliplet.tokenizer.json` | the tokenizer file, whole |
//! | `cliplet.{image_head, text_head}.normalize_input` | whether the head sees unit vectors |
//! | `cliplet.classes.{n_classes, sharpness, weight, photo_likeness}` | evidence of classes beside the heads' embeddings |
//! | `cliplet.calibration.scale` | the temperature of labels that compete |
//! | `cliplet.calibration.{sigmoid_scale, sigmoid_bias}` | scores of labels that stand alone, where they were trained or fitted |
//! | `cliplet.calibration.{none_similarity, clear_probability}` | what a fit on labelled pictures found; absent: there was none |
//! | `cliplet.templates` | prompts that suit the model, each with `{label}`: an array of texts |
//! | `cliplet.selftest.{label, image_embeds, text_embeds}` | what the start-up check must find |
//!
//! Tensors are named in `import`; a head's are `image_head.skip.{weight,bias}`, `image_head.{0,1}.{weight,bias}`,
//! `image_head.blocks.I.{weight,bias}` (from the mean of an EfficientNet's block) and, but for these, the same under
//! `text_head.`.

use serde::{Deserialize, Serialize};

use super::ModelError;
pub use crate::facts::About;
use crate::graph::Activation;
use crate::image::Preprocess;
use crate::text::{TextError, Tokenizer, pad_token};

/// A whole model; a folder may hold one side only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    #[serde(default)]
    pub about: About,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision: Option<Vision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_head: Option<HeadConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_head: Option<HeadConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassesConfig>,
    #[serde(default)]
    pub preprocess: Preprocess,
    #[serde(default)]
    pub calibration: Calibration,
    /// Prompts that suit the model, averaged; each holds `{label}` once.
    #[serde(default = "label_alone")]
    pub templates: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selftest: Option<SelfTestRecord>,
}

fn label_alone() -> Vec<String> {
    vec!["{label}".to_owned()]
}

impl Default for Config {
    fn default() -> Self {
        Self {
            about: Default::default(),
            vision: None,
            text: None,
            image_head: None,
            text_head: None,
            classes: None,
            preprocess: Default::default(),
            calibration: Default::default(),
            templates: label_alone(),
            tokenizer: None,
            selftest: None,
        }
    }
}

impl Config {
    /// Gives the model its tokenizer. SigLIP's texts are padded with the tokenizer's own token: SigLIP 2's configurations
    /// leave theirs out, and what their class says instead is another.
    pub fn set_tokenizer(&mut self, json: String) {
        if let (Some(Text::SiglipText { pad_token, .. }), Some(pad)) = (&mut self.text, pad_token(&json)) {
            *pad_token = pad;
        }
        self.tokenizer = Some(TokenizerFile { json });
    }
}

/// The image tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TowerKeys", into = "TowerKeys")]
pub enum Vision {
    /// Pixels `[image_size, image_size, 3]`, a class token, `pre_norm` at the input, `post_norm`, projection.
    ClipVit { image_size: usize, patch_size: usize, transformer: Transformer },
    /// No class token and no `pre_norm`: a learned query pools the patches.
    SiglipVit { image_size: usize, patch_size: usize, transformer: Transformer },
    /// CLIP's RN50 family; widths are read off the weights' shapes.
    ModifiedResnet {
        image_size: usize,
        /// The stride of each block.
        strides: Vec<usize>,
        /// The heads of the attention that pools.
        n_heads: usize,
    },
    /// MobileNet-v2 blocks with ReLU6 and no squeeze; widths and kernels are read off the weights' shapes.
    EfficientnetLite {
        image_size: usize,
        /// The stride of each block's depthwise convolution.
        strides: Vec<usize>,
    },
}

impl Vision {
    /// Height and width of the picture that the tower sees.
    pub fn image_size(&self) -> usize {
        match self {
            Self::ClipVit { image_size, .. }
            | Self::SiglipVit { image_size, .. }
            | Self::ModifiedResnet { image_size, .. }
            | Self::EfficientnetLite { image_size, .. } => *image_size,
        }
    }
}

/// The text tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TowerKeys", into = "TowerKeys")]
pub enum Text {
    /// Causal, pre-norm; the end token's row is pooled.
    ClipText {
        context_len: usize,
        /// `None`: the row with the highest id (configs written before 2023 name a wrong end token).
        end_token: Option<u32>,
        transformer: Transformer,
    },
    /// Bidirectional, pre-norm; every text is padded, nothing is masked, and the last row is pooled.
    SiglipText { context_len: usize, pad_token: u32, transformer: Transformer },
    /// Bidirectional, post-norm.
    Bert { context_len: usize, pooled: Pooled, transformer: Transformer },
}

/// What of a BERT's rows becomes the text's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooled {
    /// The mean of all that are not padding: sentence-transformers'.
    #[default]
    Mean,
    /// The first, of the start token: Chinese-CLIP's.
    First,
}

impl Text {
    pub fn context_len(&self) -> usize {
        match self {
            Self::ClipText { context_len, .. }
            | Self::SiglipText { context_len, .. }
            | Self::Bert { context_len, .. } => *context_len,
        }
    }

    pub fn transformer(&self) -> &Transformer {
        match self {
            Self::ClipText { transformer, .. }
            | Self::SiglipText { transformer, .. }
            | Self::Bert { transformer, .. } => transformer,
        }
    }
}

/// A stack of equal blocks: attention, then a two-layer perceptron, each with a residual.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformer {
    pub width: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    /// Width inside the perceptron.
    pub n_hidden: usize,
    pub activation: Activation,
    /// The epsilon of every layer norm.
    pub epsilon: f32,
}

/// The most blocks of a tower that are read: four times what any published CLIP has. A configuration that says more would
/// have its blocks listed before the first is looked for.
pub const MAX_LAYERS: usize = 256;

/// `n_layers`, if a tower may have as many.
pub fn check_layers(n_layers: usize) -> Result<usize, ModelError> {
    if n_layers <= MAX_LAYERS {
        return Ok(n_layers);
    }
    Err(ModelError::Config(format!("it has {n_layers} blocks, the most that are read are {MAX_LAYERS}")))
}

impl Transformer {
    /// The same, if its blocks are few enough and its layer norms give numbers.
    pub fn checked(self) -> Result<Self, ModelError> {
        check_layers(self.n_layers)?;
        if self.epsilon.is_finite() && self.epsilon > 0.0 {
            return Ok(self);
        }
        Err(ModelError::Config(format!("its layer norms add {} to the variance", self.epsilon)))
    }
}

/// The small net behind a tower; which of its parts exist is read off the weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadConfig {
    /// Whether the tower's features are scaled to length 1 first.
    pub normalize_input: bool,
}

/// The evidence of classes beside the heads' embeddings: `models/classes.rs` says what it is. The image head's first layer
/// has a unit a class, and after them one that tells how like a photo a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassesConfig {
    pub n_classes: usize,
    /// Labels spread over the classes by `softmax(sharpness · cosine)`.
    pub sharpness: f32,
    pub weight: f32,
    /// Up to where on that unit there is no evidence, and from where on all of it.
    pub photo_likeness: [f32; 2],
}

/// How similarities (cosines) become probabilities. Only the temperature is always there: it was trained with the model.
/// What is absent is not known of this model, and another model's does not stand in for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calibration {
    /// Labels compete: `softmax(scale · similarity)`.
    pub scale: f32,
    /// Labels stand alone: `sigmoid(sigmoid_scale · similarity + sigmoid_bias)`. SigLIP's were trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmoid_scale: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmoid_bias: Option<f32>,
    /// "None of these" joins the softmax with this similarity. No training finds it, and a fit only where the model can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub none_similarity: Option<f32>,
    /// The softmax probability from which an answer was measured right at least 95 times in 100; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_probability: Option<f32>,
    /// The label sets that this was fitted on; absent: on none, so that nobody knows what the probabilities are worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_fitted_sets: Option<usize>,
}

impl Default for Calibration {
    /// CLIP's own temperature, at the ceiling that its training had, and nothing else.
    fn default() -> Self {
        Self {
            scale: 100.0,
            sigmoid_scale: None,
            sigmoid_bias: None,
            none_similarity: None,
            clear_probability: None,
            n_fitted_sets: None,
        }
    }
}

impl Calibration {
    /// Whether this was fitted on labelled pictures, so that its probabilities were measured.
    pub fn is_fitted(&self) -> bool {
        // Files that were calibrated before the number was kept have the level, which only a fit finds.
        self.n_fitted_sets.is_some() || self.none_similarity.is_some()
    }

    /// Whether it is known when no label fits.
    pub fn knows_none(&self) -> bool {
        self.none_similarity.is_some()
    }

    /// The scale and the bias of a label's own score, where the model has them.
    pub fn sigmoid(&self) -> Option<(f32, f32)> {
        self.sigmoid_scale.zip(self.sigmoid_bias)
    }

    /// Without the figures that imported files were given until November 2026, whatever the model: they were one CLIP's.
    pub(super) fn without_old_defaults(self) -> Self {
        let is_old = self.sigmoid() == Some((100.0, -24.0)) && self.none_similarity == Some(0.22);
        if is_old { Self { scale: self.scale, ..Self::default() } } else { self }
    }
}

/// The tokenizer's file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenizerFile {
    pub json: String,
}

impl TokenizerFile {
    /// The tokenizer as this text tower's makers used it.
    ///
    /// # Errors
    /// A file that is no tokenizer, or one of a kind that is not known.
    pub fn open(&self, text: &Text) -> Result<Tokenizer, TextError> {
        // Whether or not its file says so, SigLIP's texts were lower case.
        let is_lowercase = matches!(text, Text::SiglipText { .. });
        Tokenizer::for_model(self.json.as_bytes(), text.context_len(), is_lowercase)
    }
}

/// What the engine must get for its own picture and `label`: unit vectors from the f32 CPU backend on the same weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfTestRecord {
    pub label: String,
    pub image_embeds: Vec<f32>,
    pub text_embeds: Vec<f32>,
}

/// A tower's keys, whatever its architecture: one list for all of them, since what serde makes of an enum with fields of
/// its own each would be a thirtieth of the engine's program.
#[derive(Default, Serialize, Deserialize)]
struct TowerKeys {
    architecture: Architecture,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strides: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_len: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_token: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pad_token: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pooled: Option<Pooled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n_layers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n_heads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n_hidden: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epsilon: Option<f32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Architecture {
    #[default]
    ClipVit,
    SiglipVit,
    ModifiedResnet,
    EfficientnetLite,
    ClipText,
    SiglipText,
    Bert,
}

/// A key that the tower needs.
fn needed<T>(value: Option<T>, key: &str) -> Result<T, ModelError> {
    value.ok_or_else(|| ModelError::Config(format!("missing field `{key}`")))
}

impl TowerKeys {
    fn image_size(&self) -> Result<usize, ModelError> {
        needed(self.image_size, "image_size")
    }

    fn patch_size(&self) -> Result<usize, ModelError> {
        needed(self.patch_size, "patch_size")
    }

    fn strides(&mut self) -> Result<Vec<usize>, ModelError> {
        needed(self.strides.take(), "strides")
    }

    fn n_heads(&self) -> Result<usize, ModelError> {
        needed(self.n_heads, "n_heads")
    }

    fn context_len(&self) -> Result<usize, ModelError> {
        needed(self.context_len, "context_len")
    }

    fn transformer(&self) -> Result<Transformer, ModelError> {
        let name = needed(self.activation.as_deref(), "activation")?;
        let unknown = || ModelError::Config(format!("unknown activation {name:?}"));
        Ok(Transformer {
            width: needed(self.width, "width")?,
            n_layers: needed(self.n_layers, "n_layers")?,
            n_heads: self.n_heads()?,
            n_hidden: needed(self.n_hidden, "n_hidden")?,
            activation: activation_name::parse(name).ok_or_else(unknown)?,
            epsilon: needed(self.epsilon, "epsilon")?,
        })
    }

    fn with(self, transformer: Transformer) -> Self {
        let Transformer { width, n_layers, n_heads, n_hidden, activation, epsilon } = transformer;
        Self {
            width: Some(width),
            n_layers: Some(n_layers),
            n_heads: Some(n_heads),
            n_hidden: Some(n_hidden),
            activation: Some(activation_name::of(activation).to_owned()),
            epsilon: Some(epsilon),
            ..self
        }
    }

    fn other_side<T>(&self, side: &str) -> Result<T, ModelError> {
        Err(ModelError::Config(format!("{:?} is no {side} tower", self.architecture)))
    }
}

impl TryFrom<TowerKeys> for Vision {
    type Error = ModelError;

    fn try_from(mut keys: TowerKeys) -> Result<Self, ModelError> {
        let image_size = keys.image_size()?;
        Ok(match keys.architecture {
            Architecture::ClipVit => {
                Self::ClipVit { image_size, patch_size: keys.patch_size()?, transformer: keys.transformer()? }
            }
            Architecture::SiglipVit => Self::SiglipVit {
                image_size,
                patch_size: keys.patch_size()?,
                transformer: keys.transformer()?,
            },
            Architecture::ModifiedResnet => {
                Self::ModifiedResnet { image_size, n_heads: keys.n_heads()?, strides: keys.strides()? }
            }
            Architecture::EfficientnetLite => Self::EfficientnetLite { image_size, strides: keys.strides()? },
            _ => return keys.other_side("image"),
        })
    }
}

impl From<Vision> for TowerKeys {
    fn from(vision: Vision) -> Self {
        let keys = |architecture, image_size| Self {
            architecture,
            image_size: Some(image_size),
            ..Default::default()
        };
        match vision {
            Vision::ClipVit { image_size, patch_size, transformer } => {
                let keys = keys(Architecture::ClipVit, image_size);
                Self { patch_size: Some(patch_size), ..keys }.with(transformer)
            }
            Vision::SiglipVit { image_size, patch_size, transformer } => {
                let keys = keys(Architecture::SiglipVit, image_size);
                Self { patch_size: Some(patch_size), ..keys }.with(transformer)
            }
            Vision::ModifiedResnet { image_size, strides, n_heads } => {
                let keys = keys(Architecture::ModifiedResnet, image_size);
                Self { strides: Some(strides), n_heads: Some(n_heads), ..keys }
            }
            Vision::EfficientnetLite { image_size, strides } => {
                Self { strides: Some(strides), ..keys(Architecture::EfficientnetLite, image_size) }
            }
        }
    }
}

impl TryFrom<TowerKeys> for Text {
    type Error = ModelError;

    fn try_from(keys: TowerKeys) -> Result<Self, ModelError> {
        let (context_len, end_token) = (keys.context_len()?, keys.end_token);
        Ok(match keys.architecture {
            Architecture::ClipText => {
                Self::ClipText { context_len, end_token, transformer: keys.transformer()? }
            }
            Architecture::SiglipText => {
                let pad_token = needed(keys.pad_token, "pad_token")?;
                Self::SiglipText { context_len, pad_token, transformer: keys.transformer()? }
            }
            Architecture::Bert => {
                let pooled = keys.pooled.unwrap_or_default();
                Self::Bert { context_len, pooled, transformer: keys.transformer()? }
            }
            _ => return keys.other_side("text"),
        })
    }
}

impl From<Text> for TowerKeys {
    fn from(text: Text) -> Self {
        let keys = |architecture, context_len| Self {
            architecture,
            context_len: Some(context_len),
            ..Default::default()
        };
        match text {
            Text::ClipText { context_len, end_token, transformer } => {
                Self { end_token, ..keys(Architecture::ClipText, context_len) }.with(transformer)
            }
            Text::SiglipText { context_len, pad_token, transformer } => {
                let keys = keys(Architecture::SiglipText, context_len);
                Self { pad_token: Some(pad_token), ..keys }.with(transformer)
            }
            Text::Bert { context_len, pooled, transformer } => {
                // What it is where the key is absent.
                let pooled = Some(pooled).filter(|pooled| *pooled != Pooled::Mean);
                Self { pooled, ..keys(Architecture::Bert, context_len) }.with(transformer)
            }
        }
    }
}

/// Activations under the names that Hugging Face's configs use.
pub(super) mod activation_name {
    use crate::graph::Activation;

    const NAMES: [(&str, Activation); 6] = [
        ("quick_gelu", Activation::QuickGelu),
        ("gelu", Activation::Gelu),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("relu", Activation::Relu),
        ("relu6", Activation::Relu6),
        ("identity", Activation::Identity),
    ];

    pub fn parse(name: &str) -> Option<Activation> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation)
    }

    pub fn of(activation: Activation) -> &'static str {
        NAMES.iter().find(|(_, known)| *known == activation).map_or("identity", |(name, _)| name)
    }
}
