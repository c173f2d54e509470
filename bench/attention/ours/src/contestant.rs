//! Works for the kernel.

use protocol::{Bias, Element, Mask, Normals, Prepared, Task, Work};
use regard_kernel::probe::{Entropy, Probe, Pyramid, Received, TopKeys};
use regard_kernel::{
    Alibi, Attention, Blocks, Causal, DenseBias, DenseMask, Documents, Gradients, Output, Result, ScaledDot, SoftCap,
    View, Window,
};

use crate::tensor::Tensor;

/// An attention and its inputs.
struct Ours {
    task: Task,
    attention: Attention,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    grad_context: Tensor,
    output: Output,
    gradients: Option<Gradients>,
}

/// Makes a work ready, or says why it cannot be done.
pub fn prepare(work: &Work, normals: &Normals) -> std::result::Result<Box<dyn Prepared>, String> {
    let ours = Ours::new(work, normals).map_err(|error| error.to_string())?;
    Ok(Box::new(ours))
}

fn attention(work: &Work, normals: &Normals) -> Result<Attention> {
    let [queries, keys] = [work.queries, work.keys];
    let attention = Attention::new(ScaledDot::default());
    let attention = match work.mask {
        Mask::None => attention,
        Mask::Causal => attention.mask(Causal::default()),
        Mask::Window(size) => attention.mask(Window::new(Some(size - 1), Some(0))),
        Mask::Documents(count) => {
            let offsets: Vec<usize> = (0..=count).map(|i| i * keys / count).collect();
            attention.mask(Documents::new(offsets)?)
        }
        Mask::Blocks(size) => {
            attention.mask(Blocks::from_layout(&work.blocks(size, normals), [1, 1, queries, keys], size)?)
        }
        Mask::Dense => attention.mask(DenseMask::new(&work.pairs(normals), [1, 1, queries, keys])?),
    };
    let dense = |heads| DenseBias::new(normals.take(Normals::BIAS, heads * queries * keys), [1, heads, queries, keys]);
    Ok(match work.bias {
        Bias::None => attention,
        Bias::Dense => attention.bias(dense(1)?),
        Bias::DenseByHead => attention.bias(dense(work.heads)?),
        Bias::SoftCap => attention.bias(SoftCap::new(Work::CAP)?),
        Bias::Alibi => attention.bias(Alibi::new(work.heads)),
    })
}

impl Ours {
    fn new(work: &Work, normals: &Normals) -> Result<Self> {
        let tensor = |start, shape: [usize; 4], element| {
            Tensor::new(normals.take(start, shape.iter().product()), shape, element, work.layout)
        };
        // Where keys and values are whole numbers, queries are not.
        let element = if work.element == Element::Int8 { Element::F32 } else { work.element };
        let mut ours = Self {
            task: work.task,
            attention: attention(work, normals)?,
            queries: tensor(Normals::QUERIES, work.query_shape(), element),
            keys: tensor(Normals::KEYS, work.key_shape(), work.element),
            values: tensor(Normals::VALUES, work.value_shape(), work.element),
            grad_context: tensor(Normals::GRADIENT, work.context_shape(), element),
            output: Output { context: Vec::new(), lse: Vec::new() },
            gradients: None,
        };
        // Only what follows the forward pass is timed.
        if matches!(work.task, Task::Backward | Task::Observe) {
            ours.output = ours.forward()?;
        }
        Ok(ours)
    }

    fn inputs(&self) -> Result<[View<'_>; 3]> {
        Ok([self.queries.view()?, self.keys.view()?, self.values.view()?])
    }

    fn forward(&self) -> Result<Output> {
        let [q, k, v] = self.inputs()?;
        self.attention.forward(&q, &k, &v)
    }

    fn backward(&self) -> Result<Gradients> {
        let [q, k, v] = self.inputs()?;
        let grad_context = self.grad_context.view()?;
        self.attention.backward(&q, &k, &v, &self.output.context, &self.output.lse, &grad_context)
    }

    fn observe(&self) -> Result<()> {
        let [q, k, _] = self.inputs()?;
        let (mut entropy, mut top, mut received) = (Entropy::new(), TopKeys::new(8), Received::new());
        let mut pyramid = Pyramid::new(256)?;
        let probes: &mut [&mut dyn Probe] = &mut [&mut entropy, &mut top, &mut received, &mut pyramid];
        self.attention.observe(&q, &k, &self.output.lse, probes)
    }

    fn once(&mut self) -> Result<()> {
        match self.task {
            Task::Forward => self.output = self.forward()?,
            Task::Decode => {
                let [q, k, v] = self.inputs()?;
                self.output = self.attention.decode(&q, (&k, &v))?;
            }
            Task::Train => {
                self.output = self.forward()?;
                self.gradients = Some(self.backward()?);
            }
            Task::Backward => self.gradients = Some(self.backward()?),
            Task::Observe => self.observe()?,
        }
        Ok(())
    }
}

impl Prepared for Ours {
    fn run(&mut self) {
        self.once().expect("the shapes were accepted when the work was prepared");
    }

    fn outputs(&self) -> Vec<f32> {
        let mut outputs = self.output.context.clone();
        if let Some(gradients) = &self.gradients {
            for gradient in [&gradients.queries, &gradients.keys, &gradients.values] {
                outputs.extend_from_slice(gradient);
            }
        }
        outputs
    }
}
