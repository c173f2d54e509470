//! Pictures of attention: [`terminal`], [`svg`], `png`, `pdf`, [`html`].
//!
//! All of them draw queries down and keys across, in the colours of [`colour::cividis`] from 0 to 1. A [`Figure`] is a map of a
//! trace; [`Panel`]s are small maps of any quantity, several in a picture, which the terminal and SVG draw, in [`colour::diverging`]
//! where the quantity goes as far below 0 as above. [`Explained`] is text coloured by an explanation's scores, in the same colours, with
//! how far to trust them.

pub mod colour;
mod explained;
pub mod html;
pub(crate) mod label;
mod panel;
#[cfg(feature = "pdf")]
pub mod pdf;
#[cfg(feature = "png")]
pub mod png;
pub mod svg;
pub mod terminal;
#[cfg(feature = "png")]
mod tree;

use crate::{Head, Map, Result, Trace};

pub use explained::Explained;
pub use label::visible;
pub use panel::{Panel, Scale};

/// A map with all that a picture writes around it.
#[derive(Debug, Clone)]
pub struct Figure<'a> {
    /// Above the picture: the sentence.
    pub title: &'a str,
    /// Under the title: which attention this is.
    pub subtitle: String,
    /// The weights.
    pub map: Map,
    /// What attends: the axis down.
    pub row_axis: &'a str,
    /// Its tokens.
    pub rows: &'a [String],
    /// What is attended to: the axis across.
    pub column_axis: &'a str,
    /// Its tokens.
    pub columns: &'a [String],
}

impl<'a> Figure<'a> {
    /// One head of one site of a trace.
    ///
    /// # Errors
    /// What [`Trace::map`] says.
    pub fn of(trace: &'a Trace, site: usize, head: Head) -> Result<Self> {
        let map = trace.map(site, head)?;
        let site = &trace.sites()[site];
        Ok(Self {
            title: &trace.title,
            subtitle: format!("{}, layer {}, {head}", site.name, site.layer + 1),
            map,
            row_axis: &trace.axes()[site.queries].name,
            rows: trace.queries(site),
            column_axis: &trace.axes()[site.keys].name,
            columns: trace.keys(site),
        })
    }
}
