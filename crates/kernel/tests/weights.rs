//! Linear layers whose weights are used as they are stored, against double precision.

mod oracle;

use half::{bf16, f16};
use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::rows::{self, Quantized, Weight};

/// Calls `f` with a name, the weight in every type and direction, and what its numbers are, `[feature, width]`.
fn each(seed: u64, sizes @ [width, features]: [usize; 2], mut f: impl FnMut(&str, Weight, &[f64])) {
    let numbers = numbers(seed, width * features);
    let turn = |x: &[f32]| -> Vec<f32> { (0..x.len()).map(|i| x[i % features * width + i / features]).collect() };
    let halves: Vec<f16> = numbers.iter().map(|&x| f16::from_f32(x)).collect();
    let brains: Vec<bf16> = numbers.iter().map(|&x| bf16::from_f32(x)).collect();
    let of_halves: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
    let of_brains: Vec<f32> = brains.iter().map(|x| x.to_f32()).collect();

    f("f32, turned", Weight::turned(&numbers, sizes).unwrap(), &wide(&numbers));
    f("f16, turned", Weight::turned(&halves, sizes).unwrap(), &wide(&of_halves));
    f("bf16, turned", Weight::turned(&brains, sizes).unwrap(), &wide(&of_brains));
    f("f32", Weight::new(&turn(&numbers), sizes).unwrap(), &wide(&numbers));
    let straight: Vec<f16> = turn(&of_halves).iter().map(|&x| f16::from_f32(x)).collect();
    f("f16", Weight::new(&straight, sizes).unwrap(), &wide(&of_halves));
    let straight: Vec<bf16> = turn(&of_brains).iter().map(|&x| bf16::from_f32(x)).collect();
    f("bf16", Weight::new(&straight, sizes).unwrap(), &wide(&of_brains));

    // A part of something wider.
    let mut part = vec![f32::NAN; features * (width + 3)];
    for (part, numbers) in part.chunks_mut(width + 3).zip(numbers.chunks(width)) {
        part[1..=width].copy_from_slice(numbers);
    }
    let last = part.len() - 2;
    f("a part", Weight::strided(&part[1..last], sizes, [1, width + 3]).unwrap(), &wide(&numbers));

    let quantized = Quantized::new(&Weight::turned(&numbers, sizes).unwrap()).unwrap();
    f("blocks", quantized.weight(), &widened(&quantized));
}

/// The numbers of blocks, `[feature, width]`.
fn widened(quantized: &Quantized) -> Vec<f64> {
    let ([width, _], (numbers, scales)) = (quantized.sizes(), quantized.blocks());
    let rows = numbers.chunks(width.div_ceil(32) * 32).zip(scales.chunks(width.div_ceil(32)));
    rows.flat_map(|(row, scales)| {
        row.iter().take(width).enumerate().map(|(i, &n)| f64::from(n) * f64::from(scales[i / 32].to_f32()))
    })
    .collect()
}

const COUNTS: [usize; 9] = [0, 1, 2, 3, 7, 16, 17, 25, 64];
const SIZES: [[usize; 2]; 7] = [[1, 1], [3, 5], [16, 1], [1, 16], [100, 81], [800, 33], [96, 128]];

