//! The façade: one loaded model that encodes pictures and texts.
//!
//! The four steps, natively (in a browser, `.await` instead of blocking):
//!
//! ```
//! use cliplet::engine::{BackendChoice, Engine};
//! use cliplet::image;
//! use cliplet::tasks::classify;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let file = std::fs::read("static/models/starter.gguf")?;
//! # let picture = image::Pixels::opaque(2, 1, vec![200, 30, 20, 10, 90, 220]);
//! # pollster::block_on(async {
//! // 1. Load: any model file of this project's GGUF.
//! let engine = Engine::load(&file, BackendChoice::Auto, |stage| eprintln!("{stage:?}")).await?;
//! // 2. Preprocess: `image::decode` makes pixels of a file's bytes.
//! let pixels = engine.preprocess(&picture);
//! // 3. Encode the picture, and the labels in the model's own prompts.
//! let image = &engine.encode_images(&[pixels]).await?[0];
//! let labels = ["a red apple".to_owned(), "the sea".to_owned()];
//! let labels = engine.embed_labels(&labels, &engine.prompts(&[])?).await?;
//! assert!(labels.notes.cut.is_empty());
//! // 4. Compare.
//! let ranked = classify::rank(image, &labels.readable, &engine.calibration(), classify::Mode::Softmax, false);
//! assert_eq!(ranked.labels.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: an engine that was loaded has passed the self-test of its file on the backend that it names.
//! Invariant: `encode_*` allocate for a new shape only; one picture at a time reuses everything.

mod backend;
mod clock;
mod labels;
mod record;
mod self_test;
mod verify;
mod warm;

pub use crate::facts::{
    BackendChoice, BackendInfo, BackendKind, Fallback, FallbackCause, LabelNotes, ModelInfo, SelfTest,
};
pub use backend::{Backend, BackendError, Prepared};
pub use clock::now_millis;
pub use labels::{EmbeddedLabels, KnownLabels};
pub use record::{Recorder, Side};
pub use self_test::{MIN_COSINE as SELF_TEST_MIN_COSINE, picture as self_test_picture};
pub use verify::{Comparison, GoldenFiles, MAX_ERROR, MIN_COSINE, Report, cosine, verify, verify_checkpoint};
pub use warm::WarmGpu;

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use self::backend::fallback;
use self::self_test::judged;
use crate::graph::ParamSet;
use crate::image::{PixelTensor, Pixels};
use crate::models::config::SelfTestRecord;
use crate::models::{
    Calibration, Checkpoint, DualEncoder, ModelError, Quantization, Taps, load_gguf, save_gguf,
};
use crate::tasks::{ImageEmbedding, TextEmbedding};
use crate::text::{Template, TextError, Tokenizer, Tokens};

/// Texts of one submit have at most this many tokens together: larger sets are split, so that no submit runs into a
/// browser's two-second watchdog.
const MAX_ROWS: usize = 1024;

/// Why a model cannot be loaded or asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("the file holds no tokenizer: save it with one to encode texts")]
    NoTokenizer,
    #[error("the picture is {given} pixels wide, the model sees {expected}: use `preprocess`")]
    PictureSize { given: usize, expected: usize },
    #[error(
        "wrong results on this device ({device}): its cosine to the stored embeddings is {image:.4} for a picture and \
         {text:.4} for a label, needed {min}"
    )]
    SelfTest { device: String, image: f64, text: f64, min: f64 },
    #[error("the golden file cannot be used: {0}")]
    Golden(String),
}

impl EngineError {
    /// Whether the GPU went away: [`Engine::recover`] may help.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_device_lost())
    }

    /// Whether it went away by not answering any more: only the CPU helps then.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_silence())
    }
}

/// How far loading is; each is reported when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineStage {
    /// Reading the file's tensors.
    Reading,
    /// Asking for a GPU and putting the weights there.
    Uploading,
    /// Compiling shaders and allocating for one picture.
    Preparing,
    /// Comparing a picture and a label with stored embeddings.
    Testing,
}

