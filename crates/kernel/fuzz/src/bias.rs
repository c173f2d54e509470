//! Biases, what they are by definition, and their derivatives.

use std::rc::Rc;

use arbitrary::{Result, Unstructured};
use regard_kernel::{Alibi, Attention, DenseBias, RelativeBuckets, Shape, SoftCap};

use crate::mask::index;
use crate::oracle::{BiasFn, Pair, numbers, wide};

pub struct Bias {
    pub value: BiasFn,
    pub parameters: Vec<f64>,
    pub back: Back,
}

/// What a bias does to gradients.
pub enum Back {
    Nothing,
    Cap(f64),
    /// It adds the parameter of this place.
    Parameter(Box<dyn Fn(Pair) -> usize>),
}

/// The attention with a random bias, and what that is.
pub fn bias(u: &mut Unstructured, attention: Attention, shape: &Shape) -> Result<(Attention, Bias)> {
    let Shape { batch, heads, queries, keys, .. } = *shape;
    let offset = keys as isize - queries as isize;
    let seed = u64::from(u.arbitrary::<u8>()?);
    let kind = u.int_in_range(0..=3)?;
    Ok(match kind {
        0 => {
            let alibi = if u.arbitrary()? { Alibi::new(heads) } else { Alibi::with_slopes(numbers(seed, heads)) };
            let slopes = wide(alibi.slopes());
            let value: BiasFn = Box::new(move |[_, h, i, j], e, _| {
                e - slopes[h] * (i as isize + offset - j as isize).unsigned_abs() as f64
            });
            (attention.bias(alibi), Bias { value, parameters: vec![], back: Back::Nothing })
        }
        1 => {
            let cap = [0.5f32, 1.5, 30.0][u.int_in_range(0..=2)?];
            let value: BiasFn = Box::new(move |_, e, _| f64::from(cap) * (e / f64::from(cap)).tanh());
            let soft = SoftCap::new(cap).expect("a positive cap");
            (attention.bias(soft), Bias { value, parameters: vec![], back: Back::Cap(f64::from(cap)) })
        }
        2 if heads > 0 => {
            let two: bool = u.arbitrary()?;
            let buckets = u.int_in_range(2..=16)? * 2;
            let table = numbers(seed, buckets * heads);
            let bias = RelativeBuckets::new(table.clone(), heads, two, buckets + 9).expect("enough buckets");
            let same = bias.clone();
            let place = Rc::new(move |[_, h, i, j]: Pair| same.bucket(j as isize - i as isize - offset) * heads + h);
            let at = place.clone();
            let value: BiasFn = Box::new(move |pair, e, table| e + table[place(pair)]);
            let back = Back::Parameter(Box::new(move |pair| at(pair)));
            (attention.bias(bias), Bias { value, parameters: wide(&table), back })
        }
        _ => {
            let shared: u8 = u.arbitrary()?;
            let full = [batch, heads, queries, keys];
            let shape = [0, 1, 2, 3].map(|axis| if shared >> axis & 1 == 1 { 1 } else { full[axis] });
            let values = numbers(seed, shape.iter().product());
            let value: BiasFn = Box::new(move |pair, e, values| e + values[index(shape, pair)]);
            let back = Back::Parameter(Box::new(move |pair| index(shape, pair)));
            let bias = DenseBias::new(values.clone(), shape).expect("a number for every index");
            (attention.bias(bias), Bias { value, parameters: wide(&values), back })
        }
    })
}
