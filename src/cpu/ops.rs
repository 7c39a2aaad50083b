//! The operations: plain loops that vectorise, and a library's matrix product.
//!
//! Invariant: each writes every value of the rows that it owns and reads nothing that it has not checked the length of.

use std::ops::Range;

use super::lanes::{add, add_products};
use super::math::{activate, softmax};
use super::panel::{Matrix, multiply_add};
use super::{CpuError, IS_BROWSER, Memory, n_threads};
use crate::graph::{Activation, ConvShape, Op, View};

/// Below this many multiplications an operation stays on one thread: starting one costs about 20 µs.
const WORK_PER_THREAD: usize = 1 << 20;

/// How many rows a convolution gathers at a time: its scratch stays in the second-level cache.
const ROWS_PER_TILE: usize = 128;

/// Runs one operation; `y` is its whole slot.
pub fn run(op: &Op, memory: &Memory, y: &mut [f32]) -> Result<(), CpuError> {
    match op {
        &Op::Linear {
            x,
            weight,
            bias,
            activation,
            residual,
            activation_after_residual,
            n_rows,
            n_in,
            n_out,
            ..
        } => {
            memory.expect("the output", y.len(), n_rows * n_out)?;
            let x = memory.read(x, n_rows * n_in)?;
            let weight = memory.matrix(weight, n_out * n_in)?;
            let bias = memory.maybe_param(bias, "the bias", n_out)?;
            let residual = residual.map(|slot| memory.read(slot, n_rows * n_out)).transpose()?;
            by_rows(y, n_out, n_in * n_out, |rows, y| {
                let inner = if activation_after_residual { Activation::Identity } else { activation };
                dense(
                    &x[rows.start * n_in..rows.end * n_in],
                    &weight,
                    bias.as_deref(),
                    inner,
                    y,
                    n_in,
                    n_out,
                );
                if let Some(residual) = residual {
                    add(y, &residual[rows.start * n_out..rows.end * n_out]);
                }
                if activation_after_residual {
                    activate(activation, y);
                }
            });
        }
        Op::Attention { q, k, v, n_heads, head_dim, spans, is_causal, .. } => {
            let width = n_heads * head_dim;
            let [q, k, v] = [q, k, v].map(|view| Rows::new(memory, view, width));
            let (q, k, v) = (q?, k?, v?);
            let mut scores = Vec::new();
            for span in spans {
                q.check(&span.queries)?;
                k.check(&span.keys)?;
                v.check(&span.keys)?;
                let (n_queries, n_keys) = (span.queries.len(), span.keys.len());
                if n_keys == 0 || (*is_causal && n_queries > n_keys) {
                    return Err(CpuError::Shape {
                        op: memory.op,
                        what: "a span has fewer keys than it needs",
                    });
                }
                let y_range = span.queries.start * width..span.queries.end * width;
                let given = y.len();
                let y = y.get_mut(y_range).ok_or(CpuError::Length {
                    op: memory.op,
                    what: "the output",
                    given,
                    expected: span.queries.end * width,
                })?;
                scores.resize(n_queries * n_keys, 0.0);
                for head in 0..*n_heads {
                    let column = head * head_dim;
                    let q = q.matrix(span.queries.start, column, n_queries, *head_dim);
                    let k = k.matrix(span.keys.start, column, n_keys, *head_dim);
                    let v = v.matrix(span.keys.start, column, n_keys, *head_dim);
                    let scale = 1.0 / (*head_dim as f32).sqrt();
                    gemm(scale, q, k.transposed(), &mut scores, n_keys, 0.0);
                    for (query, row) in scores.chunks_exact_mut(n_keys).enumerate() {
                        let n_seen = if *is_causal { query + 1 } else { n_keys };
                        softmax(&mut row[..n_seen]);
                        row[n_seen..].fill(0.0);
                    }
                    gemm(1.0, Strided::dense(&scores, n_queries, n_keys), v, &mut y[column..], width, 0.0);
                }
            }
        }
        &Op::LayerNorm { x, weight, bias, eps, n_rows, n_cols, .. } => {
            memory.expect("the output", y.len(), n_rows * n_cols)?;
            let x = memory.read(x, n_rows * n_cols)?;
            let weight = memory.param(weight, "the weight", n_cols)?;
            let bias = memory.param(bias, "the bias", n_cols)?;
            for (x, y) in x.chunks_exact(n_cols).zip(y.chunks_exact_mut(n_cols)) {
                let mean = x.iter().sum::<f32>() / n_cols as f32;
                let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n_cols as f32;
                let scale = 1.0 / (variance + eps).sqrt();
                for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(&*weight).zip(&*bias) {
                    *y = (x - mean) * scale * weight + bias;
                }
            }
        }
        &Op::PatchEmbed {
            pixels,
            weight,
            bias,
            class,
            position,
            n_images,
            image_size,
            patch_size,
            width,
            ..
        } => {
            let grid = image_size / patch_size;
            let n_patches = grid * grid;
            let n_class = usize::from(class.is_some());
            let n_tokens = n_patches + n_class;
            let n_in = patch_size * patch_size * 3;
            memory.expect("the output", y.len(), n_images * n_tokens * width)?;
            let pixels = memory.read(pixels, n_images * image_size * image_size * 3)?;
            let weight = memory.matrix(weight, width * n_in)?;
            let bias = memory.maybe_param(bias, "the bias", width)?;
            let class = memory.maybe_param(class, "the class token", width)?;
            let position = memory.param(position, "the positions", n_tokens * width)?;
            let shape = ConvShape {
                n_images: 1,
                in_height: image_size,
                in_width: image_size,
                in_channels: 3,
                out_height: grid,
                out_width: grid,
                out_channels: width,
                kernel: patch_size,
                stride: patch_size,
                pad_top: 0,
                pad_left: 0,
            };
            for (pixels, y) in
                pixels.chunks_exact(image_size * image_size * 3).zip(y.chunks_exact_mut(n_tokens * width))
            {
                let (class_row, patch_rows) = y.split_at_mut(n_class * width);
                class_row.copy_from_slice(class.as_deref().unwrap_or_default());
                convolve(pixels, &weight, bias.as_deref(), Activation::Identity, patch_rows, &shape);
                add(y, &position);
            }
        }
        Op::Conv2d { x, weight, bias, activation, shape, .. } => {
            let n_in = shape.kernel * shape.kernel * shape.in_channels;
            memory.expect("the output", y.len(), n_pixels(shape) * shape.out_channels)?;
            let x = memory.read(*x, shape.n_images * shape.in_height * shape.in_width * shape.in_channels)?;
            let weight = memory.matrix(*weight, shape.out_channels * n_in)?;
            let bias = memory.maybe_param(*bias, "the bias", shape.out_channels)?;
            convolve(x, &weight, bias.as_deref(), *activation, y, shape);
        }
        Op::Depthwise { x, weight, bias, activation, shape, .. } => {
            let channels = shape.in_channels;
            memory.expect("the output", y.len(), n_pixels(shape) * channels)?;
            let x = memory.read(*x, shape.n_images * shape.in_height * shape.in_width * channels)?;
            let weight = memory.param(*weight, "the weight", shape.kernel * shape.kernel * channels)?;
            let bias = memory.maybe_param(*bias, "the bias", channels)?;
            by_rows(y, channels, shape.kernel * shape.kernel * channels, |rows, y| {
                for (row, y) in rows.zip(y.chunks_exact_mut(channels)) {
                    fill(y, bias.as_deref());
                    taps(shape, row, |tap, pixel| {
                        let x = &x[pixel * channels..][..channels];
                        let weight = &weight[tap * channels..][..channels];
                        add_products(y, x, weight);
                    });
                    activate(*activation, y);
                }
            });
        }
        &Op::AvgPool { x, n_images, height, width, channels, window, .. } => {
            let (out_height, out_width) = (height / window, width / window);
            memory.expect("the output", y.len(), n_images * out_height * out_width * channels)?;
            let x = memory.read(x, n_images * height * width * channels)?;
            let scale = 1.0 / (window * window) as f32;
            for (row, y) in y.chunks_exact_mut(channels).enumerate() {
                let (image, i, j) =
                    (row / (out_height * out_width), row / out_width % out_height, row % out_width);
                y.fill(0.0);
                for (di, dj) in (0..window * window).map(|tap| (tap / window, tap % window)) {
                    let pixel = (image * height + i * window + di) * width + j * window + dj;
                    add(y, &x[pixel * channels..][..channels]);
                }
                y.iter_mut().for_each(|y| *y *= scale);
            }
        }
        Op::MeanRows { x, ranges, n_cols, .. } => {
            memory.expect("the output", y.len(), ranges.len() * n_cols)?;
            let n_rows = ranges.iter().map(|range| range.end).max().unwrap_or(0);
            let x = memory.read(*x, n_rows * n_cols)?;
            for (range, y) in ranges.iter().zip(y.chunks_exact_mut(*n_cols)) {
                y.fill(0.0);
                range.clone().for_each(|row| add(y, &x[row * n_cols..][..*n_cols]));
                let scale = 1.0 / range.len().max(1) as f32;
                y.iter_mut().for_each(|y| *y *= scale);
            }
        }
        Op::GatherRows { x, rows, n_cols, .. } => {
            memory.expect("the output", y.len(), rows.len() * n_cols)?;
            let n_rows = rows.iter().map(|row| row + 1).max().unwrap_or(0);
            let x = memory.read(*x, n_rows * n_cols)?;
            for (row, y) in rows.iter().zip(y.chunks_exact_mut(*n_cols)) {
                y.copy_from_slice(&x[row * n_cols..][..*n_cols]);
            }
        }
        &Op::CopyRows { x, n_rows, n_cols, to_row, to_stride, add: added, .. } => {
            let x = memory.read(x, n_rows * n_cols)?;
            let expected = (to_row + n_rows.saturating_sub(1) * to_stride + 1) * n_cols;
            if y.len() < expected {
                return Err(CpuError::Length { op: memory.op, what: "the output", given: y.len(), expected });
            }
            let added = match added {
                Some((param, rows)) => Some((memory.param(param, "what is added", rows * n_cols)?, rows)),
                None => None,
            };
            for (row, x) in x.chunks_exact(n_cols).enumerate() {
                let y = &mut y[(to_row + row * to_stride) * n_cols..][..n_cols];
                y.copy_from_slice(x);
                if let Some((values, rows)) = &added {
                    add(y, &values[row % rows * n_cols..][..n_cols]);
                }
            }
        }
        &Op::Normalize { x, n_rows, n_cols, .. } => {
            memory.expect("the output", y.len(), n_rows * n_cols)?;
            let x = memory.read(x, n_rows * n_cols)?;
            for (x, y) in x.chunks_exact(n_cols).zip(y.chunks_exact_mut(n_cols)) {
                let square = x.iter().map(|x| x * x).sum::<f32>();
                let scale = if square > 0.0 { 1.0 / square.sqrt() } else { square }; // NaN stays NaN
                y.iter_mut().zip(x).for_each(|(y, x)| *y = x * scale);
            }
        }
        &Op::Similarity { a, b, scale, n_a, n_b, n_cols, .. } => {
            memory.expect("the output", y.len(), n_a * n_b)?;
            let a = Strided::dense(memory.read(a, n_a * n_cols)?, n_a, n_cols);
            let b = Strided::dense(memory.read(b, n_b * n_cols)?, n_b, n_cols);
            gemm(scale, a, b.transposed(), y, n_b, 0.0);
        }
    }
    Ok(())
}

