//! Models made of attention: the Transformer, the recurrent networks it grew out of, and the families that came of it.
//!
//! An encoder–decoder is a [`Translator`]: it trains on pairs of token sequences, writes one token after another, and
//! says what it looked at. [`search()`] turns any of them into a translator of sentences. Those made of attention alone, [`Transformer`],
//! [`T5`] and [`Bart`], say what their layers are, and are translators as [`EncoderDecoder`]s.
//!
//! A [`LanguageModel`] is a decoder alone, such as [`Gpt`] or [`Llama`]; a [`Continuation`] goes on with a text. An [`Encoder`] reads
//! one: [`Bert`] and its descendants. A [`Gat`] gives the nodes of a graph their labels. [`pretrained`] opens the checkpoints of all
//! these families.
//!
//! ```
//! use regard_models::{Search, Specials, TransformerConfig, search};
//! use burn::tensor::Device;
//!
//! let specials = Specials { pad: 0, begin: 1, end: 2 };
//! let config = TransformerConfig::new(20, specials).with_width(16).with_heads(2).with_inner(32);
//! let model = config.init(&Device::default())?;
//!
//! // Untrained, it writes nonsense, but it writes.
//! let found = search(&model, &[vec![3, 4, 5], vec![6]], &Search::default())?;
//! assert_eq!(found.len(), 2);
//! # Ok::<(), regard_models::Error>(())
//! ```

mod activation;
mod albert;
mod bart;
mod bert;
mod bigbird;
mod distilbert;
mod encoder;
mod encoder_decoder;
mod error;
mod gat;
mod gemma2;
mod gpt;
mod gpt_neox;
mod language;
mod layers;
mod llama;
pub mod llama2c;
mod longformer;
mod marian;
mod mistral;
mod padded;
pub mod pretrained;
mod qwen2;
mod recurrent;
mod roberta;
mod rope;
mod sample;
mod search;
mod seq2seq;
mod t5;
mod transformer;
mod translator;
pub mod weights;

pub use activation::Activation;
pub use albert::CARD as ALBERT;
pub use bart::{Bart, BartConfig, BartPositions, CARD as BART};
pub use bert::{
    Bert, BertConfig, BertLayer, CARD as BERT, LabelHead, LabelHeadConfig, Pattern, SelfAttention, TokenHead,
    TokenHeadConfig,
};
pub use bigbird::{BlockSparse, CARD as BIG_BIRD};
pub use distilbert::CARD as DISTIL_BERT;
pub use encoder::Encoder;
pub use encoder_decoder::{AttendAt, EncoderDecoder, Half, TransformerState};
pub use error::{Error, Result};
pub use gat::{CARD as GAT, Gat, GatConfig, GatOutput};
pub use gemma2::CARD as GEMMA2;
pub use gpt::{CARD as GPT, Gpt, GptConfig, GptLayer};
pub use gpt_neox::{CARD as GPT_NEOX, GptNeox, GptNeoxConfig, GptNeoxLayer};
pub use language::{Attend, DecoderState, LanguageModel};
pub use layers::{DecoderLayer, EncoderLayer, FeedForward, Norm};
pub use llama::{CARD as LLAMA, Gemma, Llama, LlamaConfig, LlamaLayer, Windowed};
pub use longformer::CARD as LONGFORMER;
pub use marian::CARD as MARIAN;
pub use mistral::CARD as MISTRAL;
pub use padded::Padded;
pub use qwen2::CARD as QWEN2;
pub use recurrent::{Bidirectional, Gru};
pub use roberta::CARD as ROBERTA;
pub use sample::{Continuation, Sampling};
pub use search::{Hypothesis, Search, search};
pub use seq2seq::{BAHDANAU, Decoding, LUONG, Seq2Seq, Seq2SeqConfig, Seq2SeqState};
pub use t5::{CARD as T5_CARD, T5, T5Attention, T5Config, T5FeedForward, T5Layer, T5Stack};
pub use transformer::{CARD as TRANSFORMER, Transformer, TransformerConfig};
pub use translator::{Classifier, Sight, Site, Specials, Translator};
