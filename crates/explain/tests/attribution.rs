//! Attribution of functions given from outside: against captum, against what is known of linear functions, and of bad functions.

mod common;

use std::ops::ControlFlow;

use common::{Linear, Oracle, close};
use proptest::prelude::*;
use regard_explain::attribution::{
    gradient_input, head_ablation, integrated_gradients, leave_one_out, occlusion, value_zeroing,
};
use regard_explain::{BoxError, Differentiable, Error, Perturbation, Subject, silent};

/// `y = v · tanh(U Σ_i a_i tanh(W x_i + b))`, as `oracle/write.py` has it.
struct Network {
    w: Vec<f32>,
    b: Vec<f32>,
    a: Vec<f32>,
    u: Vec<f32>,
    v: Vec<f32>,
    x: Vec<f32>,
    baseline: Vec<f32>,
}

const WIDTH: usize = 3;
const HIDDEN: usize = 5;

impl Network {
    fn of(oracle: &Oracle) -> Self {
        let [w, b, a, u, v, x, baseline] = ["w", "b", "a", "u", "v", "x", "baseline"].map(|name| oracle.numbers(name));
        Self { w, b, a, u, v, x, baseline }
    }

    fn number_and_gradient(&self, input: &[f32]) -> (f32, Vec<f32>) {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let hidden = |x: &[f32]| -> Vec<f32> {
            (0..HIDDEN).map(|h| (dot(&self.w[h * WIDTH..][..WIDTH], x) + self.b[h]).tanh()).collect()
        };
        let layer: Vec<Vec<f32>> = input.chunks(WIDTH).map(hidden).collect();
        let mixed: Vec<f32> =
            (0..HIDDEN).map(|h| layer.iter().zip(&self.a).map(|(place, a)| a * place[h]).sum()).collect();
        let top: Vec<f32> = (0..self.v.len()).map(|o| dot(&self.u[o * HIDDEN..][..HIDDEN], &mixed).tanh()).collect();
        let back: Vec<f32> = (0..HIDDEN)
            .map(|h| (0..top.len()).map(|o| self.v[o] * (1.0 - top[o] * top[o]) * self.u[o * HIDDEN + h]).sum())
            .collect();
        let of_place = |(place, a): (&Vec<f32>, &f32)| -> Vec<f32> {
            let through = |h: usize, d: usize| a * back[h] * (1.0 - place[h] * place[h]) * self.w[h * WIDTH + d];
            (0..WIDTH).map(|d| (0..HIDDEN).map(|h| through(h, d)).sum()).collect()
        };
        (dot(&self.v, &top), layer.iter().zip(&self.a).flat_map(of_place).collect())
    }
}

impl Subject for Network {
    fn places(&self) -> usize {
        self.a.len()
    }

    fn baseline(&self) -> &str {
        "a random point"
    }

    fn hidden(&self, kept: &[Vec<bool>]) -> Result<Vec<f32>, BoxError> {
        let one = |kept: &Vec<bool>| {
            let features = (0..self.x.len()).map(|at| if kept[at / WIDTH] { self.x[at] } else { self.baseline[at] });
            self.number_and_gradient(&features.collect::<Vec<_>>()).0
        };
        Ok(kept.iter().map(one).collect())
    }
}

impl Differentiable for Network {
    fn width(&self) -> usize {
        WIDTH
    }

    fn input(&self) -> &[f32] {
        &self.x
    }

    fn baseline_input(&self) -> &[f32] {
        &self.baseline
    }

    fn gradients(&self, inputs: &[Vec<f32>]) -> Result<(Vec<f32>, Vec<Vec<f32>>), BoxError> {
        Ok(inputs.iter().map(|input| self.number_and_gradient(input)).unzip())
    }
}

