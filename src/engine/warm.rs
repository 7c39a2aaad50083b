//! A GPU that is made ready for a model whose weights are still on their way: shaders compile beside the download.
//!
//! Invariant: only a head start: whatever fails here is tried again, and told of, when the model is loaded. But a GPU that did
//! not answer is not waited for a second time.

#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, GpuError, GpuOptions};
use crate::models::Config;
#[cfg(feature = "gpu")]
use crate::models::{Checkpoint, DualEncoder, ModelError, Taps};
use crate::weights::Weights;

/// A GPU with a model's kernels compiled, or that it did not answer.
pub struct WarmGpu {
    #[cfg(feature = "gpu")]
    pub(super) gpu: Result<Gpu, GpuError>,
}

impl WarmGpu {
    /// For the model of this configuration; of `outlines` only names, shapes and formats count. `None` where there is no
    /// GPU, or the outlines are not the model's.
    #[cfg(feature = "gpu")]
    pub async fn new(config: &Config, outlines: Weights) -> Option<Self> {
        let checkpoint =
            Checkpoint { config: Config { tokenizer: None, ..config.clone() }, weights: outlines };
        let (model, params) = DualEncoder::new(checkpoint).ok()?;
        match Gpu::request(GpuOptions::default()).await {
            Ok(gpu) => compile(&gpu, &model, &params).ok().map(|()| Self { gpu: Ok(gpu) }),
            Err(silent @ GpuError::Silent { .. }) => Some(Self { gpu: Err(silent) }),
            Err(_) => None,
        }
    }

    #[cfg(not(feature = "gpu"))]
    pub async fn new(_config: &Config, _outlines: Weights) -> Option<Self> {
        None
    }
}

/// One picture and one text: which kernels run does not depend on how many.
#[cfg(feature = "gpu")]
fn compile(gpu: &Gpu, model: &DualEncoder, params: &crate::graph::ParamSet) -> Result<(), GpuError> {
    let text = || -> Result<_, ModelError> { model.text_graph(&model.text_batch(&[vec![0]])?, Taps::None) };
    let graphs = [model.image_graph(1, Taps::None), text()];
    graphs.iter().flatten().try_for_each(|graph| gpu.compile(graph, params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{BackendChoice, Engine};
    use crate::models::load_gguf;
    use crate::weights::{Item, Stream};

    #[test]
    fn the_header_alone_tells_every_kernel_that_the_start_needs() {
        let bytes = std::fs::read("static/models/starter.gguf").unwrap();
        let mut stream = Stream::new(bytes.len() as u64);
        let Some(Item::Header(header)) = stream.push(&mut &bytes[..]).unwrap() else { panic!("no header") };
        let checkpoint = load_gguf(&bytes).unwrap();
        pollster::block_on(async {
            let warm = WarmGpu::new(&checkpoint.config, header.outlines).await.unwrap();
            let gpu = warm.gpu.clone().unwrap();
            let n_before = gpu.n_pipelines();
            assert!(n_before > 5, "{n_before}");
            let file_bytes = bytes.len();
            let engine = Engine::on_warm_gpu(Some(warm), checkpoint, file_bytes, BackendChoice::Gpu, |_| {});
            let engine = engine.await.unwrap();
            assert!(engine.info().self_test.unwrap().passed);
            assert_eq!(gpu.n_pipelines(), n_before, "the self-test compiled more");
        });
    }

    #[test]
    fn outlines_of_another_model_warm_nothing() {
        let config = load_gguf(&std::fs::read("static/models/starter.gguf").unwrap()).unwrap().config;
        assert!(pollster::block_on(WarmGpu::new(&config, Weights::default())).is_none());
    }
}
