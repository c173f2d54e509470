//! More training pairs, made of those there are, that look like what people type.
//!
//! A corpus of single sentences, each with a capital letter in front, does not show a model "how are you?", nor two
//! sentences in a row. Three kinds of extra pairs do:
//! - *uncapitalised*, a quarter of them: a pair whose sides both begin with a small letter;
//! - *joined*, a quarter: two pairs one after the other, sometimes three (Kondo et al., "Sentence Concatenation Approach
//!   to Data Augmentation for Neural Machine Translation", NAACL SRW 2021, arXiv:2104.08478; Nguyen et al., "Data
//!   Augmentation by Concatenation for Low-Resource Translation", IWSLT 2021, arXiv:2105.01691);
//! - *spliced*, half: a short pair and another with a comma between them, as in "Good morning, where is Tom?".
//!
//! What people type is short, and a few short sentences, "How are you?" among them, mean something else than their words:
//! of a handful of pairs the shortest is taken, and every epoch has extra pairs of its own.
//!
//! Whether a word loses its capital is counted, as a truecaser does (Lita et al., "tRuEcasIng", ACL 2003): it does when
//! it is written small more often than not inside the corpus's sentences. "How" does; "I", "I'm" and "Paris" do not.

use super::DataError;
use super::batches::Lengths;
use super::pairs::Pair;
use super::random::SplitMix64;
use std::collections::HashMap;

/// Held out, in small letters and without punctuation: sentences that the trained model is shown with. A joined pair
/// would teach the answer, so that an extra pair with one of them anywhere in its source is dropped.
const HELD_OUT: [&str; 1] = ["hello how are you"];

/// The most words that a source has before the comma of a spliced pair.
const SHORT: usize = 4;

/// Of so many pairs drawn, the shortest is taken.
const DRAWN: usize = 8;

/// How often a kind of pair is tried before the corpus is taken not to have it.
const TRIES: usize = 100;

/// Keeps the stream of random numbers apart from those of the epochs, which are small numbers.
const STREAM: u64 = u64::from_be_bytes(*b"augment\0");

/// Fails unless `share` can be that of [`extra_pairs`].
pub(crate) fn check(share: f32) -> Result<(), DataError> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(DataError::argument("augment", share, "a share of extra pairs from 0 to 1"))
}

/// `share` times as many extra pairs as there are `pairs`, or fewer when too few can be made; the same ones for the same
/// `seed`, of a run and an epoch.
///
/// `lengths` are the pairs' numbers of tokens; what is joined has at most `max_length` together.
pub(crate) fn extra_pairs(
    pairs: &[Pair],
    lengths: &[Lengths],
    max_length: usize,
    share: f32,
    seed: [u64; 2],
) -> Vec<Pair> {
    let wanted = (f64::from(share) * pairs.len() as f64).round() as usize;
    if wanted == 0 {
        return Vec::new();
    }
    let sources = Casing::count(pairs.iter().map(|pair| pair.source.as_str()));
    let targets = Casing::count(pairs.iter().map(|pair| pair.target.as_str()));
    let inside =
        |pair: &Pair| Some(Pair { source: sources.inside(&pair.source)?, target: targets.inside(&pair.target)? });
    let mut random = SplitMix64::keyed(&[seed[0], STREAM, seed[1]]);
    let mut one = || {
        // One of four is uncapitalised, one joined, two are spliced; when a try fails the next is of the same kind.
        let kind = random.below(4);
        (0..TRIES).find_map(|_| {
            let count = match kind {
                0 => 1,
                1 if random.below(4) == 0 => 3,
                _ => 2,
            };
            let mut short = || (0..DRAWN).map(|_| random.below(pairs.len())).min_by_key(|&at| lengths[at].source);
            let chosen: Vec<usize> = (0..count).filter_map(|_| short()).collect();
            let tokens = |side: fn(&Lengths) -> usize| chosen.iter().map(|&at| side(&lengths[at])).sum::<usize>();
            if tokens(|length| length.source).max(tokens(|length| length.target)) > max_length {
                return None;
            }
            let parts: Vec<&Pair> = chosen.iter().map(|&at| &pairs[at]).collect();
            let made = match kind {
                0 => inside(parts[0]).filter(|made| both_changed(made, parts[0])),
                1 => joined(&parts),
                _ => spliced(parts[0], &inside(parts[1])?),
            };
            made.filter(|made| !holds_out(&made.source))
        })
    };
    (0..wanted).filter_map(|_| one()).collect()
}

