//! What queries and keys are turned into.

use crate::shape::blocks;
use crate::simd::{Base, LANES, Lanes, gemm, multiversion, pad};
use crate::stored::Stored;
use crate::view::Matrix;
use crate::{Error, Result, pack, scratch};

/// Positions that are worked on together: lanes of a panel.
pub(super) const BLOCK: usize = 64;

/// Keeps random features away from zero, as the paper's implementation does.
const FLOOR: f32 = 1e-4;

/// Positive features of a vector.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureMap {
    /// `elu(x) + 1`, feature by feature: `e^x` below 0 and `x + 1` above.
    Elu,
    /// Positive random features; see [`FeatureMap::exponential`].
    Exponential(Directions),
}

/// Directions of random features.
#[derive(Clone, Debug, PartialEq)]
pub struct Directions {
    /// `[feature][width, padded]`, scaled by d^-¼.
    scaled: Vec<f32>,
    count: usize,
    width: usize,
}

impl FeatureMap {
    /// `φ_w(x) = exp(w·x/d^¼ − ‖x‖²/2√d)` for each of the directions w, `[feature, width]`, contiguous. If they are normal,
    /// `φ(q)·φ(k)` is `exp(q·k/√d)` on average.
    ///
    /// Exponents are relative to the greatest `w·x/d^¼` of the query, or of all keys, and 1e-4 is added, as in the authors'
    /// implementation.
    ///
    /// # Errors
    /// If there are none, or the last is not complete.
    pub fn exponential(directions: &[f32], width: usize) -> Result<Self> {
        if width == 0 || directions.is_empty() || !directions.len().is_multiple_of(width) {
            let expected = format!("at least 1 direction of {width} features, and those at least 1");
            return Err(Error::new("directions", format!("{} numbers", directions.len()), expected));
        }
        let (count, scale) = (directions.len() / width, (width as f32).powf(-0.25));
        let mut scaled = vec![0.0; count * pad(width)];
        for (to, from) in scaled.chunks_exact_mut(pad(width)).zip(directions.chunks_exact(width)) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = scale * from);
        }
        Ok(Self::Exponential(Directions { scaled, count, width }))
    }

    /// The width that vectors must have, if not any will do.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::Elu => None,
            Self::Exponential(directions) => Some(directions.width),
        }
    }

    /// How many features a vector of so many has.
    pub(super) fn count(&self, width: usize) -> usize {
        match self {
            Self::Elu => width,
            Self::Exponential(directions) => directions.count,
        }
    }

    /// What all keys' exponents are relative to.
    pub(super) fn reference(&self, keys: Stored) -> f32 {
        let Self::Exponential(directions) = self else { return 0.0 };
        let mut greatest = f32::MIN;
        scratch::with([directions.count * BLOCK], |[panel]| {
            for block in blocks(0..keys.rows, BLOCK) {
                let (lanes, count) = (pad(block.len()), block.len());
                let panel = &mut panel[..directions.count * lanes];
                keys.slice(block).with(|keys| directions.meet(keys, panel, |_| ()));
                greatest = greatest.max(greatest_of(panel, lanes, count));
            }
        });
        greatest
    }

    /// Fills `features` `[feature][lane]` with those of some rows; lanes past the rows become 0. Keys are given what their
    /// exponents are relative to.
    pub(super) fn apply(&self, rows: Matrix, reference: Option<f32>, features: &mut [f32]) {
        let (lanes, count) = (pad(rows.rows), rows.rows);
        match self {
            Self::Elu => {
                pack::transpose(rows, features);
                elu(features);
            }
            Self::Exponential(directions) => scratch::with([lanes], |[shift]| {
                let quarter = 0.5 / (directions.width as f32).sqrt();
                directions.meet(rows, features, |across| squares(across, quarter, shift));
                match reference {
                    Some(reference) => shift.iter_mut().for_each(|shift| *shift += reference),
                    None => add_greatest(features, shift),
                }
                exponentials(features, shift);
            }),
        }
        if count < lanes {
            features.chunks_exact_mut(lanes).for_each(|feature| feature[count..].fill(0.0));
        }
    }

    /// From the gradient of the features, `[feature][lane]`, to that of the rows they were made of, contiguous.
    pub(super) fn chain(&self, rows: Matrix, features: &[f32], grad: &mut [f32], out: &mut [f32]) {
        let lanes = pad(rows.rows);
        match self {
            Self::Elu => {
                elu_slopes(features, grad);
                pack::untranspose(grad, lanes, rows.rows, out);
            }
            Self::Exponential(Directions { scaled, count, width }) => {
                let padded = pad(*width);
                scratch::with([lanes, rows.rows * padded], |[sums, turned]| {
                    sums.fill(0.0);
                    exponential_slopes(features, grad, sums);
                    let grad = Matrix::panel(grad, *count, rows.rows, lanes).transposed();
                    gemm(1.0, grad, scaled, Base::Zero, turned, padded);
                    let root = (*width as f32).sqrt().recip();
                    let found = turned.chunks_exact(padded).zip(out.chunks_exact_mut(*width)).zip(&*sums);
                    for (row, ((turned, out), sum)) in found.enumerate() {
                        for (i, out) in out.iter_mut().enumerate() {
                            *out = turned[i] - rows.get(row, i) * sum * root;
                        }
                    }
                });
            }
        }
    }
}

