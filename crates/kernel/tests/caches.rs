//! What caches hold is what was appended, rounded as they say, and decoding reads it where it lies.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::{
    Alibi, Attention, Causal, Cosine, Error, KeyValueCache, Output, PagedCache, Precision, Softmax, Sparsemax, View,
    Window, bf16, f16,
};

const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::F16, Precision::BF16, Precision::I8];

/// A row as a cache keeps it.
fn rounded(precision: Precision, row: &[f32]) -> Vec<f32> {
    let each = |round: &dyn Fn(f32) -> f32| row.iter().map(|&x| round(x)).collect();
    match precision {
        Precision::F32 => row.to_vec(),
        Precision::F16 => each(&|x| f16::from_f32(x).to_f32()),
        Precision::BF16 => each(&|x| bf16::from_f32(x).to_f32()),
        Precision::I8 => {
            let scale = row.iter().fold(0.0f32, |greatest, x| greatest.max(x.abs())) / 127.0;
            each(&|x| if scale == 0.0 { 0.0 } else { (x * (1.0 / scale)).round_ties_even() * scale })
        }
    }
}

/// Attentions that look at heads and distances, one of which needs to see all keys first.
fn attentions(heads: usize) -> Vec<Attention> {
    vec![
        Attention::default(),
        Attention::default().mask(Causal::default()).bias(Alibi::new(heads)),
        Attention::default()
            .mask(Window::new(Some(90), Some(0)))
            .normalizer(Softmax::default().sink(numbers(5, heads))),
        Attention::new(Cosine::new(numbers(6, heads))).mask(Causal::default()),
        Attention::default().mask(Causal::default()).normalizer(Sparsemax),
    ]
}

fn close(found: &Output, expected: &Output, name: &str) {
    let error = difference(&found.context, &wide(&expected.context)).max(difference(&found.lse, &wide(&expected.lse)));
    assert!(error < 3e-6, "{name} is off by {error:e}");
}

#[test]
fn what_was_appended_is_held() {
    let (batch, heads, width, value_width) = (2, 2, 20, 16);
    for precision in PRECISIONS {
        let mut cache = KeyValueCache::with_precision(batch, heads, width, value_width, precision);
        let mut held: [Vec<Vec<Vec<f32>>>; 2] = [0, 1].map(|_| vec![vec![]; batch * heads]);
        for (step, added) in [1, 0, 40, 1, 700, 3].into_iter().enumerate() {
            if step == 4 {
                cache.truncate(30);
                held.iter_mut().flatten().for_each(|rows| rows.truncate(30));
            }
            let parts = [width, value_width].map(|width| numbers(10 + step as u64, batch * heads * added * width));
            let views = [0, 1].map(|i| view(&parts[i], [batch, heads, added, [width, value_width][i]]));
            cache.append(&views[0], &views[1]).unwrap();
            for (i, width) in [width, value_width].into_iter().enumerate() {
                for (unit, part) in parts[i].chunks_exact((added * width).max(1)).enumerate() {
                    held[i][unit].extend(part.chunks_exact(width).map(|row| rounded(precision, row)));
                }
            }
        }
        let length = held[0][0].len();
        assert_eq!(cache.len(), length);
        let [k, v] = held.map(|units| units.into_iter().flatten().flatten().collect::<Vec<f32>>());
        let (k, v) = (view(&k, [batch, heads, length, width]), view(&v, [batch, heads, length, value_width]));
        let q = numbers(1, batch * 4 * 2 * width);
        let q = view(&q, [batch, 4, 2, width]);
        for (i, attention) in attentions(4).iter().enumerate() {
            let expected = attention.forward(&q, &k, &v).unwrap();
            close(&attention.decode(&q, &cache).unwrap(), &expected, &format!("{precision:?}, attention {i}"));
            let found = attention.forward(&q, &cache.keys(), &cache.values()).unwrap();
            close(&found, &expected, &format!("{precision:?}, attention {i}, forward"));
        }
    }
}

/// Keys and values of a sequence, `[head][position][feature]` each.
type Model = [Vec<Vec<Vec<f32>>>; 2];

