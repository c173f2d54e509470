//! The numbers that all contestants compute with.

use std::fs;
use std::io;

/// Standard normal numbers from a file, repeated as often as needed. How many there are is prime, so that no two rows of a
/// tensor are alike.
pub struct Normals(Vec<f32>);

impl Normals {
    /// Where queries begin in the sequence.
    pub const QUERIES: usize = 0;
    /// Where keys begin.
    pub const KEYS: usize = 333_331;
    /// Where values begin.
    pub const VALUES: usize = 666_667;
    /// Where the gradient of the context begins.
    pub const GRADIENT: usize = 500_009;
    /// Where the numbers begin that decide what a random mask hides.
    pub const MASK: usize = 7_919;
    /// Where dense biases begin.
    pub const BIAS: usize = 250_007;

    /// Reads little-endian numbers of 32 bits.
    ///
    /// # Errors
    /// If the file cannot be read or holds nothing.
    pub fn read(path: &str) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if numbers.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Self(numbers)) }
    }

    /// `count` numbers from place `start` of the endless sequence.
    pub fn take(&self, start: usize, count: usize) -> Vec<f32> {
        let start = start % self.0.len();
        let mut taken = Vec::with_capacity(count);
        taken.extend_from_slice(&self.0[start..][..count.min(self.0.len() - start)]);
        while taken.len() < count {
            taken.extend_from_slice(&self.0[..(count - taken.len()).min(self.0.len())]);
        }
        taken
    }
}
