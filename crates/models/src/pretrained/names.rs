//! What a family calls its tensors, and how a module's parameters come out of them.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, FloatDType, Tensor};

use super::checkpoint::{Checkpoint, wrong};
use crate::error::{Error, Result};

/// Names of a family's tensors: pairs of the path of a parameter, or of a module, and what it is called in checkpoints. `#` is a layer's
/// number. Where several fit, the first counts.
pub(crate) type Names<'a> = &'a [(&'a str, Source)];

/// Where in a checkpoint a parameter's numbers are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Under this name.
    At(&'static str),
    /// Norms that count their scale from 1 (Gemma).
    OneMore(&'static str),
    /// Weights that are not turned: `[in, out]` (GPT-2).
    Straight(&'static str),
    /// Of tensors that lie behind each other, not turned, this one of so many (GPT-2's `c_attn`).
    Share(&'static str, usize, usize),
    /// Of heads, each with its query, key and value behind each other, this one (GPT-NeoX): with the number of heads.
    OfHeads(&'static str, usize, usize),
}

/// `module`, whose parameters were never made, with those of a checkpoint. `prefix` precedes every name that has none of its own
/// (a name that begins with `/` has).
///
/// Weights of linear layers are turned, `[out, in]` to `[in, out]`; they, and tables called `embedding` or `head`, stay in the type and
/// memory they are stored in. Others are small, and become f32.
///
/// # Errors
/// Naming the tensor that is missing, has another shape, or a number that is not finite.
pub(crate) fn load<M: Module>(module: M, file: &Checkpoint, prefix: &str, names: Names) -> Result<M> {
    let mut loader = Loader { path: Vec::new(), file, prefix, names, problem: None };
    let module = module.map(&mut loader);
    match loader.problem {
        Some(problem) => Err(problem),
        None => Ok(module),
    }
}

struct Loader<'a> {
    path: Vec<String>,
    file: &'a Checkpoint,
    prefix: &'a str,
    names: Names<'a>,
    problem: Option<Error>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.problem.is_some() {
            return param;
        }
        match self.find::<D>(&param.lazy_shape().to_vec(), &param.lazy_device()) {
            Ok(found) => Param::initialized(ParamId::new(), found),
            Err(problem) => {
                self.problem = Some(problem);
                param
            }
        }
    }
}

impl Loader<'_> {
    fn find<const D: usize>(&self, expected: &[usize], device: &Device) -> Result<Tensor<D>> {
        let path = self.path.join(".");
        let fitting = self.names.iter().find_map(|&(ours, source)| Some((source, within(&path, ours)?)));
        let Some((source, (layer, rest))) = fitting else {
            return Err(wrong(self.file.path(), format!("no tensor of the format is the parameter {path}")));
        };
        let name = |theirs: &str| {
            let theirs = match &layer {
                Some(layer) => theirs.replace('#', layer),
                None => theirs.to_owned(),
            };
            let name = match theirs.strip_prefix('/') {
                Some(whole) => format!("{whole}{rest}"),
                None => format!("{}{theirs}{rest}", self.prefix),
            };
            before(&name).filter(|before| self.file.has(before)).unwrap_or(name)
        };
        // A linear layer's weight; tables are parameters of the model itself.
        let turned = D == 2 && path.ends_with(".weight");
        let take = |theirs: &str| self.file.tensor::<D>(&name(theirs), device);
        let (used, tensor) = match source {
            Source::At(theirs) if turned => (theirs, take(theirs)?.swap_dims(0, 1)),
            Source::At(theirs) | Source::Straight(theirs) => (theirs, take(theirs)?),
            Source::OneMore(theirs) => (theirs, take(theirs)?.cast(FloatDType::F32) + 1.0),
            Source::Share(theirs, index, of) => {
                let all = take(theirs)?;
                let each = all.dims()[D - 1] / of;
                (theirs, all.slice_dim(D - 1, index * each..(index + 1) * each))
            }
            Source::OfHeads(theirs, index, heads) => {
                let all = take(theirs)?;
                let mut shape = all.dims();
                let each = shape[0] / (3 * heads).max(1);
                let [rows, columns] = [3 * heads * each, shape[1..].iter().product()];
                if shape[0] != rows {
                    let expected = format!("queries, keys and values of {heads} heads");
                    return Err(wrong(
                        self.file.path(),
                        format!("tensor {} has shape {shape:?}, expected {expected}", name(theirs)),
                    ));
                }
                let all: Tensor<4> = all.reshape([heads, 3, each, columns]);
                shape[0] = heads * each;
                let part: Tensor<D> = all.slice_dim(1, index..index + 1).reshape(shape);
                (theirs, if turned { part.swap_dims(0, 1) } else { part })
            }
        };
        if tensor.dims() != *expected {
            let mut given = tensor.dims();
            let mut wanted = expected.to_vec();
            if turned && !matches!(source, Source::Straight(_) | Source::Share(..)) {
                given.reverse();
                wanted.reverse();
            }
            let reason = format!("tensor {} has shape {given:?}, the configuration asks for {wanted:?}", name(used));
            return Err(wrong(self.file.path(), reason));
        }
        let stays = turned || path.ends_with("embedding") || path.ends_with("head");
        Ok(if stays { tensor } else { tensor.cast(FloatDType::F32) })
    }
}

/// What a norm's tensor was called by TensorFlow, and is in the first checkpoints of BERT.
fn before(name: &str) -> Option<String> {
    let [scale, shift] =
        ["weight", "bias"].map(|now| name.strip_suffix(now).filter(|norm| norm.ends_with("LayerNorm.")));
    scale.map(|norm| format!("{norm}gamma")).or(shift.map(|norm| format!("{norm}beta")))
}

/// Whether `path` is `pattern` or lies within it: the number that `#` stands for, and what follows.
fn within(path: &str, pattern: &str) -> Option<(Option<String>, String)> {
    let (before, after) = pattern.split_once('#').unwrap_or((pattern, ""));
    let rest = path.strip_prefix(before)?;
    let (layer, rest) = if pattern.contains('#') {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (layer, rest) = rest.split_at(digits);
        (Some(layer.to_owned()), rest.strip_prefix(after)?)
    } else {
        (None, rest)
    };
    (rest.is_empty() || rest.starts_with('.')).then(|| (layer, rest.to_owned()))
}
