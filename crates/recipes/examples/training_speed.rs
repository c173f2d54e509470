//! How fast the `tiny` preset trains, on batches from a file: the other half of `bench/train`.
//!
//! `training_speed write DIR FILE` writes the first batches of a data folder, one JSON object a line; `training_speed FILE --threads N --steps S`
//! trains on them and ends with a JSON line that has the median of target tokens a second.

use std::fmt::Write;
use std::time::Instant;

use burn::tensor::Device;
use regard_models::weights;
use regard_recipes::data::batches::{Batching, Lengths};
use regard_recipes::data::pairs::Corpus;
use regard_recipes::data::tokenizer::{BOS, EOS, Tokenizer};
use regard_recipes::optimizer::Adam;
use regard_recipes::presets::{Network, Preset};
use regard_recipes::shards::Shards;
use regard_recipes::train::pairs::{loss, target_tokens};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", data, file] => write(data, file),
        [file, "--threads", threads, "--steps", steps] => train(file, threads.parse()?, steps.parse()?),
        _ => Err("usage: training_speed write DIR FILE | training_speed FILE --threads N --steps S".into()),
    }
}

fn write(data: &str, file: &str) -> Result {
    let corpus = Corpus::open(data)?;
    let texts = corpus.train.iter().flat_map(|pair| [pair.source.as_str(), pair.target.as_str()]);
    let tokenizer = Tokenizer::whitespace(texts)?;
    let mut pairs = Vec::new();
    for pair in &corpus.train {
        pairs.push((tokenizer.encode(&pair.source)?, tokenizer.encode(&pair.target)?));
    }
    let lengths: Vec<_> =
        pairs.iter().map(|(source, target)| Lengths { source: source.len(), target: target.len() }).collect();
    let epoch = Batching { max_length: 256, ..Batching::default() }.epoch(&lengths, 1, 0)?;
    let mut text = String::new();
    for batch in epoch.batches.iter().take(40) {
        let end = |ids: &[u32]| [ids, &[EOS]].concat();
        let sources: Vec<_> = batch.iter().map(|&index| end(&pairs[index].0)).collect();
        let targets: Vec<_> = batch.iter().map(|&index| [vec![BOS], end(&pairs[index].1)].concat()).collect();
        writeln!(text, "{}", json!({ "source": sources, "target": targets, "vocabulary": tokenizer.vocab_size() }))?;
    }
    Ok(std::fs::write(file, text)?)
}

fn train(file: &str, threads: usize, steps: usize) -> Result {
    let text = std::fs::read_to_string(file)?;
    let batches: Vec<Value> = text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    let vocabulary = batches[0]["vocabulary"].as_u64().ok_or("the batches do not say their vocabulary")? as usize;
    let preset = Preset::Tiny;
    let training = preset.training();
    let Network::Transformer(model) = preset.architecture(vocabulary).init(&Device::default().autodiff())? else {
        return Err("tiny is a Transformer".into());
    };
    let mut adam = Adam::new(weights::parameters(&model));
    let shards = Shards::new(threads)?;
    let mut speeds = Vec::new();
    for (step, batch) in batches.iter().cycle().take(steps).enumerate() {
        // Without the marks, which the loss adds itself.
        let sides = |name: &str, skip: usize| -> Vec<Vec<u32>> {
            let rows = batch[name].as_array().into_iter().flatten().flat_map(Value::as_array);
            let bare = rows.map(|row| &row[skip..row.len() - 1]);
            bare.map(|row| row.iter().filter_map(Value::as_u64).map(|id| id as u32).collect()).collect()
        };
        let (sources, targets) = (sides("source", 0), sides("target", 1));
        let tokens = target_tokens(&targets);
        let began = Instant::now();
        let weights = adam.weights();
        let (mean, gradients) = shards.gradients(&model, &weights, tokens, step as u64, |model, part, mode| {
            loss(model, &sources, &targets, training.smoothing, part, mode)
        })?;
        adam.step(&gradients, &training.adam, training.steps);
        let speed = tokens as f64 / began.elapsed().as_secs_f64();
        println!("step {} loss {mean:.3} {speed:.0} tokens/s", step + 1);
        if step > 1 {
            speeds.push(speed);
        }
    }
    speeds.sort_by(f64::total_cmp);
    let median = speeds.get(speeds.len() / 2).ok_or("more than 2 steps are needed: the first two warm up")?;
    println!("{}", json!({ "median_tokens_per_second": median }));
    Ok(())
}
