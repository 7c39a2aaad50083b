//! The linear algebra of training, in f64: products, a Cholesky solve, a power of a symmetric matrix, and
//! what is done to single rows.
//!
//! Invariant: values are row-major, `rows × cols`.

use std::ops::Range;

#[derive(Clone, Debug)]
pub struct Matrix {
    pub rows: usize,
    pub cols: usize,
    pub values: Vec<f64>,
}

impl Matrix {
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, values: vec![0.0; rows * cols] }
    }

    pub fn from_rows<T: Copy + Into<f64>>(rows: &[Vec<T>]) -> Self {
        let values: Vec<f64> = rows.iter().flatten().map(|&value| value.into()).collect();
        Self { rows: rows.len(), cols: rows.first().map_or(0, Vec::len), values }
    }

    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.cols..][..self.cols]
    }

    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.cols..][..self.cols]
    }

    pub fn mean_row(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.cols];
        for row in self.values.chunks_exact(self.cols) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / self.rows as f64);
        }
        mean
    }

    /// These rows as columns.
    pub fn transposed(&self, rows: Range<usize>) -> Matrix {
        let mut transposed = Matrix::zeros(self.cols, rows.len());
        for (j, row) in rows.enumerate() {
            (0..self.cols).for_each(|i| transposed.row_mut(i)[j] = self.row(row)[i]);
        }
        transposed
    }

    /// `self + factor · other`.
    pub fn add(&mut self, factor: f64, other: &Matrix) {
        self.values.iter_mut().zip(&other.values).for_each(|(value, other)| *value += factor * other);
    }

    /// `self · other`.
    pub fn times(&self, other: &Matrix) -> Matrix {
        product(self, (self.cols, 1), self.rows, self.cols, other, (other.cols, 1), other.cols)
    }

    /// `selfᵀ · other`.
    pub fn transposed_times(&self, other: &Matrix) -> Matrix {
        product(self, (1, self.cols), self.cols, self.rows, other, (other.cols, 1), other.cols)
    }

    /// `self · otherᵀ`.
    pub fn times_transposed(&self, other: &Matrix) -> Matrix {
        product(self, (self.cols, 1), self.rows, self.cols, other, (1, other.cols), other.rows)
    }

    /// Solves `self · X = right` for a symmetric, positive definite `self`.
    pub fn solve(mut self, mut right: Matrix) -> Matrix {
        let n = self.rows;
        for j in 0..n {
            for i in j..n {
                let (above, below) = self.values.split_at(i.max(j) * n);
                let row_j = if i == j { &below[..j] } else { &above[j * n..][..j] };
                let sum: f64 = below[..j].iter().zip(row_j).map(|(a, b)| a * b).sum();
                let value = self.values[i * n + j] - sum;
                self.values[i * n + j] =
                    if i == j { value.max(1e-12).sqrt() } else { value / self.values[j * n + j] };
            }
        }
        for i in 0..n {
            for k in 0..i {
                subtract_row(&mut right, i, k, self.values[i * n + k]);
            }
            right.row_mut(i).iter_mut().for_each(|value| *value /= self.values[i * n + i]);
        }
        for i in (0..n).rev() {
            for k in i + 1..n {
                subtract_row(&mut right, i, k, self.values[k * n + i]);
            }
            right.row_mut(i).iter_mut().for_each(|value| *value /= self.values[i * n + i]);
        }
        right
    }

    /// `(self + shift · largest eigenvalue)^power` of a symmetric matrix, by Jacobi's rotations.
    pub fn symmetric_power(mut self, shift: f64, power: f64) -> Matrix {
        let n = self.rows;
        let mut vectors = Matrix::zeros(n, n); // in rows
        (0..n).for_each(|i| vectors.values[i * n + i] = 1.0);
        for _sweep in 0..12 {
            for p in 0..n {
                for q in p + 1..n {
                    let off = self.values[p * n + q];
                    if off.abs() < 1e-15 {
                        continue;
                    }
                    let theta = (self.values[q * n + q] - self.values[p * n + p]) / (2.0 * off);
                    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                    let c = 1.0 / (t * t + 1.0).sqrt();
                    let s = t * c;
                    for k in 0..n {
                        rotate(&mut self.values, k * n + p, k * n + q, c, s);
                    }
                    for k in 0..n {
                        rotate(&mut self.values, p * n + k, q * n + k, c, s);
                        rotate(&mut vectors.values, p * n + k, q * n + k, c, s);
                    }
                }
            }
        }
        let eigenvalue = |i: usize| self.values[i * n + i].max(0.0);
        let shift = shift * (0..n).map(eigenvalue).fold(0.0, f64::max);
        let mut scaled = vectors.clone();
        for i in 0..n {
            let factor = (eigenvalue(i) + shift).powf(power);
            scaled.row_mut(i).iter_mut().for_each(|value| *value *= factor);
        }
        vectors.transposed_times(&scaled)
    }
}

