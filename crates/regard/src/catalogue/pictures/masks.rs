//! Pictures of masks: who sees whom.

use regard_kernel::{
    Attention, BigBird, Blocks, Causal, DenseMask, Dilated, Documents, Global, Mask, Padding, Prefix, Window,
};

use super::scene::{Rows, measured, numbered, weights};
use super::{Draw, Picture};
use crate::error::Result;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("Causal", || seen("Yellow is visible: each query sees itself and what came before.", Causal::default(), "causal")),
    ("Window", || {
        let window = Window::new(Some(4), Some(2));
        seen(
            "Four keys behind and two ahead; the cost follows the yellow area, at long lengths.",
            window,
            "past 4, future 2",
        )
    }),
    ("Dilated", || {
        let dilated = Dilated::new(Some(4), Some(4), 2)?;
        seen(
            "Four keys to each side, every second one: the same number of keys as a window of 4, twice as far.",
            dilated,
            "step 2",
        )
    }),
    ("Global", || {
        let mask = Window::new(Some(2), Some(2)) | Global::new([0, 12]);
        seen("Positions 0 and 12 are global, joined with a window of 2 by |.", mask, "window | global")
    }),
    ("Prefix", || {
        let mask = Causal::default() | Prefix::new([8]);
        seen("A prompt of 8 is read in both directions, what follows is causal.", mask, "causal | prefix")
    }),
    ("Blocks", blocks),
    ("BigBird", || {
        let mask = BigBird::new(4).block(2)?.window(1).global(1).random(1);
        seen("Blocks of 2: one to each side, one global, one at random for each block of queries.", mask, "blocks of 2")
    }),
    ("Padding", || {
        seen(
            "The sequence has 17 positions, the batch is 32 wide: nobody sees the rest.",
            Padding::new([17]),
            "17 of 32",
        )
    }),
    ("Documents", || {
        seen(
            "Three documents in one row, of 10, 6 and 16 positions.",
            Documents::new([0, 10, 16, 32])?,
            "three documents",
        )
    }),
    ("DenseMask", knight),
];

const LENGTH: usize = 32;

fn seen(caption: &str, mask: impl Mask + 'static, title: &str) -> Result<Picture> {
    let rows = Rows::new(numbered(LENGTH), vec![0.0; LENGTH]);
    draw(caption, mask, title, &rows)
}

fn draw(caption: &str, mask: impl Mask + 'static, title: &str, rows: &Rows) -> Result<Picture> {
    // All scores are 0, so that a weight is more than 0 where the pair is visible.
    let weights = weights(&Attention::default().mask(mask), rows, rows)?;
    let visible = weights.iter().map(|&weight| f32::from(u8::from(weight > 0.0))).collect();
    let panel = measured(title, "visible", ("query", rows.len()), ("key", rows.len()), visible);
    Ok(Picture { caption: caption.to_owned(), panels: vec![panel] })
}

/// Sparse Transformers' strided pattern: the last few, and every so many before.
fn blocks() -> Result<Picture> {
    const STRIDE: usize = 6;
    let rule = |_: usize, _: usize, i: usize, j: usize| j <= i && (i - j < STRIDE || j % STRIDE == STRIDE - 1);
    let mask = Blocks::new([1, 1, LENGTH, LENGTH], rule)?;
    seen(
        "The strided pattern of Sparse Transformers, as a rule: the last 6 keys, and every sixth before.",
        mask,
        "i - j < 6 or j mod 6 = 5",
    )
}

/// Squares of a chess board that a knight reaches in one move.
fn knight() -> Result<Picture> {
    const SIDE: usize = 5;
    let length = SIDE * SIDE;
    let moves = |a: usize, b: usize| {
        let by = [(a / SIDE).abs_diff(b / SIDE), (a % SIDE).abs_diff(b % SIDE)];
        by == [1, 2] || by == [2, 1] || a == b
    };
    let visible: Vec<bool> = (0..length * length).map(|at| moves(at / length, at % length)).collect();
    let mask = DenseMask::new(&visible, [1, 1, length, length])?;
    let rows = Rows::new(numbered(length), vec![0.0; length]);
    draw(
        "A board of 5 × 5 squares, read row by row: a square sees itself and those that a knight reaches.",
        mask,
        "a knight's moves",
        &rows,
    )
}
