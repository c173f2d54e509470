//! Masks against what they say of each pair.

use super::*;
use crate::{KEY_BLOCK, QUERY_BLOCK};

const LENGTHS: [usize; 8] = [1, 5, 63, 64, 65, 130, 200, 321];

/// Checks every tile of every size: bits by definition, and coverage that is neither wrong nor too careful.
fn check<M: Mask>(make: impl Fn(&Shape) -> M, sees: impl Fn(&Shape, [usize; 4]) -> bool) {
    for (queries, keys) in LENGTHS.into_iter().flat_map(|queries| LENGTHS.map(|keys| (queries, keys))) {
        let (query_width, key_width, value_width) = (1, 1, 1);
        let shape = Shape { batch: 2, heads: 2, key_heads: 1, queries, keys, query_width, key_width, value_width };
        let mask = make(&shape);
        mask.check(&shape).unwrap();
        for (batch, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for queries in shape.query_blocks() {
                for keys in shape.key_blocks() {
                    let tile = Tile { shape: &shape, batch, head, queries: queries.clone(), keys };
                    check_tile(&mask, &tile, &sees, true);
                    // Across the borders of blocks, a mask may be careful.
                    let end = (queries.start + 30 + QUERY_BLOCK).min(shape.queries);
                    let shifted = Tile { queries: (queries.start + 30).min(end - 1)..end, ..tile };
                    check_tile(&mask, &shifted, &sees, false);
                }
            }
        }
    }
}

fn check_tile(mask: &impl Mask, tile: &Tile, sees: &impl Fn(&Shape, [usize; 4]) -> bool, exact: bool) {
    let mut visible = Visible::none(tile);
    mask.fill(tile, &mut visible);
    let mut count = 0;
    for (i, query) in tile.queries.clone().enumerate() {
        for (j, key) in tile.keys.clone().enumerate() {
            let expected = sees(tile.shape, [tile.batch, tile.head, query, key]);
            assert_eq!(visible.get(i, j), expected, "{mask:?}: query {query}, key {key} of {tile:?}");
            count += usize::from(expected);
        }
    }
    let expected = match count {
        0 => Coverage::Empty,
        n if n == tile.queries.len() * tile.keys.len() => Coverage::Full,
        _ => Coverage::Mixed,
    };
    let found = mask.coverage(tile);
    assert!(found == expected || !exact && found == Coverage::Mixed, "{mask:?}: {found:?} of {tile:?}");
}

/// Where a query stands, less the key.
fn behind(shape: &Shape, [_, _, i, j]: [usize; 4]) -> isize {
    i as isize + shape.offset() - j as isize
}

#[test]
fn causal_and_windows() {
    check(|_| Causal::default(), |shape, pair| behind(shape, pair) >= 0);
    check(|_| Causal::new(Corner::TopLeft), |_, [_, _, i, j]| j <= i);
    check(|_| Window::new(Some(70), Some(3)), |shape, pair| (-3..=70).contains(&behind(shape, pair)));
    check(|_| Window::new(None, Some(90)), |shape, pair| behind(shape, pair) >= -90);
}

#[test]
fn dilated() {
    for step in [1, 2, 7, 63, 64, 65, 200, usize::MAX] {
        let multiple = move |d: isize| d.unsigned_abs().is_multiple_of(step);
        // No distance in these tests is greater than this.
        let reach = step.min(1 << 20) as isize;
        check(
            |_| Dilated::new(Some(2), Some(1), step).unwrap(),
            |shape, pair| multiple(behind(shape, pair)) && (-reach..=2 * reach).contains(&behind(shape, pair)),
        );
        check(|_| Dilated::new(None, None, step).unwrap(), |shape, pair| multiple(behind(shape, pair)));
        check(
            |_| Dilated::new(None, Some(0), step).unwrap().corner(Corner::TopLeft),
            |_, [_, _, i, j]| j <= i && (i - j) % step == 0,
        );
    }
}

#[test]
fn global() {
    let positions =
        |shape: &Shape| -> Vec<usize> { [300, 0, 64, 64, 7].into_iter().filter(|&p| p < shape.keys).collect() };
    check(
        |shape| Global::new(positions(shape)),
        |shape, [_, _, i, j]| {
            let stands = i as isize + shape.offset();
            positions(shape).iter().any(|&p| p == j || p as isize == stands)
        },
    );
    // All keys of the first block, so that tiles are full; another choice for the other batch.
    let first = |shape: &Shape| -> Vec<usize> { (0..shape.keys.min(KEY_BLOCK)).collect() };
    check(
        |shape| Global::batches([first(shape), vec![]]).corner(Corner::TopLeft),
        |_, [batch, _, i, j]| batch == 0 && (i < KEY_BLOCK || j < KEY_BLOCK),
    );
}

#[test]
fn prefixes_and_padding() {
    let lengths = |shape: &Shape| [shape.keys / 2, shape.keys];
    check(|shape| Prefix::new(lengths(shape)), |shape, [batch, _, _, j]| j < lengths(shape)[batch]);
    check(|shape| Padding::new(lengths(shape)), |shape, [batch, _, _, j]| j < lengths(shape)[batch]);
    check(
        |shape| Causal::default() | Prefix::new(lengths(shape)),
        |shape, pair| behind(shape, pair) >= 0 || pair[3] < lengths(shape)[pair[0]],
    );
}

#[test]
fn documents() {
    let ends = |length: usize| [0, length / 5, length / 5, length / 2, length];
    check(
        |shape| Documents::cross(ends(shape.queries), ends(shape.keys)).unwrap(),
        |shape, [_, _, i, j]| {
            let document = |ends: [usize; 5], place: usize| ends.iter().filter(|&&end| end <= place).count();
            document(ends(shape.queries), i) == document(ends(shape.keys), j)
        },
    );
}

#[test]
fn blocks() {
    let rule = |batch: usize, head: usize, i: usize, j: usize| match (batch, head) {
        (0, 0) => i / 64 % 2 == j / 64 % 2,
        (0, _) => (i * j) % 7 == 3,
        _ => i / 64 == 1 || j < 64,
    };
    let full = |shape: &Shape| [shape.batch, shape.heads, shape.queries, shape.keys];
    check(|shape| Blocks::new(full(shape), rule).unwrap(), |_, [b, h, i, j]| rule(b, h, i, j));
    let row = |b, h, i, keys: std::ops::Range<usize>| {
        let past = u64::MAX.checked_shl(keys.len() as u32).unwrap_or(0);
        keys.enumerate().fold(past, |word, (bit, j)| word | u64::from(rule(b, h, i, j)) << bit)
    };
    check(|shape| Blocks::from_rows(full(shape), row).unwrap(), |_, [b, h, i, j]| rule(b, h, i, j));
    check(
        |shape| Blocks::new([1, 1, shape.queries, shape.keys], |_, _, i, j| j <= i).unwrap(),
        |_, [_, _, i, j]| j <= i,
    );
    for side in [1, 16, 50, 64, 100, 128, 1000] {
        let seen = |map: usize, row: usize, column: usize| (map + row * 3 + column) % 4 < 2;
        check(
            |shape| {
                let (rows, columns) = (shape.queries.div_ceil(side), shape.keys.div_ceil(side));
                let cell = |i: usize| seen(i / (rows * columns), i / columns % rows, i % columns);
                let layout: Vec<bool> = (0..shape.batch * rows * columns).map(cell).collect();
                Blocks::from_layout(&layout, [shape.batch, 1, shape.queries, shape.keys], side).unwrap()
            },
            |_, [batch, _, i, j]| seen(batch, i / side, j / side),
        );
    }
}
