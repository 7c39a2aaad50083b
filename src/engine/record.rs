//! What the start-up check compares with, computed where a model is converted.
//!
//! Invariant: one tower at a time is held, as the file stores it; the CPU backend widens what an operation uses.
//! Invariant: both towers are built as [`Engine`](super::Engine) builds them, also where nothing is to be recorded.

use super::backend::BackendError;
use super::{EngineError, self_test_picture};
use crate::cpu::CpuModel;
use crate::models::config::SelfTestRecord;
use crate::models::{Config, DualEncoder, ModelError, Taps};
use crate::weights::Weights;

/// What a model is asked that came without a check of its own.
const LABEL: &str = "a photo of a red disc";

/// One of a model's towers, with its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Image,
    Text,
}

impl Side {
    /// The side that a tensor belongs to, by its canonical name.
    pub fn of(name: &str) -> Side {
        if name.starts_with("text") { Side::Text } else { Side::Image }
    }
}

/// Builds a model's towers one after another and asks each once.
pub struct Recorder {
    /// The tokenizer is left out, because it is large.
    config: Config,
    label: String,
    /// The label's tokens; `None`: nothing is recorded.
    tokens: Option<Vec<u32>>,
    image: Option<Answer>,
    text: Option<Answer>,
}

struct Answer {
    width: usize,
    /// Empty where nothing is recorded.
    embedding: Vec<f32>,
}

impl Recorder {
    /// For a model of this configuration. Nothing is recorded unless it is wanted and the model reads labels and sees
    /// pictures. A label that the configuration has a record of is asked again, with these weights.
    ///
    /// # Errors
    /// A tokenizer that cannot be used.
    pub fn new(config: &Config, is_wanted: bool) -> Result<Self, EngineError> {
        let record = config.selftest.as_ref();
        let label = record.map_or(LABEL, |record| &record.label).to_owned();
        let is_wanted = is_wanted && config.vision.is_some();
        let tokens = match (&config.tokenizer, &config.text) {
            (Some(file), Some(text)) if is_wanted => Some(file.open(text)?.encode(&label)?.ids),
            _ => None,
        };
        let config = Config { tokenizer: None, selftest: None, ..config.clone() };
        Ok(Self { config, label, tokens, image: None, text: None })
    }

    pub fn is_wanted(&self) -> bool {
        self.tokens.is_some()
    }

    /// The towers that the model has.
    pub fn sides(&self) -> Vec<Side> {
        let has = |side: &Side| match side {
            Side::Image => self.config.vision.is_some(),
            Side::Text => self.config.text.is_some(),
        };
        [Side::Image, Side::Text].into_iter().filter(has).collect()
    }

    /// Builds this side from its weights.
    ///
    /// # Errors
    /// Weights that are missing or do not fit the configuration; tokens beyond the model's.
    pub fn add(&mut self, side: Side, weights: Weights) -> Result<(), EngineError> {
        let mut config = self.config.clone();
        match side {
            Side::Image => (config.text, config.text_head) = (None, None),
            Side::Text => (config.vision, config.image_head) = (None, None),
        }
        let (model, params) = DualEncoder::new(crate::models::Checkpoint { config, weights })?;
        let width = match side {
            Side::Image => model.image_width()?,
            Side::Text => model.text_width()?,
        };
        let mut embedding = Vec::new();
        if let Some(tokens) = &self.tokens {
            let (graph, inputs) = match side {
                Side::Image => {
                    let picture = self_test_picture(model.image_size()?);
                    let pixels = model.config.preprocess.tensor(&picture);
                    (model.image_graph(1, Taps::None)?, pixels.values)
                }
                Side::Text => {
                    let batch = model.text_batch(std::slice::from_ref(tokens))?;
                    (model.text_graph(&batch, Taps::None)?, model.text_inputs(&batch)?)
                }
            };
            let outputs = CpuModel::lean(&params).run(&graph, &[&inputs]).map_err(BackendError::from)?;
            let rows = match side {
                Side::Image => model.image_embeddings(&outputs),
                Side::Text => model.text_embeddings(&outputs),
            };
            embedding = rows.into_iter().next().unwrap_or_default();
        }
        let answer = Some(Answer { width, embedding });
        match side {
            Side::Image => self.image = answer,
            Side::Text => self.text = answer,
        }
        Ok(())
    }

    /// The record, where there is one.
    ///
    /// # Errors
    /// Towers whose embeddings cannot be compared.
    pub fn finish(self) -> Result<Option<SelfTestRecord>, EngineError> {
        match (self.image, self.text) {
            (Some(image), Some(text)) if image.width != text.width => {
                Err(ModelError::Widths { image: image.width, text: text.width }.into())
            }
            (Some(image), Some(text)) if self.tokens.is_some() => Ok(Some(SelfTestRecord {
                label: self.label,
                image_embeds: image.embedding,
                text_embeds: text.embedding,
            })),
            _ => Ok(None),
        }
    }
}
