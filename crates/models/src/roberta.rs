//! RoBERTa: BERT trained for longer, on more text, and without telling two texts apart.
//!
//! Liu et al., "RoBERTa", 2019, arXiv:1907.11692. The network is [`Bert`]; positions are counted from the number after the padding
//! token's, which has none itself. XLM-RoBERTa (Conneau et al. 2020, arXiv:1911.02116) and CamemBERT (Martin et al. 2020,
//! arXiv:1911.03894) are the same with other tokens.

use regard::catalogue::{Card, Family};

use crate::activation::Activation;
use crate::bert::{self, Bert, BertConfig};
use crate::error::{Error, Result};
use crate::pretrained::encoders::Layout;
use crate::pretrained::{Checkpoint, Fields};

/// See the module's page.
pub const CARD: Card = Card {
    name: "RoBERTa",
    family: Family::Models,
    sentence: "BERT trained for longer, on more text, without telling two texts apart.",
    equation: "x = norm(x + attention(x)), x = norm(x + W₂ gelu(W₁ x)); positions from the padding token's number on",
    paper: "Liu et al. 2019, arXiv:1907.11692",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d)",
    when: "Checkpoints whose config.json says roberta, xlm-roberta or camembert.",
};

pub(crate) const LAYOUT: Layout = Layout {
    card: CARD,
    prefix: "roberta.",
    names: bert::NAMES,
    tokens: ["/lm_head.dense", "/lm_head.layer_norm", "/lm_head.decoder.weight", "/lm_head.bias"],
    labels: ["/classifier.dense", "/classifier.out_proj"],
};

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bert> {
    LAYOUT.open(configuration(fields)?, [Activation::Gelu, Activation::Tanh], fields, file)
}

/// BERT's, with positions that are counted from the padding token's number.
pub(crate) fn configuration(fields: &Fields) -> Result<BertConfig> {
    let config = bert::configuration(fields)?;
    let pad: u32 = fields.or("pad_token_id", 1)?;
    // The table has rows that no text comes to: up to the padding token's.
    match config.context.checked_sub(pad as usize + 1) {
        Some(context) if (pad as usize) < config.vocabulary => Ok(config.with_context(context).with_pad(Some(pad))),
        _ => Err(Error::Config {
            argument: "pad_token_id",
            given: pad.to_string(),
            expected: format!("a token of {} and less than {} positions", config.vocabulary, config.context),
        }),
    }
}
