//! The next positions as numbers, to be taken in one after another by a cache that forgets.

use burn::tensor::{Device, Tensor, TensorData};
use regard_kernel::probe::Received;
use regard_kernel::{Attention, View};

use super::slots::Slots;
use super::{Next, check_held, sizes};
use crate::error::Result;
use crate::ops::numbers;

/// Queries, keys and values, turned by their positions.
pub(super) struct Arrivals {
    numbers: [Vec<f32>; 3],
    shapes: [[usize; 4]; 3],
    device: Device,
    context: Vec<f32>,
}

impl Arrivals {
    /// Those of `next`, the first of which is position `start`, with room for them in `slots`.
    pub(super) fn new(next: Next, start: usize, slots: &mut Option<Slots>, budget: usize) -> Result<Self> {
        let new = [sizes(&next.keys), sizes(&next.values)];
        if let Some(slots) = slots {
            check_held(slots.sizes(), &next.keys, &next.values)?;
        }
        let device = next.queries.device();
        let [queries, keys, values] = next.turned(start)?;
        let shapes = [queries.dims(), keys.dims(), values.dims()];
        let numbers = [numbers(queries)?, numbers(keys)?, numbers(values)?];
        slots.get_or_insert_with(|| Slots::new(new, budget));
        let [batch, heads, length, _] = shapes[0];
        let context = vec![0.0; batch * heads * length * shapes[2][3]];
        Ok(Arrivals { numbers, shapes, device, context })
    }

    /// How many positions there are.
    pub(super) fn len(&self) -> usize {
        self.shapes[0][2]
    }

    /// Gives position `at` its slot.
    pub(super) fn push(&self, at: usize, slots: &mut Slots) {
        slots.push(|unit| self.row(1, unit, at), |unit| self.row(2, unit, at));
    }

    /// Of keys (1) or values (2).
    fn row(&self, of: usize, unit: usize, at: usize) -> &[f32] {
        let [_, _, length, width] = self.shapes[of];
        &self.numbers[of][(unit * length + at) * width..][..width]
    }

    /// Position `at` looks at all slots. With `noting`, they note what they receive from it.
    pub(super) fn look(&mut self, at: usize, slots: &mut Slots, attention: &Attention, noting: bool) -> Result<()> {
        let [batch, heads, length, width] = self.shapes[0];
        let query = &self.numbers[0][(at * width).min(self.numbers[0].len())..];
        let query = View::strided(query, [batch, heads, 1, width], [heads * length * width, length * width, width, 1])?;
        let [keys, values] = slots.views()?;
        let output = attention.decode(&query, (&keys, &values))?;
        let features = self.shapes[2][3];
        for (head, context) in output.context.chunks_exact(features.max(1)).enumerate() {
            self.context[(head * length + at) * features..][..features].copy_from_slice(context);
        }
        if noting {
            let mut received = Received::new();
            attention.observe(&query, &keys, &output.lse, &mut [&mut received])?;
            let group = heads / self.shapes[1][1].max(1);
            for (head, weights) in received.values().chunks_exact(slots.len()).enumerate() {
                // Query heads that share a key head follow one another.
                let sums = slots.received_mut(head / group);
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
            }
        }
        Ok(())
    }

    /// What all positions found.
    pub(super) fn context(self) -> Tensor<4> {
        let [batch, heads, length, _] = self.shapes[0];
        Tensor::from_data(TensorData::new(self.context, [batch, heads, length, self.shapes[2][3]]), &self.device)
    }
}
