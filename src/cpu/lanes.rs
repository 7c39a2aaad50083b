//! Several values at a time: four by WebAssembly's 128-bit instructions in a browser; elsewhere loops over single values, of
//! which the compiler makes what the machine has.
//!
//! The browser's build is optimised for size, and its compiler leaves loops as they are: what has to be quick is written in
//! these lanes. Elsewhere arrays of four were slower than plain loops: 28 ms a picture of the starter's, not 17.
//!
//! Invariant: both give the same values, but for the sign of a zero.

#[cfg(not(target_arch = "wasm32"))]
pub use plain::{F4, Values, add, add_products, map};
#[cfg(target_arch = "wasm32")]
pub use wasm::{F4, F4 as Values, add, add_products, map};

#[cfg(target_arch = "wasm32")]
mod wasm {
    use core::arch::wasm32::*;

    #[derive(Clone, Copy)]
    pub struct F4(v128);

    impl F4 {
        #[inline(always)]
        pub unsafe fn load(from: *const f32) -> F4 {
            // SAFETY: the caller's four values.
            F4(unsafe { v128_load(from.cast()) })
        }

        #[inline(always)]
        pub unsafe fn splat(from: *const f32) -> F4 {
            // SAFETY: the caller's value.
            F4(unsafe { v128_load32_splat(from.cast()) })
        }

        #[inline(always)]
        pub unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's four values.
            unsafe { v128_store(to.cast(), self.0) }
        }

        #[inline(always)]
        pub fn add_product(self, a: F4, b: F4) -> F4 {
            F4(f32x4_add(self.0, f32x4_mul(a.0, b.0)))
        }

