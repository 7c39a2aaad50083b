//! Every kernel against its twin, on odd shapes; the shaders' bindings against the host's.
//!
//! Invariant: outputs start as NaN and end in guard words, so that a value never written, or written behind the
//! end, fails; and every comparison has been seen to fail on a wrong answer.

use cliplet::gpu::{Gpu, GpuError, GpuOptions};
use cliplet::graph::ParamSet;
use cliplet::graph::{Activation, ConvShape, Graph, Op, Param, Slot, Span, View};
use cliplet::kernels::{self, Access};
use cliplet::reference;
use cliplet::tensor::{Format, Tensor};
use std::sync::OnceLock;

/// Linux has lavapipe, so that every machine tests the same; macOS and Windows use what they have.
const HAS_SOFTWARE_ADAPTER: bool = cfg!(target_os = "linux");

/// The tests' one device. None is a failure.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let options = GpuOptions { is_software: HAS_SOFTWARE_ADAPTER, ..Default::default() };
        pollster::block_on(Gpu::request(options)).expect("tests need lavapipe or another software adapter")
    })
}

/// xorshift64*: the same values on every machine.
struct Random(u64);

impl Random {
    /// Uniform in -1..1.
    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() * 2.0 - 1.0).collect()
    }

    /// Uniform in 0..1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// A graph of one operation, its weights and its inputs.
struct Case {
    random: Random,
    graph: Graph,
    params: ParamSet,
    inputs: Vec<Vec<f32>>,
}

/// Words behind an output that no kernel may touch.
const N_GUARDS: usize = 7;
const GUARD: f32 = 12345.0;

impl Case {
    fn new() -> Self {
        Self {
            random: Random(0x9E37_79B9_7F4A_7C15),
            graph: Graph::default(),
            params: ParamSet::default(),
            inputs: Vec::new(),
        }
    }

    fn input(&mut self, len: usize) -> Slot {
        self.inputs.push(self.random.values(len));
        self.graph.input(len)
    }

    /// The output is an input too: it starts as NaN, with guards behind its end.
    fn output(&mut self, len: usize) -> Slot {
        let mut values = vec![f32::NAN; len];
        values.extend([GUARD; N_GUARDS]);
        let slot = self.graph.input(len + N_GUARDS);
        self.inputs.push(values);
        self.graph.output("y", slot, &[len + N_GUARDS]);
        slot
    }

    fn param(&mut self, shape: &[usize], format: Format, scale: f32) -> Param {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = self.random.values(n).iter().map(|value| value * scale).collect();
        self.params.push(Tensor::from_f32(shape, &values, format).expect("a valid shape"))
    }

    /// What the kernel and what the twin compute, guards checked and cut off.
    fn run(&self) -> (Vec<f32>, Vec<f32>) {
        let inputs: Vec<&[f32]> = self.inputs.iter().map(Vec::as_slice).collect();
        let model = gpu().upload(self.params.clone());
        let prepared = model.prepare(&self.graph).expect("prepares");
        let mut actual = pollster::block_on(prepared.run(&inputs)).expect("runs").remove(0);
        let mut expected = reference::run(&self.graph, &self.params, &inputs).remove(0);
        let len = actual.len() - N_GUARDS;
        assert_eq!(actual[len..], [GUARD; N_GUARDS], "the kernel wrote behind its output");
        actual.truncate(len);
        expected.truncate(len);
        (actual, expected)
    }

    /// Compares the kernel with its twin, and shows that the comparison can fail.
    fn check(&self, what: &str, tolerance: f32) {
        let (actual, expected) = self.run();
        if let Some((i, a, e)) = first_difference(&actual, &expected, tolerance) {
            panic!("{what}: value {i} is {a}, the twin says {e}, tolerance {tolerance}");
        }
        // The smallest wrong answer that must not pass: one value off by three tolerances (or just off, where the
        // tolerance is zero).
        let mut wrong = expected.clone();
        let middle = wrong.len() / 2;
        wrong[middle] += 3.0 * tolerance + 1e-6 * wrong[middle].abs() + 1e-30;
        assert!(first_difference(&actual, &wrong, tolerance).is_some(), "{what}: a wrong value passed");
    }
}

