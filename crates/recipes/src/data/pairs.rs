//! Sentence pairs from files: tab-separated columns, or two files whose lines belong together.
//!
//! A data folder holds either `train.tsv`, `dev.tsv` and `test.tsv`, or `train.SRC` and `train.TGT`, `valid.SRC` and
//! `valid.TGT` (or `dev`), and any number of tests `test.SRC`, `test.2016.SRC` …, or a pronouncing
//! [`dictionary`](super::dictionary); see [`Corpus::open`].
//! Text is kept as it stands in the file; [`super::tokenizer`] normalises it for the model, and scores want it raw.

use super::{DataError, dictionary};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A sentence and its translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What to translate.
    pub source: String,
    /// What it should become.
    pub target: String,
}

/// Everything in a data folder.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// Names of the source and target languages, where the files' names tell them.
    pub languages: Option<(String, String)>,
    /// Whether both sides stand cut into tokens already, with spaces between them.
    pub segmented: bool,
    /// What to learn from.
    pub train: Vec<Pair>,
    /// What to stop by.
    pub dev: Vec<Pair>,
    /// What to report on, by name (`test`, `test.2016` …), in the order of their names; may be empty.
    pub tests: Vec<(String, Vec<Pair>)>,
}

impl Corpus {
    /// Reads a data folder.
    ///
    /// Of a dictionary's words, one in fifty is the development part.
    ///
    /// Of two languages in line-aligned files, the folder's name says which is the source (`en-fr`), else the alphabet.
    ///
    /// # Errors
    /// No such folder, no training or development part in it, more than two languages, or a malformed file.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        let names = list(folder)?;
        if names.iter().any(|name| name == "train.tsv") {
            return Self::read(folder, None);
        }
        let stems = names.iter().filter_map(|name| name.strip_suffix(".train"));
        if let Some(stem) = stems.into_iter().find(|stem| names.contains(&format!("{stem}.ref"))) {
            return dictionary::open(folder, stem);
        }
        let languages = languages(folder)?;
        Self::read(folder, Some(languages))
    }

    /// Reads a folder of line-aligned files in a given direction, `("fr", "en")` for `train.fr` to `train.en`.
    ///
    /// # Errors
    /// As [`Corpus::open`].
    pub fn open_direction(folder: impl AsRef<Path>, source: &str, target: &str) -> Result<Self, DataError> {
        Self::read(folder.as_ref(), Some((source.to_owned(), target.to_owned())))
    }

    fn read(folder: &Path, languages: Option<(String, String)>) -> Result<Self, DataError> {
        let part = |name: &str| match &languages {
            None => read_tsv(folder.join(format!("{name}.tsv"))),
            Some((source, target)) => {
                read_parallel(folder.join(format!("{name}.{source}")), folder.join(format!("{name}.{target}")))
            }
        };
        let extension = languages.as_ref().map_or("tsv", |(source, _)| source);
        let names: Vec<String> = list(folder)?
            .iter()
            .filter_map(|file| Some(file.strip_suffix(extension)?.strip_suffix('.')?.to_owned()))
            .collect();
        let dev = if names.iter().any(|name| name == "valid") { "valid" } else { "dev" };
        let tests = names.iter().filter(|name| *name == "test" || name.starts_with("test."));
        let train = part("train")?;
        Ok(Self {
            segmented: is_segmented(&train),
            train,
            dev: part(dev)?,
            tests: tests.map(|name| Ok((name.clone(), part(name)?))).collect::<Result<_, DataError>>()?,
            languages,
        })
    }
}

/// Whether the text has been cut into subwords already, as in Multi30k's BPE files.
fn is_segmented(pairs: &[Pair]) -> bool {
    pairs.iter().take(1000).filter(|pair| pair.source.contains("@@ ") || pair.target.contains("@@ ")).count() > 50
}

