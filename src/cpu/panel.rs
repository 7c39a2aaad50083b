//! The product of activations with stored weights, a panel of 16 outputs at a time.
//!
//! A panel is widened to f32 as `[n_in, 16]` and then used for all rows: weights stay as they are stored, and what is widened
//! stays in the second-level cache. On 4 rows at once an inner step is 8 loads for 64 multiplications.
//!
//! Invariant: the answers are those of [`Tensor::to_f32`] and a plain product, to f32 rounding.
//! Invariant: written out in 128-bit lanes, because the browser's build is optimised for size, which leaves loops as they are.

use super::lanes::F4;
use crate::tensor::{Format, Tensor, dequantize};
use std::borrow::Cow;

/// The values of a weight, row by row.
pub enum Matrix<'a> {
    Wide(Cow<'a, [f32]>),
    Stored(&'a Tensor),
}

impl Matrix<'_> {
    fn n_values(&self) -> usize {
        match self {
            Matrix::Wide(values) => values.len(),
            Matrix::Stored(tensor) => tensor.n_values(),
        }
    }

    /// The values from `start` on, as many as `y` has room for.
    fn read(&self, start: usize, y: &mut [f32]) {
        match self {
            Matrix::Wide(values) => y.copy_from_slice(&values[start..][..y.len()]),
            Matrix::Stored(Tensor { format, bytes, .. }) => {
                widen(*format, &bytes[format.bytes_for(start)..][..format.bytes_for(y.len())], y);
            }
        }
    }
}

/// Outputs of a panel.
const WIDTH: usize = 16;
/// So many inputs at a time, a multiple of every block's length: 64 kB of a panel.
const DEPTH: usize = 1024;
/// Rows that are transposed into a panel together.
const LANES: usize = 4;

/// `y += x · weightᵀ`: x `[rows, n_in]`, weight `[n_out, n_in]`, y `[rows, n_out]`; x and y hold as many rows, the weight
/// `n_out · n_in` values.
pub fn multiply_add(x: &[f32], weight: &Matrix, y: &mut [f32], n_in: usize, n_out: usize) {
    let n_rows = y.len() / n_out;
    assert!(x.len() == n_rows * n_in && y.len() == n_rows * n_out && weight.n_values() == n_out * n_in);
    let mut panel = vec![0.0; DEPTH.min(n_in) * WIDTH];
    let mut rows = vec![0.0; DEPTH.min(n_in) * LANES];
    // The last panel's outputs may be fewer: their rows are computed beside `y`.
    let mut narrow = vec![0.0; if n_out.is_multiple_of(WIDTH) { 0 } else { n_rows * WIDTH }];
    for first in (0..n_out).step_by(WIDTH) {
        let width = WIDTH.min(n_out - first);
        for start in (0..n_in).step_by(DEPTH) {
            let depth = DEPTH.min(n_in - start);
            let panel = &mut panel[..depth * WIDTH];
            fill(panel, &mut rows[..depth * LANES], weight, (first, width), (start, n_in));
            if width == WIDTH {
                product(&x[start..], n_in, panel, &mut y[first..], n_out, n_rows);
            } else {
                product(&x[start..], n_in, panel, &mut narrow, WIDTH, n_rows);
            }
        }
        if width < WIDTH {
            for (y, narrow) in y.chunks_exact_mut(n_out).zip(narrow.chunks_exact(WIDTH)) {
                y[first..].iter_mut().zip(narrow).for_each(|(y, sum)| *y += sum);
            }
        }
    }
}

/// Widens `width` rows of the weight from `first` on, values from `start` on, into the panel's columns; others are zero.
/// `rows` holds four of them on the way.
fn fill(
    panel: &mut [f32],
    rows: &mut [f32],
    weight: &Matrix,
    (first, width): (usize, usize),
    (start, n_in): (usize, usize),
) {
    let depth = panel.len() / WIDTH;
    for column in (0..WIDTH).step_by(LANES) {
        for (lane, row) in rows.chunks_exact_mut(depth).enumerate() {
            if column + lane < width {
                weight.read((first + column + lane) * n_in + start, row);
            } else {
                row.fill(0.0);
            }
        }
        transpose(rows, depth, &mut panel[column..]);
    }
}

