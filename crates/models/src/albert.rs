//! ALBERT: BERT whose layers are one layer, run again and again, and whose tokens are embedded in fewer features.
//!
//! `x = W norm(E[token] + P[position] + S[segment])`, then the same layer each time. Lan et al., "ALBERT", ICLR 2020,
//! arXiv:1909.11942. The network is [`Bert`]; it saves memory, not time.

use regard::catalogue::{Card, Family};

use crate::activation::Activation;
use crate::bert::{self, Bert};
use crate::error::Result;
use crate::pretrained::encoders::Layout;
use crate::pretrained::names::{Names, Source};
use crate::pretrained::{Checkpoint, Fields};

/// See the module's page.
pub const CARD: Card = Card {
    name: "ALBERT",
    family: Family::Models,
    sentence: "BERT whose layers are one layer, run again and again, over tokens embedded in fewer features.",
    equation: "x₀ = W norm(E[token] + …); x = norm(x + attention(x)), x = norm(x + W₂ gelu(W₁ x)), the same each time",
    paper: "Lan et al. 2020, arXiv:1909.11942",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d); weights of a layer or a few",
    when: "Where weights must be small. Checkpoints whose config.json says albert.",
};

const NAMES: Names = &[
    ("embedding", Source::At("embeddings.word_embeddings.weight")),
    ("position_embedding", Source::At("embeddings.position_embeddings.weight")),
    ("segment_embedding", Source::At("embeddings.token_type_embeddings.weight")),
    ("norm", Source::At("embeddings.LayerNorm")),
    ("mapping", Source::At("encoder.embedding_hidden_mapping_in")),
    ("layers.#.attention.Masked.query", Source::At("encoder.albert_layer_groups.#.albert_layers.0.attention.query")),
    ("layers.#.attention.Masked.key", Source::At("encoder.albert_layer_groups.#.albert_layers.0.attention.key")),
    ("layers.#.attention.Masked.value", Source::At("encoder.albert_layer_groups.#.albert_layers.0.attention.value")),
    ("layers.#.attention.Masked.output", Source::At("encoder.albert_layer_groups.#.albert_layers.0.attention.dense")),
    ("layers.#.attention_norm", Source::At("encoder.albert_layer_groups.#.albert_layers.0.attention.LayerNorm")),
    ("layers.#.inner", Source::At("encoder.albert_layer_groups.#.albert_layers.0.ffn")),
    ("layers.#.outer", Source::At("encoder.albert_layer_groups.#.albert_layers.0.ffn_output")),
    ("layers.#.feed_forward_norm", Source::At("encoder.albert_layer_groups.#.albert_layers.0.full_layer_layer_norm")),
];

const LAYOUT: Layout = Layout {
    card: CARD,
    prefix: "albert.",
    names: NAMES,
    tokens: ["/predictions.dense", "/predictions.LayerNorm", "/predictions.decoder.weight", "/predictions.bias"],
    labels: ["pooler", "/classifier"],
};

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bert> {
    // No published model repeats layers within a group.
    fields.expect("inner_group_num", 1)?;
    let activation = fields.activation("hidden_act", "gelu_new")?;
    let config = bert::configuration(fields)?
        .with_activation(activation)
        .with_embedded(Some(fields.or("embedding_size", 128)?))
        .with_distinct(Some(fields.or("num_hidden_groups", 1)?));
    LAYOUT.open(config, [activation, Activation::Tanh], fields, file)
}
