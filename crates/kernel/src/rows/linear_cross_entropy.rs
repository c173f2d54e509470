//! Cross-entropy of a linear classifier, without ever holding its logits.
//!
//! The last layer of a model of text is a product with a table of some ten thousand classes, and its logits, with their
//! softmax and gradient, would be the largest tensors of a training step. Here a block of rows goes through the whole table
//! at a time: logits, log-sum-exp and loss, and then, while the block's exponentials are at hand, both products of the
//! gradient. As the loss is the end of a graph, its gradient can be had in the forward pass and needs only to be scaled
//! later (Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2024, arXiv:2411.09009; Hsu et al.,
//! "Liger Kernel", 2024, arXiv:2410.10989). Rows lie side by side in vector lanes, as queries do in attention.

use crate::problem::run;
use crate::simd::{Base, LANES, Lanes, gemm, ln, multiversion, pad};
use crate::view::Matrix;
use crate::{Error, Result, pack, scratch};

/// Rows of a block: each block reads the weights, and adds to their gradient, once.
const BLOCK: usize = 128;
/// Classes of a tile, whose probabilities stay in the first cache between the products.
const TILE: usize = 64;
/// Tiles of a task: the unit of work for threads, and of partial sums over classes.
const STRIP: usize = 16;
/// What is noted of each row in each tile: greatest logit, sum of exponentials relative to it, sum of logits, and the
/// target's logit (0 in tiles without it).
const NOTES: usize = 4;

/// Rows of states, the classifier that reads them, and what it should have said.
#[derive(Clone, Copy, Debug)]
pub struct LinearCrossEntropy<'a> {
    /// `[row, width]`
    pub states: &'a [f32],
    /// `[class, width]`
    pub weight: &'a [f32],
    /// `[class]`, or empty for none.
    pub bias: &'a [f32],
    /// Features of a state.
    pub width: usize,
    /// The right class of each row.
    pub targets: &'a [usize],
    /// The share ε of the probability that is spread over all classes.
    pub smoothing: f32,
    /// Rows with this target count nothing, whatever they hold.
    pub ignore: Option<usize>,
}

/// Derivatives of the summed loss, each in the shape of what it is taken by.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGradients {
    /// By the states; 0 in ignored rows.
    pub states: Vec<f32>,
    /// By the weights.
    pub weight: Vec<f32>,
    /// By the biases; empty without.
    pub bias: Vec<f32>,
}