/// The first value that is not within `tolerance`; NaN never is.
fn first_difference(actual: &[f32], expected: &[f32], tolerance: f32) -> Option<(usize, f32, f32)> {
    assert_eq!(actual.len(), expected.len());
    let is_near = |(a, e): (&f32, &f32)| (a - e).abs() <= tolerance;
    let index = actual.iter().zip(expected).position(|pair| !is_near(pair))?;
    Some((index, actual[index], expected[index]))
}

/// Error bound of an f32 sum of `n` products below `bound` in size each: a sum in sequence rounds n times by at
/// most 2^-24 of what it has reached; random signs keep that near sqrt(n) * bound, times 4 for safety.
fn sum_tolerance(n: usize, bound: f32) -> f32 {
    let n = n as f32;
    4.0 * n.sqrt() * n.sqrt().max(1.0) * bound * f32::EPSILON / 2.0 + 4.0 * f32::EPSILON
}

#[test]
fn comparisons_fail_on_nan() {
    assert!(first_difference(&[f32::NAN], &[1.0], 1e9).is_some());
    assert!(first_difference(&[1.0], &[f32::NAN], 1e9).is_some());
    assert!(first_difference(&[1.0], &[1.0], 0.0).is_none());
}

/// What may be left out of a linear layer.
#[derive(Clone, Copy)]
struct Epilogue {
    has_bias: bool,
    activation: Activation,
    has_residual: bool,
    activation_after_residual: bool,
}

const PLAIN: Epilogue = Epilogue {
    has_bias: false,
    activation: Activation::Identity,
    has_residual: false,
    activation_after_residual: false,
};
const FULL: Epilogue = Epilogue {
    has_bias: true,
    activation: Activation::Gelu,
    has_residual: true,
    activation_after_residual: false,
};

fn linear([n_rows, n_in, n_out]: [usize; 3], format: Format, epilogue: Epilogue) {
    let mut case = Case::new();
    let x = case.input(n_rows * n_in);
    let weight = case.param(&[n_out, n_in], format, 0.5);
    let bias = epilogue.has_bias.then(|| case.param(&[n_out], Format::F32, 1.0));
    let residual = epilogue.has_residual.then(|| case.input(n_rows * n_out));
    let y = case.output(n_rows * n_out);
    let Epilogue { activation, activation_after_residual, .. } = epilogue;
    case.graph.ops.push(Op::Linear {
        x,
        weight,
        bias,
        activation,
        residual,
        activation_after_residual,
        y,
        n_rows,
        n_in,
        n_out,
    });
    let what = format!("linear {n_rows} x {n_in} x {n_out} {format:?} {activation:?}");
    // Products are at most 0.5; every activation's slope is below 1.2, and erf adds 2e-7 of the value.
    case.check(&what, 1.2 * sum_tolerance(n_in, 0.5) + 2e-6);
}

const LINEAR_FORMATS: [Format; 8] = Format::ALL;

#[test]
fn linear_smallest() {
    linear([1, 1, 1], Format::F32, PLAIN);
    linear([1, 4, 4], Format::F32, FULL);
    linear([1, 4, 4], Format::F16, PLAIN);
    linear([1, 32, 4], Format::Q8_0, PLAIN);
    linear([1, 32, 4], Format::Q4_0, PLAIN);
}

#[test]
fn linear_ragged_at_every_edge() {
    for format in LINEAR_FORMATS {
        linear([33, 96, 68], format, FULL);
        linear([7, 32, 60], format, PLAIN);
        linear([130, 64, 132], format, FULL);
    }
    linear([9, 12, 20], Format::F16, FULL);
    linear([9, 36, 20], Format::F32, FULL);
}

#[test]
fn linear_takes_any_width() {
    linear([5, 7, 3], Format::F32, FULL);
    linear([5, 6, 5], Format::F16, FULL);
    linear([3, 32, 65], Format::Q8_0, FULL);
    linear([3, 64, 7], Format::Q4_0, FULL);
    linear([70, 48, 257], Format::F32, PLAIN);
}

#[test]
fn linear_of_a_real_layer() {
    for format in [Format::F32, Format::F16, Format::Q8_0, Format::Q4_0] {
        linear([50, 768, 2304], format, PLAIN);
    }
    linear([3136, 24, 144], Format::F32, Epilogue { activation: Activation::Relu6, ..FULL });
}

