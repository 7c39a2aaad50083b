//! Models: a configuration and named weights become a [`ParamSet`] and, on request, a [`Graph`].
//!
//! ```text
//! config.json + safetensors ─ import ─┐
//!                                     ├→ Config + canonical weights → DualEncoder → ParamSet, Graph
//! our GGUF ────────────────── file ───┘
//! ```
//!
//! Invariant: towers know canonical names and layouts only (`import` lists them); what a file calls its tensors, how it
//! stores a convolution, and batch norms end at `import`.
//! Invariant: a model that loads runs: every shape is checked while loading.

mod classes;
mod clip_vit;
pub mod config;
mod efficientnet;
mod file;
mod head;
mod import;
mod layers;
mod modified_resnet;
mod synthetic;
mod text;
mod transformer;

pub use config::{Calibration, Config};
pub use file::{Quantization, file_of, is_own, load_gguf, own_config, recalibrated, save_gguf};
pub use import::{Importer, ModelFolder, Origin, SUPPORTED, Sink, efficientnet_lite_strides, import};
pub use synthetic::{ClipShape, VisionShape};
pub use text::TextBatch;

use classes::ClassWords;
use clip_vit::ClipVit;
use efficientnet::EfficientNet;
use head::Head;
use layers::Loader;
use modified_resnet::ModifiedResnet;
use text::TextTower;

use crate::graph::{Activation, Graph, Op, ParamSet, Slot};
use crate::weights::Weights;

/// Why a model cannot be built or asked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the architecture {architecture:?} is not supported; these are: {SUPPORTED}")]
    Unsupported { architecture: String },
    #[error("the weight {name:?} has shape {given:?}, the configuration needs {expected:?}")]
    Shape { name: String, given: Vec<usize>, expected: Vec<usize> },
    #[error("the configuration cannot be used: {0}")]
    Config(String),
    #[error("the file is not a model of this program: {0}")]
    Foreign(String),
    #[error("the model has no {side} tower")]
    NoTower { side: &'static str },
    #[error("a text has {n_tokens} tokens; the model takes 1 to {context_len}")]
    TextLength { n_tokens: usize, context_len: usize },
    #[error("token {id} is not among the model's {vocab_size}: the tokenizer belongs to another model")]
    Token { id: u32, vocab_size: usize },
    #[error("similarities need embeddings of one width: pictures have {image}, texts {text}")]
    Widths { image: usize, text: usize },
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    #[error(transparent)]
    Gguf(#[from] crate::weights::gguf::GgufError),
    #[error(transparent)]
    Tensor(#[from] crate::tensor::TensorError),
}

/// A model before it is built: what `import` makes and our GGUF holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    pub config: Config,
    /// Under canonical names (see `import`).
    pub weights: Weights,
}

impl Checkpoint {
    /// Puts an image tower and the text tower of another checkpoint together; all else is `self`'s, the tokenizer
    /// `text`'s. A text tower that `self` has goes.
    pub fn join(mut self, text: Checkpoint) -> Result<Self, ModelError> {
        let is_texts = |name: &str| name.starts_with("text.") || name.starts_with("text_head.");
        let old: Vec<String> =
            self.weights.names().filter(|name| is_texts(name)).map(str::to_owned).collect();
        for name in old {
            self.weights.take(&name)?;
        }
        for name in text.weights.names().filter(|name| is_texts(name)) {
            self.weights.insert(name, text.weights.tensor(name)?.clone());
        }
        self.config.text = text.config.text;
        self.config.text_head = text.config.text_head;
        self.config.classes = text.config.classes;
        self.config.tokenizer = text.config.tokenizer;
        Ok(self)
    }

    /// Keeps positions for the first `context_len` tokens only, where a model can do without the others: labels are
    /// short, and positions take memory.
    pub fn limit_context(&mut self, context_len: usize) -> Result<(), ModelError> {
        use config::Text;
        // SigLIP pools the last of all positions.
        if let Some(Text::SiglipText { .. }) = self.config.text {
            return Ok(());
        }
        let Some(Text::ClipText { context_len: limit, .. } | Text::Bert { context_len: limit, .. }) =
            &mut self.config.text
        else {
            return Err(ModelError::NoTower { side: "text" });
        };
        let mut position = self.weights.take("text.position")?;
        let row_bytes = position.format.bytes_for(position.n_cols());
        *limit = context_len.min(*limit).min(position.rows());
        position.shape[0] = *limit;
        position.bytes.truncate(*limit * row_bytes);
        self.weights.insert("text.position", position);
        Ok(())
    }
}

/// Which activations a graph hands back besides the embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taps {
    #[default]
    None,
    /// Everything that golden files hold; nothing is skipped then.
    All,
}