#[test]
fn are_what_captum_says() {
    let oracle = Oracle::open("attribution");
    let network = Network::of(&oracle);
    let hidden = Perturbation::Hidden;
    let (number, _) = network.number_and_gradient(&network.x);
    close("the number", &[number], &oracle.numbers("number"), 1e-6);
    let expected = |name: &str, given: &[f32]| close(name, given, &oracle.numbers(name), 1e-5);
    expected("gradient_input", &gradient_input(&network).unwrap().scores);
    expected("leave_one_out", &leave_one_out(&network, hidden, &mut silent).unwrap().scores);
    expected("occlusion_3", &occlusion(&network, [1, 12], [1, 3], hidden, &mut silent).unwrap().scores);
    expected("occlusion_2x2", &occlusion(&network, [3, 4], [2, 2], hidden, &mut silent).unwrap().scores);

    let integrated = integrated_gradients(&network, 20, &mut silent).unwrap();
    expected("integrated_gradients", &integrated.scores);
    assert_eq!(integrated.note, "20 steps from a random point");
    let sums = integrated.completeness.unwrap();
    let delta = oracle.numbers("delta")[0];
    assert!(((sums.total - sums.difference) - delta).abs() < 1e-5, "{sums:?}, captum {delta}");
    // More steps bring the sum nearer.
    let few = integrated_gradients(&network, 2, &mut silent).unwrap().completeness.unwrap();
    let many = integrated_gradients(&network, 200, &mut silent).unwrap().completeness.unwrap();
    assert!(few.gap() > 1e-3 && many.gap() < 1e-5, "{few:?} {many:?}");
}

proptest! {
    #[test]
    fn of_a_linear_function_all_methods_agree(weights in prop::collection::vec(-4i8..5, 1..12)) {
        let weights: Vec<f32> = weights.into_iter().map(f32::from).collect();
        let linear = Linear::new(&weights);
        let integrated = integrated_gradients(&linear, 3, &mut silent).unwrap();
        for scores in [
            &gradient_input(&linear).unwrap().scores,
            &integrated.scores,
            &leave_one_out(&linear, Perturbation::Hidden, &mut silent).unwrap().scores,
            &occlusion(&linear, [1, weights.len()], [1, 1], Perturbation::Hidden, &mut silent).unwrap().scores,
        ] {
            close("scores", scores, &weights, 1e-6);
        }
        prop_assert!(integrated.completeness.unwrap().gap() < 1e-5);
    }
}

#[test]
fn long_work_tells_how_far_it_is_and_stops() {
    let linear = Linear::new(&[1.0; 100]);
    let mut told = Vec::new();
    let mut tell = |done, total| {
        told.push((done, total));
        ControlFlow::Continue(())
    };
    leave_one_out(&linear, Perturbation::Hidden, &mut tell).unwrap();
    assert_eq!(told, [(0, 101), (32, 101), (64, 101), (96, 101), (101, 101)]);

    let mut stop = |done, _| if done > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let error = leave_one_out(&linear, Perturbation::Hidden, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled { done: 32, total: 101, .. }), "{error}");
    assert_eq!(error.to_string(), "leave-one-out cancelled after 32 of 101 evaluations");
    assert!(matches!(integrated_gradients(&linear, 50, &mut stop), Err(Error::Cancelled { .. })));
}

#[test]
fn value_zeroing_finds_who_was_mixed_in() {
    // Token 0 is itself, token 1 half of itself and half of token 0, token 2 never changes.
    let mut output = |zeroed: Option<usize>| -> Result<Vec<f32>, BoxError> {
        let value = |token: usize| if zeroed == Some(token) { 0.0 } else { 1.0 };
        Ok(vec![1.0, value(0), 0.5 * value(0), 0.5 * value(1), 3.0, 4.0])
    };
    let map = value_zeroing(3, 2, &mut output, &mut silent).unwrap();
    let expected = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0];
    close("mixing", &map.weights, &expected, 1e-6);
    let mut short = |_: Option<usize>| -> Result<Vec<f32>, BoxError> { Ok(vec![1.0]) };
    let error = value_zeroing(3, 2, &mut short, &mut silent).unwrap_err();
    assert_eq!(error.to_string(), "the layer's output: 1 numbers given, 6 expected for the shape [3, 2]");
}

