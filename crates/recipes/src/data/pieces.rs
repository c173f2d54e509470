//! Pieces of words, as SentencePiece's byte pair encoding cuts them: the tokenizer of LLaMA, in llama2.c's file.
//!
//! A text is cut into characters, and of all neighbours that together are a piece, those with the best score become one, the first of
//! equals, until none are left; a character that is no piece becomes its bytes. Spaces belong to the piece that follows them, and a text
//! begins with one that nobody wrote. Kudo & Richardson 2018, arXiv:1808.06226; Sennrich et al. 2016, arXiv:1508.07909.
//!
//! The file is the length of the longest piece, then for each a score (f32), a length and so many bytes, numbers of 4 bytes. The
//! first three pieces are unknown, the beginning of a text and its end; `<0x0A>` is a byte.

use std::collections::{BinaryHeap, HashMap};
use std::path::Path;

use super::{DataError, read};

/// Begins a text.
const BEGIN: u32 = 1;
/// Ends a text.
const END: u32 = 2;

/// No tokenizer is as large; a file that is, is not read.
const LARGEST: u64 = 64 << 20;

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Unknown, beginning or end.
    Control,
    Byte(u8),
    Text(Box<[u8]>),
}

/// See the module's page.
#[derive(Debug, Clone)]
pub struct Pieces {
    pieces: Vec<Piece>,
    /// Token and score of every text.
    known: HashMap<Box<[u8]>, (u32, f32)>,
    bytes: [Option<u32>; 256],
}

impl Pieces {
    /// Reads a file of `count` pieces.
    ///
    /// # Errors
    /// When it cannot be read, is cut short, or does not hold as many pieces.
    pub fn load(path: &Path, count: usize) -> Result<Self, DataError> {
        let content = |problem: String| DataError::Content { path: path.to_owned(), problem };
        Self::from_bytes(&read(path, "a tokenizer", LARGEST)?, count).map_err(content)
    }

    /// The pieces in a file's bytes, or what is wrong with them.
    fn from_bytes(bytes: &[u8], count: usize) -> Result<Self, String> {
        let mut rest = bytes;
        let mut next = |length: usize| {
            let (taken, others) = rest.split_at_checked(length)?;
            rest = others;
            Some(taken)
        };
        let mut found = Pieces { pieces: Vec::new(), known: HashMap::new(), bytes: [None; 256] };
        let longest = next(4).map(whole).ok_or("an empty file, expected a tokenizer")?;
        for at in 0..count {
            let cut = || format!("it ends in piece {at} of {count}");
            let score = f32::from_bits(next(4).map(whole).ok_or_else(cut)? as u32);
            let length = next(4).map(whole).ok_or_else(cut)?;
            if !(0..=longest).contains(&length) {
                return Err(format!("piece {at} is {length} bytes long, expected at most {longest}"));
            }
            let text = next(length as usize).ok_or_else(cut)?;
            if score.is_nan() {
                return Err(format!("piece {at} has the score NaN, expected a number"));
            }
            found.add(at as u32, text, score);
        }
        match rest.len() {
            0 => Ok(found),
            more => Err(format!("{more} bytes behind the {count} pieces that the model has")),
        }
    }

    /// Pieces and their scores in the order of their ids, a space written as `▁`.
    ///
    /// # Errors
    /// When there is not a score a piece, or one is NaN.
    pub fn of(pieces: &[String], scores: &[f32]) -> Result<Self, DataError> {
        if pieces.len() != scores.len() {
            let expected = format!("{}, one a piece", pieces.len());
            return Err(DataError::argument("scores", format!("{} numbers", scores.len()), expected));
        }
        let mut found = Pieces { pieces: Vec::new(), known: HashMap::new(), bytes: [None; 256] };
        for (at, (piece, &score)) in pieces.iter().zip(scores).enumerate() {
            if score.is_nan() {
                return Err(DataError::argument("scores", format!("NaN for piece {at}"), "numbers"));
            }
            found.add(at as u32, piece.replace('▁', " ").as_bytes(), score);
        }
        Ok(found)
    }

