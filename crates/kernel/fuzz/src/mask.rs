//! Masks joined by operators, and what they are by definition.

use std::rc::Rc;

use arbitrary::{Result, Unstructured};
use regard_kernel::{
    BigBird, Blocks, Causal, Corner, DenseMask, Dilated, Documents, Global, KeyMask, Mask, Padding, Prefix, Shape,
    SharedMask, Window,
};

use crate::oracle::{Pair, bird, numbers};

/// Whether a pair is visible.
pub type Sees = Rc<dyn Fn(Pair) -> bool>;

/// A mask of at most `depth` operators on top of each other.
pub fn mask(u: &mut Unstructured, shape: &Shape, depth: usize) -> Result<(Box<dyn Mask>, Sees)> {
    let operator = if depth == 0 { 0 } else { u.int_in_range(0..=7)? };
    if operator < 4 {
        return one(u, shape);
    }
    let (a, sees_a) = mask(u, shape, depth - 1)?;
    if operator == 7 {
        return Ok((Box::new(!a), Rc::new(move |pair| !sees_a(pair))));
    }
    let (b, sees_b) = mask(u, shape, depth - 1)?;
    Ok(match operator {
        4 => (Box::new(a & b), Rc::new(move |pair| sees_a(pair) && sees_b(pair))),
        5 => (Box::new(a | b), Rc::new(move |pair| sees_a(pair) || sees_b(pair))),
        _ => (Box::new(SharedMask::new(a) & !SharedMask::new(b)), Rc::new(move |pair| sees_a(pair) && !sees_b(pair))),
    })
}

fn one(u: &mut Unstructured, shape: &Shape) -> Result<(Box<dyn Mask>, Sees)> {
    let Shape { batch, queries, keys, .. } = *shape;
    let top_left: bool = u.arbitrary()?;
    let corner = if top_left { Corner::TopLeft } else { Corner::BottomRight };
    let offset = if top_left { 0 } else { keys as isize - queries as isize };
    // How far a key is before its query.
    let behind = move |[_, _, i, j]: Pair| i as isize + offset - j as isize;
    Ok(match u.int_in_range(0..=11)? {
        0 => (Box::new(Causal::new(corner)), Rc::new(move |pair| behind(pair) >= 0)),
        kind @ 1..=2 => {
            let [past, future] = [limit(u, keys)?, limit(u, keys)?];
            let step = if kind == 1 { 1 } else { u.int_in_range(1..=keys.max(2))? };
            let mask: Box<dyn Mask> = if kind == 1 {
                Box::new(Window { past, future, corner })
            } else {
                Box::new(Dilated::new(past, future, step).expect("a step").corner(corner))
            };
            let within = move |distance: isize, limit: Option<usize>| {
                limit.is_none_or(|limit| distance <= limit.saturating_mul(step).min(isize::MAX as usize) as isize)
            };
            let sees = move |pair| {
                let behind = behind(pair);
                within(behind, past) && within(-behind, future) && behind.rem_euclid(step as isize) == 0
            };
            (mask, Rc::new(sees))
        }
        kind @ 3..=4 => {
            let lengths = (0..batch).map(|_| u.int_in_range(0..=keys)).collect::<Result<Vec<_>>>()?;
            let mask: Box<dyn Mask> = if kind == 3 {
                Box::new(Padding::new(lengths.clone()))
            } else {
                Box::new(Prefix::new(lengths.clone()))
            };
            (mask, Rc::new(move |[b, _, _, j]| j < lengths[b]))
        }
        5 => {
            let batches = if u.arbitrary()? { batch } else { 1 };
            let seen = booleans(u, batches * keys)?;
            let mask = KeyMask::new(seen.clone(), keys).expect("whole batches");
            (Box::new(mask), Rc::new(move |[b, _, _, j]| seen[if batches == 1 { j } else { b * keys + j }]))
        }
        6 => {
            let count = u.int_in_range(1..=3)?;
            let [from, to] = [offsets(u, queries, count)?, offsets(u, keys, count)?];
            let mask = Documents::cross(from.clone(), to.clone()).expect("rising offsets");
            let document = |offsets: &[usize], at: usize| offsets.windows(2).position(|w| w[0] <= at && at < w[1]);
            (Box::new(mask), Rc::new(move |[_, _, i, j]| document(&from, i) == document(&to, j)))
        }
        7 => {
            let shape = pairs(u, shape)?;
            let seen = booleans(u, shape.iter().product())?;
            let mask = DenseMask::new(&seen, shape).expect("a boolean for every pair");
            (Box::new(mask), Rc::new(move |pair| seen[index(shape, pair)]))
        }
        8 => {
            let shape = pairs(u, shape)?;
            let seen = booleans(u, shape.iter().product())?;
            let rule = move |b, h, i, j| seen[index(shape, [b, h, i, j])];
            let mask = Blocks::new(shape, &rule).expect("few blocks");
            (Box::new(mask), Rc::new(move |[b, h, i, j]| rule(b, h, i, j)))
        }
        9 => {
            let (shape, side) = (pairs(u, shape)?, u.int_in_range(1..=70)?);
            let layout = [shape[0], shape[1], shape[2].div_ceil(side), shape[3].div_ceil(side)];
            let seen = booleans(u, layout.iter().product())?;
            let mask = Blocks::from_layout(&seen, shape, side).expect("a boolean for every block");
            (Box::new(mask), Rc::new(move |[b, h, i, j]| seen[index(layout, [b, h, i / side, j / side])]))
        }
        11 if keys > 0 => {
            let sides: Vec<usize> = (1..=keys).filter(|side| keys.is_multiple_of(*side)).collect();
            let block = *u.choose(&sides)?;
            let [window, global, random] = [u.int_in_range(0..=2)?, u.int_in_range(0..=2)?, u.int_in_range(0..=3)?];
            let seed = u64::from(u.arbitrary::<u8>()?);
            let mask = BigBird::new(seed).block(block).expect("positions").corner(corner);
            let mask = mask.window(window).global(global).random(random);
            (Box::new(mask), Rc::new(bird([block, window, global, random], seed, keys, offset)))
        }
        _ => {
            let batches = if u.arbitrary()? { batch } else { 1 };
            let count = if keys == 0 { 0 } else { u.int_in_range(0..=3)? };
            let lists = (0..batches)
                .map(|_| (0..count).map(|_| u.int_in_range(0..=keys - 1)).collect())
                .collect::<Result<Vec<Vec<usize>>>>()?;
            let mask = Global::batches(lists.clone()).corner(corner);
            let sees = move |pair: Pair| {
                let list = &lists[if batches == 1 { 0 } else { pair[0] }];
                let stands = pair[2] as isize + offset;
                list.contains(&pair[3]) || list.iter().any(|&place| place as isize == stands)
            };
            (Box::new(mask), Rc::new(sees))
        }
    })
}

