//! The gradients of linear attention; [`reverse`](super::reverse) says how they are found.

use std::iter::once;

use super::reverse::Into;
use super::{Gates, LinearAttention, Sizes, check};
use crate::Result;
use crate::problem::{cut, run};
use crate::view::View;

/// What gradients of the context and of the last memory mean for everything that led to them; all contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// In the shape of the queries.
    pub queries: Vec<f32>,
    /// In the shape of the keys, summed over the query heads that share one.
    pub keys: Vec<f32>,
    /// In the shape of the values, summed as the keys.
    pub values: Vec<f32>,
    /// In the shape of the decay, nothing if there is none.
    pub decay: Vec<f32>,
    /// In the shape of beta, nothing if there is none.
    pub beta: Vec<f32>,
    /// Of the memory before the first position, `[batch, key head, d, dv]`, also if none was given.
    pub state: Vec<f32>,
}

/// The part of each unit.
fn each(units: usize, data: &mut [f32], positions: usize, width: usize) -> std::vec::IntoIter<&mut [f32]> {
    cut(data, units, once(0..positions), width).into_iter()
}

impl LinearAttention {
    /// Gradients, given what [`forward`](LinearAttention::forward) was given, and the gradients of what it returned: of the
    /// context, and of the state, zeros if none.
    ///
    /// Nothing of the forward pass has to be kept. The memory is computed again and held every 256 positions, which is less
    /// than the sequence itself takes. By its count of operations it takes about five times as long as the forward pass.
    ///
    /// ```
    /// use regard_kernel::View;
    /// use regard_kernel::linear::{Gates, LinearAttention};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// let x = View::new(&[1.0, 2.0], [1, 1, 2, 1])?; // c = [1·1·1, 2·(1·1 + 2·2)]
    /// let ones = View::new(&[1.0, 1.0], [1, 1, 2, 1])?;
    /// let attention = LinearAttention::with_scale(1.0);
    /// let gradients = attention.backward(&x, &x, &x, &Gates::default(), None, &ones, None)?;
    /// assert_eq!(gradients.queries, [1.0, 5.0]);
    /// assert_eq!(gradients.values, [1.0 + 2.0, 2.0 * 2.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        q: &View,
        k: &View,
        v: &View,
        gates: &Gates,
        state: Option<&View>,
        grad_context: &View,
        grad_state: Option<&View>,
    ) -> Result<Gradients> {
        let sizes = Sizes::of(q, k, v)?;
        let full = sizes.check(gates, state)?;
        let Sizes { batch, heads, memories, positions, width, value_width } = sizes;
        check("gradient of the context", grad_context, [batch, heads, positions, value_width], "as the context has")?;
        if let Some(grad) = grad_state {
            check("gradient of the state", grad, [batch, memories, width, value_width], "as the state has")?;
        }
        let (units, group) = (batch * memories, sizes.group());
        let mut gradients = Gradients {
            queries: vec![0.0; batch * heads * positions * width],
            keys: vec![0.0; units * positions * width],
            values: vec![0.0; units * positions * value_width],
            decay: vec![0.0; if full.decay.is_some() { units * positions * width } else { 0 }],
            beta: vec![0.0; if full.beta.is_some() { units * positions } else { 0 }],
            state: vec![0.0; units * width * value_width],
        };
        let (decay_width, beta_heads) =
            (gates.decay.map(|decay| decay.shape()[3]), gates.beta.map(|beta| beta.shape()[1]));

        let queries = each(units, &mut gradients.queries, group * positions, width);
        let keys = each(units, &mut gradients.keys, positions, width).zip(each(
            units,
            &mut gradients.values,
            positions,
            value_width,
        ));
        let decays = each(units, &mut gradients.decay, if full.decay.is_some() { positions } else { 0 }, width);
        let gate_parts =
            decays.zip(each(units, &mut gradients.beta, if full.beta.is_some() { positions } else { 0 }, 1));
        let states = each(units, &mut gradients.state, width, value_width);
        let tasks = queries.zip(keys).zip(gate_parts).zip(states).enumerate().collect();
        run(5.0 * sizes.work(), tasks, |(unit, (((queries, (keys, values)), (decay, beta)), state_into))| {
            let (batch, memory) = (unit / memories, unit % memories);
            let grads: Vec<_> = sizes.readers(memory).map(|head| grad_context.matrix(batch, head)).collect();
            let into = Into { queries, keys, values, decay, beta, state: state_into };
            let [state, grad_state] = [state, grad_state].map(|state| state.map(|state| state.matrix(batch, memory)));
            self.stream(&sizes, [q, k, v], &full, unit).reverse(state, &grads, grad_state, into);
        });
        // A gate that was broadcast gets the sum.
        if decay_width == Some(1) && width != 1 {
            let rows = std::mem::replace(&mut gradients.decay, vec![0.0; units * positions]);
            for (sum, row) in gradients.decay.iter_mut().zip(rows.chunks_exact(width.max(1))) {
                *sum = row.iter().sum();
            }
        }
        if beta_heads == Some(1) && memories > 1 {
            let all = std::mem::replace(&mut gradients.beta, vec![0.0; batch * positions]);
            for (unit, one) in all.chunks_exact(positions.max(1)).enumerate() {
                let sums = &mut gradients.beta[unit / memories * positions..][..positions];
                sums.iter_mut().zip(one).for_each(|(sum, x)| *sum += x);
            }
        }
        Ok(gradients)
    }
}
