//! How a translator's authors search with it: `generation_config.json`, and in older folders `config.json`.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::Fields;
use crate::error::Result;
use crate::search::Search;

const NAME: &str = "generation_config.json";

/// The search that a model's folder asks for; [`Search::default`] where it says nothing, but greedy where it names no beam. Other
/// wishes that `generate` in Python knows, such as forced ends, are not heeded.
///
/// # Errors
/// When a file cannot be read, or says something of another kind.
pub fn search(folder: &Path) -> Result<Search> {
    let older = Fields::open(folder)?;
    let newer = folder.join(NAME);
    let newer = if newer.exists() { Fields::file(&newer)? } else { older.clone() };
    fn wish<T: DeserializeOwned>(name: &str, newer: &Fields, older: &Fields) -> Result<Option<T>> {
        Ok(newer.maybe(name)?.or(older.maybe(name)?))
    }
    let number = |name: &str| wish::<usize>(name, &newer, &older);
    let default = Search::default();
    // Both lengths count the token that a target begins with.
    let longest = number("max_length")?.map(|length| length.saturating_sub(1));
    Ok(Search {
        beam: number("num_beams")?.unwrap_or(1),
        length_penalty: wish("length_penalty", &newer, &older)?.unwrap_or(default.length_penalty),
        limit: number("max_new_tokens")?.or(longest).map_or(default.limit, |most| (0.0, most)),
        first: wish("forced_bos_token_id", &newer, &older)?,
        least: number("min_length")?.map_or(default.least, |length| length.saturating_sub(1)),
        unrepeated: number("no_repeat_ngram_size")?.unwrap_or(default.unrepeated),
    })
}
