//! Linear layers: `y = x · W + b`, and what its gradient means for x, W and b.
//!
//! All three products run on attention's micro-kernel. The right-hand matrix is packed once into panels of 64 columns, cut
//! so that what a product reads again and again stays in the first cache; the other matrix and the result are used where
//! they lie (Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).

use std::ops::Range;

use super::LinearGradients;
use crate::problem::run;
use crate::shape::blocks;
use crate::simd::{Base, Lanes, gemm_strided, multiversion, pad};
use crate::view::Matrix;
use crate::{Error, Result, pack, scratch};

/// Columns of a panel: as many vectors as the micro-kernel has side by side.
const PANEL: usize = 64;
/// Rows of a panel that fit into the first cache beside what they are multiplied with.
const DEPTH: usize = 96;
/// Rows that are packed at a time, which bounds working memory.
const PACKED: usize = 8 * DEPTH;
/// Most rows of the result that one task works on: what they need stays in the second cache.
const BLOCK: usize = 192;
/// With fewer rows than this, packing costs more than it saves.
const FEW: usize = 24;

/// `out = rows · weight + bias`: rows `[row, width]`, weight `[width, features]`, bias `[features]` or empty for none, out
/// `[row, features]`, all contiguous. `sizes` is `[width, features]`.
///
/// # Errors
/// If the lengths do not fit each other.
pub fn linear(rows: &[f32], weight: &[f32], bias: &[f32], sizes: [usize; 2], out: &mut [f32]) -> Result<()> {
    let [width, features] = sizes;
    let count = check(rows, weight, sizes)?;
    if !bias.is_empty() && bias.len() != features {
        return Err(Error::new("bias", format!("{} numbers", bias.len()), format!("none or {features}")));
    }
    if Some(out.len()) != count.checked_mul(features) {
        let expected = format!("{count} rows of {features} features");
        return Err(Error::new("out", format!("{} numbers", out.len()), expected));
    }
    if bias.is_empty() {
        out.fill(0.0);
    } else {
        out.chunks_exact_mut(features).for_each(|out| out.copy_from_slice(bias));
    }
    let weight = Matrix::panel(weight, width, features, features);
    add_product(Matrix::panel(rows, count, width, width), Right::Straight(weight), out);
    Ok(())
}

/// The gradients by rows, weight and, where the layer has one, bias, given that of [`linear`]'s result, `[row, features]`.
/// With `biased` false, that of the bias is empty.
///
/// # Errors
/// As [`linear`].
pub fn linear_backward(
    rows: &[f32],
    weight: &[f32],
    biased: bool,
    sizes: [usize; 2],
    grad: &[f32],
) -> Result<LinearGradients> {
    let [width, features] = sizes;
    let count = check(rows, weight, sizes)?;
    if Some(grad.len()) != count.checked_mul(features) {
        let expected = format!("{count} rows of {features} features");
        return Err(Error::new("grad", format!("{} numbers", grad.len()), expected));
    }
    let mut gradients = LinearGradients {
        states: vec![0.0; rows.len()],
        weight: vec![0.0; weight.len()],
        bias: vec![0.0; if biased { features } else { 0 }],
    };
    let upstream = Matrix::panel(grad, count, features, features);
    let turned = Right::Transposed(Matrix::panel(weight, width, features, features));
    add_product(upstream, turned, &mut gradients.states);
    add_product(
        Matrix::panel(rows, count, width, width).transposed(),
        Right::Straight(upstream),
        &mut gradients.weight,
    );
    if biased {
        grad.chunks_exact(features.max(1)).for_each(|grad| add(grad, &mut gradients.bias));
    }
    Ok(gradients)
}

/// How many rows there are, if rows and weight fit.
fn check(rows: &[f32], weight: &[f32], [width, features]: [usize; 2]) -> Result<usize> {
    if width == 0 || features == 0 || !rows.len().is_multiple_of(width) {
        let expected = format!("rows of width {width}, both sizes of the layer ({width}, {features}) > 0");
        return Err(Error::new("rows", format!("{} numbers", rows.len()), expected));
    }
    if Some(weight.len()) != width.checked_mul(features) {
        let expected = format!("{width} rows of {features} features");
        return Err(Error::new("weight", format!("{} numbers", weight.len()), expected));
    }
    Ok(rows.len() / width)
}