/// `y = activation(x · weightᵀ + bias)`: x `[rows, n_in]`, weight `[n_out, n_in]`, y `[rows, n_out]`.
fn dense(
    x: &[f32],
    weight: &Matrix,
    bias: Option<&[f32]>,
    activation: Activation,
    y: &mut [f32],
    n_in: usize,
    n_out: usize,
) {
    y.chunks_exact_mut(n_out).for_each(|y| fill(y, bias));
    match weight {
        Matrix::Wide(weight) if !IS_BROWSER => {
            let x = Strided::dense(x, y.len() / n_out, n_in);
            gemm(1.0, x, Strided::dense(weight, n_out, n_in).transposed(), y, n_out, 1.0);
        }
        weight => multiply_add(x, weight, y, n_in, n_out),
    }
    activate(activation, y);
}

/// A convolution as a matrix product over gathered neighbourhoods, a tile of output pixels at a time.
fn convolve(
    x: &[f32],
    weight: &Matrix,
    bias: Option<&[f32]>,
    activation: Activation,
    y: &mut [f32],
    shape: &ConvShape,
) {
    let (c_in, c_out) = (shape.in_channels, shape.out_channels);
    let n_in = shape.kernel * shape.kernel * c_in;
    by_rows(y, c_out, n_in * c_out, |rows, y| {
        let mut gathered = vec![0.0; ROWS_PER_TILE.min(rows.len()) * n_in];
        for (tile, y) in y.chunks_mut(ROWS_PER_TILE * c_out).enumerate() {
            let first = rows.start + tile * ROWS_PER_TILE;
            let gathered = &mut gathered[..y.len() / c_out * n_in];
            gathered.fill(0.0);
            for (row, values) in gathered.chunks_exact_mut(n_in).enumerate() {
                taps(shape, first + row, |tap, pixel| {
                    values[tap * c_in..][..c_in].copy_from_slice(&x[pixel * c_in..][..c_in]);
                });
            }
            dense(gathered, weight, bias, activation, y, n_in, c_out);
        }
    });
}

