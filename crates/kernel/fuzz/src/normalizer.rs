//! Normalizers, and what they are by definition.

use arbitrary::{Result, Unstructured};
use regard_kernel::{Attention, Entmax, Entmax15, Gumbel, Hard, Sampled, Shape, Sigmoid, Softmax, Sparsemax, TopK};

use crate::oracle::{Normalize, numbers};

/// The attention with a random normalizer, what that is, and its sink.
pub fn normalizer(
    u: &mut Unstructured,
    attention: Attention,
    shape: &Shape,
) -> Result<(Attention, Normalize, Vec<f32>)> {
    let choice = u.int_in_range(0..=15)?;
    Ok(match choice {
        0 | 1 => {
            let temperature = [0.5f32, 0.8, 2.0][u.int_in_range(0..=2)?];
            let softmax = Softmax::default().temperature(temperature).expect("a positive temperature");
            let normalize = Normalize::Softmax { temperature: f64::from(temperature) };
            if choice == 0 {
                return Ok((attention.normalizer(softmax), normalize, vec![]));
            }
            let sink: Vec<f32> =
                numbers(u64::from(u.arbitrary::<u8>()?), shape.heads).iter().map(|x| 2.0 * x).collect();
            (attention.normalizer(softmax.sink(sink.clone())), normalize, sink)
        }
        2 => (attention.normalizer(Sigmoid::default()), Normalize::Sigmoid { bias: None }, vec![]),
        3 => {
            let sigmoid = Sigmoid::new(-0.5).expect("a finite bias");
            (attention.normalizer(sigmoid), Normalize::Sigmoid { bias: Some(-0.5) }, vec![])
        }
        4 | 5 => {
            let k = u.int_in_range(1..=shape.keys.max(1))?;
            (attention.normalizer(TopK::new(k).expect("at least one")), Normalize::TopK(k), vec![])
        }
        6 => (attention.normalizer(Sparsemax), Normalize::Sparsemax, vec![]),
        7 => (attention.normalizer(Entmax15), Normalize::Entmax15, vec![]),
        8 => {
            let alpha = [1.25f32, 1.5, 1.625][u.int_in_range(0..=2)?];
            let entmax = Entmax::new(alpha).expect("more than 1");
            (attention.normalizer(entmax), Normalize::Entmax(f64::from(alpha)), vec![])
        }
        9 => (attention.normalizer(Hard), Normalize::Hard, vec![]),
        10 => {
            let (temperature, seed, hard) =
                ([0.5f32, 0.8, 2.0][u.int_in_range(0..=2)?], u.arbitrary()?, u.arbitrary()?);
            let gumbel = Gumbel::new(temperature, seed).expect("a positive temperature");
            let normalize = Normalize::Gumbel { temperature: f64::from(temperature), seed, hard };
            (attention.normalizer(if hard { gumbel.hard() } else { gumbel }), normalize, vec![])
        }
        11 => {
            let seed = u.arbitrary()?;
            (attention.normalizer(Sampled::new(seed)), Normalize::Sampled(seed), vec![])
        }
        _ => (attention, Normalize::Softmax { temperature: 1.0 }, vec![]),
    })
}