/// Whether both sides have lost their capital.
fn both_changed(made: &Pair, pair: &Pair) -> bool {
    made.source != pair.source.trim() && made.target != pair.target.trim()
}

/// The pairs one after the other, if each is whole sentences on both sides, which a title or a word alone is not.
fn joined(parts: &[&Pair]) -> Option<Pair> {
    let ends = |text: &str| text.trim_end().ends_with(['.', '!', '?', '…', '"', '»', '”']);
    let join = |side: fn(&Pair) -> &str| parts.iter().map(|&part| side(part).trim()).collect::<Vec<_>>().join(" ");
    let pair = Pair { source: join(|part| &part.source), target: join(|part| &part.target) };
    parts.iter().all(|part| ends(&part.source) && ends(&part.target)).then_some(pair)
}

/// A short statement or exclamation, a comma in place of its mark, and another pair.
fn spliced(first: &Pair, second: &Pair) -> Option<Pair> {
    let open = |text: &str| -> Option<String> {
        let open = text.trim_end().strip_suffix(['.', '!'])?;
        open.trim_end().ends_with(char::is_alphanumeric).then(|| open.to_owned())
    };
    let (mut source, mut target) = (open(&first.source)?, open(&first.target)?);
    let words = source.split(|letter: char| !letter.is_alphanumeric() && !is_apostrophe(letter));
    if words.filter(|word| !word.is_empty()).count() > SHORT {
        return None;
    }
    // French has a space before "!" and none before ","; where both sides have one, the text is cut into tokens.
    if ![&source, &target].iter().all(|side| side.ends_with(char::is_whitespace)) {
        source.truncate(source.trim_end().len());
        target.truncate(target.trim_end().len());
    }
    Some(Pair { source: format!("{source}, {}", second.source), target: format!("{target}, {}", second.target) })
}

fn holds_out(source: &str) -> bool {
    let words = source.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let plain = format!(" {} ", words.collect::<Vec<_>>().join(" ").to_lowercase());
    HELD_OUT.iter().any(|sentence| plain.contains(&format!(" {sentence} ")))
}

fn is_apostrophe(letter: char) -> bool {
    matches!(letter, '\'' | '’')
}

/// How often words are written small and with a capital where no sentence begins.
struct Casing(HashMap<String, Uses>);

#[derive(Default)]
struct Uses {
    small: u64,
    capital: u64,
}

impl Casing {
    fn count<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut words: HashMap<String, Uses> = HashMap::new();
        for text in texts {
            let mut begins = true;
            let mut rest = text;
            while let Some(letter) = rest.chars().next() {
                let word = first_word(rest);
                if !word.is_empty() && !begins {
                    let small = uncapitalised(word);
                    let uses = words.entry(key(&small)).or_default();
                    *(if small == word { &mut uses.small } else { &mut uses.capital }) += 1;
                }
                begins = match letter {
                    '.' | '!' | '?' | '…' | ':' | '"' | '«' | '“' => true,
                    _ => begins && !letter.is_alphanumeric(),
                };
                rest = &rest[word.len().max(letter.len_utf8())..];
            }
        }
        Casing(words)
    }

    /// The text as it would go on inside a sentence; none when the corpus does not tell how its first word is written.
    fn inside(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let word = first_word(text);
        if word.is_empty() {
            return None;
        }
        let small = uncapitalised(word);
        if small == word {
            return Some(text.to_owned());
        }
        match self.0.get(&key(&small))? {
            Uses { small: less, capital } if capital > less => Some(text.to_owned()),
            Uses { small: more, capital } if more > capital => Some(small + &text[word.len()..]),
            _ => None,
        }
    }
}

