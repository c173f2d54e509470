//! The authors' file as a GAT: against the network written out, in double precision.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use regard::{Graph, Mode, mix};
use regard_models::Gat;
use safetensors::tensor::{Dtype, TensorView};

const NODES: usize = 5;
const WIDTH: usize = 3;
/// Heads of each layer and the features of each.
const LAYERS: [(usize, usize); 2] = [(2, 4), (3, 2)];
const EDGES: [(u32, u32); 7] = [(1, 0), (2, 0), (0, 1), (3, 2), (4, 3), (0, 4), (2, 4)];

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let number = |at: u64| (mix(mix(seed) ^ at) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    (0..count as u64).map(number).collect()
}

/// One head: W, a₁, its bias, a₂, its bias, the output's bias.
type Head = [Vec<f32>; 6];

/// A tensor of a file: name, shape, numbers.
type Named = (String, Vec<usize>, Vec<f32>);

fn heads() -> Vec<(usize, Head)> {
    let mut heads = Vec::new();
    let mut width = WIDTH;
    for (count, features) in LAYERS {
        for _ in 0..count {
            let seed = 10 * heads.len() as u64;
            let sizes = [width * features, features, 1, features, 1, features];
            let mut part = 0;
            heads.push((
                width,
                sizes.map(|size| {
                    part += 1;
                    numbers(seed + part, size)
                }),
            ));
        }
        width = count * features;
    }
    heads
}

/// Names, shapes and numbers as the authors' program has them.
fn file(heads: &[(usize, Head)]) -> Vec<Named> {
    let name = |name: &str, at: usize| if at == 0 { name.to_owned() } else { format!("{name}_{at}") };
    let mut tensors = Vec::new();
    for (at, (width, [project, receiver, one, sender, other, bias])) in heads.iter().enumerate() {
        let features = bias.len();
        let mut push = |name: String, shape: Vec<usize>, numbers: &[f32]| tensors.push((name, shape, numbers.to_vec()));
        push(name("BiasAdd", at) + "/biases", vec![features], bias);
        push(name("conv1d", 3 * at) + "/kernel", vec![1, *width, features], project);
        for (next, vector, number) in [(1, receiver, one), (2, sender, other)] {
            push(name("conv1d", 3 * at + next) + "/kernel", vec![1, features, 1], vector);
            push(name("conv1d", 3 * at + next) + "/bias", vec![1], number);
        }
    }
    tensors
}

