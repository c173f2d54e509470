//! Recurrent translation with attention: the networks that attention was invented for.
//!
//! Both read the source with a bidirectional GRU and write with another that looks back at every step.
//! - **Bahdanau** (Bahdanau, Cho & Bengio, ICLR 2015, arXiv:1409.0473): the previous state asks, an additive score answers, the
//!   context enters the next state. The readout is a tanh layer where the paper has a maxout of twice the width.
//! - **Luong** (Luong, Pham & Manning, EMNLP 2015, arXiv:1508.04025): the new state asks, a bilinear score answers ("general"), the
//!   context joins it in the attentional state `h̃`, which is fed to the next step. GRUs stand for the paper's LSTMs.
//!
//! Time O(T·S) attention in T dependent steps: slower to train than a Transformer, and short sentences only.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::tanh;
use burn::tensor::module::embedding;
use burn::tensor::{Device, Tensor};
use regard::attention::{AdditiveAttention, AdditiveAttentionConfig, GeneralAttention, GeneralAttentionConfig, Look};
use regard::catalogue::{Card, Family};
use regard::{Linear, LinearConfig, Mode, Padding};

use crate::error::{Error, Result};
use crate::padded::{Padded, id_tensor};
use crate::recurrent::{Bidirectional, Gru};
use crate::translator::{Classifier, Sight, Site, Specials, Translator, check_dropout, check_length, kept_rows};

/// The card of the additive form.
pub const BAHDANAU: Card = Card {
    name: "BahdanauDecoder",
    family: Family::Models,
    sentence: "A recurrent decoder whose previous state asks the source what matters next.",
    equation: "e_tj = v · tanh(W s_{t-1} + U h_j), s_t = GRU([y_{t-1}; c_t], s_{t-1})",
    paper: "Bahdanau, Cho & Bengio 2015, arXiv:1409.0473",
    cost: "T dependent steps of O(S·a); fused",
    when: "Learning where attention came from; very small data.",
};

/// The card of the bilinear form.
pub const LUONG: Card = Card {
    name: "LuongDecoder",
    family: Family::Models,
    sentence: "A recurrent decoder whose new state looks at the source, and remembers having looked.",
    equation: "e_tj = s_tᵀ W h_j, h̃_t = tanh(W_c [c_t; s_t]), s_t = GRU([y_{t-1}; h̃_{t-1}], s_{t-1})",
    paper: "Luong, Pham & Manning 2015, arXiv:1508.04025",
    cost: "T dependent steps of O(S·d); fused",
    when: "As Bahdanau's, and cheaper a step.",
};

/// Which decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoding {
    /// Additive attention before the state moves.
    Bahdanau,
    /// Bilinear attention after it moved, with input feeding.
    Luong,
}

/// Configuration of [`Seq2Seq`].
#[derive(Config, Debug)]
pub struct Seq2SeqConfig {
    /// Tokens, joint for source and target.
    pub vocabulary: usize,
    /// The special ids.
    pub specials: Specials,
    /// Which decoder.
    pub decoding: Decoding,
    /// Features of an embedded token.
    #[config(default = 256)]
    pub embedded: usize,
    /// Features of a recurrent state.
    #[config(default = 256)]
    pub hidden: usize,
    /// Features of the additive score's hidden layer.
    #[config(default = 256)]
    pub alignment: usize,
    /// Features of the readout, or of the attentional state.
    #[config(default = 256)]
    pub readout: usize,
    /// Probability of dropping an embedding's or the readout's element.
    #[config(default = 0.2)]
    pub dropout: f32,
    /// The longest source or target, special tokens included.
    #[config(default = 256)]
    pub longest: usize,
}

/// A recurrent encoder–decoder with attention.
#[derive(Module, Debug)]
pub struct Seq2Seq {
    /// `[vocabulary, embedded]`
    pub source_embedding: Param<Tensor<2>>,
    /// `[vocabulary, embedded]`
    pub target_embedding: Param<Tensor<2>>,
    /// Reads the source.
    pub encoder: Bidirectional,
    /// From the encoder's backward state to the decoder's first.
    pub initial: Linear,
    /// Writes the target.
    pub decoder: Gru,
    /// Bahdanau's score.
    pub additive: Option<AdditiveAttention>,
    /// Luong's score.
    pub general: Option<GeneralAttention>,
    /// Bahdanau: state, token and context to the readout. Luong: context and state to the attentional state (no bias).
    pub readout: Linear,
    /// To the vocabulary.
    pub output: Linear,
    #[module(skip)]
    config: Seq2SeqConfig,
}