impl LinearCrossEntropy<'_> {
    /// The sum over rows, in nats, of `(1 - ε) · (-log p_target) + ε · mean over all classes of (-log p)`, where
    /// `p = softmax(weight · state + bias)`.
    ///
    /// This is label smoothing as PyTorch defines it: the mean runs over every class, the target included.
    ///
    /// # Errors
    /// If the lengths do not fit each other, if `smoothing` is not in [0, 1], or if a target is no class.
    pub fn loss(&self) -> Result<f64> {
        let classes = self.classes()?;
        Ok(self.blocks(classes, None))
    }

    /// [`loss`](Self::loss) and its derivatives.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn loss_and_gradients(&self) -> Result<(f64, LinearGradients)> {
        let (classes, width) = (self.classes()?, self.width);
        let mut gradients = LinearGradients {
            states: vec![0.0; self.states.len()],
            // Rows of whole vectors until the end.
            weight: vec![0.0; classes * pad(width)],
            bias: vec![0.0; self.bias.len()],
        };
        let loss = self.blocks(classes, Some(&mut gradients));
        if pad(width) != width {
            for class in 0..classes {
                gradients.weight.copy_within(class * pad(width)..class * pad(width) + width, class * width);
            }
            gradients.weight.truncate(classes * width);
        }
        Ok((loss, gradients))
    }

    /// How many classes there are, if everything fits.
    fn classes(&self) -> Result<usize> {
        let Self { states, weight, bias, width, targets, smoothing, ignore } = *self;
        if width == 0 || !weight.len().is_multiple_of(width) {
            return Err(Error::new(
                "weight",
                format!("{} numbers", weight.len()),
                format!("rows of width {width}, > 0"),
            ));
        }
        let classes = weight.len() / width;
        if targets.len().checked_mul(width) != Some(states.len()) {
            let expected = format!("{} rows of width {width}", targets.len());
            return Err(Error::new("states", format!("{} numbers", states.len()), expected));
        }
        if !bias.is_empty() && bias.len() != classes {
            return Err(Error::new("bias", format!("{} numbers", bias.len()), format!("none or {classes}")));
        }
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::new("label smoothing", smoothing, "between 0 and 1"));
        }
        match targets.iter().find(|&&target| target >= classes && Some(target) != ignore) {
            Some(target) => Err(Error::new("target", target, format!("less than {classes} classes"))),
            None => Ok(classes),
        }
    }

    /// The summed loss of all blocks; adds to the gradients, the weights' in rows of whole vectors.
    fn blocks(&self, classes: usize, mut gradients: Option<&mut LinearGradients>) -> f64 {
        let kept: Vec<usize> = (0..self.targets.len()).filter(|&row| Some(self.targets[row]) != self.ignore).collect();
        let (tiles, width) = (classes.div_ceil(TILE), self.width);
        let lanes = pad(BLOCK.min(kept.len()));
        let sizes = [
            lanes * pad(width),
            lanes * width,
            classes * lanes,
            tiles * NOTES * lanes,
            tiles.div_ceil(STRIP) * width * lanes,
        ];
        scratch::with(sizes, |[states, across, logits, notes, partials]| {
            let mut loss = 0.0;
            for rows in kept.chunks(BLOCK) {
                let lanes = pad(rows.len());
                for (&row, state) in rows.iter().zip(states.chunks_exact_mut(pad(width))) {
                    state[..width].copy_from_slice(&self.states[row * width..][..width]);
                    state[width..].fill(0.0);
                }
                pack::transpose(Matrix::panel(states, rows.len(), width, pad(width)), across);
                let targets: Vec<usize> = rows.iter().map(|&row| self.targets[row]).collect();
                let logits = &mut logits[..classes * lanes];
                let notes = &mut notes[..tiles * NOTES * lanes];
                let block = Block { problem: self, targets: &targets, classes, lanes, states, across };
                loss += block.forward(logits, notes);
                if let Some(gradients) = gradients.as_deref_mut() {
                    block.backward(logits, notes, partials, gradients);
                    let size = width * lanes;
                    let (sum, others) = partials[..tiles.div_ceil(STRIP) * size].split_at_mut(size);
                    for other in others.chunks_exact(size) {
                        sum.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
                    }
                    // The states are in `across` as well; here they make room for their gradient.
                    let rows_of_states = &mut states[..rows.len() * width];
                    pack::untranspose(sum, lanes, rows.len(), rows_of_states);
                    for (&row, grad) in rows.iter().zip(rows_of_states.chunks_exact(width)) {
                        gradients.states[row * width..][..width].copy_from_slice(grad);
                    }
                }
            }
            loss
        })
    }
}

/// Some rows, side by side in lanes.
struct Block<'a> {
    problem: &'a LinearCrossEntropy<'a>,
    targets: &'a [usize],
    classes: usize,
    /// As many as there are rows, padded.
    lanes: usize,
    /// `[row][width, padded]`
    states: &'a [f32],
    /// `[width][lane]`
    across: &'a [f32],
}

