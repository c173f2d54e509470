//! Training on pairs: a translator from sentences, a speller from a dictionary.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Tensor;
use regard::{Mode, mix};
use regard_models::{Translator, weights};

use super::{Amount, Changes, Event, Measured, Outcome, Pace, Part, Recipe, Run, START, Session};
use super::{beginning, check_new, check_same, check_size, last};
use crate::checkpoint::Position;
use crate::data::augment;
use crate::data::batches::{Batching, Epoch, Lengths};
use crate::data::pairs::{Corpus, Pair};
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use crate::folder;
use crate::interpreter;
use crate::optimizer::Adam;
use crate::presets::{Architecture, Network, Training, with_network};

/// Token ids of sentence pairs.
struct Encoded {
    sources: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    lengths: Vec<Lengths>,
    /// How many, at the end, were made of the others.
    extra: usize,
}

impl Encoded {
    fn new(pairs: &[Pair], tokenizer: &Tokenizer) -> Result<Self> {
        let encode = |text: &str| tokenizer.encode(text);
        let sources = pairs.iter().map(|pair| encode(&pair.source)).collect::<std::result::Result<Vec<_>, _>>()?;
        let targets = pairs.iter().map(|pair| encode(&pair.target)).collect::<std::result::Result<Vec<_>, _>>()?;
        let lengths = sources
            .iter()
            .zip(&targets)
            .map(|(source, target)| Lengths { source: source.len(), target: target.len() })
            .collect();
        Ok(Encoded { sources, targets, lengths, extra: 0 })
    }

    /// Takes the pairs of an epoch in place of the extra pairs there are; these are the tokens of `pairs`.
    fn augment(&mut self, pairs: &[Pair], tokenizer: &Tokenizer, training: &Training, epoch: u64) -> Result<()> {
        let Training { max_length, augment: share, seed, .. } = *training;
        self.sources.truncate(pairs.len());
        self.targets.truncate(pairs.len());
        self.lengths.truncate(pairs.len());
        let made = augment::extra_pairs(pairs, &self.lengths, max_length, share, [seed, epoch]);
        let extra = Encoded::new(&made, tokenizer)?;
        self.extra = extra.lengths.len();
        self.sources.extend(extra.sources);
        self.targets.extend(extra.targets);
        self.lengths.extend(extra.lengths);
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        let ids = self.sources.iter().chain(&self.targets).flat_map(|ids| ids.iter().copied().chain([u32::MAX]));
        ids.fold(0, |hash, id| mix(hash ^ u64::from(id)))
    }

    fn pick(&self, indices: &[usize]) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
        indices.iter().map(|&index| (self.sources[index].clone(), self.targets[index].clone())).unzip()
    }
}

/// Starts a run in the folder `out`, which must not hold one, and trains it to its end or until `stop`.
///
/// # Errors
/// When the data or options cannot be used, a file cannot be written, or the loss diverges.
pub fn start(
    data: &Path,
    out: &Path,
    vocabulary: usize,
    architecture: impl FnOnce(usize) -> Architecture,
    training: Training,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    check_new(out)?;
    check(&training)?;
    let corpus = Corpus::open(data)?;
    let texts = || corpus.train.iter().flat_map(|pair| [pair.source.as_str(), pair.target.as_str()]);
    let tokenizer =
        if corpus.segmented { Tokenizer::whitespace(texts())? } else { Tokenizer::train(texts(), vocabulary)? };
    let encoded = Encoded::new(&corpus.train, &tokenizer)?;
    let dev = Encoded::new(&corpus.dev, &tokenizer)?;
    // Nothing is written before everything that can be known to fail has been tried: a folder with a run is not reused.
    check_lengths(data, &training, [&encoded, &dev])?;
    let run = Run {
        data: std::path::absolute(data).unwrap_or_else(|_| data.to_owned()),
        fingerprint: encoded.fingerprint(),
        architecture: architecture(tokenizer.vocab_size()),
        training,
    };
    let (network, adam) = begin(&run)?;
    std::fs::create_dir_all(out).map_err(|source| Error::File { action: "create", path: out.to_owned(), source })?;
    tokenizer.save(out.join(interpreter::TOKENIZER))?;
    folder::write_json(&out.join("run.json"), &run)?;
    let recipe = Pairs::new(&run, &tokenizer, corpus.train, [encoded, dev], START)?;
    go_on(out, recipe, network, adam, START, stop, observe)
}

/// Goes on with the run in `out` from its last checkpoint, with `changes` that it keeps from then on.
///
/// # Errors
/// As [`start`], and when there is no run, or its data have changed.
pub fn resume(out: &Path, changes: Changes, stop: &AtomicBool, observe: &mut dyn FnMut(Event)) -> Result<Outcome> {
    let mut run: Run = folder::read_json(&out.join("run.json"))?;
    let before = run.training.clone();
    run.training.steps = changes.steps.unwrap_or(before.steps);
    run.training.augment = changes.augment.unwrap_or(before.augment);
    check(&run.training)?;
    check_size(out, run.architecture.numbers())?;
    let tokenizer = Tokenizer::load(out.join(interpreter::TOKENIZER))?;
    let corpus = Corpus::open(&run.data)?;
    let encoded = Encoded::new(&corpus.train, &tokenizer)?;
    check_same(&run.data, encoded.fingerprint(), run.fingerprint)?;
    let (network, adam) = begin(&run)?;
    let (adam, position) = last(
        out,
        adam,
        |adam| with_network!(&network, model => weights::assign(model.clone(), adam.weights()).map(drop)),
    )?;
    let dev = Encoded::new(&corpus.dev, &tokenizer)?;
    check_lengths(&run.data, &run.training, [&encoded, &dev])?;
    let recipe = Pairs::new(&run, &tokenizer, corpus.train, [encoded, dev], position)?;
    if run.training != before {
        folder::write_json(&out.join("run.json"), &run)?;
    }
    go_on(out, recipe, network, adam, position, stop, observe)
}