/// What decoding remembers.
#[derive(Debug, Clone)]
pub struct Seq2SeqState {
    memory: Tensor<3>,
    projected: Tensor<3>,
    lengths: Vec<usize>,
    state: Tensor<2>,
    /// Luong's attentional state, fed to the next step.
    fed: Tensor<2>,
    position: usize,
}

impl Seq2SeqConfig {
    /// Random weights.
    ///
    /// # Errors
    /// When a number is zero or out of its range, or a special id is no token.
    pub fn init(&self, device: &Device) -> Result<Seq2Seq> {
        self.specials.check(self.vocabulary)?;
        let widths = [
            ("embedded", self.embedded),
            ("hidden", self.hidden),
            ("alignment", self.alignment),
            ("readout", self.readout),
        ];
        if let Some((argument, _)) = widths.into_iter().find(|(_, width)| *width == 0) {
            return Err(Error::Config { argument, given: "0".into(), expected: "at least 1".into() });
        }
        if self.longest < 2 {
            let given = self.longest.to_string();
            return Err(Error::Config { argument: "longest", given, expected: "at least 2".into() });
        }
        check_dropout(self.dropout)?;
        let (embedded, hidden, readout) = (self.embedded, self.hidden, self.readout);
        let memory = 2 * hidden;
        let table = || Initializer::Normal { mean: 0.0, std: 0.1 }.init([self.vocabulary, embedded], device);
        let linear = |from, to, bias| {
            let initializer = Initializer::XavierUniform { gain: 1.0 };
            LinearConfig::new(from, to).with_bias(bias).with_initializer(Some(initializer)).init(device)
        };
        let bahdanau = self.decoding == Decoding::Bahdanau;
        Ok(Seq2Seq {
            source_embedding: table(),
            target_embedding: table(),
            encoder: Bidirectional::new(embedded, hidden, device),
            initial: linear(hidden, hidden, true),
            decoder: Gru::new(embedded + if bahdanau { memory } else { readout }, hidden, device),
            additive: bahdanau.then(|| AdditiveAttentionConfig::new(hidden, memory, self.alignment).init(device)),
            general: (!bahdanau).then(|| GeneralAttentionConfig::new(hidden, memory).init(device)),
            readout: if bahdanau {
                linear(hidden + embedded + memory, readout, true)
            } else {
                linear(memory + hidden, readout, false)
            },
            output: linear(readout, self.vocabulary, true),
            config: self.clone(),
        })
    }
}

impl Seq2Seq {
    /// The configuration that it was made with.
    pub fn config(&self) -> &Seq2SeqConfig {
        &self.config
    }

    fn read(&self, source: &Padded, mode: Mode) -> Result<Seq2SeqState> {
        check_length("source", source.width(), self.config.longest)?;
        let device = self.device();
        let embedded = embedding(self.source_embedding.val(), source.tensor(&device));
        let (memory, first) = self.encoder.read(mode.dropout(mode.enter(embedded)?, self.config.dropout), source);
        let projected = match (&self.additive, &self.general) {
            (Some(attention), _) => attention.project(memory.clone()),
            (_, Some(attention)) => attention.project(memory.clone()),
            (None, None) => unreachable!("a configuration has one decoder"),
        };
        let fed = Tensor::zeros([source.rows(), self.config.readout], &device.inner());
        let state = tanh(self.initial.forward(first));
        Ok(Seq2SeqState { memory, projected, lengths: source.lengths().to_vec(), state, fed, position: 0 })
    }

    /// Attends with `query [batch, hidden]`: the context `[batch, 2 · hidden]` and what was looked at.
    fn look(&self, query: Tensor<2>, state: &Seq2SeqState) -> Result<(Tensor<2>, Look)> {
        let mask = Padding::new(state.lengths.clone());
        let query = query.unsqueeze_dim(1);
        let (projected, memory) = (state.projected.clone(), state.memory.clone());
        let (context, look) = match (&self.additive, &self.general) {
            (Some(attention), _) => attention.forward(query, projected, memory, mask)?,
            (_, Some(attention)) => attention.forward(query, projected, memory, mask)?,
            (None, None) => unreachable!("a configuration has one decoder"),
        };
        Ok((context.squeeze_dim(1), look))
    }

