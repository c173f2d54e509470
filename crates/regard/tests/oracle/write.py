"""Writes the oracles of the attention modules with PyTorch and transformers.

    pip install torch transformers numpy safetensors
    python crates/regard/tests/oracle/write.py

The tests read the files; they need neither Python nor this script. Everything is f32 (`lengths`: i32). A linear map is
stored as torch does: `NAME.weight` is [out, in] and y = x Wᵀ + b. `gradient.NAME` is d Σ(output ∘ cotangent) / d NAME.

multi_head.safetensors: torch.nn.MultiheadAttention, width 24, 4 heads, with biases
    `{query,key,value,output}.{weight,bias}`: one set of parameters for both cases below.
    `self.*`: causal self-attention on `self.input` [2, 6, 24]; only the first `self.lengths` = (6, 4) keys are real.
    `cross.*`: `cross.query` [2, 4, 24] attends to `cross.memory` [2, 7, 24] with `cross.lengths` = (7, 3) real keys.
    Each has `output`, `cotangent`, `weights` [batch, head, query, key], `averaged` [batch, query, key] (the mean over
    heads), and `gradient.*` of its inputs and of all parameters. Queries at padding attend like any other.

grouped.safetensors: torch.nn.functional.scaled_dot_product_attention with enable_gqa
    `query` [2, 8, 6, 4], `key` [2, 2, 6, 4], `value` [2, 2, 6, 5], `cotangent` [2, 8, 6, 5]; query heads 0 to 3 share
    key head 0, 4 to 7 key head 1. `full.*` and `causal.*` hold `output` and `gradient.{query,key,value}`.

rotary.safetensors: transformers' rotary embeddings of `input` [2, 3, 7, 8] (batch, head, position, feature)
    `halves_*`: LLaMA, feature i turns with i + 4. `pairs_*`: GPT-J, feature 2i turns with 2i + 1. Base 10000.
    `*_from_0` are positions 0 to 6, `*_from_5` positions 5 to 11.

sinusoidal.safetensors: position tables [10, 12], computed in 64 bits
    `interleaved`: as in "Attention Is All You Need", P[p, 2i] = sin(p / 10000^(2i/d)), P[p, 2i+1] = cos(same).
    `halves`: as in tensor2tensor and fairseq, sines then cosines of p / 10000^(i/(d/2 - 1)), i = 0 .. d/2 - 1.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F
from transformers.models.gptj import modeling_gptj
from transformers.models.llama import modeling_llama

HERE = Path(__file__).parent


def save(name, tensors, package, version):
    arrays = {}
    for key, tensor in tensors.items():
        array = tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
        arrays[key] = np.ascontiguousarray(array.astype(np.float32 if array.dtype.kind == "f" else np.int32))
    metadata = {"package": package, "version": version, "script": "crates/regard/tests/oracle/write.py"}
    save_file(arrays, HERE / f"{name}.safetensors", metadata)
    print(f"{name}: {len(arrays)} tensors, {sum(array.nbytes for array in arrays.values())} bytes")


def in_words(tensors):
    """MultiheadAttention's parameters, with the stacked query, key and value taken apart."""
    result = {}
    for name, tensor in tensors.items():
        if name.startswith("in_proj_"):
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3)):
                result[f"{part}.{name.removeprefix('in_proj_')}"] = piece
        else:
            result[name.replace("out_proj", "output")] = tensor
    return result


