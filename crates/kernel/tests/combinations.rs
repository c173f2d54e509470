//! Every score with every bias, mask and normalizer, forward, backward and observed, against double precision.

mod oracle;

use oracle::*;
use regard_kernel::probe::Weights;
use regard_kernel::{
    Additive, Alibi, Attention, BigBird, Bilinear, Blocks, Causal, Corner, Cosine, DenseBias, DenseMask, Dilated,
    Distance, Documents, Dot, Entmax, Entmax15, Global, Gumbel, Hard, KeyMask, Padding, Prefix, RelativeBuckets,
    Sampled, ScaledDot, Shape, SharedMask, Sigmoid, SoftCap, Softmax, Sparsemax, TopK, Window, dropout,
};

/// An attention under construction, and the same by definition.
struct Case {
    attention: Attention,
    oracle: Oracle,
    inputs: Inputs,
}

const SCORES: usize = 8;
const BIASES: usize = 8;
const MASKS: usize = 15;
const NORMALIZERS: usize = 14;

fn start(kind: usize, shape: Shape) -> Case {
    let (d, heads, seed) = (shape.query_width, shape.heads, 77);
    let (attention, score, parameters): (Attention, ScoreFn, Vec<f32>) = match kind {
        0 => (Attention::new(Dot), |_, q, k, _| dot(q, k), vec![]),
        1 => (Attention::new(ScaledDot::default()), |_, q, k, _| dot(q, k) / (q.len().max(1) as f64).sqrt(), vec![]),
        2 => {
            let tau: Vec<f32> = numbers(seed, heads).iter().map(|x| 3.0 + x).collect();
            (
                Attention::new(Cosine::new(tau.clone())),
                |h, q, k, tau| tau[h] * dot(q, k) / (dot(q, q) * dot(k, k)).sqrt(),
                tau,
            )
        }
        3 => {
            let tau = vec![5.0];
            (
                Attention::new(Cosine::new(tau.clone())),
                |_, q, k, tau| tau[0] * dot(q, k) / (dot(q, q) * dot(k, k)).sqrt(),
                tau,
            )
        }
        4 => {
            let w = numbers(seed, heads * d * shape.key_width);
            let score: ScoreFn = |h, q, k, w| {
                let w = &w[h * q.len() * k.len()..];
                q.iter().enumerate().map(|(a, q)| q * dot(&w[a * k.len()..][..k.len()], k)).sum()
            };
            (Attention::new(Bilinear::new(w.clone(), d, shape.key_width).unwrap()), score, w)
        }
        5 => {
            let v = numbers(seed, heads * d);
            let score: ScoreFn =
                |h, q, k, v| q.iter().zip(k).zip(&v[h * q.len()..]).map(|((q, k), v)| v * (q + k).tanh()).sum();
            (Attention::new(Additive::new(v.clone(), d)), score, v)
        }
        6 => {
            let score: ScoreFn = |_, q, k, _| {
                let squares: f64 = q.iter().zip(k).map(|(q, k)| (q - k).powi(2)).sum();
                -squares / (q.len().max(1) as f64).sqrt()
            };
            (Attention::new(Distance::default()), score, vec![])
        }
        _ => {
            let v = numbers(seed, d);
            let score: ScoreFn = |_, q, k, v| q.iter().zip(k).zip(v).map(|((q, k), v)| v * (q + k).tanh()).sum();
            (Attention::new(Additive::new(v.clone(), d)), score, v)
        }
    };
    Case {
        attention,
        oracle: Oracle {
            shape,
            score,
            biases: vec![],
            mask: Box::new(|_| true),
            normalize: Normalize::Softmax { temperature: 1.0 },
            keep: Box::new(|_| 1.0),
            base: None,
        },
        inputs: Inputs { score: wide(&parameters), ..Inputs::default() },
    }
}

