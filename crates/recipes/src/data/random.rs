//! SplitMix64: random numbers that are a pure function of a key, the same on every machine and in every version.
//!
//! Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014.

/// A stream of random numbers; cheap to make, so that everything that wants randomness takes a stream of its own.
///
/// ```
/// use regard_recipes::data::random::SplitMix64;
///
/// let shuffled = |epoch| SplitMix64::keyed(&[42, epoch]).shuffled(5);
/// assert_eq!(shuffled(7), shuffled(7));
/// assert_ne!(shuffled(7), shuffled(8));
/// ```
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The stream that belongs to a key, such as `[seed, epoch]`; keys that differ anywhere give unrelated streams.
    pub fn keyed(key: &[u64]) -> Self {
        let state = key.iter().fold(0, |state, &word| Self { state: state ^ word }.next());
        Self { state }
    }

    /// The next 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "an endless stream has no None to return")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The high half of a 128-bit product is uniform up to one part in 2^64 / bound (Lemire 2019).
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Puts `items` in random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// The numbers `0..count` in random order.
    pub fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_generator() {
        // First outputs for seed 1234567 of the reference implementation, https://prng.di.unimi.it/splitmix64.c
        let mut stream = SplitMix64 { state: 1_234_567 };
        let expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!(expected.map(|_| stream.next()), expected);
    }

    #[test]
    fn shuffles_evenly() {
        let mut first = [0; 4];
        for seed in 0..4000 {
            first[SplitMix64::keyed(&[seed]).shuffled(4)[0]] += 1;
        }
        assert!(first.iter().all(|&n| (900..1100).contains(&n)), "{first:?}");
    }
}
