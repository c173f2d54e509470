//! Comprehensiveness and sufficiency: the number without the highest places, and with them alone.
//!
//! Over the shares `b` of 1, 5, 10, 20 and 50 % (at least one place each), with `r_b` the highest places:
//! `comprehensiveness = mean_b f(x) − f(x ∖ r_b)`, `sufficiency = mean_b f(x) − f(r_b)`.
//! DeYoung et al., "ERASER: A Benchmark to Evaluate Rationalized NLP Models", ACL 2020, arXiv:1911.03429.

/// Asks for the number of an input of which these places are kept.
pub(super) type Number<'a> = &'a mut dyn FnMut(Vec<bool>) -> f32;

const SHARES: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.5];

pub(super) fn comprehensiveness(order: &[usize], number: Number) -> f32 {
    mean_loss(order, false, number)
}

pub(super) fn sufficiency(order: &[usize], number: Number) -> f32 {
    mean_loss(order, true, number)
}

fn mean_loss(order: &[usize], keep: bool, number: Number) -> f32 {
    let whole = number(vec![true; order.len()]);
    let losses = SHARES.map(|share| whole - number(first(order, (share * order.len() as f64).ceil() as usize, keep)));
    losses.iter().sum::<f32>() / SHARES.len() as f32
}

/// The first places of an order kept and the others not, or the other way round.
pub(super) fn first(order: &[usize], count: usize, keep: bool) -> Vec<bool> {
    let mut kept = vec![!keep; order.len()];
    order.iter().take(count).for_each(|&place| kept[place] = keep);
    kept
}
