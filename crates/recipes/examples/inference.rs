//! How long a model in Hugging Face's layout takes to read a text, and to write one: a contestant of `bench/inference`.
//!
//! `cargo run --release -p regard-recipes --example inference -- FOLDER WHAT`
//!
//! WHAT is `f32` or `int8` for a decoder, which reads 512 tokens and writes 128, and for an encoder how many tokens it reads, or a
//! file with a sentence a line to make vectors of. Prints what was done and the seconds it took, a line each.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Tensor;
use regard::Mode;
use regard::cache::CacheConfig;
use regard_models::pretrained::{Pretrained, open};
use regard_models::{Encoder, LanguageModel, Padded};
use regard_recipes::reader::{Pooling, Reader};

/// Tokens read before the first is written.
const READ: usize = 512;
/// Tokens written after those.
const WRITTEN: usize = 128;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, what] = &arguments[..] else { return Err("usage: inference FOLDER f32|int8|TOKENS|FILE".into()) };
    // The calling thread is one of the pool's, so that no operation has to wake one.
    let mut result = Ok(());
    rayon::scope(|_| result = measure(Path::new(folder), what));
    result
}

fn measure(folder: &Path, what: &str) -> Result {
    match (open(folder)?, what) {
        (Pretrained::Decoder(model), "f32") => decoder(&*model),
        (Pretrained::Decoder(model), "int8") => decoder(&*model.quantized()?),
        (Pretrained::Encoder(model), what) => match what.parse() {
            Ok(tokens) => encoder(&*model, tokens),
            Err(_) => sentences(folder, what),
        },
        (_, _) => Err("a model that writes is measured in f32 or int8".into()),
    }
}

fn decoder(model: &dyn LanguageModel) -> Result {
    let text = text(READ, model.vocabulary());
    let read = || -> Result<_> {
        let mut state = model.start(&CacheConfig::Contiguous)?;
        let scores = model.step(&text, &mut state)?;
        Ok((state, likeliest(scores)))
    };
    report("read", best(3, || read().map(drop))?);
    let (mut state, mut token) = read()?;
    let began = Instant::now();
    for _ in 0..WRITTEN {
        token = likeliest(model.step(&[token], &mut state)?);
    }
    report("write", began.elapsed().as_secs_f64());
    Ok(())
}

fn likeliest(scores: Tensor<2>) -> u32 {
    scores.argmax(1).into_scalar::<i64>() as u32
}

fn encoder(model: &dyn Encoder, tokens: usize) -> Result {
    let text = Padded::new(&[text(tokens, model.vocabulary())], 0, model.vocabulary())?;
    report("read", best(5, || Ok(model.states(&text, None, Mode::Evaluate, None)?))?);
    Ok(())
}

fn sentences(folder: &Path, file: &str) -> Result {
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();
    let reader = Reader::load(folder)?;
    report("embed", best(2, || Ok(reader.embed(&lines, Pooling::Mean, true, |_| ())?))?);
    Ok(())
}

fn text(tokens: usize, vocabulary: usize) -> Vec<u32> {
    (0..tokens).map(|i| (i * 7919 % vocabulary) as u32).collect()
}

fn report(what: &str, seconds: f64) {
    println!("{what}\t{seconds:.4}");
}

/// The least time of several runs, after one that warms up, in seconds.
fn best<T>(runs: usize, mut run: impl FnMut() -> Result<T>) -> Result<f64> {
    run()?;
    let mut least = f64::INFINITY;
    for _ in 0..runs {
        let began = Instant::now();
        run()?;
        least = least.min(began.elapsed().as_secs_f64());
    }
    Ok(least)
}
