//! Marian: the translators of OPUS-MT, of which there are some for a thousand pairs of languages.
//!
//! The Transformer of 2017 with swish for the rectifier and a bias in the last layer; of the sinusoids that tell the order, all sines
//! come before all cosines. Junczys-Dowmunt et al., "Marian: Fast Neural Machine Translation in C++", ACL 2018, arXiv:1804.00344;
//! Tiedemann & Thottingal, "OPUS-MT", EAMT 2020. The network is [`Bart`] without tables of positions and without a norm behind the
//! embedding. Targets begin with padding.

use regard::catalogue::{Card, Family};

use crate::bart::{Bart, BartPositions, sizes};
use crate::error::Result;
use crate::pretrained::{Checkpoint, Fields};
use crate::translator::Specials;

/// See the module's page.
pub const CARD: Card = Card {
    name: "Marian",
    family: Family::Models,
    sentence: "The Transformer of 2017 as a translator for a thousand pairs of languages.",
    equation: "norm(x + attention(x)), norm(x + W₂ swish(W₁ x)); logits = y Eᵀ + b",
    paper: "Junczys-Dowmunt et al. 2018, arXiv:1804.00344; Tiedemann & Thottingal 2020",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d)",
    when: "Checkpoints whose config.json says marian. `regard translate` runs them.",
};

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bart> {
    // Vocabularies that differ between source and target are in files that do not share embeddings.
    fields.expect("share_encoder_decoder_embeddings", true)?;
    fields.expect("normalize_before", false)?;
    fields.expect("normalize_embedding", false)?;
    let pad = fields.get("pad_token_id")?;
    let begin = fields.or("decoder_start_token_id", pad)?;
    let specials = Specials { pad, begin, end: fields.or("eos_token_id", 0)? };
    let config = sizes(fields, specials)?.with_positions(BartPositions::Sines).with_embedding_norm(false);
    config.load(fields, file, CARD)
}
