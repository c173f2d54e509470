//! `regard studio`: a local page in which text is typed into a model, and what the model looked at is seen at once.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_explain::Trace;
use regard_recipes::trained::Trained;
use regard_studio::{Model, Work, browse};

use crate::{Result, hub, shipped};

#[derive(Args)]
pub struct Studio {
    /// A model: a folder in Hugging Face's layout with its tokenizer.json, a GGUF file, a file of llama2.c, or a run of
    /// `regard train`; the translator that comes with the program unless given.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    #[command(flatten)]
    page: Page,
}

/// Where the page is, and who opens it.
#[derive(Args)]
pub struct Page {
    /// Port of the loopback address; any that is free unless given.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Say where the page is, and leave the browser alone.
    #[arg(long)]
    no_open: bool,
}

impl Studio {
    pub fn run(self) -> Result {
        let model = match &self.model {
            Some(path) => Trained::load(&hub::model(path)?)?,
            None => Trained::Interpreter(shipped::interpreter(None)?.into()),
        };
        let name = self.model.as_ref().map_or("the built-in translator".into(), |path| path.display().to_string());
        self.page.serve(regard_studio::Studio::new().with_model(Typed { name, model }), "")
    }
}

impl Page {
    /// Serves the studio until the program is interrupted; `place` is what follows the page's address.
    pub fn serve(&self, studio: regard_studio::Studio, place: &str) -> Result {
        let open = studio.open(self.port)?;
        let url = format!("{}{place}", open.url());
        // Whoever reads this may be a program that waits for the address.
        let mut out = io::stdout().lock();
        writeln!(out, "{url}\nEnds with Ctrl-C.")?;
        out.flush()?;
        drop(out);
        if !self.no_open
            && let Err(error) = browse(&url)
        {
            eprintln!("{error}");
        }
        open.wait();
        Ok(())
    }
}

/// A model that texts are typed into.
struct Typed {
    name: String,
    model: Trained,
}

impl Model for Typed {
    fn name(&self) -> &str {
        &self.name
    }

    fn trace(&self, text: &str, work: &Work) -> Result<Trace> {
        work.progress("reading", 0, 0);
        Ok(self.model.trace(text)?)
    }
}
