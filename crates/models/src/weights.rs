//! Weights as safetensors: one tensor a parameter, named by its path in the module, f32 or f16.
//!
//! Loading trusts nothing: names, shapes, types and sizes are checked against the module, and every number must be finite.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use half::{bf16, f16};
use regard::mix;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes.
    F32,
    /// Two bytes: half the size, three decimal digits. A tensor with a number that it cannot hold stays [`Precision::F32`].
    F16,
}

/// A tensor's shape and numbers.
pub(crate) type Stored = (Vec<usize>, Vec<f32>);

/// Every parameter by path.
pub fn parameters<M: Module>(module: &M) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let mut collector = Collector { path: Vec::new(), found: BTreeMap::new() };
    module.visit(&mut collector);
    collector.found
}

/// The gradient of every parameter that has one, by path.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> BTreeMap<String, Vec<f32>> {
    let mut collector = GradientCollector { path: Vec::new(), gradients, found: BTreeMap::new() };
    module.visit(&mut collector);
    collector.found
}

/// The file's bytes: the parameters of `module`, and `metadata` in the header.
///
/// # Errors
/// When the metadata or sizes do not fit the format.
pub fn to_bytes<M: Module>(
    module: &M,
    precision: Precision,
    metadata: BTreeMap<String, String>,
) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
    let stored: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = parameters(module)
        .into_iter()
        .map(|(name, (shape, values))| {
            let halves: Option<Vec<f16>> = (precision == Precision::F16)
                .then(|| values.iter().map(|&value| f16::from_f32(value)).collect())
                .filter(|halves: &Vec<f16>| halves.iter().all(|half| half.is_finite()));
            match halves {
                Some(halves) => (name, shape, Dtype::F16, halves.iter().flat_map(|half| half.to_le_bytes()).collect()),
                None => (name, shape, Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            }
        })
        .collect();
    let views = stored
        .iter()
        .map(|(name, shape, dtype, bytes)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()?;
    safetensors::serialize(views, Some(metadata.into_iter().collect()))
}

/// `module` with the parameters in `bytes`, which were read from `path`.
///
/// # Errors
/// When the file is not safetensors, lacks a parameter, has one too many, or one has another shape, an unknown type, or
/// a number that is not finite.
pub fn from_bytes<M: Module>(module: M, bytes: &[u8], path: &Path) -> Result<M> {
    let wrong = |reason: String| Error::Weights { path: path.to_owned(), reason };
    assign(module, read(bytes, path)?).map_err(wrong)
}

/// Every tensor in `bytes`, which were read from `path`.
///
/// # Errors
/// When the file is not safetensors, or a tensor has an unknown type or a number that is not finite.
pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Stored>> {
    let wrong = |reason: String| Error::Weights { path: path.to_owned(), reason };
    let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
    let mut values = BTreeMap::new();
    for (name, view) in file.tensors() {
        let numbers = numbers(&view).map_err(|reason| wrong(format!("tensor {name}: {reason}")))?;
        values.insert(name, (view.shape().to_vec(), numbers));
    }
    Ok(values)
}

/// `module` with these parameters.
///
/// # Errors
/// Saying which parameter is missing, one too many, or of another shape.
pub fn assign<M: Module>(
    module: M,
    values: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
) -> std::result::Result<M, String> {
    let mut loader = Loader { path: Vec::new(), values, problem: None };
    let module = module.map(&mut loader);
    match (loader.problem, loader.values.into_keys().next()) {
        (Some(problem), _) => Err(problem),
        (None, Some(unused)) => Err(format!("tensor {unused} belongs to no parameter of this model")),
        (None, None) => Ok(module),
    }
}

/// `module` with the numbers of each parameter in another order: what it learned is gone, and the spread of its weights is not. A
/// randomisation check compares with it (Adebayo et al. 2018, arXiv:1810.03292).
pub fn shuffled<M: Module>(module: M, seed: u64) -> M {
    module.map(&mut Shuffler { seed, drawn: 0 })
}

struct Shuffler {
    seed: u64,
    drawn: u64,
}

impl Shuffler {
    /// A number below `end`; the next one each time.
    fn below(&mut self, end: usize) -> usize {
        self.drawn += 1;
        (mix(self.seed ^ mix(self.drawn)) % end as u64) as usize
    }
}

impl ModuleMapper for Shuffler {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| {
            let (shape, device, grad) = (old.dims(), old.device(), old.is_require_grad());
            let numbers = old.into_data().convert::<f32>().try_into_vec::<f32>();
            let mut numbers = numbers.expect("they were made f32");
            // Fisher and Yates's, from the end.
            for end in (2..=numbers.len()).rev() {
                numbers.swap(end - 1, self.below(end));
            }
            Tensor::from_data(TensorData::new(numbers, shape), &device).set_require_grad(grad)
        })
    }
}

fn numbers(view: &TensorView) -> std::result::Result<Vec<f32>, String> {
    let data = view.data();
    let numbers: Vec<f32> = match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
        other => return Err(format!("type {other:?}, expected F32, F16 or BF16")),
    };
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(format!("element {at} is {}, expected finite numbers", numbers[at])),
        None => Ok(numbers),
    }
}

struct Collector {
    path: Vec<String>,
    found: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let values = value.to_data().try_into_vec().expect("parameters are f32");
        self.found.insert(self.path.join("."), (value.dims().to_vec(), values));
    }
}

struct GradientCollector<'a> {
    path: Vec<String>,
    gradients: &'a Gradients,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for GradientCollector<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let values = gradient.into_data().try_into_vec().expect("gradients are f32");
            self.found.insert(self.path.join("."), values);
        }
    }
}

struct Loader {
    path: Vec<String>,
    values: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    problem: Option<String>,
}

impl ModuleMapper for Loader {
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
        let name = self.path.join(".");
        let expected = param.lazy_shape().to_vec();
        let Some((shape, values)) = self.values.remove(&name) else {
            self.problem = Some(format!("parameter {name} is missing"));
            return param;
        };
        if shape != expected {
            self.problem = Some(format!("tensor {name} has shape {shape:?}, expected {expected:?}"));
            return param;
        }
        if values.len() != shape.iter().product::<usize>() {
            self.problem =
                Some(format!("tensor {name} has {} numbers, expected as many as {shape:?} holds", values.len()));
            return param;
        }
        let device = param.lazy_device();
        param.map(|old| {
            let grad = old.is_require_grad();
            Tensor::from_data(TensorData::new(values, shape), &device).set_require_grad(grad)
        })
    }
}
