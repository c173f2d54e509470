//! One mechanism at one length: its time, memory and distance from exact attention.

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use regard::catalogue::{Card, Entry, Setting};
use regard::mechanism::Mechanism;

use super::inputs::Sample;
use crate::{MEMORY, Result};

/// Columns of the distribution that are compared: enough for a mean, and few enough for any length.
const COLUMNS: usize = 64;

/// What was measured.
pub struct Measurement {
    /// Seconds, forward alone.
    pub forward: f64,
    /// Seconds, forward and backward.
    pub both: f64,
    /// Bytes beyond the inputs while both run.
    pub peak: usize,
    /// ‖output − exact‖ / ‖exact‖.
    pub output: f64,
    /// Half of Σ_j |weight − exact weight|, the mean over rows, estimated from some of the columns.
    pub distribution: f64,
}

/// What exact attention makes of the same sample.
pub struct Reference {
    output: Vec<f32>,
    columns: Vec<f32>,
}

/// Builds and runs a mechanism, and compares it with `exact`, or with itself if there is none yet.
///
/// # Errors
/// What the mechanism refuses.
pub fn measure(
    entry: &Entry,
    setting: &Setting,
    sample: &Sample,
    rounds: usize,
    exact: Option<&Reference>,
) -> Result<(&'static Card, Measurement, Reference)> {
    let mechanism = (entry.build)(setting)?;
    let tracked = Setting { device: setting.device.clone().autodiff(), ..setting.clone() };
    let learner = (entry.build)(&tracked)?;
    let reference = reference(&*mechanism, setting, sample)?;
    let forward = median(rounds, || run(&*mechanism, sample).map(drop))?;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let both = median(rounds, || learn(&*learner, sample, &tracked.device))?;
    let peak = MEMORY.peak_usage().saturating_sub(before);
    let against = exact.unwrap_or(&reference);
    let measurement = Measurement {
        forward,
        both,
        peak,
        output: distance(&reference.output, &against.output),
        // Each of the columns stands for as many as there are to one that is compared.
        distribution: {
            let rows = (setting.heads * setting.length) as f64;
            let share = setting.length as f64 / setting.length.min(COLUMNS) as f64;
            let differ: f64 =
                reference.columns.iter().zip(&against.columns).map(|(a, b)| f64::from((a - b).abs())).sum();
            0.5 * share * differ / rows
        },
    };
    Ok((mechanism.card(), measurement, reference))
}

fn run(mechanism: &dyn Mechanism, sample: &Sample) -> Result<Tensor<4>> {
    let Sample { queries, keys, values } = sample;
    Ok(mechanism.mix(queries.clone(), keys.clone(), values.clone())?)
}

/// Forward and backward.
fn learn(mechanism: &dyn Mechanism, sample: &Sample, device: &Device) -> Result {
    let [queries, keys, values] = [&sample.queries, &sample.keys, &sample.values]
        .map(|tensor| Tensor::<4>::from_data(tensor.to_data(), device).require_grad());
    let output = mechanism.mix(queries, keys, values)?;
    std::hint::black_box(output.sum().backward());
    Ok(())
}

/// The median of some rounds in seconds, after one that does not count.
fn median(rounds: usize, mut work: impl FnMut() -> Result) -> Result<f64> {
    work()?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn reference(mechanism: &dyn Mechanism, setting: &Setting, sample: &Sample) -> Result<Reference> {
    // The weights of a key are what the mechanism makes of values that are 1 there and 0 elsewhere.
    let (length, columns) = (setting.length, setting.length.min(COLUMNS));
    let mut chosen = vec![0.0f32; length * columns];
    for column in 0..columns {
        // A stretch for each column, and a place in it that no block size divides evenly.
        let stretch = column * length / columns..(column + 1) * length / columns;
        let at = stretch.start + column * 7 % stretch.len();
        chosen[at * columns + column] = 1.0;
    }
    let device = sample.values.device();
    let chosen = Tensor::<4>::from_data(TensorData::new(chosen, [1, 1, length, columns]), &device);
    let values = chosen.expand([1, setting.heads, length, columns]);
    let weights = mechanism.mix(sample.queries.clone(), sample.keys.clone(), values)?;
    Ok(Reference { output: numbers(run(mechanism, sample)?)?, columns: numbers(weights)? })
}

fn numbers(tensor: Tensor<4>) -> Result<Vec<f32>> {
    tensor.into_data().try_into_vec::<f32>().map_err(|error| format!("{error:?}").into())
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let differ: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let length: f64 = b.iter().map(|&b| square(b)).sum();
    if differ == 0.0 { 0.0 } else { (differ / length).sqrt() }
}
