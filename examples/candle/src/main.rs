//! Attention on candle's tensors, read where they lie, and compared with candle's own.
//!
//! `cargo run --release --manifest-path examples/candle/Cargo.toml`: a causal attention on tensors as a projection leaves
//! them, `[batch, position, head, feature]` seen as `[batch, head, position, feature]` without a copy.

use std::time::Instant;

use candle_core::{CpuStorage, Device, Error, Layout, Result, Storage, Tensor, bail};
use candle_nn::ops::softmax_last_dim;
use regard_kernel::{Attention, Causal, ScaledDot, View};

fn main() -> Result<()> {
    let (batch, heads, positions, features) = (2, 8, 1024, 64);
    let projected = || Tensor::randn(0f32, 1.0, (batch, positions, heads, features), &Device::Cpu)?.transpose(1, 2);
    let (q, k, v) = (projected()?, projected()?, projected()?);

    let start = Instant::now();
    let ours = attend(&Attention::new(ScaledDot::default()).mask(Causal::default()), &q, &k, &v)?;
    let our_time = start.elapsed();
    let start = Instant::now();
    let theirs = unfused_causal(&q, &k, &v)?;
    let their_time = start.elapsed();

    let apart = (&ours - &theirs)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
    println!("context {:?}, at most {apart:.1e} from candle's", ours.shape());
    println!("{:.1} ms, candle's own {:.1} ms", our_time.as_secs_f64() * 1e3, their_time.as_secs_f64() * 1e3);
    if apart > 1e-4 {
        bail!("the contexts differ");
    }
    Ok(())
}

/// Attention by the kernel: `q`, `k` and `v` are `[batch, head, position, feature]` on the CPU, in f32, f16 or bf16, with
/// any strides. The context is f32.
fn attend(attention: &Attention, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    // The guards keep others from writing while the kernel reads.
    let ((q, q_layout), (k, k_layout), (v, v_layout)) =
        (q.storage_and_layout(), k.storage_and_layout(), v.storage_and_layout());
    let (q, k, v) = (view(&q, q_layout)?, view(&k, k_layout)?, view(&v, v_layout)?);
    let output = attention.forward(&q, &k, &v).map_err(Error::wrap)?;
    let ([batch, heads, queries, _], [.., value_width]) = (q.shape(), v.shape());
    Tensor::from_vec(output.context, (batch, heads, queries, value_width), &Device::Cpu)
}

/// The kernel's view of a tensor's memory: nothing is copied.
fn view<'a>(storage: &'a Storage, layout: &Layout) -> Result<View<'a>> {
    let (Ok(shape), Ok(strides)) = (layout.dims().try_into(), layout.stride().try_into()) else {
        bail!("{:?} is not [batch, head, position, feature]", layout.shape());
    };
    let start = layout.start_offset();
    let view = match storage {
        Storage::Cpu(CpuStorage::F32(data)) => View::strided(&data[start..], shape, strides),
        Storage::Cpu(CpuStorage::F16(data)) => View::strided(&data[start..], shape, strides),
        Storage::Cpu(CpuStorage::BF16(data)) => View::strided(&data[start..], shape, strides),
        _ => bail!("a tensor of f32, f16 or bf16 on the CPU is needed"),
    };
    view.map_err(Error::wrap)
}

/// The same in candle: all scores, then all weights, then all contexts.
fn unfused_causal(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (_, _, length, width) = q.dims4()?;
    let hidden = (0..length * length).map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 });
    let mask = Tensor::from_iter(hidden, q.device())?.reshape((1, 1, length, length))?;
    let scores = (q.contiguous()?.matmul(&k.t()?.contiguous()?)? / (width as f64).sqrt())?;
    softmax_last_dim(&scores.broadcast_add(&mask)?)?.matmul(&v.contiguous()?)
}
