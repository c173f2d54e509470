//! Gemma 2: LLaMA with norms on both sides of a layer's parts, bounded scores, and a window in every other layer.
//!
//! Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", 2024, arXiv:2408.00118. The network is [`Llama`] with
//! [`Gemma`]; norms count their scale from 1, and the head is the embedding.

use regard::catalogue::{Card, Family};

use crate::error::Result;
use crate::llama::{self, Gemma, Llama, Windowed};
use crate::pretrained::names::{Names, Source};
use crate::pretrained::{Checkpoint, Fields};

/// See the module's page.
pub const CARD: Card = Card {
    name: "Gemma2",
    family: Family::Models,
    sentence: "LLaMA with norms around every part, bounded scores, and a window in every other layer.",
    equation: "x + norm(attention(norm(x))), x + norm(W_down (gelu(W_gate norm(x)) ∘ W_up norm(x))); e = c tanh(q·k / (c √s))",
    paper: "Gemma Team 2024, arXiv:2408.00118",
    cost: "time O(L²·d + L·d²) a layer, half of them O(L·window·d + L·d²); memory O(L·d)",
    when: "Checkpoints whose config.json says gemma2. `regard generate` and `regard inspect` run them.",
};

const NAMES: Names = &[
    ("layers.#.attention_norm", Source::OneMore("layers.#.input_layernorm")),
    ("layers.#.seen_norm", Source::OneMore("layers.#.post_attention_layernorm")),
    ("layers.#.feed_forward_norm", Source::OneMore("layers.#.pre_feedforward_layernorm")),
    ("layers.#.found_norm", Source::OneMore("layers.#.post_feedforward_layernorm")),
    ("norm", Source::OneMore("norm")),
];

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Llama> {
    let config = llama::configuration(fields)?;
    let windowed = match fields.maybe::<Vec<String>>("layer_types")? {
        Some(kinds) => kinds.iter().map(|kind| kind == "sliding_attention").collect(),
        None => (0..config.layers.min(file.count())).map(|layer| layer % 2 == 0).collect(),
    };
    let gemma = Gemma {
        scale_width: fields.or("query_pre_attn_scalar", 256)?,
        score_cap: fields.maybe("attn_logit_softcapping")?,
        token_cap: fields.maybe("final_logit_softcapping")?,
    };
    let config = config
        .with_head_width(Some(fields.or("head_dim", 256)?))
        .with_tied(fields.or("tie_word_embeddings", true)?)
        .with_activation(fields.activation("hidden_activation", "gelu_pytorch_tanh")?)
        .with_bias(fields.or("attention_bias", false)?)
        .with_window(fields.maybe("sliding_window")?)
        .with_windowed(Windowed::Some(windowed))
        .with_gemma(Some(gemma));
    config.load(fields, file, CARD, &[NAMES, llama::NAMES].concat())
}