fn n_pixels(shape: &ConvShape) -> usize {
    shape.n_images * shape.out_height * shape.out_width
}

/// Calls `visit(tap, input pixel)` for each tap of output pixel `row` that lies inside the picture.
fn taps(shape: &ConvShape, row: usize, mut visit: impl FnMut(usize, usize)) {
    let image = row / (shape.out_height * shape.out_width);
    let i = row / shape.out_width % shape.out_height * shape.stride;
    let j = row % shape.out_width * shape.stride;
    for di in 0..shape.kernel {
        let Some(y) = (i + di).checked_sub(shape.pad_top).filter(|&y| y < shape.in_height) else { continue };
        for dj in 0..shape.kernel {
            let Some(x) = (j + dj).checked_sub(shape.pad_left).filter(|&x| x < shape.in_width) else {
                continue;
            };
            visit(di * shape.kernel + dj, (image * shape.in_height + y) * shape.in_width + x);
        }
    }
}

fn fill(row: &mut [f32], bias: Option<&[f32]>) {
    match bias {
        Some(bias) => row.copy_from_slice(bias),
        None => row.fill(0.0),
    }
}

/// Splits the rows of `y` over threads and calls `work(rows, their values)`; `cost` is multiplications a row.
fn by_rows(y: &mut [f32], n_cols: usize, cost: usize, work: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    let n_rows = y.len() / n_cols.max(1);
    let n_parts = n_threads().min(n_rows * cost / WORK_PER_THREAD).max(1);
    if n_parts == 1 {
        return work(0..n_rows, y);
    }
    let rows_per_part = n_rows.div_ceil(n_parts);
    std::thread::scope(|scope| {
        let work = &work;
        for (part, y) in y.chunks_mut(rows_per_part * n_cols).enumerate() {
            let start = part * rows_per_part;
            scope.spawn(move || work(start..start + y.len() / n_cols, y));
        }
    });
}

