//! What must hold of a problem.

use regard_kernel::normalize::gumbel;
use regard_kernel::probe::{Entropy, Pyramid, Received, TopKeys, Weights};
use regard_kernel::{Gradients, KeyValueCache, Output, PagedCache, Precision, View};

use crate::backward;
use crate::case::{Case, unseen};
use crate::oracle::{Answer, Normalize, context_shape, key_shape, query_shape, value_shape, wide};
use crate::score::Kind;

/// Checks everything that the public calls say about a problem.
///
/// # Panics
/// If one of them is wrong.
pub fn check(case: &Case) {
    let [q, k, v, grad] = [&case.q, &case.k, &case.v, &case.grad].map(|array| array.view());
    let attention = &case.attention;
    if case.odd.is_multiple_of(16) {
        refusals(case, &q, &k, &v);
    }
    if case.is_refused() {
        assert!(attention.forward(&q, &k, &v).is_err(), "widths that differ were accepted");
        return;
    }
    let answer = case.oracle.forward(&case.inputs);
    let Some(bounds) = Bounds::new(case, &answer) else { return };

    let output = attention.forward(&q, &k, &v).expect("a problem that fits");
    bounds.output("forward", &output, &answer);
    let mut again = Output { context: vec![f32::NAN; output.context.len()], lse: vec![f32::NAN; output.lse.len()] };
    attention.forward_into(&q, &k, &v, &mut again.context, &mut again.lse).expect("as before");
    assert!(bits(&again.context) == bits(&output.context) && bits(&again.lse) == bits(&output.lse), "forward_into");
    bounds.output("decode", &attention.decode(&q, (&k, &v)).expect("as before"), &answer);
    if case.odd.is_multiple_of(4) {
        caches(case, &q, &bounds, &answer);
    }
    if case.odd.is_multiple_of(2) {
        probes(case, &q, &k, &output.lse, &bounds, &answer);
    }

    let gradients = attention.backward(&q, &k, &v, &output.context, &output.lse, &grad).expect("as before");
    bounds.gradients(&gradients, &backward::run(case, &answer, &wide(&case.grad.single)));
    if case.odd.is_multiple_of(3) {
        leaks(case);
    }
}

/// Shapes that may not fit are refused alike by everybody, without a panic.
fn refusals(case: &Case, q: &View, k: &View, v: &View) {
    let mut shapes = [q.shape(), k.shape(), v.shape()];
    let [array, axis] = [usize::from(case.odd >> 4) % 3, usize::from(case.odd >> 6) % 4];
    shapes[array][axis] += usize::from(case.odd >> 8) % 3;
    let numbers = vec![0.5; shapes.iter().map(|shape| shape.iter().product()).max().unwrap_or(0)];
    let [q, k, v] = shapes
        .map(|shape| View::new(&numbers[..shape.iter().product()], shape).expect("as many numbers as the shape says"));
    let fits = case.attention.fits(shapes[0], shapes[1], shapes[2]).is_ok();
    assert_eq!(fits, case.attention.forward(&q, &k, &v).is_ok(), "fits and forward disagree");
    assert_eq!(fits, case.attention.decode(&q, (&k, &v)).is_ok(), "fits and decode disagree");
}

/// Decodes from caches that were filled piece by piece.
fn caches(case: &Case, q: &View, bounds: &Bounds, answer: &Answer) {
    let s = case.oracle.shape;
    let piece = 1 + usize::from(case.odd >> 2) % 70;
    let mut cache = KeyValueCache::new(s.batch, s.key_heads, s.key_width, s.value_width);
    let paged = PagedCache::new(s.key_heads, s.key_width, s.value_width, Precision::F32);
    let mut paged = paged.with_page(64).expect("a multiple of 64");
    (0..s.batch).for_each(|_| _ = paged.push());
    for start in (0..s.keys).step_by(piece) {
        let count = piece.min(s.keys - start);
        let part = |single: &[f32], width: usize, batches: std::ops::Range<usize>| -> Vec<f32> {
            let units = single.chunks(s.keys * width.max(1)).skip(batches.start * s.key_heads);
            let rows = units.take(batches.len() * s.key_heads).map(|unit| &unit[start * width..][..count * width]);
            if width == 0 { vec![] } else { rows.flatten().copied().collect() }
        };
        let mut append = |batches: std::ops::Range<usize>| {
            let shape = |width| [batches.len(), s.key_heads, count, width];
            let (k, v) = (
                part(&case.k.single, s.key_width, batches.clone()),
                part(&case.v.single, s.value_width, batches.clone()),
            );
            let k = View::new(&k, shape(s.key_width)).expect("as many numbers as the shape says");
            let v = View::new(&v, shape(s.value_width)).expect("as many numbers as the shape says");
            if batches == (0..s.batch) {
                cache.append(&k, &v).expect("a part that fits");
            }
            if batches.len() == 1 {
                paged.append(batches.start, &k, &v).expect("a part that fits");
            }
        };
        append(0..s.batch);
        if s.batch > 1 {
            (0..s.batch).for_each(|batch| append(batch..batch + 1));
        }
    }
    bounds.output("cache", &case.attention.decode(q, &cache).expect("a cache that fits"), answer);
    if s.batch == 0 {
        return; // no sequence, so no keys either
    }
    bounds.output("pages", &case.attention.decode(q, &paged).expect("pages that fit"), answer);
}

