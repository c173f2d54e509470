//! Shows trace files: `serve [--port N] [--model] FILE…`. With `--model`, text can be typed into a toy that looks at equal letters.

use std::env;
use std::error::Error;
use std::thread;
use std::time::Duration;

use regard_explain::{Evidence, Site, Trace};
use regard_studio::{Model, Studio, Work};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut studio, mut port) = (Studio::new(), 0);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        studio = match argument.as_str() {
            "--port" => {
                port = arguments.next().ok_or("--port needs a number")?.parse()?;
                studio
            }
            "--model" => studio.with_model(Letters),
            file => studio.with_trace(file, Trace::open(file)?),
        };
    }
    let open = studio.open(port)?;
    println!("{}", open.url());
    open.wait();
    Ok(())
}

/// Each character looks at itself and its equals, in every head less sharply.
struct Letters;

impl Model for Letters {
    fn name(&self) -> &str {
        "equal letters"
    }

    fn trace(&self, text: &str, work: &Work) -> Result<Trace, Box<dyn Error + Send + Sync>> {
        let letters: Vec<char> = text.chars().take(500).collect();
        let mut weights = Vec::new();
        for head in 0..4 {
            for query in &letters {
                if work.cancelled() {
                    return Err("cancelled".into());
                }
                work.progress("reading letters", head * letters.len(), 4 * letters.len());
                let row: Vec<f32> =
                    letters.iter().map(|key| if key == query { 1.0 } else { 0.1 * head as f32 }).collect();
                let sum: f32 = row.iter().sum();
                weights.extend(row.iter().map(|weight| weight / sum));
                // Slow enough to be seen and stopped.
                thread::sleep(Duration::from_millis(2));
            }
        }
        let mut trace = Trace::new(text, self.name());
        let axis = trace.add_axis("text", letters.iter().map(char::to_string).collect());
        let evidence = Evidence::Weights(weights.into());
        trace.add_site(Site { name: "letters".into(), layer: 0, queries: axis, keys: axis, heads: 4, evidence })?;
        Ok(trace)
    }

    fn explanations(&self) -> Vec<String> {
        vec!["rare letters".into()]
    }

    fn explain(&self, text: &str, _: &str, _: &Work) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let tokens = text
            .chars()
            .take(500)
            .map(|letter| json!({ "text": letter.to_string(), "value": 1.0 / text.matches(letter).count() as f32 }));
        Ok(json!({ "caption": "1 over how often a letter occurs", "tokens": tokens.collect::<Vec<_>>(),
                   "trust": [{ "name": "comprehensiveness", "value": 0.5, "low": 0.25, "high": 0.75, "baseline": 0.125,
                               "note": "made up" }, { "name": "sufficiency" }] }))
    }
}
