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
/// Rows of a panel that are packed at a time: a quarter of the second cache.
const DEPTH: usize = 1024;
/// Rows of the result whose sums are kept at hand.
const GROUP: usize = 4 * TILE;
/// Rows of the result that a task has at least, for the sake of which a panel is packed once more.
const LEAST: usize = 192;
/// Rows of the result that a task has at most.
const MOST: usize = 768;
/// Rows of a task are a multiple of this, which the micro-kernel cuts without a rest.
const TILE: usize = 6;
/// With fewer rows than this, packing costs more than it saves.
const FEW: usize = 24;
/// Columns of a task where rows are few.
const STRIP: usize = 128;

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

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// What the result holds.
    Sum,
    /// A number a column, or 0 where there are none; what the result held is forgotten without being read.
    Bias(&'a [f32]),
}

impl Start<'_> {
    /// Puts it into sums for some columns of rows of the result, padded with 0 to so many lanes.
    fn fill(&self, columns: Range<usize>, out: &[&mut [f32]], sums: &mut [f32], lanes: usize) {
        for (sums, out) in sums.chunks_exact_mut(lanes).zip(out) {
            let (held, padding) = sums.split_at_mut(columns.len());
            match self {
                Start::Sum => held.copy_from_slice(out),
                Start::Bias([]) => held.fill(0.0),
                Start::Bias(bias) => held.copy_from_slice(&bias[columns.clone()]),
            }
            padding.fill(0.0);
        }
    }
}

/// `out += left · right`, contiguous. Each element is summed in an order that only the sizes decide.
pub(super) fn add_product(left: Matrix<'_>, right: Right<'_>, out: &mut [f32]) {
    match right {
        _ if out.is_empty() => {}
        Right::Straight(right) if is_few(left, right) => add_few(left, right, out),
        _ => add_packed(left, right, Start::Sum, out),
    }
}

/// `out = left · right + bias`, likewise; without a bias, that is empty.
pub(super) fn product(left: Matrix<'_>, right: Right<'_>, bias: &[f32], out: &mut [f32]) {
    match right {
        _ if out.is_empty() => {}
        Right::Straight(right) if is_few(left, right) => {
            fill(bias, right.columns, out);
            add_few(left, right, out);
        }
        _ => add_packed(left, right, Start::Bias(bias), out),
    }
}

/// Makes each row the bias, or 0 if there is none.
pub(super) fn fill(bias: &[f32], columns: usize, out: &mut [f32]) {
    if bias.is_empty() {
        out.fill(0.0);
    } else {
        out.chunks_exact_mut(columns).for_each(|out| out.copy_from_slice(bias));
    }
}

/// Whether [`add_few`] is possible and faster.
fn is_few(left: Matrix<'_>, right: Stored<'_>) -> bool {
    left.rows < FEW && pad(right.columns) == right.columns && right.row_stride >= right.columns
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

/// As [`add_product`], for many rows. A task packs the part of the panel that it multiplies with; a few rows of the result
/// stay in the first cache until all of that is added, and go to where they belong once.
fn add_packed(left: Matrix<'_>, right: Right<'_>, start: Start<'_>, out: &mut [f32]) {
    by_panels(left.columns, right.columns(), out, |rows, panel, out| {
        let lanes = pad(panel.len());
        scratch::with([GROUP * lanes, DEPTH.min(left.columns) * lanes], |[sums, packed]| {
            let mut start = start;
            for depth in blocks(0..left.columns, DEPTH) {
                right.pack(depth.clone(), panel.clone(), packed);
                let left = part(left.slice(rows.clone()), depth);
                for (group, out) in blocks(0..rows.len(), GROUP).zip(out.chunks_mut(GROUP)) {
                    let sums = &mut sums[..group.len() * lanes];
                    start.fill(panel.clone(), out, sums, lanes);
                    gemm_strided(1.0, left.slice(group), packed, Base::Sum, sums, [lanes; 2], 0..lanes);
                    for (sums, out) in sums.chunks_exact(lanes).zip(out) {
                        out.copy_from_slice(&sums[..out.len()]);
                    }
                }
                start = Start::Sum;
            }
        });
    });
}

/// Cuts a product, a sum of `depth` terms an element, into tasks. Each is given its rows, its panel of columns, and the
/// panel's part of those rows.
pub(super) fn by_panels(
    depth: usize,
    columns: usize,
    out: &mut [f32],
    multiply: impl Fn(Range<usize>, Range<usize>, &mut [&mut [f32]]) + Sync,
) {
    let count = out.len() / columns;
    // As many rows a task as leave enough tasks for every thread.
    let wanted = (4 * rayon::current_num_threads()).div_ceil(columns.div_ceil(PANEL));
    let tall = count.div_ceil(wanted).clamp(LEAST, MOST).next_multiple_of(TILE);
    let mut tasks = vec![];
    for (rows, out) in blocks(0..count, tall).zip(out.chunks_mut(tall * columns)) {
        let before = tasks.len();
        tasks.extend(blocks(0..columns, PANEL).map(|panel| (rows.clone(), panel, Vec::with_capacity(rows.len()))));
        for row in out.chunks_exact_mut(columns) {
            tasks[before..].iter_mut().zip(row.chunks_mut(PANEL)).for_each(|((.., rows), part)| rows.push(part));
        }
    }
    let work = count as f64 * depth as f64 * columns as f64;
    run(work, tasks, |(rows, panel, mut out)| multiply(rows, panel, &mut out));
}

/// Some of the columns.
fn part(matrix: Matrix<'_>, columns: Range<usize>) -> Matrix<'_> {
    Matrix { data: &matrix.data[columns.start * matrix.column_stride..], columns: columns.len(), ..matrix }
}
