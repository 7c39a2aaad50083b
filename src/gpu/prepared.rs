//! A graph with everything allocated that running it takes.
//!
//! Invariant: [`Prepared::run`] records one encoder with one compute pass, and submits once. It allocates nothing
//! on the device, except for one more read-back buffer when a run starts before the last one was read.
//! Invariant: runs that overlap are right: the queue orders each run's inputs, work and read-back.

use super::deadline::{run_millis, within};
use super::model::Weights;
use super::ready::Ready;
use super::slots::{Assignment, assign};
use super::{Gpu, GpuError, lock};
use crate::graph::Graph;
use crate::kernels::{Launch, Operand, PlanError};
use std::sync::{Arc, Mutex};

/// One dispatch with its buffers.
struct Step {
    name: &'static str,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// A buffer's values that the caller fills or reads.
struct Place {
    buffer: wgpu::Buffer,
    len: usize,
}

/// A graph, ready to run.
pub struct Prepared {
    gpu: Gpu,
    /// Held, since the steps bind them.
    weights: Arc<Weights>,
    steps: Vec<Step>,
    inputs: Vec<Place>,
    outputs: Vec<Place>,
    /// Everything that [`Prepared::destroy`] frees.
    buffers: Vec<wgpu::Buffer>,
    /// Read-back buffers that no run uses now.
    idle: Mutex<Vec<wgpu::Buffer>>,
}

/// How long one operation took.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTime {
    /// Its kernel.
    pub kernel: &'static str,
    pub millis: f64,
}

/// What a uniform or storage binding's offset must be a multiple of, by default.
const OFFSET_ALIGNMENT: usize = 256;

impl Prepared {
    pub(super) fn new(weights: &Arc<Weights>, graph: &Graph, launches: &[Launch]) -> Result<Self, GpuError> {
        let gpu = weights.gpu().clone();
        check_slots(graph)?;
        let Assignment { buffer_of_slot, buffer_lens } = assign(graph);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let activations = buffer_lens
            .iter()
            .map(|&len| gpu.buffer("activations", 4 * len as u64, usage))
            .collect::<Result<Vec<_>, _>>()?;
        let place = |slot: usize| {
            let buffer = buffer_of_slot[slot].map_or(&gpu.0.nothing, |index| &activations[index]);
            Place { buffer: buffer.clone(), len: graph.slots[slot] }
        };

        // Params and tables of all launches, in one buffer.
        let mut constants: Vec<u32> = Vec::new();
        let mut append = |words: &mut dyn Iterator<Item = u32>| {
            let offset = constants.len();
            constants.extend(words);
            let len = constants.len() - offset;
            // A binding holds whole vec4s and is never empty.
            let len = len.next_multiple_of(4).max(4);
            constants.resize((offset + len).next_multiple_of(OFFSET_ALIGNMENT / 4), 0);
            (4 * offset as u64, 4 * len as u64)
        };
        let ranges: Vec<_> = launches
            .iter()
            .map(|launch| {
                let params = append(&mut launch.params.iter().map(|(_, value)| *value));
                let tables = launch.operands.iter().map(|operand| match operand {
                    Operand::Table(words) => append(&mut words.iter().copied()),
                    _ => (0, 0),
                });
                (params, tables.collect::<Vec<_>>())
            })
            .collect();
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE;
        let constants = gpu.filled("constants", &constants, usage)?;

        let mut steps = Vec::with_capacity(launches.len());
        for (launch, (params, tables)) in launches.iter().zip(&ranges) {
            let mut bound = vec![binding(&constants, *params)];
            let mut parameters = Vec::with_capacity(launch.operands.len());
            for operand in &launch.operands {
                parameters.push(weights.buffer(operand)?);
            }
            for ((operand, parameter), table) in launch.operands.iter().zip(&parameters).zip(tables) {
                bound.push(match (operand, parameter) {
                    (Operand::Table(_), _) => binding(&constants, *table),
                    (Operand::Slot(slot), _) => {
                        let index = buffer_of_slot[slot.0];
                        let buffer = index.map_or(&gpu.0.nothing, |index| &activations[index]);
                        binding(buffer, (0, slot_bytes(graph.slots[slot.0])))
                    }
                    (_, Some(buffer)) => buffer.as_entire_binding(),
                    (_, None) => gpu.0.nothing.as_entire_binding(),
                });
            }
            let pipeline = gpu.pipeline(launch.kernel, &launch.overrides);
            let entries: Vec<_> = bound
                .into_iter()
                .zip(0..)
                .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            let bind_group = gpu.0.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(launch.kernel.name),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            let workgroups = launch.workgroups;
            steps.push(Step { name: launch.kernel.name, pipeline, bind_group, workgroups });
        }
        let inputs = graph.inputs.iter().map(|slot| place(slot.0)).collect();
        let outputs = graph.outputs.iter().map(|output| place(output.slot.0)).collect();
        let mut buffers = activations.clone();
        buffers.push(constants);
        let weights = weights.clone();
        let prepared = Self { gpu, weights, steps, inputs, outputs, buffers, idle: Mutex::default() };
        let readback = prepared.readback()?;
        lock(&prepared.idle).push(readback);
        Ok(prepared)
    }

