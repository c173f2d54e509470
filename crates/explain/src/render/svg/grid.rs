//! All heads of all layers side by side: which head does what, at a glance.

use std::fmt::Write;

use super::panels::runs;
use super::{BAR, GAP, HEADER, INK, MARGIN, MOST_TOKENS, PALE_INK, SMALL_SIZE};
use super::{colour_bar, escaped, header, opening, width as text_width};
use crate::render::Scale;
use crate::{Error, Head, Result, Site, Trace};

const MOST_HEADS: usize = 64;

/// Draws every head (across) of every layer (down) of the sites with this name, each as a small map.
///
/// # Errors
/// [`Error::Field`] when no site has the name, [`Error::TooLarge`] for more than 512 tokens or 64 heads or layers, and
/// what [`Trace::map`] says.
pub fn grid(trace: &Trace, name: &str) -> Result<String> {
    let mut sites: Vec<(usize, &Site)> =
        trace.sites().iter().enumerate().filter(|(_, site)| site.name == name).collect();
    sites.sort_by_key(|(_, site)| site.layer);
    let Some(&(_, first)) = sites.first() else {
        let expected = "the name of a site of this trace";
        return Err(Error::Field { name: "site".to_owned(), given: name.to_owned(), expected });
    };
    let heads = sites.iter().map(|(_, site)| site.heads).max().unwrap_or(1);
    if sites.len() > MOST_HEADS || heads > MOST_HEADS {
        let (rows, columns) = (sites.len(), heads);
        return Err(Error::TooLarge { what: "grid of layers and heads", rows, columns, limit: "64 × 64" });
    }
    for (_, site) in &sites {
        let (rows, columns) = (trace.queries(site).len(), trace.keys(site).len());
        if rows > MOST_TOKENS || columns > MOST_TOKENS {
            return Err(Error::TooLarge { what: "SVG", rows, columns, limit: "512 × 512" });
        }
    }

    // Cells are square unless the sequences differ a lot in length.
    let across = (900.0 / heads as f32).clamp(48.0, 140.0).floor();
    let (rows, columns) = (trace.queries(first).len(), trace.keys(first).len());
    let down = (across * rows as f32 / columns.max(1) as f32).clamp(0.5 * across, 2.0 * across).floor();
    let left = MARGIN + text_width("layer 00", SMALL_SIZE) + GAP;
    let top = MARGIN + HEADER + SMALL_SIZE + 2.0 * GAP;
    let right = left + heads as f32 * (across + GAP) - GAP;
    let width = right.max(left + BAR + 120.0).max(360.0) + MARGIN;
    let bottom = top + sites.len() as f32 * (down + GAP) - GAP;

    let subtitle = format!(
        "{name}: layers down, heads across; in each map {} tokens look at {} tokens",
        trace.axes()[first.queries].name,
        trace.axes()[first.keys].name
    );
    let mut svg = opening(width.ceil(), (bottom + 58.0 + MARGIN).ceil());
    header(&mut svg, &trace.title, "Attention weights:", &subtitle, width);
    let _ = writeln!(svg, r#"<g font-size="{SMALL_SIZE}" fill="{PALE_INK}" text-anchor="middle">"#);
    for head in 0..heads {
        let x = left + head as f32 * (across + GAP) + across / 2.0;
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{:.1}">head {}</text>"#, top - GAP, head + 1);
    }
    svg.push_str("</g>\n");
    for (place, &(index, site)) in sites.iter().enumerate() {
        let y = top + place as f32 * (down + GAP);
        let middle = y + down / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{middle:.1}" font-size="{SMALL_SIZE}" fill="{INK}" text-anchor="end">layer {}</text>"#,
            left - GAP,
            site.layer + 1
        );
        for head in 0..site.heads {
            let x = left + head as f32 * (across + GAP);
            let map = trace.map(index, Head::One(head))?;
            let (wide, high) = (across / map.columns.max(1) as f32, down / map.rows.max(1) as f32);
            let _ = writeln!(
                svg,
                r#"<g transform="translate({x:.1} {y:.1}) scale({wide} {high})" fill="none" shape-rendering="crispEdges"><title>{}</title>{}</g>"#,
                escaped(&format!("layer {}, head {}", site.layer + 1, head + 1)),
                runs(&map, &Scale::weights())
            );
        }
    }
    colour_bar(&mut svg, left, bottom + 24.0);
    svg.push_str("</svg>\n");
    Ok(svg)
}
