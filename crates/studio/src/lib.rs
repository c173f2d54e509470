//! A place to look at attention: a local web page over traces of any length.
//!
//! ```no_run
//! use regard_explain::Trace;
//! use regard_studio::{Studio, browse};
//!
//! let open = Studio::new().with_trace("late.trace", Trace::open("late.trace")?).open(0)?;
//! println!("{}", open.url());
//! if let Err(error) = browse(open.url()) {
//!     eprintln!("{error}");
//! }
//! open.wait();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The page asks for what it shows: tiles of 256 × 256 pixels, each pixel the mean or the greatest of the weights under it, computed on
//! demand from queries, keys and log-sum-exps. Small tiles are computed at once; those that stand for millions of weights grow in
//! the background, strip by strip, and are called a preview until they are exact. Nothing grows with the length of a trace but the file.
//!
//! The server trusts nobody: it listens on the loopback address alone, knows a token from the operating system's random numbers that only
//! the URL has, looks at `Host` (against DNS rebinding), gives out three files that are inside the program and opens none, and bounds
//! what is asked for, what is computed at once and what is kept. An attention weight says where a layer looked, not what mattered to the
//! answer; the page says "attention weight".

mod background;
mod browse;
mod cache;
mod error;
mod guard;
mod heads;
mod jobs;
mod listener;
mod model;
mod reply;
mod routes;
mod sheet;
mod studio;
mod texts;
mod tiles;

pub use browse::browse;
pub use error::{Error, Result};
pub use jobs::Work;
pub use model::Model;
pub use studio::{Open, Studio};
