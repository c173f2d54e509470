//! A model's `config.json`, field by field: each is asked for by name, and whatever is missing or wrong is named.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::checkpoint::{unreadable, wrong};
use crate::activation::Activation;
use crate::error::Result;

pub(super) const NAME: &str = "config.json";
/// No configuration is as large; one that claims to be is not read.
const LARGEST: u64 = 16 << 20;

/// The fields of a configuration in Hugging Face's layout.
#[derive(Debug, Clone)]
pub struct Fields {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl Fields {
    /// Those of `config.json` in a model's folder.
    ///
    /// # Errors
    /// When it cannot be read or is no JSON object.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::file(&folder.join(NAME))
    }

    /// Those of another file of JSON.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn file(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
        if size > LARGEST {
            return Err(wrong(path, format!("{size} bytes, expected a configuration of at most {LARGEST}")));
        }
        let text = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        let fields =
            serde_json::from_slice(&text).map_err(|error| wrong(path, format!("no configuration: {error}")))?;
        Ok(Fields { path: path.to_owned(), fields })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A field, `None` where it is absent or null.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn maybe<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::deserialize(value) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(self.wrong(name, value, &error.to_string())),
            },
        }
    }

    /// A field that there must be.
    ///
    /// # Errors
    /// When it is missing or of another kind.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.maybe(name)?.ok_or_else(|| wrong(&self.path, format!("the field {name} is missing")))
    }

    /// A field, or what it is unless given.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn or<T: DeserializeOwned>(&self, name: &str, default: T) -> Result<T> {
        Ok(self.maybe(name)?.unwrap_or(default))
    }

    /// An object within, empty where there is none.
    ///
    /// # Errors
    /// When it is something else.
    pub fn within(&self, name: &str) -> Result<Self> {
        Ok(Fields { path: self.path.clone(), fields: self.or(name, Map::new())? })
    }

    /// The activation that a field names.
    ///
    /// # Errors
    /// When it names none that is known.
    pub fn activation(&self, name: &str, default: &str) -> Result<Activation> {
        let given: String = self.or(name, default.to_owned())?;
        Activation::named(&given).map_err(|error| wrong(&self.path, format!("{name}: {error}")))
    }

    /// Refuses a field that asks for something else than what there is.
    ///
    /// # Errors
    /// When it does.
    pub fn expect<T: DeserializeOwned + PartialEq + std::fmt::Debug>(&self, name: &str, only: T) -> Result<()> {
        match self.maybe::<T>(name)? {
            Some(given) if given != only => {
                Err(wrong(&self.path, format!("{name} is {given:?}, expected {only:?}: nothing else is implemented")))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, name: &str, value: &Value, why: &str) -> crate::error::Error {
        let shown: String = value.to_string().chars().take(60).collect();
        wrong(&self.path, format!("the field {name} is {shown}: {why}"))
    }
}
