//! `cliplet bench`: GFLOP/s of each kernel, milliseconds of each stage, next to the CPU backend in the same run.
//!
//! Invariant: a result is compared with the CPU backend's before it is timed; one that differs fails the command.
//! Invariant: a time is the median of several runs after one that warms up, GPU and CPU in turn.

use super::model::{Backend, checkpoint, starter};
use super::{CliError, Report, message};
use crate::cpu::CpuModel;
use crate::engine::{EngineError, now_millis};
use crate::gpu::{Gpu, GpuError, GpuModel, GpuOptions, Prepared};
use crate::graph::{Activation, ConvShape, Graph, Op, ParamSet, Span, View};
use crate::models::{Checkpoint, ClipShape, DualEncoder, Taps};
use crate::tensor::{Format, Tensor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// Time this model instead of the starter model.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Where to compute; the CPU's own figures stand beside the GPU's in any case.
    #[arg(long, value_enum, default_value = "gpu")]
    pub backend: Backend,
    /// Only kernels and stages whose name holds this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// How often each is run; without it, as often as fits into half a second.
    #[arg(long, value_name = "N")]
    pub runs: Option<usize>,
}

#[derive(Serialize)]
pub struct Timings {
    /// The GPU's name and driver; none with `--backend cpu`.
    adapter: Option<String>,
    is_software: bool,
    kernels: Vec<Row>,
    stages: Vec<Row>,
}

/// One line of the table.
#[derive(Serialize)]
struct Row {
    name: String,
    /// What it computes, where that is known.
    gflop: f64,
    gpu_millis: Option<f64>,
    cpu_millis: f64,
    /// The largest difference between the two, as a part of the largest value.
    error: Option<f64>,
    /// Milliseconds of each kernel on the GPU.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    millis_by_kernel: BTreeMap<&'static str, f64>,
}

/// Above what f32 sums in another order, and layers of them, explain.
const MAX_ERROR: f64 = 1e-3;

impl Report for Timings {
    fn is_ok(&self) -> bool {
        self.kernels.iter().chain(&self.stages).all(|row| row.error.is_none_or(|error| error <= MAX_ERROR))
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let software = if self.is_software { " (software)" } else { "" };
        writeln!(f, "GPU: {}{software}", self.adapter.as_deref().unwrap_or("not used"))?;
        for (title, rows) in [("kernel", &self.kernels), ("stage", &self.stages)] {
            let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(title.len());
            writeln!(f, "\n{title:width$}    GPU ms  GFLOP/s    CPU ms  GFLOP/s  difference")?;
            for row in rows {
                let rate = |millis: f64| row.gflop / millis * 1e3;
                let gpu = row
                    .gpu_millis
                    .map_or(format!("{:>18}", "-"), |millis| format!("{millis:9.3} {:8.2}", rate(millis)));
                let verdict = match row.error {
                    None => String::new(),
                    Some(error) if error <= MAX_ERROR => format!("{error:11.1e}"),
                    Some(error) => format!("{error:11.1e} WRONG"),
                };
                let (cpu, name) = (row.cpu_millis, &row.name);
                writeln!(f, "{name:width$} {gpu} {cpu:9.3} {:8.2} {verdict}", rate(cpu))?;
                for (kernel, millis) in &row.millis_by_kernel {
                    writeln!(f, "  {kernel:16} {millis:9.3}")?;
                }
            }
        }
        Ok(())
    }
}

pub fn run(args: &Args) -> Result<Timings, CliError> {
    pollster::block_on(bench(args))
}

async fn bench(args: &Args) -> Result<Timings, CliError> {
    let options = GpuOptions { has_timestamps: true, ..Default::default() };
    let gpu = match args.backend {
        Backend::Cpu => None,
        Backend::Gpu => Some(Gpu::request(options).await.map_err(failed)?),
        Backend::Auto => Gpu::request(options).await.ok(),
    };
    let adapter = gpu.as_ref().map(|gpu| format!("{}, {}", gpu.adapter().name, gpu.adapter().driver));
    let is_software = gpu.as_ref().is_some_and(|gpu| gpu.adapter().is_software);
    let mut timings = Timings { adapter, is_software, kernels: Vec::new(), stages: Vec::new() };
    let is_wanted = |name: &str| args.filter.as_ref().is_none_or(|filter| name.contains(filter));

    for Workload { name, flop, graph, params } in workloads() {
        if is_wanted(&name) {
            message(&name);
            let mut device = Device::new(gpu.as_ref(), params);
            timings.kernels.push(device.row(name, flop, &graph, args.runs, false).await?);
        }
    }
    for (name, checkpoint) in models(args)? {
        let name_of = |stage: &str| format!("{name}: {stage}");
        let (model, params) = DualEncoder::new(checkpoint).map_err(EngineError::from)?;
        let mut device = Device::new(gpu.as_ref(), params);
        for n_images in [1, 8] {
            let name = name_of(&format!("{n_images} pictures"));
            if is_wanted(&name) && model.image_size().is_ok() {
                message(&name);
                let graph = model.image_graph(n_images, Taps::None).map_err(EngineError::from)?;
                timings.stages.push(device.row(name, flop_of(&graph), &graph, args.runs, true).await?);
            }
        }
        for n_labels in [1, 10, 100] {
            let name = name_of(&format!("{n_labels} labels of 8 tokens"));
            if is_wanted(&name) && model.text_width().is_ok() {
                message(&name);
                // Any ids do: what is timed does not depend on them.
                let batch = model.text_batch(&vec![vec![1; 8]; n_labels]).map_err(EngineError::from)?;
                let graph = model.text_graph(&batch, Taps::None).map_err(EngineError::from)?;
                timings.stages.push(device.row(name, flop_of(&graph), &graph, args.runs, true).await?);
            }
        }
    }
    Ok(timings)
}

