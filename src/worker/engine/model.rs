//! A loaded model with what it knows of pictures and labels already.
//!
//! Invariant: a picture's embedding is kept by the picture's id, a label's by its prompts and itself; the labels of the last
//! question are kept together, so that a new picture costs one product with all of them.

use super::{Failure, Host, Stop, pictures};
use crate::engine::{
    BackendChoice, BackendKind, EmbeddedLabels, Engine, EngineError, Fallback, FallbackCause, KnownLabels,
    LabelNotes, now_millis,
};
use crate::image::{Background, Pixels};
use crate::tasks::{ImageEmbedding, classify};
use crate::text::Template;
use crate::worker::fetch::scope;
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{Answer, Card, Question, StageTime};
use js_sys::Reflect;
use std::collections::HashMap;
use wasm_bindgen::JsValue;

/// Embeddings of pictures that are kept; at 512 numbers each this is 8 MiB.
const MAX_KEPT_PICTURES: usize = 4096;

pub struct Model {
    engine: Engine,
    file: String,
    sha256: String,
    labels: KnownLabels,
    /// The labels of the last question.
    set: Option<LabelSet>,
    /// What the model sees of the picture that was read last: a camera frame can be read once.
    crop: Option<(u64, Pixels)>,
    images: HashMap<u64, Image>,
}

struct LabelSet {
    labels: Vec<String>,
    templates: Vec<String>,
    embedded: EmbeddedLabels,
}

struct Image {
    embedding: ImageEmbedding,
    background: Option<Background>,
}

impl Model {
    pub fn new(engine: Engine, file: String, sha256: String) -> Self {
        let (labels, images) = (KnownLabels::default(), HashMap::new());
        Self { engine, file, sha256, labels, set: None, crop: None, images }
    }

    pub fn card(&self) -> Card {
        let info = self.engine.info().clone();
        let left = info.backend.fallback.as_ref().filter(|_| info.backend.kind == BackendKind::Cpu);
        let fallback = left.map(|Fallback { cause, detail }| {
            let code = match (cause, has_webgpu()) {
                (_, false) => Code::WebgpuMissing,
                (FallbackCause::WrongResults, true) => Code::GpuWrong,
                (FallbackCause::Silent, true) => Code::GpuSilent,
                (FallbackCause::NoGpu, true) => Code::AdapterMissing,
            };
            Problem::new(code, detail)
        });
        Card {
            info,
            templates: self.engine.templates().to_vec(),
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            fallback,
        }
    }

    pub async fn recover(&mut self, choice: BackendChoice) -> Result<(), EngineError> {
        self.engine.recover(choice).await
    }

    /// What the model sees of a picture.
    pub async fn crop<'a>(
        &'a mut self,
        id: u64,
        payloads: &HashMap<u64, JsValue>,
        stages: &mut Vec<StageTime>,
    ) -> Result<&'a Pixels, Problem> {
        let missing = || Problem::new(Code::PictureUnreadable, "the picture did not arrive");
        if self.crop.as_ref().is_none_or(|(known, _)| *known != id) {
            let started = now_millis();
            let picture = payloads.get(&id).cloned().ok_or_else(missing)?;
            let pixels = pictures::pixels(picture).await?;
            let decoded = now_millis();
            self.crop = Some((id, self.engine.crop(&pixels)));
            stages.push(stage("Read picture", decoded - started));
            stages.push(stage("Fit to model", now_millis() - decoded));
        }
        self.crop.as_ref().map(|(_, crop)| crop).ok_or_else(missing)
    }

    /// A picture's embedding.
    pub async fn encode<'a>(
        &'a mut self,
        id: u64,
        payloads: &HashMap<u64, JsValue>,
        stages: &mut Vec<StageTime>,
    ) -> Result<&'a [f32], Failure> {
        if !self.images.contains_key(&id) {
            let crop = self.crop(id, payloads, stages).await?;
            let background = crop.background;
            let crop = crop.clone();
            let started = now_millis();
            let tensor = self.engine.tensor(&crop);
            let embedding = self.engine.encode_images(&[tensor]).await?.pop().ok_or_else(not_encoded)?;
            stages.push(stage("Encode picture", now_millis() - started));
            if self.images.len() >= MAX_KEPT_PICTURES {
                self.images.clear();
            }
            self.images.insert(id, Image { embedding, background });
        }
        Ok(self.images.get(&id).ok_or_else(not_encoded)?.embedding.values())
    }

    /// Has the embeddings of these labels at hand; the host hears after a few each how many of all are encoded, for the
    /// request with this id, and may stop it.
    pub async fn know(
        &mut self,
        labels: &[String],
        templates: &[String],
        stages: &mut Vec<StageTime>,
        (host, id): (&Host, u64),
    ) -> Result<Option<Stop>, Failure> {
        let started = now_millis();
        let is_known = |set: &LabelSet| set.labels == labels && set.templates == templates;
        let mut n_missing = 0;
        if !self.set.as_ref().is_some_and(is_known) {
            let prompts: Vec<Template> =
                templates.iter().filter_map(|text| Template::parse(text).ok()).collect();
            let prompts = if prompts.is_empty() { vec![Template::default()] } else { prompts };
            n_missing = self.labels.n_missing(labels, &prompts);
            let stop = std::cell::Cell::new(None);
            let is_wanted = async |done, total| {
                stop.set(host.told_progress(id, done, total).await);
                stop.get().is_none()
            };
            let embedded =
                self.engine.embed_labels_while(labels, &prompts, &mut self.labels, is_wanted).await?;
            let Some(embedded) = embedded else { return Ok(stop.get()) };
            let (labels, templates) = (labels.to_vec(), templates.to_vec());
            self.set = Some(LabelSet { labels, templates, embedded });
        }
        let name = match n_missing {
            0 => "Labels (known)".to_owned(),
            1 => "Encode 1 label".to_owned(),
            n => format!("Encode {n} labels"),
        };
        stages.push(stage(&name, now_millis() - started));
        Ok(None)
    }

    /// The embeddings of the labels that are at hand, one behind the other, and what is to be said of them.
    pub fn label_values(&self) -> (Vec<f32>, LabelNotes) {
        let Some(LabelSet { embedded: EmbeddedLabels { readable, notes }, .. }) = &self.set else {
            return Default::default();
        };
        (readable.iter().flat_map(|label| label.values()).copied().collect(), notes.clone())
    }

    /// Ranks the labels that are at hand for a picture that is encoded.
    pub fn rank(
        &self,
        question: &Question,
        picture: u64,
        mut stages: Vec<StageTime>,
    ) -> Result<Answer, Problem> {
        let started = now_millis();
        let (Some(Image { embedding, background }), Some(set)) = (self.images.get(&picture), &self.set)
        else {
            return Err(not_encoded());
        };
        let EmbeddedLabels { readable, notes } = &set.embedded;
        let calibration = self.engine.calibration();
        let ranked = classify::rank(embedding, readable, &calibration, question.mode, question.has_none);
        stages.push(stage("Rank", now_millis() - started));
        let (notes, background) = (notes.clone(), *background);
        Ok(Answer { id: question.id, picture, ranked, notes, background, stages })
    }
}

fn not_encoded() -> Problem {
    Problem::new(Code::EngineFailed, "no embedding came for the picture")
}

fn stage(name: &str, millis: f64) -> StageTime {
    StageTime { name: name.to_owned(), millis }
}

fn has_webgpu() -> bool {
    Reflect::get(&scope().navigator(), &"gpu".into()).is_ok_and(|gpu| gpu.is_truthy())
}
