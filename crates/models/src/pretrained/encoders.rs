//! What the checkpoints of encoders have in common: a body, under a prefix if something is beside it, and heads that may be there.

use std::collections::BTreeMap;

use burn::tensor::Device;
use regard::catalogue::Card;

use super::checkpoint::wrong;
use super::names::{Names, Source, load};
use super::{Checkpoint, Fields, check_layers};
use crate::activation::Activation;
use crate::bert::{Bert, BertConfig};
use crate::error::Result;
use crate::heads::{LabelHeadConfig, TokenHeadConfig};

/// What a family calls its tensors. A name that begins with `/` has no prefix.
pub(crate) struct Layout<'a> {
    /// The family's.
    pub card: Card,
    /// What precedes the body's names where there is a head.
    pub prefix: &'static str,
    /// Of the body.
    pub names: Names<'a>,
    /// Of the head for hidden tokens: its linear layer, norm, table and bias.
    pub tokens: [&'static str; 4],
    /// Of the head for labels: its two linear layers.
    pub labels: [&'static str; 2],
}

impl Layout<'_> {
    /// The model of a checkpoint, with the heads whose tensors are there; `activations` are those of the heads for tokens and for labels.
    pub(crate) fn open(
        &self,
        config: BertConfig,
        activations: [Activation; 2],
        fields: &Fields,
        file: &Checkpoint,
    ) -> Result<Bert> {
        check_layers(fields, file, config.distinct.unwrap_or(config.layers))?;
        let prefix = if file.names().any(|name| name.starts_with(self.prefix)) { self.prefix } else { "" };
        let weight = |name: &str| match name.strip_prefix('/') {
            Some(whole) => format!("{whole}.weight"),
            None => format!("{prefix}{name}.weight"),
        };
        let mut names = self.names.to_vec();
        let [dense, norm, table, bias] = self.tokens;
        let tokens = file
            .has(&weight(dense))
            .then_some(TokenHeadConfig { activation: activations[0], tied: fields.or("tie_word_embeddings", true)? });
        names.extend([
            ("tokens.dense", Source::At(dense)),
            ("tokens.norm", Source::At(norm)),
            ("tokens.head", Source::At(table)),
            ("tokens.bias", Source::At(bias)),
        ]);
        // A classifier of tokens may have the name of the second layer, but has no first.
        let [dense, output] = self.labels;
        let count = file.shape(&weight(output)).and_then(<[usize]>::first).filter(|_| file.has(&weight(dense)));
        let labels = match count {
            Some(&count) => Some(LabelHeadConfig { activation: activations[1], names: label_names(fields, count)? }),
            None => None,
        };
        names.extend([("labels.dense", Source::At(dense)), ("labels.output", Source::At(output))]);
        let config = config.with_tokens(tokens).with_labels(labels);
        Ok(load(config.init(&Device::default())?, file, prefix, &names)?.called(self.card))
    }
}

/// What `id2label` calls so many labels; `LABEL_0` and so on where it is missing, as transformers says.
fn label_names(fields: &Fields, count: usize) -> Result<Vec<String>> {
    let Some(mut names) = fields.maybe::<BTreeMap<usize, String>>("id2label")? else {
        return Ok((0..count).map(|label| format!("LABEL_{label}")).collect());
    };
    let known = names.len();
    let all: Option<Vec<String>> = (0..count).map(|label| names.remove(&label)).collect();
    all.filter(|_| known == count).ok_or_else(|| {
        wrong(fields.path(), format!("id2label names {known} labels, the classifier has {count}, counted from 0"))
    })
}
