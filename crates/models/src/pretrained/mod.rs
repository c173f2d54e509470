//! Models that the world trained, from a folder in Hugging Face's layout: `config.json` says what the network is, and
//! `model.safetensors`, whole or in shards, has its weights.
//!
//! A family says in its own file what its configuration means and what its tensors are called; here is what all share. Weights are mapped into memory and stay in the type they are stored in, also while they are used.
//!
//! ```no_run
//! use std::path::Path;
//! use regard_models::pretrained::{self, Pretrained};
//!
//! match pretrained::open(Path::new("Qwen2-0.5B"))? {
//!     Pretrained::Decoder(model) => println!("{} goes on with a text of up to {} tokens", model.card().name, model.context()),
//!     Pretrained::Encoder(model) => println!("{} reads a text", model.card().name),
//!     Pretrained::Translator(model) => println!("{} writes a text for a text", model.card().name),
//! }
//! # Ok::<(), regard_models::Error>(())
//! ```

mod checkpoint;
pub(crate) mod encoders;
mod fields;
pub mod gguf;
pub(crate) mod names;
mod wishes;

use std::path::Path;

use crate::bert::Bert;
use crate::encoder::Encoder;
use crate::encoder_decoder::EncoderDecoder;
use crate::error::Result;
use crate::language::LanguageModel;
use crate::{albert, bart, bert, bigbird, distilbert, gemma2, gpt, gpt_neox, llama};
use crate::{longformer, marian, mistral, qwen2, roberta, t5};

pub use checkpoint::Checkpoint;
pub use fields::Fields;
pub use wishes::search;

/// A model of one of the kinds.
#[derive(Debug)]
pub enum Pretrained {
    /// It goes on with a text.
    Decoder(Box<dyn LanguageModel>),
    /// It reads a text.
    Encoder(Box<dyn Encoder>),
    /// It writes a text for a text; [`search()`](crate::search()) runs it, and [`search`] says how its authors did.
    Translator(Box<dyn EncoderDecoder>),
}

/// What makes a family's model of its configuration and tensors.
type Open = fn(&Fields, &Checkpoint) -> Result<Pretrained>;

/// `model_type` of the configurations that are known.
const FAMILIES: &[(&str, Open)] = &[
    ("albert", |fields, file| encoder(albert::open(fields, file)?)),
    ("bart", |fields, file| translator(bart::open(fields, file)?)),
    ("bert", |fields, file| encoder(bert::open(fields, file)?)),
    ("big_bird", |fields, file| encoder(bigbird::open(fields, file)?)),
    ("camembert", |fields, file| encoder(roberta::open(fields, file)?)),
    ("distilbert", |fields, file| encoder(distilbert::open(fields, file)?)),
    ("gemma2", |fields, file| decoder(gemma2::open(fields, file)?)),
    ("gpt2", |fields, file| decoder(gpt::open(fields, file)?)),
    ("gpt_neox", |fields, file| decoder(gpt_neox::open(fields, file)?)),
    ("llama", |fields, file| decoder(llama::open(fields, file)?)),
    ("longformer", |fields, file| encoder(longformer::open(fields, file)?)),
    ("marian", |fields, file| translator(marian::open(fields, file)?)),
    ("mbart", |fields, file| translator(bart::open_mbart(fields, file)?)),
    ("mistral", |fields, file| decoder(mistral::open(fields, file)?)),
    ("mt5", |fields, file| translator(t5::open_mt5(fields, file)?)),
    ("qwen2", |fields, file| decoder(qwen2::open(fields, file)?)),
    ("roberta", |fields, file| encoder(roberta::open(fields, file)?)),
    ("t5", |fields, file| translator(t5::open(fields, file)?)),
    ("xlm-roberta", |fields, file| encoder(roberta::open(fields, file)?)),
];

fn decoder(model: impl LanguageModel + 'static) -> Result<Pretrained> {
    Ok(Pretrained::Decoder(Box::new(model)))
}

fn encoder(model: Bert) -> Result<Pretrained> {
    Ok(Pretrained::Encoder(Box::new(model)))
}

fn translator(model: impl EncoderDecoder + 'static) -> Result<Pretrained> {
    Ok(Pretrained::Translator(Box::new(model)))
}

/// The model in a folder.
///
/// # Errors
/// When the configuration is missing, of an unknown architecture or makes no model, and as [`Checkpoint::open`]; also when a tensor
/// is missing, has another shape than the configuration says, or a number that is not finite.
pub fn open(folder: &Path) -> Result<Pretrained> {
    let fields = Fields::open(folder)?;
    let kind: String = fields.get("model_type")?;
    let Some((_, open)) = FAMILIES.iter().find(|(name, _)| *name == kind) else {
        let known: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
        let reason = format!("model_type is {kind:?}, expected one of {}", known.join(", "));
        return Err(checkpoint::wrong(fields.path(), reason));
    };
    open(&fields, &Checkpoint::open(folder)?)
}

/// Whether a folder has the configuration of such a model, and not of one that was trained here.
///
/// # Errors
/// When it has a configuration that cannot be read.
pub fn is_pretrained(folder: &Path) -> Result<bool> {
    Ok(folder.join(fields::NAME).exists() && Fields::open(folder)?.maybe::<String>("model_type")?.is_some())
}

/// Refuses a configuration that claims more layers than the file has tensors: whatever it claims, memory is taken only for what is there.
pub(crate) fn check_layers(fields: &Fields, file: &Checkpoint, layers: usize) -> Result<()> {
    if layers <= file.count() {
        return Ok(());
    }
    Err(checkpoint::wrong(fields.path(), format!("{layers} layers, the weights have {} tensors", file.count())))
}

/// Of the names of a tensor that is kept once, the first that the file has; the first of all where it has none.
pub(crate) fn any_of(file: &Checkpoint, prefix: &str, names: &[&'static str]) -> &'static str {
    names.iter().find(|name| file.has(&format!("{prefix}{name}"))).unwrap_or(&names[0])
}
