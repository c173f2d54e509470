//! What attended to what: traces, and their pictures in terminal, SVG, PNG, PDF and HTML.
//!
//! A [`Trace`] holds the tokens that a model read and wrote, and the attention between them: one [`Site`] for each layer
//! of each attention. It knows nothing of models, so that it serves any, also one that runs in another language: the file
//! format is safetensors with a page of documentation (`TRACE.md` beside this crate's manifest). A site keeps its weights,
//! or only the queries, keys and log-sum-exps that they follow from, which is O(length) instead of O(length²).
//!
//! From a trace, [`Trace::map`] takes one head (or the mean of all) as a [`Map`], queries down and keys across;
//! [`Trace::region`] takes any part of a map of any length, shrunk to as many pixels as are wanted, and [`Trace::shrunk`]
//! makes a trace of 100,000 tokens one that can be drawn. [`Trace::open`] leaves the numbers in the file. The
//! renderers draw it: [`render::terminal`] with colours or plain characters, [`render::svg`] as a figure,
//! `render::png` as pixels and `render::pdf` for a paper (features `png` and `pdf`, on by default), [`render::html`] as a page to
//! explore in;
//! [`Trace::to_json`] gives the numbers.
//!
//! [`Trace::profiles`] says of each head what kind it is: how wide it looks, and how much it gives to the first token, to the one
//! before, to equal tokens, and to what followed those.
//!
//! An attention weight says where a layer looked, not what mattered to the answer; the pictures say "attention weight".
//!
//! ```
//! use regard_explain::render::{Figure, svg, terminal};
//! use regard_explain::{Evidence, Head, Site, Trace};
//!
//! let mut trace = Trace::new("black cat", "an example");
//! let source = trace.add_axis("source", ["black", "cat"].map(String::from).to_vec());
//! let target = trace.add_axis("target", ["chat", "noir"].map(String::from).to_vec());
//! let site = trace.add_site(Site {
//!     name: "decoder.cross".to_owned(),
//!     layer: 0,
//!     queries: target,
//!     keys: source,
//!     heads: 1,
//!     evidence: Evidence::Weights(vec![0.125, 0.875, 0.75, 0.25].into()),
//! })?;
//!
//! let map = trace.map(site, Head::Mean)?;
//! assert_eq!(map.weight(0, 1), 0.875); // "chat" looks at "cat"
//!
//! let [rows, columns] = [&trace.axes()[target].tokens, &trace.axes()[source].tokens];
//! let picture = terminal::alignment(&map, rows, columns, terminal::Colour::Ascii, 80);
//! assert!(picture.contains("chat ..... %%%%%"));
//!
//! let figure = svg::heat_map(&Figure::of(&trace, site, Head::Mean)?)?;
//! assert!(figure.starts_with("<svg"));
//! # Ok::<(), regard_explain::Error>(())
//! ```

mod atomic;
pub mod attribution;
pub mod cam;
mod diff;
mod error;
mod explanation;
mod file;
mod flow;
mod heads;
mod json;
mod numbers;
mod perturbation;
mod progress;
mod random;
mod region;
pub mod relevance;
pub mod render;
mod rollout;
mod stack;
mod subject;
mod trace;
pub mod trust;
mod weights;

pub use atomic::write_atomically;
pub use diff::{Difference, HeadChange, diff, difference_map};
pub use error::{Error, Result};
pub use explanation::{Completeness, Explanation};
pub use flow::{Flow, flow};
pub use heads::{HeadProfile, Rank};
pub use numbers::Numbers;
pub use perturbation::Perturbation;
pub use progress::{Progress, silent};
pub use region::Region;
pub use rollout::{Rollout, rollout};
pub use subject::{BoxError, Differentiable, Subject};
pub use trace::{Axis, Evidence, Head, Map, Rule, ScoreBias, Site, States, Trace};