/// An image tower and a text tower that share one space; either may be absent.
#[derive(Clone, Debug)]
pub struct DualEncoder {
    pub config: Config,
    vision: Option<VisionTower>,
    text: Option<TextTower>,
    image_head: Option<Head>,
    text_head: Option<Head>,
    class_words: Option<ClassWords>,
}

#[derive(Clone, Debug)]
enum VisionTower {
    ClipVit(ClipVit),
    ModifiedResnet(ModifiedResnet),
    EfficientNet(EfficientNet),
}

impl VisionTower {
    fn n_features(&self) -> usize {
        match self {
            Self::ClipVit(tower) => tower.n_features(),
            Self::ModifiedResnet(tower) => tower.n_features(),
            Self::EfficientNet(tower) => tower.n_features(),
        }
    }
}

impl DualEncoder {
    /// Builds the towers from canonical weights; returns the parameters that their graphs refer to beside them, because a
    /// backend keeps those (and the caller may keep a copy to start another backend).
    ///
    /// # Errors
    /// A weight that is missing or whose shape differs from what the configuration says; pictures that no tower sees.
    pub fn new(checkpoint: Checkpoint) -> Result<(Self, ParamSet), ModelError> {
        use config::Vision;
        let Checkpoint { config, mut weights } = checkpoint;
        import::check_pictures(&config, "the configuration")?;
        let mut params = ParamSet::default();
        let mut loader = Loader { weights: &mut weights, params: &mut params };
        let mut vision = match &config.vision {
            Some(Vision::ClipVit { image_size, patch_size, transformer }) => Some(VisionTower::ClipVit(
                ClipVit::load(&mut loader, *image_size, *patch_size, transformer, false)?,
            )),
            Some(Vision::SiglipVit { image_size, patch_size, transformer }) => Some(VisionTower::ClipVit(
                ClipVit::load(&mut loader, *image_size, *patch_size, transformer, true)?,
            )),
            Some(Vision::ModifiedResnet { image_size, strides, n_heads }) => {
                Some(VisionTower::ModifiedResnet(ModifiedResnet::load(
                    &mut loader,
                    *image_size,
                    strides,
                    *n_heads,
                )?))
            }
            Some(Vision::EfficientnetLite { image_size, strides }) => {
                Some(VisionTower::EfficientNet(EfficientNet::load(&mut loader, *image_size, strides)?))
            }
            None => None,
        };
        let text = config.text.as_ref().map(|text| TextTower::load(&mut loader, text)).transpose()?;
        let image_head = match (&config.image_head, &vision) {
            (Some(head), Some(tower)) => {
                Some(Head::load(&mut loader, "image_head", head, tower.n_features())?)
            }
            _ => None,
        };
        if let (Some(head), Some(VisionTower::EfficientNet(tower))) = (&image_head, &mut vision) {
            tower.load_shortcuts(&mut loader, head.n_out(tower.n_features()))?;
        }
        let text_head = match (&config.text_head, &text) {
            (Some(head), Some(tower)) => {
                Some(Head::load(&mut loader, "text_head", head, tower.n_features())?)
            }
            _ => None,
        };
        let class_words = match (&config.classes, &text) {
            (Some(classes), Some(tower)) => {
                Some(ClassWords::load(&mut loader, classes.n_classes, tower.n_features())?)
            }
            _ => None,
        };
        if let (Some(classes), Some(_)) = (&config.classes, &vision) {
            classes.check(image_head.as_ref().map_or(0, Head::n_units))?;
        }
        let model = Self { config, vision, text, image_head, text_head, class_words };
        if let (Ok(image), Ok(text)) = (model.image_width(), model.text_width())
            && image != text
        {
            return Err(ModelError::Widths { image, text });
        }
        Ok((model, params))
    }

