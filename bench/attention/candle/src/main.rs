//! candle's attention as a contestant: two matrix products with its softmax between them and, for few queries, its fused
//! attention for the CPU; the faster one is timed.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use half::{bf16, f16};
use protocol::{Bias, Element, Layout, Mask, Normals, Prepared, Task, Way, Work, fastest};
use serde_json::json;

fn main() {
    protocol::serve(prepare, |name| match name {
        "version" => json!({ "version": "candle-nn 0.11.1" }),
        _ => json!({ "cannot": "no such job" }),
    });
}

fn prepare(work: &Work, normals: &Normals) -> std::result::Result<Box<dyn Prepared>, String> {
    let known = matches!(work.task, Task::Forward | Task::Decode)
        && matches!(work.mask, Mask::None | Mask::Causal)
        && (work.bias, work.layout) == (Bias::None, Layout::Heads)
        && (work.mask == Mask::None || work.queries == work.keys);
    if !known {
        return Err(format!("{work:?}"));
    }
    let ways = ways(work, normals).map_err(|error| error.to_string())?;
    if ways.is_empty() {
        return Err(format!("{work:?}"));
    }
    Ok(Box::new(fastest(ways)))
}

/// The calls that compute this attention.
fn ways(work: &Work, normals: &Normals) -> Result<Vec<Way<Tensor>>> {
    let element = match work.element {
        Element::F32 => DType::F32,
        Element::F16 => DType::F16,
        Element::Bf16 => DType::BF16,
        Element::Int8 => candle_core::bail!("no int8"),
    };
    let tensor = |start, shape: [usize; 4]| {
        Tensor::from_vec(normals.take(start, shape.iter().product()), &shape, &Device::Cpu)?.to_dtype(element)
    };
    let q = tensor(Normals::QUERIES, work.query_shape())?;
    let k = tensor(Normals::KEYS, work.key_shape())?;
    let v = tensor(Normals::VALUES, work.value_shape())?;
    let scale = 1.0 / (work.width as f32).sqrt();
    let causal = work.mask == Mask::Causal;
    let mask = if causal {
        let hidden = |i: usize| if i % work.keys > i / work.keys { f32::NEG_INFINITY } else { 0.0 };
        let mask = (0..work.queries * work.keys).map(hidden).collect();
        Some(Tensor::from_vec(mask, (1, 1, work.queries, work.keys), &Device::Cpu)?.to_dtype(element)?)
    } else {
        None
    };

    // The heads of a group as more queries, which copies nothing.
    let shape = [work.batch, work.key_heads, work.heads / work.key_heads * work.queries, work.width];
    let (folded, keys, values) = (q.reshape(&shape)?, k.clone(), v.clone());
    let context_shape = work.context_shape();
    let unfused = move || {
        let scores = (folded.matmul(&keys.t()?)? * f64::from(scale))?;
        let scores = match &mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        candle_nn::ops::softmax_last_dim(&scores)?.matmul(&values)?.reshape(&context_shape)
    };
    let mut ways = Vec::new();
    // The softmax adds up halves in half precision, which 4,096 keys do not survive.
    if element == DType::F32 {
        ways.push(Way::new(unfused, numbers));
    }
    // With many queries the fused one takes several times as long as the products, and trying it would take minutes.
    if work.queries <= 256 && work.width == work.value_width && (work.batch == 1 || element != DType::BF16) {
        // The fused attention takes [batch, position, head, feature], with any strides or laid out anew.
        let strided = [q.transpose(1, 2)?, k.transpose(1, 2)?, v.transpose(1, 2)?];
        let contiguous = [strided[0].contiguous()?, strided[1].contiguous()?, strided[2].contiguous()?];
        for [q, k, v] in [strided, contiguous] {
            let fused = move || {
                let mask = if causal { AttnMask::causal() } else { AttnMask::None };
                match element {
                    DType::F16 => flash_attn::<f16>(&q, &k, &v, scale, mask, None, None),
                    DType::BF16 => flash_attn::<bf16>(&q, &k, &v, scale, mask, None, None),
                    _ => flash_attn::<f32>(&q, &k, &v, scale, mask, None, None),
                }
            };
            ways.push(Way::new(fused, numbers));
        }
    }
    Ok(ways)
}

fn numbers(context: &Tensor) -> Result<Vec<f32>> {
    context.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
