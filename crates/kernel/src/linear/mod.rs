//! Linear attention: a memory of fixed size instead of all keys.
//!
//! Without the softmax, the sum over keys can be taken before the query comes. What is left of the past is a matrix S that
//! maps keys to values: each position writes to it, and each query reads from it.
//!
//! ```text
//! S_t = e^{g_t} ⊙ S_{t−1} + k_t ⊗ u_t          u_t = v_t                                     without beta
//! c_t = scale · q_tᵀ · S_t                      u_t = β_t · (v_t − k_tᵀ · (e^{g_t} ⊙ S_{t−1}))  with beta
//! ```
//!
//! The *decay* `g_t` (a logarithm, 0 or less) says how much of each feature of a key is kept; the rate `β_t` says how far
//! the value that is found under `k_t` is moved to the new one, instead of being added to. Which of both there are names the
//! mechanism:
//!
//! | decay | beta | |
//! |---|---|---|
//! | no | no | linear attention: Katharopoulos et al. 2020, arXiv:2006.16236 |
//! | yes | no | gated: RetNet, Sun et al. 2023, arXiv:2307.08621; GLA, Yang et al. 2023, arXiv:2312.06635 |
//! | no | yes | the delta rule: Schlag et al. 2021, arXiv:2102.11174; Yang et al. 2024, arXiv:2406.06484 |
//! | yes | yes | the gated delta rule: Yang et al. 2024, arXiv:2412.06464 |
//!
//! A feature map, where a mechanism has one, is applied to queries and keys before they come here, and a normaliser is one
//! more feature of the values, which is 1 everywhere. Keys of the delta rules should have length 1.
//!
//! Time grows with L·d·d_v and memory does not grow with L: reach for it when texts are long or when every token of a
//! generation must cost the same. What was written cannot be told apart again where keys are alike, so exact attention
//! remembers better; there are no weights to observe.
//!
//! Positions are worked on in chunks of sixteen. Within a chunk everybody meets everybody, as in attention; the memory is
//! read and written once a chunk, by matrix products. Decays are multiplied up along the way and never divided by, so one
//! that forgets everything is as good as any other. The same bits come out for any number of threads, and a sequence may
//! be cut anywhere and go on from the state.

mod backward;
mod chunk;
mod reverse;
mod room;

use std::ops::Range;

use crate::problem::{cut, run};
use crate::view::View;
use crate::{Error, Result};
use chunk::Stream;

pub use backward::Gradients;

/// Linear attention; see [the module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinearAttention {
    scale: Option<f32>,
}

/// What the memory keeps, and how it is written to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gates<'a> {
    /// The logarithm of what is kept at a position, before it writes: `[batch, key head, position, d or 1]`, one number for
    /// each feature of a key or one for all of them.
    pub decay: Option<View<'a>>,
    /// How far the value found under a key is moved to the new one: `[batch, key head or 1, position, 1]`, from 0 to 1.
    pub beta: Option<View<'a>>,
}

/// What linear attention gives; both contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearOutput {
    /// `[batch, head, position, value feature]`
    pub context: Vec<f32>,
    /// The memory after the last position, `[batch, key head, key feature, value feature]`.
    pub state: Vec<f32>,
}

impl LinearAttention {
    /// Multiplies what is read with `scale`; `LinearAttention::default()` with 1/√d.
    pub fn with_scale(scale: f32) -> Self {
        Self { scale: Some(scale) }
    }