impl Case {
    fn bias(mut self, kind: usize) -> Self {
        let Shape { batch, heads, queries, keys, .. } = self.oracle.shape;
        let offset = keys as isize - queries as isize;
        let dense = |case: Self, shape: [usize; 4]| -> Self {
            let values = numbers(5, size(shape));
            let bias: BiasFn = Box::new(move |pair, e, values| {
                let index = shape.iter().zip(pair).fold(0, |at, (&n, i)| at * n + if n == 1 { 0 } else { i });
                e + values[index]
            });
            case.push(DenseBias::new(values.clone(), shape).unwrap(), bias, values)
        };
        match kind {
            0 => self,
            1 => dense(self, [batch, heads, queries, keys]),
            2 => dense(self, [1, heads, queries, keys]),
            3 => dense(self, [batch, 1, 1, keys]),
            4 => {
                let alibi = Alibi::new(heads);
                let slopes = wide(alibi.slopes());
                let bias: BiasFn = Box::new(move |[_, h, i, j], e, _| {
                    e - slopes[h] * (i as isize + offset - j as isize).unsigned_abs() as f64
                });
                self.push(alibi, bias, vec![])
            }
            5 => {
                let table = numbers(6, 8 * heads);
                let buckets = RelativeBuckets::new(table.clone(), heads, true, 40).unwrap();
                let same = buckets.clone();
                let bias: BiasFn = Box::new(move |[_, h, i, j], e, table| {
                    e + table[same.bucket(j as isize - i as isize - offset) * heads + h]
                });
                self.push(buckets, bias, table)
            }
            6 => self.push(SoftCap::new(1.5).unwrap(), Box::new(|_, e, _| 1.5 * (e / 1.5).tanh()), vec![]),
            _ => {
                self = self.bias(5).bias(2).bias(6);
                dense(self, [1, 1, queries, 1])
            }
        }
    }

    fn push(mut self, bias: impl regard_kernel::Bias + 'static, by_definition: BiasFn, parameters: Vec<f32>) -> Self {
        self.attention = self.attention.bias(bias);
        self.oracle.biases.push(by_definition);
        self.inputs.biases.push(wide(&parameters));
        self
    }

    fn mask(mut self, kind: usize) -> Self {
        let Shape { batch, heads, queries, keys, .. } = self.oracle.shape;
        let offset = keys as isize - queries as isize;
        let lengths: Vec<usize> = (0..batch).map(|b| (keys * (b + 2)).div_ceil(batch + 2).min(keys)).collect();
        let random = numbers(9, batch * heads * queries * keys);
        let seen: Vec<bool> = random.iter().map(|&x| x > 0.3).collect();
        let key_seen: Vec<bool> = numbers(10, batch * keys).iter().map(|&x| x > 0.0).collect();
        let documents = Documents::cross([0, queries / 3, queries], [0, keys / 2, keys]).unwrap();
        let causal = move |[_, _, i, j]: Pair| j as isize <= i as isize + offset;
        let of_document = move |[_, _, i, j]: Pair| if i < queries / 3 { j < keys / 2 } else { j >= keys / 2 };
        let attention = self.attention;
        let (attention, by_definition): (Attention, Box<dyn Fn(Pair) -> bool>) = match kind {
            0 => (attention, Box::new(|_| true)),
            1 => (attention.mask(Causal::default()), Box::new(causal)),
            2 => (attention.mask(Causal::new(Corner::TopLeft)), Box::new(|[_, _, i, j]| j <= i)),
            3 => {
                let attention = attention.mask(Window::new(Some(20), Some(3)));
                let near = move |[_, _, i, j]: Pair| (-20..=3).contains(&(j as isize - i as isize - offset));
                (attention, Box::new(near))
            }
            4 => {
                let attention = attention.mask(Padding::new(lengths.clone())).mask(Causal::default());
                (attention, Box::new(move |pair: Pair| pair[3] < lengths[pair[0]] && causal(pair)))
            }
            5 => {
                let attention = attention.mask(DenseMask::new(&seen, [batch, heads, queries, keys]).unwrap());
                (attention, Box::new(move |[b, h, i, j]| seen[((b * heads + h) * queries + i) * keys + j]))
            }
            6 => (attention.mask(documents), Box::new(of_document)),
            7 => {
                let attention = attention.mask(KeyMask::new(key_seen.clone(), keys).unwrap());
                (attention, Box::new(move |[b, _, _, j]| key_seen[b * keys + j]))
            }
            8 => {
                let attention = attention.mask(Dilated::new(Some(4), Some(2), 3).unwrap());
                let tooth = move |[_, _, i, j]: Pair| {
                    let behind = i as isize + offset - j as isize;
                    behind % 3 == 0 && (-6..=12).contains(&behind)
                };
                (attention, Box::new(tooth))
            }
            9 => {
                let attention = attention.mask(Window::new(Some(5), Some(0)) | Global::new([0, keys / 2]));
                let seen = move |[_, _, i, j]: Pair| {
                    let stands = i as isize + offset;
                    let chosen = |place: isize| place == 0 || place == keys as isize / 2;
                    (0..=5).contains(&(stands - j as isize)) || chosen(j as isize) || chosen(stands)
                };
                (attention, Box::new(seen))
            }
            10 => {
                let attention = attention.mask(Causal::default() | Prefix::new(lengths.clone()));
                (attention, Box::new(move |pair: Pair| causal(pair) || pair[3] < lengths[pair[0]]))
            }
            11 => {
                let rule = |b: usize, h: usize, i: usize, j: usize| (i + b) / 16 != (j + h) / 16;
                let attention = attention.mask(Blocks::new([batch, heads, queries, keys], rule).unwrap());
                (attention, Box::new(move |[b, h, i, j]| rule(b, h, i, j)))
            }
            12 => {
                let layout: Vec<bool> = (0..queries.div_ceil(8) * keys.div_ceil(8)).map(|i| i % 3 != 1).collect();
                let blocks = Blocks::from_layout(&layout, [1, 1, queries, keys], 8).unwrap();
                let seen = move |[_, _, i, j]: Pair| layout[i / 8 * keys.div_ceil(8) + j / 8];
                (attention.mask(blocks), Box::new(seen))
            }
            13 => {
                let block = (2..=keys).find(|&side| keys % side == 0).unwrap_or(1);
                let mask = BigBird::new(3).block(block).unwrap().window(1).global(1).random(2);
                let seen = bird([block, 1, 1, 2], 3, keys, offset);
                (attention.mask(mask), Box::new(seen))
            }
            _ => {
                let shared = SharedMask::new(KeyMask::new(key_seen.clone(), keys).unwrap());
                let attention = attention.mask((documents & !Window::new(None, Some(0))) | shared);
                let seen = move |pair: Pair| of_document(pair) && !causal(pair) || key_seen[pair[0] * keys + pair[3]];
                (attention, Box::new(seen))
            }
        };
        self.attention = attention;
        self.oracle.mask = by_definition;
        self
    }

