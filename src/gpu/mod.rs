//! The GPU backend: device, buffers, pipelines. The only maker of wgpu objects.
//!
//! Invariant: WebGPU's default limits and no optional feature; what would exceed a limit is a typed error that
//! names both numbers before the device sees it.
//! Invariant: nothing here panics on what a device does: errors that wgpu reports outside a call, and the loss of
//! the device, are kept and handed out by the next call that waits for the device.
//! Invariant: a device that does not answer is an error in time ([`deadline`]), and lost for good.
//! Invariant: a warm run only writes inputs, records one encoder, submits once and maps one buffer.

mod deadline;
mod model;
mod prepared;
mod ready;
mod slots;

pub use model::GpuModel;
pub use prepared::{OpTime, Prepared};

use crate::kernels::{self, Access, Kernel, Launch, Overrides, PlanError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why the GPU cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    #[error("this browser has no WebGPU: use the CPU, or a current Chrome, Edge, Safari or Firefox")]
    NoWebGpu,
    #[error("there is no GPU adapter ({0}): use the CPU, or turn on hardware acceleration")]
    NoAdapter(String),
    #[error("the GPU adapter gives no device ({0}): use the CPU, or restart the browser")]
    NoDevice(String),
    #[error("the GPU device was lost ({0}): start again on a new one")]
    Lost(String),
    #[error("the GPU did not {what} within {seconds} s: use the CPU, or restart the browser")]
    Silent { what: &'static str, seconds: u32 },
    #[error("the GPU is out of memory: use a smaller batch or model, or the CPU")]
    OutOfMemory,
    #[error("{what} takes {n_bytes} bytes, but one buffer may hold {limit}: use a smaller batch or model")]
    TooLarge { what: String, n_bytes: u64, limit: u64 },
    #[error("the GPU refused a command, which is a fault of this program: {0}")]
    Refused(String),
    #[error("the graph takes {expected} inputs, {actual} were given")]
    Inputs { expected: usize, actual: usize },
    #[error("input {index} holds {actual} values, needs {expected}")]
    InputLen { index: usize, expected: usize, actual: usize },
    #[error("parameter {index} was taken as {first}, and cannot be taken as {second} too")]
    TwoUses { index: usize, first: String, second: String },
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl GpuError {
    /// Whether the device is gone, with everything on it.
    pub fn is_loss(&self) -> bool {
        matches!(self, GpuError::Lost(_) | GpuError::Silent { .. })
    }
}

/// Which adapter to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Only an adapter that computes on the CPU, as tests want it.
    pub is_software: bool,
    /// Ask for timestamps where the adapter has them: benchmarks only.
    pub has_timestamps: bool,
}

/// The adapter, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// The adapter's name, as in "NVIDIA GeForce RTX 4090 (Vulkan)"; browsers may hide it.
    pub name: String,
    pub driver: String,
    /// It computes on the CPU: right, but slow.
    pub is_software: bool,
}

/// A device. Clones share it.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: AdapterInfo,
    fault: Arc<Mutex<Option<GpuError>>>,
    pipelines: Mutex<HashMap<PipelineKey, wgpu::ComputePipeline>>,
    modules: Mutex<HashMap<&'static str, wgpu::ShaderModule>>,
    /// Stands in for optional operands that are not there.
    nothing: wgpu::Buffer,
}

/// A kernel and the bits of its overrides.
type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

/// A poisoned lock guards plain data here, which stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the first fault, but a loss outweighs what follows from it.
fn record(fault: &Mutex<Option<GpuError>>, error: GpuError) {
    let mut fault = lock(fault);
    if fault.as_ref().is_none_or(|known| error.is_loss() && !known.is_loss()) {
        *fault = Some(error);
    }
}