#[test]
fn linear_activations() {
    for activation in [
        Activation::Identity,
        Activation::QuickGelu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Relu6,
    ] {
        linear([10, 128, 16], Format::F32, Epilogue { activation, ..FULL });
    }
}

#[test]
fn linear_activates_behind_the_residual() {
    for activation in [Activation::Relu, Activation::Gelu] {
        let last = Epilogue { activation, activation_after_residual: true, ..FULL };
        linear([33, 96, 68], Format::Q8_0, last);
        linear([5, 7, 3], Format::F32, last);
    }
}

/// erf through GELU of a dense range: twice GELU(x) / x is 1 + erf(x / sqrt 2).
#[test]
fn gelu_is_right_over_its_range() {
    let n = 4096;
    let mut case = Case::new();
    let x: Vec<f32> = (0..n).map(|i| (i as f32 / n as f32 - 0.5) * 16.0).collect();
    case.inputs.push(x.iter().flat_map(|&x| [x, 0.0, 0.0, 0.0]).collect());
    let x = case.graph.input(4 * n);
    let identity: Vec<f32> = (0..16).map(|i| if i % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let weight = case.params.push(Tensor::from_f32(&[4, 4], &identity, Format::F32).expect("fits"));
    let y = case.output(4 * n);
    let activation = Activation::Gelu;
    let (bias, residual) = (None, None);
    let op = Op::Linear {
        x,
        weight,
        bias,
        activation,
        residual,
        activation_after_residual: false,
        y,
        n_rows: n,
        n_in: 4,
        n_out: 4,
    };
    case.graph.ops.push(op);
    // erf within 2e-7 times half of |x| <= 8, and two roundings of a value up to 8.
    case.check("gelu", 2e-7 * 4.0 + 2.0 * 8.0 * f32::EPSILON / 2.0);
}

/// Attention over joined rows of q, k and v, after `lead` columns that do not belong to it.
fn attention(n_heads: usize, head_dim: usize, spans: Vec<Span>, is_causal: bool) {
    let mut case = Case::new();
    let lead = 4;
    let width = n_heads * head_dim;
    let stride = lead + 3 * width;
    let n_queries = spans.iter().map(|span| span.queries.end).max().unwrap_or(0);
    let n_keys = spans.iter().map(|span| span.keys.end).max().unwrap_or(0);
    let slot = case.input(n_queries.max(n_keys) * stride);
    // Larger scores than chance gives make the softmax peaked.
    case.inputs[0].iter_mut().for_each(|value| *value *= 3.0);
    let view = |i: usize| View { slot, offset: lead + i * width, stride };
    let y = case.output(n_queries * width);
    let what = format!("attention {n_heads} x {head_dim} causal {is_causal} {spans:?}");
    let (q, k, v) = (view(0), view(1), view(2));
    case.graph.ops.push(Op::Attention { q, k, v, y, n_heads, head_dim, spans, is_causal });
    // A score sums head_dim products below 9 / sqrt(head_dim); e^x turns its absolute error into a relative
    // one of a mean of values below 3.
    let tolerance = 2.0 * 3.0 * sum_tolerance(head_dim, 9.0 / (head_dim as f32).sqrt()) + 1e-5;
    case.check(&what, tolerance);
}

fn span(queries: std::ops::Range<usize>, keys: std::ops::Range<usize>) -> Span {
    Span { queries, keys }
}

#[test]
fn attention_smallest() {
    attention(1, 4, vec![span(0..1, 0..1)], false);
    attention(1, 4, vec![span(0..1, 0..1)], true);
}

#[test]
fn attention_of_any_head_size() {
    for head_dim in [4, 12, 16, 32, 64, 80, 88, 104, 128, 256] {
        attention(2, head_dim, vec![span(0..17, 0..17)], false);
        attention(2, head_dim, vec![span(0..17, 0..17)], true);
    }
}

#[test]
fn attention_over_chunks_of_keys() {
    for n in [63, 64, 65, 129, 257] {
        attention(1, 64, vec![span(0..n, 0..n)], false);
        attention(1, 32, vec![span(0..n, 0..n)], true);
    }
}

#[test]
fn attention_of_ragged_and_shared_spans() {
    let spans = vec![span(0..5, 0..5), span(5..6, 5..6), span(6..76, 6..70), span(76..80, 0..80)];
    attention(3, 32, spans.clone(), false);
    attention(3, 32, spans, true);
    // Queries in front of and behind the keys, and a span without keys.
    attention(2, 16, vec![span(0..9, 3..5), span(9..12, 2..2)], false);
    attention(2, 16, vec![span(0..9, 3..5), span(9..12, 2..2)], true);
}

#[test]
fn attention_of_a_real_layer() {
    attention(12, 64, vec![span(0..50, 0..50)], false);
    attention(8, 64, vec![span(0..77, 0..77), span(77..87, 77..87)], true);
}

#[test]
fn layer_norm() {
    for [n_rows, n_cols] in [[1, 1], [1, 63], [3, 64], [5, 65], [70, 768], [2, 1000]] {
        let mut case = Case::new();
        let x = case.input(n_rows * n_cols);
        // A mean far from zero shows a variance that is not taken about it.
        case.inputs[0].iter_mut().for_each(|value| *value += 10.0);
        let weight = case.param(&[n_cols], Format::F32, 1.0);
        let bias = case.param(&[n_cols], Format::F32, 1.0);
        let y = case.output(n_rows * n_cols);
        case.graph.ops.push(Op::LayerNorm { x, weight, bias, eps: 1e-5, y, n_rows, n_cols });
        // The mean near 10 is off by a few of its last places (1e-6), which 1 / sigma = 1.7 scales; a row of
        // one has no variance, so eps scales it by 316.
        let scale = if n_cols == 1 { 316.0 } else { 2.0 };
        case.check(&format!("layer_norm {n_rows} x {n_cols}"), scale * 4e-6);
    }
}

#[test]
fn normalize() {
    for [n_rows, n_cols] in [[1, 1], [3, 63], [4, 65], [100, 512]] {
        let mut case = Case::new();
        let x = case.input(n_rows * n_cols);
        // The last row is zero and must stay so.
        case.inputs[0][(n_rows - 1) * n_cols..].fill(0.0);
        let y = case.output(n_rows * n_cols);
        case.graph.ops.push(Op::Normalize { x, y, n_rows, n_cols });
        // Values at most 1; a sum of squares, a root and a division: a few last places each.
        case.check(&format!("normalize {n_rows} x {n_cols}"), 1e-6);
    }
}

#[test]
fn similarity() {
    for [n_a, n_b, n_cols] in [[1, 1, 1], [3, 65, 7], [1, 100, 512]] {
        let mut case = Case::new();
        let (a, b) = (case.input(n_a * n_cols), case.input(n_b * n_cols));
        let y = case.output(n_a * n_b);
        case.graph.ops.push(Op::Similarity { a, b, scale: 3.0, y, n_a, n_b, n_cols });
        case.check(&format!("similarity {n_a} x {n_b} x {n_cols}"), sum_tolerance(n_cols, 3.0));
    }
}

#[test]
fn patch_embed() {
    for (n_images, image_size, patch_size, width, has_class) in [
        (1, 1, 1, 1, false),
        (2, 9, 3, 6, true),
        (3, 28, 7, 20, true),
        (1, 35, 5, 67, false),
        (1, 224, 32, 768, true),
    ] {
        let mut case = Case::new();
        let n_patches = (image_size / patch_size) * (image_size / patch_size);
        let n_tokens = n_patches + usize::from(has_class);
        let n_in = patch_size * patch_size * 3;
        let pixels = case.input(n_images * image_size * image_size * 3);
        let weight = case.param(&[width, n_in], Format::F32, 0.5);
        let bias = (!has_class).then(|| case.param(&[width], Format::F32, 1.0));
        let class = has_class.then(|| case.param(&[width], Format::F32, 1.0));
        let position = case.param(&[n_tokens, width], Format::F32, 1.0);
        let y = case.output(n_images * n_tokens * width);
        let what = format!("patch_embed {n_images} x {image_size} / {patch_size} to {width}");
        case.graph.ops.push(Op::PatchEmbed {
            pixels,
            weight,
            bias,
            class,
            position,
            y,
            n_images,
            image_size,
            patch_size,
            width,
        });
        case.check(&what, sum_tolerance(n_in, 0.5) + 1e-6);
    }
}

/// A convolution with the same padding on all sides, or with one pixel less above and left (TensorFlow's).
fn conv_shape(
    n_images: usize,
    size: [usize; 2],
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
) -> ConvShape {
    let [in_height, in_width] = size;
    let pad = if stride == 2 { (kernel - 1) / 2 } else { kernel / 2 };
    ConvShape {
        n_images,
        in_height,
        in_width,
        in_channels: channels[0],
        out_height: in_height.div_ceil(stride),
        out_width: in_width.div_ceil(stride),
        out_channels: channels[1],
        kernel,
        stride,
        pad_top: pad,
        pad_left: pad.saturating_sub(usize::from(stride == 2)),
    }
}

#[test]
fn conv2d() {
    for shape in [
        conv_shape(1, [1, 1], [1, 1], 1, 1),
        conv_shape(1, [2, 3], [2, 5], 3, 1),
        conv_shape(2, [9, 7], [3, 33], 3, 2),
        conv_shape(1, [6, 11], [8, 12], 5, 1),
        conv_shape(1, [56, 56], [3, 32], 3, 2),
    ] {
        let mut case = Case::new();
        let n_in = shape.kernel * shape.kernel * shape.in_channels;
        let x = case.input(shape.n_images * shape.in_height * shape.in_width * shape.in_channels);
        let weight = case.param(&[shape.out_channels, n_in], Format::F32, 0.5);
        let bias = (shape.kernel > 1).then(|| case.param(&[shape.out_channels], Format::F32, 1.0));
        let y = case.output(shape.n_images * shape.out_height * shape.out_width * shape.out_channels);
        case.graph.ops.push(Op::Conv2d { x, weight, bias, activation: Activation::Relu6, y, shape });
        case.check(&format!("conv2d {shape:?}"), sum_tolerance(n_in, 0.5) + 1e-6);
    }
}

#[test]
fn depthwise() {
    for shape in [
        conv_shape(1, [1, 1], [1, 1], 3, 1),
        conv_shape(1, [2, 3], [5, 5], 3, 1),
        conv_shape(2, [9, 7], [6, 6], 3, 2),
        conv_shape(1, [6, 13], [8, 8], 5, 1),
        conv_shape(1, [28, 28], [144, 144], 5, 2),
        conv_shape(1, [5, 5], [4, 4], 7, 1),
    ] {
        let mut case = Case::new();
        let (n_taps, channels) = (shape.kernel * shape.kernel, shape.in_channels);
        let x = case.input(shape.n_images * shape.in_height * shape.in_width * channels);
        let weight = case.param(&[shape.kernel, shape.kernel, channels], Format::F32, 0.5);
        let bias = (channels > 1).then(|| case.param(&[channels], Format::F32, 1.0));
        let y = case.output(shape.n_images * shape.out_height * shape.out_width * channels);
        case.graph.ops.push(Op::Depthwise { x, weight, bias, activation: Activation::Relu6, y, shape });
        case.check(&format!("depthwise {shape:?}"), sum_tolerance(n_taps, 0.5) + 1e-6);
    }
}

#[test]
fn avg_pool() {
    for [n_images, height, width, channels, window] in
        [[1, 1, 1, 1, 1], [2, 5, 7, 3, 2], [1, 9, 9, 5, 3], [1, 56, 56, 64, 2]]
    {
        let mut case = Case::new();
        let x = case.input(n_images * height * width * channels);
        let y = case.output(n_images * (height / window) * (width / window) * channels);
        case.graph.ops.push(Op::AvgPool { x, y, n_images, height, width, channels, window });
        case.check(
            &format!("avg_pool {height} x {width} x {channels} / {window}"),
            sum_tolerance(window * window, 1.0),
        );
    }
}

#[test]
#[allow(clippy::single_range_in_vec_init)] // one range of rows is meant
fn mean_rows() {
    for (n_rows, n_cols, ranges) in
        [(1, 1, vec![0..1]), (9, 65, vec![0..3, 3..4, 2..9, 5..5]), (49, 1280, vec![0..49])]
    {
        let mut case = Case::new();
        let x = case.input(n_rows * n_cols);
        let y = case.output(ranges.len() * n_cols);
        case.graph.ops.push(Op::MeanRows { x, y, ranges, n_cols });
        case.check(&format!("mean_rows {n_rows} x {n_cols}"), sum_tolerance(n_rows, 1.0));
    }
}

#[test]
fn gather_rows() {
    for (n_rows, n_cols, rows) in [(1, 1, vec![0]), (9, 65, vec![8, 0, 8, 3]), (77, 512, vec![76])] {
        let mut case = Case::new();
        let x = case.input(n_rows * n_cols);
        let y = case.output(rows.len() * n_cols);
        case.graph.ops.push(Op::GatherRows { x, y, rows, n_cols });
        case.check(&format!("gather_rows {n_rows} x {n_cols}"), 0.0);
    }
}

#[test]
fn copy_rows() {
    for (n_rows, n_cols, to_row, to_stride, add_rows) in
        [(1, 1, 0, 1, None), (5, 7, 0, 1, Some(2)), (13, 65, 0, 1, Some(13)), (70, 384, 0, 1, Some(512))]
    {
        let mut case = Case::new();
        let x = case.input(n_rows * n_cols);
        let add = add_rows.map(|rows| (case.param(&[rows, n_cols], Format::F32, 1.0), rows));
        let y = case.output(n_rows * n_cols);
        case.graph.ops.push(Op::CopyRows { x, y, n_rows, n_cols, to_row, to_stride, add });
        case.check(&format!("copy_rows {n_rows} x {n_cols}"), f32::EPSILON);
    }
}

/// Two copies interleave: each fills its rows and leaves the other's alone.
#[test]
fn copy_rows_joins_sequences() {
    let (n_rows, n_cols) = (3, 5);
    let mut case = Case::new();
    let (first, second) = (case.input(n_rows * n_cols), case.input(n_rows * n_cols));
    let y = case.output(2 * n_rows * n_cols);
    for (to_row, x) in [first, second].into_iter().enumerate() {
        case.graph.ops.push(Op::CopyRows { x, y, n_rows, n_cols, to_row, to_stride: 2, add: None });
    }
    case.check("copy_rows twice", 0.0);
}

/// A chain long enough that buffers are reused: a value overwritten too early would show.
#[test]
fn buffers_are_reused_safely() {
    let (n_rows, width) = (5, 64);
    let mut case = Case::new();
    let x = case.input(n_rows * width);
    let mut residuals = vec![x];
    for i in 0..12 {
        let weight = case.param(&[width, width], Format::F32, 0.2);
        let y = case.graph.slot(n_rows * width);
        let x = residuals[i];
        let residual = (i > 2).then(|| residuals[i - 2]);
        let (bias, activation) = (None, Activation::QuickGelu);
        let (n_in, n_out) = (width, width);
        case.graph.ops.push(Op::Linear {
            x,
            weight,
            bias,
            activation,
            residual,
            activation_after_residual: false,
            y,
            n_rows,
            n_in,
            n_out,
        });
        residuals.push(y);
    }
    let y = case.output(n_rows * width);
    case.graph.ops.push(Op::Normalize { x: residuals[12], y, n_rows, n_cols: width });
    case.check("chain", 1e-5);
}

#[test]
fn a_warm_run_gives_the_same_again_and_overlapping_runs_do_too() {
    let mut case = Case::new();
    let x = case.input(8 * 64);
    let weight = case.param(&[64, 64], Format::Q8_0, 0.5);
    let y = case.graph.slot(8 * 64);
    case.graph.output("y", y, &[8, 64]);
    let (bias, activation, residual) = (None, Activation::Identity, None);
    case.graph.ops.push(Op::Linear {
        x,
        weight,
        bias,
        activation,
        residual,
        activation_after_residual: false,
        y,
        n_rows: 8,
        n_in: 64,
        n_out: 64,
    });
    let model = gpu().upload(case.params.clone());
    let prepared = model.prepare(&case.graph).expect("prepares");
    let other: Vec<f32> = case.inputs[0].iter().map(|value| -value).collect();
    let run = |input: &[f32]| pollster::block_on(prepared.run(&[input])).expect("runs").remove(0);
    let first = run(&case.inputs[0]);
    let negated: Vec<f32> = first.iter().map(|value| -value).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..20).for_each(|_| assert!(run(&case.inputs[0]) == first)));
        scope.spawn(|| (0..20).for_each(|_| assert!(run(&other) == negated)));
    });
    assert_ne!(first, negated);
}

