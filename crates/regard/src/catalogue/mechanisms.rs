//! Everything that mixes values, ready to be built and compared in one loop.

use burn::tensor::Device;
use regard_kernel::mask::BigBird;
use regard_kernel::{
    Attention, Causal, Cosine, Dilated, Distance, Entmax, Entmax15, Global, Gumbel, Hard, Sampled, Sigmoid, Sparsemax,
    TopK, Window,
};

use super::{Card, nouns};
use crate::error::{Error, Result};
use crate::hard::{HardLocalConfig, LOCAL};
use crate::linear::{Linear, LinformerConfig, NystromConfig, PerformerConfig};
use crate::mechanism::{EXACT, Mechanism, Nouns};
use crate::sparse::{Axial, HybridConfig, LshConfig};

/// What a mechanism is built for.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Heads, as many of keys as of queries.
    pub heads: usize,
    /// Features of a query and of a key.
    pub head_dim: usize,
    /// Positions.
    pub length: usize,
    /// Whether a query sees only what came before.
    pub causal: bool,
    /// Where random weights and features come from.
    pub seed: u64,
    /// Where learned weights live.
    pub device: Device,
}

/// A way to build a mechanism with its paper's defaults, made to fit the setting.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name of its card.
    pub name: &'static str,
    /// Refuses a setting that the mechanism has no form for: causal, a length that its blocks do not divide …
    pub build: fn(&Setting) -> Result<Box<dyn Mechanism>>,
}

/// How far a query of the local mechanisms sees, to either side; shorter where the sequence is.
const REACH: usize = 128;