/// The rows of a [`View`].
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
    width: usize,
    op: &'static str,
}

impl<'a> Rows<'a> {
    fn new(memory: &'a Memory, view: &View, width: usize) -> Result<Self, CpuError> {
        let values = memory.read(view.slot, memory.slots[view.slot.0].len())?;
        let given = values.len();
        let values = values.get(view.offset..).ok_or(CpuError::Length {
            op: memory.op,
            what: "a view",
            given,
            expected: view.offset,
        })?;
        Ok(Self { values, stride: view.stride, width, op: memory.op })
    }

    fn check(&self, rows: &Range<usize>) -> Result<(), CpuError> {
        let expected = rows.end.saturating_sub(1) * self.stride + self.width;
        if rows.is_empty() || expected <= self.values.len() {
            return Ok(());
        }
        Err(CpuError::Length { op: self.op, what: "a view", given: self.values.len(), expected })
    }

    fn matrix(&self, row: usize, column: usize, n_rows: usize, n_cols: usize) -> Strided<'a> {
        Strided {
            values: &self.values[row * self.stride + column..],
            n_rows,
            n_cols,
            row_stride: self.stride,
            col_stride: 1,
        }
    }
}

/// A strided matrix inside a slice.
#[derive(Clone, Copy)]
struct Strided<'a> {
    values: &'a [f32],
    n_rows: usize,
    n_cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Strided<'a> {
    fn dense(values: &'a [f32], n_rows: usize, n_cols: usize) -> Self {
        Self { values, n_rows, n_cols, row_stride: n_cols, col_stride: 1 }
    }

    fn transposed(self) -> Self {
        Self {
            n_rows: self.n_cols,
            n_cols: self.n_rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// One past the last value that the matrix touches.
    fn end(&self) -> usize {
        extent(self.n_rows, self.n_cols, self.row_stride, self.col_stride)
    }
}

fn extent(n_rows: usize, n_cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if n_rows == 0 || n_cols == 0 { 0 } else { (n_rows - 1) * row_stride + (n_cols - 1) * col_stride + 1 }
}

/// `y = scale · a · b + keep · y`, y `[a.n_rows, b.n_cols]` with `y_stride` values between rows.
fn gemm(scale: f32, a: Strided, b: Strided, y: &mut [f32], y_stride: usize, keep: f32) {
    assert!(a.n_cols == b.n_rows && a.end() <= a.values.len() && b.end() <= b.values.len());
    assert!(extent(a.n_rows, b.n_cols, y_stride, 1) <= y.len());
    // SAFETY: the two assertions above keep every address that the strides reach inside its slice, and `y` is
    // borrowed mutably, so it overlaps neither operand.
    unsafe {
        matrixmultiply::sgemm(
            a.n_rows,
            a.n_cols,
            b.n_cols,
            scale,
            a.values.as_ptr(),
            a.row_stride as isize,
            a.col_stride as isize,
            b.values.as_ptr(),
            b.row_stride as isize,
            b.col_stride as isize,
            keep,
            y.as_mut_ptr(),
            y_stride as isize,
            1,
        );
    }
}
