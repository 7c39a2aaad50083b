//! Elementwise functions, written without branches or library calls so that the compiler vectorises them.
//!
//! Invariant: relative error ≤ 3e-7 for `exp`, absolute error ≤ 3e-7 for `erf`: below f32's own rounding in what follows.

use crate::graph::Activation;

/// `e^x`: `2^n · e^r` with `n = round(x / ln 2)`; `ln 2` in two parts so that `r` is exact, Taylor's polynomial on
/// `|r| ≤ 0.35`. Below −87 it is about 1e-38, above 88 about 1.6e38: never `inf`, never NaN for a number.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.0 / 720.0 + r * (1.0 / 5040.0);
    let p = 1.0 / 120.0 + r * p;
    let p = 1.0 / 24.0 + r * p;
    let p = 1.0 / 6.0 + r * p;
    let p = 0.5 + r * p;
    let p = 1.0 + r * (1.0 + r * p);
    p * f32::from_bits((((n as i32) + 127) << 23) as u32)
}

/// The error function: Abramowitz and Stegun 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - p * exp(-a * a)).copysign(x)
}

/// `1 / (1 + e^−x)`.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Applies `activation` to every value in place.
pub fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::QuickGelu => values.iter_mut().for_each(|x| *x *= sigmoid(1.702 * *x)),
        Activation::Gelu => {
            values.iter_mut().for_each(|x| *x *= 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2)))
        }
        // ½ (1 + tanh u) = sigmoid(2u)
        Activation::GeluTanh => {
            values.iter_mut().for_each(|x| *x *= sigmoid(1.595_769 * (*x + 0.044_715 * *x * *x * *x)))
        }
        Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
        Activation::Relu6 => values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0)),
    }
}

/// `softmax` of a row in place; it starts from the first element, so that a row without numbers cannot make `inf`.
pub fn softmax(row: &mut [f32]) {
    let Some(&first) = row.first() else { return };
    let max = row.iter().fold(first, |max, &x| if x > max { x } else { max });
    row.iter_mut().for_each(|x| *x = exp(*x - max));
    let scale = 1.0 / row.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_library() {
        for i in -8_600..8_700 {
            let x = i as f32 * 0.01;
            let wanted = f64::from(x).exp();
            let error = (f64::from(exp(x)) / wanted - 1.0).abs();
            assert!(error <= 3e-7, "exp({x}): relative error {error:e}");
        }
        assert!(exp(f32::NAN).is_nan() && exp(-1e30) > 0.0 && exp(1e30).is_finite());
    }

    /// Values of erf to nine places (Abramowitz and Stegun, table 7.1).
    #[test]
    fn erf_agrees_with_the_table() {
        let table = [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_878),
            (1.0, 0.842_700_793),
            (2.0, 0.995_322_265),
        ];
        for (x, wanted) in table {
            assert!((f64::from(erf(x)) - wanted).abs() <= 3e-7, "erf({x}) = {}", erf(x));
            assert!((f64::from(erf(-x)) + wanted).abs() <= 3e-7, "erf(-{x}) = {}", erf(-x));
        }
    }

    #[test]
    fn activations_at_known_points() {
        let cases = [
            (Activation::Identity, -1.5, -1.5),
            (Activation::QuickGelu, 1.0, 0.845_795_8),
            (Activation::Gelu, 1.0, 0.841_344_8),
            (Activation::GeluTanh, 1.0, 0.841_192),
            (Activation::Relu, -2.0, 0.0),
            (Activation::Relu6, 7.0, 6.0),
        ];
        for (activation, x, wanted) in cases {
            let mut values = [x];
            activate(activation, &mut values);
            assert!((values[0] - wanted).abs() <= 1e-6, "{activation:?}({x}) = {}, not {wanted}", values[0]);
        }
    }
}
