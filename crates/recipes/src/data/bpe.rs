//! Learning byte pair encoding: the most frequent pair of neighbouring symbols becomes a new symbol, again and again.
//!
//! Sennrich, Haddow, Birch: "Neural Machine Translation of Rare Words with Subword Units", ACL 2016, arXiv:1508.07909.
//! Equal counts go to the pair that comes first in the alphabet, so the same words give the same merges everywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

type Pair = (usize, usize);

/// Symbols and the merges that make them; every merge's parts and result are among the symbols.
pub(super) struct Learned {
    /// Characters in code point order, then the results of merges in the order in which they were learned.
    pub symbols: Vec<String>,
    /// What to join, most frequent first.
    pub merges: Vec<(String, String)>,
}

/// Characters that occur at least `rare` times in `words` (word → count), in code point order.
pub(super) fn alphabet(words: &BTreeMap<String, u64>, rare: u64) -> Vec<char> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in words {
        for c in word.chars() {
            *counts.entry(c).or_default() += count;
        }
    }
    counts.into_iter().filter(|&(_, count)| count >= rare).map(|(c, _)| c).collect()
}

/// Learns merges until there are `size` symbols or no pair is left that occurs twice.
///
/// A character outside `alphabet` takes part in no merge: nothing is joined across it.
pub(super) fn learn(words: &BTreeMap<String, u64>, alphabet: &[char], size: usize) -> Learned {
    let mut symbols: Vec<String> = alphabet.iter().map(char::to_string).collect();
    let mut known: HashMap<String, usize> = symbols.iter().cloned().zip(0..).collect();
    let mut merges = Vec::new();
    let mut pairs = Pairs::default();
    let mut spelled: Vec<(Vec<usize>, u64)> = Vec::new();
    for (word, &count) in words {
        for run in word.split(|c| alphabet.binary_search(&c).is_err()).filter(|run| !run.is_empty()) {
            spelled.push((run.chars().map(|c| known[c.encode_utf8(&mut [0; 4])]).collect(), count));
        }
    }
    for (index, (spelling, count)) in spelled.iter().enumerate() {
        pairs.add(spelling, *count, index);
    }
    while symbols.len() < size {
        let Some(pair) = pairs.most_frequent(&symbols) else { break };
        let text = format!("{}{}", symbols[pair.0], symbols[pair.1]);
        merges.push((symbols[pair.0].clone(), symbols[pair.1].clone()));
        // Two different pairs may spell the same symbol: "ab" + "c" and "a" + "bc".
        let joined = *known.entry(text.clone()).or_insert_with(|| {
            symbols.push(text);
            symbols.len() - 1
        });
        for index in pairs.containing(pair) {
            let (spelling, count) = &mut spelled[index];
            pairs.remove(spelling, *count, index);
            join(spelling, pair, joined);
            pairs.add(spelling, *count, index);
        }
    }
    Learned { symbols, merges }
}

/// Replaces every `pair`, from the left, with `joined`.
fn join(spelling: &mut Vec<usize>, pair: Pair, joined: usize) {
    let mut kept = 0;
    let mut next = 0;
    while next < spelling.len() {
        let here = spelling[next] == pair.0 && spelling.get(next + 1) == Some(&pair.1);
        spelling[kept] = if here { joined } else { spelling[next] };
        kept += 1;
        next += if here { 2 } else { 1 };
    }
    spelling.truncate(kept);
}

/// How often each pair of neighbours occurs, and in which words.
#[derive(Default)]
struct Pairs {
    seen: HashMap<Pair, (u64, BTreeSet<usize>)>,
}

impl Pairs {
    fn add(&mut self, spelling: &[usize], count: u64, index: usize) {
        for pair in spelling.windows(2) {
            let (total, places) = self.seen.entry((pair[0], pair[1])).or_default();
            *total += count;
            places.insert(index);
        }
    }

    fn remove(&mut self, spelling: &[usize], count: u64, index: usize) {
        for pair in spelling.windows(2) {
            let key = (pair[0], pair[1]);
            if let Some((total, places)) = self.seen.get_mut(&key) {
                *total -= count;
                places.remove(&index);
                if *total == 0 {
                    self.seen.remove(&key);
                }
            }
        }
    }

    fn most_frequent(&self, symbols: &[String]) -> Option<Pair> {
        let text = |pair: &Pair| (&symbols[pair.0], &symbols[pair.1]);
        let order = |(a, (m, _)): &(&Pair, &(u64, _)), (b, (n, _)): &(&Pair, &(u64, _))| {
            m.cmp(n).then_with(|| text(b).cmp(&text(a)))
        };
        self.seen.iter().filter(|(_, (count, _))| *count >= 2).max_by(order).map(|(pair, _)| *pair)
    }

    fn containing(&self, pair: Pair) -> Vec<usize> {
        self.seen.get(&pair).map(|(_, places)| places.iter().copied().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
    }

    #[test]
    fn learns_the_papers_example() {
        // The dictionary of the paper's Algorithm 1, with "·" for the end of a word.
        let words = words(&[("low·", 5), ("lower·", 2), ("newest·", 6), ("widest·", 3)]);
        let learned = learn(&words, &alphabet(&words, 1), 15);
        let merges: Vec<String> = learned.merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
        assert_eq!(merges, ["e s", "es t", "est ·", "l o"]);
    }

    #[test]
    fn stops_when_nothing_repeats_and_joins_nothing_across_rare_characters() {
        let words = words(&[("aXb", 9), ("ab", 1)]);
        let learned = learn(&words, &['a', 'b'], 100);
        assert_eq!(learned.symbols, ["a", "b"]);
    }

    #[test]
    fn joins_overlapping_pairs_from_the_left() {
        let mut spelling = vec![0, 0, 0, 1, 0, 0];
        join(&mut spelling, (0, 0), 2);
        assert_eq!(spelling, [2, 0, 1, 2]);
    }
}