#[test]
fn every_weight_matches_the_definition() {
    for count in COUNTS {
        for sizes @ [width, features] in SIZES {
            let (x, bias) = (numbers(1, count * width), numbers(2, features));
            let grad = numbers(3, count * features);
            each(4, sizes, |name, weight, exact| {
                assert_eq!(weight.sizes(), sizes);
                let close = |found: f32, expected: f64, terms: usize| {
                    let error = (f64::from(found) - expected).abs();
                    // With blocks, a few rows are rounded to 16 bits, and many may be to 8.
                    let each = match (name, count) {
                        ("blocks", ..=16) => 1.6e-5,
                        ("blocks", _) => 4e-3,
                        _ => 1e-7,
                    };
                    let bound = each * terms as f64 + 1e-6;
                    assert!(error < bound, "{name}: {found}, not {expected} ({count}, {width}, {features})");
                };
                let out = rows::linear(&x, &weight, &bias).unwrap();
                assert_eq!(out.len(), count * features);
                for (i, &out) in out.iter().enumerate() {
                    let (row, feature) = (i / features, i % features);
                    let row = wide(&x[row * width..][..width]);
                    close(out, dot(&row, &exact[feature * width..][..width]) + f64::from(bias[feature]), width);
                }
                let gradient = rows::linear_backward_rows(&weight, &grad).unwrap();
                for (i, &found) in gradient.iter().enumerate() {
                    let (row, column) = (i / width, i % width);
                    let terms = (0..features).map(|f| f64::from(grad[row * features + f]) * exact[f * width + column]);
                    close(found, terms.sum(), features);
                }
                assert_eq!(rows::linear_backward(&x, &weight, true, &grad).unwrap().states, gradient);
            });
        }
    }
}

#[test]
fn threads_and_company_change_no_bit() {
    let sizes @ [width, features] = [200, 1030];
    let x = numbers(1, 60 * width);
    each(2, sizes, |name, weight, _| {
        let linear = |count: usize| rows::linear(&x[..count * width], &weight, &[]).unwrap();
        for (few, more) in [(1, 2), (2, 3), (3, 16), (17, 60)] {
            assert_eq!(linear(few), linear(more)[..few * features], "{name}, {few} rows and {more}");
        }
        for threads in [1, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for count in [1, 5, 20, 60] {
                assert_eq!(pool.install(|| linear(count)), linear(count), "{name}, {count} rows, {threads} threads");
            }
        }
    });
}

/// Whether a weight in blocks meets rows of 8 bits or of 32, the product is as near to the exact one as rounding allows.
#[test]
fn many_rows_and_blocks_are_as_near_as_rounding_allows() {
    for (count, sizes @ [width, features]) in [(17, [768, 70]), (50, [100, 33]), (400, [1500, 96])] {
        let (x, w) = (numbers(1, count * width), numbers(2, width * features));
        let quantized = Quantized::new(&Weight::turned(&w, sizes).unwrap()).unwrap();
        let exact = widened(&quantized);
        let out = rows::linear(&x, &quantized.weight(), &[]).unwrap();
        assert_eq!(out.len(), count * features);
        for (i, &found) in out.iter().enumerate() {
            let (row, weight) = (&x[i / features * width..][..width], &exact[i % features * width..][..width]);
            // Half a step of each number, were all errors on one side.
            let step = |block: &[f32]| block.iter().fold(0.0f32, |m, x| m.max(x.abs())) / 127.0;
            let bound = |(row, weight): (&[f32], &[f64])| {
                0.502 * f64::from(step(row)) * weight.iter().map(|w| w.abs()).sum::<f64>()
            };
            let bound: f64 = row.chunks(32).zip(weight.chunks(32)).map(bound).sum();
            let error = (f64::from(found) - dot(&wide(row), weight)).abs();
            assert!(error < bound + 1e-5, "{found}: {error} off, {bound} allowed ({count}, {width}, {features})");
        }
    }
    // Numbers that eight bits hold exactly leave no error at all.
    let whole = |i: usize| ((i * 37 + 11) % 255) as f32 - 127.0;
    let (count, sizes @ [width, features]) = (20, [64, 40]);
    let mut x: Vec<f32> = (0..count * width).map(whole).collect();
    let mut w: Vec<f32> = (0..width * features).map(|i| whole(3 * i)).collect();
    x.chunks_mut(32).chain(w.chunks_mut(32)).for_each(|block| block[5] = 127.0);
    let quantized = Quantized::new(&Weight::turned(&w, sizes).unwrap()).unwrap();
    let out = rows::linear(&x, &quantized.weight(), &[]).unwrap();
    assert_eq!(out.len(), count * features);
    for (i, &found) in out.iter().enumerate() {
        let (row, weight) = (&x[i / features * width..][..width], &w[i % features * width..][..width]);
        assert_eq!(f64::from(found), dot(&wide(row), &wide(weight)));
    }
}