/// Reads pairs from a UTF-8 file with a source, a tab and a target in each line.
///
/// Further columns are ignored (Tatoeba's exports have attributions there), as are a byte order mark, carriage returns
/// at line ends and blank lines at the end of the file.
///
/// # Errors
/// The file cannot be read, or a line has no tab, an empty side or bytes that are not UTF-8: the error names the line.
pub fn read_tsv(path: impl AsRef<Path>) -> Result<Vec<Pair>, DataError> {
    let path = path.as_ref();
    let lines = read_lines(path)?;
    lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            let problem = |problem: &str| at(path, index, problem);
            let (source, rest) =
                line.split_once('\t').ok_or_else(|| problem("no tab, expected a source, a tab and a target"))?;
            let target = rest.split('\t').next().unwrap_or_default();
            if source.trim().is_empty() {
                return Err(problem("the source, before the tab, is empty"));
            }
            if target.trim().is_empty() {
                return Err(problem("the target, after the tab, is empty"));
            }
            Ok(Pair { source: source.to_owned(), target: target.to_owned() })
        })
        .collect()
}

/// Reads pairs from two UTF-8 files: line by line, one holds the sources and the other the targets.
///
/// # Errors
/// A file cannot be read or is not UTF-8, a line is empty, or the files have different numbers of lines.
pub fn read_parallel(source: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<Vec<Pair>, DataError> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let (sources, targets) = (read_lines(source)?, read_lines(target)?);
    for (path, lines) in [(source, &sources), (target, &targets)] {
        if let Some(index) = lines.iter().position(|line| line.trim().is_empty()) {
            return Err(at(path, index, "empty, expected a sentence"));
        }
    }
    if sources.len() != targets.len() {
        let problem = format!("{} lines, expected {} as in {}", targets.len(), sources.len(), source.display());
        return Err(DataError::Content { path: target.to_owned(), problem });
    }
    Ok(sources.into_iter().zip(targets).map(|(source, target)| Pair { source, target }).collect())
}

/// Gathers the targets that belong to one source, sources in the order of their first appearance: references for a
/// score that takes several.
///
/// ```
/// use regard_recipes::data::pairs::{Pair, references};
///
/// let pair = |source: &str, target: &str| Pair { source: source.into(), target: target.into() };
/// let pairs = [pair("Hi.", "Salut !"), pair("Go.", "Va !"), pair("Hi.", "Salut.")];
/// assert_eq!(references(&pairs), [("Hi.", vec!["Salut !", "Salut."]), ("Go.", vec!["Va !"])]);
/// ```
pub fn references(pairs: &[Pair]) -> Vec<(&str, Vec<&str>)> {
    let mut grouped: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for pair in pairs {
        let place = *places.entry(&pair.source).or_insert_with(|| {
            grouped.push((&pair.source, Vec::new()));
            grouped.len() - 1
        });
        grouped[place].1.push(&pair.target);
    }
    grouped
}

/// The lines of a UTF-8 file without byte order mark, carriage returns at line ends, and blank lines at the end.
pub(super) fn read_lines(path: &Path) -> Result<Vec<String>, DataError> {
    let bytes = fs::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line)
            .map_err(|error| at(path, index, &format!("byte {} is not UTF-8", error.valid_up_to() + 1)))?;
        lines.push(line.to_owned());
    }
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    Ok(lines)
}

pub(super) fn at(path: &Path, index: usize, problem: &str) -> DataError {
    DataError::Line { path: path.to_owned(), line: index + 1, problem: problem.to_owned() }
}

/// The names of the files in a folder, sorted; names that are not UTF-8 are none of ours.
fn list(folder: &Path) -> Result<Vec<String>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// The two languages of a folder of line-aligned files, source first.
fn languages(folder: &Path) -> Result<(String, String), DataError> {
    let names = list(folder)?;
    let found: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("train.")).collect();
    let [first, second] = found[..] else {
        let problem = match found.len() {
            0 => "no train.tsv, nor two files such as train.en and train.fr".to_owned(),
            _ => format!("training files for {}, expected two languages or one train.tsv", found.join(", ")),
        };
        return Err(DataError::Content { path: folder.to_owned(), problem });
    };
    let folder_name = fs::canonicalize(folder).unwrap_or_else(|_| PathBuf::from(folder));
    let reversed = folder_name.file_name().is_some_and(|name| name == format!("{second}-{first}").as_str());
    let (source, target) = if reversed { (second, first) } else { (first, second) };
    Ok((source.to_owned(), target.to_owned()))
}
