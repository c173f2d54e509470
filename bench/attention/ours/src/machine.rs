//! What this machine can do at most, with as many threads as the pool has: multiplications and additions from registers
//! alone, and reading memory.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Enough independent sums to keep two units busy that take four or five steps for one.
const SUMS: usize = 12;
/// Multiply-adds of each sum in one measurement, about 10 ms.
const STEPS: usize = 2_000_000;

/// Billions of multiplications and additions a second. Each thread runs the widest vectors of the processor, or those of
/// AVX2 if `REGARD_ISA` asks for it as it does of the kernel.
pub fn multiply_adds() -> f64 {
    let threads = rayon::current_num_threads();
    let best = (0..3).map(|_| {
        let start = Instant::now();
        let lanes: usize = rayon::broadcast(|_| spin()).into_iter().sum();
        assert_eq!(lanes % threads, 0, "all threads have the same vectors");
        (2 * SUMS * STEPS * lanes) as f64 / start.elapsed().as_secs_f64() * 1e-9
    });
    best.fold(0.0, f64::max)
}

/// Computes on one thread; how many lanes its vectors have.
#[cfg(target_arch = "x86_64")]
fn spin() -> usize {
    let wide = !matches!(std::env::var("REGARD_ISA").as_deref(), Ok("avx2" | "baseline"));
    if wide && is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        unsafe { spin_avx512() };
        16
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        unsafe { spin_avx2() };
        8
    } else {
        spin_portable();
        4
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn spin() -> usize {
    spin_portable();
    4
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn spin_avx512() {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let (factor, mut sums) = (_mm512_set1_ps(black_box(0.5)), [_mm512_set1_ps(1.0); SUMS]);
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, factor);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn spin_avx2() {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let (factor, mut sums) = (_mm256_set1_ps(black_box(0.5)), [_mm256_set1_ps(1.0); SUMS]);
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, factor);
        }
    }
    black_box(sums);
}

/// Vectors of four, which every 64-bit processor has; those without a fused instruction multiply, then add.
fn spin_portable() {
    let (factor, mut sums) = (black_box(0.5f32), [[1.0f32; 4]; SUMS]);
    for _ in 0..STEPS {
        for sum in sums.as_flattened_mut() {
            *sum = if cfg!(target_arch = "aarch64") { sum.mul_add(factor, factor) } else { *sum * factor + factor };
        }
    }
    black_box(sums);
}

/// Billions of bytes a second, read and added up by all threads from memory that no cache holds.
pub fn reading() -> f64 {
    const BYTES: usize = 512 << 20;
    let numbers = vec![1u64; BYTES / 8];
    let part = numbers.len().div_ceil(16 * rayon::current_num_threads());
    let best = (0..3).map(|_| {
        let start = Instant::now();
        let sum: u64 = numbers.par_chunks(part).map(|part| part.iter().sum::<u64>()).sum();
        assert_eq!(black_box(sum), numbers.len() as u64);
        BYTES as f64 / start.elapsed().as_secs_f64() * 1e-9
    });
    best.fold(0.0, f64::max)
}