#[test]
fn a_nan_stays_in_its_row_and_feature() {
    let sizes @ [width, features] = [40, 24];
    let (mut x, mut w) = (numbers(1, 20 * width), numbers(2, width * features));
    (x[3 * width + 7], w[5 * width + 2]) = (f32::NAN, f32::INFINITY);
    for count in [10, 20] {
        let out = rows::linear(&x[..count * width], &Weight::turned(&w, sizes).unwrap(), &[]).unwrap();
        for (i, out) in out.iter().enumerate() {
            assert_eq!(out.is_finite(), i / features != 3 && i % features != 5);
        }
    }
}

#[test]
fn blocks_round_to_the_nearest_step() {
    let sizes @ [width, _] = [70, 9];
    let mut numbers = numbers(1, width * 9);
    numbers[..32].fill(0.0);
    numbers[40] = 1e-40;
    let quantized = Quantized::new(&Weight::turned(&numbers, sizes).unwrap()).unwrap();
    for (i, (found, &x)) in widened(&quantized).iter().zip(&numbers).enumerate() {
        let start = i / width * width + i % width / 32 * 32;
        let block = &numbers[start..(start + 32).min(i / width * width + width)];
        let greatest = block.iter().fold(0.0f32, |greatest, x| greatest.max(x.abs()));
        // Half a step, and what the rounding of the scale to 11 bits moves.
        let bound = f64::from(greatest) * (1.0 / 254.0 + 1.0 / 2048.0) + 1e-7;
        assert!((found - f64::from(x)).abs() <= bound, "{found}, not {x}");
    }
    let (whole, scales) = quantized.blocks();
    let again = Quantized::of_blocks(whole.to_vec(), scales.to_vec(), sizes).unwrap();
    assert_eq!(again, quantized);
}

#[test]
fn what_does_not_fit_is_refused() {
    let says = |error: regard_kernel::Error, expected: &str| assert_eq!(error.to_string(), expected);
    let w = [0.0; 6];
    says(Weight::new(&w, [2, 4]).unwrap_err(), "weight: 6 numbers given, 2 rows of 4 features expected");
    says(Weight::turned(&w, [4, 2]).unwrap_err(), "weight: 6 numbers given, 2 features of 4 expected");
    for (sizes, strides) in [([2, 3], [3, 2]), ([2, 3], [4, 1]), ([2, 0], [1, 1]), ([2, usize::MAX], [usize::MAX, 1])] {
        assert!(Weight::strided(&w, sizes, strides).is_err(), "{sizes:?} {strides:?}");
    }
    assert!(Weight::new::<f32>(&[], [0, 3]).is_err());

    let weight = Weight::new(&w, [2, 3]).unwrap();
    says(rows::linear(&[0.0; 5], &weight, &[]).unwrap_err(), "rows: 5 numbers given, rows of width 2 expected");
    says(rows::linear(&[0.0; 4], &weight, &[0.0; 2]).unwrap_err(), "bias: 2 numbers given, none or 3 expected");
    assert!(rows::linear_backward(&[0.0; 4], &weight, true, &[0.0; 5]).is_err());
    assert!(rows::linear_backward(&[0.0; 4], &weight, true, &[0.0; 3]).is_err());
    assert!(rows::linear_backward_rows(&weight, &[0.0; 4]).is_err());

    let one = f16::ONE;
    assert!(Quantized::of_blocks(vec![0; 64], vec![one; 2], [32, 3]).is_err());
    assert!(Quantized::of_blocks(vec![0; 63], vec![one; 2], [32, 2]).is_err());
    assert!(Quantized::of_blocks(vec![], vec![], [0, 2]).is_err());
    says(
        Quantized::of_blocks(vec![0; 32], vec![f16::NAN], [32, 1]).unwrap_err(),
        "scales: NaN given, finite numbers expected",
    );
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        assert!(Quantized::new(&Weight::new(&[1.0, bad], [2, 1]).unwrap()).is_err(), "{bad}");
    }
}
