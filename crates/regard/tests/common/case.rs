//! A mechanism beside its definition: inputs, parameters, outputs, and the gradients of all that is learned or given.

use burn::module::Param;
use burn::tensor::{Bool, Device, Gradients, Tensor};
use regard::Linear;

use super::{Oracle, close, tracked};

/// Compares the gradient of one tensor.
type Check = Box<dyn Fn(&Gradients)>;

/// An oracle, and what is to have a gradient.
pub struct Case {
    oracle: Oracle,
    /// Tracks gradients.
    pub device: Device,
    leaves: Vec<Check>,
}

impl Case {
    /// The file `NAME.safetensors`.
    pub fn open(name: &str) -> Self {
        Case { oracle: Oracle::open(name), device: tracked(), leaves: vec![] }
    }

    fn leaf<const D: usize>(&mut self, kind: &str, name: &str) -> Tensor<D> {
        let tensor = self.oracle.tensor::<D>(&format!("{kind}.{name}"), &self.device).require_grad();
        let expected = self.oracle.tensor::<D>(&format!("gradient.{name}"), &self.device.clone().inner());
        let (held, called) = (tensor.clone(), name.to_owned());
        let check = move |gradients: &Gradients| {
            let given = held.grad(gradients).unwrap_or_else(|| panic!("{called} has no gradient"));
            close(&format!("gradient of {called}"), &given, &expected, 2e-5);
        };
        self.leaves.push(Box::new(check));
        tensor
    }

    /// An input that is to have a gradient.
    pub fn input<const D: usize>(&mut self, name: &str) -> Tensor<D> {
        self.leaf("input", name)
    }

    /// A parameter that is to have a gradient.
    pub fn parameter<const D: usize>(&mut self, name: &str) -> Param<Tensor<D>> {
        Param::from_tensor(self.leaf("parameter", name))
    }

    /// Loads a linear map, with the bias `NAME_bias` if it has one.
    pub fn linear(&mut self, linear: &mut Linear, name: &str) {
        linear.weight = self.parameter(name);
        if linear.bias.is_some() {
            linear.bias = Some(self.parameter(&format!("{name}_bias")));
        }
    }

    /// Which keys are real.
    pub fn visible(&self) -> Tensor<2, Bool> {
        self.oracle.tensor::<2>("visible", &self.device).greater_elem(0.5)
    }

    /// Compares an output, and returns its share of the loss.
    pub fn output<const D: usize>(&self, name: &str, given: Tensor<D>) -> Tensor<1> {
        close(name, &given, &self.oracle.tensor(&format!("output.{name}"), &self.device), 1e-5);
        (given * self.oracle.tensor(&format!("cotangent.{name}"), &self.device)).sum()
    }

    /// Compares the gradients of all inputs and parameters.
    pub fn gradients(&self, loss: Tensor<1>) {
        let gradients = loss.backward();
        self.leaves.iter().for_each(|check| check(&gradients));
    }
}
