use super::{Curve, Measured, Trust, curve};
use crate::Result;
use crate::error::field;
use crate::random::Random;

/// Resamples of a bootstrap, and the part of them that a side of the interval leaves out.
const RESAMPLES: usize = 1000;
const OUTSIDE: f64 = 0.025;
/// Steps of a curve that is the mean of curves with points of their own.
const STEPS: usize = 20;

/// The mean of many inputs' trust: of each number over the inputs where it was measured, with a bootstrap interval over inputs.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for no inputs, inputs of different methods or perturbations, which have no common mean,
/// or a curve whose parts do not belong together.
pub fn mean(inputs: &[Trust]) -> Result<Trust> {
    let Some(first) = inputs.first() else { return field("inputs", 0, "at least 1") };
    if let Some(other) = inputs.iter().find(|other| other.method != first.method) {
        return field("method", &other.method, "the same for every input");
    }
    if let Some(other) = inputs.iter().find(|other| other.perturbation != first.perturbation) {
        return field("perturbation", &other.perturbation, "the same for every input");
    }
    let curves = || inputs.iter().flat_map(|trust| [&trust.deletion, &trust.insertion]).flatten();
    if let Some(curve) = curves().find(|curve| !curve.is_whole()) {
        return field(
            "curve",
            format!("{} shares", curve.shares.len()),
            "at least 2, with a value and a random one each",
        );
    }
    if inputs.len() == 1 {
        return Ok(first.clone());
    }
    let mut random = Random::new(first.seed);
    let mut numbers = |of: fn(&Trust) -> Option<&Measured>| {
        let found: Vec<&Measured> = inputs.iter().filter_map(of).collect();
        over(&found, &mut random)
    };
    let comprehensiveness = numbers(|trust| trust.comprehensiveness.as_ref());
    let sufficiency = numbers(|trust| trust.sufficiency.as_ref());
    let agreement = numbers(|trust| trust.agreement.as_ref());
    let randomisation = numbers(|trust| trust.randomisation.as_ref());
    let mut curves = |of: fn(&Trust) -> Option<&Curve>| {
        let found: Vec<&Curve> = inputs.iter().filter_map(of).collect();
        let area = over(&found.iter().map(|curve| &curve.area).collect::<Vec<_>>(), &mut random)?;
        let shares: Vec<f32> = (0..=STEPS).map(|step| step as f32 / STEPS as f32).collect();
        let mean = |values: fn(&Curve) -> &[f32]| {
            let at =
                |share: f32| found.iter().map(|one| curve::at(&one.shares, values(one), share)).collect::<Vec<_>>();
            shares.iter().map(|&share| mean_of(&at(share))).collect()
        };
        let (values, random) = (mean(|curve| &curve.values), mean(|curve| &curve.random));
        Some(Curve { shares, values, random, area })
    };
    let (deletion, insertion) = (curves(|trust| trust.deletion.as_ref()), curves(|trust| trust.insertion.as_ref()));
    Ok(Trust {
        inputs: inputs.iter().map(|trust| trust.inputs).sum(),
        comprehensiveness,
        sufficiency,
        deletion,
        insertion,
        agreement,
        randomisation,
        ..first.clone()
    })
}

fn over(found: &[&Measured], random: &mut Random) -> Option<Measured> {
    let values: Vec<f32> = found.iter().map(|measured| measured.value).collect();
    let others: Vec<f32> = found.iter().map(|measured| measured.random).collect();
    (!found.is_empty()).then(|| Measured {
        value: mean_of(&values),
        interval: Some(interval(&values, random)),
        random: mean_of(&others),
        random_interval: interval(&others, random),
    })
}

/// 0 of no values.
pub(super) fn mean_of(values: &[f32]) -> f32 {
    (values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64) as f32
}

/// 95 % percentile bootstrap interval of the mean. Efron, "Bootstrap methods", Annals of Statistics 7(1), 1979.
pub(super) fn interval(values: &[f32], random: &mut Random) -> [f32; 2] {
    if values.is_empty() {
        return [0.0; 2];
    }
    let mut resample = || -> Vec<f32> { values.iter().map(|_| values[random.below(values.len())]).collect() };
    let mut means: Vec<f32> = (0..RESAMPLES).map(|_| mean_of(&resample())).collect();
    means.sort_by(f32::total_cmp);
    [OUTSIDE, 1.0 - OUTSIDE].map(|share| means[(share * (RESAMPLES - 1) as f64).round() as usize])
}
