//! Mistral: LLaMA with a window, so that the cost of a long text grows with the window and not with the text.
//!
//! A position sees the last `window` keys of its layer, and through them, layer by layer, what those saw. Jiang et al., "Mistral 7B",
//! 2023, arXiv:2310.06825. The network is [`Llama`]. Where the window is null, as in later releases, every key is seen.

use regard::catalogue::{Card, Family};

use crate::error::Result;
use crate::llama::{self, Llama};
use crate::pretrained::{Checkpoint, Fields};

/// See the module's page.
pub const CARD: Card = Card {
    name: "Mistral",
    family: Family::Models,
    sentence: "LLaMA whose positions see a window of keys, and farther through the layers.",
    equation: "LLaMA with mask(i, j) = i - window < j ≤ i",
    paper: "Jiang et al. 2023, arXiv:2310.06825",
    cost: "time O(L·window·d + L·d²) a layer, memory O(L·d)",
    when: "Checkpoints whose config.json says mistral. `regard generate` and `regard inspect` run them.",
};

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Llama> {
    let window = fields.maybe("sliding_window")?;
    llama::configuration(fields)?.with_window(window).load(fields, file, CARD, llama::NAMES)
}
