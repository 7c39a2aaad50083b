//! Elementwise functions, in lanes.
//!
//! Invariant: relative error ≤ 3e-7 for `exp`, absolute error ≤ 3e-7 for `erf`: below f32's own rounding in what follows.

use super::lanes::{Values, map};
use crate::graph::Activation;

/// `e^x`: `2^n · e^r` with `n = round(x / ln 2)`; `ln 2` in two parts so that `r` is exact, Taylor's polynomial on
/// `|r| ≤ 0.35`. Below −87 it is about 1e-38, above 88 about 1.6e38: never `inf`, never NaN for a number.
#[inline(always)]
fn exp(x: Values) -> Values {
    let round = Values::all(12_582_912.0); // 1.5 · 2²³: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let n = x.mul(Values::all(std::f32::consts::LOG2_E)).add(round).sub(round);
    let r = x.sub(n.mul(Values::all(0.693_359_4))).add(n.mul(Values::all(2.121_944_4e-4)));
    let mut p = Values::all(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = Values::all(coefficient).add_product(r, p);
    }
    p.mul(n.exp2())
}

/// The error function: Abramowitz and Stegun 7.1.26.
#[inline(always)]
fn erf(x: Values) -> Values {
    let a = x.abs();
    let t = Values::all(1.0).div(Values::all(1.0).add_product(Values::all(0.327_591_1), a));
    let mut p = Values::all(1.061_405_4);
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = Values::all(coefficient).add_product(t, p);
    }
    let tail = t.mul(p).mul(exp(Values::all(0.0).sub(a.mul(a))));
    Values::all(1.0).sub(tail).copysign(x)
}

/// `1 / (1 + e^−x)`.
#[inline(always)]
fn sigmoid(x: Values) -> Values {
    Values::all(1.0).div(Values::all(1.0).add(exp(Values::all(0.0).sub(x))))
}

/// Applies `activation` to every value in place.
pub fn activate(activation: Activation, values: &mut [f32]) {
    let [half, one] = [0.5, 1.0].map(Values::all);
    match activation {
        Activation::Identity => {}
        Activation::QuickGelu => map(values, |x| x.mul(sigmoid(x.mul(Values::all(1.702))))),
        Activation::Gelu => {
            let scale = Values::all(std::f32::consts::FRAC_1_SQRT_2);
            map(values, |x| x.mul(half.mul(one.add(erf(x.mul(scale))))));
        }
        // ½ (1 + tanh u) = sigmoid(2u)
        Activation::GeluTanh => map(values, |x| {
            let u = x.add_product(Values::all(0.044_715), x.mul(x).mul(x));
            x.mul(sigmoid(u.mul(Values::all(1.595_769))))
        }),
        Activation::Relu => map(values, |x| x.clamp(0.0, f32::INFINITY)),
        Activation::Relu6 => map(values, |x| x.clamp(0.0, 6.0)),
    }
}

/// `softmax` of a row in place; it starts from the first element, so that a row without numbers cannot make `inf`.
pub fn softmax(row: &mut [f32]) {
    let Some(&first) = row.first() else { return };
    let max = row.iter().fold(first, |max, &x| if x > max { x } else { max });
    let max = Values::all(max);
    map(row, |x| exp(x.sub(max)));
    let scale = 1.0 / row.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one value, among others.
    fn one(f: impl Fn(Values) -> Values, x: f32) -> f32 {
        let mut values = [1.0, x, -2.0, 0.5, 3.0];
        map(&mut values, f);
        values[1]
    }

    fn exp(x: f32) -> f32 {
        one(super::exp, x)
    }

    fn erf(x: f32) -> f32 {
        one(super::erf, x)
    }

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
