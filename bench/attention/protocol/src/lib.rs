//! What every contestant written in Rust has in common: jobs come in, milliseconds go out.
//!
//! A contestant is a process with a fixed number of threads. Each line of its standard input is a [`Job`], each line of its
//! standard output the answer, both JSON; `workers/protocol.py` is the same for Python. Works are prepared at their first
//! job and kept until a job says `"forget": true`, so that preparing is never timed and works can take turns.

mod memory;
mod normals;
mod way;
mod work;

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

pub use normals::Normals;
pub use way::{Way, fastest};
pub use work::{Bias, Element, Layout, Mask, Task, Work};

/// A work that is ready to be timed.
pub trait Prepared {
    /// Computes once and keeps the outputs until the next time.
    fn run(&mut self);

    /// Whether it has been computed before.
    fn is_warm(&self) -> bool {
        false
    }

    /// What [`run`](Prepared::run) computed, one after the other: the context and, when training, the gradients of queries,
    /// keys and values. Every contestant must give the same numbers.
    fn outputs(&self) -> Vec<f32>;
}

/// What to do next.
#[derive(Deserialize)]
struct Job {
    /// The attention to compute.
    work: Option<Value>,
    /// How long to repeat it; at least once.
    #[serde(default)]
    seconds: f64,
    /// Compute it once and say how much memory that took besides inputs and outputs.
    #[serde(default)]
    scratch: bool,
    /// Something else that the contestant knows, such as a measurement of the machine.
    other: Option<String>,
    /// Drop all works.
    #[serde(default)]
    forget: bool,
}

/// Answers jobs until standard input ends. `prepare` refuses a work that the contestant does not know, with the reason;
/// `other` answers the jobs of that name, `version` among them.
///
/// The only argument of the process is the file of normal numbers.
pub fn serve(prepare: impl Fn(&Work, &Normals) -> Result<Box<dyn Prepared>, String>, other: impl Fn(&str) -> Value) {
    let path = std::env::args().nth(1).expect("usage: CONTESTANT NORMALS, with jobs on standard input");
    let normals = Normals::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut prepared: HashMap<String, Result<Box<dyn Prepared>, String>> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input is readable");
        let job: Job = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let answer = if job.forget {
            prepared.clear();
            json!({})
        } else if let Some(name) = &job.other {
            other(name)
        } else {
            let work = job.work.expect("a job has a work");
            let mut first = false;
            let prepared = prepared.entry(work.to_string()).or_insert_with(|| {
                first = true;
                let work = serde_json::from_value(work).map_err(|error| error.to_string())?;
                prepare(&work, &normals)
            });
            match prepared {
                Ok(work) if job.scratch => scratch(work.as_mut()),
                Ok(work) => time(work.as_mut(), job.seconds, first),
                Err(reason) => json!({ "cannot": reason }),
            }
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).expect("standard output is writable");
    }
}

/// What runs for so long is as fast the first time.
const SLOW: Duration = Duration::from_secs(1);

/// Milliseconds of each repetition and, the first time, a sample of the outputs.
fn time(work: &mut dyn Prepared, seconds: f64, first: bool) -> Value {
    let (mut answer, mut times) = (json!({}), Vec::new());
    let run = |work: &mut dyn Prepared| {
        let start = Instant::now();
        work.run();
        start.elapsed()
    };
    if first {
        // Not counted: the first run touches fresh memory and wakes the threads.
        let time = if work.is_warm() { Duration::ZERO } else { run(work) };
        times.extend((time >= SLOW).then_some(time));
        answer["sample"] = json!(sample(&work.outputs()));
    }
    let (begin, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    while times.is_empty() || times[0] < SLOW && begin.elapsed() < limit {
        times.push(run(work));
    }
    answer["ms"] = json!(times.iter().map(|time| time.as_secs_f64() * 1e3).collect::<Vec<_>>());
    answer
}

/// 61 of the outputs, evenly spread; a prime, so that they do not all belong to one feature.
fn sample(outputs: &[f32]) -> Vec<f32> {
    (0..61).filter_map(|i| outputs.get(i * outputs.len() / 61).copied()).collect()
}

/// The most memory that one run held above what was there before, less its outputs.
fn scratch(work: &mut dyn Prepared) -> Value {
    let Some(before) = memory::now_and_reset_peak() else {
        return json!({ "cannot": "needs Linux's /proc" });
    };
    let start = Instant::now();
    work.run();
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    // Asked before the outputs are looked at, which copies them.
    let peak = memory::peak().unwrap_or_default();
    let outputs = size_of_val(work.outputs().as_slice()) as f64 / 1e6;
    json!({ "ms": [milliseconds], "scratch": peak - before - outputs })
}
