//! Longformer: RoBERTa for documents; every position sees a window, and a few global ones see all and are seen by all.
//!
//! Beltagy, Peters & Cohan, "Longformer", 2020, arXiv:2004.05150. The network is [`Bert`] with the attention
//! [`Longformer`](regard::sparse::Longformer). Where labels are read from the first position, it is global; otherwise none is, as
//! transformers has it unless told.

use regard::catalogue::{Card, Family};
use serde::Deserialize;

use crate::activation::Activation;
use crate::bert::{self, Bert, Pattern};
use crate::error::{Error, Result};
use crate::pretrained::encoders::Layout;
use crate::pretrained::names::{Names, Source};
use crate::pretrained::{Checkpoint, Fields, check_layers};
use crate::roberta;

/// See the module's page.
pub const CARD: Card = Card {
    name: "LongformerEncoder",
    family: Family::Models,
    sentence: "RoBERTa for documents: every position sees a window, and a few global ones see all.",
    equation: "x = norm(x + longformer(x)), x = norm(x + W₂ gelu(W₁ x))",
    paper: "Beltagy, Peters & Cohan 2020, arXiv:2004.05150",
    cost: "time O(L·(w + |G|)·d + L·d²) a layer, memory O(L·d)",
    when: "Documents of thousands of tokens. Checkpoints whose config.json says longformer.",
};

const NAMES: Names = &[
    ("layers.#.attention.Window.query", Source::At("encoder.layer.#.attention.self.query")),
    ("layers.#.attention.Window.key", Source::At("encoder.layer.#.attention.self.key")),
    ("layers.#.attention.Window.value", Source::At("encoder.layer.#.attention.self.value")),
    ("layers.#.attention.Window.global_query", Source::At("encoder.layer.#.attention.self.query_global")),
    ("layers.#.attention.Window.global_key", Source::At("encoder.layer.#.attention.self.key_global")),
    ("layers.#.attention.Window.global_value", Source::At("encoder.layer.#.attention.self.value_global")),
    ("layers.#.attention.Window.output", Source::At("encoder.layer.#.attention.output.dense")),
];

/// Positions that a window covers beside a query's own, both sides together.
#[derive(Deserialize)]
#[serde(untagged)]
enum Windows {
    Same(usize),
    Each(Vec<usize>),
}

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bert> {
    let config = roberta::configuration(fields)?;
    check_layers(fields, file, config.layers)?;
    let windows = match fields.or("attention_window", Windows::Same(512))? {
        Windows::Same(window) => vec![window; config.layers],
        Windows::Each(windows) => windows,
    };
    if let Some(bad) = windows.iter().find(|&&window| window == 0 || !window.is_multiple_of(2)) {
        let (given, expected) = (bad.to_string(), "even numbers above 0".into());
        return Err(Error::Config { argument: "attention_window", given, expected });
    }
    let reach = windows.iter().map(|window| window / 2).collect();
    let global = if file.has("classifier.out_proj.weight") { vec![0] } else { Vec::new() };
    let names = [NAMES, bert::NAMES].concat();
    let layout = Layout { card: CARD, prefix: "longformer.", names: &names, ..roberta::LAYOUT };
    let config = config.with_pattern(Pattern::Windows { reach, global });
    layout.open(config, [Activation::Gelu, Activation::Tanh], fields, file)
}