/// No limit, a huge one, or one that matters.
fn limit(u: &mut Unstructured, keys: usize) -> Result<Option<usize>> {
    Ok(match u.int_in_range(0..=7)? {
        0 => None,
        1 => Some(usize::MAX / 2),
        _ => Some(u.int_in_range(0..=keys)?),
    })
}

/// `count` ranges that cover everything up to `end`, some of them perhaps empty.
fn offsets(u: &mut Unstructured, end: usize, count: usize) -> Result<Vec<usize>> {
    let mut offsets = (1..count).map(|_| u.int_in_range(0..=end)).collect::<Result<Vec<_>>>()?;
    offsets.extend([0, end]);
    offsets.sort_unstable();
    Ok(offsets)
}

/// `[batch or 1, head or 1, query, key]`
fn pairs(u: &mut Unstructured, shape: &Shape) -> Result<[usize; 4]> {
    let mut one = |n: usize| Ok(if u.arbitrary()? { n } else { 1 });
    Ok([one(shape.batch)?, one(shape.heads)?, shape.queries, shape.keys])
}

/// The place of a pair in an array of which axes of 1 are shared.
pub fn index(shape: [usize; 4], pair: Pair) -> usize {
    shape.iter().zip(pair).fold(0, |at, (&n, i)| at * n + if n == 1 { 0 } else { i })
}

/// Few of them true, half, or most.
fn booleans(u: &mut Unstructured, count: usize) -> Result<Vec<bool>> {
    let limit = [-0.9, 0.0, 0.9][u.int_in_range(0..=2)?];
    Ok(numbers(u64::from(u.arbitrary::<u8>()?), count).iter().map(|&x| x > limit).collect())
}