        #[inline(always)]
        pub fn transposed([a, b, c, d]: [F4; 4]) -> [F4; 4] {
            let (ab_low, ab_high) =
                (i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0), i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0));
            let (cd_low, cd_high) =
                (i32x4_shuffle::<0, 4, 1, 5>(c.0, d.0), i32x4_shuffle::<2, 6, 3, 7>(c.0, d.0));
            [
                F4(i64x2_shuffle::<0, 2>(ab_low, cd_low)),
                F4(i64x2_shuffle::<1, 3>(ab_low, cd_low)),
                F4(i64x2_shuffle::<0, 2>(ab_high, cd_high)),
                F4(i64x2_shuffle::<1, 3>(ab_high, cd_high)),
            ]
        }

        #[inline(always)]
        pub fn all(value: f32) -> F4 {
            F4(f32x4_splat(value))
        }

        #[inline(always)]
        pub fn add(self, other: F4) -> F4 {
            F4(f32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub fn sub(self, other: F4) -> F4 {
            F4(f32x4_sub(self.0, other.0))
        }

        #[inline(always)]
        pub fn mul(self, other: F4) -> F4 {
            F4(f32x4_mul(self.0, other.0))
        }

        #[inline(always)]
        pub fn div(self, other: F4) -> F4 {
            F4(f32x4_div(self.0, other.0))
        }

        /// NaN stays NaN.
        #[inline(always)]
        pub fn clamp(self, low: f32, high: f32) -> F4 {
            F4(f32x4_min(f32x4_max(self.0, f32x4_splat(low)), f32x4_splat(high)))
        }

        #[inline(always)]
        pub fn abs(self) -> F4 {
            F4(f32x4_abs(self.0))
        }

        #[inline(always)]
        pub fn copysign(self, sign: F4) -> F4 {
            F4(v128_bitselect(sign.0, self.0, u32x4_splat(1 << 31)))
        }

        /// 2 to the power of whole numbers from −126 to 127.
        #[inline(always)]
        pub fn exp2(self) -> F4 {
            F4(u32x4_shl(i32x4_add(i32x4_trunc_sat_f32x4(self.0), i32x4_splat(127)), 23))
        }
    }

    /// `y = f(y)` for every value.
    #[inline(always)]
    pub fn map(y: &mut [f32], f: impl Fn(F4) -> F4) {
        let (whole, rest) = y.as_chunks_mut::<4>();
        for y in whole {
            // SAFETY: four values are read and written.
            unsafe { f(F4::load(y.as_ptr())).store(y.as_mut_ptr()) };
        }
        if !rest.is_empty() {
            let mut last = [0.0; 4];
            last[..rest.len()].copy_from_slice(rest);
            // SAFETY: as above.
            unsafe { f(F4::load(last.as_ptr())).store(last.as_mut_ptr()) };
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    /// `y += x` for every value.
    #[inline]
    pub fn add(y: &mut [f32], x: &[f32]) {
        let ((y, y_rest), (x, x_rest)) = (y.as_chunks_mut::<4>(), x.as_chunks::<4>());
        for (y, x) in y.iter_mut().zip(x) {
            // SAFETY: four values are read and written.
            unsafe { F4::load(y.as_ptr()).add(F4::load(x.as_ptr())).store(y.as_mut_ptr()) };
        }
        y_rest.iter_mut().zip(x_rest).for_each(|(y, x)| *y += x);
    }

    /// `y += a · b` for every value; all three are as long.
    #[inline]
    pub fn add_products(y: &mut [f32], a: &[f32], b: &[f32]) {
        let ((y, y_rest), (a, a_rest), (b, b_rest)) =
            (y.as_chunks_mut::<4>(), a.as_chunks::<4>(), b.as_chunks::<4>());
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            // SAFETY: four values are read and written.
            unsafe {
                F4::load(y.as_ptr())
                    .add_product(F4::load(a.as_ptr()), F4::load(b.as_ptr()))
                    .store(y.as_mut_ptr());
            }
        }
        y_rest.iter_mut().zip(a_rest).zip(b_rest).for_each(|((y, a), b)| *y += a * b);
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod plain {
    /// Four values, for the tests of the browser's product.
    #[derive(Clone, Copy)]
    pub struct F4([f32; 4]);

    impl F4 {
        pub unsafe fn load(from: *const f32) -> F4 {
            // SAFETY: the caller's four values.
            F4(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
        }

        pub unsafe fn splat(from: *const f32) -> F4 {
            // SAFETY: the caller's value.
            F4([unsafe { *from }; 4])
        }

        pub unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's four values.
            unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
        }

        pub fn add_product(self, a: F4, b: F4) -> F4 {
            F4(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
        }

        pub fn transposed(rows: [F4; 4]) -> [F4; 4] {
            std::array::from_fn(|i| F4(rows.map(|row| row.0[i])))
        }
    }

    /// One value: the loop around it is what the compiler vectorises.
    #[derive(Clone, Copy)]
    pub struct Values(f32);

    impl Values {
        #[inline(always)]
        pub fn all(value: f32) -> Values {
            Values(value)
        }

        #[inline(always)]
        pub fn add(self, other: Values) -> Values {
            Values(self.0 + other.0)
        }

        #[inline(always)]
        pub fn sub(self, other: Values) -> Values {
            Values(self.0 - other.0)
        }

        #[inline(always)]
        pub fn mul(self, other: Values) -> Values {
            Values(self.0 * other.0)
        }

        #[inline(always)]
        pub fn div(self, other: Values) -> Values {
            Values(self.0 / other.0)
        }

        #[inline(always)]
        pub fn add_product(self, a: Values, b: Values) -> Values {
            Values(self.0 + a.0 * b.0)
        }

        #[inline(always)]
        pub fn clamp(self, low: f32, high: f32) -> Values {
            Values(self.0.clamp(low, high))
        }

        #[inline(always)]
        pub fn abs(self) -> Values {
            Values(self.0.abs())
        }

        #[inline(always)]
        pub fn copysign(self, sign: Values) -> Values {
            Values(self.0.copysign(sign.0))
        }

        /// 2 to the power of a whole number from −126 to 127.
        #[inline(always)]
        pub fn exp2(self) -> Values {
            Values(f32::from_bits(((self.0 as i32 + 127) << 23) as u32))
        }
    }

    /// `y = f(y)` for every value.
    #[inline(always)]
    pub fn map(y: &mut [f32], f: impl Fn(Values) -> Values) {
        y.iter_mut().for_each(|y| *y = f(Values(*y)).0);
    }

    /// `y += x` for every value.
    pub fn add(y: &mut [f32], x: &[f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    }

    /// `y += a · b` for every value; all three are as long.
    pub fn add_products(y: &mut [f32], a: &[f32], b: &[f32]) {
        y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y += a * b);
    }
}
