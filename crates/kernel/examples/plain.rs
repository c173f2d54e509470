//! Attention on plain numbers: forward, a look at the weights, backward, and one position after another.
//!
//! `cargo run --release -p regard-kernel --example plain`

use regard_kernel::probe::{Entropy, TopKeys};
use regard_kernel::{Attention, Causal, KeyValueCache, Result, ScaledDot, View};

fn main() -> Result<()> {
    // One batch, two heads, six positions, four features: any numbers will do.
    let shape = [1, 2, 6, 4];
    let [batch, heads, positions, features] = shape;
    let numbers = |step: usize| -> Vec<f32> { (0..48).map(|i| (i * step % 17) as f32 / 8.0 - 1.0).collect() };
    let (queries, keys, values) = (numbers(5), numbers(7), numbers(11));
    let (q, k, v) = (View::new(&queries, shape)?, View::new(&keys, shape)?, View::new(&values, shape)?);

    // Forward. Besides the context, a number for each row is kept: its log-sum-exp.
    let attention = Attention::new(ScaledDot::default()).mask(Causal::default());
    let output = attention.forward(&q, &k, &v)?;
    println!("the last query of head 0 takes home {:.3?}", &output.context[5 * features..6 * features]);

    // A look. The weights were never held; they are made again from q, k and the log-sum-exp.
    let (mut entropy, mut top) = (Entropy::new(), TopKeys::new(2));
    attention.observe(&q, &k, &output.lse, &mut [&mut entropy, &mut top])?;
    for query in 0..positions {
        let strongest: Vec<String> =
            top.get(0, 0, query).iter().map(|key| format!("key {} ({:.2})", key.key, key.weight)).collect();
        println!("query {query} looks at {:.2} nats, most at {}", entropy.values()[query], strongest.join(" and "));
    }

    // Backward. As if the loss were the sum of the context: its gradient is 1 everywhere.
    let ones = vec![1.0; output.context.len()];
    let grad_context = View::new(&ones, shape)?;
    let gradients = attention.backward(&q, &k, &v, &output.context, &output.lse, &grad_context)?;
    // Each query hands out a weight of 1, so the values' gradients add up to one for each query, head and feature.
    println!("gradients of values add up to {:.3}", gradients.values.iter().sum::<f32>());

    // Decode. Positions arrive one by one, and each looks at all that came before it.
    let mut cache = KeyValueCache::new(batch, heads, features, features);
    let mut greatest = 0.0f32;
    for position in 0..positions {
        // The same position of every head: a view with strides, nothing is copied.
        let one = |data| {
            let strides = [heads * positions * features, positions * features, features, 1];
            View::strided(data, [batch, heads, 1, features], strides)
        };
        let [q, k, v] = [&queries, &keys, &values].map(|data| one(&data[position * features..]));
        cache.append(&k?, &v?)?;
        let step = attention.decode(&q?, &cache)?;
        for (head, context) in step.context.chunks_exact(features).enumerate() {
            let whole = &output.context[(head * positions + position) * features..][..features];
            greatest = context.iter().zip(whole).fold(greatest, |most, (a, b)| most.max((a - b).abs()));
        }
    }
    println!("decoding differs from the whole by {greatest:.1e} at most");
    Ok(())
}
