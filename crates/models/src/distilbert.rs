//! DistilBERT: half of BERT's layers, taught by BERT to say what it says.
//!
//! Sanh et al., "DistilBERT, a distilled version of BERT", 2019, arXiv:1910.01108. The network is [`Bert`] without segments.

use regard::catalogue::{Card, Family};

use crate::activation::Activation;
use crate::bert::{Bert, BertConfig};
use crate::error::Result;
use crate::pretrained::encoders::Layout;
use crate::pretrained::names::{Names, Source};
use crate::pretrained::{Checkpoint, Fields};

/// See the module's page.
pub const CARD: Card = Card {
    name: "DistilBERT",
    family: Family::Models,
    sentence: "Half of BERT's layers, taught by BERT to say what it says.",
    equation: "x = norm(x + attention(x)), x = norm(x + W₂ gelu(W₁ x)); no segments",
    paper: "Sanh et al. 2019, arXiv:1910.01108",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d)",
    when: "Where BERT is too slow. Checkpoints whose config.json says distilbert.",
};

const NAMES: Names = &[
    ("embedding", Source::At("embeddings.word_embeddings.weight")),
    ("position_embedding", Source::At("embeddings.position_embeddings.weight")),
    ("norm", Source::At("embeddings.LayerNorm")),
    ("layers.#.attention.Masked.query", Source::At("transformer.layer.#.attention.q_lin")),
    ("layers.#.attention.Masked.key", Source::At("transformer.layer.#.attention.k_lin")),
    ("layers.#.attention.Masked.value", Source::At("transformer.layer.#.attention.v_lin")),
    ("layers.#.attention.Masked.output", Source::At("transformer.layer.#.attention.out_lin")),
    ("layers.#.attention_norm", Source::At("transformer.layer.#.sa_layer_norm")),
    ("layers.#.inner", Source::At("transformer.layer.#.ffn.lin1")),
    ("layers.#.outer", Source::At("transformer.layer.#.ffn.lin2")),
    ("layers.#.feed_forward_norm", Source::At("transformer.layer.#.output_layer_norm")),
];

const LAYOUT: Layout = Layout {
    card: CARD,
    prefix: "distilbert.",
    names: NAMES,
    tokens: ["/vocab_transform", "/vocab_layer_norm", "/vocab_projector.weight", "/vocab_projector.bias"],
    labels: ["/pre_classifier", "/classifier"],
};

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bert> {
    let activation = fields.activation("activation", "gelu")?;
    let config = BertConfig::new(fields.get("vocab_size")?)
        .with_context(fields.or("max_position_embeddings", 512)?)
        .with_width(fields.or("dim", 768)?)
        .with_inner(fields.or("hidden_dim", 3072)?)
        .with_heads(fields.or("n_heads", 12)?)
        .with_layers(fields.or("n_layers", 6)?)
        .with_segments(0)
        .with_activation(activation);
    LAYOUT.open(config, [activation, Activation::Relu], fields, file)
}
