//! Pictures of scores: what the softmax makes of them.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use regard_kernel::trilinear::{Side, Trilinear};
use regard_kernel::{Additive, Attention, Bilinear, Causal, Cosine, Distance, Dot, ScaledDot, View};

use super::scene::{GROUP, SENTENCE, attended, look, measured, read, same, sentence, set, tensor, weights, words};
use super::{Draw, Picture};
use crate::error::Result;
use crate::memory::LocationAwareConfig;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("Dot", || sentence("Without the division, weights are nearly all or nothing.", &[dot(), scaled()])),
    ("ScaledDot", || sentence("Divided by √24, scores leave room for a second thought.", &[scaled(), dot()])),
    ("Cosine", || loud("Cosine, τ = 6", Attention::new(Cosine::new([6.0])))),
    ("Distance", || loud("squared distance", Attention::new(Distance::default()))),
    ("Bilinear", bilinear),
    ("Additive", additive),
    ("LocationAware", location_aware),
    ("Trilinear", trilinear),
];

fn dot() -> (&'static str, Attention) {
    ("dot product", Attention::new(Dot))
}

fn scaled() -> (&'static str, Attention) {
    ("scaled dot product", Attention::new(ScaledDot::default()))
}

/// A sentence in which one word's vector is much longer than the others.
fn loud(title: &str, attention: Attention) -> Result<Picture> {
    let plain = words();
    let words = plain.map(|at, row| row.iter().map(|x| if at == 3 { 3.0 * x } else { *x }).collect());
    let panels = vec![look(title, &attention, &words)?, look("scaled dot product", &Attention::default(), &words)?];
    let caption = "The vector of \"saw\" is three times as long as it should be: with a dot product its row is all or nothing, and others notice it more.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}

/// `W` by hand: an animal asks for colours, a verb for animals.
fn bilinear() -> Result<Picture> {
    let words = words();
    let (width, kind) = (words.width, |feature: usize| feature.wrapping_sub(GROUP));
    let mut matrix = vec![0.0; width * width];
    for (asks, answers) in [(2, 1), (3, 2)] {
        let row = (0..width).find(|&feature| kind(feature) == asks);
        let column = (0..width).find(|&feature| kind(feature) == answers);
        if let (Some(row), Some(column)) = (row, column) {
            matrix[row * width + column] = 0.6;
        }
    }
    let attention = Attention::new(Bilinear::new(matrix, width, width)?);
    let caption =
        "W is set by hand: animals ask for colours, verbs for animals, and the others for nothing in particular.";
    let panels = vec![look("qᵀ W k", &attention, &words)?];
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}

/// Hidden units in pairs: tanh(2(q - k) + 1) - tanh(2(q - k) - 1) is a bump where query and key agree in a feature.
fn additive() -> Result<Picture> {
    let words = words();
    let both = |change: fn(f32) -> f32, shift: f32| {
        words.map(|_, row| {
            [shift, -shift].iter().flat_map(|shift| row.iter().map(move |x| change(*x) + shift)).collect()
        })
    };
    let (queries, keys) = (both(|x| 2.0 * x, 1.0), both(|x| -2.0 * x, 0.0));
    let vector: Vec<f32> = (0..2 * words.width).map(|unit| if unit < words.width { 0.3 } else { -0.3 }).collect();
    let attention = Attention::new(Additive::new(vector, 2 * words.width));
    let caption = "The hidden layer is set by hand: two units a feature, which answer where query and key agree in it.";
    let panels = vec![attended("v · tanh(W q + U k)", &words, &words, weights(&attention, &queries, &keys)?)];
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}

/// A filter that reads the weight one to the left, and nothing else that matters.
fn location_aware() -> Result<Picture> {
    const STEPS: usize = 12;
    let device = Device::default();
    let mut layer = LocationAwareConfig::new(1, 1, GROUP).with_filters(1).with_reach(3).init(&device)?;
    layer.filters.weight = Param::from_tensor(tensor(vec![1.0, 0.0, 0.0], [1, 1, 3]));
    set(&mut layer.location, |_, _| 4.0);
    set(&mut layer.query, |_, _| 0.0);
    set(&mut layer.key, |_, _| 0.0);
    layer.vector = Param::from_tensor(Tensor::ones([GROUP], &device));
    let memory = Tensor::<3>::zeros([1, STEPS, 1], &device);
    let mut looked = tensor((0..STEPS).map(|at| same(at, 0)).collect(), [1, STEPS]);
    let mut values = read(looked.clone())?;
    for _ in 1..STEPS {
        let query = Tensor::zeros([1, 1], &device);
        let projected = layer.project(memory.clone());
        looked = layer.forward(query, projected, memory.clone(), Some(looked), None)?.1;
        values.extend(read(looked.clone())?);
    }
    let panels = vec![measured("step after step", "attention weight", ("step", STEPS), ("key", STEPS), values)];
    let caption = "All keys are alike. A filter, set by hand, reads the weight one to the left of a key: reading moves on by itself.";
    Ok(Picture { caption: caption.to_owned(), panels })
}

/// Of the weights on pairs, what falls to each first key: values that are 1 at one key, and second values that are all 1.
fn trilinear() -> Result<Picture> {
    let words = words();
    let (length, width) = (words.len(), words.width);
    let shape = [1, 1, length, width];
    let (one_hot, ones) =
        ((0..length * length).map(|at| same(at / length, at % length)).collect::<Vec<_>>(), vec![1.0; length * length]);
    let kinds: Vec<f32> =
        words.map(|_, row| row.iter().enumerate().map(|(f, x)| if f / GROUP == 1 { *x } else { 0.4 }).collect()).values;
    let keys = View::new(&words.values, shape)?;
    let first = Side { keys, values: View::new(&one_hot, [1, 1, length, length])? };
    let second = Side { keys: View::new(&kinds, shape)?, values: View::new(&ones, [1, 1, length, length])? };
    let side = Trilinear::default().forward(&keys, &first, &second)?.context;
    let plain = Attention::default().mask(Causal::default());
    let panels = vec![
        attended("pairs, summed over their second key", &words, &words, side),
        look("causal attention", &plain, &words)?,
    ];
    let caption = "A weight belongs to a pair of keys; here is what each first key gets of all its pairs. Second keys tell their kind.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}