    /// Runs the graph: inputs and outputs in the graph's order, each as long as its slot.
    pub async fn run(&self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, GpuError> {
        let readback = self.submit(inputs)?;
        let millis = run_millis(self.weights.n_values(), self.gpu.adapter().is_software);
        let answer = within(millis, "finish a run", self.read(readback)).await;
        answer.inspect_err(|error| self.gpu.give_up(error))?
    }

    /// Queues inputs, work and read-back, and returns the buffer that will hold the outputs.
    fn submit(&self, inputs: &[&[f32]]) -> Result<wgpu::Buffer, GpuError> {
        // Held until all is queued, so that another thread's inputs cannot come between.
        let mut idle = lock(&self.idle);
        self.write(inputs)?;
        let readback = idle.pop().map_or_else(|| self.readback(), Ok)?;
        let mut encoder = self.encoder();
        let mut pass = encoder.begin_compute_pass(&Default::default());
        self.steps.iter().for_each(|step| step.record(&mut pass));
        drop(pass);
        let mut offset = 0;
        for output in &self.outputs {
            let n_bytes = 4 * output.len as u64;
            encoder.copy_buffer_to_buffer(&output.buffer, 0, &readback, offset, n_bytes);
            offset += n_bytes;
        }
        self.gpu.0.queue.submit([encoder.finish()]);
        Ok(readback)
    }

    /// Runs the graph and says how long each operation took: for benchmarks.
    ///
    /// Timestamps where the device has them ([`GpuOptions::has_timestamps`](super::GpuOptions)), else one submit an
    /// operation and the clock, which natively includes what a submit costs.
    pub async fn time_ops(&self, inputs: &[&[f32]]) -> Result<Vec<OpTime>, GpuError> {
        self.write(inputs)?;
        let device = &self.gpu.0.device;
        let millis = match device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            true => self.timestamps().await?,
            false => self.clock()?,
        };
        let times = self.steps.iter().zip(millis);
        Ok(times.map(|(step, millis)| OpTime { kernel: step.name, millis }).collect())
    }

    /// Frees the device memory of this graph now; a browser would not before its next garbage collection.
    pub fn destroy(&self) {
        self.buffers.iter().chain(lock(&self.idle).iter()).for_each(wgpu::Buffer::destroy);
    }

    fn write(&self, inputs: &[&[f32]]) -> Result<(), GpuError> {
        self.gpu.check()?;
        if inputs.len() != self.inputs.len() {
            return Err(GpuError::Inputs { expected: self.inputs.len(), actual: inputs.len() });
        }
        for (index, (values, place)) in inputs.iter().zip(&self.inputs).enumerate() {
            if values.len() != place.len {
                return Err(GpuError::InputLen { index, expected: place.len, actual: values.len() });
            }
        }
        for (values, place) in inputs.iter().zip(&self.inputs) {
            self.gpu.0.queue.write_buffer(&place.buffer, 0, bytemuck::cast_slice(values));
        }
        Ok(())
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.0.device.create_command_encoder(&Default::default())
    }

    fn readback(&self) -> Result<wgpu::Buffer, GpuError> {
        let n_values: usize = self.outputs.iter().map(|output| output.len).sum();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        self.gpu.buffer("read-back", 4 * n_values as u64, usage)
    }

