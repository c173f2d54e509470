//! Numbers of half precision, and whole numbers with scales, give the bits that the same numbers in single precision do.

mod oracle;

use oracle::elements::{Numbers, TYPES};
use oracle::*;
use regard_kernel::bias::Lender;
use regard_kernel::probe::Weights;
use regard_kernel::{
    Additive, Alibi, Attention, Bilinear, Causal, Cosine, DenseBias, Element, Gradients, LentBias, ScaledDot, SoftCap,
    Softmax, View, Window, bf16, f16,
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

#[derive(Debug)]
struct Array<T> {
    numbers: Vec<T>,
    shape: [usize; 4],
    strides: [usize; 4],
}

impl<T: Element> Lender for Array<T> {
    fn view(&self) -> View<'_> {
        View::strided(&self.numbers, self.shape, self.strides).unwrap()
    }
}

/// A bias that is read where it lies does what its copy does.
#[test]
fn lent_biases() {
    let (q_shape, k_shape) = ([2, 4, 70, 16], [2, 2, 67, 16]);
    let [q, k, grad] = [(1, q_shape), (2, k_shape), (3, q_shape)].map(|(seed, shape)| numbers(seed, size(shape)));
    let [q, grad] = [&q, &grad].map(|x| View::new(x, q_shape).unwrap());
    let k = View::new(&k, k_shape).unwrap();
    for shared in 0..16usize {
        let full = [2, 4, 70, 67];
        let shape = [0, 1, 2, 3].map(|axis| if shared >> axis & 1 == 1 { 1 } else { full[axis] });
        let [batches, heads, queries, keys] = shape;
        // As wide as a row of a larger array, or keys before queries.
        let strides = match shared % 2 {
            0 => [heads * queries * (keys + 3), queries * (keys + 3), keys + 3, 1],
            _ => [heads * queries * keys, queries * keys, 1, queries],
        };
        let x = numbers(4, batches * heads * queries * (keys + 3));
        let halves: Vec<f16> = x.iter().map(|&x| f16::from_f32(x)).collect();
        let brains: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
        let same = |attention: Attention, number: &dyn Fn(usize) -> f32| {
            let places = (0..size(shape)).map(|at| {
                let index = [at / keys / queries / heads, at / keys / queries % heads, at / keys % queries, at % keys];
                number(index.iter().zip(strides).map(|(index, stride)| index * stride).sum())
            });
            let copy = Attention::default().bias(DenseBias::new(places.collect::<Vec<_>>(), shape).unwrap());
            let expected = copy.forward(&q, &k, &k).unwrap();
            assert_eq!(attention.forward(&q, &k, &k).unwrap(), expected, "{shape:?}");
            let run = |attention: &Attention| {
                let Gradients { queries, keys, values, .. } =
                    attention.backward(&q, &k, &k, &expected.context, &expected.lse, &grad).unwrap();
                [queries, keys, values]
            };
            assert_eq!(run(&attention), run(&copy), "{shape:?}");
            let found = attention.backward(&q, &k, &k, &expected.context, &expected.lse, &grad).unwrap();
            assert!(found.biases[0].is_empty(), "nothing is learned");
        };
        let singles = LentBias(Array { numbers: x.clone(), shape, strides });
        same(Attention::default().bias(singles), &|at| x[at]);
        let lent = LentBias(Array { numbers: halves.clone(), shape, strides });
        same(Attention::default().bias(lent), &|at| halves[at].to_f32());
        let lent = LentBias(Array { numbers: brains.clone(), shape, strides });
        same(Attention::default().bias(lent), &|at| brains[at].to_f32());
    }
    let wrong = LentBias(Array { numbers: vec![0.0f32; 6], shape: [1, 1, 2, 3], strides: [0, 0, 3, 1] });
    let error = Attention::default().bias(wrong).forward(&q, &k, &k).unwrap_err();
    assert_eq!(error.to_string(), "dense bias: [1, 1, 2, 3] given, [2, 4, 70, 67], or 1 instead of any expected");
}
