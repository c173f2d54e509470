//! The arrays of a trace: in memory of their own, or where a file is mapped.
//!
//! A trace of 20,000 tokens is some 80 MB a layer, and one of a million tokens gigabytes, of which a person looks at a corner. Mapped
//! arrays come into memory as they are used, and their numbers are checked then: whoever touches some checks those.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::{Error, Result};

/// Numbers of a trace, read as a slice.
#[derive(Clone)]
pub struct Numbers(Place);

#[derive(Clone)]
enum Place {
    Own(Vec<f32>),
    Mapped { file: Arc<Mmap>, bytes: Range<usize> },
}

impl Numbers {
    /// Little-endian numbers in a mapped file, where they lie; or a copy, unless they lie there as this machine reads them.
    pub(crate) fn mapped(file: &Arc<Mmap>, bytes: Range<usize>) -> Self {
        let there = file.get(bytes.clone()).unwrap_or_default();
        match cfg!(target_endian = "little") && bytemuck::try_cast_slice::<u8, f32>(there).is_ok() {
            true => Self(Place::Mapped { file: file.clone(), bytes }),
            false => Self::copied(there),
        }
    }

    /// A copy of little-endian numbers.
    pub(crate) fn copied(bytes: &[u8]) -> Self {
        Self(Place::Own(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
    }

    /// Whether nobody has looked at the numbers yet, which stay in their file.
    pub(crate) fn unchecked(&self) -> bool {
        matches!(self.0, Place::Mapped { .. })
    }

    /// Some of the numbers, all of them as `allowed` wants; those in memory have been checked when they came.
    ///
    /// # Errors
    /// [`Error::Value`] with the first that is not.
    pub(crate) fn touch(
        &self,
        name: impl FnOnce() -> String,
        part: Range<usize>,
        expected: &'static str,
        allowed: impl Fn(f32) -> bool,
    ) -> Result<&[f32]> {
        let numbers = &self[part.clone()];
        // The plain loop over all is vectorised, the search for the first that is wrong is not.
        if self.unchecked() && !numbers.iter().fold(true, |fine, &value| fine & allowed(value)) {
            let at = numbers.iter().position(|&value| !allowed(value)).unwrap_or(0);
            return Err(Error::Value { name: name(), index: part.start + at, value: numbers[at], expected });
        }
        Ok(numbers)
    }
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Place::Own(numbers) => numbers,
            // It was seen to be one when the array was made, and a mapping stays where it is.
            Place::Mapped { file, bytes } => bytemuck::try_cast_slice(&file[bytes.clone()]).unwrap_or_default(),
        }
    }
}

impl From<Vec<f32>> for Numbers {
    fn from(numbers: Vec<f32>) -> Self {
        Self(Place::Own(numbers))
    }
}

impl<'a> IntoIterator for &'a Numbers {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A file's bytes, brought into memory as they are used; a regular file, because a device may have no end.
pub(crate) fn map(path: &Path) -> io::Result<Arc<Mmap>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // SAFETY: the mapping is private and read only. A program that cuts or changes the file meanwhile could still be seen, as by
    // every reader of mapped arrays: `Trace::save` replaces a file, and leaves the old one to who has mapped it.
    Ok(Arc::new(unsafe { Mmap::map(&file) }?))
}
