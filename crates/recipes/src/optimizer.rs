//! Adam on plain vectors: one pass over memory, bit-exact to save and resume.
//!
//! Kingma & Ba, "Adam", ICLR 2015, arXiv:1412.6980; decoupled weight decay: Loshchilov & Hutter 2019, arXiv:1711.05101. Beside the weights it keeps their
//! exponential average (Polyak & Juditsky 1992), which is what validation and the final model use.

use std::collections::BTreeMap;

use rayon::prelude::*;

/// How the step size goes over time.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Rises linearly for `warmup` steps, then falls with the square root of the step (Vaswani et al. 2017).
    InverseSqrt,
    /// Rises linearly for `warmup` steps, then falls along a cosine to its floor at the last step.
    Cosine,
}

/// Settings of [`Adam`].
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamConfig {
    /// The largest step size.
    pub rate: f64,
    /// Steps until it is reached.
    pub warmup: u64,
    /// What follows.
    pub schedule: Schedule,
    /// What a cosine falls to, as a share of the largest step size.
    #[serde(default)]
    pub floor: f64,
    /// Memory of the mean and of the square.
    pub betas: (f32, f32),
    /// Added to the root of the square.
    pub epsilon: f32,
    /// Decoupled weight decay of matrices (not of biases and norms), times the step size.
    pub decay: f32,
    /// Gradients are scaled down to this global norm; 0 leaves them.
    pub clip: f32,
    /// Memory of the average of the weights; it is shorter in the first steps.
    pub average: f32,
}

impl AdamConfig {
    /// The step size of `step` (from 1) of `steps`.
    pub fn rate_at(&self, step: u64, steps: u64) -> f64 {
        let (step, warmup) = (step as f64, self.warmup.max(1) as f64);
        let rising = step / warmup;
        self.rate
            * match self.schedule {
                _ if rising < 1.0 => rising,
                Schedule::InverseSqrt => (warmup / step).sqrt(),
                Schedule::Cosine => {
                    let done = (step - warmup) / (steps as f64 - warmup).max(1.0);
                    self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
                }
            }
    }
}

/// One parameter and what is remembered of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// Shape in the model.
    pub shape: Vec<usize>,
    /// Now.
    pub weight: Vec<f32>,
    /// Mean of the gradients.
    pub mean: Vec<f32>,
    /// Mean of their squares.
    pub square: Vec<f32>,
    /// Exponential average of the weights.
    pub average: Vec<f32>,
}

/// The optimiser's state: every parameter by path.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// Parameters by path.
    pub slots: BTreeMap<String, Slot>,
    /// Steps taken.
    pub step: u64,
}

impl Adam {
    /// Starts from these weights.
    pub fn new(parameters: BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Self {
        let slot = |(shape, weight): (Vec<usize>, Vec<f32>)| Slot {
            shape,
            mean: vec![0.0; weight.len()],
            square: vec![0.0; weight.len()],
            average: weight.clone(),
            weight,
        };
        Adam { slots: parameters.into_iter().map(|(name, parameter)| (name, slot(parameter))).collect(), step: 0 }
    }

    /// One step along `gradients`, by path; parameters without one stay. Returns the gradients' norm before clipping.
    pub fn step(&mut self, gradients: &BTreeMap<String, Vec<f32>>, config: &AdamConfig, steps: u64) -> f32 {
        self.step += 1;
        let rate = config.rate_at(self.step, steps);
        let norm = gradients.values().map(|g| square_sum(g)).sum::<f64>().sqrt() as f32;
        let scale = if config.clip > 0.0 && norm > config.clip { config.clip / norm } else { 1.0 };
        let (b1, b2) = config.betas;
        let time = self.step.min(i32::MAX as u64) as i32;
        let unbias1 = 1.0 / (1.0 - b1.powi(time));
        let unbias2 = 1.0 / (1.0 - b2.powi(time));
        let memory = config.average.min((1.0 + self.step as f32) / (10.0 + self.step as f32));
        let (rate, decay) = (rate as f32, (rate * f64::from(config.decay)) as f32);
        self.slots.par_iter_mut().for_each(|(name, slot)| {
            let Some(gradient) = gradients.get(name) else { return };
            let decay = if slot.shape.len() > 1 { decay } else { 0.0 };
            let moments = slot.mean.iter_mut().zip(&mut slot.square);
            let weights = slot.weight.iter_mut().zip(&mut slot.average);
            for ((gradient, (mean, square)), (weight, average)) in gradient.iter().zip(moments).zip(weights) {
                let g = gradient * scale;
                *mean = b1 * *mean + (1.0 - b1) * g;
                *square = b2 * *square + (1.0 - b2) * g * g;
                let direction = *mean * unbias1 / ((*square * unbias2).sqrt() + config.epsilon);
                *weight -= rate * direction + decay * *weight;
                *average = memory * *average + (1.0 - memory) * *weight;
            }
        });
        norm
    }

    /// The weights by path.
    pub fn weights(&self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        self.slots.iter().map(|(name, slot)| (name.clone(), (slot.shape.clone(), slot.weight.clone()))).collect()
    }

    /// The averaged weights by path.
    pub fn averages(&self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        self.slots.iter().map(|(name, slot)| (name.clone(), (slot.shape.clone(), slot.average.clone()))).collect()
    }
}

/// In eight partial sums: fast, accurate enough for a norm, and in a fixed order.
fn square_sum(values: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> AdamConfig {
        AdamConfig {
            rate: 0.1,
            warmup: 1,
            schedule: Schedule::InverseSqrt,
            floor: 0.0,
            betas: (0.9, 0.98),
            epsilon: 1e-9,
            decay: 0.0,
            clip: 0.0,
            average: 0.5,
        }
    }

    #[test]
    fn the_first_step_is_the_rate_against_the_gradient() {
        let mut adam = Adam::new(BTreeMap::from([("w".into(), (vec![2], vec![1.0, -1.0]))]));
        let norm = adam.step(&BTreeMap::from([("w".into(), vec![3.0, -4.0])]), &config(), 10);
        assert_eq!(norm, 5.0);
        let weight = &adam.slots["w"].weight;
        assert!((weight[0] - 0.9).abs() < 1e-6 && (weight[1] + 0.9).abs() < 1e-6, "{weight:?}");
    }

    #[test]
    fn finds_the_bottom_of_a_bowl_and_averages_on_the_way() {
        let mut adam = Adam::new(BTreeMap::from([("w".into(), (vec![1], vec![5.0]))]));
        for _ in 0..2000 {
            let gradient = 2.0 * (adam.slots["w"].weight[0] - 3.0);
            adam.step(&BTreeMap::from([("w".into(), vec![gradient])]), &config(), 2000);
        }
        assert!((adam.slots["w"].average[0] - 3.0).abs() < 0.02, "{:?}", adam.slots["w"]);
    }

    #[test]
    fn schedules_rise_and_fall() {
        let config = AdamConfig { rate: 1.0, warmup: 100, ..config() };
        assert_eq!(config.rate_at(50, 1000), 0.5);
        assert_eq!(config.rate_at(400, 1000), 0.5);
        let cosine = AdamConfig { schedule: Schedule::Cosine, ..config };
        assert!((cosine.rate_at(550, 1000) - 0.5).abs() < 1e-9 && cosine.rate_at(1000, 1000) < 1e-9);
        let floored = AdamConfig { floor: 0.1, ..cosine };
        assert!((floored.rate_at(550, 1000) - 0.55).abs() < 1e-9 && (floored.rate_at(1000, 1000) - 0.1).abs() < 1e-9);
    }
}
