//! Pictures of probes: what each keeps of the same attention.

use regard_kernel::Attention;
use regard_kernel::probe::{Entropy, Pyramid, Received, TopKeys};

use super::scene::{Rows, SENTENCE, attended, look, measured, observe, on_one_scale, sentence, topics, words};
use super::{Draw, Panel, Picture};
use crate::error::Result;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("Weights", || sentence("Everything, for sentences.", &[("every weight", Attention::default())])),
    ("Entropy", entropy),
    ("TopKeys", top_keys),
    ("Received", received),
    ("Pyramid", pyramid),
];

/// The map that a probe saw, and what it kept.
fn beside(caption: &str, words: &Rows, kept: Panel) -> Result<Picture> {
    Ok(Picture {
        caption: format!("{caption} {SENTENCE}"),
        panels: vec![kept, look("what it saw", &Attention::default(), words)?],
    })
}

fn entropy() -> Result<Picture> {
    let (words, mut probe) = (words(), Entropy::new());
    observe(&Attention::default(), &words, &words, &mut probe)?;
    let mut kept = attended("entropy", &words, &words, probe.values().to_vec());
    kept.columns = ("one number a row".to_owned(), vec!["nats".to_owned()]);
    kept.scale = ("nats; ln 12 = 2.5 would be a glance at everything alike".to_owned(), 0.0, 2.5);
    beside("The rarer a word, the sharper the look: \"the\" has three places to look at, \"saw\" one.", &words, kept)
}

fn top_keys() -> Result<Picture> {
    let (words, mut probe) = (words(), TopKeys::new(2));
    observe(&Attention::default(), &words, &words, &mut probe)?;
    let mut values = vec![0.0; words.len() * words.len()];
    for query in 0..words.len() {
        for top in probe.get(0, 0, query) {
            values[query * words.len() + top.key] = top.weight;
        }
    }
    beside("Two keys a query, and nothing of the others.", &words, attended("the 2 strongest", &words, &words, values))
}

fn received() -> Result<Picture> {
    let (words, mut probe) = (words(), Received::new());
    observe(&Attention::default(), &words, &words, &mut probe)?;
    let mut kept = attended("received", &words, &words, probe.values().to_vec());
    kept.rows = ("one number a column".to_owned(), vec!["sum".to_owned()]);
    kept.scale = ("weight from all 12 queries".to_owned(), 0.0, 2.0);
    beside(
        "How much each word got from all of them: about one, as each looks mostly at itself. A sink would stand out.",
        &words,
        kept,
    )
}

fn pyramid() -> Result<Picture> {
    const PIXELS: usize = 32;
    let (text, mut probe) = (topics(1024), Pyramid::new(PIXELS)?);
    observe(&Attention::default(), &text, &text, &mut probe)?;
    let panel = |title, values: &[f32]| {
        let map = measured(title, "attention weight", ("query", PIXELS), ("key", PIXELS), values.to_vec());
        on_one_scale(vec![map])
    };
    let panels =
        [panel("mean under each pixel", probe.mean()), panel("greatest under each pixel", probe.max())].concat();
    let caption = "A text of 1,024 positions in 32 × 32 pixels: a million weights went by, a thousand numbers stayed.";
    Ok(Picture { caption: caption.to_owned(), panels })
}
