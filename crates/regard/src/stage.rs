//! What is done to a model while it reads once, and what is kept of it: the ground that explanations by gradients and by ablation
//! stand on.
//!
//! A model that runs under [`Mode::Explain`](crate::Mode::Explain) asks its stage at two places. What enters a stack of layers may be
//! replaced, and can have a gradient. Each attention, `c_h = g_h · (Σ_j a_hj v_j + n_h)` with gates `g` of one and nudges `n` of zero,
//! may close gates (a head is ablated) or drop values (nobody receives what a position has to give; Kobayashi et al. 2020,
//! arXiv:2004.10102, on why values count). No other attention is computed for it: the fused one runs as ever, and `a` need not exist
//! for its gradient to be known, `∂y/∂a_hij = ∂y/∂n_hi · v_hj`.
//!
//! Attentions and entries count from 0 in the order in which they run. Under any other mode nothing of this happens.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor};

use crate::attention::Look;
use crate::error::{Error, Result};

/// See the module's page. It serves one pass of one model.
#[derive(Debug, Default)]
pub struct Stage {
    /// Where leaves are made, if gradients are wanted.
    tracking: Option<Device>,
    given: BTreeMap<usize, Tensor<3>>,
    gates: BTreeMap<usize, Tensor<4>>,
    kept: BTreeMap<usize, Tensor<4>>,
    entries: RefCell<Vec<Tensor<3>>>,
    acts: RefCell<Vec<Act>>,
}

/// One attention of a pass that was staged.
#[derive(Debug, Clone)]
pub struct Act {
    /// What it takes to see the weights.
    pub look: Look,
    /// What was mixed, `[batch, key head, key, feature]`.
    pub values: Tensor<4>,
    /// What came of it before the gate, `[batch, head, query, feature]`.
    pub context: Tensor<4>,
    gate: Option<Tensor<4>>,
    nudge: Option<Tensor<4>>,
}

impl Stage {
    /// Nothing is changed, and what passes is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and everything on the way can be asked for its gradient. Weights have none, unless they are on a device that tracks
    /// gradients themselves.
    pub fn tracking(self, device: &Device) -> Self {
        Stage { tracking: Some(device.clone().autodiff()), ..self }
    }

    /// Lets `states [batch, position, width]` enter in place of those that the model looked up.
    pub fn entering(mut self, entry: usize, states: Tensor<3>) -> Self {
        self.given.insert(entry, states);
        self
    }

    /// Multiplies what the heads of an attention found: `gate [batch or 1, head, query or 1, 1]`, 0 for a head that is ablated.
    pub fn gating(mut self, attention: usize, gate: Tensor<4>) -> Self {
        self.gates.insert(attention, gate);
        self
    }

    /// Multiplies the values of an attention: `keep [batch or 1, key head or 1, key, 1]`, 0 for a position that has nothing to give.
    pub fn keeping(mut self, attention: usize, keep: Tensor<4>) -> Self {
        self.kept.insert(attention, keep);
        self
    }

    /// What entered each stack of layers, `[batch, position, width]`.
    pub fn entries(&self) -> Vec<Tensor<3>> {
        self.entries.borrow().clone()
    }

    /// Each attention.
    pub fn acts(&self) -> Vec<Act> {
        self.acts.borrow().clone()
    }

    /// What goes into the first layer, for a model to call with what it looked up.
    ///
    /// # Errors
    /// When what is to enter instead has another shape.
    pub fn enter(&self, states: Tensor<3>) -> Result<Tensor<3>> {
        let mut entries = self.entries.borrow_mut();
        let states = match self.given.get(&entries.len()) {
            Some(given) if given.dims() == states.dims() => given.clone(),
            Some(given) => return Err(Error::shape("entering", &given.dims(), format!("{:?}", states.dims()))),
            None => states,
        };
        let states = self.leaf(states);
        entries.push(states.clone());
        Ok(states)
    }

    /// The values that the next attention is to mix.
    pub(crate) fn values(&self, values: Tensor<4>) -> Result<Tensor<4>> {
        match self.kept.get(&self.acts.borrow().len()) {
            Some(keep) => Ok(values.clone() * fitting("keeping", keep, &values)?),
            None => Ok(values),
        }
    }

    /// What becomes of the context of the attention whose values were asked for last.
    pub(crate) fn context(&self, context: Tensor<4>, values: Tensor<4>, look: Look) -> Result<Tensor<4>> {
        let mut acts = self.acts.borrow_mut();
        let [batch, heads, ..] = context.dims();
        let mut gate = match self.gates.get(&acts.len()) {
            Some(gate) => Some(fitting("gating", gate, &context)?),
            None => self.tracking.as_ref().map(|device| Tensor::ones([batch, heads, 1, 1], device)),
        };
        gate = gate.map(|gate| self.leaf(gate));
        let nudge = self.tracking.as_ref().map(|device| Tensor::zeros(context.dims(), device).require_grad());
        let nudged = nudge.iter().cloned().fold(context.clone(), |context, nudge| context + nudge);
        let gated = gate.iter().cloned().fold(nudged, |context, gate| context * gate);
        acts.push(Act { look, values, context, gate, nudge });
        Ok(gated)
    }

    /// The numbers of a tensor where its gradient can be asked for, if one is wanted.
    fn leaf<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match &self.tracking {
            Some(device) => Tensor::from_data(tensor.into_data(), device).require_grad(),
            None => tensor,
        }
    }
}

impl Act {
    /// The gradient of each weight, `[batch, head, query, key]`, of a pass that was tracked; `None` where nothing of it reached what
    /// the gradients are of.
    pub fn gradient(&self, gradients: &Gradients) -> Option<Tensor<4>> {
        let nudge = self.nudge.as_ref()?.grad(gradients)?;
        let values = Tensor::<4>::from_data(self.values.to_data(), &nudge.device());
        let ([batch, heads, queries, width], [_, key_heads, keys, _]) = (nudge.dims(), values.dims());
        // Heads that share a key head lie beside each other, so their queries are those of one head.
        let shared = nudge.reshape([batch, key_heads, heads / key_heads * queries, width]);
        Some(shared.matmul(values.swap_dims(2, 3)).reshape([batch, heads, queries, keys]))
    }

    /// How what the gradients are of changes with each head's gate, shaped as the gate is; a tracked pass alone has it.
    pub fn sensitivity(&self, gradients: &Gradients) -> Option<Tensor<4>> {
        self.gate.as_ref()?.grad(gradients)
    }
}

/// `factor`, if each of its axes is as long as the other's or 1.
fn fitting(argument: &'static str, factor: &Tensor<4>, other: &Tensor<4>) -> Result<Tensor<4>> {
    let (given, expected) = (factor.dims(), other.dims());
    match given.iter().zip(expected).all(|(&given, expected)| given == 1 || given == expected) {
        true => Ok(factor.clone()),
        false => Err(Error::shape(argument, &given, format!("{expected:?}, or 1 along an axis"))),
    }
}