/// The right-hand side of a product.
#[derive(Clone, Copy)]
pub(super) enum Right<'a> {
    Straight(Matrix<'a>),
    /// The other way round than it is to be used.
    Transposed(Matrix<'a>),
}

impl Right<'_> {
    fn columns(&self) -> usize {
        match self {
            Right::Straight(matrix) => matrix.columns,
            Right::Transposed(matrix) => matrix.rows,
        }
    }

    /// Copies a part to `[row][column]`, rows padded with 0 to whole vectors.
    fn pack(&self, rows: Range<usize>, columns: Range<usize>, to: &mut [f32]) {
        match *self {
            Right::Straight(matrix) => pack::rows(part(matrix, rows, columns), to),
            Right::Transposed(matrix) => pack::transpose(part(matrix, columns, rows), to),
        }
    }
}

fn part(matrix: Matrix<'_>, rows: Range<usize>, columns: Range<usize>) -> Matrix<'_> {
    let part = matrix.slice(rows);
    Matrix { data: &part.data[columns.start * matrix.column_stride..], columns: columns.len(), ..part }
}

/// `out += left · right`, contiguous. Each element is summed in an order that only the sizes decide.
pub(super) fn add_product(left: Matrix<'_>, right: Right<'_>, out: &mut [f32]) {
    let columns = right.columns();
    let whole = pad(columns) == columns;
    match right {
        Right::Straight(right) if whole && left.rows < FEW => {
            for depth in blocks(0..left.columns, DEPTH) {
                let left = part(left, 0..left.rows, depth.clone());
                let right = right.slice(depth);
                gemm_strided(1.0, left, right.data, Base::Sum, out, [columns; 2], 0..columns);
            }
        }
        _ if whole => add_packed(left, right, out, columns),
        // Rows of whole vectors, for the time of the product.
        _ => scratch::with([left.rows * pad(columns)], |[padded]| {
            for (padded, out) in padded.chunks_exact_mut(pad(columns)).zip(out.chunks_exact(columns)) {
                padded[..columns].copy_from_slice(out);
            }
            add_packed(left, right, padded, columns);
            for (out, padded) in out.chunks_exact_mut(columns).zip(padded.chunks_exact(pad(columns))) {
                out.copy_from_slice(&padded[..columns]);
            }
        }),
    }
}

/// As [`add_product`], where the rows of `out` are whole vectors.
fn add_packed(left: Matrix<'_>, right: Right<'_>, out: &mut [f32], columns: usize) {
    let stride = pad(columns);
    let work = left.rows as f64 * left.columns as f64 * columns as f64;
    // Tasks of one size, of whole tiles of the micro-kernel.
    let tall = left.rows.div_ceil(left.rows.div_ceil(BLOCK).max(1)).next_multiple_of(24);
    scratch::with([PACKED.min(left.columns) * stride], |[packed]| {
        for depth in blocks(0..left.columns, PACKED) {
            // `[slice of DEPTH rows][panel][row][column]`
            let mut rest = &mut packed[..depth.len() * stride];
            for rows in blocks(depth.clone(), DEPTH) {
                for panel in blocks(0..columns, PANEL) {
                    let (to, others) = std::mem::take(&mut rest).split_at_mut(rows.len() * pad(panel.len()));
                    right.pack(rows.clone(), panel, to);
                    rest = others;
                }
            }
            let packed = &packed[..depth.len() * stride];
            let tasks = out.chunks_mut(tall * stride).zip(blocks(0..left.rows, tall)).collect();
            run(work, tasks, |(out, block): (&mut [f32], Range<usize>)| {
                let mut rest = packed;
                for rows in blocks(depth.clone(), DEPTH) {
                    let left = part(left, block.clone(), rows);
                    for panel in blocks(0..columns, PANEL) {
                        let lanes = pad(panel.len());
                        let (right, others) = rest.split_at(left.columns * lanes);
                        gemm_strided(1.0, left, right, Base::Sum, &mut out[panel.start..], [lanes, stride], 0..lanes);
                        rest = others;
                    }
                }
            });
        }
    });
}

multiversion! {
    /// `sum += x`
    fn add<I>(x: &[f32], sum: &mut [f32]) {
        let (vectors, tail) = sum.as_chunks_mut();
        let (numbers, tail_numbers) = x.as_chunks();
        for (sum, &x) in vectors.iter_mut().zip(numbers) {
            *sum = Lanes(*sum).add(Lanes(x)).0;
        }
        tail.iter_mut().zip(tail_numbers).for_each(|(sum, x)| *sum += x);
    }
}