/// The starter model or the one that is named, and ViT-B/32 with made-up weights in the format that pages load.
fn models(args: &Args) -> Result<Vec<(String, Checkpoint)>, CliError> {
    let path = args.model.clone().map_or_else(starter, Ok)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut models = vec![(name, checkpoint(&path)?.0)];
    if args.filter.as_ref().is_none_or(|filter| filter.contains("ViT-B/32")) {
        let vit = ClipShape::VIT_B32.checkpoint(Format::Q8_0).map_err(EngineError::from)?;
        models.push(("ViT-B/32 q8_0".to_string(), vit));
    }
    Ok(models)
}

fn failed(error: GpuError) -> CliError {
    EngineError::from(crate::engine::BackendError::from(error)).into()
}

/// The same weights on both sides.
struct Device {
    gpu: Option<GpuModel>,
    cpu: CpuModel,
}

impl Device {
    fn new(gpu: Option<&Gpu>, params: ParamSet) -> Self {
        Self { cpu: CpuModel::new(&params), gpu: gpu.map(|gpu| gpu.upload(params)) }
    }

    /// Checks, then times `graph`: a single operation by the device's clock, a stage by ours.
    async fn row(
        &mut self,
        name: String,
        flop: f64,
        graph: &Graph,
        runs: Option<usize>,
        is_stage: bool,
    ) -> Result<Row, CliError> {
        let inputs: Vec<Vec<f32>> = graph.inputs.iter().map(|slot| noise(graph.len(*slot), 1.0)).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let mut row = Row {
            name,
            gflop: flop * 1e-9,
            gpu_millis: None,
            cpu_millis: 0.0,
            error: None,
            millis_by_kernel: BTreeMap::new(),
        };
        let cpu = |cpu: &CpuModel| cpu.run(graph, &inputs).map_err(|error| failed_cpu(error.into()));
        let expected = cpu(&self.cpu)?;
        let prepared = self.gpu.as_ref().map(|gpu| gpu.prepare(graph)).transpose().map_err(failed)?;
        if let Some(prepared) = &prepared {
            row.error = Some(difference(&prepared.run(&inputs).await.map_err(failed)?, &expected));
            if row.error.is_some_and(|error| error.is_nan() || error > MAX_ERROR) {
                return Ok(row); // not worth a time
            }
        }
        let (mut gpu_times, mut cpu_times) = (Vec::new(), Vec::new());
        let start = now_millis();
        loop {
            if let Some(prepared) = &prepared {
                gpu_times.push(time(prepared, &inputs, is_stage).await.map_err(failed)?);
            }
            let from = now_millis();
            cpu(&self.cpu)?;
            cpu_times.push(now_millis() - from);
            let n_runs = cpu_times.len();
            if runs.map_or(n_runs >= 3 && now_millis() - start > 500.0, |runs| n_runs >= runs) {
                break;
            }
        }
        row.cpu_millis = median(cpu_times);
        row.gpu_millis = prepared.is_some().then(|| median(gpu_times));
        if let Some(prepared) = prepared.filter(|_| is_stage) {
            for op in prepared.time_ops(&inputs).await.map_err(failed)? {
                *row.millis_by_kernel.entry(op.kernel).or_default() += op.millis;
            }
        }
        Ok(row)
    }
}

async fn time(prepared: &Prepared, inputs: &[&[f32]], is_stage: bool) -> Result<f64, GpuError> {
    if is_stage {
        let start = now_millis();
        prepared.run(inputs).await?;
        return Ok(now_millis() - start);
    }
    Ok(prepared.time_ops(inputs).await?.iter().map(|op| op.millis).sum())
}