impl EngineStage {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading the weights",
            Self::Uploading => "uploading the weights",
            Self::Preparing => "preparing the device",
            Self::Testing => "testing the device",
        }
    }
}

/// How long the last call took, by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTimes {
    /// Text to tokens and token vectors.
    pub tokenize_millis: f64,
    /// Graphs for shapes not seen before.
    pub prepare_millis: f64,
    /// The forward pass, until its result can be read.
    pub run_millis: f64,
}

/// A loaded model.
pub struct Engine {
    model: DualEncoder,
    /// Kept to start over on another backend.
    params: ParamSet,
    tokenizer: Option<Tokenizer>,
    backend: Backend,
    /// The image tower for one picture.
    image: Prepared,
    info: ModelInfo,
    times: Cell<StageTimes>,
}

impl Engine {
    /// Loads a model from our GGUF and checks it on this device. `Auto` goes to the CPU where there is no GPU, or
    /// where the GPU fails or computes wrong results; [`Self::info`] then says why.
    ///
    /// # Errors
    /// A file that is damaged or of another kind; a backend that is not there; results that are wrong on the backend that
    /// was asked for.
    pub async fn load(
        bytes: &[u8],
        choice: BackendChoice,
        on_progress: impl FnMut(EngineStage),
    ) -> Result<Self, EngineError> {
        Self::from_checkpoint(load_gguf(bytes)?, bytes.len(), choice, on_progress).await
    }

    /// The same from a checkpoint that was imported.
    pub async fn from_checkpoint(
        checkpoint: Checkpoint,
        file_bytes: usize,
        choice: BackendChoice,
        on_progress: impl FnMut(EngineStage),
    ) -> Result<Self, EngineError> {
        Self::on_warm_gpu(None, checkpoint, file_bytes, choice, on_progress).await
    }

    /// The same on a GPU that was made ready for this model, where it runs on a GPU.
    pub async fn on_warm_gpu(
        warm: Option<WarmGpu>,
        mut checkpoint: Checkpoint,
        file_bytes: usize,
        choice: BackendChoice,
        mut on_progress: impl FnMut(EngineStage),
    ) -> Result<Self, EngineError> {
        let start = now_millis();
        on_progress(EngineStage::Reading);
        let templates = &mut checkpoint.config.templates;
        if templates.is_empty() {
            templates.push(Template::default().to_string());
        }
        templates.iter().try_for_each(|text| Template::parse(text).map(drop))?;
        // Taken, not copied: a tokenizer's file is half a megabyte.
        let file = checkpoint.config.tokenizer.take();
        let context_len = checkpoint.config.text.as_ref().map_or(0, |text| text.context_len());
        let tokenizer = match (&checkpoint.config.text, file) {
            (Some(text), Some(file)) => Some(file.open(text)?),
            _ => None,
        };
        let (model, params) = DualEncoder::new(checkpoint)?;
        on_progress(EngineStage::Uploading);
        let mut backend = Backend::start_on(warm, choice, &params).await?;
        on_progress(EngineStage::Preparing);
        let graph = model.image_graph(1, Taps::None)?;
        let image = match backend.prepare(graph.clone()) {
            Err(error) if backend.may_be_left(choice) => {
                backend.destroy();
                backend = Backend::cpu(&params, Some(fallback(&error.into())));
                backend.prepare(graph)?
            }
            prepared => prepared?,
        };
        let info = ModelInfo {
            about: model.config.about.clone(),
            backend: backend.info().clone(),
            self_test: None,
            file_bytes,
            image_size: model.image_size()?,
            fit: model.config.preprocess.fit,
            inside: model.config.preprocess.inside(),
            context_len,
            embedding_width: model.image_width()?,
            is_calibrated: model.config.calibration.is_fitted(),
            knows_none: model.config.calibration.knows_none(),
            load_millis: 0.0,
        };
        let mut engine = Self { model, params, tokenizer, backend, image, info, times: Cell::default() };
        on_progress(EngineStage::Testing);
        engine.check(choice).await?;
        engine.info.load_millis = now_millis() - start;
        Ok(engine)
    }

