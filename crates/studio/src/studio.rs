//! What is shown, and the server that shows it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use regard_explain::{Region, Trace};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::background::lock;
use crate::cache::Cache;
use crate::heads::Profiles;
use crate::jobs::Jobs;
use crate::listener::Bounded;
use crate::reply::{Reply, not_found};
use crate::sheet::Sheet;
use crate::tiles::Key;
use crate::{Error, Model, Result, routes};

/// Bytes of tiles that are kept.
const MOST_TILES: usize = 128 << 20;
/// Bytes of sheets that are kept.
const MOST_SHEETS: usize = 256 << 20;
/// Traces of typed texts that are kept.
const MOST_TYPED: usize = 16;

/// What a studio is to show: traces, and a model that text can be typed into.
#[derive(Default)]
pub struct Studio {
    traces: Vec<(String, Trace)>,
    model: Option<Arc<dyn Model>>,
}

impl Studio {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A trace beside the others, and the file that it came from, for people to read: the page writes it into command lines.
    pub fn with_trace(mut self, file: impl Into<String>, trace: Trace) -> Self {
        self.traces.push((file.into(), trace));
        self
    }

    /// What reads typed text.
    pub fn with_model(mut self, model: impl Model + 'static) -> Self {
        self.model = Some(Arc::new(model));
        self
    }

    /// Listens on a port of the loopback address, any that is free if it is 0.
    ///
    /// # Errors
    /// [`Error::Port`] when the port cannot be had, [`Error::Start`] when the operating system has no random numbers or threads.
    pub fn open(self, port: u16) -> Result<Open> {
        let failed = |reason: String| Error::Start { reason };
        let refused =
            |source: io::Error| Error::Port { port, in_use: source.kind() == io::ErrorKind::AddrInUse, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| failed(format!("no random numbers: {error}")))?;
        let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();

        let threads = available_parallelism().map_or(2, usize::from).min(8);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(threads + 4)
            .thread_name("studio")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| failed(format!("no threads: {error}")))?;
        let router = routes::router(Arc::new(Shared::new(self, threads)), &token, port);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = {
            let _inside = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener).map_err(refused)?;
            runtime.spawn(async move {
                let serve = axum::serve(Bounded::new(listener), router);
                tokio::select! {
                    _ = serve => {}
                    _ = stopped => {}
                }
            })
        };
        let url = format!("http://127.0.0.1:{port}/{token}/");
        Ok(Open { url, runtime: Some(runtime), server: Some(server), stop: Some(stop) })
    }
}

/// A studio at work; it closes when this is dropped.
pub struct Open {
    url: String,
    runtime: Option<Runtime>,
    server: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Open {
    /// Where the page is, token and all.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves until the program is interrupted.
    pub fn wait(mut self) {
        if let (Some(runtime), Some(server)) = (&self.runtime, self.server.take()) {
            // The server ends when it is told to, and nothing else is to be learned of it.
            let _ = runtime.block_on(server);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Who does not listen any more has stopped.
            let _ = stop.send(());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A trace that is shown.
pub(crate) struct Shown {
    pub(crate) trace: Arc<Trace>,
    /// Where it is kept; a trace of typed text is not.
    pub(crate) file: Option<String>,
    pub(crate) profiles: Arc<Profiles>,
}

impl Shown {
    fn new(trace: Trace, file: Option<String>) -> Arc<Self> {
        let trace = Arc::new(trace);
        Arc::new(Self { profiles: Arc::new(Profiles::new(trace.clone())), trace, file })
    }
}

/// What all requests share.
pub(crate) struct Shared {
    traces: Mutex<BTreeMap<u32, Arc<Shown>>>,
    pub(crate) model: Option<Arc<dyn Model>>,
    pub(crate) tiles: Mutex<Cache<Key, Arc<Region>>>,
    sheets: Mutex<Cache<Key, Arc<Sheet>>>,
    pub(crate) jobs: Jobs,
    /// Answers that are computed while somebody waits.
    pub(crate) compute: Semaphore,
    /// Sheets and profiles, in turns.
    pub(crate) background: Arc<Semaphore>,
    pub(crate) typing: Semaphore,
}

impl Shared {
    fn new(studio: Studio, threads: usize) -> Self {
        let traces = studio.traces.into_iter().map(|(file, trace)| Shown::new(trace, Some(file)));
        Self {
            traces: Mutex::new((0..).zip(traces).collect()),
            model: studio.model,
            tiles: Mutex::new(Cache::new(MOST_TILES)),
            sheets: Mutex::new(Cache::new(MOST_SHEETS)),
            jobs: Jobs::default(),
            compute: Semaphore::new(threads),
            background: Arc::new(Semaphore::new(1)),
            typing: Semaphore::new(1),
        }
    }

    pub(crate) fn all(&self) -> Vec<(u32, Arc<Shown>)> {
        lock(&self.traces).iter().map(|(number, shown)| (*number, shown.clone())).collect()
    }

    pub(crate) fn trace(&self, number: u32) -> Reply<Arc<Shown>> {
        lock(&self.traces).get(&number).cloned().ok_or_else(|| not_found(format!("trace {number} does not exist")))
    }

    /// A trace of typed text; the oldest such goes when there are too many.
    pub(crate) fn add_typed(&self, trace: Trace) -> u32 {
        let mut traces = lock(&self.traces);
        let number = traces.last_key_value().map_or(0, |(last, _)| last + 1);
        traces.insert(number, Shown::new(trace, None));
        let typed: Vec<u32> =
            traces.iter().filter(|(_, shown)| shown.file.is_none()).map(|(&number, _)| number).collect();
        for old in &typed[..typed.len().saturating_sub(MOST_TYPED)] {
            traces.remove(old);
            lock(&self.tiles).drop_all(|key| key.0 == *old);
            lock(&self.sheets).drop_all(|key| key.0 == *old).iter().for_each(|sheet| sheet.forget());
        }
        number
    }

    /// The sheet with this key, which is the given one if there is none yet.
    pub(crate) fn sheet(&self, key: Key, fresh: impl FnOnce() -> Sheet) -> Arc<Sheet> {
        let mut sheets = lock(&self.sheets);
        if let Some(sheet) = sheets.get(&key) {
            return sheet;
        }
        let sheet = Arc::new(fresh());
        sheets.put(key, sheet.clone(), sheet.bytes()).iter().for_each(|old| old.forget());
        sheet
    }
}