/// Four rows of `depth` values as columns of a panel.
fn transpose(rows: &[f32], depth: usize, panel: &mut [f32]) {
    assert!(rows.len() == LANES * depth && panel.len() + WIDTH >= depth * WIDTH + LANES);
    let whole = depth / 4 * 4;
    // SAFETY: the assertion keeps every address inside its slice: `k + 3 < depth`, and a panel's row begins below
    // `(depth - 1) · WIDTH` and is written for four values.
    unsafe {
        let (a, b, c, d) = (
            rows.as_ptr(),
            rows.as_ptr().add(depth),
            rows.as_ptr().add(2 * depth),
            rows.as_ptr().add(3 * depth),
        );
        let y = panel.as_mut_ptr();
        for k in (0..whole).step_by(4) {
            let [p, q, r, s] = F4::transposed([
                F4::load(a.add(k)),
                F4::load(b.add(k)),
                F4::load(c.add(k)),
                F4::load(d.add(k)),
            ]);
            p.store(y.add(k * WIDTH));
            q.store(y.add((k + 1) * WIDTH));
            r.store(y.add((k + 2) * WIDTH));
            s.store(y.add((k + 3) * WIDTH));
        }
    }
    for k in whole..depth {
        for lane in 0..LANES {
            panel[k * WIDTH + lane] = rows[lane * depth + k];
        }
    }
}

/// `y += x · panel` for all rows, four at a time.
fn product(x: &[f32], x_stride: usize, panel: &[f32], y: &mut [f32], y_stride: usize, n_rows: usize) {
    let depth = panel.len() / WIDTH;
    if n_rows == 0 || depth == 0 {
        return;
    }
    assert!(x.len() >= (n_rows - 1) * x_stride + depth && y.len() >= (n_rows - 1) * y_stride + WIDTH);
    let mut row = 0;
    // SAFETY: the assertion keeps every row's `depth` and `WIDTH` values inside their slices; `y` is borrowed mutably.
    unsafe {
        while row < n_rows {
            let (x, y) = (x.as_ptr().add(row * x_stride), y.as_mut_ptr().add(row * y_stride));
            row += match n_rows - row {
                1 => tile1(x, x_stride, panel.as_ptr(), depth, y, y_stride),
                2 | 3 => tile2(x, x_stride, panel.as_ptr(), depth, y, y_stride),
                _ => tile4(x, x_stride, panel.as_ptr(), depth, y, y_stride),
            };
        }
    }
}

/// A tile of so many rows by 16 outputs, all its sums in registers. Returns its number of rows.
macro_rules! tile {
    ($name:ident: $n_rows:literal rows $($row:literal $a:ident $b:ident $c:ident $d:ident),+) => {
        unsafe fn $name(
            x: *const f32, x_stride: usize, panel: *const f32, depth: usize, y: *mut f32, y_stride: usize,
        ) -> usize {
            // SAFETY: the caller's slices hold `depth` values a row of x, `depth` rows of the panel, 16 values a row of y.
            unsafe {
                $(
                    let at = y.add($row * y_stride);
                    let (mut $a, mut $b, mut $c, mut $d) =
                        (F4::load(at), F4::load(at.add(4)), F4::load(at.add(8)), F4::load(at.add(12)));
                )+
                let mut weights = panel;
                for k in 0..depth {
                    let (p, q, r, s) =
                        (F4::load(weights), F4::load(weights.add(4)), F4::load(weights.add(8)), F4::load(weights.add(12)));
                    weights = weights.add(WIDTH);
                    $(
                        let value = F4::splat(x.add($row * x_stride + k));
                        $a = $a.add_product(value, p);
                        $b = $b.add_product(value, q);
                        $c = $c.add_product(value, r);
                        $d = $d.add_product(value, s);
                    )+
                }
                $(
                    let at = y.add($row * y_stride);
                    $a.store(at);
                    $b.store(at.add(4));
                    $c.store(at.add(8));
                    $d.store(at.add(12));
                )+
            }
            $n_rows
        }
    };
}

tile!(tile1: 1 rows 0 a0 b0 c0 d0);
tile!(tile2: 2 rows 0 a0 b0 c0 d0, 1 a1 b1 c1 d1);
tile!(tile4: 4 rows 0 a0 b0 c0 d0, 1 a1 b1 c1 d1, 2 a2 b2 c2 d2, 3 a3 b3 c3 d3);