#[test]
fn wrong_graphs_and_inputs_are_typed_errors_with_both_numbers() {
    let mut case = Case::new();
    let x = case.input(63);
    let weight = case.param(&[16, 16], Format::F32, 1.0);
    let y = case.output(64);
    let (bias, activation, residual) = (None, Activation::Identity, None);
    let op = Op::Linear {
        x,
        weight,
        bias,
        activation,
        residual,
        activation_after_residual: false,
        y,
        n_rows: 4,
        n_in: 16,
        n_out: 16,
    };
    case.graph.ops.push(op.clone());
    let model = gpu().upload(case.params.clone());
    let error = model.prepare(&case.graph).err().expect("x is too short");
    assert_eq!(error.to_string(), "linear: x holds 63 values, needs 64");

    case.graph.slots[x.0] = 64;
    let prepared = model.prepare(&case.graph).expect("the control is right");
    let run = |inputs: &[&[f32]]| pollster::block_on(prepared.run(inputs)).map(|_| ());
    assert_eq!(run(&[&[0.0; 64]]), Err(GpuError::Inputs { expected: 2, actual: 1 }));
    let wrong = run(&[&[0.0; 63], &[0.0; 71]]);
    assert_eq!(wrong, Err(GpuError::InputLen { index: 0, expected: 64, actual: 63 }));
    assert_eq!(run(&[&[0.0; 64], &[0.0; 71]]), Ok(()));

    case.graph.ops = vec![Op::Normalize { x: Slot(9), y, n_rows: 1, n_cols: 1 }];
    let error = model.prepare(&case.graph).err().expect("there is no slot 9");
    assert_eq!(error.to_string(), "normalize: refers to slot 9, but there are 2");

    let view = View { slot: x, offset: 0, stride: 6 };
    let spans = vec![span(0..1, 0..1)];
    let (q, k, v) = (view, view, view);
    case.graph.ops = vec![Op::Attention { q, k, v, y, n_heads: 1, head_dim: 6, spans, is_causal: false }];
    let error = model.prepare(&case.graph).err().expect("6 is no multiple of 4");
    assert_eq!(error.to_string(), "attention: head_dim is 6, needs a multiple of 4 up to 256");
}

