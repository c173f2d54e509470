//! The `regard` program: attention you can see through, from a terminal.

mod asking;
mod attribute;
mod book;
mod cam;
mod catalogue;
mod charlm;
mod compare;
mod diff;
mod drawing;
mod embed;
mod evaluate;
mod faithfulness;
mod fill;
mod generate;
mod graph;
mod hub;
mod inspect;
mod language;
mod output;
mod pace;
mod page;
mod picture;
mod place;
mod progress;
mod pronounce;
mod rollout;
mod shipped;
mod strip;
mod studio;
mod summarize;
mod task;
mod train;
mod translate;
mod view;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use peak_alloc::PeakAlloc;
use regard_recipes::presets::Preset;
use regard_recipes::tasks::Task;

/// Attention you can see through: translate, train, measure, and look at what a model looked at.
#[derive(Parser)]
#[command(name = "regard", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Translate sentences and draw what the model looked at.
    Translate(translate::Translate),
    /// Turn words into phonemes and draw which letters each looked at.
    Pronounce(pronounce::Pronounce),
    /// Go on with a text.
    Generate(generate::Generate),
    /// Show what every layer and head of a trained model looks at.
    Inspect(inspect::Inspect),
    /// Turn texts into vectors.
    Embed(embed::Embed),
    /// Rank texts by how near they are to another.
    Similar(embed::Similar),
    /// Fill in a hidden word.
    Fill(fill::Fill),
    /// Give texts labels.
    Classify(fill::Classify),
    /// Write a shorter text for a text.
    Summarize(summarize::Summarize),
    /// Train a model.
    #[command(subcommand)]
    Train(TrainTask),
    /// Measure a model.
    #[command(subcommand)]
    Evaluate(EvaluateTask),
    /// Look into traces, of models of ours or in Python: in a local page, or as a picture.
    View(view::View),
    /// Type text into a model, and look at what it looked at, in a local page.
    Studio(studio::Studio),
    /// Score the tokens that a model's answer comes from, and measure how far to trust the scores.
    Attribute(attribute::Attribute),
    /// Follow attention through all layers down to the tokens.
    Rollout(rollout::Rollout),
    /// Show where in an image a network found what speaks for a class.
    Cam(cam::Cam),
    /// Compare methods of explaining on many texts: which tell best what answers come from.
    Faithfulness(faithfulness::Faithfulness),
    /// Show where the attention of two traces differs.
    Diff(diff::Diff),
    /// Compare mechanisms with exact attention on this machine: time, memory and error by length.
    Compare(compare::Compare),
    /// List the mechanisms that exist.
    List(catalogue::List),
    /// Show a mechanism's card, and draw what it looks like.
    Show(catalogue::Show),
    /// Write the book of mechanisms: a page and a picture for each.
    Book(book::Book),
}

#[derive(Subcommand)]
enum TrainTask {
    /// A translator from sentence pairs.
    Translate(train::Train),
    /// Letters to phonemes, from a pronouncing dictionary.
    G2p(train::Train),
    /// Labels for the nodes of a graph.
    Graph(graph::Train),
    /// A language model of a text's characters.
    Charlm(charlm::Charlm),
    /// A made-up task: repeat bytes from a memory that is read and written.
    Copy(task::Train),
    /// A made-up task: find the value of a key.
    Recall(task::Train),
    /// A made-up task: answer a question that takes two facts.
    Questions(task::Train),
    /// A made-up task: say a sequence backwards.
    Reverse(task::Train),
    /// A made-up task: write down sounds of any length.
    Transcribe(task::Train),
    /// A made-up task: tell a place from many bad glimpses.
    Track(task::Train),
    /// A made-up task: find the one position that matters, also by choices that have no slope.
    Needle(task::Train),
}

#[derive(Subcommand)]
enum EvaluateTask {
    /// A translator, by BLEU and chrF.
    Translate(evaluate::Evaluate),
    /// Letters to phonemes, by word and phoneme error rate.
    G2p(evaluate::Evaluate),
    /// A classifier of a graph's nodes, by the share of labels that are right.
    Graph(graph::Evaluate),
    /// A language model, by perplexity: what remembering less of a text costs it.
    Language(language::Language),
}

/// Counts what is allocated, for `regard compare` to tell how much memory a mechanism takes.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What any command may end with.
type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Translate(command) => command.run(),
        Command::Train(TrainTask::Translate(command)) => command.run("translate", Preset::Small),
        Command::Train(TrainTask::G2p(command)) => command.run("g2p", Preset::G2p),
        Command::Train(TrainTask::Graph(command)) => command.run(),
        Command::Train(TrainTask::Charlm(command)) => command.run(),
        Command::Train(TrainTask::Copy(command)) => command.run(Task::Copy),
        Command::Train(TrainTask::Recall(command)) => command.run(Task::Recall),
        Command::Train(TrainTask::Questions(command)) => command.run(Task::Questions),
        Command::Train(TrainTask::Reverse(command)) => command.run(Task::Reverse),
        Command::Train(TrainTask::Transcribe(command)) => command.run(Task::Transcribe),
        Command::Train(TrainTask::Track(command)) => command.run(Task::Track),
        Command::Train(TrainTask::Needle(command)) => command.run(Task::Needle),
        Command::Evaluate(EvaluateTask::Translate(command)) => command.translate(),
        Command::Evaluate(EvaluateTask::G2p(command)) => command.pronounce(),
        Command::Evaluate(EvaluateTask::Graph(command)) => command.run(),
        Command::Evaluate(EvaluateTask::Language(command)) => command.run(),
        Command::Pronounce(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Similar(command) => command.run(),
        Command::Fill(command) => command.run(),
        Command::Classify(command) => command.run(),
        Command::Summarize(command) => command.run(),
        Command::View(command) => command.run(),
        Command::Studio(command) => command.run(),
        Command::Attribute(command) => command.run(),
        Command::Rollout(command) => command.run(),
        Command::Cam(command) => command.run(),
        Command::Faithfulness(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Book(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(output::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// A flag that Ctrl-C sets, so that work can end in good order; a second Ctrl-C ends it at once.
fn interruption() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;
    Ok(stop)
}
