//! A product of two matrices, on attention's micro-kernel.
//!
//! The right-hand matrix is packed once into panels of 64 columns, cut so that what a product reads again and again stays in
//! the first cache; numbers of other types are widened on the way. The other matrix and the result are used where they lie,
//! and a result that is not added to is written once, into memory that nobody has cleared
//! (Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).

use std::ops::Range;

use crate::problem::{READ, cut, run};
use crate::shape::blocks;
use crate::simd::{Base, Place, gemm_into, gemm_strided, pad};
use crate::stored::{Stored, widen};
use crate::view::Matrix;
use crate::{pack, scratch};

/// Columns of a panel: as many vectors as the micro-kernel has side by side.
const PANEL: usize = 64;
/// Rows of a panel that are packed at a time: a quarter of the second cache.
const DEPTH: usize = 1024;
/// The same where the other matrix lies across: every row that is read, a line of the cache each, is read again for the next
/// few columns, and the lines of so many rows are still there.
const ACROSS: usize = 128;
/// Rows of the result whose sums are kept at hand where they are not whole vectors.
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

impl<'a> Start<'a> {
    /// For some of the columns.
    pub(super) fn of(self, columns: Range<usize>) -> Self {
        match self {
            Start::Bias(bias) => Start::Bias(bias.get(columns).unwrap_or_default()),
            Start::Sum => Start::Sum,
        }
    }

    fn base(self) -> Base<'a> {
        match self {
            Start::Sum => Base::Sum,
            Start::Bias([]) => Base::Zero,
            Start::Bias(bias) => Base::Each(bias),
        }
    }
}

/// `out += left · right`, contiguous. Each element is summed in an order that only the sizes decide.
pub(super) fn add_product(left: Matrix<'_>, right: Right<'_>, out: &mut [f32]) {
    match right {
        _ if out.is_empty() => {}
        Right::Straight(right) if is_few(left, right) => add_few(left, right, out),
        _ => {
            let columns = right.columns();
            add_packed(left, right, Start::Sum, Place::of(out, left.rows, 0..columns, columns));
        }
    }
}

/// `left · right + bias`, likewise; without a bias, that is empty.
pub(super) fn product(left: Matrix<'_>, right: Right<'_>, bias: &[f32]) -> Vec<f32> {
    let (rows, columns) = (left.rows, right.columns());
    match right {
        Right::Straight(right) if is_few(left, right) => {
            let mut out = filled(bias, rows, columns);
            add_few(left, right, &mut out);
            out
        }
        _ if left.columns == 0 => filled(bias, rows, columns),
        _ => {
            let mut out = Vec::new();
            add_packed(left, right, Start::Bias(bias), Place::after(&mut out, rows, columns));
            // SAFETY: there was room for them, and the tasks have written every part.
            unsafe { out.set_len(rows * columns) };
            out
        }
    }
}

/// Rows that are the bias, or 0 if there is none.
pub(super) fn filled(bias: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    if bias.is_empty() { vec![0.0; rows * columns] } else { bias.repeat(rows) }
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

/// As [`product`] or [`add_product`], for many rows. A task packs the part of the panel that it multiplies with.
fn add_packed(left: Matrix<'_>, right: Right<'_>, start: Start<'_>, out: Place<'_>) {
    let deep = if left.column_stride == 1 { DEPTH } else { ACROSS };
    by_panels(left.columns, out, |rows, panel, mut out| {
        let lanes = pad(panel.len());
        scratch::with([GROUP * lanes, deep.min(left.columns) * lanes], |[sums, packed]| {
            let mut start = start.of(panel.clone());
            for depth in blocks(0..left.columns, deep) {
                right.pack(depth.clone(), panel.clone(), packed);
                let left = part(left.slice(rows.clone()), depth);
                if panel.len() == lanes {
                    gemm_into(1.0, left, packed, lanes, start.base(), &mut out);
                } else {
                    add_ragged(left, packed, start, &mut out, sums);
                }
                start = Start::Sum;
            }
        });
    });
}

/// As [`gemm_into`], where the columns are no whole vectors: a few rows at a time are summed elsewhere.
fn add_ragged(left: Matrix<'_>, right: &[f32], start: Start<'_>, out: &mut Place<'_>, sums: &mut [f32]) {
    let (columns, lanes) = (out.columns(), pad(out.columns()));
    for group in blocks(0..left.rows, GROUP) {
        let sums = &mut sums[..group.len() * lanes];
        for (row, sums) in group.clone().zip(sums.chunks_exact_mut(lanes)) {
            let (held, padding) = sums.split_at_mut(columns);
            match start {
                // SAFETY: the row is there; something is added to it, so it has been written.
                Start::Sum => held.copy_from_slice(unsafe { std::slice::from_raw_parts(out.row(row), columns) }),
                Start::Bias([]) => held.fill(0.0),
                Start::Bias(bias) => held.copy_from_slice(bias),
            }
            padding.fill(0.0);
        }
        gemm_strided(1.0, left.slice(group.clone()), right, Base::Sum, sums, [lanes; 2], 0..lanes);
        for (row, sums) in group.zip(sums.chunks_exact(lanes)) {
            // SAFETY: the row is there, and is not among the sums.
            unsafe { out.row(row).copy_from_nonoverlapping(sums.as_ptr(), columns) };
        }
    }
}

/// Cuts a product, a sum of `depth` terms an element, into tasks. Each is given its rows, its panel of columns, and the
/// place of its results, which it writes before it adds to them if nobody has before.
pub(super) fn by_panels(
    depth: usize,
    out: Place<'_>,
    multiply: impl Fn(Range<usize>, Range<usize>, Place<'_>) + Sync + Send,
) {
    let (count, columns) = (out.rows(), out.columns());
    // As many rows a task as leave enough tasks for every thread.
    let wanted = (4 * rayon::current_num_threads()).div_ceil(columns.div_ceil(PANEL).max(1));
    let tall = count.div_ceil(wanted).clamp(LEAST, MOST).next_multiple_of(TILE);
    let mut tasks = vec![];
    for rows in blocks(0..count, tall) {
        for panel in blocks(0..columns, PANEL) {
            // SAFETY: the parts have nothing in common, and `out` itself is not used.
            let part = unsafe { out.part(rows.clone(), panel.clone()) };
            tasks.push((rows.clone(), panel, part));
        }
    }
    let work = count as f64 * depth as f64 * columns as f64;
    run(work, tasks, |(rows, panel, out)| multiply(rows, panel, out));
}

/// Some of the columns.
fn part(matrix: Matrix<'_>, columns: Range<usize>) -> Matrix<'_> {
    Matrix { data: &matrix.data[columns.start * matrix.column_stride..], columns: columns.len(), ..matrix }
}