/// The letters that a text begins with and an apostrophe after them: `M` and `M'` are different words.
fn first_word(text: &str) -> &str {
    let letters = text.find(|letter: char| !letter.is_alphabetic()).unwrap_or(text.len());
    let apostrophe = text[letters..].chars().next().filter(|&letter| letters > 0 && is_apostrophe(letter));
    &text[..letters + apostrophe.map_or(0, char::len_utf8)]
}

/// With a small first letter.
fn uncapitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

/// What a word is counted under: whichever apostrophe it is written with.
fn key(small: &str) -> String {
    small.replace('’', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(source: &str, target: &str) -> Pair {
        Pair { source: source.into(), target: target.into() }
    }

    /// Pairs with a few words that are small inside sentences and a few that are not.
    fn corpus() -> Vec<Pair> {
        [
            ("Hello!", "Bonjour !"),
            ("How are you?", "Comment allez-vous ?"),
            ("Where is Tom?", "Où est Tom ?"),
            ("I know how to say hello.", "Je sais comment dire bonjour."),
            ("Tom said I know where you are.", "Tom dit que je sais où tu es."),
            ("No entry", "Entrée interdite"),
            ("I'm sure I'm late.", "Sûr que je suis en retard."),
        ]
        .map(|(source, target)| pair(source, target))
        .into()
    }

    /// A share of a corpus whose sides have a token a word.
    fn extra(pairs: &[Pair], max_length: usize, share: f32, seed: [u64; 2]) -> Vec<Pair> {
        let words = |text: &str| text.split_whitespace().count();
        let lengths: Vec<Lengths> =
            pairs.iter().map(|pair| Lengths { source: words(&pair.source), target: words(&pair.target) }).collect();
        extra_pairs(pairs, &lengths, max_length, share, seed)
    }

    /// Many, from the corpus many times over.
    fn many(max_length: usize) -> Vec<Pair> {
        extra(&vec![corpus(); 400].concat(), max_length, 1.0, [3, 0])
    }

    #[test]
    fn the_same_seed_makes_the_same_pairs() {
        let pairs = vec![corpus(); 100].concat();
        let made = extra(&pairs, 20, 0.3, [1, 7]);
        assert_eq!(made.len(), 210);
        assert_eq!(made, extra(&pairs, 20, 0.3, [1, 7]));
        assert_ne!(made, extra(&pairs, 20, 0.3, [2, 7]));
        assert_ne!(made, extra(&pairs, 20, 0.3, [1, 8]));
        assert!(extra(&pairs, 20, 0.0, [1, 0]).is_empty() && extra(&[], 20, 1.0, [1, 0]).is_empty());
    }

    #[test]
    fn all_kinds_come_in_their_shares() {
        let pairs = vec![corpus(); 400].concat();
        // All of a length, so that all are drawn alike.
        let lengths = vec![Lengths { source: 1, target: 1 }; pairs.len()];
        let made = extra_pairs(&pairs, &lengths, 20, 1.0, [3, 0]);
        let has = |source: &str, target: &str| made.contains(&pair(source, target));
        assert!(has("how are you?", "comment allez-vous ?"));
        assert!(has("How are you? Where is Tom?", "Comment allez-vous ? Où est Tom ?"));
        assert!(has("Hello, where is Tom?", "Bonjour, où est Tom ?"));
        assert!(has("Hello, I know how to say hello.", "Bonjour, je sais comment dire bonjour."));
        assert!(has("Hello, Tom said I know where you are.", "Bonjour, Tom dit que je sais où tu es."));
        let small = made.iter().filter(|pair| pair.source.starts_with(char::is_lowercase)).count();
        let commas = made.iter().filter(|pair| pair.source.contains(',')).count();
        assert!((600..800).contains(&small) && (1300..1500).contains(&commas), "{small}, {commas} of {}", made.len());
        let threes = made.iter().filter(|pair| pair.source.matches(['.', '!', '?']).count() == 3).count();
        assert!((120..240).contains(&threes), "{threes}");
    }

    #[test]
    fn names_and_the_first_person_keep_their_capitals() {
        let wrong = ["tom", "i ", "i'm"];
        assert!(many(20).iter().all(|pair| wrong.iter().all(|wrong| !pair.source.starts_with(wrong))));
        let casing =
            Casing::count(["He is in Paris. The end", "\"The end\", said the IMF", "M. Li m'a vu à Lyon"].into_iter());
        assert_eq!(casing.inside("The end").as_deref(), Some("the end"));
        assert_eq!(casing.inside("Paris").as_deref(), Some("Paris"));
        assert_eq!(casing.inside("IMF rules").as_deref(), Some("IMF rules"));
        assert_eq!(casing.inside("M'a-t-il vu ?").as_deref(), Some("m'a-t-il vu ?"));
        assert_eq!(casing.inside("À Lyon").as_deref(), Some("à Lyon"));
        // Words that only begin sentences, or are none, tell nothing.
        assert_eq!(
            [casing.inside("He is"), casing.inside("M. Li"), casing.inside("3 o'clock"), casing.inside(" ")],
            [None, None, None, None]
        );
    }

    #[test]
    fn what_is_joined_is_whole_and_fits() {
        let made = many(7);
        assert!(made.iter().all(|pair| pair.source.split_whitespace().count() <= 7));
        assert!(made.iter().all(|pair| !pair.source.contains("entry")));
        assert!(made.iter().any(|pair| pair.source == "How are you? Hello!"));
    }

    #[test]
    fn short_pairs_come_more_often() {
        let made = many(20);
        let times = |source: &str| made.iter().filter(|pair| pair.source.contains(source)).count();
        let (short, long) = (times("how are you?"), times("I know how"));
        assert!(short > 3 * long, "{short} {long}");
    }

    #[test]
    fn the_held_out_sentence_never_arises() {
        let greetings: Vec<Pair> = corpus().into_iter().take(2).chain([pair("Say how.", "Dis comment.")]).collect();
        let pairs = vec![greetings; 1000].concat();
        let lengths = vec![Lengths { source: 1, target: 1 }; pairs.len()];
        let made = extra_pairs(&pairs, &lengths, 20, 1.0, [5, 0]);
        assert!(made.iter().any(|pair| pair.source == "How are you? Hello!"));
        assert!(made.iter().all(|pair| !pair.source.to_lowercase().replace(['!', ','], "").contains("hello how are")));
        for text in
            ["Hello, how are you?", "hello how are you", "“HELLO!” – How are you?", "Oh. Hello. How are you? Go!"]
        {
            assert!(holds_out(text), "{text}");
        }
        assert!(!holds_out("Hello, how are your parents?") && !holds_out("How are you?"));
    }

    #[test]
    fn a_comma_takes_the_place_of_the_mark() {
        let splice = |source: &str, target: &str| {
            spliced(&pair(source, target), &pair("go", "va")).map(|pair| (pair.source, pair.target))
        };
        let some = |source: &str, target: &str| Some((source.to_owned(), target.to_owned()));
        assert_eq!(splice("Hi!", "Salut\u{202f}!"), some("Hi, go", "Salut, va"));
        assert_eq!(splice("I don't care much.", "Bof."), some("I don't care much, go", "Bof, va"));
        // Text that is cut into tokens stays so.
        assert_eq!(splice("h@@ i .", "sal@@ ut !"), some("h@@ i , go", "sal@@ ut , va"));
        for (source, target) in
            [("Who?", "Qui ?"), ("Well...", "Bon..."), ("Hi!!", "Hé !"), ("One two three four five.", "Cinq.")]
        {
            assert_eq!(splice(source, target), None, "{source}");
        }
    }

    #[test]
    fn a_corpus_that_has_none_gives_none() {
        assert!(extra(&vec![pair("one two", "deux un"); 50], 20, 1.0, [1, 0]).is_empty());
        assert!(check(0.0).is_ok() && check(1.0).is_ok());
        for share in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let message = check(share).unwrap_err().to_string();
            assert_eq!(message, format!("augment is {share}, expected a share of extra pairs from 0 to 1"));
        }
    }
}