    /// Runs the self-test where the file has one; with `Auto`, a GPU that fails is given up for the CPU.
    async fn check(&mut self, choice: BackendChoice) -> Result<(), EngineError> {
        let error = match self.self_test().await {
            Ok(Some(found)) if !found.passed => {
                self.info.self_test = Some(found);
                EngineError::SelfTest {
                    device: self.info.backend.adapter.clone().unwrap_or_else(|| "CPU".to_owned()),
                    image: found.cosine_image,
                    text: found.cosine_text,
                    min: SELF_TEST_MIN_COSINE,
                }
            }
            Ok(found) => {
                self.info.self_test = found;
                return Ok(());
            }
            Err(error) => error,
        };
        let is_devices_fault = matches!(error, EngineError::SelfTest { .. } | EngineError::Backend(_));
        if !is_devices_fault || !self.backend.may_be_left(choice) {
            return Err(error);
        }
        self.switch(Backend::cpu(&self.params, Some(fallback(&error))))?;
        Box::pin(self.check(BackendChoice::Cpu)).await
    }

    fn switch(&mut self, backend: Backend) -> Result<(), EngineError> {
        self.backend.destroy();
        self.image = backend.prepare(self.model.image_graph(1, Taps::None)?)?;
        self.info.backend = backend.info().clone();
        self.backend = backend;
        Ok(())
    }

    /// Gives the device up, as a driver's reset would: later calls fail until [`Self::recover`]. For tests, and to free
    /// memory before another model is loaded.
    pub fn lose_device(&self) {
        self.backend.destroy();
    }

    /// Starts over after a lost device, from the weights in memory, and tests again.
    pub async fn recover(&mut self, choice: BackendChoice) -> Result<(), EngineError> {
        self.backend.destroy();
        self.switch(Backend::start(choice, &self.params).await?)?;
        self.check(choice).await
    }

    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Similarities to probabilities, as fitted for this model.
    pub fn calibration(&self) -> Calibration {
        self.model.config.calibration
    }

    /// Prompts that suit the model, each with `{label}` in it; at least one, and each parses.
    pub fn templates(&self) -> &[String] {
        &self.model.config.templates
    }

    /// How long the last `encode_*` took.
    pub fn last_times(&self) -> StageTimes {
        self.times.get()
    }

    /// What the model sees of a picture.
    pub fn crop(&self, pixels: &Pixels) -> Pixels {
        self.model.config.preprocess.crop(pixels)
    }

    /// What the model sees as its input.
    pub fn tensor(&self, crop: &Pixels) -> PixelTensor {
        self.model.config.preprocess.numbers(crop)
    }

    /// A picture as the model's input.
    pub fn preprocess(&self, pixels: &Pixels) -> PixelTensor {
        self.model.config.preprocess.tensor(pixels)
    }

    /// A text as the model's tokens; says whether it was cut.
    pub fn tokenize(&self, text: &str) -> Result<Tokens, EngineError> {
        Ok(self.tokenizer.as_ref().ok_or(EngineError::NoTokenizer)?.encode(text)?)
    }

    /// Whether the model understands anything of `text`.
    pub fn can_read(&self, text: &str) -> Result<bool, EngineError> {
        Ok(self.tokenizer.as_ref().ok_or(EngineError::NoTokenizer)?.can_read(text)?)
    }

    /// Encodes pictures, all in one pass.
    pub async fn encode_images(&self, pixels: &[PixelTensor]) -> Result<Vec<ImageEmbedding>, EngineError> {
        let expected = self.info.image_size;
        if let Some(PixelTensor { size: given, .. }) = pixels.iter().find(|pixels| pixels.size != expected) {
            return Err(EngineError::PictureSize { given: *given, expected });
        }
        let start = now_millis();
        let several;
        let (prepared, values) = match pixels {
            [] => return Ok(Vec::new()),
            [one] => (&self.image, std::borrow::Cow::Borrowed(&one.values)),
            many => {
                several = self.backend.prepare(self.model.image_graph(many.len(), Taps::None)?)?;
                let values: Vec<f32> = many.iter().flat_map(|pixels| pixels.values.iter().copied()).collect();
                (&several, std::borrow::Cow::Owned(values))
            }
        };
        let prepared_at = now_millis();
        let rows = self.model.image_embeddings(&self.backend.run(prepared, &[&values]).await?);
        self.times.set(StageTimes {
            tokenize_millis: 0.0,
            prepare_millis: prepared_at - start,
            run_millis: now_millis() - prepared_at,
        });
        Ok(rows.into_iter().map(ImageEmbedding::new).collect())
    }

