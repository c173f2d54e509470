//! Which attention of a trace to draw.

use regard_explain::{Head, Trace};

use crate::Result;

/// The site of this name and layer (from 1; the last unless given), and the head (from 1; the mean of all unless given).
pub fn chosen(trace: &Trace, name: &str, layer: Option<usize>, head: Option<usize>) -> Result<(usize, Head)> {
    let site = match layer {
        Some(layer) => layer.checked_sub(1).and_then(|layer| trace.find(name, layer)),
        None => trace.find_last(name),
    };
    let site = site.ok_or_else(|| {
        let layer = layer.map(|layer| format!(" in layer {layer}")).unwrap_or_default();
        format!("no attention is called {name:?}{layer}; there are\n{}", trace.list().trim_end())
    })?;
    let heads = trace.sites()[site].heads;
    let head = match head {
        None => Head::Mean,
        Some(head) if (1..=heads).contains(&head) => Head::One(head - 1),
        Some(head) => return Err(format!("head {head} does not exist, expected one from 1 to {heads}").into()),
    };
    Ok((site, head))
}