impl Directions {
    /// What each of some rows has in common with each direction, `[feature][lane]`; shows the rows across, `[width][lane]`.
    fn meet(&self, rows: Matrix, into: &mut [f32], mut show: impl FnMut(&[f32])) {
        let lanes = pad(rows.rows);
        scratch::with([self.width * lanes], |[across]| {
            pack::transpose(rows, across);
            show(across);
            let directions = Matrix::panel(&self.scaled, self.count, self.width, pad(self.width));
            gemm(1.0, directions, across, Base::Zero, into, lanes);
        });
    }
}

/// The greatest number of the first `count` lanes.
fn greatest_of(panel: &[f32], lanes: usize, count: usize) -> f32 {
    let mut greatest = [f32::MIN; BLOCK];
    greatest_lanes(panel, &mut greatest[..lanes]);
    greatest[..count].iter().fold(f32::MIN, |a, &b| a.max(b))
}

multiversion! {
    fn elu<I>(numbers: &mut [f32]) {
        for x in numbers.as_chunks_mut::<LANES>().0 {
            let low = Lanes(*x).map(|x| if x > 0.0 { 0.0 } else { x }).exp::<I>();
            *x = Lanes(*x).zip(low, |x, low| if x > 0.0 { x + low } else { low }).0;
        }
    }

    /// The derivative of elu is e^x below 0, where the feature is just that, and 1 above, where the feature is more.
    fn elu_slopes<I>(features: &[f32], grad: &mut [f32]) {
        for (grad, feature) in grad.iter_mut().zip(features) {
            *grad *= if *feature < 1.0 { *feature } else { 1.0 };
        }
    }

    /// The sum of squares of each lane, times a factor.
    fn squares<I>(across: &[f32], factor: f32, sums: &mut [f32]) {
        let lanes = sums.len();
        for (at, sum) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut total = Lanes::ZERO;
            for row in across.chunks_exact(lanes) {
                let x = Lanes::load(&row[at * LANES..]);
                total = x.fma::<I>(x, total);
            }
            *sum = total.map(|total| total * factor).0;
        }
    }

    /// The greatest of each lane and of what is there.
    fn greatest_lanes<I>(panel: &[f32], greatest: &mut [f32]) {
        let lanes = greatest.len();
        for (at, most) in greatest.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut max = Lanes(*most);
            for row in panel.chunks_exact(lanes) {
                max = max.max(Lanes::load(&row[at * LANES..]));
            }
            *most = max.0;
        }
    }

    /// Adds to each shift the greatest of its lane.
    fn add_greatest<I>(panel: &[f32], shift: &mut [f32]) {
        let mut greatest = [f32::MIN; BLOCK];
        greatest_lanes(panel, &mut greatest[..shift.len()]);
        shift.iter_mut().zip(&greatest).for_each(|(shift, greatest)| *shift += greatest);
    }

    fn exponentials<I>(panel: &mut [f32], shift: &[f32]) {
        for row in panel.chunks_exact_mut(shift.len()) {
            for (x, &shift) in row.as_chunks_mut::<LANES>().0.iter_mut().zip(shift.as_chunks().0) {
                *x = Lanes(*x).zip(Lanes(shift), |x, shift| x - shift).exp::<I>().map(|x| x + FLOOR).0;
            }
        }
    }

    /// An exponential is its own derivative; sums over features are what the squares of the rows get.
    fn exponential_slopes<I>(features: &[f32], grad: &mut [f32], sums: &mut [f32]) {
        let lanes = sums.len();
        for (grad, features) in grad.chunks_exact_mut(lanes).zip(features.chunks_exact(lanes)) {
            for ((grad, &feature), sum) in grad.iter_mut().zip(features).zip(sums.iter_mut()) {
                *grad *= feature - FLOOR;
                *sum += *grad;
            }
        }
    }
}