#[cfg(not(target_arch = "wasm32"))]
use plain::widen;
#[cfg(target_arch = "wasm32")]
use wasm::widen;

/// Blocks by the instructions of WebAssembly.
#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::*;
    use core::arch::wasm32::*;

    /// The values of whole blocks; `y` has room for all of them.
    pub fn widen(format: Format, bytes: &[u8], y: &mut [f32]) {
        assert_eq!(bytes.len(), format.bytes_for(y.len()));
        let blocks = bytes.chunks_exact(format.block_bytes());
        match format {
            Format::Q8_0 => {
                for (block, y) in blocks.zip(y.chunks_exact_mut(32)) {
                    let scale = f32x4_splat(half_at(block));
                    // SAFETY: a block is a scale of 2 bytes and 32 quants, and `y` has 32 values.
                    unsafe {
                        for half in 0..2 {
                            let quants = v128_load(block.as_ptr().add(2 + 16 * half).cast());
                            write_i8(quants, scale, f32x4_splat(0.0), y.as_mut_ptr().add(16 * half));
                        }
                    }
                }
            }
            Format::Q4_0 | Format::Q4_1 | Format::Q5_0 | Format::Q5_1 => {
                let has_minimum = matches!(format, Format::Q4_1 | Format::Q5_1);
                let has_fifth_bit = matches!(format, Format::Q5_0 | Format::Q5_1);
                let quants_at = format.block_bytes() - 16;
                let zero = i8x16_splat(if has_minimum {
                    0
                } else if has_fifth_bit {
                    16
                } else {
                    8
                });
                for (block, y) in blocks.zip(y.chunks_exact_mut(32)) {
                    let scale = f32x4_splat(half_at(block));
                    let minimum = f32x4_splat(if has_minimum { half_at(&block[2..]) } else { 0.0 });
                    // SAFETY: a block ends with 16 bytes of quants, before them, where there are, the 4 of the fifth bits,
                    // and `y` has 32 values.
                    unsafe {
                        let quants = v128_load(block.as_ptr().add(quants_at).cast());
                        let (mut low, mut high) = (v128_and(quants, u8x16_splat(15)), u8x16_shr(quants, 4));
                        if has_fifth_bit {
                            let bits = v128_load32_zero(block.as_ptr().add(quants_at - 4).cast());
                            low = v128_or(low, fifth_bits::<0, 1>(bits));
                            high = v128_or(high, fifth_bits::<2, 3>(bits));
                        }
                        write_i8(i8x16_sub(low, zero), scale, minimum, y.as_mut_ptr());
                        write_i8(i8x16_sub(high, zero), scale, minimum, y.as_mut_ptr().add(16));
                    }
                }
            }
            Format::F16 if y.len().is_multiple_of(4) => {
                for (bytes, y) in bytes.chunks_exact(8).zip(y.chunks_exact_mut(4)) {
                    // SAFETY: eight bytes are read, four values written.
                    unsafe {
                        let bits = v128_load64_zero(bytes.as_ptr().cast());
                        v128_store(y.as_mut_ptr().cast(), halves(u32x4_extend_low_u16x8(bits)));
                    }
                }
            }
            // SAFETY: a little-endian machine holds f32 as the file does, and both are as many bytes.
            Format::F32 => unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), y.as_mut_ptr().cast(), bytes.len())
            },
            _ => y.copy_from_slice(&dequantize(format, bytes)),
        }
    }

    /// f16 in the low bits of each lane as f32: exponent and fraction moved into their places, and the exponent's bias put
    /// right by a factor, which subnormal numbers take as well. Weights are finite.
    #[inline(always)]
    fn halves(bits: v128) -> v128 {
        let magnitude = u32x4_shl(v128_and(bits, u32x4_splat(0x7fff)), 13);
        let value = f32x4_mul(magnitude, f32x4_splat(f32::from_bits((254 - 15) << 23)));
        v128_or(value, u32x4_shl(v128_and(bits, u32x4_splat(0x8000)), 16))
    }

    #[inline(always)]
    fn half_at(block: &[u8]) -> f32 {
        let bits = u32::from(u16::from_le_bytes([block[0], block[1]]));
        f32x4_extract_lane::<0>(halves(u32x4_splat(bits)))
    }

    /// 16 where the bit of a value is set, of two bytes with eight bits each.
    #[inline(always)]
    fn fifth_bits<const FIRST: usize, const SECOND: usize>(bits: v128) -> v128 {
        let spread = i8x16_shuffle::<
            FIRST,
            FIRST,
            FIRST,
            FIRST,
            FIRST,
            FIRST,
            FIRST,
            FIRST,
            SECOND,
            SECOND,
            SECOND,
            SECOND,
            SECOND,
            SECOND,
            SECOND,
            SECOND,
        >(bits, bits);
        let own = u8x16(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128);
        v128_and(i8x16_eq(v128_and(spread, own), own), u8x16_splat(16))
    }

    /// Sixteen i8, each times a scale and more by a minimum.
    #[inline(always)]
    unsafe fn write_i8(quants: v128, scale: v128, minimum: v128, y: *mut f32) {
        let (low, high) = (i16x8_extend_low_i8x16(quants), i16x8_extend_high_i8x16(quants));
        // SAFETY: the caller's sixteen values.
        unsafe {
            write_i32(i32x4_extend_low_i16x8(low), scale, minimum, y);
            write_i32(i32x4_extend_high_i16x8(low), scale, minimum, y.add(4));
            write_i32(i32x4_extend_low_i16x8(high), scale, minimum, y.add(8));
            write_i32(i32x4_extend_high_i16x8(high), scale, minimum, y.add(12));
        }
    }

    #[inline(always)]
    unsafe fn write_i32(quants: v128, scale: v128, minimum: v128, y: *mut f32) {
        let values = f32x4_add(f32x4_mul(f32x4_convert_i32x4(quants), scale), minimum);
        // SAFETY: the caller's four values.
        unsafe { v128_store(y.cast(), values) }
    }
}