/// Appends random positions to a sequence and to its model.
fn grow(
    cache: &mut PagedCache,
    models: &mut [Model],
    sequence: usize,
    added: usize,
    seed: u64,
    shape: [usize; 3],
    precision: Precision,
) {
    let [heads, key_width, value_width] = shape;
    let parts = [(key_width, 0), (value_width, 1)].map(|(width, i)| numbers(2 * seed + i, heads * added * width));
    let views = [view(&parts[0], [1, heads, added, key_width]), view(&parts[1], [1, heads, added, value_width])];
    cache.append(sequence, &views[0], &views[1]).unwrap();
    for (i, width) in [key_width, value_width].into_iter().enumerate() {
        for (head, part) in parts[i].chunks_exact((added * width).max(1)).enumerate() {
            models[sequence][i][head].extend(part.chunks_exact(width).map(|row| rounded(precision, row)));
        }
    }
}

#[test]
fn pages_are_read_as_if_they_were_contiguous() {
    let shape @ [key_heads, key_width, value_width] = [2, 24, 16];
    for (round, precision) in PRECISIONS.into_iter().cycle().take(8).enumerate() {
        let page = [64, 256, 128][round % 3];
        let mut cache = PagedCache::new(key_heads, key_width, value_width, precision).with_page(page).unwrap();
        let mut models: Vec<Model> = Vec::new();
        let empty = || -> Model { [0, 1].map(|_| vec![vec![]; key_heads]) };
        for _ in 0..3 {
            cache.push();
            models.push(empty());
        }
        let mut seed = round as u64 * 1000;
        let mut step = |cache: &mut PagedCache, models: &mut Vec<Model>, lengths: &[usize]| {
            for (sequence, &added) in lengths.iter().enumerate() {
                seed += 1;
                grow(cache, models, sequence, added, seed, shape, precision);
            }
        };
        let check = |cache: &PagedCache, models: &[Model], name: &str| {
            let lengths: Vec<usize> = models.iter().map(|model| model[0][0].len()).collect();
            assert_eq!((0..models.len()).map(|i| cache.len(i).unwrap()).collect::<Vec<_>>(), lengths, "{name}");
            for (queries, heads) in [(1, 2), (1, 8), (3, 4), (20, 2)] {
                let q_shape = [models.len(), heads, queries, key_width];
                let q = numbers(3, size(q_shape));
                let q_view = view(&q, q_shape);
                for (i, attention) in attentions(heads).iter().enumerate() {
                    let found = attention.decode(&q_view, cache).unwrap();
                    let mut expected = Output { context: vec![], lse: vec![] };
                    for (sequence, model) in models.iter().enumerate() {
                        let flat = |i: usize| model[i].iter().flatten().flatten().copied().collect::<Vec<f32>>();
                        let (k, v) = (flat(0), flat(1));
                        let each = heads * queries * key_width;
                        let alone = attention.forward(
                            &view(&q[sequence * each..][..each], [1, heads, queries, key_width]),
                            &view(&k, [1, key_heads, lengths[sequence], key_width]),
                            &view(&v, [1, key_heads, lengths[sequence], value_width]),
                        );
                        let alone = alone.unwrap();
                        expected.context.extend(alone.context);
                        expected.lse.extend(alone.lse);
                    }
                    let name =
                        format!("{name}, {precision:?}, page {page}, {queries} queries, {heads} heads, attention {i}");
                    close(&found, &expected, &name);
                }
            }
        };

        check(&cache, &models, "empty");
        step(&mut cache, &mut models, &[5, 300, 0]);
        check(&cache, &models, "of different lengths");
        step(&mut cache, &mut models, &[1, 1, 1]);
        step(&mut cache, &mut models, &[650, 20, 64]);
        check(&cache, &models, "grown");
        let pages = cache.pages();
        cache.select(&[1, 0, 1, 1]).unwrap();
        models = [1, 0, 1, 1].map(|i: usize| models[i].clone()).into();
        assert!(cache.pages() < pages, "shared pages were copied");
        check(&cache, &models, "selected");
        step(&mut cache, &mut models, &[2, 3, 70, 0]);
        check(&cache, &models, "written to shared pages");
        for (sequence, length) in [(0, 310), (1, 64), (2, 0), (3, 10_000)] {
            cache.truncate(sequence, length).unwrap();
            models[sequence].iter_mut().flatten().for_each(|rows| rows.truncate(length));
        }
        check(&cache, &models, "cut");
        step(&mut cache, &mut models, &[7, 7, 7, 7]);
        check(&cache, &models, "regrown");
        cache.select(&[2, 1]).unwrap();
        assert_eq!(cache.sequences(), 2);
    }
}

