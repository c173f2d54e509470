//! Every probe against the weights it was shown.

mod oracle;

use oracle::*;
use regard_kernel::probe::{Entropy, Pyramid, Received, Stage, TopKeys, Weights};
use regard_kernel::{Alibi, Attention, Causal, Dot, Probe, SoftCap};

#[test]
fn a_stride_gives_every_part_the_pixels_of_the_whole() {
    let shape = [1, 1, 150, 6];
    let (q, k) = (numbers(1, size(shape)), numbers(2, size(shape)));
    let (q, k) = (view(&q, shape), view(&k, shape));
    let attention = Attention::default().mask(Causal::default());
    let lse = attention.forward(&q, &k, &k).unwrap().lse;
    let (mut all, mut whole) = (Weights::new(), Pyramid::strided(8).unwrap());
    attention.observe(&q, &k, &lse, &mut [&mut all, &mut whole]).unwrap();
    assert_eq!((whole.shape(), whole.queries(18), whole.keys(2)), ([1, 1, 19, 19], 144..150, 16..24));
    let weights = all.values();
    for pixel in 0..19 * 19 {
        let (rows, columns) = (whole.queries(pixel / 19), whole.keys(pixel % 19));
        let pairs = rows.clone().flat_map(|row| columns.clone().map(move |column| weights[row * 150 + column]));
        let (sum, max) = pairs.fold((0.0, 0.0f32), |(sum, max), weight| (sum + f64::from(weight), max.max(weight)));
        assert_eq!(whole.max()[pixel], max);
        assert!((f64::from(whole.mean()[pixel]) - sum / (rows.len() * columns.len()) as f64).abs() < 1e-6);
    }
    let mut part = Pyramid::strided(8).unwrap();
    attention.observe_within(&q, &k, &lse, [64..150, 8..30], &mut [&mut part]).unwrap();
    assert_eq!(part.shape(), [1, 1, 11, 3]);
    for row in 0..11 {
        // The last pixel of this part covers fewer keys.
        assert_eq!(part.max()[row * 3..][..2], whole.max()[(row + 8) * 19 + 1..][..2]);
    }
}

#[test]
fn a_part_of_a_map_is_that_part_of_the_whole() {
    let (q_shape, k_shape) = ([2, 2, 150, 6], [2, 1, 200, 6]);
    let (q, k) = (numbers(1, size(q_shape)), numbers(2, size(k_shape)));
    let (q, k) = (view(&q, q_shape), view(&k, k_shape));
    let attention = Attention::default().mask(Causal::default()).bias(Alibi::new(2));
    let lse = attention.forward(&q, &k, &k).unwrap().lse;
    let mut whole = Weights::new();
    attention.observe(&q, &k, &lse, &mut [&mut whole]).unwrap();
    for (queries, keys) in [(0..150, 0..200), (3..4, 50..51), (60..133, 7..199), (20..20, 1..5), (149..150, 200..200)] {
        let (mut part, mut top) = (Weights::new(), TopKeys::new(1));
        let probes: &mut [&mut dyn Probe] = &mut [&mut part, &mut top];
        attention.observe_within(&q, &k, &lse, [queries.clone(), keys.clone()], probes).unwrap();
        let expected: Vec<f32> = (0..4 * 150)
            .filter(|row| queries.contains(&(row % 150)))
            .flat_map(|row| whole.values()[row * 200..][keys.clone()].to_vec())
            .collect();
        assert_eq!(part.values(), expected);
        if let Some(best) = top.get(1, 1, 0).first() {
            let row = &whole.values()[(3 * 150 + queries.start) * 200..][keys];
            assert_eq!(row[best.key], row.iter().copied().fold(0.0, f32::max));
        }
    }
    let mut probe = Weights::new();
    for (queries, keys) in [(0..151, 0..1), (0..1, 201..201)] {
        let error = attention.observe_within(&q, &k, &lse, [queries, keys], &mut [&mut probe]).unwrap_err();
        assert!(error.to_string().contains("a range within"), "{error}");
    }
}

