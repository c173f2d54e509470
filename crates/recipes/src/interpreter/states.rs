//! Queries and keys of many sentences, for those who want a trained model's and not its translations.

use burn::tensor::Tensor;
use regard::attention::Look;
use regard_explain::{Evidence, Rule, Site as TraceSite, States, Trace};
use regard_models::{Padded, Sight, Site, Translator};

use super::{Interpreter, Model, with_model};
use crate::error::{Error, Result};
use crate::presets::with_network;

impl Interpreter {
    /// What the encoder compared while it read sentences, each on its own, laid end to end: a site for each layer, which keeps
    /// queries and keys, and a rule that a sentence sees itself alone.
    ///
    /// # Errors
    /// When a sentence is blank or too long, or the encoder has no self attention.
    pub fn read<S: AsRef<str>>(&self, sentences: &[S]) -> Result<Trace> {
        let specials = with_model!(self, model => Translator::specials(model));
        let vocabulary = with_model!(self, model => Translator::vocabulary(model));
        let (mut tokens, mut starts) = (Vec::new(), vec![0]);
        let mut layers: Vec<Vec<Look>> = Vec::new();
        for sentence in sentences {
            let source: Vec<u32> = self.encode(sentence.as_ref())?.into_iter().chain([specials.end]).collect();
            tokens.extend(source.iter().map(|&id| self.token(id)));
            starts.push(tokens.len());
            let mut sights: Vec<Sight> = Vec::new();
            let source = Padded::new(&[source], specials.pad, vocabulary)?;
            let target = Padded::new(&[[specials.begin]], specials.pad, vocabulary)?;
            with_model!(self, model => {
                model.forward(&source, &target, regard::Mode::Evaluate, Some(&mut sights))?
            });
            for sight in sights.into_iter().filter(|sight| sight.site == Site::EncoderSelf) {
                layers.resize_with(layers.len().max(sight.layer + 1), Vec::new);
                layers[sight.layer].extend(sight.looks);
            }
        }
        if layers.is_empty() {
            return Err(Error::option("model", &self.name, "an encoder with self attention, and a sentence to read"));
        }
        let mut trace = Trace::new(format!("{} sentences", sentences.len()), self.name.clone());
        let axis = trace.add_axis("source", tokens);
        for (layer, looks) in layers.into_iter().enumerate() {
            let ([_, heads, _, width], [_, key_heads, _, _]) = (looks[0].queries.dims(), looks[0].keys.dims());
            let joined = |pick: fn(&Look) -> Tensor<4>| -> Vec<f32> {
                let all = Tensor::cat(looks.iter().map(pick).collect(), 2);
                all.into_data().try_into_vec().expect("states are f32")
            };
            let states = States {
                q: joined(|look| look.queries.clone()).into(),
                k: joined(|look| look.keys.clone()).into(),
                lse: joined(|look| look.lse.clone().unsqueeze_dim(3)).into(),
                key_heads,
                width,
                scale: (width as f32).powf(-0.5),
                rules: vec![Rule::Documents(starts.clone())],
                biases: Vec::new(),
            };
            let (name, evidence) = (Site::EncoderSelf.name().into(), Evidence::States(states));
            trace.add_site(TraceSite { name, layer, queries: axis, keys: axis, heads, evidence })?;
        }
        Ok(trace)
    }
}