#[test]
fn no_sequence_and_equal_ones() {
    let mut cache = PagedCache::new(1, 4, 4, Precision::F32);
    assert!(cache.is_empty());
    let nothing = Attention::default().decode(&view(&[], [0, 1, 1, 4]), &cache).unwrap();
    assert!(nothing.context.is_empty() && nothing.lse.is_empty());
    let x = numbers(1, 40);
    for sequence in 0..2 {
        assert_eq!(cache.push(), sequence);
        cache.append(sequence, &view(&x, [1, 1, 10, 4]), &view(&x, [1, 1, 10, 4])).unwrap();
    }
    let q = view(&x[..8], [2, 1, 1, 4]);
    let both: Vec<f32> = [&x[..], &x[..]].concat();
    let expected = Attention::default().forward(&q, &view(&both, [2, 1, 10, 4]), &view(&both, [2, 1, 10, 4])).unwrap();
    close(&Attention::default().decode(&q, &cache).unwrap(), &expected, "equal lengths");
}

#[test]
fn threads_change_no_bit() {
    let mut cache = PagedCache::new(2, 16, 16, Precision::I8);
    for (sequence, length) in [3000, 10, 1500].into_iter().enumerate() {
        cache.push();
        let x = numbers(sequence as u64, 2 * length * 16);
        let x = view(&x, [1, 2, length, 16]);
        cache.append(sequence, &x, &x).unwrap();
    }
    let q = numbers(9, 3 * 4 * 16);
    let q = view(&q, [3, 4, 1, 16]);
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let output = pool.install(|| Attention::default().mask(Causal::default()).decode(&q, &cache).unwrap());
        output.context.iter().chain(&output.lse).map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let one = run(1);
    for threads in 2..=7 {
        assert!(one == run(threads), "{threads} threads");
    }
}

#[test]
fn what_is_not_finite_comes_out() {
    for precision in PRECISIONS {
        let mut cache = KeyValueCache::with_precision(1, 1, 4, 4, precision);
        let mut x = numbers(1, 12);
        let finite = x.clone();
        x[5] = f32::NAN;
        cache.append(&view(&finite, [1, 1, 3, 4]), &view(&x, [1, 1, 3, 4])).unwrap();
        let output = Attention::default().decode(&view(&finite[..4], [1, 1, 1, 4]), &cache).unwrap();
        assert!(output.context[1].is_nan(), "{precision:?}");
        let output =
            Attention::default().mask(Window::new(Some(0), None)).decode(&view(&finite[..4], [1, 1, 1, 4]), &cache);
        assert!(output.unwrap().context.iter().all(|x| x.is_finite()), "{precision:?}");
    }
}

fn refused<T>(result: Result<T, Error>, message: &str) {
    assert_eq!(result.err().map(|error| error.to_string()).as_deref(), Some(message));
}

#[test]
fn what_does_not_fit_is_refused() {
    let paged = || PagedCache::new(2, 4, 8, Precision::F16);
    refused(paged().with_page(0), "page: 0 given, a positive multiple of 64 expected");
    refused(paged().with_page(100), "page: 100 given, a positive multiple of 64 expected");
    let mut cache = paged();
    let x = [0.0; 64];
    let (k, v): (View, View) = (view(&x[..16], [1, 2, 2, 4]), view(&x[..32], [1, 2, 2, 8]));
    refused(cache.append(0, &k, &v), "sequence: 0 given, less than 0 sequences expected");
    cache.push();
    refused(cache.append(0, &v, &v), "keys: [1, 2, 2, 8] given, [1, 2, 2, 4] expected");
    refused(cache.append(0, &k, &k), "values: [1, 2, 2, 4] given, [1, 2, 2, 8] expected");
    refused(cache.truncate(1, 0), "sequence: 1 given, less than 1 sequences expected");
    refused(cache.select(&[0, 2]), "sequence: 2 given, less than 1 sequences expected");
    assert!(cache.is_empty() && cache.len(1).is_none());
    cache.append(0, &k, &v).unwrap();
    refused(
        Attention::default().decode(&view(&x[..16], [2, 2, 1, 4]), &cache),
        "keys: batch 1 given, 2 as the queries have expected",
    );
}