#[test]
fn probes_agree_with_the_weights() {
    for (queries, keys, pixels) in [(1, 1, 4), (70, 130, 16), (200, 90, 256), (33, 33, 1), (0, 5, 3), (5, 0, 3)] {
        let (q_shape, k_shape) = ([2, 2, queries, 6], [2, 1, keys, 6]);
        let scaled = |seed, shape| -> Vec<f32> { numbers(seed, size(shape)).iter().map(|x| 3.0 * x).collect() };
        let (q, k) = (scaled(1, q_shape), scaled(2, k_shape));
        let (q, k) = (view(&q, q_shape), view(&k, k_shape));
        let attention = Attention::default().mask(Causal::default());
        let lse = attention.forward(&q, &k, &k).unwrap().lse;
        let (mut all, mut second, mut entropy) = (Weights::new(), Weights::heads([1]), Entropy::new());
        let (mut top, mut received, mut pyramid) = (TopKeys::new(5), Received::new(), Pyramid::new(pixels).unwrap());
        attention
            .observe(&q, &k, &lse, &mut [&mut all, &mut second, &mut entropy, &mut top, &mut received, &mut pyramid])
            .unwrap();

        let (rows, columns) = (queries.min(pixels), keys.min(pixels));
        assert_eq!(pyramid.shape(), [2, 2, rows, columns]);
        for (unit, (batch, head)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
            let map = &wide(all.values())[unit * queries * keys..][..queries * keys];
            if head == 1 {
                let chosen = &second.values()[batch * queries * keys..][..queries * keys];
                assert_eq!(difference(chosen, map), 0.0);
            }
            for query in 0..queries {
                let row = &map[query * keys..][..keys];
                let exact: f64 = row.iter().filter(|a| **a > 0.0).map(|a| -a * a.ln()).sum();
                let found = f64::from(entropy.values()[unit * queries + query]);
                assert!((found - exact).abs() < 1e-5, "entropy {found} is not {exact}");

                let mut order: Vec<usize> = (0..keys).filter(|&j| row[j] > 0.0).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
                let found: Vec<usize> = top.get(batch, head, query).iter().map(|top| top.key).collect();
                assert_eq!(found, order[..order.len().min(5)]);
            }
            for key in 0..keys {
                let exact: f64 = (0..queries).map(|i| map[i * keys + key]).sum();
                let found = f64::from(received.values()[unit * keys + key]);
                assert!((found - exact).abs() < 1e-5 * exact.max(1.0), "key {key} received {found}, not {exact}");
            }
            for row in 0..rows {
                for column in 0..columns {
                    let under = pyramid.queries(row).flat_map(|i| pyramid.keys(column).map(move |j| i * keys + j));
                    let under: Vec<f64> = under.map(|place| map[place]).collect();
                    let pixel = (unit * rows + row) * columns + column;
                    let mean = under.iter().sum::<f64>() / under.len() as f64;
                    assert!((f64::from(pyramid.mean()[pixel]) - mean).abs() < 1e-6);
                    assert_eq!(f64::from(pyramid.max()[pixel]), under.iter().copied().fold(0.0, f64::max));
                }
            }
        }
    }
}

#[test]
fn every_stage_on_the_way_to_a_weight() {
    let shape = [1, 2, 70, 6];
    let (q, k) = (numbers(1, size(shape)), numbers(2, size(shape)));
    let (qs, ks) = (view(&q, shape), view(&k, shape));
    let attention = Attention::new(Dot).bias(SoftCap::new(2.0).unwrap()).bias(Alibi::new(2)).mask(Causal::default());
    let lse = attention.forward(&qs, &ks, &ks).unwrap().lse;
    let stages = [0, 1, 2].map(|biases| Stage::Scores { biases });
    let mut probes = [stages[0], stages[1], stages[2], Stage::Masked, Stage::Weights].map(|s| Weights::new().at(s));
    let [raw, capped, biased, masked, weights] = &mut probes;
    attention.observe(&qs, &ks, &lse, &mut [raw, weights, capped, masked, biased]).unwrap();
    let close = |a: f32, b: f64| assert!((f64::from(a) - b).abs() < 1e-5, "{a} is not {b}");
    for place in 0..2 * 70 * 70 {
        let (head, i, j) = (place / 4900, place / 70 % 70, place % 70);
        let [raw, capped, biased, masked, weight] = probes.each_ref().map(|probe| probe.values()[place]);
        let row = |x: &[f32], position: usize| wide(&x[(head * 70 + position) * 6..][..6]);
        close(raw, dot(&row(&q, i), &row(&k, j)));
        close(capped, 2.0 * (f64::from(raw) / 2.0).tanh());
        let slope = if head == 0 { 1.0 / 16.0 } else { 1.0 / 256.0 };
        close(biased, f64::from(capped) - slope * (i as f64 - j as f64).abs());
        if j > i {
            assert_eq!((masked, weight), (f32::NEG_INFINITY, 0.0));
        } else {
            close(masked, f64::from(biased));
            close(weight, f64::from(masked - lse[head * 70 + i]).exp());
        }
    }
    let error = attention.observe(&qs, &ks, &lse, &mut [&mut Weights::new().at(Stage::Scores { biases: 3 })]);
    assert_eq!(error.unwrap_err().to_string(), "biases of the scores to observe: 3 given, at most 2 expected");
}
