//! Numbers of half precision, and whole numbers with scales, give the bits that the same numbers in single precision do.

mod oracle;

use oracle::elements::{Numbers, TYPES};
use oracle::*;
use regard_kernel::probe::Weights;
use regard_kernel::{
    Additive, Alibi, Attention, Bilinear, Causal, Cosine, ScaledDot, SoftCap, Softmax, View, Window, f16,
};

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
