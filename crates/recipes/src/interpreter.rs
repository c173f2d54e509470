//! A trained translator: sentences in, sentences out, and what it looked at.
//!
//! On disk a model is a folder with `config.json` (the architecture), `model.safetensors` (the weights) and `tokenizer.json`: as
//! `regard train translate` writes it, or in Hugging Face's layout (T5, BART, Marian), which also summarises.

mod states;
mod teaching;

use std::path::Path;
use std::sync::Arc;

use crate::data::hub::HubTokenizer;
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use crate::folder::{self, CONFIG, WEIGHTS, parse_json, read_json};
use crate::presets::{Architecture, Network, with_network};
use burn::module::Module;
use burn::tensor::Device;
use regard_explain::{Evidence, Site as TraceSite, Trace};
use regard_models::pretrained::{self, Pretrained, is_pretrained};
use regard_models::weights;
use regard_models::{EncoderDecoder, Padded, Search, Sight, Site, Translator, search};

/// The tokenizer's file in a model's folder.
pub const TOKENIZER: &str = "tokenizer.json";

/// A network with its tokenizer.
#[derive(Clone)]
pub struct Interpreter {
    model: Model,
    words: Words,
    name: String,
    search: Search,
}

/// A network that was trained here, or one that came as a checkpoint.
#[derive(Clone)]
enum Model {
    Own(Box<Network>),
    Hub(Arc<dyn EncoderDecoder>),
}

/// The tokenizer of the one or the other.
#[derive(Clone)]
enum Words {
    Own(Box<Tokenizer>),
    Hub(HubTokenizer),
}

/// Runs the expression with whichever network it is.
macro_rules! with_model {
    ($interpreter:expr, $model:ident => $body:expr) => {
        match &$interpreter.model {
            Model::Own(network) => with_network!(&**network, $model => $body),
            Model::Hub(shared) => {
                let $model = &**shared;
                $body
            }
        }
    };
}
use with_model;

/// A translated sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Translation {
    /// The source as given.
    pub source: String,
    /// The target.
    pub target: String,
    /// Token ids of the source, without the end.
    pub source_ids: Vec<u32>,
    /// Token ids of the target, without the end.
    pub target_ids: Vec<u32>,
    /// `log p(target) / length^penalty`.
    pub score: f32,
    /// Whether the target ended by itself rather than at the limit.
    pub ended: bool,
}

impl Interpreter {
    /// Reads a model's folder.
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the others.
    pub fn load(folder: &Path) -> Result<Self> {
        if is_pretrained(folder)? {
            return match pretrained::open(folder)? {
                Pretrained::Translator(model) => Self::of(folder, model),
                _ => {
                    let problem = "a model that writes no text for a text, expected an encoder–decoder".into();
                    Err(Error::Content { path: folder.join(CONFIG), problem })
                }
            };
        }
        let architecture: Architecture = read_json(&folder.join(CONFIG))?;
        let tokenizer = Tokenizer::load(folder.join(TOKENIZER))?;
        let path = folder.join(WEIGHTS);
        let bytes =
            std::fs::read(&path).map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
        let name = folder.file_name().map_or("model".into(), |name| name.to_string_lossy().into_owned());
        Self::new(name, architecture, tokenizer, &bytes, &path)
    }

