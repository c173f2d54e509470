//! Linear layers whose weights are used as they are stored.

mod common;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor};
use common::*;
use regard::{Linear, LinearConfig};

/// A layer with this weight and a bias.
fn layer(weight: Tensor<2>) -> Linear {
    let ([width, features], device) = (weight.dims(), weight.device());
    let mut layer = LinearConfig::new(width, features).init(&device);
    layer.weight = Param::from_tensor(weight);
    layer.bias = Some(Param::from_tensor(random(9, [features], &device)));
    layer
}

/// The same numbers, one row after the other.
fn copied(tensor: Tensor<2>) -> Tensor<2> {
    Tensor::from_data(tensor.to_data(), &tensor.device())
}

#[test]
fn a_weight_is_used_in_either_direction_and_any_type() {
    let device = Device::default();
    for (width, features) in [(48, 33), (5, 64), (1, 7), (7, 1)] {
        let turned = random::<2>(1, [features, width], &device);
        for positions in [1, 3, 9, 40] {
            let input = random::<3>(2, [2, positions, width], &device);
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let stored = turned.clone().cast(dtype);
                let exact = copied(stored.clone().cast(DType::F32).transpose());
                let expected = layer(exact).forward(input.clone());
                let name = format!("{dtype:?}, {width} to {features}, {positions} positions");
                close(&name, &layer(stored.clone().transpose()).forward(input.clone()), &expected, 1e-5);
                close(&name, &layer(copied(stored.transpose())).forward(input.clone()), &expected, 1e-5);
            }
            // One that no axis is contiguous in.
            let wide = Tensor::stack::<3>(vec![turned.clone(), turned.clone()], 2);
            let spread = wide.slice_dim(2, 0..1).squeeze_dim::<2>(2).transpose();
            let expected = layer(copied(turned.clone().transpose())).forward(input.clone());
            close("spread", &layer(spread).forward(input), &expected, 1e-5);
        }
    }
}

#[test]
fn gradients_are_the_same_in_either_direction() {
    let device = tracked();
    let plain = random::<2>(1, [20, 12], &device).require_grad();
    let turned = copied(random::<2>(1, [20, 12], &device).transpose()).require_grad();
    let input = random::<2>(2, [6, 20], &device);
    let upstream = random::<2>(3, [6, 12], &device);
    let run = |weight: Tensor<2>| {
        let input = input.clone().require_grad();
        let out = regard::ops::linear(input.clone(), weight, None);
        let gradients = (out * upstream.clone()).sum().backward();
        (input.grad(&gradients).unwrap(), gradients)
    };
    let (of_input, of_weight) = run(plain.clone());
    let expected = plain.grad(&of_weight).unwrap();
    let (found_input, found) = run(turned.clone().transpose());
    close("input", &found_input, &of_input, 1e-6);
    close("weight", &turned.grad(&found).unwrap().transpose(), &expected, 1e-6);

    // Through a weight of halves; its own gradient is f32.
    let halves = plain.clone().cast(DType::F16).detach().require_grad();
    let (found_input, found) = run(halves.clone());
    close("input through halves", &found_input, &of_input, 1e-2);
    let gradient = halves.grad(&found).unwrap();
    assert_eq!(gradient.dtype(), DType::F32);
    close("weight of halves", &gradient, &expected, 1e-6);
}

#[test]
fn a_quantized_layer_is_near() {
    let device = Device::default();
    let turned = random::<2>(1, [50, 70], &device);
    let plain = layer(turned.clone().transpose());
    for (dtype, error) in [(DType::F32, 2e-2), (DType::BF16, 5e-2)] {
        let quantized = layer(turned.clone().cast(dtype).transpose()).quantized().unwrap();
        assert!(quantized.blocks().is_some());
        assert_eq!(quantized.weight.dims(), [70, 50]);
        for count in [1, 30] {
            let input = random::<2>(2, [count, 70], &device);
            close("quantized", &quantized.forward(input.clone()), &plain.forward(input), error);
        }
    }
    let blocks = plain.clone().quantized().unwrap().blocks().cloned().unwrap();
    let bias = Param::from_tensor(Tensor::zeros([49], &device));
    let error = Linear::of_blocks(blocks, Some(bias), &device).unwrap_err();
    assert_eq!(error.to_string(), "bias has shape [49], expected [50], one a feature");
    let broken = layer(Tensor::full([3, 2], f32::NAN, &device)).quantized().unwrap_err();
    assert_eq!(broken.to_string(), "weight: a number of NaN given, finite numbers of at most 8 million expected");
}

#[test]
fn a_gradient_goes_through_a_quantized_layer() {
    let device = tracked();
    let weight = random::<2>(1, [40, 24], &device);
    let plain = layer(weight);
    let quantized = plain.clone().quantized().unwrap();
    let input = random::<2>(2, [5, 40], &device);
    let run = |layer: &Linear| {
        let input = input.clone().require_grad();
        let gradients = layer.forward(input.clone()).square().sum().backward();
        let bias = layer.bias.as_ref().unwrap().val().grad(&gradients).unwrap();
        (input.grad(&gradients).unwrap(), bias)
    };
    let ((of_input, of_bias), (found_input, found_bias)) = (run(&plain), run(&quantized));
    close("input", &found_input, &of_input, 1e-1);
    close("bias", &found_bias, &of_bias, 1e-1);
}
