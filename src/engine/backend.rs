//! Where graphs run: on the GPU, or on the CPU with the same answers.
//!
//! Invariant: a device that fails says so with a typed error; only [`Backend::start`] with `Auto` takes another one, and
//! then [`BackendInfo::fallback`] says why.

use super::{EngineError, WarmGpu};
use crate::cpu::{CpuError, CpuModel};
use crate::facts::{BackendChoice, BackendInfo, BackendKind, Fallback, FallbackCause};
#[cfg(feature = "gpu")]
use crate::gpu::{self, Gpu, GpuError, GpuModel, GpuOptions};
use crate::graph::Graph;
use crate::graph::ParamSet;

/// Why a backend cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error(transparent)]
    Cpu(#[from] CpuError),
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("this build has no GPU backend: choose the CPU")]
    NoGpu,
    #[error("a graph prepared on one device cannot run on another")]
    OtherDevice,
}

impl BackendError {
    /// Whether the device went away: what it held is gone, a new one may come.
    pub fn is_device_lost(&self) -> bool {
        #[cfg(feature = "gpu")]
        return matches!(self, BackendError::Gpu(error) if error.is_loss());
        #[cfg(not(feature = "gpu"))]
        false
    }

    /// Whether the device did not answer in time: a new one would hardly do so.
    pub fn is_silence(&self) -> bool {
        #[cfg(feature = "gpu")]
        return matches!(self, BackendError::Gpu(GpuError::Silent { .. }));
        #[cfg(not(feature = "gpu"))]
        false
    }
}

/// The reason why a GPU cannot be used, from what went wrong with it.
pub(super) fn fallback(error: &EngineError) -> Fallback {
    let cause = match error {
        EngineError::SelfTest { .. } => FallbackCause::WrongResults,
        error if error.is_silence() => FallbackCause::Silent,
        _ => FallbackCause::NoGpu,
    };
    Fallback { cause, detail: error.to_string() }
}

/// A model's weights on a device.
pub struct Backend {
    info: BackendInfo,
    device: Device,
}

enum Device {
    Cpu(CpuModel),
    #[cfg(feature = "gpu")]
    Gpu(GpuModel),
}

/// A graph with everything allocated that running it takes.
pub struct Prepared(Runnable);

enum Runnable {
    Cpu(Graph),
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::Prepared>),
}

impl Backend {
    /// Puts the weights where the caller wants them.
    pub async fn start(choice: BackendChoice, params: &ParamSet) -> Result<Self, BackendError> {
        Self::start_on(None, choice, params).await
    }

    /// The same; the GPU, where it is one, is the one that was made ready.
    pub(super) async fn start_on(
        warm: Option<WarmGpu>,
        choice: BackendChoice,
        params: &ParamSet,
    ) -> Result<Self, BackendError> {
        match choice {
            BackendChoice::Cpu => Ok(Self::cpu(params, None)),
            BackendChoice::Gpu => Self::gpu(warm, params).await,
            BackendChoice::Auto => match Self::gpu(warm, params).await {
                Ok(backend) => Ok(backend),
                Err(error) => Ok(Self::cpu(params, Some(fallback(&error.into())))),
            },
        }
    }

    /// Whether the CPU may take over from here.
    pub(super) fn may_be_left(&self, choice: BackendChoice) -> bool {
        choice == BackendChoice::Auto && self.info.kind == BackendKind::Gpu
    }

    /// The CPU; `fallback` says why it is not the GPU.
    pub fn cpu(params: &ParamSet, fallback: Option<Fallback>) -> Self {
        let info = BackendInfo { fallback, ..Default::default() };
        Self { info, device: Device::Cpu(CpuModel::new(params)) }
    }

    #[cfg(feature = "gpu")]
    async fn gpu(warm: Option<WarmGpu>, params: &ParamSet) -> Result<Self, BackendError> {
        let gpu = match warm {
            // What did not answer would be waited for once more.
            Some(WarmGpu { gpu: Err(silent) }) => return Err(silent.into()),
            Some(WarmGpu { gpu: Ok(gpu) }) if !gpu.is_lost() => gpu,
            _ => Gpu::request(GpuOptions::default()).await?,
        };
        let adapter = gpu.adapter();
        let info = BackendInfo {
            kind: BackendKind::Gpu,
            adapter: Some(adapter.name.clone()),
            is_software: adapter.is_software,
            fallback: None,
        };
        Ok(Self { info, device: Device::Gpu(gpu.upload(params.clone())) })
    }

    #[cfg(not(feature = "gpu"))]
    async fn gpu(_warm: Option<WarmGpu>, _params: &ParamSet) -> Result<Self, BackendError> {
        Err(BackendError::NoGpu)
    }

    pub fn info(&self) -> &BackendInfo {
        &self.info
    }

    /// Allocates what `graph` needs; a prepared graph runs any number of times.
    pub fn prepare(&self, graph: Graph) -> Result<Prepared, BackendError> {
        match &self.device {
            Device::Cpu(_) => Ok(Prepared(Runnable::Cpu(graph))),
            #[cfg(feature = "gpu")]
            Device::Gpu(model) => Ok(Prepared(Runnable::Gpu(Box::new(model.prepare(&graph)?)))),
        }
    }

    /// Runs a prepared graph; outputs in the graph's order.
    pub async fn run(&self, prepared: &Prepared, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, BackendError> {
        match (&self.device, &prepared.0) {
            (Device::Cpu(model), Runnable::Cpu(graph)) => Ok(model.run(graph, inputs)?),
            #[cfg(feature = "gpu")]
            (Device::Gpu(_), Runnable::Gpu(prepared)) => Ok(prepared.run(inputs).await?),
            #[cfg(feature = "gpu")]
            _ => Err(BackendError::OtherDevice),
        }
    }

    /// Prepares, runs and names the outputs.
    pub async fn run_named(
        &self,
        graph: &Graph,
        inputs: &[&[f32]],
    ) -> Result<Vec<(String, Vec<f32>)>, BackendError> {
        let prepared = self.prepare(graph.clone())?;
        let values = self.run(&prepared, inputs).await?;
        Ok(graph.outputs.iter().map(|output| output.name.clone()).zip(values).collect())
    }

    /// Gives the device up, which this backend has for itself: its memory is free now, not at a browser's next garbage
    /// collection, and what is still asked of it fails as lost.
    pub fn destroy(&self) {
        #[cfg(feature = "gpu")]
        if let Device::Gpu(model) = &self.device {
            model.gpu().destroy();
        }
    }
}
