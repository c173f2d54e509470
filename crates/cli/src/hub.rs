//! Models by their name in Hugging Face's hub, `organisation/model`: their files are fetched once, into the cache that Hugging Face's own
//! programs share. Only where the program was built with the feature `hub`.

use std::path::{Path, PathBuf};

use crate::Result;

/// The folder or file of a model that was given by its path or, where there is no such path, by its name.
///
/// # Errors
/// When it can only be a name, and cannot be fetched.
pub fn model(path: &Path) -> Result<PathBuf> {
    match name(path) {
        Some(name) if !path.exists() => fetch(name),
        _ => Ok(path.to_owned()),
    }
}

/// The path as a name, if it could be one: two parts of letters, digits, `-`, `_` and `.`.
fn name(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (organisation, model) = text.split_once('/')?;
    let plain = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
    };
    (plain(organisation) && plain(model)).then_some(text)
}

#[cfg(feature = "hub")]
fn fetch(name: &str) -> Result<PathBuf> {
    use hf_hub::api::sync::ApiBuilder;

    /// What a model is read from, beside its weights.
    const FILES: [&str; 6] =
        ["config.json", "generation_config.json", "tokenizer.json", "source.spm", "target.spm", "vocab.json"];

    let failed = |error| format!("no file or folder {name}, and it cannot be fetched from the hub: {error}");
    let repository = ApiBuilder::from_env().build().map_err(failed)?.model(name.to_owned());
    let info = repository.info().map_err(failed)?;
    let files: Vec<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
    let weights = |file: &&str| {
        !file.contains('/') && (file.ends_with(".safetensors") || file.ends_with(".safetensors.index.json"))
    };
    // Where the weights are there twice, whole and in shards, the whole file is what would be read.
    let alone = files.contains(&"model.safetensors");
    let wanted = |file: &&str| FILES.contains(file) || if alone { *file == "model.safetensors" } else { weights(file) };
    let mut folder = None;
    for file in files.iter().copied().filter(wanted) {
        let path = repository.get(file).map_err(failed)?;
        folder = path.parent().map(Path::to_owned).or(folder);
    }
    folder.ok_or_else(|| format!("{name} on the hub has no file that a model is read from").into())
}

#[cfg(not(feature = "hub"))]
fn fetch(name: &str) -> Result<PathBuf> {
    let how = "this program was built without the feature hub, which would fetch it from Hugging Face's hub";
    Err(format!("no file or folder {name}; {how}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_plain_parts_are_a_name() {
        for (path, is) in [
            ("openai-community/gpt2", true),
            ("Qwen/Qwen2-0.5B", true),
            ("gpt2", false),
            ("./runs/one", false),
            ("a/b/c", false),
            ("/models/gpt2", false),
            ("../gpt2", false),
            ("models/", false),
        ] {
            assert_eq!(name(Path::new(path)).is_some(), is, "{path}");
        }
        assert_eq!(model(Path::new("src")).unwrap(), Path::new("src"));
    }
}