    /// One target token further: `token [batch, embedded]` → the readout `[batch, readout]`.
    fn advance(&self, token: Tensor<2>, state: &mut Seq2SeqState, mode: Mode) -> Result<(Tensor<2>, Look)> {
        let dropout = self.config.dropout;
        let move_on =
            |input: Tensor<2>, from: &Tensor<2>| self.decoder.step(self.decoder.input.forward(input), from.clone());
        let (readout, look) = match self.config.decoding {
            Decoding::Bahdanau => {
                let (context, look) = self.look(state.state.clone(), state)?;
                state.state = move_on(Tensor::cat(vec![token.clone(), context.clone()], 1), &state.state);
                let known = Tensor::cat(vec![state.state.clone(), token, context], 1);
                (tanh(self.readout.forward(known)), look)
            }
            Decoding::Luong => {
                state.state = move_on(Tensor::cat(vec![token, state.fed.clone()], 1), &state.state);
                let (context, look) = self.look(state.state.clone(), state)?;
                let attentional = tanh(self.readout.forward(Tensor::cat(vec![context, state.state.clone()], 1)));
                state.fed = attentional.clone();
                (attentional, look)
            }
        };
        Ok((mode.dropout(readout, dropout), look))
    }
}

impl Translator for Seq2Seq {
    type State = Seq2SeqState;

    fn card(&self) -> Card {
        match self.config.decoding {
            Decoding::Bahdanau => BAHDANAU,
            Decoding::Luong => LUONG,
        }
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn specials(&self) -> Specials {
        self.config.specials
    }

    fn longest(&self) -> usize {
        self.config.longest
    }

    fn device(&self) -> Device {
        self.source_embedding.val().device()
    }

    fn states(
        &self,
        source: &Padded,
        target: &Padded,
        mode: Mode,
        sights: Option<&mut Vec<Sight>>,
    ) -> Result<Tensor<2>> {
        check_length("target", target.width(), self.config.longest)?;
        let mut state = self.read(source, mode)?;
        let embedded = embedding(self.target_embedding.val(), target.tensor(&self.device()));
        let embedded = mode.dropout(mode.enter(embedded)?, self.config.dropout);
        let (mut readouts, mut looks) = (Vec::new(), Vec::new());
        for position in 0..target.width() {
            let token = embedded.clone().narrow(1, position, 1).squeeze_dim(1);
            let (readout, look) = self.advance(token, &mut state, mode)?;
            readouts.push(readout);
            looks.push(look);
        }
        if let Some(sights) = sights {
            sights.push(Sight { site: Site::Cross, layer: 0, looks });
        }
        let readouts: Tensor<3> = Tensor::stack(readouts, 1);
        let [rows, length, width] = readouts.dims();
        Ok(readouts.reshape([rows * length, width]))
    }

    fn classifier(&self) -> Classifier {
        let bias = self.output.bias.as_ref().map(|bias| bias.val());
        Classifier { weight: self.output.weight.val().transpose(), bias, cap: None, blocks: None }
    }

    fn start(&self, source: &Padded) -> Result<Seq2SeqState> {
        self.read(source, Mode::Evaluate)
    }

    fn step(&self, tokens: &[u32], state: &mut Seq2SeqState) -> Result<Tensor<2>> {
        check_length("target", state.position + 1, self.config.longest)?;
        let ids = id_tensor(tokens, [tokens.len(), 1], &self.device());
        let token = embedding(self.target_embedding.val(), ids).squeeze_dim(1);
        let (readout, _) = self.advance(token, state, Mode::Evaluate)?;
        state.position += 1;
        Ok(self.classifier().scores(readout))
    }

    fn select(&self, state: &mut Seq2SeqState, rows: &[usize]) {
        let Some(index) = kept_rows(rows, state.lengths.len(), &self.device()) else { return };
        state.memory = state.memory.clone().select(0, index.clone());
        state.projected = state.projected.clone().select(0, index.clone());
        state.state = state.state.clone().select(0, index.clone());
        state.fed = state.fed.clone().select(0, index);
        state.lengths = rows.iter().map(|&row| state.lengths[row]).collect();
    }
}