fn failed_cpu(error: crate::engine::BackendError) -> CliError {
    EngineError::from(error).into()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The largest difference as a part of the largest value; NaN where either holds one.
fn difference(actual: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    let range = expected.iter().flatten().fold(f32::MIN_POSITIVE, |range, value| range.max(value.abs()));
    let pairs = actual.iter().flatten().zip(expected.iter().flatten());
    let largest = pairs
        .map(|(a, e)| (a - e).abs())
        .fold(0.0f32, |largest, difference| if difference <= largest { largest } else { difference });
    f64::from(largest) / f64::from(range)
}

/// A graph of one operation, and what it computes.
struct Workload {
    name: String,
    flop: f64,
    graph: Graph,
    params: ParamSet,
}

/// The same values on every machine: a linear congruential generator, uniform in ±`scale`.
fn noise(n: usize, scale: f32) -> Vec<f32> {
    let mut state = 12345u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..n).map(|_| next()).collect()
}

/// Multiplications and additions of the operations that have most of them.
fn flop_of(graph: &Graph) -> f64 {
    let flop = |op: &Op| match op {
        Op::Linear { n_rows, n_in, n_out, .. } => 2 * n_rows * n_in * n_out,
        Op::Attention { n_heads, head_dim, spans, .. } => {
            let n_pairs: usize = spans.iter().map(|span| span.queries.len() * span.keys.len()).sum();
            4 * n_heads * head_dim * n_pairs
        }
        Op::PatchEmbed { n_images, image_size, patch_size, width, .. } => {
            let n_patches = (image_size / patch_size).pow(2);
            2 * n_images * n_patches * patch_size * patch_size * 3 * width
        }
        Op::Conv2d { shape, .. } => {
            let n_out = shape.n_images * shape.out_height * shape.out_width * shape.out_channels;
            2 * n_out * shape.kernel * shape.kernel * shape.in_channels
        }
        Op::Depthwise { shape, .. } => {
            let n_out = shape.n_images * shape.out_height * shape.out_width * shape.out_channels;
            2 * n_out * shape.kernel * shape.kernel
        }
        Op::LayerNorm { n_rows, n_cols, .. } => 8 * n_rows * n_cols,
        Op::Similarity { n_a, n_b, n_cols, .. } => 2 * n_a * n_b * n_cols,
        _ => 0,
    };
    graph.ops.iter().map(|op| flop(op) as f64).sum()
}

/// Layers of ViT-B/32, of its text tower at 10 labels, of MiniLM, and of EfficientNet-lite0.
fn workloads() -> Vec<Workload> {
    let mut all = Vec::new();
    let formats = [Format::F32, Format::F16, Format::Q8_0, Format::Q4_0];
    for format in formats {
        all.push(linear("ViT-B/32 qkv", [50, 768, 2304], format));
    }
    all.push(linear("ViT-B/32 up", [50, 768, 3072], Format::Q8_0));
    all.push(linear("ViT-B/32 down", [50, 3072, 768], Format::Q8_0));
    all.push(linear("ViT-B/32 up, 8 pictures", [400, 768, 3072], Format::Q8_0));
    all.push(linear("CLIP text up, 10 labels", [80, 512, 2048], Format::Q8_0));
    all.push(linear("MiniLM up, 1 label", [8, 384, 1536], Format::Q8_0));
    all.push(linear("one row", [1, 768, 512], Format::Q8_0));
    all.push(linear("lite0 expand at 112", [112 * 112, 16, 96], Format::F16));
    all.push(linear("lite0 project at 56", [56 * 56, 144, 24], Format::F16));
    all.push(linear("lite0 expand at 14", [14 * 14, 112, 672], Format::F16));
    all.push(linear("lite0 head at 7", [7 * 7, 320, 1280], Format::Q8_0));
    for (name, n_tokens, n_heads, is_causal) in
        [("ViT-B/32", 50, 12, false), ("ViT-L/14", 257, 16, false), ("CLIP text", 77, 8, true)]
    {
        all.push(attention(name, n_tokens, n_heads, is_causal));
    }
    let conv = |size: usize, channels: [usize; 2], kernel: usize, stride: usize| ConvShape {
        n_images: 1,
        in_height: size,
        in_width: size,
        in_channels: channels[0],
        out_height: size / stride,
        out_width: size / stride,
        out_channels: channels[1],
        kernel,
        stride,
        pad_top: kernel / 2,
        pad_left: kernel / 2,
    };
    all.push(convolution("conv2d lite0 stem", conv(224, [3, 32], 3, 2)));
    all.push(convolution("conv2d ResNet 3x3", conv(56, [64, 64], 3, 1)));
    all.push(convolution("depthwise lite0 3x3 at 56", conv(56, [144, 144], 3, 1)));
    all.push(convolution("depthwise lite0 3x3 at 112, stride 2", conv(112, [96, 96], 3, 2)));
    all.push(convolution("depthwise lite0 5x5 at 14", conv(14, [672, 672], 5, 1)));

    let mut make = Maker::default();
    let pixels = make.graph.input(224 * 224 * 3);
    let (weight, bias) = (make.param(&[768, 3072], Format::F32), None);
    let (class, position) = (Some(make.param(&[768], Format::F32)), make.param(&[50, 768], Format::F32));
    let y = make.graph.slot(50 * 768);
    let (n_images, image_size, patch_size, width) = (1, 224, 32, 768);
    let op =
        Op::PatchEmbed { pixels, weight, bias, class, position, y, n_images, image_size, patch_size, width };
    all.push(make.workload("patch_embed ViT-B/32", op));

    let mut make = Maker::default();
    let (n_rows, n_cols, eps) = (50, 768, 1e-5);
    let x = make.graph.input(n_rows * n_cols);
    let (weight, bias) = (make.param(&[n_cols], Format::F32), make.param(&[n_cols], Format::F32));
    let y = make.graph.slot(n_rows * n_cols);
    all.push(make.workload("layer_norm ViT-B/32", Op::LayerNorm { x, weight, bias, eps, y, n_rows, n_cols }));

    let mut make = Maker::default();
    let (n_a, n_b, n_cols, scale) = (1, 1000, 512, 1.0);
    let (a, b) = (make.graph.input(n_a * n_cols), make.graph.input(n_b * n_cols));
    let y = make.graph.slot(n_a * n_b);
    all.push(make.workload("similarity to 1000 labels", Op::Similarity { a, b, scale, y, n_a, n_b, n_cols }));
    all
}