#[test]
fn a_buffer_over_the_limit_is_a_typed_error() {
    let mut case = Case::new();
    let x = case.graph.input(4);
    let y = case.graph.slot(40 << 20);
    case.graph.output("y", y, &[40 << 20]);
    case.graph.ops.push(Op::GatherRows { x, y, rows: vec![0], n_cols: 4 });
    let error = gpu().upload(case.params).prepare(&case.graph).err().expect("160 MiB do not fit");
    let (n_bytes, limit) = (160 << 20, 128 << 20);
    assert_eq!(error, GpuError::TooLarge { what: "activations".into(), n_bytes, limit });
}

#[test]
fn a_lost_device_is_a_typed_error() {
    let options = GpuOptions { is_software: HAS_SOFTWARE_ADAPTER, ..Default::default() };
    let own = pollster::block_on(Gpu::request(options)).expect("a second device");
    let mut case = Case::new();
    let x = case.input(4);
    let y = case.output(4);
    case.graph.ops.push(Op::Normalize { x, y, n_rows: 1, n_cols: 4 });
    let inputs: Vec<&[f32]> = case.inputs.iter().map(Vec::as_slice).collect();
    let model = own.upload(case.params.clone());
    let prepared = model.prepare(&case.graph).expect("prepares");
    assert!(pollster::block_on(prepared.run(&inputs)).is_ok(), "the control runs");
    assert!(!own.is_lost());
    own.destroy();
    let error = pollster::block_on(prepared.run(&inputs)).expect_err("the device is gone");
    assert!(matches!(error, GpuError::Lost(_)), "{error}");
    assert!(matches!(model.prepare(&case.graph), Err(GpuError::Lost(_))));
    assert!(own.is_lost());
}

