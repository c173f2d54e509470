//! Long work that somebody waits for: how far it is, and how to stop it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::background::lock;

/// Jobs that are remembered; of finished ones the oldest go first.
const REMEMBERED: usize = 32;
/// Jobs that may wait for their turn.
const WAITING: usize = 8;

/// A piece of long work, as who does it sees it.
#[derive(Debug, Default)]
pub struct Work {
    cancelled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    what: String,
    done: usize,
    of: usize,
    end: Option<Result<Value, String>>,
}

impl Work {
    /// Says how far the work is: `done` of `of` steps, 0 of 0 if nobody knows.
    pub fn progress(&self, what: &str, done: usize, of: usize) {
        let mut state = lock(&self.state);
        state.what = what.to_owned();
        (state.done, state.of) = (done, of);
    }

    /// Whether nobody waits for the result any more.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self, result: Result<Value, String>) {
        lock(&self.state).end = Some(result);
    }

    fn ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    fn json(&self) -> Value {
        let state = lock(&self.state);
        match &state.end {
            _ if self.cancelled() => json!({ "state": "cancelled" }),
            Some(Ok(result)) => json!({ "state": "done", "result": result }),
            Some(Err(error)) => json!({ "state": "failed", "error": error }),
            None => json!({ "state": "working", "what": state.what, "done": state.done, "of": state.of }),
        }
    }
}

/// All work by number.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<(u32, BTreeMap<u32, Arc<Work>>)>);

impl Jobs {
    /// A new job, unless too many are waiting.
    pub(crate) fn add(&self) -> Option<(u32, Arc<Work>)> {
        let mut jobs = lock(&self.0);
        if jobs.1.values().filter(|work| !work.ended()).count() >= WAITING {
            return None;
        }
        jobs.0 = jobs.0.wrapping_add(1);
        let (number, work) = (jobs.0, Arc::new(Work::default()));
        jobs.1.insert(number, work.clone());
        while jobs.1.len() > REMEMBERED {
            let Some(old) = jobs.1.iter().find(|(_, work)| work.ended()).map(|(&number, _)| number) else { break };
            jobs.1.remove(&old);
        }
        Some((number, work))
    }

    pub(crate) fn json(&self, number: u32) -> Option<Value> {
        lock(&self.0).1.get(&number).map(|work| work.json())
    }

    /// Whether there was such a job to stop.
    pub(crate) fn cancel(&self, number: u32) -> bool {
        let found = lock(&self.0).1.get(&number).cloned();
        found.inspect(|work| work.cancelled.store(true, Ordering::Relaxed)).is_some()
    }
}