#[test]
fn head_ablation_finds_the_head_that_is_missed() {
    let mut number =
        |silent: Option<[usize; 2]>| -> Result<f32, BoxError> { Ok(if silent == Some([1, 2]) { 0.25 } else { 1.0 }) };
    let scores = head_ablation(&[2, 3], &mut number, &mut silent).unwrap();
    assert_eq!(scores, [vec![0.0, 0.0], vec![0.0, 0.0, 0.75]]);
    assert!(head_ablation(&[0, 0], &mut number, &mut silent).unwrap_err().to_string().contains("heads: 0 given"));
}

/// A function with something wrong.
#[derive(Clone, Default)]
struct Bad {
    places: usize,
    width: usize,
    input: Vec<f32>,
    numbers: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    fails: bool,
}

impl Subject for Bad {
    fn places(&self) -> usize {
        self.places
    }

    fn baseline(&self) -> &str {
        "nothing"
    }

    fn hidden(&self, _: &[Vec<bool>]) -> Result<Vec<f32>, BoxError> {
        if self.fails { Err("out of memory".into()) } else { Ok(self.numbers.clone()) }
    }
}

impl Differentiable for Bad {
    fn width(&self) -> usize {
        self.width
    }

    fn input(&self) -> &[f32] {
        &self.input
    }

    fn baseline_input(&self) -> &[f32] {
        &self.input
    }

    fn gradients(&self, _: &[Vec<f32>]) -> Result<(Vec<f32>, Vec<Vec<f32>>), BoxError> {
        Ok((self.numbers.clone(), self.gradients.clone()))
    }
}

#[test]
fn what_cannot_be_is_named() {
    let good = Bad {
        places: 2,
        width: 1,
        input: vec![1.0, 2.0],
        numbers: vec![0.0],
        gradients: vec![vec![1.0, 1.0]],
        fails: false,
    };
    let told = |result: regard_explain::Result<regard_explain::Explanation>| result.unwrap_err().to_string();
    let one_by_one = |bad: &Bad| told(leave_one_out(bad, Perturbation::Hidden, &mut silent));
    assert_eq!(one_by_one(&Bad { places: 0, ..good.clone() }), "places: 0 given, 1 to 8192 expected");
    assert!(one_by_one(&Bad { places: usize::MAX, ..good.clone() }).contains("1 to 8192 expected"));
    assert_eq!(one_by_one(&good), "the explained function's numbers: 1 numbers given, 3 expected for the shape [3]");
    assert_eq!(
        one_by_one(&Bad { numbers: vec![1.0, f32::NAN, 1.0], ..good.clone() }),
        "the explained function's numbers: number 1 is NaN, a finite number expected"
    );
    let error = leave_one_out(&Bad { fails: true, ..good.clone() }, Perturbation::Hidden, &mut silent).unwrap_err();
    assert_eq!(error.to_string(), "the explained function failed");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "out of memory");
    let removed = told(leave_one_out(&good, Perturbation::Removed, &mut silent));
    assert_eq!(removed, "perturbation: removed given, hidden (this subject's places cannot be taken out) expected");

    for window in [[0, 1], [1, 0], [1, 3]] {
        let error = told(occlusion(&good, [1, 2], window, Perturbation::Hidden, &mut silent));
        assert!(error.ends_with("at least 1 × 1 and at most the grid expected"), "{error}");
    }
    assert!(told(occlusion(&good, [2, 2], [1, 1], Perturbation::Hidden, &mut silent)).contains("places in the grid"));

    assert!(gradient_input(&good).is_ok());
    assert!(told(gradient_input(&Bad { width: 0, ..good.clone() })).contains("width: 0 given"));
    assert!(told(gradient_input(&Bad { input: vec![1.0], ..good.clone() })).contains("the input: 1 numbers given"));
    let infinite = Bad { gradients: vec![vec![1.0, f32::INFINITY]], ..good.clone() };
    assert!(told(gradient_input(&infinite)).contains("gradient: number 1 is inf"));
    assert!(told(gradient_input(&Bad { gradients: vec![], ..good.clone() })).contains("gradients: 0 numbers given"));
    assert_eq!(told(integrated_gradients(&good, 0, &mut silent)), "steps: 0 given, 1 to 10,000 expected");
}