/// Compares what probes note.
fn probes(case: &Case, q: &View, k: &View, lse: &[f32], bounds: &Bounds, answer: &Answer) {
    let (s, mut weights) = (case.oracle.shape, Weights::new());
    let (mut entropy, mut received) = (Entropy::new(), Received::new());
    let (mut top, mut pyramid) = (TopKeys::new(3), Pyramid::new(5).expect("pixels"));
    let probes: &mut [&mut dyn regard_kernel::Probe] =
        &mut [&mut weights, &mut entropy, &mut received, &mut top, &mut pyramid];
    case.attention.observe(q, k, lse, probes).expect("a problem that fits");
    close("weights", weights.values(), &answer.weights, bounds.weight);
    if s.keys == 0 {
        return;
    }
    for (row, a) in answer.weights.chunks(s.keys).enumerate() {
        let entropies: f64 = a.iter().filter(|&&a| a > 0.0).map(|a| -a * a.ln()).sum();
        // −a ln a is steep at 0.
        let bound = s.keys as f64 * bounds.weight * (2.0 - bounds.weight.ln()) * 2.0;
        close("entropy", &entropy.values()[row..=row], &[entropies], bound);
        let (batch, head, query) = (row / s.queries / s.heads, row / s.queries % s.heads, row % s.queries);
        let mut strongest: Vec<f32> = weights.values()[row * s.keys..][..s.keys].to_vec();
        strongest.sort_by(|a, b| b.total_cmp(a));
        let found: Vec<f32> = top.get(batch, head, query).iter().map(|top| top.weight).collect();
        let expected: Vec<f32> = strongest.into_iter().take(3).filter(|&a| a > 0.0).collect();
        assert_eq!(found, expected, "the strongest keys");
    }
    let mut sums = vec![0.0; s.batch * s.heads * s.keys];
    for (row, a) in answer.weights.chunks(s.keys).enumerate() {
        sums[row / s.queries * s.keys..][..s.keys].iter_mut().zip(a).for_each(|(sum, a)| *sum += a);
    }
    close("received", received.values(), &sums, bounds.weight * s.queries as f64);
    let [_, _, rows, columns] = pyramid.shape();
    let area = |i: usize| (pyramid.queries(i / columns % rows).len() * pyramid.keys(i % columns).len()) as f32;
    let under: f32 = pyramid.mean().iter().enumerate().map(|(i, mean)| mean * area(i)).sum();
    let all: f64 = answer.weights.iter().sum();
    close("pyramid", &[under], &[all], bounds.weight * answer.weights.len() as f64 + 1e-5 * all);
}

/// Numbers behind the mask change no bit.
fn leaks(case: &Case) {
    let s = case.oracle.shape;
    let unseen = unseen(&case.oracle);
    let hidden: Vec<bool> = (0..s.batch * s.key_heads * s.keys)
        .map(|row| unseen(row / s.keys / s.key_heads, row / s.keys % s.key_heads, row % s.keys))
        .collect();
    if hidden.iter().all(|hidden| !hidden) {
        return;
    }
    let spoil = |numbers: &[f32], width: usize, with: f32| -> Vec<f32> {
        numbers.iter().enumerate().map(|(i, &x)| if hidden[i / width] { with } else { x }).collect()
    };
    let run = |with: f32| {
        let (k, v) = (spoil(&case.k.single, s.key_width, with), spoil(&case.v.single, s.value_width, with));
        let view = |x, shape| View::new(x, shape).expect("as many numbers as the shape says");
        let (q, grad) = (view(&case.q.single, query_shape(&s)), view(&case.grad.single, context_shape(&s)));
        let (k, v) = (view(&k[..], key_shape(&s)), view(&v[..], value_shape(&s)));
        let attention = &case.attention;
        let output = attention.forward(&q, &k, &v).expect("a problem that fits");
        let decoded = attention.decode(&q, (&k, &v)).expect("as before");
        let gradients = attention.backward(&q, &k, &v, &output.context, &output.lse, &grad).expect("as before");
        let Gradients { queries, keys, values, score, biases, normalizer } = gradients;
        let all = [output.context, output.lse, decoded.context, decoded.lse, queries, keys, values, score, normalizer];
        all.into_iter().chain(biases).map(|x| bits(&x)).collect::<Vec<_>>()
    };
    let with = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][usize::from(case.odd / 3) % 3];
    let (clean, spoiled) = (run(0.5), run(with));
    for (i, (clean, spoiled)) in clean.iter().zip(&spoiled).enumerate() {
        assert!(clean == spoiled, "{with} behind the mask shows in result {i}");
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn close(what: &str, found: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let same = f64::from(found) == expected || (f64::from(found) - expected).abs() <= bound;
        assert!(same, "{what} {i} is {found:e}, not {expected:e} (within {bound:e})");
    }
}

