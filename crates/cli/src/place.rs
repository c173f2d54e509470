//! Which attention of a trace to draw: the options of every command that draws one.

use clap::Args;
use regard_explain::{Head, Trace};

use crate::Result;

#[derive(Args)]
pub struct Place {
    /// Which attention to draw; the decoder's of the source if there is one, or else the first.
    #[arg(long, value_name = "NAME")]
    pub site: Option<String>,
    /// Layer to draw, from 1; the last unless given.
    #[arg(long)]
    pub layer: Option<usize>,
    /// Head to draw, from 1; the mean of all unless given.
    #[arg(long)]
    pub head: Option<usize>,
}

impl Place {
    /// Whether anything was asked for.
    pub fn is_given(&self) -> bool {
        self.site.is_some() || self.layer.is_some() || self.head.is_some()
    }

    /// The site and the head that were asked for.
    pub fn chosen(&self, trace: &Trace) -> Result<(usize, Head)> {
        let first = || trace.sites().first().map_or("", |site| &site.name);
        let usual = trace.find_last("decoder.cross").map_or_else(first, |site| &trace.sites()[site].name);
        let name = self.site.as_deref().unwrap_or(usual);
        let site = match self.layer {
            Some(layer) => layer.checked_sub(1).and_then(|layer| trace.find(name, layer)),
            None => trace.find_last(name),
        };
        let site = site.ok_or_else(|| {
            let layer = self.layer.map(|layer| format!(" in layer {layer}")).unwrap_or_default();
            format!("no attention is called {name:?}{layer}; there are\n{}", trace.list().trim_end())
        })?;
        let heads = trace.sites()[site].heads;
        let head = match self.head {
            None => Head::Mean,
            Some(head) if (1..=heads).contains(&head) => Head::One(head - 1),
            Some(head) => return Err(format!("head {head} does not exist, expected one from 1 to {heads}").into()),
        };
        Ok((site, head))
    }
}