impl Block<'_> {
    /// The block's summed loss. Leaves in `logits` `[class][lane]` exponentials relative to their tile's greatest logit, and
    /// in the first row of each tile's `notes` what turns them into probabilities.
    fn forward(&self, logits: &mut [f32], notes: &mut [f32]) -> f64 {
        let LinearCrossEntropy { bias, smoothing, .. } = *self.problem;
        let lanes = self.lanes;
        let strips = logits.chunks_mut(STRIP * TILE * lanes).zip(notes.chunks_mut(STRIP * NOTES * lanes)).enumerate();
        run(self.work(), strips.collect(), |(strip, (logits, notes))| {
            let tiles = logits.chunks_mut(TILE * lanes).zip(notes.chunks_exact_mut(NOTES * lanes));
            for (tile, (logits, notes)) in tiles.enumerate() {
                let (start, count) = ((strip * STRIP + tile) * TILE, logits.len() / lanes);
                gemm(1.0, self.weights(start, count), self.across, Base::Zero, logits, lanes);
                if !bias.is_empty() {
                    for (logits, bias) in logits.chunks_exact_mut(lanes).zip(&bias[start..]) {
                        logits.iter_mut().for_each(|logit| *logit += bias);
                    }
                }
                for (lane, note) in notes[3 * lanes..].iter_mut().enumerate() {
                    let target = self.targets.get(lane).and_then(|target| target.checked_sub(start));
                    *note = target.and_then(|target| logits.get(target * lanes + lane)).copied().unwrap_or(0.0);
                }
                exponentials(logits, notes, lanes);
            }
        });
        let mut losses = [0.0; BLOCK];
        losses_of_rows(notes, lanes, smoothing, self.classes as f32, &mut losses[..lanes]);
        losses[..self.targets.len()].iter().map(|&loss| f64::from(loss)).sum()
    }

    /// From what [`forward`](Self::forward) left: adds to the gradients of weights and biases, and writes that of the
    /// states to `partials` `[strip][width][lane]`, to be summed over the strips.
    fn backward(&self, logits: &[f32], notes: &[f32], partials: &mut [f32], gradients: &mut LinearGradients) {
        let LinearCrossEntropy { width, smoothing, .. } = *self.problem;
        let (lanes, classes) = (self.lanes, self.classes);
        let mut bias = gradients.bias.chunks_mut(STRIP * TILE);
        let strips = logits
            .chunks(STRIP * TILE * lanes)
            .zip(notes.chunks(STRIP * NOTES * lanes))
            .zip(gradients.weight.chunks_mut(STRIP * TILE * pad(width)))
            .zip(partials.chunks_exact_mut(width * lanes))
            .map(|parts| (parts, bias.next().unwrap_or_default()))
            .enumerate();
        let each = smoothing / classes as f32;
        run(2.0 * self.work(), strips.collect(), |(strip, ((((logits, notes), weight), partial), bias))| {
            partial.fill(0.0);
            scratch::with([TILE * lanes], |[errors]| {
                let tiles = logits
                    .chunks(TILE * lanes)
                    .zip(notes.chunks_exact(NOTES * lanes))
                    .zip(weight.chunks_mut(TILE * pad(width)));
                for (tile, ((logits, notes), weight)) in tiles.enumerate() {
                    let (start, count) = ((strip * STRIP + tile) * TILE, logits.len() / lanes);
                    let errors = &mut errors[..logits.len()];
                    probabilities(logits, &notes[..lanes], each, self.targets.len(), errors);
                    for (lane, target) in self.targets.iter().enumerate() {
                        if let Some(error) =
                            target.checked_sub(start).and_then(|target| errors.get_mut(target * lanes + lane))
                        {
                            *error -= 1.0 - smoothing;
                        }
                    }
                    gemm(1.0, self.weights(start, count).transposed(), errors, Base::Sum, partial, lanes);
                    let rows = Matrix::panel(errors, count, self.targets.len(), lanes);
                    gemm(1.0, rows, self.states, Base::Sum, weight, pad(width));
                    for (bias, errors) in bias.iter_mut().skip(tile * TILE).zip(errors.chunks_exact(lanes)) {
                        *bias += errors.as_chunks().0.iter().fold(Lanes::ZERO, |sum, &x| sum.add(Lanes(x))).sum();
                    }
                }
            });
        });
    }

    /// The weights of some classes.
    fn weights(&self, start: usize, count: usize) -> Matrix<'_> {
        let width = self.problem.width;
        Matrix::panel(&self.problem.weight[start * width..], count, width, width)
    }

    /// Multiplications and additions of one product.
    fn work(&self) -> f64 {
        self.classes as f64 * self.problem.width as f64 * self.targets.len() as f64
    }
}

