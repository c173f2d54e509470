//! Checks the problems of some seeds: `seeds FIRST COUNT`, or one of them, aloud: `seeds SEED`.
//!
//! Ends with the seeds that failed, and with 1 if there were any.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use arbitrary::Unstructured;
use regard_kernel_fuzz::{bytes, case::Case, check};

fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = std::env::args().skip(1).map(|argument| argument.parse().ok()).collect();
    let (first, count) = match numbers.as_deref() {
        Some(&[seed]) => {
            match Case::new(&mut Unstructured::new(&bytes(seed))) {
                Ok(case) => println!("{case:#?}"),
                Err(error) => println!("no case: {error}"),
            }
            (seed, 1)
        }
        Some(&[first, count]) => (first, count),
        _ => {
            eprintln!("usage: seeds SEED, or seeds FIRST COUNT");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let mut failed = Vec::new();
    for done in 0..count {
        let seed = first.wrapping_add(done);
        if catch_unwind(|| check(&bytes(seed))).is_err() {
            eprintln!("^ seed {seed}");
            failed.push(seed);
        }
        if (done + 1) % 100_000 == 0 {
            println!("{} cases in {:.0?}, {} failed", done + 1, start.elapsed(), failed.len());
        }
    }
    println!("{count} cases from seed {first}, {} failed: {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
