//! Data-parallel training on one machine: a batch is cut into shards that are worked on side by side.
//!
//! Each shard runs on a thread of its own, in order, and the gradients are added in the order of the shards, so the bits
//! depend on the number of shards and not on how the threads happened to run.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use regard::{Mode, Noise, mix};
use regard_models::weights;

use crate::error::{Error, Result};
use crate::train::Part;

/// One single-threaded pool a shard.
pub struct Shards {
    pools: Vec<rayon::ThreadPool>,
}

impl Shards {
    /// As many shards as `count`.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(count: usize) -> Result<Self> {
        let pool = || {
            rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| {
                Error::option("shards", count, format!("as many threads as the system gives: {error}"))
            })
        };
        Ok(Shards { pools: (0..count).map(|_| pool()).collect::<Result<_>>()? })
    }

    /// `work(shard, shards)` on every thread at once; results in the order of the shards.
    ///
    /// # Errors
    /// The first shard's error that there is.
    pub fn all<T: Send>(&self, work: impl Fn(usize, usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let count = self.pools.len();
        std::thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> = self
                .pools
                .iter()
                .enumerate()
                .map(|(shard, pool)| scope.spawn(move || pool.install(|| work(shard, count))))
                .collect();
            let join = |handle: std::thread::ScopedJoinHandle<Result<T>>| match handle.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            running.into_iter().map(join).collect()
        })
    }

    /// Mean loss a token of a batch that has so many `tokens`, and its gradients by the parameters' paths; `loss` gives the
    /// summed loss of a part.
    ///
    /// `prototype` gives the structure (on a device that tracks gradients), `weights` the numbers; `seed` decides what dropout
    /// drops.
    ///
    /// # Errors
    /// Those of `loss`, and when the weights are not the model's.
    pub fn gradients<M: Module + Sync>(
        &self,
        prototype: &M,
        weights: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
        tokens: usize,
        seed: u64,
        loss: impl Fn(&M, Part, Mode) -> Result<Option<Tensor<1>>> + Sync,
    ) -> Result<(f32, BTreeMap<String, Vec<f32>>)> {
        let parts = self.all(|shard, shards| {
            // Weights of its own: shared ones would join the shards' graphs, and their backward passes would wait.
            let model = weights::assign(prototype.clone(), weights.clone())
                .map_err(|problem| Error::option("weights", problem, "those of the model"))?;
            let noise = Noise::new(mix(seed ^ mix(shard as u64)));
            let part = Part { shard, shards };
            let Some(loss) = loss(&model, part, Mode::Train(&noise))? else { return Ok((0.0, BTreeMap::new())) };
            let loss = loss / tokens as f32;
            let value = loss.clone().into_scalar::<f32>();
            Ok((value, weights::gradients(&model, &loss.backward())))
        })?;
        let mut loss = 0.0;
        let mut sum: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (value, gradients) in parts {
            loss += value;
            for (name, gradient) in gradients {
                match sum.get_mut(&name) {
                    Some(sum) => sum.iter_mut().zip(&gradient).for_each(|(sum, value)| *sum += value),
                    None => drop(sum.insert(name, gradient)),
                }
            }
        }
        Ok((loss, sum))
    }
}
