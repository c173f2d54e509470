//! BERT: an encoder alone, in which every position of a text looks at all others.
//!
//! `x = norm(E[token] + P[position] + S[segment])`; layer: `x = norm(x + attention(x))`, `x = norm(x + W₂ gelu(W₁ x))`. It learns by
//! filling in hidden tokens. Devlin et al., "BERT", NAACL 2019, arXiv:1810.04805.
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d). RoBERTa, DistilBERT, ALBERT, Longformer and BigBird are this with other numbers,
//! names, or looks ([`Pattern`]). Reach for it to embed, compare and classify texts; it writes none.

mod config;
mod heads;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use regard::attention::{Look, MultiHeadAttention};
use regard::catalogue::{Card, Family};
use regard::sparse::Longformer;
use regard::{Attention, LayerNorm, Linear, Mode, Padding, ScaledDot};

use crate::activation::Activation;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::padded::{Padded, embed};
use crate::pretrained::encoders::Layout;
use crate::pretrained::names::{Names, Source};
use crate::pretrained::{Checkpoint, Fields};
use crate::translator::{Sight, Site, check_length};
use crate::weights::shuffled;

pub use config::{BertConfig, Pattern};
pub use heads::{LabelHead, LabelHeadConfig, TokenHead, TokenHeadConfig};

/// See the module's page.
pub const CARD: Card = Card {
    name: "BERT",
    family: Family::Models,
    sentence: "An encoder alone: every position of a text looks at all others.",
    equation: "x = norm(x + attention(x)), x = norm(x + W₂ gelu(W₁ x))",
    paper: "Devlin et al. 2019, arXiv:1810.04805",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d)",
    when: "To embed, compare and classify texts, and to fill in hidden words. Checkpoints whose config.json says bert.",
};

/// An encoder of text.
#[derive(Module, Debug)]
pub struct Bert {
    /// `[vocabulary, embedded]`
    pub embedding: Param<Tensor<2>>,
    /// `[position, embedded]`
    pub position_embedding: Param<Tensor<2>>,
    /// `[segment, embedded]`, if segments are told apart.
    pub segment_embedding: Option<Param<Tensor<2>>>,
    /// Of the sum of the three.
    pub norm: LayerNorm,
    /// `[embedded, width]`, if they differ.
    pub mapping: Option<Linear>,
    /// The different ones, bottom to top.
    pub layers: Vec<BertLayer>,
    /// For hidden tokens.
    pub tokens: Option<TokenHead>,
    /// For labels.
    pub labels: Option<LabelHead>,
    #[module(skip)]
    config: BertConfig,
    /// What it is called: descendants differ in numbers and looks only.
    #[module(skip)]
    card: Card,
}

/// Self attention, then a feed-forward network, each with its norm behind.
#[derive(Module, Debug)]
pub struct BertLayer {
    /// Everybody looks.
    pub attention: SelfAttention,
    /// Behind it.
    pub attention_norm: LayerNorm,
    /// `[width, inner]`
    pub inner: Linear,
    /// `[inner, width]`
    pub outer: Linear,
    /// Behind the network.
    pub feed_forward_norm: LayerNorm,
}

/// What a layer looks with.
#[derive(Module, Debug)]
pub enum SelfAttention {
    /// At what the mask shows.
    Masked(MultiHeadAttention),
    /// At a window, and from and to global positions.
    Window(Longformer),
}

impl Bert {
    /// The configuration that it was made with.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The same, known as one of its descendants.
    pub(crate) fn called(self, card: Card) -> Self {
        Bert { card, ..self }
    }

