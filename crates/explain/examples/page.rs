//! Draws made-up traces, in the format that the file's name asks for: `html`, `svg`, `png`, `json` or `trace`.
//!
//! ```text
//! cargo run -p regard-explain --example page -- page.html
//! ```
//!
//! Without a file, the alignments are drawn in the terminal.

use std::env;
use std::io::{IsTerminal, stdout};
use std::path::Path;

use regard_explain::render::{Figure, html, png, svg, terminal};
use regard_explain::{Evidence, Head, Result, Site, Trace, write_atomically};

const PAIRS: [(&str, &str); 4] = [
    ("Hello , how are you ?", "Bonjour , comment allez -vous ?"),
    ("I was late .", "J' étais en retard ."),
    (
        "The children who were play ing in the garden did not hear the bell .",
        "Les enfants qui jou aient dans le jardin n' ont pas entendu la cloche .",
    ),
    (
        "Although the old sail or had warn ed every body in the village that the storm would come before the end of the \
         week , most of the fish er men went out to sea on Thurs day morning , because the market in the next town was to \
         be held on Satur day and they had nothing left to sell . </script>",
        "Bien que le vieux mar in ait pré venu tout le monde au village que la tempête viendrait avant la fin de la \
         semaine , la plupart des pêch eurs sont partis en mer le jeudi matin , car le marché de la ville voisine devait \
         avoir lieu le samedi et il ne leur restait plus rien à vendre . <b>&amp;",
    ),
];
const LAYERS: usize = 4;
const HEADS: usize = 4;

fn main() -> Result<()> {
    let traces = PAIRS.iter().map(|(source, target)| trace(source, target)).collect::<Result<Vec<_>>>()?;
    let Some(path) = env::args().nth(1) else {
        return print(&traces);
    };
    // One picture shows one sentence: by default the third, which is neither short nor long.
    let index = env::args().nth(2).and_then(|index| index.parse().ok()).unwrap_or(2usize).min(traces.len() - 1);
    let trace = &traces[index];
    let site = trace.find_last("decoder.cross").unwrap_or(0);
    let bytes = match Path::new(&path).extension().and_then(|extension| extension.to_str()) {
        Some("svg") => svg::heat_map(&Figure::of(trace, site, Head::Mean)?)?.into_bytes(),
        Some("png") => png::rasterise(&svg::heat_map(&Figure::of(trace, site, Head::Mean)?)?, 2.0)?,
        Some("json") => trace.to_json()?.into_bytes(),
        Some("trace") => trace.to_bytes()?,
        _ => html::page(&traces)?.into_bytes(),
    };
    write_atomically(&path, &bytes)
}

fn print(traces: &[Trace]) -> Result<()> {
    let var = |name| env::var(name).ok();
    let [no_color, colorterm, term] = ["NO_COLOR", "COLORTERM", "TERM"].map(var);
    let terminal = stdout().is_terminal() || var("CLICOLOR_FORCE").is_some();
    let colour = terminal::colour_mode(no_color.as_deref(), colorterm.as_deref(), term.as_deref(), terminal);
    for trace in traces {
        let site = trace.find_last("decoder.cross").unwrap_or(0);
        let (rows, columns) = (trace.queries(&trace.sites()[site]), trace.keys(&trace.sites()[site]));
        println!("{}\n", trace.title);
        println!("{}", terminal::alignment(&trace.map(site, Head::Mean)?, rows, columns, colour, 80));
    }
    Ok(())
}

fn trace(source: &str, target: &str) -> Result<Trace> {
    let mut trace = Trace::new(source, "made up, 4 layers × 4 heads");
    let source = trace.add_axis("source", source.split(' ').map(String::from).collect());
    let target = trace.add_axis("target", target.split(' ').map(String::from).collect());
    for (name, queries, keys) in
        [("encoder.self", source, source), ("decoder.self", target, target), ("decoder.cross", target, source)]
    {
        let [rows, columns] = [queries, keys].map(|axis| trace.axes()[axis].tokens.len());
        for layer in 0..LAYERS {
            let weights = (0..HEADS).flat_map(|head| weights(rows, columns, name == "decoder.self", layer, head));
            let evidence = Evidence::Weights(weights.collect::<Vec<_>>().into());
            trace.add_site(Site { name: name.to_owned(), layer, queries, keys, heads: HEADS, evidence })?;
        }
    }
    Ok(trace)
}

/// A head that looks along the diagonal, some places off it, the sharper the higher its layer, and a little elsewhere.
fn weights(rows: usize, columns: usize, causal: bool, layer: usize, head: usize) -> Vec<f32> {
    let mut weights = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let centre = row as f32 * columns as f32 / rows as f32 + [0.0, 0.3, -0.3, -2.0][head % 4];
        let visible = if causal { row + 1 } else { columns };
        let scores: Vec<f32> = (0..columns)
            .map(|column| {
                let sharpness = 0.15 + 0.6 * (layer * layer) as f32;
                let sink = if column + 1 == columns && head == 3 { 2.0 } else { 0.0 };
                let near = -sharpness * (column as f32 - centre).powi(2);
                if column < visible {
                    near.max(-4.0 - layer as f32) + sink + 1.5 * noise(row, column, layer, head)
                } else {
                    f32::NEG_INFINITY
                }
            })
            .collect();
        let sum: f32 = scores.iter().map(|score| score.exp()).sum();
        weights.extend(scores.iter().map(|score| score.exp() / sum));
    }
    weights
}

/// The same numbers every time, from 0 to 1.
fn noise(row: usize, column: usize, layer: usize, head: usize) -> f32 {
    let mut bits = ((row * 61 + column) * 61 + layer) * 61 + head + 1;
    for _ in 0..3 {
        bits = (bits ^ (bits >> 15)).wrapping_mul(0x2c1b_3c6d) & 0xffff_ffff;
    }
    bits as f32 / u32::MAX as f32
}