    /// Tokenizes and encodes texts, packed without padding into few passes.
    pub async fn encode_texts(&self, texts: &[&str]) -> Result<Vec<TextEmbedding>, EngineError> {
        let mut times = StageTimes::default();
        let start = now_millis();
        let sequences =
            texts.iter().map(|text| Ok(self.tokenize(text)?.ids)).collect::<Result<Vec<_>, EngineError>>()?;
        times.tokenize_millis = now_millis() - start;
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut rest = &sequences[..];
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(n_fitting(rest));
            rest = behind;
            let start = now_millis();
            let batch = self.model.text_batch(chunk)?;
            let inputs = self.model.text_inputs(&batch)?;
            let gathered = now_millis();
            let prepared = self.backend.prepare(self.model.text_graph(&batch, Taps::None)?)?;
            let ready = now_millis();
            let rows = self.model.text_embeddings(&self.backend.run(&prepared, &[&inputs]).await?);
            embeddings.extend(rows.into_iter().map(TextEmbedding::new));
            times.tokenize_millis += gathered - start;
            times.prepare_millis += ready - gathered;
            times.run_millis += now_millis() - ready;
        }
        self.times.set(times);
        Ok(embeddings)
    }

    /// Compares the towers on this device with what the file holds; `None` where it holds nothing.
    pub async fn self_test(&self) -> Result<Option<SelfTest>, EngineError> {
        let Some(stored) = &self.model.config.selftest else { return Ok(None) };
        let start = now_millis();
        let found = self.self_test_record(&stored.label).await?;
        let millis = now_millis() - start;
        Ok(Some(judged(
            cosine(&found.image_embeds, &stored.image_embeds),
            cosine(&found.text_embeds, &stored.text_embeds),
            millis,
        )))
    }

    /// What [`pack`] stores in a file.
    pub async fn self_test_record(&self, label: &str) -> Result<SelfTestRecord, EngineError> {
        let pixels = self.preprocess(&self_test_picture(self.info.image_size));
        let images = self.encode_images(&[pixels]).await?;
        let texts = self.encode_texts(&[label]).await?;
        Ok(SelfTestRecord {
            label: label.to_owned(),
            image_embeds: images.first().map(|image| image.values().to_vec()).unwrap_or_default(),
            text_embeds: texts.first().map(|text| text.values().to_vec()).unwrap_or_default(),
        })
    }
}

/// Writes a model with the embeddings that the start-up check compares with: computed by the CPU backend in f32, on the
/// weights as this file stores them, for [`self_test_picture`] and `label`.
pub async fn pack(
    checkpoint: &Checkpoint,
    quantization: &Quantization,
    label: &str,
) -> Result<Vec<u8>, EngineError> {
    let mut checkpoint = checkpoint.clone();
    checkpoint.config.selftest = None;
    let bytes = save_gguf(&checkpoint, quantization)?;
    let engine = Engine::load(&bytes, BackendChoice::Cpu, |_| ()).await?;
    checkpoint.config.selftest = Some(engine.self_test_record(label).await?);
    Ok(save_gguf(&checkpoint, quantization)?)
}

/// How many of the first sequences fit one submit; at least one.
fn n_fitting(sequences: &[Vec<u32>]) -> usize {
    let mut n_rows = 0;
    let fitting = sequences.iter().take_while(|ids| {
        n_rows += ids.len();
        n_rows <= MAX_ROWS
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_label_sets_are_split_by_rows() {
        let sequences = vec![vec![0; 100]; 25];
        assert_eq!(n_fitting(&sequences), 10);
        assert_eq!(n_fitting(&[vec![0; 3000]]), 1, "one that is too long goes alone");
    }
}