impl Gpu {
    /// Opens a device with WebGPU's default limits, natively or in a browser's page or worker.
    pub async fn request(options: GpuOptions) -> Result<Self, GpuError> {
        let instance = wgpu::Instance::default();
        let wishes = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            force_fallback_adapter: options.is_software,
            ..Default::default()
        };
        let adapter = deadline::at_start("give an adapter", instance.request_adapter(&wishes)).await?;
        let adapter = adapter.map_err(|error| match has_webgpu() {
            true => GpuError::NoAdapter(error.to_string()),
            false => GpuError::NoWebGpu,
        })?;
        let timestamps = wgpu::Features::TIMESTAMP_QUERY;
        let features = match options.has_timestamps {
            true => adapter.features() & timestamps,
            false => wgpu::Features::empty(),
        };
        let wishes = wgpu::DeviceDescriptor {
            label: Some("cliplet"),
            required_features: features,
            required_limits: wgpu::Limits::default(),
            ..Default::default()
        };
        let device = deadline::at_start("give a device", adapter.request_device(&wishes)).await?;
        let (device, queue) = device.map_err(|error| GpuError::NoDevice(error.to_string()))?;
        let gpu = Self::new(device, queue, adapter_info(&adapter));
        gpu.say_something().await?;
        Ok(gpu)
    }

    /// Lets the device compute nothing and waits for its answer: one that hangs at work does so here, and not behind
    /// a model whose size decides how long its first run may take.
    async fn say_something(&self) -> Result<(), GpuError> {
        let device = &self.0.device;
        let label = Some("nothing");
        let source = wgpu::ShaderSource::Wgsl("@compute @workgroup_size(1) fn nothing() {}".into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: None,
            module: &module,
            entry_point: label,
            compilation_options: Default::default(),
            cache: None,
        });
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let answer = self.buffer("an answer", 4, usage)?;
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        encoder.clear_buffer(&answer, 0, None);
        self.0.queue.submit([encoder.finish()]);
        let mapped = deadline::at_start("do any work", self.map(&answer)).await;
        mapped.and_then(|mapped| mapped.map(drop)).inspect_err(|error| self.give_up(error))
    }

    /// Takes the device for lost, for this reason.
    fn give_up(&self, why: &GpuError) {
        record(&self.0.fault, why.clone());
        self.0.device.destroy();
    }

    fn new(device: wgpu::Device, queue: wgpu::Queue, adapter: AdapterInfo) -> Self {
        let fault = Arc::new(Mutex::new(None));
        device.on_uncaptured_error(Arc::new({
            let fault = fault.clone();
            move |error| {
                record(
                    &fault,
                    match error {
                        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory,
                        error => GpuError::Refused(error.to_string()),
                    },
                )
            }
        }));
        device.set_device_lost_callback({
            let fault = fault.clone();
            move |reason, message| record(&fault, GpuError::Lost(format!("{reason:?}: {message}")))
        });
        let nothing = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("nothing"),
            size: 16,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let (pipelines, modules) = (Mutex::default(), Mutex::default());
        // Send and Sync natively; in a browser there is one thread and Arc costs nothing.
        #[allow(clippy::arc_with_non_send_sync)]
        Self(Arc::new(Inner { device, queue, adapter, fault, pipelines, modules, nothing }))
    }

    pub fn adapter(&self) -> &AdapterInfo {
        &self.0.adapter
    }

    /// Whether the device is gone; everything on it is too.
    pub fn is_lost(&self) -> bool {
        lock(&self.0.fault).as_ref().is_some_and(GpuError::is_loss)
    }

    /// Gives the device up: its memory is free at once, and later calls fail with [`GpuError::Lost`].
    pub fn destroy(&self) {
        record(&self.0.fault, GpuError::Lost("destroyed by this program".into()));
        self.0.device.destroy();
    }

    /// What went wrong since the last call. A loss stays; anything else is handed out once.
    fn check(&self) -> Result<(), GpuError> {
        let mut fault = lock(&self.0.fault);
        match &*fault {
            Some(lost) if lost.is_loss() => Err(lost.clone()),
            Some(_) => fault.take().map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// A buffer of at least `n_bytes`, or an error that names the limit.
    fn buffer(&self, label: &str, n_bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, GpuError> {
        let limits = self.0.device.limits();
        let binding_limit = limits.max_storage_buffer_binding_size;
        let limit = match usage.contains(wgpu::BufferUsages::STORAGE) {
            true => limits.max_buffer_size.min(binding_limit),
            false => limits.max_buffer_size,
        };
        if n_bytes > limit {
            return Err(GpuError::TooLarge { what: label.to_string(), n_bytes, limit });
        }
        Ok(self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            // Whole vec4s, and no empty binding.
            size: n_bytes.next_multiple_of(16).max(16),
            usage,
            mapped_at_creation: false,
        }))
    }

    /// A buffer that holds `words`.
    fn filled(
        &self,
        label: &str,
        words: &[u32],
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let buffer = self.buffer(label, 4 * words.len() as u64, usage | wgpu::BufferUsages::COPY_DST)?;
        self.0.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        Ok(buffer)
    }

    /// How many pipelines were compiled so far.
    pub fn n_pipelines(&self) -> usize {
        lock(&self.0.pipelines).len()
    }

    /// The pipeline of a kernel with these overrides, compiled once.
    fn pipeline(&self, kernel: &'static Kernel, overrides: &Overrides) -> wgpu::ComputePipeline {
        let key = (kernel.name, overrides.iter().map(|(name, value)| (*name, value.to_bits())).collect());
        lock(&self.0.pipelines).entry(key).or_insert_with(|| self.compiled(kernel, overrides)).clone()
    }

    fn compiled(&self, kernel: &'static Kernel, overrides: &Overrides) -> wgpu::ComputePipeline {
        let device = &self.0.device;
        let label = Some(kernel.name);
        let module = lock(&self.0.modules)
            .entry(kernel.name)
            .or_insert_with(|| {
                let source = wgpu::ShaderSource::Wgsl(kernel.source.into());
                device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source })
            })
            .clone();
        let storage = kernel
            .bindings
            .iter()
            .map(|(_, access)| wgpu::BufferBindingType::Storage { read_only: *access == Access::Read });
        let entries: Vec<_> = std::iter::once(wgpu::BufferBindingType::Uniform)
            .chain(storage)
            .zip(0..)
            .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
                count: None,
            })
            .collect();
        let group =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&group)],
            immediate_size: 0,
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&layout),
            module: &module,
            entry_point: Some(kernel.name),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: overrides,
                ..Default::default()
            },
            cache: None,
        })
    }
}

