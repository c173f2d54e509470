//! Qwen2: LLaMA whose queries, keys and values have biases, and of which some layers may have a window.
//!
//! Yang et al., "Qwen2 Technical Report", 2024, arXiv:2407.10671. The network is [`Llama`]. The window counts only where
//! `use_sliding_window` says so, and from layer `max_window_layers` on.

use regard::catalogue::{Card, Family};

use crate::error::Result;
use crate::llama::{self, Llama, Windowed};
use crate::pretrained::{Checkpoint, Fields};

/// See the module's page.
pub const CARD: Card = Card {
    name: "Qwen2",
    family: Family::Models,
    sentence: "LLaMA whose queries, keys and values have biases.",
    equation: "LLaMA with q = W_q x + b_q, k = W_k x + b_k, v = W_v x + b_v",
    paper: "Yang et al. 2024, arXiv:2407.10671",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d); with the cache O(L·d + d²) a token",
    when: "Checkpoints whose config.json says qwen2. `regard generate` and `regard inspect` run them.",
};

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Llama> {
    let config = llama::configuration(fields)?;
    let layers = config.layers;
    let window = if fields.or("use_sliding_window", false)? { fields.maybe("sliding_window")? } else { None };
    let first: usize = fields.or("max_window_layers", 28)?;
    let windowed = match fields.maybe::<Vec<String>>("layer_types")? {
        Some(kinds) => kinds.iter().map(|kind| kind == "sliding_attention").collect(),
        None => (0..layers.min(file.count())).map(|layer| layer >= first).collect(),
    };
    let config = config.with_bias(true).with_output_bias(Some(false)).with_window(window);
    config.with_windowed(Windowed::Some(windowed)).load(fields, file, CARD, llama::NAMES)
}