    /// A model whose files are in memory; `origin` names them in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_parts(name: &str, config: &str, tokenizer: &str, weights: &[u8], origin: &Path) -> Result<Self> {
        let architecture = parse_json(config, &origin.join(CONFIG))?;
        let tokenizer = Tokenizer::from_json(tokenizer)?;
        Self::new(name.to_owned(), architecture, tokenizer, weights, &origin.join(WEIGHTS))
    }

    /// A checkpoint's model with the tokenizer beside it.
    pub(crate) fn of(folder: &Path, model: Box<dyn EncoderDecoder>) -> Result<Self> {
        let words = Words::Hub(HubTokenizer::open(folder, EncoderDecoder::vocabulary(&*model))?);
        let name = folder.file_name().map_or("model".into(), |name| name.to_string_lossy().into_owned());
        Ok(Interpreter { model: Model::Hub(model.into()), words, name, search: pretrained::search(folder)? })
    }

    fn new(name: String, architecture: Architecture, tokenizer: Tokenizer, bytes: &[u8], path: &Path) -> Result<Self> {
        let content = |problem: String| Error::Content { path: path.to_owned(), problem };
        if architecture.vocabulary() != tokenizer.vocab_size() {
            let (model, tokens) = (architecture.vocabulary(), tokenizer.vocab_size());
            return Err(content(format!("the model has {model} tokens, its tokenizer {tokens}")));
        }
        // A configuration may claim any size; the weights must be there to back it before memory is taken for it.
        folder::holds(bytes.len(), architecture.numbers()).map_err(content)?;
        let network = match architecture.init(&Device::default())? {
            Network::Transformer(model) => Network::Transformer(weights::from_bytes(model, bytes, path)?),
            Network::Seq2Seq(model) => Network::Seq2Seq(weights::from_bytes(model, bytes, path)?),
        };
        let (model, words) = (Model::Own(network.into()), Words::Own(tokenizer.into()));
        Ok(Interpreter { model, words, name, search: Search::default() })
    }

    /// What it is called: its folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its authors search with it.
    pub fn search(&self) -> Search {
        self.search
    }

    /// The tokens that a text stands for, without those that the network puts around it.
    ///
    /// # Errors
    /// When the tokenizer cannot cut it.
    pub(crate) fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        match &self.words {
            Words::Own(tokenizer) => Ok(tokenizer.encode(text)?),
            Words::Hub(tokenizer) => {
                let mut ids = tokenizer.encode(text)?;
                let end = with_model!(self, model => Translator::specials(model)).end;
                // The search adds it itself.
                ids.pop_if(|id| *id == end);
                Ok(ids)
            }
        }
    }

    /// The tokenizer of a model that reads text which is cut into tokens already, such as letters.
    pub(crate) fn segmented(&self) -> Option<&Tokenizer> {
        match &self.words {
            Words::Own(tokenizer) if tokenizer.is_segmented() => Some(tokenizer),
            _ => None,
        }
    }

    /// A token as an axis shows it.
    pub(crate) fn token(&self, id: u32) -> String {
        match &self.words {
            Words::Own(tokenizer) => tokenizer.token(id),
            Words::Hub(tokenizer) => tokenizer.shown(id),
        }
    }

    /// The text of tokens.
    pub(crate) fn spelt(&self, ids: &[u32]) -> Result<String> {
        Ok(match &self.words {
            Words::Own(tokenizer) => tokenizer.decode(ids)?,
            Words::Hub(tokenizer) => tokenizer.decode(ids)?,
        })
    }

    /// The most tokens that a sentence may have.
    pub fn longest(&self) -> usize {
        with_model!(self, model => Translator::longest(model)) - 1
    }

    /// Translates sentences as one batch; similar lengths waste the least.
    ///
    /// # Errors
    /// When a sentence is blank or too long, or the search's options make no sense.
    pub fn translate<S: AsRef<str>>(&self, sentences: &[S], how: &Search) -> Result<Vec<Translation>> {
        let mut sources = Vec::with_capacity(sentences.len());
        for sentence in sentences {
            sources.push(self.encode(sentence.as_ref())?);
        }
        let found = with_model!(self, model => search(model, &sources, how)?);
        sentences
            .iter()
            .zip(sources)
            .zip(found)
            .map(|((sentence, source_ids), found)| {
                Ok(Translation {
                    source: sentence.as_ref().to_owned(),
                    target: self.spelt(&found.ids)?,
                    source_ids,
                    target_ids: found.ids,
                    score: found.score,
                    ended: found.ended,
                })
            })
            .collect()
    }

    /// The token ids of a sentence that can be translated.
    ///
    /// # Errors
    /// When it is blank or has more tokens than the model takes.
    pub fn encode(&self, sentence: &str) -> Result<Vec<u32>> {
        let ids = if sentence.trim().is_empty() { Vec::new() } else { self.tokens(sentence)? };
        if ids.is_empty() {
            return Err(Error::option("sentence", "blank", "at least one word"));
        }
        let longest = self.longest();
        if ids.len() > longest {
            let given = format!("{} tokens long", ids.len());
            return Err(Error::option("sentence", given, format!("at most {longest}; split it into sentences")));
        }
        Ok(ids)
    }

    /// Everything that the network looked at while it read the source and wrote the target: encoder, decoder and cross
    /// attention of every layer and head. Rows of the target are the tokens being written, up to the end.
    ///
    /// # Errors
    /// When the weights cannot be recomputed.
    pub fn trace(&self, translation: &Translation) -> Result<Trace> {
        let specials = with_model!(self, model => Translator::specials(model));
        let vocabulary = with_model!(self, model => Translator::vocabulary(model));
        let source: Vec<u32> = translation.source_ids.iter().copied().chain([specials.end]).collect();
        let read: Vec<u32> = [specials.begin].into_iter().chain(translation.target_ids.iter().copied()).collect();
        let mut sights: Vec<Sight> = Vec::new();
        let (source, read) = (vec![source], vec![read]);
        let padded = (Padded::new(&source, specials.pad, vocabulary)?, Padded::new(&read, specials.pad, vocabulary)?);
        with_model!(self, model => {
            model.forward(&padded.0, &padded.1, regard::Mode::Evaluate, Some(&mut sights))?
        });
        let mut trace = Trace::new(translation.source.clone(), self.name.clone());
        let tokens = |ids: &[u32]| -> Vec<String> { ids.iter().map(|&id| self.token(id)).collect() };
        let source_axis = trace.add_axis("source", tokens(&source[0]));
        let written: Vec<u32> = translation.target_ids.iter().copied().chain([specials.end]).collect();
        let target_axis = trace.add_axis("target", tokens(&written));
        // In decoder self attention the keys are the tokens read, one behind those written.
        let read_axis = trace.add_axis("target read", tokens(&read[0]));
        for sight in sights {
            let weights = sight.weights()?;
            let [_, heads, _, _] = weights.dims();
            let (queries, keys) = match sight.site {
                Site::EncoderSelf => (source_axis, source_axis),
                Site::DecoderSelf => (target_axis, read_axis),
                Site::Cross => (target_axis, source_axis),
            };
            let weights = weights.into_data().try_into_vec().expect("weights are f32");
            trace.add_site(TraceSite {
                name: sight.site.name().into(),
                layer: sight.layer,
                queries,
                keys,
                heads,
                evidence: Evidence::Weights(weights.into()),
            })?;
        }
        Ok(trace)
    }
}

impl Architecture {
    /// How many numbers the weights have at least.
    pub(crate) fn numbers(&self) -> usize {
        let (rows, width, layers) = match self {
            Architecture::Transformer(c) => {
                let layers = c.encoder_layers.saturating_add(c.decoder_layers);
                let layer = c.width.saturating_mul(c.width.saturating_mul(2).saturating_add(c.inner));
                // However narrow, a layer has a dozen tensors that the file's header names in 50 bytes each or more.
                let layer = layer.saturating_add(300);
                (c.vocabulary, c.width, layers.saturating_mul(layer))
            }
            Architecture::Seq2Seq(c) => {
                let state = c.hidden.saturating_mul(c.hidden.saturating_add(c.alignment).saturating_add(c.readout));
                (c.vocabulary, c.embedded, state)
            }
        };
        rows.saturating_mul(width).saturating_add(layers)
    }
}

/// Writes a model's folder, weights as f16, each file whole or not at all.
pub(crate) fn write_model<M: Translator + Module>(
    folder: &Path,
    model: &M,
    architecture: &Architecture,
    tokenizer: &Tokenizer,
) -> Result<()> {
    folder::write(folder, model, architecture)?;
    Ok(tokenizer.save(folder.join(TOKENIZER))?)
}
