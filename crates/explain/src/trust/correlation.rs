use crate::error::checked;
use crate::{Error, Result};

/// Spearman's rank correlation: Pearson's correlation of the ranks, where equal values share the mean of their ranks.
///
/// From −1 to 1; `None` for fewer than two values, or where all values of a side are equal, so that they rank nothing.
///
/// # Errors
/// [`Error::Shape`] unless there are as many of both, [`Error::Value`] for a value that is not finite.
pub fn spearman(left: &[f32], right: &[f32]) -> Result<Option<f32>> {
    if left.len() != right.len() {
        return Err(Error::Shape { name: "right".to_owned(), given: right.len(), shape: vec![left.len()] });
    }
    let [left, right] = [ranks(checked("left", left, &[left.len()])?), ranks(checked("right", right, &[right.len()])?)];
    // Ranks of any values have this mean.
    let mean = (left.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = (product(&left, &left) * product(&right, &right)).sqrt();
    Ok((spread > 0.0).then(|| (product(&left, &right) / spread) as f32))
}

/// From 1, in the order of the values.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&place| ranks[place] = rank);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_scipy_says() {
        // scipy.stats.spearmanr([1, 2, 2, 4, -5], [3, 1, 2, 2, 0])
        let found = spearman(&[1.0, 2.0, 2.0, 4.0, -5.0], &[3.0, 1.0, 2.0, 2.0, 0.0]).unwrap().unwrap();
        assert!((found - SCIPY).abs() < 1e-6, "{found}");
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 30.0, 90.0]).unwrap(), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[0.0, -1.0, -7.0]).unwrap(), Some(-1.0));
    }

    #[test]
    fn what_ranks_nothing_has_no_correlation() {
        for values in [&[][..], &[1.0], &[0.0, -0.0, 0.0]] {
            let right: Vec<f32> = (0..values.len()).map(|at| at as f32).collect();
            assert_eq!(spearman(values, &right).unwrap(), None);
        }
        assert!(spearman(&[1.0], &[1.0, 2.0]).unwrap_err().to_string().contains("2 numbers given, 1 expected"));
        assert!(spearman(&[f32::NAN], &[1.0]).unwrap_err().to_string().contains("left: number 0 is NaN"));
    }

    const SCIPY: f32 = 0.289_473_68;
}
