//! What a trained model is asked: the options of every command that explains one.

use std::path::PathBuf;

use clap::Args;
use regard_explain::trust::Protocol;
use regard_recipes::question::{Ask, Method};
use regard_recipes::trained::Trained;

use crate::{Result, shipped};

#[derive(Args)]
pub struct Asking {
    /// A model: a folder in Hugging Face's layout with its tokenizer.json, a GGUF file, a file of llama2.c, or a run of `regard train`;
    /// the translator that comes with the program unless given.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Seed of the network with nothing learned, of random orders and of the bootstrap.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Random orders of the places that an explanation is compared with.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    orders: u16,
}

impl Asking {
    pub fn model(&self) -> Result<Trained> {
        shipped::trained(self.model.as_deref())
    }

    /// How trust is measured.
    pub fn protocol(&self) -> Protocol {
        Protocol { orders: self.orders.into(), seed: self.seed, ..Protocol::default() }
    }
}

/// Which number is explained.
#[derive(Args)]
pub struct Target {
    /// Explain this word: of the translation, as what follows the text, or in its hidden place [MASK]; what the model finds likeliest
    /// unless given.
    #[arg(long, value_name = "WORD", conflicts_with = "label")]
    target: Option<String>,
    /// Explain the logit of this label.
    #[arg(long)]
    label: Option<String>,
}

impl Target {
    pub fn ask(&self) -> Ask {
        let word = self.target.clone().map(Ask::Word);
        word.or_else(|| self.label.clone().map(Ask::Label)).unwrap_or_default()
    }
}

/// The methods of these names, each once; all of them, for `all`.
pub fn methods(names: &[String]) -> Result<Vec<Method>> {
    let mut methods: Vec<Method> = Vec::new();
    for name in names {
        let named = if name == "all" { Method::ALL.to_vec() } else { vec![name.parse()?] };
        methods.extend(named.iter().filter(|method| !methods.contains(method)).copied().collect::<Vec<_>>());
    }
    Ok(methods)
}
