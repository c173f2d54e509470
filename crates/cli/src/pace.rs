//! How a training proceeds: the options of every command that trains.

use clap::Args;

#[derive(Args)]
pub struct Pace {
    /// Go on with the run in --out from its last checkpoint, to the bits that it would have reached undisturbed.
    #[arg(long)]
    pub resume: bool,
    /// Steps in all.
    #[arg(long)]
    pub steps: Option<u64>,
    /// Largest step size.
    #[arg(long, conflicts_with = "resume")]
    pub rate: Option<f64>,
    /// Steps between validations, each of which writes a checkpoint.
    #[arg(long, conflicts_with = "resume")]
    pub validate_every: Option<u64>,
    /// Threads; a batch is cut into as many parts, so the bits of the result depend on it.
    #[arg(long, conflicts_with = "resume")]
    pub shards: Option<usize>,
    /// Seed of weights, examples and whatever else is drawn.
    #[arg(long, conflicts_with = "resume")]
    pub seed: Option<u64>,
}