    fn check(&self, text: &Padded, segments: Option<&[u32]>) -> Result<()> {
        let wrong = |argument, given: String, expected: String| Err(Error::Input { argument, given, expected });
        if text.rows() == 0 {
            return wrong("text", "no sequence".into(), "at least 1".into());
        }
        check_length("text", text.width(), self.config.context)?;
        let vocabulary = self.config.vocabulary;
        if let Some(bad) = text.ids().iter().find(|&&id| id as usize >= vocabulary) {
            return wrong("text", format!("token id {bad}"), format!("ids below {vocabulary}"));
        }
        let Some(segments) = segments else { return Ok(()) };
        if segments.len() != text.ids().len() {
            return wrong(
                "segments",
                format!("{} numbers", segments.len()),
                format!("one for each of {} tokens", text.ids().len()),
            );
        }
        let known = self.config.segments.max(1);
        match segments.iter().find(|&&segment| segment as usize >= known) {
            Some(bad) => wrong("segments", format!("segment {bad}"), format!("numbers below {known}")),
            None => Ok(()),
        }
    }

    /// `norm(E[token] + P[position] + S[segment])`, mapped to the width of the layers.
    fn embed(&self, text: &Padded, segments: Option<&[u32]>) -> Tensor<3> {
        let shape = [text.rows(), text.width()];
        let mut x = embed(&self.embedding, text.ids(), shape);
        if self.config.rescaled {
            x = x * (self.config.width as f32).sqrt();
        }
        x = x + match self.config.pad {
            None => embed(&self.position_embedding, &(0..text.width() as u32).collect::<Vec<_>>(), [1, text.width()]),
            Some(pad) => embed(&self.position_embedding, &counted(text, pad), shape),
        };
        if let Some(table) = &self.segment_embedding {
            x = x + match segments {
                Some(segments) => embed(table, segments, shape),
                None => embed(table, &[0], [1, 1]),
            };
        }
        let x = self.norm.forward(x);
        self.mapping.iter().fold(x, |x, mapping| mapping.forward(x))
    }
}

/// Positions that are counted from the number after `pad`; this token, within a text or behind it, does not count.
fn counted(text: &Padded, pad: u32) -> Vec<u32> {
    let rows = text.ids().chunks(text.width()).zip(text.lengths());
    rows.flat_map(|(row, &length)| {
        row.iter().enumerate().scan(pad, move |last, (at, &id)| {
            let counts = at < length && id != pad;
            *last += u32::from(counts);
            Some(if counts { *last } else { pad })
        })
    })
    .collect()
}

impl SelfAttention {
    /// What was found, and, with `look`, what it takes to see the weights.
    fn forward(&self, x: Tensor<3>, how: &Looking, mode: Mode, look: bool) -> Result<(Tensor<3>, Option<Look>)> {
        match self {
            SelfAttention::Masked(heads) => {
                let out = heads.forward(x.clone(), x, &how.attention, mode)?;
                Ok((out.output, look.then_some(out.look)))
            }
            SelfAttention::Window(heads) => {
                let out = heads.forward(x, how.global, Some(how.lengths))?;
                let look = look.then(|| out.look()).transpose()?;
                Ok((out.output, look))
            }
        }
    }
}

/// What the layers of one pass have in common.
struct Looking<'a> {
    attention: Attention,
    global: &'a [usize],
    lengths: &'a [usize],
}

