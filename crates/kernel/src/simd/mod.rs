//! Portable vectors, compiled once for each instruction set and chosen at run time.
//!
//! Code here is plain Rust on arrays of sixteen numbers. [`multiversion!`] compiles a function three times (AVX-512, AVX2
//! with FMA, whatever the target guarantees) and picks the best at the first call; the compiler turns the arrays into
//! registers. There is one text to read and one to test; intrinsics appear only where they pay, in small functions that the
//! text calls (those of [`Isa`], and [`prefetch`]).

mod above;
mod exp;
#[cfg(target_arch = "x86_64")]
mod fused;
mod gemm;
mod halves;
mod lanes;
mod pairs;
mod place;
mod prefetch;
mod sums;
mod turn;

use half::f16;

pub(crate) use exp::{TANH_NEAR, ln, tanh, tanh_near};
pub(crate) use gemm::{Base, gemm, gemm_into, gemm_part, gemm_strided};
pub(crate) use lanes::{LANES, Lanes, floats_mut, pad};
pub(crate) use place::Place;
pub(crate) use prefetch::prefetch;
pub(crate) use turn::turn;

/// An instruction set, as far as portable code has to know it.
pub(crate) trait Isa: Sized {
    /// Whether a fused multiply-add is one instruction; where it is not, [`f32::mul_add`] calls a library function.
    const FMA: bool;
    /// How many rows of how many [`Lanes`] the accumulators of a matrix product may fill without spilling.
    const TILE: (usize, usize);

    /// `a · b + c`, fused where that is fast.
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        if Self::FMA { a.mul_add(b, c) } else { a * b + c }
    }

    /// `e^x` of each number.
    #[inline(always)]
    fn exp(x: Lanes) -> Lanes
    where
        Self: Sized,
    {
        x.map(exp::exp::<Self>)
    }

    /// Which numbers of `x` exceed those of `y`: a bit each, the first lowest.
    #[inline(always)]
    fn above(x: Lanes, y: Lanes) -> u16 {
        above::above(x, y)
    }

    /// Turns a square of sixteen rows and columns.
    #[inline(always)]
    fn turn_square(from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
        turn::portable(from, stride, to, to_stride);
    }

    /// Sixteen numbers of half precision.
    #[inline(always)]
    fn halves(halves: &[f16; LANES]) -> Lanes {
        halves::portable(halves)
    }

    /// The products of 32 numbers, neighbours added.
    #[inline(always)]
    fn pairs(a: &[i8; 2 * LANES], b: &[i16; 2 * LANES]) -> Lanes {
        pairs::portable(a, b)
    }

    /// `a · b + c`, which the compiler cannot mistake for sixteen numbers that it may work on in other orders.
    #[inline(always)]
    fn fma_lanes(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        a.fma::<Self>(b, c)
    }

    /// The sum over the lanes of each vector.
    #[inline(always)]
    fn sums(vectors: &[Lanes; 4]) -> [f32; 4] {
        sums::four(vectors)
    }
}

/// 32 registers of 16 numbers.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    const FMA: bool = true;
    const TILE: (usize, usize) = (6, 4);

    #[inline(always)]
    fn exp(x: Lanes) -> Lanes {
        exp::exp_avx512(x)
    }

    #[inline(always)]
    fn above(x: Lanes, y: Lanes) -> u16 {
        above::above_avx512(x, y)
    }

    #[inline(always)]
    fn turn_square(from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
        turn::avx512(from, stride, to, to_stride);
    }

    #[inline(always)]
    fn halves(halves: &[f16; LANES]) -> Lanes {
        // SAFETY: `multiversion!` compiles for this set where `level` found it.
        unsafe { halves::avx512(halves) }
    }

    #[inline(always)]
    fn pairs(a: &[i8; 2 * LANES], b: &[i16; 2 * LANES]) -> Lanes {
        // SAFETY: as above.
        unsafe { pairs::avx512(a, b) }
    }

    #[inline(always)]
    fn fma_lanes(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // SAFETY: as above.
        unsafe { fused::avx512(a, b, c) }
    }

    #[inline(always)]
    fn sums(vectors: &[Lanes; 4]) -> [f32; 4] {
        // SAFETY: as above.
        unsafe { sums::avx512(vectors) }
    }
}

/// 16 registers of 8 numbers.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    const FMA: bool = true;
    const TILE: (usize, usize) = (6, 1);

    #[inline(always)]
    fn above(x: Lanes, y: Lanes) -> u16 {
        above::above_avx2(x, y)
    }

    #[inline(always)]
    fn halves(halves: &[f16; LANES]) -> Lanes {
        // SAFETY: `multiversion!` compiles for this set where `level` found it.
        unsafe { halves::f16c(halves) }
    }

    #[inline(always)]
    fn pairs(a: &[i8; 2 * LANES], b: &[i16; 2 * LANES]) -> Lanes {
        // SAFETY: as above.
        unsafe { pairs::avx2(a, b) }
    }

    #[inline(always)]
    fn fma_lanes(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // SAFETY: as above.
        unsafe { fused::fma3(a, b, c) }
    }
}

/// What every processor of the target has.
pub(crate) struct Baseline;

impl Isa for Baseline {
    const FMA: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
    const TILE: (usize, usize) = if cfg!(target_arch = "aarch64") { (4, 1) } else { (2, 1) };
}

/// The instruction sets that are told apart at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Baseline,
}

/// The best instruction set of this processor, or a lesser one that the environment variable `REGARD_ISA` asks for.
#[inline]
pub(crate) fn level() -> Level {
    static LEVEL: std::sync::LazyLock<Level> = std::sync::LazyLock::new(|| detect(std::env::var("REGARD_ISA").ok()));
    *LEVEL
}

#[cfg(target_arch = "x86_64")]
fn detect(wanted: Option<String>) -> Level {
    let allowed = |name: &str| match wanted.as_deref() {
        Some("baseline") => false,
        Some("avx2") => name == "avx2",
        _ => true,
    };
    if allowed("avx512")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        Level::Avx512
    } else if allowed("avx2")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        Level::Avx2
    } else {
        Level::Baseline
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect(_: Option<String>) -> Level {
    Level::Baseline
}

/// Compiles functions for each instruction set. The first type parameter names the set inside the body and is gone
/// outside: `fn f<I>(x: f32) -> f32 { I::fma(x, x, 1.0) }` is called as `f(x)`.
macro_rules! multiversion {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<$isa:ident $(, $generic:ident: $bound:path)*>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?
        $body:block
    )*) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$($generic: $bound),*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn generic<$isa: $crate::simd::Isa $(, $generic: $bound)*>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")]
            fn avx512<$($generic: $bound),*>($($arg: $ty),*) $(-> $ret)? {
                generic::<$crate::simd::Avx512 $(, $generic)*>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2<$($generic: $bound),*>($($arg: $ty),*) $(-> $ret)? {
                generic::<$crate::simd::Avx2 $(, $generic)*>($($arg),*)
            }

            match $crate::simd::level() {
                // SAFETY: `level` found these instructions on this processor.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512 => unsafe { avx512::<$($generic),*>($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => unsafe { avx2::<$($generic),*>($($arg),*) },
                $crate::simd::Level::Baseline => generic::<$crate::simd::Baseline $(, $generic)*>($($arg),*),
            }
        }
    )*};
}
pub(crate) use multiversion;