/// In a browser, a device that is only dropped lives until some garbage collection.
impl Drop for Inner {
    fn drop(&mut self) {
        self.device.destroy();
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gpu").field(&self.0.adapter).finish()
    }
}

/// The plan of every operation of `graph`.
fn plans(graph: &crate::graph::Graph, context: &kernels::Context) -> Result<Vec<Launch>, GpuError> {
    graph.ops.iter().map(|op| Ok(kernels::plan(op, context)?)).collect()
}

fn adapter_info(adapter: &wgpu::Adapter) -> AdapterInfo {
    let info = adapter.get_info();
    let name = match info.name.as_str() {
        "" => format!("GPU ({})", info.backend),
        name => format!("{name} ({})", info.backend),
    };
    // Browsers report neither type nor name of a real GPU reliably, but they name their software one.
    let is_named = ["swiftshader", "llvmpipe", "lavapipe", "basic render"]
        .iter()
        .any(|software| format!("{name} {}", info.driver).to_ascii_lowercase().contains(software));
    let is_software = info.device_type == wgpu::DeviceType::Cpu || is_named;
    AdapterInfo { name, driver: format!("{} {}", info.driver, info.driver_info).trim().into(), is_software }
}

/// Whether this platform offers WebGPU at all.
#[cfg(target_arch = "wasm32")]
fn has_webgpu() -> bool {
    // The same in a page and in a worker: `navigator.gpu`.
    let navigator = js_sys::Reflect::get(&js_sys::global(), &"navigator".into());
    navigator
        .and_then(|navigator| js_sys::Reflect::get(&navigator, &"gpu".into()))
        .is_ok_and(|gpu| !gpu.is_undefined() && !gpu.is_null())
}

/// Whether this platform offers WebGPU at all.
#[cfg(not(target_arch = "wasm32"))]
fn has_webgpu() -> bool {
    true
}