impl Encoder for Bert {
    fn card(&self) -> Card {
        self.card
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn context(&self) -> usize {
        self.config.context
    }

    fn width(&self) -> usize {
        self.config.width
    }

    fn states(
        &self,
        text: &Padded,
        segments: Option<&[u32]>,
        mode: Mode,
        mut sights: Option<&mut Vec<Sight>>,
    ) -> Result<Tensor<3>> {
        self.check(text, segments)?;
        let real = Attention::new(ScaledDot::default()).mask(Padding::new(text.lengths()));
        let (attention, global) = match &self.config.pattern {
            Pattern::Full => (real, &[][..]),
            Pattern::Windows { global, .. } => (real, &global[..]),
            Pattern::Blocks(blocks) => (blocks.of(text.width(), real)?, &[][..]),
        };
        let how = Looking { attention, global, lengths: text.lengths() };
        let mut x = mode.enter(self.embed(text, segments))?;
        for layer in 0..self.config.layers {
            let block = &self.layers[layer * self.layers.len() / self.config.layers];
            let (seen, look) = block.attention.forward(x.clone(), &how, mode, sights.is_some())?;
            if let (Some(sights), Some(look)) = (sights.as_deref_mut(), look) {
                sights.push(Sight { site: Site::EncoderSelf, layer, looks: vec![look] });
            }
            x = block.attention_norm.forward(x + seen);
            let inner = self.config.activation.forward(block.inner.forward(x.clone()));
            x = block.feed_forward_norm.forward(x + block.outer.forward(inner));
        }
        Ok(x)
    }

    fn fill(&self, states: Tensor<2>) -> Option<Tensor<2>> {
        self.tokens.as_ref().map(|head| head.forward(states, &self.embedding))
    }

    fn classify(&self, states: Tensor<3>) -> Option<Tensor<2>> {
        self.labels.as_ref().map(|head| head.forward(states))
    }

    fn labels(&self) -> &[String] {
        self.config.labels.as_ref().map_or(&[], |head| &head.names)
    }

    fn shuffled(&self, seed: u64) -> Box<dyn Encoder> {
        Box::new(shuffled(self.clone(), seed))
    }
}

/// What Hugging Face calls the tensors that BERT, RoBERTa, Longformer and BigBird have in common.
pub(crate) const NAMES: Names = &[
    ("embedding", Source::At("embeddings.word_embeddings.weight")),
    ("position_embedding", Source::At("embeddings.position_embeddings.weight")),
    ("segment_embedding", Source::At("embeddings.token_type_embeddings.weight")),
    ("norm", Source::At("embeddings.LayerNorm")),
    ("layers.#.attention.Masked.query", Source::At("encoder.layer.#.attention.self.query")),
    ("layers.#.attention.Masked.key", Source::At("encoder.layer.#.attention.self.key")),
    ("layers.#.attention.Masked.value", Source::At("encoder.layer.#.attention.self.value")),
    ("layers.#.attention.Masked.output", Source::At("encoder.layer.#.attention.output.dense")),
    ("layers.#.attention_norm", Source::At("encoder.layer.#.attention.output.LayerNorm")),
    ("layers.#.inner", Source::At("encoder.layer.#.intermediate.dense")),
    ("layers.#.outer", Source::At("encoder.layer.#.output.dense")),
    ("layers.#.feed_forward_norm", Source::At("encoder.layer.#.output.LayerNorm")),
];

pub(crate) const LAYOUT: Layout = Layout {
    card: CARD,
    prefix: "bert.",
    names: NAMES,
    tokens: [
        "/cls.predictions.transform.dense",
        "/cls.predictions.transform.LayerNorm",
        "/cls.predictions.decoder.weight",
        "/cls.predictions.bias",
    ],
    labels: ["pooler.dense", "/classifier"],
};

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bert> {
    let config = configuration(fields)?;
    let activation = config.activation;
    LAYOUT.open(config, [activation, Activation::Tanh], fields, file)
}

/// What the configurations of BERT and of most descendants have in common.
pub(crate) fn configuration(fields: &Fields) -> Result<BertConfig> {
    fields.expect("is_decoder", false)?;
    fields.expect("position_embedding_type", "absolute".to_owned())?;
    Ok(BertConfig::new(fields.get("vocab_size")?)
        .with_context(fields.or("max_position_embeddings", 512)?)
        .with_width(fields.get("hidden_size")?)
        .with_inner(fields.get("intermediate_size")?)
        .with_heads(fields.get("num_attention_heads")?)
        .with_layers(fields.get("num_hidden_layers")?)
        .with_segments(fields.or("type_vocab_size", 2)?)
        .with_epsilon(fields.or("layer_norm_eps", 1e-12)?)
        .with_activation(fields.activation("hidden_act", "gelu")?))
}
