//! What a question finds inside the model: attention weights beside their gradients, and the answer without a head, or without what a
//! place has to give.

use burn::tensor::{Device, Tensor, TensorData};
use regard::{Act, Mode, Stage};
use regard_explain::{Evidence, Site as TraceSite, Subject, Trace};
use regard_models::{Sight, Site};

use super::{Asked, Part, Question};
use crate::error::{Error, Result};

/// Every attention of one pass, and how the answer depends on it.
#[derive(Debug, Clone)]
pub struct Inside {
    /// The weights; axes are the parts of the question.
    pub trace: Trace,
    /// For each site of the trace the gradient of the answer by each weight, `[head, query, key]`, as large as the weights.
    pub gradients: Vec<Vec<f32>>,
    /// For each site the gradient of the answer by the gate of each head, which is 1: what the answer would lose without the head, were
    /// the model linear in it.
    pub gates: Vec<Vec<f32>>,
    /// The positions of the last part that the answer is read from.
    pub read_from: Vec<usize>,
}

impl Question<'_> {
    /// Weights and gradients, from one pass forward and one back.
    ///
    /// # Errors
    /// As the model, and when its attention is not made of heads: Longformer's, or a recurrent translator's.
    pub fn inside(&self) -> Result<Inside> {
        let (sights, acts, answers) = self.staged(|stage| stage.tracking(&Device::default()), 1)?;
        let found = answers.sum().backward();
        let trace = self.trace(&sights)?;
        // What the answer does not depend on has no gradient.
        let numbers = |gradient: Option<Tensor<4>>, count: usize| match gradient {
            Some(gradient) => gradient.into_data().try_into_vec().expect("gradients are f32"),
            None => vec![0.0; count],
        };
        let (mut gradients, mut gates) = (Vec::new(), Vec::new());
        for act in &acts {
            let ([_, heads, queries, _], [_, _, keys, _]) = (act.look.queries.dims(), act.look.keys.dims());
            gradients.push(numbers(act.gradient(&found), heads * queries * keys));
            gates.push(numbers(act.sensitivity(&found), heads));
        }
        Ok(Inside { trace, gradients, gates, read_from: self.read_from() })
    }

    /// Weights alone, from one pass forward; there are no gradients.
    ///
    /// # Errors
    /// As the model, and when the weights cannot be computed.
    pub fn looks(&self) -> Result<Inside> {
        let (whole, mut sights) = (self.with(&vec![true; self.places()], false), Vec::new());
        self.asked_of(&[whole], Mode::Evaluate, Some(&mut sights))?;
        let (gradients, gates) = Default::default();
        Ok(Inside { trace: self.trace(&sights)?, gradients, gates, read_from: self.read_from() })
    }

    fn trace(&self, sights: &[Sight]) -> Result<Trace> {
        if sights.is_empty() {
            return Err(Error::option("model", "one without attention", "one with some to look at"));
        }
        let mut trace = Trace::new(self.title(), self.model.name());
        let axes: Vec<usize> = self.parts.iter().map(|part| trace.add_axis(part.name, self.read(part))).collect();
        for sight in sights {
            let weights = sight.weights()?;
            let [_, heads, _, _] = weights.dims();
            let weights: Vec<f32> = weights.into_data().try_into_vec().expect("weights are f32");
            let [query_part, key_part] = self.parts_of(sight.site);
            trace.add_site(TraceSite {
                name: sight.site.name().into(),
                layer: sight.layer,
                queries: axes[query_part],
                keys: axes[key_part],
                heads,
                evidence: Evidence::Weights(weights.into()),
            })?;
        }
        Ok(trace)
    }

    /// The answers with each head of an attention silent, one at a time; attentions count as the sites of [`Self::looks`] do.
    /// Michel, Levy & Neubig, "Are Sixteen Heads Really Better than One?", NeurIPS 2019, arXiv:1905.10650.
    ///
    /// # Errors
    /// As [`Self::inside`].
    pub fn without_heads(&self, site: usize, heads: usize) -> Result<Vec<f32>> {
        let mut numbers = Vec::with_capacity(heads);
        for some in (0..heads).collect::<Vec<_>>().chunks(self.fits()) {
            let gate = some.iter().flat_map(|off| (0..heads).map(move |head| if head == *off { 0.0 } else { 1.0 }));
            let gate = factor(gate.collect(), [some.len(), heads, 1, 1]);
            let (_, _, answers) = self.staged(|stage| stage.gating(site, gate), some.len())?;
            numbers.extend(answers.into_data().try_into_vec::<f32>().expect("scores are f32"));
        }
        Ok(numbers)
    }

    /// The answers where the values of places that are not kept reach nobody, in any layer; who they are, as queries and keys, stays as
    /// it is. After value zeroing, Mohebbi et al. 2023, arXiv:2301.12971, which measures states where this measures the answer.
    ///
    /// # Errors
    /// As [`Self::inside`].
    pub fn without_values(&self, kept: &[Vec<bool>]) -> Result<Vec<f32>> {
        let (sights, ..) = self.staged(|stage| stage, 1)?;
        let mut numbers = Vec::with_capacity(kept.len());
        for kept in kept.chunks(self.fits()) {
            let dropped = |stage: Stage, (site, sight): (usize, &Sight)| {
                let [_, part] = self.parts_of(sight.site);
                let keys = sight.looks[0].keys.dims()[2];
                let keep: Vec<f32> = kept.iter().flat_map(|kept| self.open(part, keys, kept)).collect();
                stage.keeping(site, factor(keep, [kept.len(), 1, keys, 1]))
            };
            let (_, _, answers) = self.staged(|stage| sights.iter().enumerate().fold(stage, dropped), kept.len())?;
            numbers.extend(answers.into_data().try_into_vec::<f32>().expect("scores are f32"));
        }
        Ok(numbers)
    }

    /// So many copies of the text on a stage that `set` sets: what was looked at, each attention, and the answers.
    fn staged(&self, set: impl FnOnce(Stage) -> Stage, copies: usize) -> Result<(Vec<Sight>, Vec<Act>, Tensor<1>)> {
        let whole = self.with(&vec![true; self.places()], false);
        let (stage, mut sights) = (set(Stage::new()), Vec::new());
        let answers = self.asked_of(&vec![whole; copies], Mode::Explain(&stage), Some(&mut sights))?.numbers;
        let acts = stage.acts();
        if acts.is_empty() || acts.len() != sights.len() {
            let expected = "one whose layers attend with heads alone, which this method looks into";
            return Err(Error::option("model", "one with another attention", expected));
        }
        Ok((sights, acts, answers))
    }

    /// The parts that queries and keys of a site are positions of.
    fn parts_of(&self, site: Site) -> [usize; 2] {
        let last = self.parts.len() - 1;
        match site {
            Site::EncoderSelf => [0, 0],
            Site::DecoderSelf => [last, last],
            Site::Cross => [last, 0],
        }
    }

    /// 1 for each of a part's positions that is kept or no place, 0 for the others; behind the part's own, 1.
    fn open(&self, part: usize, length: usize, kept: &[bool]) -> Vec<f32> {
        let before = self.parts[..part].iter().flat_map(|part| &part.free).filter(|free| **free).count();
        let mut kept = kept[before..].iter();
        let mine = self.parts[part].free.iter();
        let mine = mine.map(|&free| if free && !kept.next().copied().unwrap_or(true) { 0.0 } else { 1.0 });
        mine.chain(std::iter::repeat(1.0)).take(length).collect()
    }

    /// The tokens of a part as the model reads them, those that are asked for behind the last part.
    fn read(&self, part: &Part) -> Vec<String> {
        let more = match (&self.asked, self.parts.last()) {
            (Asked::Tokens(tokens), Some(last)) if std::ptr::eq(last, part) => &tokens[..tokens.len() - 1],
            _ => &[],
        };
        part.tokens.iter().cloned().chain(more.iter().map(|&id| self.model.shown(id))).collect()
    }

    /// The mean over rows of what each has for the positions of the parts, at the places.
    pub(super) fn of_positions(&self, rows: &[Vec<Vec<f32>>]) -> Vec<f32> {
        let mean =
            |part: usize, at: usize| rows.iter().map(|row| row[part][at]).sum::<f32>() / rows.len().max(1) as f32;
        let parts = self.parts.iter().enumerate();
        let places = parts.flat_map(|(number, part)| {
            part.free.iter().enumerate().filter(|(_, free)| **free).map(move |(at, _)| (number, at))
        });
        places.map(|(part, at)| mean(part, at)).collect()
    }

    /// The positions of the last part that the answer is read from.
    fn read_from(&self) -> Vec<usize> {
        let length = self.parts.last().map_or(0, |part| part.ids.len());
        match &self.asked {
            Asked::Label(_) => vec![0],
            Asked::Filling { at, .. } => vec![*at],
            Asked::Likeness(_) => (0..length).collect(),
            Asked::Tokens(tokens) => (length - 1..length - 1 + tokens.len()).collect(),
        }
    }
}

fn factor(numbers: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(numbers, shape), &Device::default())
}
