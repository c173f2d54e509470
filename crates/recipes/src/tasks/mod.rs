//! Made-up problems that show what a mechanism of memory or of choice learns, in minutes on two cores.
//!
//! A [`Task`] makes examples of a seed, as many as anybody wants and none twice, so that nothing is learned by heart. A [`Way`]
//! is a small network around one mechanism that is to solve it. [`train::tasks`](crate::train::tasks) trains a way.
//!
//! | task | what it is after | ways |
//! |---|---|---|
//! | [`copy`] | Graves et al. 2014: repeat what was written | `ntm` |
//! | [`recall`] | find the value of a key; with `mega`, in one sequence | `hopfield`, `lstm`, `mega` |
//! | [`questions`] | Miller et al. 2016, Weston et al. 2015 (bAbI): where is what somebody carries? | `key-value` |
//! | [`reverse`] | say a sequence backwards | `bahdanau`, `luong` |
//! | [`transcribe`] | Chorowski et al. 2015: read on although the same sound comes again | `location`, `content` |
//! | [`track`] | stay with a place that is seldom seen well | `ema`, `unsmoothed` |
//! | [`needle`] | Xu et al. 2015: look at the one place that matters | `soft`, `sampled`, `gumbel`, `hard` |
//!
//! `content` and `unsmoothed` are there to be beaten: the same networks without what the mechanism adds.

pub mod copy;
mod learner;
pub mod needle;
pub mod questions;
pub mod recall;
pub mod reverse;
pub mod track;
pub mod transcribe;

use serde::{Deserialize, Serialize};

use crate::data::random::SplitMix64;
use crate::error::{Error, Result};

pub(crate) use learner::Learner;

/// What is given and what is to be answered. What the numbers stand for is the task's; those of one batch are equally long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Symbols.
    pub given: Vec<u32>,
    /// A class an answer.
    pub answers: Vec<u32>,
}

/// A made-up problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Bytes are repeated, bit by bit.
    Copy,
    /// The value of a key is found among pairs.
    Recall,
    /// Facts are chained.
    Questions,
    /// A sequence is said backwards.
    Reverse,
    /// Sounds of any length are written down.
    Transcribe,
    /// A place is told from many bad glimpses.
    Track,
    /// One marked value is found.
    Needle,
}

/// A mechanism that is to solve a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// [`regard::memory::NtmMemory`]
    Ntm,
    /// [`regard::memory::Hopfield`]
    Hopfield,
    /// [`regard::memory::LstmAttention`]
    Lstm,
    /// [`regard::memory::MegaEma`]
    Mega,
    /// [`regard::memory::KeyValueMemory`]
    KeyValue,
    /// [`regard_models::Seq2Seq`] with [`regard_models::Decoding::Bahdanau`]
    Bahdanau,
    /// [`regard_models::Seq2Seq`] with [`regard_models::Decoding::Luong`]
    Luong,
    /// [`regard::memory::LocationAware`]
    Location,
    /// The same, which does not learn where it looked before.
    Content,
    /// [`regard::memory::EmaDistribution`]
    Ema,
    /// A softmax of the last scores.
    Unsmoothed,
    /// [`regard::Softmax`]
    Soft,
    /// [`regard::Sampled`], by REINFORCE with a learned baseline.
    Sampled,
    /// [`regard::Gumbel`], straight through.
    Gumbel,
    /// [`regard::Hard`], straight through.
    Hard,
}

impl Task {
    /// All.
    pub const ALL: [Task; 7] =
        [Task::Copy, Task::Recall, Task::Questions, Task::Reverse, Task::Transcribe, Task::Track, Task::Needle];

    /// What it is called in `regard train NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Task::Copy => "copy",
            Task::Recall => "recall",
            Task::Questions => "questions",
            Task::Reverse => "reverse",
            Task::Transcribe => "transcribe",
            Task::Track => "track",
            Task::Needle => "needle",
        }
    }

    /// The ways to solve it, or not to; the first is the usual one.
    pub fn ways(self) -> &'static [Way] {
        match self {
            Task::Copy => &[Way::Ntm],
            Task::Recall => &[Way::Hopfield, Way::Lstm, Way::Mega],
            Task::Questions => &[Way::KeyValue],
            Task::Reverse => &[Way::Bahdanau, Way::Luong],
            Task::Transcribe => &[Way::Location, Way::Content],
            Task::Track => &[Way::Ema, Way::Unsmoothed],
            Task::Needle => &[Way::Soft, Way::Sampled, Way::Gumbel, Way::Hard],
        }
    }

    /// The way called `name`.
    ///
    /// # Errors
    /// Listing the names there are.
    pub fn way(self, name: &str) -> Result<Way> {
        let found = self.ways().iter().find(|way| way.name() == name);
        let known: Vec<&str> = self.ways().iter().map(|way| way.name()).collect();
        let expected = || format!("one of {}", known.join(", "));
        found.copied().ok_or_else(|| Error::option("attention", name, expected()))
    }

    /// A batch of so many examples.
    pub fn examples(self, rows: usize, random: &mut SplitMix64) -> Vec<Example> {
        let one: fn(&mut SplitMix64) -> Example = match self {
            Task::Copy => return copy::examples(rows, random),
            Task::Reverse => return reverse::examples(rows, random),
            Task::Recall => recall::example,
            Task::Questions => questions::example,
            Task::Transcribe => transcribe::example,
            Task::Track => track::example,
            Task::Needle => needle::example,
        };
        (0..rows).map(|_| one(random)).collect()
    }
}

impl Way {
    /// What it is called in `--attention NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Way::Ntm => "ntm",
            Way::Hopfield => "hopfield",
            Way::Lstm => "lstm",
            Way::Mega => "mega",
            Way::KeyValue => "key-value",
            Way::Bahdanau => "bahdanau",
            Way::Luong => "luong",
            Way::Location => "location",
            Way::Content => "content",
            Way::Ema => "ema",
            Way::Unsmoothed => "unsmoothed",
            Way::Soft => "soft",
            Way::Sampled => "sampled",
            Way::Gumbel => "gumbel",
            Way::Hard => "hard",
        }
    }
}