    /// Waits for `readback` and cuts it into the outputs.
    async fn read(&self, readback: wgpu::Buffer) -> Result<Vec<Vec<f32>>, GpuError> {
        let bytes = self.gpu.map(&readback).await?;
        let mut values: &[f32] = bytemuck::cast_slice(&bytes);
        let mut results = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let (head, tail) = values.split_at(output.len);
            results.push(head.to_vec());
            values = tail;
        }
        drop(bytes);
        readback.unmap();
        lock(&self.idle).push(readback);
        Ok(results)
    }

    async fn timestamps(&self) -> Result<Vec<f64>, GpuError> {
        let device = &self.gpu.0.device;
        // A query set holds at most 4096.
        let mut millis = Vec::with_capacity(self.steps.len());
        for steps in self.steps.chunks(2048) {
            let count = 2 * steps.len() as u32;
            let (label, ty) = (Some("times"), wgpu::QueryType::Timestamp);
            let queries = device.create_query_set(&wgpu::QuerySetDescriptor { label, ty, count });
            let n_bytes = 8 * u64::from(count);
            let resolve = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let resolved = self.gpu.buffer("times", n_bytes, resolve)?;
            let map = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            let readback = self.gpu.buffer("times", n_bytes, map)?;
            let mut encoder = self.encoder();
            for (step, first) in steps.iter().zip((0..).step_by(2)) {
                let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(first),
                    end_of_pass_write_index: Some(first + 1),
                });
                let mut pass =
                    encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes });
                step.record(&mut pass);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &readback, 0, n_bytes);
            self.gpu.0.queue.submit([encoder.finish()]);
            let bytes = self.gpu.map(&readback).await?;
            let ticks: &[u64] = bytemuck::cast_slice(&bytes);
            let period = f64::from(self.gpu.0.queue.get_timestamp_period()) * 1e-6;
            millis.extend(
                ticks[..count as usize]
                    .chunks_exact(2)
                    .map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period),
            );
        }
        Ok(millis)
    }

    fn clock(&self) -> Result<Vec<f64>, GpuError> {
        let mut millis = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let mut encoder = self.encoder();
            step.record(&mut encoder.begin_compute_pass(&Default::default()));
            let commands = encoder.finish();
            let start = stopwatch();
            self.gpu.0.queue.submit([commands]);
            self.gpu.wait();
            millis.push(start());
        }
        self.gpu.check()?;
        Ok(millis)
    }
}

/// In a browser, a buffer that is only dropped keeps its memory until some garbage collection.
impl Drop for Prepared {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// A clock that starts now and reads milliseconds.
#[cfg(not(target_arch = "wasm32"))]
fn stopwatch() -> impl Fn() -> f64 {
    let start = std::time::Instant::now();
    move || start.elapsed().as_secs_f64() * 1e3
}

/// There is no waiting for a single submit in a browser: use timestamps there.
#[cfg(target_arch = "wasm32")]
fn stopwatch() -> impl Fn() -> f64 {
    || f64::NAN
}

impl Step {
    fn record(&self, pass: &mut wgpu::ComputePass) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

impl Gpu {
    /// Waits for the device natively; a browser's device reports on its own.
    fn wait(&self) {
        if let Err(error) = self.0.device.poll(wgpu::PollType::wait_indefinitely()) {
            super::record(&self.0.fault, GpuError::Refused(error.to_string()));
        }
    }

    /// Maps all of `buffer` and waits for it.
    pub(super) async fn map(&self, buffer: &wgpu::Buffer) -> Result<wgpu::BufferView, GpuError> {
        let ready = Ready::new();
        buffer.map_async(wgpu::MapMode::Read, .., {
            let ready = ready.clone();
            move |result| ready.set(result)
        });
        self.wait();
        let mapped = ready.get().await;
        if let Err(error) = mapped {
            // A buffer of ours that nothing is wrong with: the device is going, and says so a moment later.
            super::lock(&self.0.fault).get_or_insert(GpuError::Lost(error.to_string()));
        }
        self.check()?;
        buffer.get_mapped_range(..).map_err(|error| GpuError::Refused(error.to_string()))
    }
}

fn binding(buffer: &wgpu::Buffer, (offset, n_bytes): (u64, u64)) -> wgpu::BindingResource<'_> {
    let size = std::num::NonZeroU64::new(n_bytes);
    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
}

/// Bytes bound for a slot: whole vec4s, and no empty binding.
fn slot_bytes(len: usize) -> u64 {
    (4 * len as u64).next_multiple_of(16).max(16)
}

/// What the caller fills and reads must exist; what operations touch was checked when planned.
fn check_slots(graph: &Graph) -> Result<(), PlanError> {
    let len = graph.slots.len();
    let outputs = graph.outputs.iter().map(|output| ("output slot", output.slot.0));
    let inputs = graph.inputs.iter().map(|slot| ("input slot", slot.0));
    match inputs.chain(outputs).find(|(_, index)| *index >= len) {
        Some((what, index)) => Err(PlanError::NoSuch { kernel: "graph", what, index, len }),
        None => Ok(()),
    }
}