    fn vision(&self) -> Result<&VisionTower, ModelError> {
        self.vision.as_ref().ok_or(ModelError::NoTower { side: "image" })
    }

    fn text(&self) -> Result<&TextTower, ModelError> {
        self.text.as_ref().ok_or(ModelError::NoTower { side: "text" })
    }

    /// Height and width of the picture that the image tower sees.
    pub fn image_size(&self) -> Result<usize, ModelError> {
        self.config
            .vision
            .as_ref()
            .map(config::Vision::image_size)
            .ok_or(ModelError::NoTower { side: "image" })
    }

    /// Width of an image embedding.
    pub fn image_width(&self) -> Result<usize, ModelError> {
        Ok(self.image_head_width()? + self.n_classes())
    }

    /// Width of a text embedding.
    pub fn text_width(&self) -> Result<usize, ModelError> {
        let n_features = self.text()?.n_features();
        Ok(self.text_head.as_ref().map_or(n_features, |head| head.n_out(n_features)) + self.n_classes())
    }

    /// The part of an image embedding that is the head's.
    fn image_head_width(&self) -> Result<usize, ModelError> {
        let n_features = self.vision()?.n_features();
        Ok(self.image_head.as_ref().map_or(n_features, |head| head.n_out(n_features)))
    }

    fn n_classes(&self) -> usize {
        self.config.classes.map_or(0, |classes| classes.n_classes)
    }

    /// What an image graph hands back, to embeddings.
    pub fn image_embeddings(&self, outputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let n_units = self.image_head.as_ref().map_or(0, Head::n_units);
        self.with_classes(outputs, self.image_width(), n_units, classes::evidence)
    }

    /// What a text graph hands back, to embeddings.
    pub fn text_embeddings(&self, outputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
        self.with_classes(outputs, self.text_width(), self.n_classes(), |cosines, config| {
            self.class_words.as_ref().map_or_else(Vec::new, |words| words.spread(cosines, config))
        })
    }

    /// Rows of the first output, each with what `of` makes of its row of the second, where there are classes.
    fn with_classes(
        &self,
        outputs: &[Vec<f32>],
        width: Result<usize, ModelError>,
        n_cols: usize,
        of: impl Fn(&[f32], &config::ClassesConfig) -> Vec<f32>,
    ) -> Vec<Vec<f32>> {
        let (Ok(width), Some((embeds, rest))) = (width, outputs.split_first()) else { return Vec::new() };
        let rows = embeds.chunks_exact((width - self.n_classes()).max(1)).map(<[f32]>::to_vec);
        match (&self.config.classes, rest.first()) {
            (Some(config), Some(units)) => {
                let evidence = units.chunks_exact(n_cols.max(1)).map(|units| of(units, config));
                rows.zip(evidence).map(|(embeds, evidence)| [embeds, evidence].concat()).collect()
            }
            _ => rows.collect(),
        }
    }

    /// One input, pixels `[n_images, image_size, image_size, 3]`; one output, `image_embeds`, unit rows, and where the model
    /// has classes `image_classes`, for [`Self::image_embeddings`].
    pub fn image_graph(&self, n_images: usize, taps: Taps) -> Result<Graph, ModelError> {
        let mut graph = Graph::default();
        let size = self.image_size()?;
        let pixels = graph.input(n_images * size * size * 3);
        let tower = self.vision()?;
        let (features, beside) = match tower {
            VisionTower::ClipVit(tower) => (tower.emit(&mut graph, pixels, n_images, taps), None),
            VisionTower::ModifiedResnet(tower) => (tower.emit(&mut graph, pixels, n_images), None),
            VisionTower::EfficientNet(tower) => tower.emit(&mut graph, pixels, n_images, taps),
        };
        let n_features = tower.n_features();
        if taps == Taps::All {
            graph.output("image_features", features, &[n_images, n_features]);
        }
        self.finish(&mut graph, &self.image_head, (features, beside), n_features, "image_embeds");
        if self.config.classes.is_some()
            && let Some(head) = &self.image_head
            && let Some(units) = head.emit_units(&mut graph, features, n_features)
        {
            graph.output("image_classes", units, &[n_images, head.n_units()]);
        }
        Ok(graph)
    }