    fn normalizer(mut self, kind: usize) -> Self {
        let attention = self.attention;
        let (attention, normalize) = match kind {
            0 => (attention, Normalize::Softmax { temperature: 1.0 }),
            1 => {
                let sink = numbers(11, self.oracle.shape.heads);
                self.inputs.sink = wide(&sink);
                let softmax = Softmax::default().temperature(0.8).unwrap().sink(sink);
                (attention.normalizer(softmax), Normalize::Softmax { temperature: f64::from(0.8f32) })
            }
            2 => (attention.normalizer(Sigmoid::default()), Normalize::Sigmoid { bias: None }),
            3 => (attention.normalizer(Sigmoid::new(-0.5).unwrap()), Normalize::Sigmoid { bias: Some(-0.5) }),
            4 => (attention.normalizer(TopK::new(1).unwrap()), Normalize::TopK(1)),
            5 => (attention.normalizer(TopK::new(7).unwrap()), Normalize::TopK(7)),
            6 => (attention.normalizer(Sparsemax), Normalize::Sparsemax),
            7 => (attention.normalizer(Entmax15), Normalize::Entmax15),
            8 => (attention.normalizer(Entmax::new(1.25).unwrap()), Normalize::Entmax(1.25)),
            9 => (attention.normalizer(Entmax::new(1.625).unwrap()), Normalize::Entmax(1.625)),
            10 => (attention.normalizer(Hard), Normalize::Hard),
            11 | 12 => {
                let (gumbel, hard) = (Gumbel::new(0.7, 5).unwrap(), kind == 12);
                let normalize = Normalize::Gumbel { temperature: f64::from(0.7f32), seed: 5, hard };
                (attention.normalizer(if hard { gumbel.hard() } else { gumbel }), normalize)
            }
            _ => (attention.normalizer(Sampled::new(6)), Normalize::Sampled(6)),
        };
        (self.attention, self.oracle.normalize) = (attention, normalize);
        self
    }

    fn dropout(mut self, probability: f32) -> Self {
        self.attention = self.attention.dropout(probability, 42).unwrap();
        self.oracle.keep = Box::new(move |[b, h, i, j]| {
            let kept = dropout::keep_weight(42, b, h, i, j, probability);
            if kept { f64::from(1.0 / (1.0 - probability)) } else { 0.0 }
        });
        self
    }