/// Each operation is timed, whether or not the adapter has timestamps.
#[test]
fn operations_are_timed() {
    for has_timestamps in [false, true] {
        let options = GpuOptions { is_software: HAS_SOFTWARE_ADAPTER, has_timestamps };
        let gpu = pollster::block_on(Gpu::request(options)).expect("a device");
        let mut case = Case::new();
        let x = case.input(640);
        let y = case.output(640);
        case.graph.ops.push(Op::Normalize { x, y, n_rows: 10, n_cols: 64 });
        let inputs: Vec<&[f32]> = case.inputs.iter().map(Vec::as_slice).collect();
        let prepared = gpu.upload(ParamSet::default()).prepare(&case.graph).expect("prepares");
        let times = pollster::block_on(prepared.time_ops(&inputs)).expect("runs");
        assert_eq!(times.len(), 1);
        assert_eq!(times[0].kernel, "normalize");
        assert!(times[0].millis >= 0.0 && times[0].millis < 60_000.0, "{times:?}");
    }
}

/// Reads a shader with naga and lists its uniform's fields, its bindings and its overrides.
fn declared(kernel: &kernels::Kernel) -> (Vec<String>, Vec<(String, Access)>, Vec<String>) {
    let module = naga::front::wgsl::parse_str(kernel.source).expect("valid WGSL");
    let mut bindings: Vec<_> =
        module.global_variables.iter().filter_map(|(_, v)| Some((v.binding?, v))).collect();
    bindings.sort_by_key(|(binding, _)| binding.binding);
    let dense: Vec<_> = bindings.iter().map(|(binding, _)| (binding.group, binding.binding)).collect();
    let expected: Vec<_> = (0..bindings.len() as u32).map(|i| (0, i)).collect();
    assert_eq!(dense, expected, "{}: bindings are dense from 0 in group 0", kernel.name);
    let uniform = bindings.remove(0).1;
    assert_eq!(uniform.space, naga::AddressSpace::Uniform, "{}: params come first", kernel.name);
    let naga::TypeInner::Struct { members, .. } = &module.types[uniform.ty].inner else {
        panic!("{}: params are a struct", kernel.name);
    };
    for (i, member) in members.iter().enumerate() {
        assert_eq!(member.offset as usize, 4 * i, "{}: params are four bytes each", kernel.name);
    }
    let fields = members.iter().map(|member| member.name.clone().unwrap_or_default()).collect();
    let storage = bindings
        .into_iter()
        .map(|(_, variable)| {
            let naga::AddressSpace::Storage { access } = variable.space else {
                panic!("{}: everything but params is storage", kernel.name);
            };
            let is_written = access.contains(naga::StorageAccess::STORE);
            (variable.name.clone().unwrap_or_default(), if is_written { Access::Write } else { Access::Read })
        })
        .collect();
    let overrides = module.overrides.iter().map(|(_, o)| o.name.clone().unwrap_or_default()).collect();
    (fields, storage, overrides)
}

