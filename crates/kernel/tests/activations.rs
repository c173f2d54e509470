//! Activations and gates against double precision.

mod oracle;

use oracle::numbers;
use rayon::ThreadPoolBuilder;
use regard_kernel::rows::{Activation, activate, activate_backward};

const ALL: [Activation; 3] = [Activation::Gelu, Activation::GeluTanh, Activation::Silu];

fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            x / 2.0 * (1.0 + u.tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}

/// Φ(x) by Simpson's rule.
fn normal(x: f64) -> f64 {
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let steps = 2000;
    let h = x / f64::from(steps);
    let inner = (1..steps).map(|i| f64::from(2 + 2 * (i % 2)) * density(f64::from(i) * h)).sum::<f64>();
    0.5 + (density(0.0) + inner + density(x)) * h / 3.0
}

#[test]
fn every_activation_is_near_its_definition() {
    let x: Vec<f32> = (-1200..1203).map(|i| i as f32 / 100.0).collect();
    for activation in ALL {
        let (mut out, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        activate(activation, &x, &[], &mut out).unwrap();
        activate_backward(activation, &x, &[], &vec![1.0; x.len()], &mut dx, &mut []).unwrap();
        for ((&x, &out), &slope) in x.iter().zip(&out).zip(&dx) {
            let (x, step) = (f64::from(x), 1e-4);
            let expected = exact(activation, x);
            let error = (f64::from(out) - expected).abs();
            assert!(error < 3e-7 * expected.abs().max(1.0), "{activation:?}({x}) is {out}, not {expected}");
            let expected = (exact(activation, x + step) - exact(activation, x - step)) / (2.0 * step);
            assert!((f64::from(slope) - expected).abs() < 2e-6, "{activation:?}'({x}) is {slope}, not {expected}");
        }
    }
}

#[test]
fn a_gate_multiplies() {
    for count in [0, 1, 15, 16, 17, 100, 40_000] {
        let (x, up, grad) = (numbers(1, count), numbers(2, count), numbers(3, count));
        for activation in ALL {
            let (mut alone, mut slope) = (vec![0.0; count], vec![0.0; count]);
            activate(activation, &x, &[], &mut alone).unwrap();
            activate_backward(activation, &x, &[], &grad, &mut slope, &mut []).unwrap();
            let (mut out, mut dx, mut dup) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
            let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            pool.install(|| {
                activate(activation, &x, &up, &mut out).unwrap();
                activate_backward(activation, &x, &up, &grad, &mut dx, &mut dup).unwrap();
            });
            for i in 0..count {
                assert_eq!(out[i], alone[i] * up[i]);
                assert_eq!(dup[i], alone[i] * grad[i]);
                assert!((dx[i] - slope[i] * up[i]).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn far_numbers_are_finite_and_nan_stays() {
    for activation in ALL {
        let x = [1e30, -1e30, 100.0, -100.0, f32::NAN];
        let (mut out, mut dx) = ([0.0; 5], [0.0; 5]);
        activate(activation, &x, &[], &mut out).unwrap();
        activate_backward(activation, &x, &[], &[1.0; 5], &mut dx, &mut []).unwrap();
        assert_eq!(out[..4].iter().map(|x| x.abs()).collect::<Vec<_>>(), [1e30, 0.0, 100.0, 0.0]);
        assert_eq!(dx[..4].iter().map(|x| x.abs()).collect::<Vec<_>>(), [1.0, 0.0, 1.0, 0.0], "{activation:?}");
        assert!(out[4].is_nan() && dx[4].is_nan());
    }
}

#[test]
fn lengths_must_fit() {
    let (x, mut out) = ([0.0; 4], [0.0; 4]);
    assert!(activate(Activation::Silu, &x, &[0.0; 3], &mut out).is_err());
    assert!(activate(Activation::Silu, &x, &[], &mut out[..3]).is_err());
    assert!(activate_backward(Activation::Silu, &x, &x, &x, &mut out, &mut [0.0; 3]).is_err());
    assert!(activate_backward(Activation::Silu, &x, &[], &x[..3], &mut out, &mut []).is_err());
}
