//! A model's weights on the device.
//!
//! Invariant: a parameter is packed and uploaded by the first graph that uses it, in the form in which that graph
//! reads it; this model lets go of the one on the host then. The engine keeps it, to start over on another device.

use super::prepared::Prepared;
use super::{Gpu, GpuError, lock};
use crate::graph::ParamSet;
use crate::graph::{Graph, Param};
use crate::kernels::pack::{self, WordFormat};
use crate::kernels::{Context, Operand};
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex};

/// Weights, and the device that holds them. Graphs prepared from them keep them alive.
pub struct GpuModel(Arc<Weights>);

pub(super) struct Weights {
    gpu: Gpu,
    /// Number of values and word format of each parameter.
    shapes: Vec<(usize, WordFormat)>,
    places: Mutex<Vec<Place>>,
}

/// Where a parameter is.
enum Place {
    Host(Arc<Tensor>),
    Values(wgpu::Buffer),
    Matrix { key: MatrixKey, words: wgpu::Buffer, scales: Option<wgpu::Buffer> },
    Freed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MatrixKey {
    format: WordFormat,
    n_out: usize,
    n_in: usize,
}

impl Gpu {
    /// Takes a model's weights. They go to the device when a graph first needs them.
    pub fn upload(&self, params: ParamSet) -> GpuModel {
        let shapes = shapes(&params);
        #[allow(clippy::arc_with_non_send_sync)] // in a browser there is one thread
        GpuModel(Arc::new(Weights {
            gpu: self.clone(),
            shapes,
            places: Mutex::new(params.tensors.into_iter().map(Place::Host).collect()),
        }))
    }
}

impl Gpu {
    /// Compiles what running `graph` takes; of `params` only shapes and formats count. A browser compiles beside the
    /// thread that asks.
    pub fn compile(&self, graph: &Graph, params: &ParamSet) -> Result<(), GpuError> {
        let is_software = self.adapter().is_software;
        let context = Context { slots: &graph.slots, params: &shapes(params), is_software };
        for launch in super::plans(graph, &context)? {
            self.pipeline(launch.kernel, &launch.overrides);
        }
        Ok(())
    }
}

/// Number of values and word format of each parameter.
fn shapes(params: &ParamSet) -> Vec<(usize, WordFormat)> {
    let shape = |tensor: &Arc<Tensor>| (tensor.n_values(), WordFormat::of(tensor.format));
    params.tensors.iter().map(shape).collect()
}

impl GpuModel {
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }

    /// Allocates everything that running `graph` takes and uploads the weights that it is first to use.
    pub fn prepare(&self, graph: &Graph) -> Result<Prepared, GpuError> {
        let weights = &self.0;
        weights.gpu.check()?;
        let is_software = weights.gpu.adapter().is_software;
        let context = Context { slots: &graph.slots, params: &weights.shapes, is_software };
        let launches = super::plans(graph, &context)?;
        let prepared = Prepared::new(weights, graph, &launches)?;
        weights.gpu.check()?;
        Ok(prepared)
    }

    /// Frees the weights on the device and on the host; graphs prepared from them no longer run.
    pub fn destroy(&self) {
        self.0.destroy();
    }
}

impl Weights {
    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn n_values(&self) -> usize {
        self.shapes.iter().map(|(n_values, _)| n_values).sum()
    }

    fn destroy(&self) {
        for place in lock(&self.places).iter_mut() {
            match std::mem::replace(place, Place::Freed) {
                Place::Values(buffer) => buffer.destroy(),
                Place::Matrix { words, scales, .. } => {
                    words.destroy();
                    if let Some(scales) = scales {
                        scales.destroy();
                    }
                }
                Place::Host(_) | Place::Freed => {}
            }
        }
    }

    /// The buffer behind an operand that is a parameter.
    pub(super) fn buffer(&self, operand: &Operand) -> Result<Option<wgpu::Buffer>, GpuError> {
        match *operand {
            Operand::Values(param) => self.values(param).map(Some),
            Operand::Words { param, format, n_out, n_in } => {
                self.matrix(param, MatrixKey { format, n_out, n_in }).map(|(words, _)| Some(words))
            }
            // Planned beside its words, so the matrix is there.
            Operand::Scales(Param(index)) => Ok(match &lock(&self.places)[index] {
                Place::Matrix { scales, .. } => scales.clone(),
                _ => None,
            }),
            Operand::Slot(_) | Operand::Table(_) | Operand::Nothing => Ok(None),
        }
    }

    fn values(&self, Param(index): Param) -> Result<wgpu::Buffer, GpuError> {
        let place = &mut lock(&self.places)[index];
        if let Place::Host(tensor) = place {
            let words: Vec<u32> = tensor.to_f32().into_iter().map(f32::to_bits).collect();
            let label = format!("parameter {index}");
            *place = Place::Values(self.gpu.filled(&label, &words, wgpu::BufferUsages::STORAGE)?);
        }
        match place {
            Place::Values(buffer) => Ok(buffer.clone()),
            place => Err(two_uses(index, place, "values")),
        }
    }

    fn matrix(
        &self,
        Param(index): Param,
        key: MatrixKey,
    ) -> Result<(wgpu::Buffer, Option<wgpu::Buffer>), GpuError> {
        let place = &mut lock(&self.places)[index];
        if let Place::Host(tensor) = place {
            let packed = pack::pack(tensor, key.format, key.n_out, key.n_in);
            let usage = wgpu::BufferUsages::STORAGE;
            let words = self.gpu.filled(&format!("parameter {index}"), &packed.words, usage)?;
            let bits = bytemuck::cast_slice(&packed.scales);
            let scales = match bits {
                [] => None,
                bits => Some(self.gpu.filled(&format!("scales of parameter {index}"), bits, usage)?),
            };
            *place = Place::Matrix { key, words, scales };
        }
        match place {
            Place::Matrix { key: held, words, scales } if *held == key => Ok((words.clone(), scales.clone())),
            place => Err(two_uses(index, place, &format!("{key:?}"))),
        }
    }
}

/// In a browser, a buffer that is only dropped keeps its memory until some garbage collection.
impl Drop for Weights {
    fn drop(&mut self) {
        self.destroy();
    }
}

fn two_uses(index: usize, place: &Place, second: &str) -> GpuError {
    let first = match place {
        Place::Host(_) => "host bytes".to_string(),
        Place::Values(_) => "values".to_string(),
        Place::Matrix { key, .. } => format!("{key:?}"),
        Place::Freed => "freed".to_string(),
    };
    GpuError::TwoUses { index, first, second: second.to_string() }
}