#[derive(Default)]
struct Maker {
    graph: Graph,
    params: ParamSet,
}

impl Maker {
    fn param(&mut self, shape: &[usize], format: Format) -> crate::graph::Param {
        let n_bytes = format.bytes_for(shape.iter().product());
        let values = noise(shape.iter().product(), 0.05);
        // The shapes above divide into blocks; zeros stand in for ones that would not.
        let zeros = |_| Tensor { shape: shape.to_vec(), format, bytes: vec![0; n_bytes] };
        self.params.push(Tensor::from_f32(shape, &values, format).unwrap_or_else(zeros))
    }

    fn workload(mut self, name: &str, op: Op) -> Workload {
        let y = op.writes();
        self.graph.ops.push(op);
        let len = self.graph.len(y);
        self.graph.output("y", y, &[len]);
        Workload { name: name.into(), flop: flop_of(&self.graph), graph: self.graph, params: self.params }
    }
}

fn linear(name: &str, [n_rows, n_in, n_out]: [usize; 3], format: Format) -> Workload {
    let mut make = Maker::default();
    let x = make.graph.input(n_rows * n_in);
    let weight = make.param(&[n_out, n_in], format);
    let bias = Some(make.param(&[n_out], Format::F32));
    let y = make.graph.slot(n_rows * n_out);
    let (activation, residual) = (Activation::Identity, None);
    let op = Op::Linear {
        x,
        weight,
        bias,
        activation,
        activation_after_residual: false,
        residual,
        y,
        n_rows,
        n_in,
        n_out,
    };
    make.workload(&format!("linear {name} {n_rows}x{n_in}x{n_out} {format}"), op)
}

fn attention(name: &str, n_tokens: usize, n_heads: usize, is_causal: bool) -> Workload {
    let mut make = Maker::default();
    let (head_dim, width) = (64, 64 * n_heads);
    let slot = make.graph.input(n_tokens * 3 * width);
    let [q, k, v] = [0, 1, 2].map(|i| View { slot, offset: i * width, stride: 3 * width });
    let y = make.graph.slot(n_tokens * width);
    let spans = vec![Span { queries: 0..n_tokens, keys: 0..n_tokens }];
    let op = Op::Attention { q, k, v, y, n_heads, head_dim, spans, is_causal };
    make.workload(&format!("attention {name} {n_tokens} tokens"), op)
}

fn convolution(name: &str, shape: ConvShape) -> Workload {
    let mut make = Maker::default();
    let x = make.graph.input(shape.in_height * shape.in_width * shape.in_channels);
    let y = make.graph.slot(shape.out_height * shape.out_width * shape.out_channels);
    let (bias, activation) = (None, Activation::Relu6);
    let is_depthwise = name.starts_with("depthwise");
    let n_in = shape.kernel * shape.kernel * shape.in_channels;
    let op = if is_depthwise {
        let weight = make.param(&[shape.kernel, shape.kernel, shape.out_channels], Format::F32);
        Op::Depthwise { x, weight, bias, activation, y, shape }
    } else {
        let weight = make.param(&[shape.out_channels, n_in], Format::F32);
        Op::Conv2d { x, weight, bias, activation, y, shape }
    };
    make.workload(name, op)
}
