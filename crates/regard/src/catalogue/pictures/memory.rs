//! Pictures of what is carried from step to step.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use regard_kernel::Window;

use super::scene::{GROUP, Rows, SENTENCE, attended, measured, on_one_scale, read, same, set, tensor, words};
use super::{Draw, Panel, Picture};
use crate::error::Result;
use crate::memory::{
    DampedEmaConfig, EmaDistributionConfig, KeyValueMemoryConfig, LstmAttentionConfig, Match, Matching,
    NtmMemoryConfig, retrieve,
};
use crate::random::normals;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("EmaDistribution", ema_distribution),
    ("Hopfield", hopfield),
    ("KeyValueMemory", key_value),
    ("LstmAttention", lstm),
    ("MegaEma", mega),
    ("NtmMemory", ntm),
];

/// Everything is visible.
fn all() -> Window {
    Window::new(None, None)
}

/// What steps looked at, a row a step.
fn steps(title: &str, rows: (&str, usize), columns: (&str, usize), values: Vec<f32>) -> Panel {
    measured(title, "attention weight", rows, columns, values)
}

/// Something moves slowly among 24 places, seen through noise.
fn ema_distribution() -> Result<Picture> {
    const STEPS: usize = 24;
    let noise = normals(3, STEPS * STEPS);
    let seen = |at: usize| {
        let (step, place) = ((at / STEPS) as f32, (at % STEPS) as f32);
        3.0 * (-0.3 * (place - 4.0 - 0.6 * step).powi(2)).exp() + 1.3 * noise[at] as f32
    };
    let scores: Tensor<3> = tensor((0..STEPS * STEPS).map(seen).collect(), [1, STEPS, STEPS]);
    let layer = EmaDistributionConfig::new().with_decay(0.7).init(&Device::default())?;
    let smoothed = read(layer.forward(scores.clone(), None)?)?;
    let once = read(burn::tensor::activation::softmax(scores, 2))?;
    let panel = |title, values| steps(title, ("step", STEPS), ("key", STEPS), values);
    let caption = "Something moves slowly, seen through noise. A look that remembers where it looked is not thrown off by each step's noise.";
    Ok(Picture {
        caption: caption.to_owned(),
        panels: vec![panel("with a running average, β = 0.7", smoothed), panel("softmax of each step", once)],
    })
}

