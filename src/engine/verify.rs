//! Golden files: every tensor that PyTorch wrote, recomputed from its inputs and compared.
//!
//! Invariant: a comparison passes only by `cosine ≥ limit` and `error ≤ limit`, so that NaN fails.
//! Invariant: a golden tensor that the model does not compute fails, by name.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Backend, BackendChoice, BackendInfo, EngineError};
use crate::models::{Checkpoint, DualEncoder, ModelFolder, Taps, import, load_gguf};
use crate::weights::safetensors::{self, SafetensorsFile};
use crate::weights::{Weights, WeightsError, gguf};

/// Smallest cosine between a recomputed tensor and its golden: f32 rounding leaves about 1 − 1e-10.
pub const MIN_COSINE: f64 = 0.99999;
/// Largest error, in parts of the golden's range, zero included: f32 sums in another order leave about 1e-6.
pub const MAX_ERROR: f64 = 1e-3;

/// The tensors of a golden file that are inputs.
const INPUTS: [&str; 3] = ["pixel_values", "input_ids", "attention_mask"];

/// The files of a folder to verify.
#[derive(Clone, Copy, Debug)]
pub struct GoldenFiles<'a> {
    /// `config.json`; a GGUF needs none.
    pub config: &'a [u8],
    /// `model.safetensors`, or a GGUF.
    pub weights: &'a [u8],
    /// `golden.safetensors`.
    pub golden: &'a [u8],
}

/// How one tensor compares.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub name: String,
    pub cosine: f64,
    /// Largest absolute difference over the golden's range, zero included (so that a constant has one); 0 where nothing
    /// differs.
    pub max_error: f64,
    pub passed: bool,
}

/// How a whole folder compares.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub backend: BackendInfo,
    pub tensors: Vec<Comparison>,
    pub passed: bool,
}

impl Comparison {
    /// Compares values with their golden; other lengths fail.
    pub fn new(name: &str, values: &[f32], golden: &[f32]) -> Self {
        let (cosine, max_error) = match values.len() == golden.len() {
            true => (cosine(values, golden), max_error(values, golden)),
            false => (f64::NAN, f64::NAN),
        };
        // Zeros have no direction; zeros for zeros agree.
        let all_zero = !golden.is_empty() && golden.iter().all(|value| *value == 0.0);
        let cosine = if all_zero && max_error == 0.0 { 1.0 } else { cosine };
        let passed = cosine >= MIN_COSINE && max_error <= MAX_ERROR;
        Self { name: name.to_owned(), cosine, max_error, passed }
    }
}

/// The cosine of the angle between two tensors of one length, in f64.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

fn max_error(values: &[f32], golden: &[f32]) -> f64 {
    let (mut low, mut high, mut error) = (0.0f64, 0.0f64, 0.0f64);
    for (value, golden) in values.iter().zip(golden) {
        let (value, golden) = (f64::from(*value), f64::from(*golden));
        (low, high) = (low.min(golden), high.max(golden));
        let difference = (value - golden).abs();
        // `max` drops NaN; this keeps it.
        if difference > error || difference.is_nan() {
            error = difference;
        }
        if error.is_nan() {
            return error;
        }
    }
    if error == 0.0 { 0.0 } else { error / (high - low) }
}

/// Recomputes every golden tensor on the chosen backend.
///
/// # Errors
/// Files that cannot be read, an architecture that is not supported, a backend that is not there.
pub async fn verify(files: GoldenFiles<'_>, choice: BackendChoice) -> Result<Report, EngineError> {
    let read = |bytes| safetensors::read(bytes).map_err(WeightsError::from);
    let golden = read(files.golden)?;
    let checkpoint = if files.weights.starts_with(gguf::MAGIC) {
        load_gguf(files.weights)?
    } else {
        let weights = Weights::try_from(read(files.weights)?)?;
        import(ModelFolder { config: files.config, ..Default::default() }, &weights)?
    };
    verify_checkpoint(checkpoint, &golden, choice).await
}

/// The same of a model that was read already.
///
/// # Errors
/// A model that cannot be built, inputs that are none of it, a backend that is not there.
pub async fn verify_checkpoint(
    checkpoint: Checkpoint,
    golden: &SafetensorsFile,
    choice: BackendChoice,
) -> Result<Report, EngineError> {
    let (model, params) = DualEncoder::new(checkpoint)?;
    let backend = Backend::start(choice, &params).await?;
    let computed = recompute(&model, &backend, golden).await?;
    let mut tensors = Vec::new();
    for (name, raw) in &golden.tensors {
        if INPUTS.contains(&name.as_str()) {
            continue;
        }
        let expected = raw.clone().into_tensor(name)?.to_f32();
        let values = computed.get(name).map_or(&[][..], Vec::as_slice);
        tensors.push(Comparison::new(name, values, &expected));
    }
    let passed = !tensors.is_empty() && tensors.iter().all(|comparison| comparison.passed);
    Ok(Report { backend: backend.info().clone(), tensors, passed })
}