    /// Checks everything against the definition.
    fn check(mut self, name: &str) {
        let shape = self.oracle.shape;
        let q = numbers(1, size(query_shape(&shape)));
        let k = numbers(2, size(key_shape(&shape)));
        let v = numbers(3, size(value_shape(&shape)));
        let grad = numbers(4, size(context_shape(&shape)));
        (self.inputs.q, self.inputs.k, self.inputs.v) = (wide(&q), wide(&k), wide(&v));
        let expected = self.oracle.forward(&self.inputs);
        let (q, k) = (view(&q, query_shape(&shape)), view(&k, key_shape(&shape)));
        let (v, grad_view) = (view(&v, value_shape(&shape)), view(&grad, context_shape(&shape)));

        let output = self.attention.forward(&q, &k, &v).unwrap();
        let error = difference(&output.context, &expected.context);
        assert!(error < 3e-6, "{name}: context is off by {error:e}");
        let error = difference(&output.lse, &expected.lse);
        assert!(error < 3e-6, "{name}: lse is off by {error:e}");

        let decoded = self.attention.decode(&q, (&k, &v)).unwrap();
        let error = difference(&decoded.context, &expected.context).max(difference(&decoded.lse, &expected.lse));
        assert!(error < 3e-6, "{name}: decoded is off by {error:e}");

        let mut weights = Weights::new();
        self.attention.observe(&q, &k, &output.lse, &mut [&mut weights]).unwrap();
        let error = difference(weights.values(), &expected.weights);
        assert!(error < 3e-6, "{name}: weights are off by {error:e}");

        let gradients = self.attention.backward(&q, &k, &v, &output.context, &output.lse, &grad_view).unwrap();
        let grad = wide(&grad);
        self.oracle.base = Some(expected);
        let along = |what: &str, found: &[f32], pick: &dyn Fn(&mut Inputs) -> &mut Vec<f64>| {
            // The derivative along a random direction, with all components in it, by central differences.
            for seed in [100, 101] {
                let direction = wide(&numbers(seed, found.len()));
                // So small that hardly any score crosses a threshold on the way.
                let step = 1e-7;
                let loss = |sign: f64| {
                    let mut moved = self.inputs.clone();
                    let values = pick(&mut moved);
                    assert_eq!(values.len(), found.len(), "{name}: {what}");
                    values.iter_mut().zip(&direction).for_each(|(x, d)| *x += sign * step * d);
                    self.oracle.loss(&moved, &grad)
                };
                let expected = (loss(1.0) - loss(-1.0)) / (2.0 * step);
                let found: f64 = found.iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < 2e-5, "{name}: gradient of {what} is {found}, not {expected}");
            }
        };
        along("queries", &gradients.queries, &|inputs| &mut inputs.q);
        along("keys", &gradients.keys, &|inputs| &mut inputs.k);
        along("values", &gradients.values, &|inputs| &mut inputs.v);
        along("score", &gradients.score, &|inputs| &mut inputs.score);
        along("sink", &gradients.normalizer, &|inputs| &mut inputs.sink);
        for i in 0..self.inputs.biases.len() {
            along("bias", &gradients.biases[i], &move |inputs| &mut inputs.biases[i]);
        }
    }
}

fn shape(index: usize) -> Shape {
    let [batch, heads, key_heads, queries, keys, width, value_width] = [
        [2, 2, 2, 17, 17, 5, 5],
        [1, 2, 1, 5, 70, 8, 3],
        [2, 1, 1, 66, 13, 16, 17],
        [1, 4, 2, 33, 40, 7, 16],
        [3, 2, 2, 9, 65, 4, 6],
    ][index % 5];
    Shape { batch, heads, key_heads, queries, keys, query_width: width, key_width: width, value_width }
}

#[test]
fn every_combination_of_score_bias_and_mask() {
    for (score, bias, mask) in
        (0..SCORES * BIASES * MASKS).map(|i| (i / (BIASES * MASKS), i / MASKS % BIASES, i % MASKS))
    {
        let index = score * 3 + bias * 5 + mask * 7 + bias * mask;
        let mut size = shape(index);
        if score == 4 {
            size.key_width = 6;
        }
        let mut case = start(score, size).bias(bias).mask(mask).normalizer(index % 2);
        if index.is_multiple_of(3) {
            case = case.dropout(0.2);
        }
        case.check(&format!("score {score}, bias {bias}, mask {mask}, case {index}, {size:?}"));
    }
}