/// How far from the definition rounding may lead. Not how accurate the kernel is, which its tests say: mistakes are gross.
struct Bounds {
    weight: f64,
    lse: f64,
    context: f64,
    queries: f64,
    keys: f64,
    values: f64,
    parameters: f64,
    /// Whether gradients are compared: not where one is about to jump.
    smooth: bool,
}

impl Bounds {
    /// `None` where it is undecided which keys count, so that rounding may decide anything.
    fn new(case: &Case, answer: &Answer) -> Option<Self> {
        let (s, inputs) = (case.oracle.shape, &case.inputs);
        let most = |x: &[f64]| x.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let [q, k, v, g] = [&inputs.q, &inputs.k, &inputs.v, &wide(&case.grad.single)].map(|x| most(x));
        let parameter = most(&inputs.score);
        let root = (s.query_width.max(s.key_width).max(1) as f64).sqrt();
        // The size of a score, and of its derivative by a feature.
        let shortest = |x: &[f64], width: usize| {
            let lengths = x.chunks(width.max(1)).map(|row| crate::oracle::dot(row, row).sqrt());
            lengths.filter(|&length| length > 0.0).fold(1.0, f64::min)
        };
        let (size, slope) = match case.score {
            Kind::Dot => (parameter * root * q * k, parameter * q.max(k)),
            Kind::Cosine => {
                let shortest = shortest(&inputs.q, s.query_width).min(shortest(&inputs.k, s.key_width));
                (2.0 * parameter, 2.0 * parameter / shortest)
            }
            Kind::Bilinear => (parameter * root * root * q * k, parameter * root * q.max(k)),
            Kind::Additive => (parameter * root * root, parameter),
            // Lengths, which nearly cancel where the distance is small.
            Kind::Distance => (8.0 * root * (q * q + k * k), 4.0 * (q + k)),
        };
        let temperature = match case.oracle.normalize {
            Normalize::Softmax { temperature } | Normalize::Gumbel { temperature, .. } => temperature.min(1.0),
            // High powers of numbers that are known to so many digits.
            Normalize::Entmax(alpha) => (alpha - 1.0) / 4.0,
            _ => 1.0,
        };
        let biases: f64 = case.oracle.biases.len() as f64 * (2.0 + (s.keys + s.queries) as f64);
        let relative = f64::from(f32::EPSILON) * (8.0 + 8.0 * size + biases) / temperature;

        // How much of a row, and of a column, takes part in the derivatives.
        let softness = |a: f64| match case.oracle.normalize {
            Normalize::Sparsemax => f64::from(a > 0.0),
            Normalize::Entmax15 => a.sqrt(),
            Normalize::Entmax(alpha) if a > 0.0 => a.powf(2.0 - alpha),
            // What stands in for a choice may have weight anywhere.
            Normalize::Hard | Normalize::Gumbel { hard: true, .. } | Normalize::Sampled(_) => 1.0,
            _ => a,
        };
        let keep = most_kept(case);
        let soft = |i: usize| softness(answer.weights[i]);
        let units = s.batch * s.heads;
        let (mut row, mut column, mut all) = (1.0f64, 1.0f64, 1.0f64);
        for unit in 0..units {
            for i in 0..s.queries {
                row = row.max((0..s.keys).map(|j| soft((unit * s.queries + i) * s.keys + j)).sum());
            }
            for j in 0..s.keys {
                column = column.max((0..s.queries).map(|i| soft((unit * s.queries + i) * s.keys + j)).sum());
            }
            all += (0..s.queries * s.keys).map(|i| soft(unit * s.queries * s.keys + i)).sum::<f64>();
        }
        let group = s.group().max(1) as f64;
        let width = s.value_width.max(1) as f64;
        let grad = 8.0 * relative * keep * g * v * width * row;
        // Equal numbers are rounded the same way each time that one is added.
        let long = f64::from(f32::EPSILON) * s.keys as f64 / 8.0;
        let (decided, smooth) = decided(case, relative);
        decided.then_some(Self {
            weight: relative,
            lse: 4.0 * relative + 1e-6 * most_finite(&answer.lse),
            context: (4.0 * relative + long) * row * v * keep,
            queries: grad * row * slope,
            keys: grad * column * group * slope,
            values: 4.0 * relative * column * group * g * keep,
            parameters: grad * all * (1.0 + if matches!(case.score, Kind::Bilinear) { q * k } else { 1.0 }),
            smooth,
        })
    }

