//! BERT: an encoder alone, in which every position of a text looks at all others.
//!
//! `x = norm(E[token] + P[position] + S[segment])`; layer: `x = norm(x + attention(x))`, `x = norm(x + W₂ gelu(W₁ x))`. It learns by
//! filling in hidden tokens. Devlin et al., "BERT", NAACL 2019, arXiv:1810.04805.
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d). RoBERTa, DistilBERT, ALBERT, Longformer and BigBird are this with other numbers,
//! names, or looks ([`Pattern`]). Reach for it to embed, compare and classify texts; it writes none.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regard::attention::{Look, MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::sparse::{Longformer, LongformerConfig};
use regard::{Attention, LayerNorm, LayerNormConfig, Linear, Mode, Padding, ScaledDot};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::bigbird::BlockSparse;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::heads::{LabelHead, LabelHeadConfig, TokenHead, TokenHeadConfig, linear, normal};
use crate::padded::{Padded, embed};
use crate::pretrained::encoders::Layout;
use crate::pretrained::names::{Names, Source};
use crate::pretrained::{Checkpoint, Fields};
use crate::translator::{Sight, Site, check_length};

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

/// Configuration of [`Bert`]; the defaults are those of its base model.
#[derive(Config, Debug)]
pub struct BertConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// Positions: the longest text.
    #[config(default = 512)]
    pub context: usize,
    /// Features of a position.
    #[config(default = 768)]
    pub width: usize,
    /// Features inside the feed-forward networks.
    #[config(default = 3072)]
    pub inner: usize,
    /// Attention heads.
    #[config(default = 12)]
    pub heads: usize,
    /// Layers.
    #[config(default = 12)]
    pub layers: usize,
    /// Texts within a text that it tells apart; with 0 it knows of none (DistilBERT).
    #[config(default = 2)]
    pub segments: usize,
    /// Added to the variance before its root.
    #[config(default = 1e-12)]
    pub epsilon: f32,
    /// Of the feed-forward networks.
    #[config(default = "Activation::Gelu")]
    pub activation: Activation,
    /// Whether queries, keys and values have biases.
    #[config(default = true)]
    pub bias: bool,
    /// Features of a token before the first layer, to be mapped to `width`; already as many unless given (ALBERT).
    pub embedded: Option<usize>,
    /// Different layers, each of which is run several times; all are different unless given (ALBERT).
    pub distinct: Option<usize>,
    /// The token that fills up texts, where positions are counted from the number after it and this token has none (RoBERTa).
    pub pad: Option<u32>,
    /// Whether embeddings of tokens are multiplied by `√width` (BigBird).
    #[config(default = false)]
    pub rescaled: bool,
    /// Who sees whom.
    #[config(default = "Pattern::Full")]
    pub pattern: Pattern,
    /// The head for hidden tokens, if there is one.
    pub tokens: Option<TokenHeadConfig>,
    /// The head for labels, if there is one.
    pub labels: Option<LabelHeadConfig>,
}

/// Who sees whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// Everybody all others.
    Full,
    /// Everybody a window, and some are global (Longformer).
    Windows {
        /// Positions to each side, for each of the different layers.
        reach: Vec<usize>,
        /// Positions that see all and are seen by all.
        global: Vec<usize>,
    },
    /// Blocks see some blocks, once a text is long enough (BigBird).
    Blocks(BlockSparse),
}

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
#[expect(clippy::large_enum_variant, reason = "a layer holds one, and matrices are elsewhere")]
pub enum SelfAttention {
    /// At what the mask shows.
    Masked(MultiHeadAttention),
    /// At a window, and from and to global positions.
    Window(Longformer),
}

impl BertConfig {
    /// Random weights: normal, 0.02.
    ///
    /// # Errors
    /// When a number is zero, not a divisor or out of its range.
    pub fn init(&self, device: &Device) -> Result<Bert> {
        let wrong = |argument, given: String, expected: String| Err(Error::Config { argument, given, expected });
        let embedded = self.embedded.unwrap_or(self.width);
        let distinct = self.distinct.unwrap_or(self.layers);
        let sizes = [("vocabulary", self.vocabulary), ("context", self.context), ("inner", self.inner)];
        for (argument, given) in sizes.into_iter().chain([("layers", self.layers), ("embedded", embedded)]) {
            if given == 0 {
                return wrong(argument, "0".into(), "at least 1".into());
            }
        }
        if distinct == 0 || distinct > self.layers {
            return wrong("distinct", distinct.to_string(), format!("1 to the {} layers", self.layers));
        }
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return wrong("epsilon", self.epsilon.to_string(), "a number of at least 0".into());
        }
        match &self.pattern {
            Pattern::Windows { reach, .. } if reach.len() != distinct => {
                return wrong("pattern", format!("{} windows", reach.len()), format!("{distinct}, one a layer"));
            }
            Pattern::Blocks(BlockSparse { block: 0, .. }) => {
                return wrong("pattern", "blocks of 0 positions".into(), "at least 1".into());
            }
            _ => {}
        }
        let norm = |width| LayerNormConfig::new(width).with_epsilon(self.epsilon).init(device);
        let layers = (0..distinct)
            .map(|layer| {
                Ok(BertLayer {
                    attention: self.attention(layer, device)?,
                    attention_norm: norm(self.width),
                    inner: linear(self.width, self.inner, device),
                    outer: linear(self.inner, self.width, device),
                    feed_forward_norm: norm(self.width),
                })
            })
            .collect::<Result<_>>()?;
        let table = |rows| normal().init([rows, embedded], device);
        let Some(positions) = self.context.checked_add(self.first_position() as usize) else {
            return wrong("context", self.context.to_string(), "so few that they can be counted".into());
        };
        let tokens = self.tokens.map(|head| head.init([self.width, embedded, self.vocabulary], self.epsilon, device));
        Ok(Bert {
            embedding: table(self.vocabulary),
            position_embedding: table(positions),
            segment_embedding: (self.segments > 0).then(|| table(self.segments)),
            norm: norm(embedded),
            mapping: self.embedded.map(|embedded| linear(embedded, self.width, device)),
            layers,
            tokens,
            labels: self.labels.as_ref().map(|head| head.init(self.width, device)),
            config: self.clone(),
            card: CARD,
        })
    }

    fn attention(&self, layer: usize, device: &Device) -> Result<SelfAttention> {
        Ok(match &self.pattern {
            Pattern::Windows { reach, .. } => SelfAttention::Window(
                LongformerConfig::new(self.width, self.heads).with_window(reach[layer]).init(device)?,
            ),
            _ => SelfAttention::Masked(
                MultiHeadAttentionConfig::new(self.width, self.heads)
                    .with_bias(self.bias)
                    .with_output_bias(Some(true))
                    .init(device)?,
            ),
        })
    }

    /// The row of the table of positions that the first of a text takes.
    fn first_position(&self) -> u64 {
        self.pad.map_or(0, |pad| u64::from(pad) + 1)
    }
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
    fn forward(&self, x: Tensor<3>, how: &Looking, look: bool) -> Result<(Tensor<3>, Option<Look>)> {
        match self {
            SelfAttention::Masked(heads) => {
                let out = heads.forward(x.clone(), x, &how.attention, Mode::Evaluate)?;
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
        let mut x = self.embed(text, segments);
        for layer in 0..self.config.layers {
            let block = &self.layers[layer * self.layers.len() / self.config.layers];
            let (seen, look) = block.attention.forward(x.clone(), &how, sights.is_some())?;
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
