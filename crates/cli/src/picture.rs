//! The picture of a card: made by the mechanism itself, or of the model that comes with the program.

use regard::catalogue::{Card, Panel as Numbers, Picture, picture};
use regard_explain::render::{Panel, Scale};
use regard_explain::{Axis, Head};
use regard_models::Search;

use crate::{Result, shipped};

/// Maps to draw, none where there is nothing to see, and what is to be seen or why not.
pub struct Drawn {
    pub caption: String,
    pub panels: Vec<Panel>,
}

/// Draws a card.
pub fn of(card: &Card) -> Result<Drawn> {
    let Picture { caption, panels } = match picture(card.name) {
        Some(picture) => picture?,
        None => model(card.name)?,
    };
    let panels = panels.into_iter().map(|Numbers { title, rows, columns, values, scale }| {
        let axis = |(name, tokens)| Axis { name, tokens };
        let (name, low, high) = scale;
        Panel::new(title, axis(rows), axis(columns), &values, Scale { name, low, high })
    });
    Ok(Drawn { caption, panels: panels.collect::<Result<_, _>>()? })
}

/// What is to be seen of a whole network: what its trained weights look at, if there are any.
fn model(name: &str) -> Result<Picture> {
    let nothing = |caption: &str| Ok(Picture { caption: caption.to_owned(), panels: Vec::new() });
    match name {
        "Transformer" => transformer(),
        "BahdanauDecoder" | "LuongDecoder" => nothing(
            "No weights of it come with the program. `regard train translate` with its preset makes some, and `regard translate \
             --model` draws what they look at.",
        ),
        "GPT-2" => nothing(
            "No weights of it come with the program. `regard train charlm` makes some, and `regard generate` writes with \
             them.",
        ),
        "LLaMA" => nothing(
            "No weights of it come with the program. `regard generate` reads llama2.c's files, and with `--html` draws what they \
             look at.",
        ),
        "GPT-NeoX" | "Mistral" | "Qwen2" | "Gemma2" => nothing(
            "No weights of it come with the program. `regard inspect` opens a checkpoint and draws what its heads look at; `regard \
             generate` writes with it.",
        ),
        "T5" | "BART" | "Marian" => nothing(
            "No weights of it come with the program. `regard translate --model` and `regard summarize` open a checkpoint, and with \
             `--html` draw what its heads look at.",
        ),
        "BERT" | "RoBERTa" | "DistilBERT" | "ALBERT" | "LongformerEncoder" | "BigBirdEncoder" => nothing(
            "No weights of it come with the program. `regard inspect` opens a checkpoint and draws what its heads look at; `regard \
             embed`, `similar`, `fill` and `classify` use it.",
        ),
        "GAT" => nothing(
            "No weights of it come with the program. `regard train graph` makes some; what its layers look at is in the pictures of \
             GraphAttention.",
        ),
        _ => Err(format!("{name} has a card and no picture").into()),
    }
}

/// The shipped translator at work.
fn transformer() -> Result<Picture> {
    let interpreter = shipped::interpreter(None)?;
    let translations = interpreter.translate(&["The black cat saw the white cat."], &Search::default())?;
    let translation = translations.first().ok_or("no translation")?;
    let trace = interpreter.trace(translation)?;
    let site = trace.find_last("decoder.cross").ok_or("the model has no cross attention")?;
    let (drawn, map) = (&trace.sites()[site], trace.map(site, Head::Mean)?);
    let axis = |name: &str, tokens: &[String]| (name.to_owned(), tokens.to_vec());
    let panel = Numbers {
        title: "last layer, mean of its heads".to_owned(),
        rows: axis("French", trace.queries(drawn)),
        columns: axis("English", trace.keys(drawn)),
        values: map.weights,
        scale: ("attention weight".to_owned(), 0.0, 1.0),
    };
    let caption = format!(
        "The translator that comes with the program, \"{}\": the last cross attention, as each French token was written.",
        translation.source
    );
    Ok(Picture { caption, panels: vec![panel] })
}