    fn output(&self, what: &str, found: &Output, expected: &Answer) {
        close(&format!("{what}: context"), &found.context, &expected.context, self.context);
        let keys = expected.weights.len() / expected.lse.len().max(1);
        for (row, lse) in found.lse.iter().enumerate() {
            // Weights so small that they vanish in single precision are as good as hidden, to a sigmoid.
            let total: f64 = expected.weights[row * keys..][..keys].iter().sum();
            if total > 1e-29 || *lse != f32::NEG_INFINITY {
                close(&format!("{what}: lse of row {row}"), &[*lse], &[expected.lse[row]], self.lse);
            }
        }
    }

    fn gradients(&self, found: &Gradients, expected: &backward::Gradients) {
        close("gradient of values", &found.values, &expected.values, self.values);
        if !self.smooth {
            return;
        }
        close("gradient of queries", &found.queries, &expected.queries, self.queries);
        close("gradient of keys", &found.keys, &expected.keys, self.keys);
        if !found.score.is_empty() {
            close("gradient of the score", &found.score, &expected.score, self.parameters);
        }
        for (found, expected) in found.biases.iter().zip(&expected.biases).filter(|(_, expected)| !expected.is_empty())
        {
            close("gradient of a bias", found, expected, self.parameters);
        }
        close("gradient of the sink", &found.normalizer, &expected.sink, self.parameters);
    }
}

/// What dropout multiplies at most.
fn most_kept(case: &Case) -> f64 {
    case.dropout.map_or(1.0, |probability| f64::from(1.0 / (1.0 - probability)))
}

fn most_finite(x: &[f64]) -> f64 {
    x.iter().filter(|x| x.is_finite()).fold(1.0, |most, x| most.max(x.abs()))
}

/// Whether it is decided which keys count, and whether none of them is about to.
fn decided(case: &Case, rounding: f64) -> (bool, bool) {
    let (oracle, s) = (&case.oracle, case.oracle.shape);
    let choice = match oracle.normalize {
        Normalize::Hard => Some(None),
        Normalize::Gumbel { seed, hard: true, .. } | Normalize::Sampled(seed) => Some(Some(seed)),
        _ => None,
    };
    if choice.is_none() && !matches!(oracle.normalize, Normalize::TopK(_) | Normalize::Sparsemax) {
        return (true, true);
    }
    let (mut decided, mut smooth) = (true, true);
    for row in 0..s.batch * s.heads * s.queries {
        let (b, h, i) = (row / s.queries / s.heads, row / s.queries % s.heads, row % s.queries);
        let mut scores: Vec<f64> = (0..s.keys)
            .map(|j| [b, h, i, j])
            .filter(|&pair| (oracle.mask)(pair))
            .map(|pair| {
                let key = (b * s.key_heads + h / s.group()) * s.keys + pair[3];
                let q = &case.inputs.q[row * s.query_width..][..s.query_width];
                let k = &case.inputs.k[key * s.key_width..][..s.key_width];
                let score = (oracle.score)(h, q, k, &case.inputs.score);
                let biases = oracle.biases.iter().zip(&case.inputs.biases);
                biases.fold(score, |score, (bias, parameters)| bias(pair, score, parameters))
            })
            .collect();
        if let Some(seed) = choice {
            let seen = (0..s.keys).filter(|&j| (oracle.mask)([b, h, i, j]));
            let noise = seen.map(|j| seed.map_or(0.0, |seed| f64::from(gumbel(seed, b, h, i, j))));
            scores.iter_mut().zip(noise).for_each(|(score, noise)| *score += noise);
            scores.sort_by(|a, b| b.total_cmp(a));
            decided &= scores.len() < 2 || scores[0] - scores[1] > 4.0 * rounding + 1e-5;
        } else if let Normalize::TopK(k) = oracle.normalize {
            scores.sort_by(|a, b| b.total_cmp(a));
            decided &= k >= scores.len() || scores[k - 1] - scores[k] > 4.0 * rounding;
        } else {
            let all: Vec<Option<f64>> = scores.iter().copied().map(Some).collect();
            let (_, threshold) = oracle.normalize.row(&all, f64::NEG_INFINITY);
            smooth &= scores.iter().all(|e| (e - threshold).abs() > 4.0 * rounding);
        }
    }
    (decided, smooth)
}
