//! Batches of sentences of similar length, under a budget of tokens rather than of sentences.
//!
//! A batch is a rectangle: its longest sentence decides how many numbers every row has. Sentences are therefore shuffled,
//! cut into pools, sorted by length inside a pool and filled into batches until the next one would exceed the budget; then
//! the batches are shuffled. An epoch's batches are a pure function of lengths, options, seed and epoch, so a run that is
//! resumed needs only those two numbers and how many batches it has done.

use super::DataError;
use super::random::SplitMix64;

/// How many tokens the two sides of a pair have, markers such as `<eos>` not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Tokens of the source.
    pub source: usize,
    /// Tokens of the target.
    pub target: usize,
}

impl Lengths {
    /// Rows are as wide as the longer side and the one marker (`<bos>` or `<eos>`) that training adds to it.
    fn width(self) -> usize {
        self.source.max(self.target).saturating_add(1)
    }
}

/// How to fill batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Rows times width of a batch, padding and one marker a row included, is at most this, on either side.
    pub max_tokens: usize,
    /// Pairs with a side of more tokens, markers not counted, are left out.
    pub max_length: usize,
    /// How many pairs are sorted together: more means less padding, fewer means more random batches.
    pub pool: usize,
}

impl Default for Batching {
    /// 4,096 tokens a batch, sentences of up to 128 tokens, pools of 8,192 pairs.
    fn default() -> Self {
        Self { max_tokens: 4096, max_length: 128, pool: 8192 }
    }
}

/// One pass over the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Which pairs (indices into the lengths) each batch holds, in training order.
    pub batches: Vec<Vec<usize>>,
    /// How many pairs were longer than [`Batching::max_length`].
    pub left_out: usize,
}

impl Batching {
    /// The batches of an epoch: every pair that is not too long, exactly once.
    ///
    /// # Errors
    /// A `pool` or `max_length` of 0, or `max_tokens` too small for a sentence of `max_length`.
    pub fn epoch(&self, lengths: &[Lengths], seed: u64, epoch: u64) -> Result<Epoch, DataError> {
        self.check()?;
        let mut random = SplitMix64::keyed(&[seed, epoch]);
        let mut order = random.shuffled(lengths.len());
        order.retain(|&index| self.admits(lengths[index]));
        let left_out = lengths.len() - order.len();
        let mut batches = Vec::new();
        for pool in order.chunks_mut(self.pool) {
            pool.sort_by_key(|&index| (lengths[index].width(), lengths[index].target, lengths[index].source));
            self.fill(pool, lengths, &mut batches);
        }
        random.shuffle(&mut batches);
        Ok(Epoch { batches, left_out })
    }

    /// The same batches every time, shortest sentences first, for validation: nothing is shuffled.
    ///
    /// # Errors
    /// As [`Batching::epoch`].
    pub fn in_order(&self, lengths: &[Lengths]) -> Result<Epoch, DataError> {
        self.check()?;
        let mut order: Vec<usize> = (0..lengths.len()).filter(|&index| self.admits(lengths[index])).collect();
        order.sort_by_key(|&index| (lengths[index].width(), index));
        let left_out = lengths.len() - order.len();
        let mut batches = Vec::new();
        self.fill(&order, lengths, &mut batches);
        Ok(Epoch { batches, left_out })
    }

    fn check(&self) -> Result<(), DataError> {
        if self.pool == 0 {
            return Err(DataError::argument("pool", 0, "at least 1 pair"));
        }
        if self.max_length == 0 {
            return Err(DataError::argument("max_length", 0, "at least 1 token"));
        }
        if self.max_tokens <= self.max_length {
            let expected = format!("more than max_length, {}, so that every sentence fits", self.max_length);
            return Err(DataError::argument("max_tokens", self.max_tokens, expected));
        }
        Ok(())
    }

    fn admits(&self, lengths: Lengths) -> bool {
        lengths.source.max(lengths.target) <= self.max_length
    }

    /// Cuts pairs that are sorted by width into batches that keep the budget.
    fn fill(&self, sorted: &[usize], lengths: &[Lengths], batches: &mut Vec<Vec<usize>>) {
        let mut batch = Vec::new();
        for &index in sorted {
            if (batch.len() + 1) * lengths[index].width() > self.max_tokens {
                batches.push(std::mem::take(&mut batch));
            }
            batch.push(index);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(count: usize) -> Vec<Lengths> {
        let mut random = SplitMix64::keyed(&[9]);
        (0..count).map(|_| Lengths { source: 1 + random.below(30), target: 1 + random.below(40) }).collect()
    }

    #[test]
    fn every_pair_comes_once_and_the_budget_holds() {
        let lengths = lengths(5000);
        let batching = Batching { max_tokens: 500, max_length: 35, pool: 1000 };
        let epoch = batching.epoch(&lengths, 1, 0).unwrap();
        let mut seen: Vec<usize> = epoch.batches.concat();
        seen.sort_unstable();
        let expected: Vec<usize> = (0..5000).filter(|&i| lengths[i].target <= 35).collect();
        assert_eq!(seen, expected);
        assert_eq!(epoch.left_out, 5000 - expected.len());
        let area = |batch: &Vec<usize>| batch.len() * batch.iter().map(|&i| lengths[i].width()).max().unwrap();
        assert!(epoch.batches.iter().all(|batch| !batch.is_empty() && area(batch) <= 500));
        let tokens: usize = seen.iter().map(|&i| lengths[i].width()).sum();
        let padded: usize = epoch.batches.iter().map(area).sum();
        assert!(padded as f64 / (tokens as f64) < 1.05, "{padded} / {tokens}");
    }

    #[test]
    fn an_epoch_is_a_pure_function_of_seed_and_number() {
        let (lengths, batching) = (lengths(300), Batching { max_tokens: 200, ..Batching::default() });
        let epoch = |seed, number| batching.epoch(&lengths, seed, number).unwrap();
        assert_eq!(epoch(3, 5), epoch(3, 5));
        assert_ne!(epoch(3, 5), epoch(3, 6));
        assert_ne!(epoch(3, 5), epoch(5, 3));
    }

    #[test]
    fn validation_batches_go_from_short_to_long() {
        let lengths = [4, 1, 900, 2].map(|n| Lengths { source: n, target: n });
        let epoch = Batching { max_tokens: 200, ..Batching::default() }.in_order(&lengths).unwrap();
        assert_eq!(epoch, Epoch { batches: vec![vec![1, 3, 0]], left_out: 1 });
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        let refused = |batching: Batching| batching.epoch(&[], 0, 0).unwrap_err().to_string();
        let small = Batching { max_tokens: 128, ..Batching::default() };
        assert!(refused(small).starts_with("max_tokens is 128, expected more than max_length, 128"));
        assert!(refused(Batching { pool: 0, ..small }).starts_with("pool is 0"));
        assert!(refused(Batching { max_length: 0, ..small }).starts_with("max_length is 0"));
        assert!(Batching::default().epoch(&[], 0, 0).unwrap().batches.is_empty());
    }
}