fn bytes(tensors: &[Named]) -> Vec<u8> {
    let stored: Vec<Vec<u8>> =
        tensors.iter().map(|(.., numbers)| numbers.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&stored)
        .map(|((name, shape, _), bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// One head's output, `[node][feature]`.
fn attend(rows: &[Vec<f64>], (width, [project, receiver, one, sender, other, bias]): &(usize, Head)) -> Vec<Vec<f64>> {
    let features = bias.len();
    let wide = |x: f32| f64::from(x);
    let of = |row: &Vec<f64>| -> Vec<f64> {
        let feature = |f: usize| (0..*width).map(|i| row[i] * wide(project[i * features + f])).sum();
        (0..features).map(feature).collect()
    };
    let made: Vec<Vec<f64>> = rows.iter().map(of).collect();
    let along = |row: &[f64], vector: &[f32]| row.iter().zip(vector).map(|(x, a)| x * wide(*a)).sum::<f64>();
    (0..NODES)
        .map(|node| {
            let seen = EDGES.iter().filter(|edge| edge.1 as usize == node).map(|edge| edge.0 as usize);
            let seen: Vec<usize> = seen.chain([node]).collect();
            let weight = |&j: &usize| {
                let sum = along(&made[node], receiver) + wide(one[0]) + along(&made[j], sender) + wide(other[0]);
                (if sum > 0.0 { sum } else { 0.2 * sum }).exp()
            };
            let total: f64 = seen.iter().map(weight).sum();
            let feature = |f: usize| seen.iter().map(|j| weight(j) / total * made[*j][f]).sum::<f64>() + wide(bias[f]);
            (0..features).map(feature).collect()
        })
        .collect()
}

#[test]
fn the_network_of_the_authors() {
    let heads = heads();
    let device = Device::default();
    let input = numbers(99, NODES * WIDTH);
    let (model, config) = Gat::from_authors(&bytes(&file(&heads)), Path::new("gat"), &device).unwrap();
    assert_eq!((config.heads, config.head_width, config.output_heads, config.classes), (2, 4, 3, 2));
    let graph = Graph::from_edges(NODES, &EDGES).unwrap().with_self_loops().unwrap();
    let nodes = Tensor::from_data(TensorData::new(input.clone(), [NODES, WIDTH]), &device);
    let out = model.forward(nodes, &graph, Mode::Evaluate).unwrap();
    let logits: Vec<f32> = out.logits.into_data().try_into_vec().unwrap();
    assert_eq!(out.looks[1].weights().unwrap().dims(), [3, EDGES.len() + NODES]);

    let rows: Vec<Vec<f64>> = input.chunks(WIDTH).map(|row| row.iter().map(|&x| x.into()).collect()).collect();
    let lower: Vec<_> = heads[..2].iter().map(|head| attend(&rows, head)).collect();
    let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
    let hidden: Vec<Vec<f64>> =
        (0..NODES).map(|node| lower.iter().flat_map(|head| head[node].iter().map(|&x| elu(x))).collect()).collect();
    let upper: Vec<_> = heads[2..].iter().map(|head| attend(&hidden, head)).collect();
    for (at, logit) in logits.iter().enumerate() {
        let expected = upper.iter().map(|head| head[at / 2][at % 2]).sum::<f64>() / 3.0;
        assert!((f64::from(*logit) - expected).abs() < 1e-5, "logit {at} is {logit}, expected {expected}");
    }
}

#[test]
fn a_file_that_is_no_such_network_is_refused() {
    let whole = file(&heads());
    let says = |change: &dyn Fn(&mut Vec<Named>), expected: &str| {
        let mut tensors = whole.clone();
        change(&mut tensors);
        let said = Gat::from_authors(&bytes(&tensors), Path::new("gat"), &Device::default()).unwrap_err().to_string();
        assert!(said.starts_with("gat: ") && said.contains(expected), "{said}");
    };
    let at = |name: &str| whole.iter().position(|tensor| tensor.0 == name).unwrap();
    let kernel = at("conv1d_3/kernel");
    says(&|tensors| drop(tensors.remove(kernel)), "tensor conv1d_3/kernel is missing");
    says(&|tensors| tensors[kernel].1 = vec![3, 4], "conv1d_3/kernel has shape [3, 4], expected [1, width, feature]");
    says(&|tensors| tensors[kernel].1 = vec![1, 4, 3], "a bias of shape [4] for the 3 features");
    says(&|tensors| tensors[at("conv1d_4/kernel")].1 = vec![4], "conv1d_4/kernel and conv1d_4/bias have shapes [4]");
    says(&|tensors| drop(tensors.remove(0)), "belongs to no head");
    says(&|tensors| tensors.truncate(2 * 6), "2 heads of one width, expected some of a second layer");
    says(&|tensors| tensors.clear(), "no tensor BiasAdd/biases");
    says(&|tensors| tensors.push(("more".into(), vec![1], vec![0.0])), "tensor more belongs to no head");
    says(&|tensors| tensors[3].2[0] = f32::NAN, "expected finite numbers");
    says(
        &|tensors| {
            tensors[kernel].1 = vec![1, 6, 2];
            tensors[at("BiasAdd_1/biases")] = ("BiasAdd_1/biases".into(), vec![2], vec![0.0; 2]);
            for name in ["conv1d_4/kernel", "conv1d_5/kernel"] {
                tensors[at(name)] = (name.into(), vec![1, 2, 1], vec![0.0; 2]);
            }
        },
        "heads of a layer that differ in their shapes",
    );
    let said = Gat::from_authors(b"nothing", Path::new("gat"), &Device::default()).unwrap_err().to_string();
    assert!(said.contains("not a safetensors file"), "{said}");
}
