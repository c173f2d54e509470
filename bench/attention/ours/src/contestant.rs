//! Works for the kernel.

use protocol::{Bias, Element, Layout, Mask, Normals, Prepared, Task, Work};
use regard_kernel::probe::{Entropy, Probe, Pyramid, Received, TopKeys};
use regard_kernel::{
    Alibi, Attention, Causal, DenseBias, DenseMask, Documents, Gradients, KeyValueCache, Output, ScaledDot, SoftCap,
    View, Window,
};

use crate::blocks::BlockMask;

/// An attention and its inputs.
struct Ours {
    work: Work,
    attention: Attention,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    grad_context: Vec<f32>,
    cache: Option<KeyValueCache>,
    output: Output,
    gradients: Option<Gradients>,
}

/// Makes a work ready, or says why it cannot be done.
pub fn prepare(work: &Work, normals: &Normals) -> Result<Box<dyn Prepared>, String> {
    if work.element != Element::F32 {
        return Err(format!("no {:?}", work.element));
    }
    let attention = attention(work, normals).map_err(|error| error.to_string())?;
    let take = |start, shape: [usize; 4]| normals.take(start, shape.iter().product());
    let mut ours = Ours {
        attention,
        queries: take(Normals::QUERIES, work.query_shape()),
        keys: take(Normals::KEYS, work.key_shape()),
        values: take(Normals::VALUES, work.value_shape()),
        grad_context: take(Normals::GRADIENT, work.context_shape()),
        cache: None,
        output: Output { context: Vec::new(), lse: Vec::new() },
        gradients: None,
        work: work.clone(),
    };
    ours.begin().map_err(|error| error.to_string())?;
    Ok(Box::new(ours))
}

fn attention(work: &Work, normals: &Normals) -> regard_kernel::Result<Attention> {
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
            attention.mask(BlockMask { seen: work.blocks(size, normals), columns: keys.div_ceil(size), size })
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
    /// What is done once: filling the cache, and the forward pass where only what follows it is timed.
    fn begin(&mut self) -> regard_kernel::Result<()> {
        match self.work.task {
            Task::Forward | Task::Train => {}
            Task::Backward | Task::Observe => self.output = self.forward()?,
            Task::Decode => {
                let [_, k, v] = self.inputs()?;
                let [batch, key_heads, _, width] = k.shape();
                let mut cache = KeyValueCache::new(batch, key_heads, width, v.shape()[3]);
                cache.append(&k, &v)?;
                self.cache = Some(cache);
                (self.keys, self.values) = (Vec::new(), Vec::new());
            }
        }
        Ok(())
    }

    fn view<'a>(&self, data: &'a [f32], shape: [usize; 4]) -> regard_kernel::Result<View<'a>> {
        let [_, heads, positions, features] = shape;
        match self.work.layout {
            Layout::Heads => View::new(data, shape),
            Layout::Positions => {
                View::strided(data, shape, [positions * heads * features, features, heads * features, 1])
            }
        }
    }

    fn forward(&self) -> regard_kernel::Result<Output> {
        let [q, k, v] = self.inputs()?;
        self.attention.forward(&q, &k, &v)
    }

    fn inputs(&self) -> regard_kernel::Result<[View<'_>; 3]> {
        Ok([
            self.view(&self.queries, self.work.query_shape())?,
            self.view(&self.keys, self.work.key_shape())?,
            self.view(&self.values, self.work.value_shape())?,
        ])
    }

    fn backward(&self) -> regard_kernel::Result<Gradients> {
        let [q, k, v] = self.inputs()?;
        let grad = self.view(&self.grad_context, self.work.context_shape())?;
        self.attention.backward(&q, &k, &v, &self.output.context, &self.output.lse, &grad)
    }

    fn observe(&self) -> regard_kernel::Result<()> {
        let [q, k, _] = self.inputs()?;
        let (mut entropy, mut top, mut received) = (Entropy::new(), TopKeys::new(8), Received::new());
        let mut pyramid = Pyramid::new(256)?;
        let probes: &mut [&mut dyn Probe] = &mut [&mut entropy, &mut top, &mut received, &mut pyramid];
        self.attention.observe(&q, &k, &self.output.lse, probes)
    }

    fn once(&mut self) -> regard_kernel::Result<()> {
        match self.work.task {
            Task::Forward => self.output = self.forward()?,
            Task::Train => {
                self.output = self.forward()?;
                self.gradients = Some(self.backward()?);
            }
            Task::Backward => self.gradients = Some(self.backward()?),
            Task::Decode => {
                let q = self.view(&self.queries, self.work.query_shape())?;
                if let Some(cache) = &self.cache {
                    self.output = self.attention.decode(&q, cache)?;
                }
            }
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