def multi_head_case(module, case, inputs, lengths, causal):
    """One call of the module: `inputs` are (query, memory), or (input,) for self-attention."""
    query, memory = next(iter(inputs.values())), list(inputs.values())[-1]
    for tensor in inputs.values():
        tensor.requires_grad_()
    module.zero_grad()
    padding = torch.arange(memory.shape[1]) >= torch.tensor(lengths)[:, None]
    future = torch.ones(query.shape[1], memory.shape[1], dtype=torch.bool).triu(1) if causal else None
    output, weights = module(
        query, memory, memory, key_padding_mask=padding, attn_mask=future, average_attn_weights=False
    )
    averaged = module(query, memory, memory, key_padding_mask=padding, attn_mask=future)[1]
    cotangent = torch.randn_like(output)
    (output * cotangent).sum().backward()
    gradients = {name: tensor.grad for name, tensor in inputs.items()}
    gradients |= in_words({name: parameter.grad.clone() for name, parameter in module.named_parameters()})
    tensors = {**inputs, "lengths": np.array(lengths), "output": output, "cotangent": cotangent}
    tensors |= {"weights": weights, "averaged": averaged}
    tensors |= {"gradient." + name: gradient for name, gradient in gradients.items()}
    return {f"{case}.{name}": tensor for name, tensor in tensors.items()}


def multi_head():
    torch.manual_seed(0)
    module = nn.MultiheadAttention(24, 4, batch_first=True)
    for bias in (module.in_proj_bias, module.out_proj.bias):
        nn.init.normal_(bias, 0.0, 0.3)
    tensors = in_words(dict(module.named_parameters()))
    tensors |= multi_head_case(module, "self", {"input": torch.randn(2, 6, 24)}, (6, 4), causal=True)
    inputs = {"query": torch.randn(2, 4, 24), "memory": torch.randn(2, 7, 24)}
    tensors |= multi_head_case(module, "cross", inputs, (7, 3), causal=False)
    save("multi_head", tensors, "torch", torch.__version__)


def grouped():
    torch.manual_seed(1)
    shapes = {"query": (2, 8, 6, 4), "key": (2, 2, 6, 4), "value": (2, 2, 6, 5)}
    inputs = {name: torch.randn(shape).requires_grad_() for name, shape in shapes.items()}
    cotangent = torch.randn(2, 8, 6, 5)
    tensors = {**inputs, "cotangent": cotangent}
    for case in ("full", "causal"):
        output = F.scaled_dot_product_attention(*inputs.values(), is_causal=case == "causal", enable_gqa=True)
        gradients = torch.autograd.grad((output * cotangent).sum(), list(inputs.values()))
        tensors[f"{case}.output"] = output
        tensors |= {f"{case}.gradient.{name}": gradient for name, gradient in zip(inputs, gradients)}
    save("grouped", tensors, "torch", torch.__version__)


def rotary():
    torch.manual_seed(2)
    states = torch.randn(2, 3, 7, 8)
    config = transformers.LlamaConfig(hidden_size=24, num_attention_heads=3, head_dim=8)
    llama = modeling_llama.LlamaRotaryEmbedding(config)
    table = modeling_gptj.create_sinusoidal_positions(32, 8)
    tensors = {"input": states}
    for start in (0, 5):
        ids = torch.arange(start, start + 7)
        cos, sin = llama(states, ids[None].expand(2, -1))
        tensors[f"halves_from_{start}"] = modeling_llama.apply_rotary_pos_emb(states, states, cos, sin)[0]
        sin, cos = table[ids][None].expand(2, -1, -1).chunk(2, dim=-1)
        # GPT-J keeps the position before the head.
        turned = modeling_gptj.apply_rotary_pos_emb(states.transpose(1, 2), sin, cos)
        tensors[f"pairs_from_{start}"] = turned.transpose(1, 2)
    save("rotary", tensors, "transformers", transformers.__version__)


def sinusoidal(length=10, width=12):
    position = np.arange(length, dtype=np.float64)[:, None]
    half = np.arange(width // 2)
    angle = position / 10000.0 ** (2 * half / width)
    interleaved = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(length, width)
    angle = position / 10000.0 ** (half / (width // 2 - 1))
    halves = np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)
    save("sinusoidal", {"interleaved": interleaved, "halves": halves}, "numpy", np.__version__)


if __name__ == "__main__":
    torch.set_num_threads(1)
    multi_head()
    grouped()
    rotary()
    sinusoidal()