    fn add(&mut self, id: u32, text: &[u8], score: f32) {
        let piece = match byte(text) {
            _ if id <= END => Piece::Control,
            Some(byte) => {
                self.bytes[usize::from(byte)].get_or_insert(id);
                Piece::Byte(byte)
            }
            None => {
                self.known.entry(text.into()).or_insert((id, score));
                Piece::Text(text.into())
            }
        };
        self.pieces.push(piece);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    /// The beginning, and a token for each piece of `text`.
    ///
    /// # Errors
    /// Naming the first character that is neither a piece nor has its bytes among them.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let mut ids = vec![BEGIN];
        if text.is_empty() {
            return Ok(ids);
        }
        let text = format!(" {text}");
        for piece in self.merged(&text) {
            if let Some((id, _)) = self.known.get(piece.as_bytes()) {
                ids.push(*id);
                continue;
            }
            for byte in piece.bytes() {
                ids.push(self.bytes[usize::from(byte)].ok_or_else(|| {
                    DataError::argument("text", format!("one with {piece:?}"), "characters that the tokenizer knows")
                })?);
            }
        }
        Ok(ids)
    }

    /// The text in pieces, and in characters where no piece fits.
    fn merged<'a>(&self, text: &'a str) -> Vec<&'a str> {
        // Symbol i is text[starts[i]..ends[i]]; one that was merged into another is empty.
        let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let mut ends: Vec<usize> = starts.iter().skip(1).copied().chain([text.len()]).collect();
        let count = starts.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut previous: Vec<Option<usize>> = (0..count).map(|at| at.checked_sub(1)).collect();
        let mut pairs = BinaryHeap::new();
        let consider = |pairs: &mut BinaryHeap<Pair>, left: usize, right: usize, start: usize, end: usize| {
            if let Some((_, score)) = self.known.get(&text.as_bytes()[start..end]) {
                pairs.push(Pair { score: *score, left, right, start, end });
            }
        };
        for left in 0..count.saturating_sub(1) {
            consider(&mut pairs, left, left + 1, starts[left], ends[left + 1]);
        }
        while let Some(Pair { left, right, start, end, .. }) = pairs.pop() {
            // One of the two may have changed since.
            if starts[left] != start || ends[right] != end || next[left] != right || ends[left] == start {
                continue;
            }
            ends[left] = end;
            (starts[right], ends[right]) = (end, end);
            next[left] = next[right];
            if next[left] < count {
                previous[next[left]] = Some(left);
                consider(&mut pairs, left, next[left], start, ends[next[left]]);
            }
            if let Some(before) = previous[left] {
                consider(&mut pairs, before, left, starts[before], end);
            }
        }
        starts.iter().zip(&ends).filter(|(start, end)| start < end).map(|(&start, &end)| &text[start..end]).collect()
    }

    /// Whether a text ends with this token: its end, or the beginning of another.
    pub fn ends(&self, id: u32) -> bool {
        id == BEGIN || id == END
    }

    /// The bytes that a token stands for; none if it stands for nothing that is written.
    pub fn bytes(&self, id: u32) -> &[u8] {
        match self.pieces.get(id as usize) {
            Some(Piece::Byte(byte)) => std::slice::from_ref(byte),
            Some(Piece::Text(text)) => text,
            Some(Piece::Control) | None => &[],
        }
    }
}

/// Two neighbours that together are a piece, where they stood when they were found.
#[derive(Debug, PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    start: usize,
    end: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    /// The best score is the greatest, and of equal scores the first in the text.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then(other.start.cmp(&self.start)).then(other.end.cmp(&self.end))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Four bytes as a whole number.
fn whole(bytes: &[u8]) -> i32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | i32::from(byte))
}

/// The byte that `<0x0A>` stands for.
fn byte(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}
