//! How SentencePiece rewrites characters before it cuts a text: rules, of which the longest that fits counts.
//!
//! The rules are a double array (Aoe 1989) whose leaves say where in a list of texts, each ended by a zero, the replacement begins. The
//! file is the array's size in bytes, the array, and the list.

/// Rules from characters to characters.
#[derive(Debug, Clone, Default)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    texts: Vec<u8>,
}

impl Charsmap {
    /// The rules in a file's bytes, none of no bytes; or what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let Some((size, rest)) = bytes.split_first_chunk() else {
            return if bytes.is_empty() {
                Ok(Charsmap::default())
            } else {
                Err("a map of characters cut short".into())
            };
        };
        let size = u32::from_le_bytes(*size) as usize;
        match rest.split_at_checked(size) {
            Some((units, texts)) if size.is_multiple_of(4) => {
                let units = units.as_chunks().0.iter().map(|&unit| u32::from_le_bytes(unit)).collect();
                Ok(Charsmap { units, texts: texts.to_vec() })
            }
            _ => Err(format!("a map of characters of {} bytes, its array claims {size}", rest.len())),
        }
    }

    /// What the beginning of a text, which is not empty, becomes, and how many of its bytes that were.
    pub fn first<'a>(&'a self, text: &'a str) -> (&'a str, usize) {
        let length = text.chars().next().map_or(0, char::len_utf8);
        self.longest(text.as_bytes()).unwrap_or((&text[..length], length))
    }

    fn longest(&self, text: &[u8]) -> Option<(&str, usize)> {
        let mut longest = None;
        let mut at = offset(*self.units.first()?);
        for (place, &byte) in text.iter().enumerate() {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at).filter(|&&unit| label(unit) == u32::from(byte)) else { break };
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                longest = self.units.get(at).map(|leaf| (leaf & 0x7fff_ffff, place + 1));
            }
        }
        let (start, length) = longest?;
        let text = self.texts.get(start as usize..)?.split(|&byte| byte == 0).next()?;
        Some((std::str::from_utf8(text).ok()?, length))
    }
}

/// How far a unit's children are from it.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

/// The byte that leads to a unit; no byte, where it is a leaf.
fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xff)
}