#[test]
fn shaders_declare_what_the_host_binds() {
    for kernel in kernels::all() {
        let (fields, storage, mut overrides) = declared(kernel);
        assert_eq!(fields, kernel.params, "{}: params", kernel.name);
        let host: Vec<_> = kernel.bindings.iter().map(|(name, access)| (name.to_string(), *access)).collect();
        assert_eq!(storage, host, "{}: bindings", kernel.name);
        let written: Vec<_> = storage.iter().filter(|(_, access)| *access == Access::Write).collect();
        assert_eq!(written, [&storage[storage.len() - 1]], "{}: one output, last", kernel.name);
        overrides.sort();
        for variant in (kernel.variants)() {
            let mut names: Vec<_> = variant.iter().map(|(name, _)| name.to_string()).collect();
            names.sort();
            assert_eq!(names, overrides, "{}: overrides", kernel.name);
        }
    }
}

/// The header of each shader names what it must, and its twin and its host file exist.
#[test]
fn shaders_open_with_their_contract() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for kernel in kernels::all() {
        let path = root.join(format!("shaders/{}.wgsl", kernel.name));
        let text = std::fs::read_to_string(&path).expect("one shader a kernel");
        assert!(text.starts_with(&format!("// {}: ", kernel.name)), "{}: title", kernel.name);
        for section in ["// Why its own kernel: ", "// Shapes  ", "// Launch  "] {
            assert!(text.contains(section), "{}: has no {section:?}", kernel.name);
        }
        let twin = text.lines().find_map(|line| line.strip_prefix("// Twin    ")).expect("a twin");
        assert!(root.join(twin).is_file(), "{}: twin {twin}", kernel.name);
        assert!(root.join(format!("src/kernels/{}.rs", kernel.name)).is_file(), "{}: host file", kernel.name);
    }
}