/// Words with noise find the words.
fn hopfield() -> Result<Picture> {
    let words = words();
    let noise = normals(11, words.values.len());
    let noisy =
        words.map(|at, row| row.iter().zip(&noise[at * words.width..]).map(|(x, noise)| x + *noise as f32).collect());
    let batch = |rows: &Rows| rows.tensor().squeeze_dim::<3>(1);
    let panel = |title, beta, steps| -> Result<Panel> {
        let (_, look) = retrieve(batch(&noisy), batch(&words), beta, steps, all())?;
        Ok(attended(title, &noisy, &words, read(look.weights()?)?))
    };
    let panels =
        vec![panel("β = 1/√24, one step: attention", 24f32.powf(-0.5), 1)?, panel("β = 1, three steps", 1.0, 3)?];
    let caption = "States are the words with noise, stored patterns the words. A large β and a few steps find the pattern itself.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}

/// A chain of facts. Features are entities as subjects, then as objects; R makes an object the next subject.
fn key_value() -> Result<Picture> {
    const ENTITIES: [&str; 6] = ["milk", "Mary", "ball", "John", "kitchen", "garden"];
    const FACTS: [(usize, usize); 4] = [(0, 1), (2, 3), (1, 4), (3, 5)];
    let count = ENTITIES.len();
    let mut layer = KeyValueMemoryConfig::new(2 * count, 2 * count).with_hops(2).init(&Device::default())?;
    set(&mut layer.embed, |from, to| 2.0 * same(from, to));
    layer.hops.iter_mut().for_each(|hop| set(hop, |from, to| same(from, to + count)));
    let one_hot = |features: Vec<usize>| -> Tensor<3> {
        let rows = features.len();
        tensor(
            features.into_iter().flat_map(|one| (0..2 * count).map(move |at| same(one, at))).collect(),
            [1, rows, 2 * count],
        )
    };
    let (keys, values) = FACTS.into_iter().map(|(subject, object)| (subject, object + count)).unzip();
    let answer = layer.forward(one_hot(vec![0, 2]), one_hot(keys), one_hot(values), all())?;
    let facts: Vec<String> = FACTS.iter().map(|&(a, b)| format!("{}: {}", ENTITIES[a], ENTITIES[b])).collect();
    let panels = answer.looks.iter().zip(["first hop", "second hop"]).map(|(look, title)| {
        let mut panel = steps(title, ("question", 2), ("fact", FACTS.len()), read(look.weights()?)?);
        panel.rows.1 = ["milk?", "ball?"].map(String::from).to_vec();
        panel.columns.1 = facts.clone();
        Ok(panel)
    });
    let caption =
        "Where is the milk? The first hop finds who has it, the second where she is. A and R are set by hand.";
    Ok(Picture { caption: caption.to_owned(), panels: panels.collect::<Result<_>>()? })
}

/// Random weights of a seed.
fn lstm() -> Result<Picture> {
    const STEPS: usize = 6;
    let words = words();
    let width = 2 * GROUP;
    let mut layer =
        LstmAttentionConfig::new(words.width, width).with_matching(Match::Multiplicative).init(&Device::default())?;
    let mut seed = 20;
    let mut random = |layer: &mut crate::projection::Linear, gain: f32| {
        seed += 1;
        let [rows, columns] = layer.weight.dims();
        let numbers = normals(seed, rows * columns);
        set(layer, |from, to| gain * numbers[from * columns + to] as f32);
    };
    random(&mut layer.input, 0.4);
    random(&mut layer.hidden, 1.0);
    if let Matching::Multiplicative(score) = &mut layer.matching {
        random(&mut score.key, 0.6);
    }
    let (_, _, looks) = layer.forward(words.tensor().squeeze_dim(1), STEPS, None, all())?;
    let mut values = Vec::new();
    for look in &looks {
        values.extend(read(look.weights()?)?);
    }
    let mut panel = steps("six steps", ("step", STEPS), ("key", words.len()), values);
    panel.columns.1 = words.tokens;
    let caption = "Untrained, with random weights of a seed: the first step has nothing to ask for and looks at all words alike, and what \
                   it found decides where the next one looks.";
    Ok(Picture { caption: caption.to_owned(), panels: vec![panel] })
}

/// A one at each place in turn: what of it is left later.
fn mega() -> Result<Picture> {
    const STEPS: usize = 32;
    let device = Device::default();
    let panel = |title, pace: f32| -> Result<Panel> {
        let mut ema = DampedEmaConfig::new(1).with_averages(1).init(&device)?;
        let number = |x: f32| Param::from_tensor(tensor(vec![x], [1, 1]));
        let logit = |x: f32| (x / (1.0 - x)).ln();
        (ema.weight, ema.damping) = (number(logit(pace)), number(logit(0.95)));
        (ema.expansion, ema.projection) = (number(1.0), number(1.0));
        let ones: Tensor<3> =
            tensor((0..STEPS * STEPS).map(|at| same(at / STEPS, at % STEPS)).collect(), [STEPS, STEPS, 1]);
        let (left, _) = ema.forward(ones, None)?;
        let by_step = left.reshape([STEPS, STEPS]).transpose();
        Ok(measured(title, "share of the input", ("step", STEPS), ("input", STEPS), read(by_step)?))
    };
    let panels = vec![panel("a quick average, α = 0.6", 0.6)?, panel("a slow one, α = 0.1", 0.1)?];
    let caption = "The moving average before the attention: what each step still has of each input. A feature has averages of several paces.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(panels) })
}

/// A controller that writes eight vectors, a slot after the other, then asks for the first by content and reads on.
fn ntm() -> Result<Picture> {
    const SLOTS: usize = 12;
    const WRITTEN: usize = 8;
    let address = GROUP + 6;
    let mut layer =
        NtmMemoryConfig::new(address + 2 * GROUP).with_slots(SLOTS).with_width(GROUP).init(&Device::default())?;
    // The controller's state is what the heads are to do.
    set(&mut layer.writer, same);
    set(&mut layer.reader, same);
    let pattern = |number: usize| normals(40 + number as u64, GROUP).into_iter().map(|x| x as f32);
    let state = |step: usize| {
        let (writing, recalling) = (step < WRITTEN, step == WRITTEN);
        let key: Vec<f32> = pattern(0).map(f32::tanh).collect();
        let gate = if recalling { 20.0 } else { -20.0 };
        let shift = if recalling { [0.0, 20.0, 0.0] } else { [0.0, 0.0, 20.0] };
        let asked = key.into_iter().chain([30.0, gate]).chain(shift).chain([5.0]);
        let add: Vec<f32> = if writing { pattern(step).collect() } else { vec![0.0; GROUP] };
        asked.chain([-20.0; GROUP]).chain(add).collect::<Vec<_>>()
    };
    let mut memory = layer.start(1, &Device::default());
    let (mut read_at, mut written_at) = (Vec::new(), Vec::new());
    for step in 0..2 * WRITTEN {
        memory = layer.step(tensor(state(step), [1, address + 2 * GROUP]), memory)?.1;
        read_at.extend(read(memory.read.clone())?);
        let written = read(memory.written.clone())?;
        written_at.extend(written.into_iter().map(|weight| if step < WRITTEN { weight } else { 0.0 }));
    }
    let panel = |title, values| steps(title, ("step", 2 * WRITTEN), ("slot", SLOTS), values);
    let caption = "A controller set by hand: eight steps write, moving on by one; the ninth finds the first vector by content, and the rest \
                   read on from there. Later writes add nothing, and are not drawn.";
    Ok(Picture { caption: caption.to_owned(), panels: vec![panel("reading", read_at), panel("writing", written_at)] })
}