/// Every mechanism that takes queries, keys and values; see [`crate::mechanism`] for the loop. Random weights come from the
/// setting's seed, so that the same setting builds the same mechanism.
pub fn mechanisms() -> Vec<Entry> {
    vec![
        Entry { name: "Exact", build: |setting| build(&EXACT, setting, Attention::default()) },
        Entry { name: "Window", build: |setting| noun("Window", setting, |plain| Ok(plain.mask(window(setting)))) },
        Entry {
            name: "Dilated",
            build: |setting| {
                noun("Dilated", setting, |plain| {
                    let window = window(setting);
                    Ok(plain.mask(Dilated::new(window.past, window.future, 2)?))
                })
            },
        },
        Entry {
            name: "Global",
            build: |setting| noun("Global", setting, |plain| Ok(plain.mask(window(setting) | Global::new([0])))),
        },
        Entry {
            name: "BigBird",
            build: |setting| {
                noun("BigBird", setting, |plain| {
                    let block = divisor(setting.length, 64).max(1);
                    Ok(plain.mask(BigBird::new(setting.seed).block(block)?))
                })
            },
        },
        Entry {
            name: "Distance",
            build: |setting| noun("Distance", setting, |_| Ok(Attention::new(Distance::default()))),
        },
        Entry { name: "Cosine", build: |setting| noun("Cosine", setting, |_| Ok(Attention::new(Cosine::new([10.0])))) },
        Entry { name: "TopK", build: |setting| noun("TopK", setting, |plain| Ok(plain.normalizer(TopK::new(32)?))) },
        Entry {
            name: "Sparsemax",
            build: |setting| noun("Sparsemax", setting, |plain| Ok(plain.normalizer(Sparsemax))),
        },
        Entry { name: "Entmax15", build: |setting| noun("Entmax15", setting, |plain| Ok(plain.normalizer(Entmax15))) },
        Entry {
            name: "Sigmoid",
            build: |setting| noun("Sigmoid", setting, |plain| Ok(plain.normalizer(Sigmoid::default()))),
        },
        Entry {
            name: "Entmax",
            build: |setting| noun("Entmax", setting, |plain| Ok(plain.normalizer(Entmax::new(1.25)?))),
        },
        Entry {
            name: "Gumbel",
            build: |setting| noun("Gumbel", setting, |plain| Ok(plain.normalizer(Gumbel::new(1.0, setting.seed)?))),
        },
        Entry { name: "Hard", build: |setting| noun("Hard", setting, |plain| Ok(plain.normalizer(Hard))) },
        Entry {
            name: "Sampled",
            build: |setting| noun("Sampled", setting, |plain| Ok(plain.normalizer(Sampled::new(setting.seed)))),
        },
        Entry {
            name: "Linear",
            build: |setting| Ok(Box::new(if setting.causal { Linear::causal() } else { Linear::new() })),
        },
        Entry {
            name: "Performer",
            build: |setting| {
                let config = PerformerConfig::new(setting.head_dim).with_causal(setting.causal);
                Ok(Box::new(config.with_seed(setting.seed).init(&setting.device)?))
            },
        },
        Entry {
            name: "Linformer",
            build: |setting| {
                symmetric(setting)?;
                let config = LinformerConfig::new(setting.length).with_rank(setting.length.min(256));
                Ok(Box::new(config.with_seed(setting.seed).init(&setting.device)?))
            },
        },
        Entry {
            name: "Nystrom",
            build: |setting| {
                symmetric(setting)?;
                let config = NystromConfig::new(setting.heads).with_landmarks(divisor(setting.length, 64));
                Ok(Box::new(config.with_seed(setting.seed).init(&setting.device)?))
            },
        },
        Entry {
            name: "Lsh",
            build: |setting| {
                let config = LshConfig::new().with_bucket(divisor(setting.length / 2, 64)).with_seed(setting.seed);
                Ok(Box::new(config.with_causal(setting.causal).init()?))
            },
        },
        Entry {
            name: "Hybrid",
            build: |setting| {
                let config = HybridConfig::new().with_block(divisor(setting.length, 64)).with_causal(setting.causal);
                Ok(Box::new(config.init()?))
            },
        },
        Entry {
            name: "Axial",
            build: |setting| {
                let rows = divisor(setting.length, setting.length.isqrt());
                let build = if setting.causal { Axial::causal } else { Axial::new };
                Ok(Box::new(build(rows, setting.length / rows.max(1))?))
            },
        },
        Entry {
            name: "HardLocal",
            build: |setting| {
                let config = HardLocalConfig::new(setting.head_dim).with_seed(setting.seed);
                if setting.causal {
                    // A predicted position may lie ahead; the paper's monotonic one is the query's own.
                    let window = Window::new(Some(config.reach), Some(0));
                    return build(&LOCAL, setting, Attention::default().mask(window));
                }
                Ok(Box::new(config.init(&setting.device)?))
            },
        },
    ]
}

/// The greatest divisor of a length up to `most`.
fn divisor(length: usize, most: usize) -> usize {
    (1..=most.min(length)).rev().find(|&divisor| length.is_multiple_of(divisor)).unwrap_or(0)
}

/// Refuses to be causal.
fn symmetric(setting: &Setting) -> Result<()> {
    if setting.causal {
        return Err(Error::value("causal", true, "false: this mechanism has no causal form"));
    }
    Ok(())
}

fn window(setting: &Setting) -> Window {
    Window::new(Some(REACH), Some(if setting.causal { 0 } else { REACH }))
}

/// What `change` makes of scaled dot products and softmax, under the name of the noun that it brings.
fn noun(
    name: &str,
    setting: &Setting,
    change: impl FnOnce(Attention) -> regard_kernel::Result<Attention>,
) -> Result<Box<dyn Mechanism>> {
    let card: &'static Card = nouns::CARDS
        .iter()
        .find(|card| card.name == name)
        .ok_or_else(|| Error::value("name", name, "a noun of the catalogue"))?;
    build(card, setting, change(Attention::default())?)
}

fn build(card: &'static Card, setting: &Setting, attention: Attention) -> Result<Box<dyn Mechanism>> {
    let attention = if setting.causal { attention.mask(Causal::default()) } else { attention };
    Ok(Box::new(Nouns::new(card, attention)))
}