/// The same without them, for tests.
#[cfg(not(target_arch = "wasm32"))]
mod plain {
    use super::*;

    pub fn widen(format: Format, bytes: &[u8], y: &mut [f32]) {
        y.copy_from_slice(&dequantize(format, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers below 1 that repeat nowhere near.
    fn values(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step).sin()).collect()
    }

    fn check([n_rows, n_in, n_out]: [usize; 3], format: Format, is_wide: bool) {
        let x = values(n_rows * n_in, 0.37);
        let tensor = Tensor::from_f32(&[n_out, n_in], &values(n_out * n_in, 0.71), format).unwrap();
        let weights = tensor.to_f32();
        let begun = values(n_rows * n_out, 1.3);
        let mut y = begun.clone();
        let weight = if is_wide { Matrix::Wide(Cow::Borrowed(&weights)) } else { Matrix::Stored(&tensor) };
        multiply_add(&x, &weight, &mut y, n_in, n_out);
        for (at, y) in y.iter().enumerate() {
            let (x, weight) = (&x[at / n_out * n_in..][..n_in], &weights[at % n_out * n_in..][..n_in]);
            let sum: f64 = x.iter().zip(weight).map(|(x, weight)| f64::from(*x) * f64::from(*weight)).sum();
            let error = (f64::from(*y) - f64::from(begun[at]) - sum).abs();
            assert!(error < 1e-4, "{n_rows} × {n_in} × {n_out} {format}, at {at}: off by {error}");
        }
    }

    #[test]
    fn every_edge_gives_the_plain_product() {
        for n_rows in 1..10 {
            for (n_in, n_out) in [(1, 1), (3, 16), (7, 17), (4, 15), (33, 40), (1, 33)] {
                check([n_rows, n_in, n_out], Format::F32, n_rows % 2 == 0);
            }
        }
        check([5, DEPTH + 1, 20], Format::F32, true);
        check([2, 2 * DEPTH, 16], Format::F32, false);
        check([0, 8, 16], Format::F32, true);
    }

    #[test]
    fn every_format_is_widened_in_place() {
        for format in Format::ALL {
            check([6, DEPTH + 64, 19], format, false);
            check([3, 32, 16], format, true);
        }
    }
}