fn subtract_row(matrix: &mut Matrix, target: usize, source: usize, factor: f64) {
    let cols = matrix.cols;
    let (low, high) = matrix.values.split_at_mut(target.max(source) * cols);
    let (target, source) = if target < source {
        (&mut low[target * cols..][..cols], &high[..cols])
    } else {
        (&mut high[..cols], &low[source * cols..][..cols])
    };
    target.iter_mut().zip(source).for_each(|(target, source)| *target -= factor * source);
}

fn rotate(values: &mut [f64], i: usize, j: usize, c: f64, s: f64) {
    let (a, b) = (values[i], values[j]);
    values[i] = c * a - s * b;
    values[j] = s * a + c * b;
}

/// A GEMM whose operands have any (row, column) strides.
fn product(
    a: &Matrix,
    a_strides: (usize, usize),
    m: usize,
    k: usize,
    b: &Matrix,
    b_strides: (usize, usize),
    n: usize,
) -> Matrix {
    let mut y = Matrix::zeros(m, n);
    let stride = |stride: usize| stride as isize;
    // SAFETY: `m × k`, `k × n` and `m × n` with these strides lie within the three vectors by their sizes.
    unsafe {
        matrixmultiply::dgemm(
            m,
            k,
            n,
            1.0,
            a.values.as_ptr(),
            stride(a_strides.0),
            stride(a_strides.1),
            b.values.as_ptr(),
            stride(b_strides.0),
            stride(b_strides.1),
            0.0,
            y.values.as_mut_ptr(),
            stride(n),
            1,
        );
    }
    y
}

pub fn subtract(row: &mut [f64], other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(value, other)| *value -= other);
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Scales to length 1.
pub fn unit(row: &mut [f64]) {
    let length = dot(row, row).sqrt().max(1e-12);
    row.iter_mut().for_each(|value| *value /= length);
}

/// Gelu with the error function of Abramowitz and Stegun, as the CPU backend computes it.
pub fn gelu(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = (1.0 - p * (-z * z).exp()).copysign(x);
    0.5 * x * (1.0 + erf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric() -> Matrix {
        Matrix::from_rows(&[vec![4.0, 1.0, 0.5], vec![1.0, 3.0, 0.2], vec![0.5, 0.2, 2.0]])
    }

    #[test]
    fn a_solution_solves() {
        let right = Matrix::from_rows(&[vec![1.0, 2.0], vec![-1.0, 0.5], vec![3.0, 0.0]]);
        let back = symmetric().times(&symmetric().solve(right.clone()));
        assert!(back.values.iter().zip(&right.values).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn the_inverse_root_squared_is_the_inverse() {
        let root = symmetric().symmetric_power(0.0, -0.5);
        let one = root.times(&root).times(&symmetric());
        for (i, value) in one.values.iter().enumerate() {
            assert!((value - if i % 4 == 0 { 1.0 } else { 0.0 }).abs() < 1e-12, "{i}: {value}");
        }
    }
}