    /// Packs token sequences (start and end tokens included) for [`Self::text_graph`].
    pub fn text_batch(&self, sequences: &[Vec<u32>]) -> Result<TextBatch, ModelError> {
        self.text()?.batch(sequences)
    }

    /// Packs padded sequences as they are, for goldens; of each the first `n_keys` tokens are no padding.
    pub fn padded_text_batch(
        &self,
        sequences: &[Vec<u32>],
        n_keys: &[usize],
    ) -> Result<TextBatch, ModelError> {
        self.text()?.padded_batch(sequences, n_keys)
    }

    /// The input of [`Self::text_graph`]: the batch's token vectors with their positions `[n_rows, width]`.
    pub fn text_inputs(&self, batch: &TextBatch) -> Result<Vec<f32>, ModelError> {
        Ok(self.text()?.inputs(batch))
    }

    /// One input (from [`Self::text_inputs`]); one output, `text_embeds`, unit rows, and where the model
    /// has classes `text_classes`, for [`Self::text_embeddings`].
    pub fn text_graph(&self, batch: &TextBatch, taps: Taps) -> Result<Graph, ModelError> {
        let mut graph = Graph::default();
        let tower = self.text()?;
        let width = self.config.text.as_ref().map_or(0, |text| text.transformer().width);
        let tokens = graph.input(batch.n_rows() * width);
        let features = tower.emit(&mut graph, tokens, batch, taps);
        self.finish(&mut graph, &self.text_head, (features, None), tower.n_features(), "text_embeds");
        if let Some(ClassWords { words, .. }) = &self.class_words {
            let unit = graph.normalize(features, tower.n_features());
            let cosines = graph.linear(unit, words, Activation::Identity, None);
            graph.output("text_classes", cosines, &[graph.len(cosines) / words.n_out, words.n_out]);
        }
        Ok(graph)
    }

    fn finish(
        &self,
        graph: &mut Graph,
        head: &Option<Head>,
        (x, beside): (Slot, Option<Slot>),
        n_features: usize,
        name: &str,
    ) {
        let (x, width) = match head {
            Some(head) => (head.emit(graph, x, n_features, beside), head.n_out(n_features)),
            None => (x, n_features),
        };
        let embeds = graph.normalize(x, width);
        let n_rows = graph.len(embeds) / width;
        graph.output(name, embeds, &[n_rows, width]);
    }

    /// What the model adds to its logits before the sigmoid: SigLIP's bias; CLIP has none.
    pub fn logit_bias(&self) -> f32 {
        match self.config.text {
            Some(config::Text::SiglipText { .. }) => self.config.calibration.sigmoid_bias.unwrap_or(0.0),
            _ => 0.0,
        }
    }

    /// Two inputs, unit rows `[n_images, width]` and `[n_texts, width]`; one output, `logits_per_image`
    /// `[n_images, n_texts]`: cosines times the model's scale, without [`Self::logit_bias`].
    pub fn similarity_graph(&self, n_images: usize, n_texts: usize) -> Result<Graph, ModelError> {
        let n_cols = self.image_head_width()?;
        let mut graph = Graph::default();
        let a = graph.input(n_images * n_cols);
        let b = graph.input(n_texts * n_cols);
        let y = graph.slot(n_images * n_texts);
        let scale = self.config.calibration.scale;
        graph.ops.push(Op::Similarity { a, b, scale, y, n_a: n_images, n_b: n_texts, n_cols });
        graph.output("logits_per_image", y, &[n_images, n_texts]);
        Ok(graph)
    }
}
