//! burn's attention on its flex backend as a contestant: its own operation, and two matrix products with its softmax
//! between them; the faster one is timed.

use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, TensorData};
use protocol::{Bias, Element, Layout, Mask, Normals, Prepared, Task, Way, Work, fastest};
use serde_json::json;

fn main() {
    protocol::serve(prepare, |name| match name {
        "version" => json!({ "version": "burn 0.22.1, flex" }),
        _ => json!({ "cannot": "no such job" }),
    });
}

fn prepare(work: &Work, normals: &Normals) -> Result<Box<dyn Prepared>, String> {
    let known = matches!(work.task, Task::Forward | Task::Decode | Task::Train)
        && matches!(work.mask, Mask::None | Mask::Causal)
        && matches!(work.bias, Bias::None | Bias::SoftCap)
        && (work.element, work.layout) == (Element::F32, Layout::Heads)
        && work.heads == work.key_heads
        && (work.mask == Mask::None || work.queries == work.keys);
    if !known {
        return Err(format!("{work:?}"));
    }
    let train = work.task == Task::Train;
    let device = if train { Device::flex().autodiff() } else { Device::flex() };
    let tensor = |start, shape: [usize; 4]| {
        let numbers = normals.take(start, shape.iter().product());
        Tensor::<4>::from_data(TensorData::new(numbers, shape), &device)
    };
    let inputs = [
        tensor(Normals::QUERIES, work.query_shape()),
        tensor(Normals::KEYS, work.key_shape()),
        tensor(Normals::VALUES, work.value_shape()),
    ];
    let options = AttentionModuleOptions {
        softcap: (work.bias == Bias::SoftCap).then_some(f64::from(Work::CAP)),
        is_causal: work.mask == Mask::Causal,
        ..Default::default()
    };
    let fused = move |[q, k, v]: [Tensor<4>; 3]| attention(q, k, v, None, None, options.clone());
    if train {
        let grad_context = tensor(Normals::GRADIENT, work.context_shape());
        let run = move || {
            let inputs = inputs.clone().map(|tensor| tensor.detach().require_grad());
            let context = fused(inputs.clone());
            let gradients = (context.clone() * grad_context.clone()).sum().backward();
            let of = |tensor: &Tensor<4>| tensor.grad(&gradients).ok_or("no gradient");
            Ok([context, of(&inputs[0])?, of(&inputs[1])?, of(&inputs[2])?])
        };
        return Ok(Box::new(fastest(vec![Way::new(run, |computed| all(computed))])));
    }
    let mut ways = Vec::new();
    if work.mask == Mask::None && work.bias == Bias::None {
        let ([q, k, v], scale) = (inputs.clone(), (work.width as f64).sqrt());
        let unfused = move || {
            let scores = q.clone().matmul(k.clone().transpose()) / scale;
            Ok::<_, String>([softmax(scores, 3).matmul(v.clone())])
        };
        ways.push(Way::new(unfused, |computed| all(computed)));
    }
    ways.push(Way::new(move || Ok([fused(inputs.clone())]), |computed| all(computed)));
    Ok(Box::new(fastest(ways)))
}

/// All numbers of some tensors.
fn all(tensors: &[Tensor<4>]) -> Result<Vec<f32>, String> {
    let mut numbers = Vec::new();
    for tensor in tensors {
        numbers.extend(tensor.to_data().try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?);
    }
    Ok(numbers)
}