    /// Attends: `q` `[batch, head, L, d]`, `k` `[batch, key head, L, d]`, `v` `[batch, key head, L, dv]`; `state`
    /// `[batch, key head, d, dv]` is what an earlier call left, zeros if none. Heads are a multiple of key heads, and
    /// consecutive ones share a memory.
    ///
    /// ```
    /// use regard_kernel::View;
    /// use regard_kernel::linear::{Gates, LinearAttention};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// let key = View::new(&[1.0, 0.0], [1, 1, 1, 2])?;
    /// let value = View::new(&[3.0], [1, 1, 1, 1])?;
    /// let attention = LinearAttention::with_scale(1.0);
    /// let first = attention.forward(&key, &key, &value, &Gates::default(), None)?;
    /// assert_eq!((first.context[0], &first.state[..]), (3.0, &[3.0, 0.0][..]));
    ///
    /// // With β = 1, what the key finds is replaced.
    /// let beta = View::new(&[1.0], [1, 1, 1, 1])?;
    /// let gates = Gates { beta: Some(beta), ..Gates::default() };
    /// let state = View::new(&first.state, [1, 1, 2, 1])?;
    /// let again = attention.forward(&key, &key, &value, &gates, Some(&state))?;
    /// assert_eq!(again.state, [3.0, 0.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn forward(&self, q: &View, k: &View, v: &View, gates: &Gates, state: Option<&View>) -> Result<LinearOutput> {
        let sizes = Sizes::of(q, k, v)?;
        let gates = sizes.check(gates, state)?;
        let Sizes { batch, heads, memories, positions, width, value_width } = sizes;
        let group = sizes.group();
        let mut output = LinearOutput {
            context: vec![0.0; batch * heads * positions * value_width],
            state: vec![0.0; batch * memories * width * value_width],
        };
        let units = batch * memories;
        let contexts = cut(&mut output.context, units, std::iter::once(0..group * positions), value_width);
        let states = cut(&mut output.state, units, std::iter::once(0..width), value_width);
        let tasks = contexts.into_iter().zip(states).enumerate().collect();
        let work = sizes.work();
        run(work, tasks, |(unit, (context, memory))| {
            let state = state.map(|state| state.matrix(unit / memories, unit % memories));
            self.stream(&sizes, [q, k, v], &gates, unit).run(state, context, memory);
        });
        Ok(output)
    }

    /// What passes by one memory; the gates are broadcast already.
    fn stream<'a>(&self, sizes: &Sizes, [q, k, v]: [&View<'a>; 3], gates: &Gates<'a>, unit: usize) -> Stream<'a> {
        let (batch, head) = (unit / sizes.memories, unit % sizes.memories);
        Stream {
            queries: sizes.readers(head).map(|head| q.matrix(batch, head)).collect(),
            keys: k.matrix(batch, head),
            values: v.matrix(batch, head),
            decay: gates.decay.map(|decay| decay.matrix(batch, head)),
            beta: gates.beta.map(|beta| beta.matrix(batch, head)),
            scale: self.scale.unwrap_or_else(|| (sizes.width.max(1) as f64).sqrt().recip() as f32),
        }
    }
}

/// The sizes of a problem.
struct Sizes {
    batch: usize,
    heads: usize,
    /// Key heads, each with a memory of its own.
    memories: usize,
    positions: usize,
    width: usize,
    value_width: usize,
}

impl Sizes {
    /// The sizes of queries, keys and values if they fit together.
    fn of(q: &View, k: &View, v: &View) -> Result<Self> {
        let [batch, heads, positions, width] = q.shape();
        let [_, memories, _, _] = k.shape();
        if heads != 0 && (memories == 0 || !heads.is_multiple_of(memories)) {
            let expected = format!("a divisor of the {heads} query heads");
            return Err(Error::new("keys", format!("{memories} heads"), expected));
        }
        check("keys", k, [batch, memories, positions, width], "as the queries have")?;
        let value_width = v.shape()[3];
        check("values", v, [batch, memories, positions, value_width], "as the keys have")?;
        let sizes = [batch, heads.max(memories), positions.max(width), width.max(value_width)];
        let most = sizes.iter().try_fold(size_of::<f32>(), |size, &n| size.checked_mul(n.max(1)));
        if most.is_none_or(|most| most > isize::MAX as usize) {
            let given = format!("{sizes:?}");
            return Err(Error::new("sizes [batch, head, position, feature]", given, "less than memory can hold"));
        }
        Ok(Self { batch, heads, memories, positions, width, value_width })
    }

    /// The gates, broadcast, if they and the state fit.
    fn check<'a>(&self, gates: &Gates<'a>, state: Option<&View>) -> Result<Gates<'a>> {
        let Self { batch, memories, positions, width, value_width, .. } = *self;
        if let Some(state) = state {
            check("state", state, [batch, memories, width, value_width], "[batch, key head, d, dv]")?;
        }
        let broadcast = |argument, gate: Option<View<'a>>, full: [usize; 4], axis, expected| {
            gate.map(|gate| gate.broadcast(axis, full[axis]))
                .map(|gate| check(argument, &gate, full, expected).map(|()| gate))
                .transpose()
        };
        let full = [batch, memories, positions, width];
        let decay = broadcast("decay", gates.decay, full, 3, "[batch, key head, position, d or 1]")?;
        let full = [batch, memories, positions, 1];
        let beta = broadcast("beta", gates.beta, full, 1, "[batch, key head or 1, position, 1]")?;
        Ok(Gates { decay, beta })
    }

    /// How many query heads share a memory.
    fn group(&self) -> usize {
        self.heads.checked_div(self.memories).unwrap_or(0)
    }

    /// The query heads that share a memory.
    fn readers(&self, memory: usize) -> Range<usize> {
        memory * self.group()..(memory + 1) * self.group()
    }

    /// Multiplications and additions, about.
    fn work(&self) -> f64 {
        let Self { batch, heads, memories, positions, width, value_width } = *self;
        [batch, heads + 2 * memories, positions, width, value_width.max(8)].iter().map(|&n| n as f64).product()
    }
}

/// Refuses a view of another shape.
fn check(argument: &str, view: &View, shape: [usize; 4], expected: &str) -> Result<()> {
    if view.shape() == shape {
        return Ok(());
    }
    Err(Error::new(argument, format!("{:?}", view.shape()), format!("{shape:?}, {expected}")))
}
