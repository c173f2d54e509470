//! Work that goes on while somebody asks for its result, and stops when nobody does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Asked for no longer than this ago, work goes on.
const PATIENCE: Duration = Duration::from_secs(10);
/// Work that waits gets its turn after so long.
const TURN: Duration = Duration::from_millis(60);

/// Something that is done a piece at a time.
pub(crate) trait Errand: Send + Sync + 'static {
    /// Who asked, and whether the work is on its way.
    fn asked(&self) -> &Asked;

    /// Does a piece; whether there is more to do.
    fn piece(&self) -> bool;
}

/// When the result of an errand was last asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    last: Mutex<Instant>,
    running: AtomicBool,
    dropped: AtomicBool,
}

impl Asked {
    pub(crate) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()), running: AtomicBool::new(false), dropped: AtomicBool::new(false) }
    }

    /// Nobody will ask again.
    pub(crate) fn drop_it(&self) {
        self.dropped.store(true, Ordering::Relaxed);
    }

    fn wanted(&self) -> bool {
        !self.dropped.load(Ordering::Relaxed) && lock(&self.last).elapsed() < PATIENCE
    }
}

/// Says that the result is wanted, and sets to work unless somebody is at it. Errands share `desk`, in turns.
pub(crate) fn ask<E: Errand>(errand: &Arc<E>, desk: &Arc<Semaphore>) {
    *lock(&errand.asked().last) = Instant::now();
    if errand.asked().running.swap(true, Ordering::AcqRel) {
        return;
    }
    let (errand, desk) = (errand.clone(), desk.clone());
    tokio::spawn(async move {
        let mut more = true;
        while more && errand.asked().wanted() {
            let Ok(_place) = desk.acquire().await else { break };
            let at_it = errand.clone();
            let turn = tokio::task::spawn_blocking(move || {
                let start = Instant::now();
                let mut more = true;
                while more && start.elapsed() < TURN && at_it.asked().wanted() {
                    more = at_it.piece();
                }
                more
            });
            more = turn.await.unwrap_or(false);
        }
        errand.asked().running.store(false, Ordering::Release);
    });
}

/// A lock whose holder may have panicked: what it guards is replaced whole, and never half written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