/// The network and the optimiser that a run begins with: functions of the run alone.
fn begin(run: &Run) -> Result<(Network, Adam)> {
    let adam = |network: &Network| with_network!(network, model => Adam::new(weights::parameters(model)));
    beginning(run.training.seed, |device| run.architecture.init(device), adam)
}

fn check(training: &Training) -> Result<()> {
    pace(training).check()?;
    if !(0.0..1.0).contains(&training.smoothing) {
        return Err(Error::option("smoothing", training.smoothing, "a share in [0, 1)"));
    }
    Ok(augment::check(training.augment)?)
}

fn pace(training: &Training) -> Pace {
    let Training { adam, steps, validate_every, shards, seed, .. } = *training;
    Pace { adam, steps, validate_every, shards, seed }
}

/// Fails unless both parts have a pair that is short enough.
fn check_lengths(data: &Path, training: &Training, [train, dev]: [&Encoded; 2]) -> Result<()> {
    let batching = batching(training);
    for (part, pairs) in [("training", train), ("development", dev)] {
        if batching.in_order(&pairs.lengths)?.batches.is_empty() {
            let problem = format!("no {part} pair has at most {} tokens on both sides", training.max_length);
            return Err(Error::Content { path: data.to_owned(), problem });
        }
    }
    Ok(())
}

fn batching(training: &Training) -> Batching {
    Batching { max_tokens: training.max_tokens, max_length: training.max_length, ..Batching::default() }
}

fn go_on(
    out: &Path,
    mut recipe: Pairs,
    network: Network,
    adam: Adam,
    position: Position,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    let session = Session::new(out, pace(&recipe.run.training))?;
    with_network!(network, model => session.train(&mut recipe, &model, adam, position, stop, observe))
}

/// The pairs of a run, and a pass over them.
struct Pairs<'a> {
    run: &'a Run,
    tokenizer: &'a Tokenizer,
    batching: Batching,
    pairs: Vec<Pair>,
    /// The tokens of the pairs, and of a pass's extra pairs.
    train: Encoded,
    dev: Encoded,
    epoch: Epoch,
}

/// Sources and targets.
type Batch = (Vec<Vec<u32>>, Vec<Vec<u32>>);

impl<'a> Pairs<'a> {
    /// In the pass of `position`.
    fn new(
        run: &'a Run,
        tokenizer: &'a Tokenizer,
        pairs: Vec<Pair>,
        [train, dev]: [Encoded; 2],
        position: Position,
    ) -> Result<Self> {
        let epoch = Epoch { batches: Vec::new(), left_out: 0 };
        let mut all = Pairs { run, tokenizer, batching: batching(&run.training), pairs, train, dev, epoch };
        all.begin(position.epoch)?;
        Ok(all)
    }

    /// The batches of a pass, with extra pairs of its own.
    fn begin(&mut self, epoch: u64) -> Result<()> {
        self.train.augment(&self.pairs, self.tokenizer, &self.run.training, epoch)?;
        self.epoch = self.batching.epoch(&self.train.lengths, self.run.training.seed, epoch)?;
        Ok(())
    }
}

impl<M: Translator + Module> Recipe<M> for Pairs<'_> {
    type Batch = Batch;

    fn amount(&self) -> Amount {
        let extra = self.train.extra;
        Amount { examples: self.train.lengths.len() - extra, extra, left_out: self.epoch.left_out }
    }

    fn batch(&mut self, position: &mut Position) -> Result<Batch> {
        if position.batch >= self.epoch.batches.len() {
            position.epoch += 1;
            position.batch = 0;
            self.begin(position.epoch)?;
        }
        Ok(self.train.pick(&self.epoch.batches[position.batch]))
    }

    fn tokens(&self, batch: &Batch) -> usize {
        target_tokens(&batch.1)
    }

    fn loss(&self, model: &M, (sources, targets): &Batch, part: Part, mode: Mode) -> Result<Option<Tensor<1>>> {
        loss(model, sources, targets, self.run.training.smoothing, part, mode)
    }

    fn measure(&self, model: &M, part: Part) -> Result<Measured> {
        let batches = self.batching.in_order(&self.dev.lengths)?.batches;
        let (mut loss, mut tokens) = (0.0, 0);
        for batch in part.of(&batches) {
            let (sources, targets) = self.dev.pick(&batch);
            let (sum, count) = model.loss(&sources, &targets, 0.0, Mode::Evaluate)?;
            loss += f64::from(sum.into_scalar::<f32>());
            tokens += count;
        }
        Ok(Measured { loss, tokens, right: None })
    }

    fn write(&self, folder: &Path, model: &M) -> Result<()> {
        interpreter::write_model(folder, model, &self.run.architecture, self.tokenizer)
    }
}

/// Tokens that a translator is to say: those of the targets and their ends.
pub fn target_tokens(targets: &[Vec<u32>]) -> usize {
    targets.iter().map(|target| target.len() + 1).sum()
}

/// Summed label-smoothed loss of a part of the pairs; none when the part is empty.
///
/// # Errors
/// When a pair is too long for the model.
pub fn loss<M: Translator>(
    model: &M,
    sources: &[Vec<u32>],
    targets: &[Vec<u32>],
    smoothing: f32,
    part: Part,
    mode: Mode,
) -> Result<Option<Tensor<1>>> {
    let (sources, targets) = (part.of(sources), part.of(targets));
    if sources.is_empty() {
        return Ok(None);
    }
    Ok(Some(model.loss(&sources, &targets, smoothing, mode)?.0))
}
