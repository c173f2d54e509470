//! Numbers of half precision, and whole numbers with scales, give the bits that the same numbers in single precision do.

mod oracle;

use oracle::*;
use regard_kernel::probe::Weights;
use regard_kernel::{
    Additive, Alibi, Attention, Bilinear, Causal, Cosine, ScaledDot, SoftCap, Softmax, View, Window, bf16, f16,
};

/// The same numbers in a type and in single precision.
struct Numbers {
    typed: Typed,
    single: Vec<f32>,
}

enum Typed {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I8(Vec<i8>, Vec<f32>),
}

const TYPES: [&str; 4] = ["f32", "f16", "bf16", "i8"];

impl Numbers {
    /// `count` numbers in rows of `width`.
    fn new(kind: &str, seed: u64, count: usize, width: usize) -> Self {
        let x = numbers(seed, count);
        let (typed, single) = match kind {
            "f16" => {
                let x: Vec<f16> = x.iter().map(|&x| f16::from_f32(x)).collect();
                let single = x.iter().map(|x| x.to_f32()).collect();
                (Typed::F16(x), single)
            }
            "bf16" => {
                let x: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
                let single = x.iter().map(|x| x.to_f32()).collect();
                (Typed::BF16(x), single)
            }
            "i8" => {
                let x: Vec<i8> = x.iter().map(|x| (x * 127.0) as i8).collect();
                let scales: Vec<f32> = numbers(seed + 1, count / width).iter().map(|s| s / 127.0).collect();
                let single = x.iter().enumerate().map(|(i, &x)| f32::from(x) * scales[i / width]).collect();
                (Typed::I8(x, scales), single)
            }
            _ => (Typed::F32(x.clone()), x),
        };
        Self { typed, single }
    }

    /// The typed numbers and the single ones; strides are those of a contiguous array, or with positions before heads.
    fn views(&self, shape: [usize; 4], by_position: bool) -> [View<'_>; 2] {
        let [_, heads, positions, width] = shape;
        let strides = if by_position {
            [heads * positions * width, width, heads * width, 1]
        } else {
            [heads * positions * width, positions * width, width, 1]
        };
        let scale_strides = [0, 1, 2].map(|axis| strides[axis] / width);
        let single = View::strided(&self.single, shape, strides).unwrap();
        let typed = match &self.typed {
            Typed::F32(x) => View::strided(x, shape, strides),
            Typed::F16(x) => View::strided(x, shape, strides),
            Typed::BF16(x) => View::strided(x, shape, strides),
            Typed::I8(x, scales) => View::quantized_strided(x, scales, shape, strides, scale_strides),
        };
        [typed.unwrap(), single]
    }
}

fn attentions() -> Vec<Attention> {
    vec![
        Attention::default(),
        Attention::default().mask(Causal::default()).bias(Alibi::new(4)).dropout(0.2, 3).unwrap(),
        Attention::new(Cosine::new(numbers(21, 4)))
            .mask(Window::new(Some(30), None))
            .bias(SoftCap::new(2.0).unwrap())
            .normalizer(Softmax::default().sink(numbers(23, 4))),
        Attention::new(Bilinear::new(numbers(24, 18 * 18), 18, 18).unwrap()),
        Attention::new(Additive::new(numbers(25, 18), 18)),
    ]
}

#[test]
fn forward_backward_and_observed() {
    for (case, kind) in TYPES.into_iter().cycle().take(24).enumerate() {
        // Queries, keys and values of types that differ.
        let type_of = |place: usize| TYPES[(case / 4 * place + TYPES.iter().position(|&t| t == kind).unwrap()) % 4];
        let (queries, keys, width) = ([1, 70][case % 2], 67, 18);
        let q_shape = [2, 4, queries, width];
        let k_shape = [2, 2, keys, width];
        let make = |place: usize, shape| Numbers::new(type_of(place), 7 * place as u64, size(shape), width);
        let (q, k, v, grad) = (make(0, q_shape), make(1, k_shape), make(2, k_shape), make(3, q_shape));
        let by_position = case % 3 == 0;
        let [q, q_single] = q.views(q_shape, by_position);
        let [k, k_single] = k.views(k_shape, by_position);
        let [v, v_single] = v.views(k_shape, by_position);
        let [grad, grad_single] = grad.views(q_shape, by_position);
        for (i, attention) in attentions().iter().enumerate() {
            let name = format!("case {case}, {kind}, attention {i}");
            let (found, expected) =
                (attention.forward(&q, &k, &v).unwrap(), attention.forward(&q_single, &k_single, &v_single).unwrap());
            assert!(found == expected, "{name}: forward");
            let (context, lse) = (&expected.context, &expected.lse);
            let found = attention.backward(&q, &k, &v, context, lse, &grad).unwrap();
            let expected = attention.backward(&q_single, &k_single, &v_single, context, lse, &grad_single).unwrap();
            assert!(found == expected, "{name}: backward");
            let weights = |q: &View, k: &View| {
                let mut weights = Weights::new();
                attention.observe(q, k, lse, &mut [&mut weights]).unwrap();
                weights.into_values()
            };
            assert!(weights(&q, &k) == weights(&q_single, &k_single), "{name}: observed");
        }
    }
}

#[test]
fn features_apart() {
    // Features before positions, so that no row is contiguous.
    let (shape, strides) = ([1, 2, 40, 20], [0, 800, 1, 40]);
    let x: Vec<f16> = numbers(1, 1600).iter().map(|&x| f16::from_f32(x)).collect();
    let single: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    let (x, single) = (View::strided(&x, shape, strides).unwrap(), View::strided(&single, shape, strides).unwrap());
    let attention = Attention::new(ScaledDot::default()).mask(Causal::default());
    assert_eq!(attention.forward(&x, &x, &x).unwrap(), attention.forward(&single, &single, &single).unwrap());
}