multiversion! {
    /// Turns a tile's logits into exponentials relative to the greatest of their lane, and notes that, their sum and the
    /// sum of the logits.
    fn exponentials<I>(logits: &mut [f32], notes: &mut [f32], lanes: usize) {
        let (greatest, notes) = notes.split_at_mut(lanes);
        let (sums, totals) = notes.split_at_mut(lanes);
        for lane in (0..lanes).step_by(LANES) {
            // Finite, so that nothing but −∞ gives sums of 0 and not of NaN.
            let (mut max, mut total) = (Lanes::splat(f32::MIN), Lanes::ZERO);
            for row in logits.chunks_exact(lanes) {
                let x = Lanes::load(&row[lane..]);
                max = max.max(x);
                total = total.add(x);
            }
            let mut sum = Lanes::ZERO;
            for row in logits.chunks_exact_mut(lanes) {
                let x = Lanes::load(&row[lane..]).zip(max, |x, max| x - max).exp::<I>();
                sum = sum.add(x);
                x.store(&mut row[lane..]);
            }
            max.store(&mut greatest[lane..]);
            sum.store(&mut sums[lane..]);
            total.store(&mut totals[lane..]);
        }
    }

    /// The loss of each lane from the notes of all tiles, whose greatest logits become factors: an exponential times its
    /// tile's factor is a probability.
    fn losses_of_rows<I>(notes: &mut [f32], lanes: usize, smoothing: f32, classes: f32, losses: &mut [f32]) {
        for lane in (0..lanes).step_by(LANES) {
            let note = |tile: &[f32], which: usize| Lanes::load(&tile[which * lanes + lane..]);
            let tiles = || notes.chunks_exact(NOTES * lanes);
            let max = tiles().fold(Lanes::splat(f32::MIN), |max, tile| max.max(note(tile, 0)));
            let (mut sum, mut total, mut right) = (Lanes::ZERO, Lanes::ZERO, Lanes::ZERO);
            for tile in tiles() {
                let factor = note(tile, 0).zip(max, |x, max| x - max).exp::<I>();
                sum = note(tile, 1).fma::<I>(factor, sum);
                total = total.add(note(tile, 2));
                right = right.add(note(tile, 3));
            }
            let lse = sum.zip(max, |sum, max| ln::<I>(sum) + max);
            let mut loss = lse.zip(right, |lse, right| (1.0 - smoothing) * (lse - right));
            if smoothing > 0.0 {
                loss = loss.add(lse.zip(total, |lse, total| smoothing * (lse - total / classes)));
            }
            loss.store(&mut losses[lane..]);
            for tile in notes.chunks_exact_mut(NOTES * lanes) {
                let factor = Lanes::load(&tile[lane..]).zip(lse, |x, lse| x - lse).exp::<I>();
                factor.store(&mut tile[lane..]);
            }
        }
    }

    /// `errors = exponentials · factors - each` in the first `count` lanes, 0 in the others.
    fn probabilities<I>(exponentials: &[f32], factors: &[f32], each: f32, count: usize, errors: &mut [f32]) {
        let lanes = factors.len();
        for (row, errors) in exponentials.chunks_exact(lanes).zip(errors.chunks_exact_mut(lanes)) {
            for ((error, &x), &factor) in errors.iter_mut().zip(row).zip(factors) {
                *error = I::fma(x, factor, -each);
            }
            errors[count..].fill(0.0);
        }
    }
}
