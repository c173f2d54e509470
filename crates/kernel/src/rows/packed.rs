//! A product of two matrices, on attention's micro-kernel.
//!
//! The right-hand matrix is packed once into panels of 64 columns, cut so that what a product reads again and again stays in
//! the first cache; numbers of other types are widened on the way. The other matrix and the result are used where they lie
//! (Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).

use std::ops::Range;

use crate::problem::{READ, cut, run};
use crate::shape::blocks;
use crate::simd::{Base, gemm_strided, pad};
use crate::stored::{Stored, widen};
use crate::view::Matrix;
use crate::{pack, scratch};

/// Columns of a panel: as many vectors as the micro-kernel has side by side.
const PANEL: usize = 64;
/// Rows of a panel that fit into the first cache beside what they are multiplied with.
const DEPTH: usize = 96;
/// Rows that are packed at a time, which bounds working memory.
const PACKED: usize = 8 * DEPTH;
/// Most rows of the result that one task works on: what they need stays in the second cache.
const BLOCK: usize = 192;
/// Rows of a task are a multiple of this, which the micro-kernel cuts without a rest.
const TILE: usize = 6;
/// With fewer rows than this, packing costs more than it saves.
const FEW: usize = 24;
/// Columns of a task where rows are few.
const STRIP: usize = 256;
/// What it takes to pack a number, in multiplications.
const PACKING: f64 = 8.0;

/// The right-hand side of a product.
#[derive(Clone, Copy)]
pub(super) enum Right<'a> {
    Straight(Stored<'a>),
    /// The other way round than it is to be used.
    Transposed(Stored<'a>),
}

impl<'a> Right<'a> {
    /// The way in which a matrix is packed faster.
    pub(super) fn of(matrix: Stored<'a>) -> Self {
        let across = matrix.row_stride == 1 && matrix.column_stride != 1;
        if across { Right::Transposed(matrix.transposed()) } else { Right::Straight(matrix) }
    }

    fn columns(&self) -> usize {
        match self {
            Right::Straight(matrix) => matrix.columns,
            Right::Transposed(matrix) => matrix.rows,
        }
    }

    /// Copies a part to `[row][column]`, rows padded with 0 to whole vectors.
    fn pack(&self, rows: Range<usize>, columns: Range<usize>, to: &mut [f32]) {
        match *self {
            Right::Straight(matrix) => widen(matrix.slice(rows).columns(columns), to),
            Right::Transposed(matrix) => {
                matrix.slice(columns).columns(rows).with(|matrix| pack::transpose(matrix, to));
            }
        }
    }
}

/// `out += left · right`, contiguous. Each element is summed in an order that only the sizes decide.
pub(super) fn add_product(left: Matrix<'_>, right: Right<'_>, out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    let columns = right.columns();
    let whole = pad(columns) == columns;
    match right {
        Right::Straight(right) if whole && left.rows < FEW && right.row_stride >= columns => add_few(left, right, out),
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

/// As [`add_product`], for few rows, where those of `out` are whole vectors: the right-hand matrix is used where it lies, or
/// widened for one use.
fn add_few(left: Matrix<'_>, right: Stored<'_>, out: &mut [f32]) {
    let columns = right.columns;
    scratch::with([left.rows * columns], |[sums]| {
        // Some columns of every row lie together for the time of the product, so that each task has memory of its own.
        let strips = || blocks(0..columns, STRIP);
        let mut tasks: Vec<_> = strips().zip(cut(sums, 1, strips(), left.rows)).collect();
        for (strip, sums) in &mut tasks {
            for (sums, out) in sums.chunks_exact_mut(strip.len()).zip(out.chunks_exact(columns)) {
                sums.copy_from_slice(&out[strip.clone()]);
            }
        }
        run(READ * right.bytes() as f64, tasks, |(strip, sums)| {
            for depth in blocks(0..left.columns, DEPTH) {
                let left = part(left, depth.clone());
                right.slice(depth).columns(strip.clone()).with_padded(|right| {
                    let strides = [right.row_stride, strip.len()];
                    gemm_strided(1.0, left, right.data, Base::Sum, sums, strides, 0..strip.len());
                });
            }
        });
        for strip in strips() {
            let sums = sums[strip.start * left.rows..].chunks_exact(strip.len());
            for (sums, out) in sums.zip(out.chunks_exact_mut(columns)) {
                out[strip.clone()].copy_from_slice(sums);
            }
        }
    });
}

/// As [`add_product`], where the rows of `out` are whole vectors.
fn add_packed(left: Matrix<'_>, right: Right<'_>, out: &mut [f32], columns: usize) {
    let stride = pad(columns);
    let work = left.rows as f64 * left.columns as f64 * columns as f64;
    // Tasks of one size, of whole tiles of the micro-kernel, at least one a thread.
    let count = left.rows.div_ceil(BLOCK).next_multiple_of(rayon::current_num_threads());
    let tall = left.rows.div_ceil(count.max(1)).next_multiple_of(TILE);
    scratch::with([PACKED.min(left.columns) * stride], |[packed]| {
        for depth in blocks(0..left.columns, PACKED) {
            // `[slice of DEPTH rows][panel][row][column]`
            let mut rest = &mut packed[..depth.len() * stride];
            let mut panels = vec![];
            for rows in blocks(depth.clone(), DEPTH) {
                for panel in blocks(0..columns, PANEL) {
                    let (to, others) = std::mem::take(&mut rest).split_at_mut(rows.len() * pad(panel.len()));
                    panels.push((rows.clone(), panel, to));
                    rest = others;
                }
            }
            let numbers = depth.len() as f64 * stride as f64;
            run(PACKING * numbers, panels, |(rows, panel, to)| right.pack(rows, panel, to));
            let packed = &packed[..depth.len() * stride];
            let tasks = out.chunks_mut(tall * stride).zip(blocks(0..left.rows, tall)).collect();
            run(work, tasks, |(out, block): (&mut [f32], Range<usize>)| {
                let mut rest = packed;
                for rows in blocks(depth.clone(), DEPTH) {
                    let left = part(left.slice(block.clone()), rows);
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

/// Some of the columns.
fn part(matrix: Matrix<'_>, columns: Range<usize>) -> Matrix<'_> {
    Matrix { data: &matrix.data[columns.start * matrix.column_stride..], columns: columns.len(), ..matrix }
}
