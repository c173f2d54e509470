//! A trace as a safetensors file; the layout is in `TRACE.md`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::numbers::map;
use crate::{Error, Evidence, Numbers, Result, Rule, ScoreBias, Site, States, Trace, write_atomically};

/// The one metadata key: a single one, so that the same trace gives the same bytes.
const KEY: &str = "regard.trace";
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    title: String,
    model: String,
    axes: Vec<AxisHeader>,
    sites: Vec<SiteHeader>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AxisHeader {
    name: String,
    tokens: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteHeader {
    name: String,
    layer: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    evidence: EvidenceHeader,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum EvidenceHeader {
    Weights {},
    States { key_heads: usize, width: usize, scale: f32, rules: Vec<Rule>, biases: Vec<ScoreBias> },
}

impl Trace {
    /// Writes the trace to a file, whole or not at all; see [`write_atomically`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, &self.to_bytes()?)
    }

    /// Reads a trace from a file. Every shape and number is checked: a hostile file gives an error. The arrays stay in the file, which is
    /// mapped into memory.
    ///
    /// # Errors
    /// As [`open`](Trace::open), and [`Error::InFile`] for numbers that [`Trace::add_site`] refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let trace = Self::open(path)?;
        let checked = trace.sites().iter().try_for_each(|site| trace.check_numbers(site));
        checked.map_err(|source| Error::InFile { path: path.to_owned(), source: Box::new(source) })?;
        Ok(trace)
    }

    /// Reads tokens and shapes from a file of any length, and leaves the arrays where they are: numbers are read, and checked, when
    /// something is asked of them.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, otherwise [`Error::InFile`] with what [`Trace::from_bytes`] says of all but the numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = map(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
        let trace = read(&file, |part| Numbers::mapped(&file, part));
        trace.map_err(|source| Error::InFile { path: path.to_owned(), source: Box::new(source) })
    }

    /// The trace as the bytes of a safetensors file; the same trace gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Format`] when the tokens outgrow what the format allows for its header (100 MB).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut arrays = Vec::new();
        let mut sites = Vec::new();
        for (index, site) in self.sites().iter().enumerate() {
            let [queries, keys] = [self.queries(site).len(), self.keys(site).len()];
            let evidence = match &site.evidence {
                Evidence::Weights(weights) => {
                    arrays.push((index, "weights", vec![site.heads, queries, keys], weights));
                    EvidenceHeader::Weights {}
                }
                Evidence::States(states) => {
                    let &States { key_heads, width, scale, .. } = states;
                    let (rules, biases) = (states.rules.clone(), states.biases.clone());
                    arrays.push((index, "q", vec![site.heads, queries, width], &states.q));
                    arrays.push((index, "k", vec![key_heads, keys, width], &states.k));
                    arrays.push((index, "lse", vec![site.heads, queries], &states.lse));
                    EvidenceHeader::States { key_heads, width, scale, rules, biases }
                }
            };
            sites.push(SiteHeader {
                name: site.name.clone(),
                layer: site.layer,
                queries: site.queries,
                keys: site.keys,
                heads: site.heads,
                evidence,
            });
        }
        let axes = self.axes().iter().map(|axis| AxisHeader { name: axis.name.clone(), tokens: axis.tokens.clone() });
        let header = Header {
            version: VERSION,
            title: self.title.clone(),
            model: self.model.clone(),
            axes: axes.collect(),
            sites,
        };
        let header = serde_json::to_string(&header).map_err(malformed)?;

        let bytes: Vec<Vec<u8>> = arrays.iter().map(|(.., numbers)| little_endian(numbers)).collect();
        let tensors = arrays.into_iter().zip(&bytes).map(|((site, array, shape, _), bytes)| {
            Ok((tensor_name(site, array), TensorView::new(Dtype::F32, shape, bytes).map_err(malformed)?))
        });
        let tensors = tensors.collect::<Result<Vec<_>>>()?;
        safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), header)]))).map_err(malformed)
    }

    /// The trace in the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`Error::Format`] for bytes that are no trace, and what [`Trace::add_site`] says of the sites in it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        read(bytes, |part| Numbers::copied(&bytes[part]))
    }
}

/// The trace in a file's bytes, whose arrays `take` makes of their places in it.
fn read(bytes: &[u8], take: impl Fn(Range<usize>) -> Numbers) -> Result<Trace> {
    let (header, tensors) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let data = header + size_of::<u64>();
    let header = tensors.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let header = header.ok_or_else(|| malformed(format_args!("no metadata named {KEY}")))?;
    // The version first: another one may have other fields.
    let Version { version } = serde_json::from_str(header).map_err(malformed)?;
    if version != VERSION {
        let advice = if version > VERSION { "; a newer one wrote it" } else { "" };
        return Err(malformed(format_args!("version {version}, this program reads version {VERSION}{advice}")));
    }
    let header: Header = serde_json::from_str(header).map_err(malformed)?;

    let mut trace = Trace::new(header.title, header.model);
    for axis in header.axes {
        trace.add_axis(axis.name, axis.tokens);
    }
    for (index, site) in header.sites.into_iter().enumerate() {
        let SiteHeader { name, layer, queries, keys, heads, evidence } = site;
        let [rows, columns] = [trace.length(&name, queries)?, trace.length(&name, keys)?];
        let array = |array, shape: &[usize]| {
            let place = place(&tensors, &tensor_name(index, array), shape)?;
            Ok(take(data + place.start..data + place.end))
        };
        let evidence = match evidence {
            EvidenceHeader::Weights {} => Evidence::Weights(array("weights", &[heads, rows, columns])?),
            EvidenceHeader::States { key_heads, width, scale, rules, biases } => {
                let q = array("q", &[heads, rows, width])?;
                let k = array("k", &[key_heads, columns, width])?;
                let lse = array("lse", &[heads, rows])?;
                Evidence::States(States { q, k, lse, key_heads, width, scale, rules, biases })
            }
        };
        trace.add_site(Site { name, layer, queries, keys, heads, evidence })?;
    }
    Ok(trace)
}

fn tensor_name(site: usize, array: &str) -> String {
    format!("{site}.{array}")
}

fn little_endian(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Where a tensor's bytes are, behind the header; they are as many as its shape says, and there, or there would be no metadata.
fn place(tensors: &Metadata, name: &str, shape: &[usize]) -> Result<Range<usize>> {
    let tensor = tensors.info(name).ok_or_else(|| malformed(format_args!("no tensor {name}")))?;
    if tensor.dtype != Dtype::F32 {
        return Err(malformed(format_args!("tensor {name} has type {}, F32 expected", tensor.dtype)));
    }
    if tensor.shape != shape {
        return Err(malformed(format_args!("tensor {name} has shape {:?}, {shape:?} expected", tensor.shape)));
    }
    Ok(tensor.data_offsets.0..tensor.data_offsets.1)
}

fn malformed(reason: impl ToString) -> Error {
    Error::Format { reason: reason.to_string() }
}