#[test]
fn every_combination_of_normalizer_and_mask() {
    for (normalizer, mask, bias) in
        (2..NORMALIZERS).flat_map(|n| (0..MASKS).flat_map(move |mask| [0, 2, 7].map(|bias| (n, mask, bias))))
    {
        let index = normalizer * 3 + bias * 5 + mask * 7 + bias * mask;
        let score = [0, 1, 2, 3, 5, 6, 7][index % 7];
        let mut case = start(score, shape(index / 2)).bias(bias).mask(mask).normalizer(normalizer);
        if index.is_multiple_of(4) {
            case = case.dropout(0.2);
        }
        case.check(&format!("normalizer {normalizer}, score {score}, bias {bias}, mask {mask}, case {index}"));
    }
}

/// The whole product, on shapes so small that it takes a moment.
#[test]
fn every_combination_of_score_bias_mask_and_normalizer() {
    let shapes = [[1, 2, 1, 5, 6, 3, 2], [2, 1, 1, 6, 4, 2, 3], [1, 2, 2, 7, 7, 2, 1]];
    for index in 0..SCORES * BIASES * MASKS * NORMALIZERS {
        let (score, bias) = (index % SCORES, index / SCORES % BIASES);
        let (mask, normalizer) = (index / SCORES / BIASES % MASKS, index / SCORES / BIASES / MASKS);
        let [batch, heads, key_heads, queries, keys, width, value_width] =
            shapes[(score + bias + mask + normalizer) % 3];
        let key_width = if score == 4 { 4 } else { width };
        let size = Shape { batch, heads, key_heads, queries, keys, query_width: width, key_width, value_width };
        let case = start(score, size).bias(bias).mask(mask).normalizer(normalizer);
        case.check(&format!("score {score}, bias {bias}, mask {mask}, normalizer {normalizer}"));
    }
}

#[test]
fn edges_of_tiles() {
    let lengths = [0, 1, 15, 16, 17, 63, 64, 65, 129];
    for (i, &queries) in lengths.iter().enumerate() {
        for (j, &keys) in lengths.iter().enumerate() {
            let size = Shape {
                batch: 1,
                heads: 2,
                key_heads: 1,
                queries,
                keys,
                query_width: [1, 16, 20][(i + j) % 3],
                key_width: [1, 16, 20][(i + j) % 3],
                value_width: [3, 32][(i * j) % 2],
            };
            for (mask, normalizer) in [(0, 0), (1, 0), (4, 0), (1, 2 + (i + j) % (NORMALIZERS - 2))] {
                let name = format!("{queries} queries, {keys} keys, mask {mask}, normalizer {normalizer}");
                start(1, size).mask(mask).normalizer(normalizer).check(&name);
            }
        }
    }
}

#[test]
fn few_queries() {
    for (score, queries) in (0..SCORES).flat_map(|score| [1, 2, 4, 5].map(|queries| (score, queries))) {
        let size = Shape {
            batch: 2,
            heads: 2,
            key_heads: 2,
            queries,
            keys: 70,
            query_width: 18,
            key_width: 18,
            value_width: 4,
        };
        start(score, size).mask(4).check(&format!("score {score}, {queries} queries"));
    }
}

#[test]
fn long_rows() {
    for normalizer in 0..NORMALIZERS {
        // Of one feature, so that some rows of scores are nearly all alike and give every key a weight.
        let [query_width, key_width, value_width] = [1, 1, 5];
        let (queries, keys) = (20, 700);
        let size = Shape { batch: 1, heads: 2, key_heads: 1, queries, keys, query_width, key_width, value_width };
        for mask in [0, 5] {
            start(0, size).mask(mask).normalizer(normalizer).check(&format!("normalizer {normalizer}, mask {mask}"));
        }
    }
}

#[test]
fn no_features_and_no_heads() {
    for (score, heads, width) in [(1, 0, 3), (2, 0, 3), (5, 0, 3), (1, 2, 0), (5, 2, 0), (6, 2, 0), (7, 2, 0)] {
        for queries in [2, 20] {
            let size = Shape {
                batch: 1,
                heads,
                key_heads: 2,
                queries,
                keys: 30,
                query_width: width,
                key_width: width,
                value_width: 4,
            };
            start(score, size).mask(1).check(&format!("score {score}, {heads} heads, {width} features"));
        }
    }
}