/// Every tensor that the model can compute from the golden file's inputs, by the names of golden files.
async fn recompute(
    model: &DualEncoder,
    backend: &Backend,
    golden: &SafetensorsFile,
) -> Result<BTreeMap<String, Vec<f32>>, EngineError> {
    let mut computed = BTreeMap::new();
    let (mut n_images, mut n_texts) = (0, 0);
    if let Some(pixels) = golden.tensors.get("pixel_values") {
        let size = model.image_size()?;
        let (n, channels, height, width) = match pixels.shape[..] {
            [n, 3, height, width] if (height, width) == (size, size) => (n, 3, height, width),
            _ => {
                return Err(EngineError::Golden(format!(
                    "pixel_values is {:?}, the model sees [images, 3, {size}, {size}]",
                    pixels.shape
                )));
            }
        };
        let planes = pixels.clone().into_tensor("pixel_values")?.to_f32();
        let values = channels_last(&planes, channels, height * width);
        let graph = model.image_graph(n, Taps::All)?;
        n_images = n;
        computed.extend(backend.run_named(&graph, &[&values]).await?);
    }
    if let Some(raw) = golden.tensors.get("input_ids") {
        let [n, len] = raw.shape[..] else {
            return Err(EngineError::Golden("input_ids is not [texts, tokens]".to_owned()));
        };
        let ids = integers(golden, "input_ids")?.unwrap_or_default();
        let sequences: Vec<Vec<u32>> = ids.chunks_exact(len.max(1)).map(<[u32]>::to_vec).collect();
        let n_keys: Vec<usize> = match integers(golden, "attention_mask")? {
            Some(mask) => mask.chunks_exact(len.max(1)).map(n_keys).collect::<Result<_, _>>()?,
            None => vec![len; n],
        };
        let batch = model.padded_text_batch(&sequences, &n_keys)?;
        let graph = model.text_graph(&batch, Taps::All)?;
        n_texts = n;
        computed.extend(backend.run_named(&graph, &[&model.text_inputs(&batch)?]).await?);
    }
    if let (Some(images), Some(texts)) = (computed.get("image_embeds"), computed.get("text_embeds")) {
        let graph = model.similarity_graph(n_images, n_texts)?;
        let mut logits = backend.run_named(&graph, &[images, texts]).await?;
        logits.iter_mut().flat_map(|(_, logits)| logits).for_each(|logit| *logit += model.logit_bias());
        computed.extend(logits);
    }
    // What a text encoder alone calls its embeddings.
    if let Some(embeds) = computed.get("text_embeds").cloned() {
        computed.insert("normalised".to_owned(), embeds);
    }
    Ok(computed)
}

fn integers(golden: &SafetensorsFile, name: &str) -> Result<Option<Vec<u32>>, EngineError> {
    let Some(raw) = golden.tensors.get(name) else { return Ok(None) };
    let values = raw.to_i64(name).map_err(WeightsError::from)?;
    let ids = values.into_iter().map(|id| u32::try_from(id).ok()).collect::<Option<_>>();
    ids.map(Some).ok_or_else(|| EngineError::Golden(format!("{name} holds a number that is no token")))
}

/// How many tokens a mask keeps; they must come first.
fn n_keys(mask: &[u32]) -> Result<usize, EngineError> {
    let n_keys = mask.iter().take_while(|&&keep| keep != 0).count();
    match mask[n_keys..].iter().all(|&keep| keep == 0) {
        true => Ok(n_keys),
        false => Err(EngineError::Golden("attention_mask keeps a token behind padding".to_owned())),
    }
}

/// `[images, channels, pixels]` to `[images, pixels, channels]`.
fn channels_last(planes: &[f32], channels: usize, n_pixels: usize) -> Vec<f32> {
    let image = |planes: &[f32]| -> Vec<f32> {
        (0..n_pixels * channels).map(|i| planes[i % channels * n_pixels + i / channels]).collect()
    };
    planes.chunks_exact((channels * n_pixels).max(1)).flat_map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_passes_only_what_is_near() {
        let golden = [0.0, 1.0, -1.0, 0.5];
        assert!(Comparison::new("same", &golden, &golden).passed);
        assert!(Comparison::new("near", &[1e-4, 1.0, -1.0, 0.5], &golden).passed);
        assert!(!Comparison::new("off by 2e-3 of the range", &[4.1e-3, 1.0, -1.0, 0.5], &golden).passed);
        assert!(!Comparison::new("NaN", &[f32::NAN, 1.0, -1.0, 0.5], &golden).passed);
        assert!(!Comparison::new("short", &[0.0, 1.0], &golden).passed);
        assert!(!Comparison::new("not computed", &[], &golden).passed);
    }

    #[test]
    fn a_constant_and_a_single_value_are_compared_with_their_size() {
        for golden in [&[25.0f32][..], &[-0.5; 4], &[0.0; 3]] {
            let with = |change: f32| -> Vec<f32> { golden.iter().map(|value| value + change).collect() };
            assert!(Comparison::new("same", golden, golden).passed, "{golden:?}");
            assert!(!Comparison::new("off", &with(0.1), golden).passed, "{golden:?}");
            assert!(!Comparison::new("NaN", &with(f32::NAN), golden).passed, "{golden:?}");
            assert!(!Comparison::new("infinite", &with(f32::INFINITY), golden).passed, "{golden:?}");
        }
        assert!(Comparison::new("near", &[25.001], &[25.0]).passed);
        assert!(!Comparison::new("nothing", &[], &[]).passed);
    }

    #[test]
    fn masks_keep_a_prefix() {
        assert_eq!(n_keys(&[1, 1, 0]).unwrap(), 2);
        assert!(n_keys(&[1, 0, 1]).is_err());
    }
}
