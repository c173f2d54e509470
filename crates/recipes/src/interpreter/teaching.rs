//! A translator that is given its translation: what it makes of a source and a target, and what it is made of.

use burn::tensor::Tensor;
use regard::Mode;
use regard_models::{Classifier, Padded, Sight, Specials, Translator, weights};

use super::{Interpreter, Model, Words, with_model};
use crate::data::tokenizer::UNK;
use crate::error::Result;
use crate::presets::{Network, with_network};

impl Interpreter {
    /// The same with nothing learned; see [`weights::shuffled`].
    pub fn shuffled(&self, seed: u64) -> Self {
        let model = match &self.model {
            Model::Own(network) => Model::Own(Box::new(match &**network {
                Network::Transformer(model) => Network::Transformer(weights::shuffled(model.clone(), seed)),
                Network::Seq2Seq(model) => Network::Seq2Seq(weights::shuffled(model.clone(), seed)),
            })),
            Model::Hub(model) => Model::Hub(model.shuffled(seed).into()),
        };
        Interpreter { model, ..self.clone() }
    }

    /// What the tokens of targets are read from, `[row · position, width]`, and what reads them.
    pub(crate) fn states(
        &self,
        source: &Padded,
        target: &Padded,
        mode: Mode,
        sights: Option<&mut Vec<Sight>>,
    ) -> Result<(Tensor<2>, Classifier)> {
        with_model!(self, model => {
            Ok((Translator::states(model, source, target, mode, sights)?, Translator::classifier(model)))
        })
    }

    /// The ids with a meaning of their own.
    pub(crate) fn specials(&self) -> Specials {
        with_model!(self, model => Translator::specials(model))
    }

    /// How many tokens there are.
    pub(crate) fn vocabulary(&self) -> usize {
        with_model!(self, model => Translator::vocabulary(model))
    }

    /// A token that stands for nothing in particular, and what it is called: the unknown one, or else padding.
    pub(crate) fn unknown(&self) -> (u32, String) {
        let (id, name) = match &self.words {
            Words::Own(tokenizer) => (UNK, tokenizer.piece(UNK)),
            Words::Hub(tokenizer) => {
                let found = ["<unk>", "[UNK]", "<pad>"].iter().find_map(|name| Some((tokenizer.id(name)?, *name)));
                let (id, name) = found.unwrap_or_else(|| (self.specials().pad, ""));
                (id, if name.is_empty() { tokenizer.token(id) } else { name.to_owned() })
            }
        };
        (id, format!("the token {name}"))
    }
}
