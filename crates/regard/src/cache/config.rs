//! Caches by name, as programs ask for them.

use std::fmt;
use std::str::FromStr;

use regard_kernel::Precision;

use super::{Compressive, HeavyHitters, Paged, Policy, Ring, Rounded};
use crate::attention::Cache;
use crate::error::{Error, Result};

/// Which cache, and how large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheConfig {
    /// `full`: everything as it is.
    #[default]
    Contiguous,
    /// `f16`, `bf16` or `int8`: everything, rounded.
    Rounded(Precision),
    /// `paged:POSITIONS`: everything, in pages.
    Paged {
        /// Of a page.
        positions: usize,
    },
    /// `ring:SINKS+WINDOW`
    Ring {
        /// First positions, which stay.
        sinks: usize,
        /// Last positions.
        window: usize,
    },
    /// `h2o:HEAVY+RECENT`
    HeavyHitters {
        /// Positions that received the most attention.
        heavy: usize,
        /// Last positions.
        recent: usize,
    },
    /// `compressive:MEMORYxRATE+RECENT`
    Compressive {
        /// Means.
        memory: usize,
        /// Positions that become one mean.
        rate: usize,
        /// Last positions.
        recent: usize,
    },
}

/// What can be written for a cache.
const SPELLINGS: &str =
    "full, f16, bf16, int8, paged:POSITIONS, ring:SINKS+WINDOW, h2o:HEAVY+RECENT or compressive:MEMORYxRATE+RECENT";

impl CacheConfig {
    /// An empty cache.
    ///
    /// # Errors
    /// When a size makes none.
    pub fn init(&self) -> Result<Box<dyn Policy>> {
        Ok(match *self {
            CacheConfig::Contiguous => Box::new(None::<Cache>),
            CacheConfig::Rounded(precision) => Box::new(Rounded::new(precision)),
            CacheConfig::Paged { positions } => Box::new(Paged::new(positions)?),
            CacheConfig::Ring { sinks, window } => Box::new(Ring::new(sinks, window)?),
            CacheConfig::HeavyHitters { heavy, recent } => Box::new(HeavyHitters::new(heavy, recent)?),
            CacheConfig::Compressive { memory, rate, recent } => Box::new(Compressive::new(memory, rate, recent)?),
        })
    }
}

impl FromStr for CacheConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, sizes) = text.split_once(':').unwrap_or((text, ""));
        let sizes: Option<Vec<usize>> = match sizes {
            "" => Some(Vec::new()),
            sizes => sizes.split(['+', 'x']).map(|size| size.parse().ok()).collect(),
        };
        let config = match (kind, sizes.as_deref()) {
            ("full", Some([])) => CacheConfig::Contiguous,
            ("f16", Some([])) => CacheConfig::Rounded(Precision::F16),
            ("bf16", Some([])) => CacheConfig::Rounded(Precision::BF16),
            ("int8", Some([])) => CacheConfig::Rounded(Precision::I8),
            ("paged", Some(&[positions])) => CacheConfig::Paged { positions },
            ("ring", Some(&[sinks, window])) => CacheConfig::Ring { sinks, window },
            ("h2o", Some(&[heavy, recent])) => CacheConfig::HeavyHitters { heavy, recent },
            ("compressive", Some(&[memory, rate, recent])) => CacheConfig::Compressive { memory, rate, recent },
            _ => return Err(Error::value("cache", format!("{text:?}"), SPELLINGS)),
        };
        // One spelling each: `ring:4x64` reads like something else.
        if config.to_string() != text {
            return Err(Error::value("cache", format!("{text:?}"), SPELLINGS));
        }
        config.init()?;
        Ok(config)
    }
}

impl fmt::Display for CacheConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheConfig::Contiguous | CacheConfig::Rounded(Precision::F32) => f.write_str("full"),
            CacheConfig::Rounded(Precision::F16) => f.write_str("f16"),
            CacheConfig::Rounded(Precision::BF16) => f.write_str("bf16"),
            CacheConfig::Rounded(Precision::I8) => f.write_str("int8"),
            CacheConfig::Paged { positions } => write!(f, "paged:{positions}"),
            CacheConfig::Ring { sinks, window } => write!(f, "ring:{sinks}+{window}"),
            CacheConfig::HeavyHitters { heavy, recent } => write!(f, "h2o:{heavy}+{recent}"),
            CacheConfig::Compressive { memory, rate, recent } => write!(f, "compressive:{memory}x{rate}+{recent}"),
        }
    }
}
