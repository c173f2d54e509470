//! Random problems for the kernel, each compared with its answer by definition, in double precision.
//!
//! Bytes choose everything: sizes, how arrays lie in memory and what their numbers are, the score, masks joined by operators,
//! biases, the normalizer, dropout ([`case`]). A problem is then computed by every public call: forward, into memory of the
//! caller's, as a decode, from two kinds of cache, backward, and observed by probes ([`check`](mod@check)). Any panic is
//! a failure, too; the build has debug assertions on.
//!
//! Most problems are tiny, because most mistakes show in tiny ones: seven thousand fit into a second. About one in
//! a hundred has a few tiles' worth of queries and keys, one in two thousand more keys than one part of a decode.

pub mod case;
pub mod check;

mod array;
mod backward;
mod bias;
mod mask;
mod normalizer;
#[path = "../../tests/oracle/mod.rs"]
mod oracle;
mod score;

use arbitrary::Unstructured;

/// Makes the problem that the bytes choose and checks it.
///
/// # Panics
/// If the kernel is wrong.
pub fn check(bytes: &[u8]) {
    if let Ok(case) = case::Case::new(&mut Unstructured::new(bytes)) {
        check::check(&case);
    }
}

/// The bytes of a seed: any number of problems without a fuzzer that thinks them up.
pub fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..32)
        .flat_map(|_| {
            // SplitMix64, whose neighbouring seeds have nothing in common.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let x = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (x ^ (x >> 31)).to_le_bytes()
        })
        .collect()
}
