//! Sixteen numbers that are worked on together.

use super::Isa;

/// The width of a vector in every layout of this crate: one AVX-512 register, two of AVX2, four of SSE2 or NEON.
pub(crate) const LANES: usize = 16;

/// `n` rounded up to whole vectors.
#[inline(always)]
pub(crate) const fn pad(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// Sixteen numbers, aligned to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    pub(crate) fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    /// The first sixteen numbers of a slice.
    #[inline(always)]
    pub(crate) fn load(from: &[f32]) -> Self {
        let mut lanes = Self::ZERO;
        lanes.0.copy_from_slice(&from[..LANES]);
        lanes
    }

    /// The numbers of a slice of at most sixteen, and `fill` after them.
    #[inline(always)]
    pub(crate) fn load_or(from: &[f32], fill: f32) -> Self {
        let mut lanes = Self::splat(fill);
        for (lane, &x) in lanes.0.iter_mut().zip(from) {
            *lane = x;
        }
        lanes
    }

    /// Writes the sixteen numbers to the front of a slice.
    #[inline(always)]
    pub(crate) fn store(self, to: &mut [f32]) {
        to[..LANES].copy_from_slice(&self.0);
    }

    #[inline(always)]
    pub(crate) fn map(mut self, f: impl Fn(f32) -> f32) -> Self {
        for lane in &mut self.0 {
            *lane = f(*lane);
        }
        self
    }

    #[inline(always)]
    pub(crate) fn zip(mut self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        for (lane, &x) in self.0.iter_mut().zip(&other.0) {
            *lane = f(*lane, x);
        }
        self
    }

    #[inline(always)]
    pub(crate) fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    /// The greater of two numbers; a NaN in `other` is passed over.
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if b > a { b } else { a })
    }

    /// `e^x` of each number, as [`super::exp`].
    #[inline(always)]
    pub(crate) fn exp<I: Isa>(self) -> Self {
        I::exp(self)
    }

    /// `self · b + c`
    #[inline(always)]
    pub(crate) fn fma<I: Isa>(mut self, b: Self, c: Self) -> Self {
        for i in 0..LANES {
            self.0[i] = I::fma(self.0[i], b.0[i], c.0[i]);
        }
        self
    }

    /// The sum of all lanes, as a balanced tree.
    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        let mut x = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                x[i] += x[i + half];
            }
            half /= 2;
        }
        x[0]
    }
}

/// Vectors as the numbers they hold.
#[inline(always)]
pub(crate) fn floats_mut(vectors: &mut [Lanes]) -> &mut [f32] {
    // SAFETY: `Lanes` is `repr(C)`, exactly an array of `LANES` numbers with no padding.
    unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), vectors.len() * LANES) }
}
