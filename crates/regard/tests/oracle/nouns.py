"""Writes the oracle of scores, biases and normalizers with x-transformers.

    pip install torch x-transformers safetensors
    python crates/regard/tests/oracle/nouns.py

nouns.safetensors, f32, computed in f64: `queries` [1, 6, 4, 4], `keys` [1, 6, 5, 4], `values` [1, 6, 5, 3], `cotangent`, and of
each case `CASE.output` and `CASE.gradient.{queries,keys,values}`, which are d Σ(output ∘ cotangent) / d NAME. Most of these are what
x-transformers cannot do in a fused kernel.

    cosine   queries and keys normalised, times 10           distance  negative squared distances, times 0.5
    cap      scores within 2                                 alibi     its slopes for 6 heads, causal
    sigmoid  each weight on its own                          top       the 2 strongest keys
    hard     the strongest key, straight-through             quiet     a key and value of zeros before the others
    sink     a learned logit a head, `sink` [6], with `sink.gradient.sink`
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from x_transformers.attend import Attend
from x_transformers.x_transformers import AlibiPositionalBias, l2norm

HERE = Path(__file__).parent


def cases(queries, keys, values, sink):
    def attend(inputs=(queries, keys, values), bias=None, **options):
        return Attend(heads=6, **options).double().eval()(*inputs, attn_bias=bias)[0]

    yield "cosine", attend((l2norm(queries), l2norm(keys), values), qk_norm=True, scale=10)
    yield "distance", attend(l2_distance=True, scale=0.5)
    yield "cap", attend(softclamp_logits=True, logit_softclamp_value=2.0)
    yield "alibi", attend(bias=AlibiPositionalBias(6)(4, 5).double(), causal=True)
    yield "sigmoid", attend(sigmoid=True)
    yield "top", attend(sparse_topk=2)
    yield "hard", attend(hard=True)
    yield "quiet", attend(add_zero_kv=True)
    learned = Attend(heads=6, head_learned_sink=True).double().eval()
    yield "sink", torch.func.functional_call(learned, {"head_attn_sink": sink}, (queries, keys, values))[0]


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(5)
    shapes = {"queries": (1, 6, 4, 4), "keys": (1, 6, 5, 4), "values": (1, 6, 5, 3), "sink": (6,)}
    leaves = {name: torch.randn(shape).double().requires_grad_() for name, shape in shapes.items()}
    cotangent = torch.randn(1, 6, 4, 3).double()
    tensors = leaves | {"cotangent": cotangent}
    for name, output in cases(**leaves):
        gradients = torch.autograd.grad((output * cotangent).sum(), list(leaves.values()), allow_unused=True)
        tensors[f"{name}.output"] = output
        tensors |= {f"{name}.gradient.{key}": g for key, g in zip(leaves, gradients) if g is not None}
    arrays = {key: np.ascontiguousarray(tensor.detach().numpy().astype(np.float32)) for key, tensor in tensors.items()}
    metadata = {"package": "x-transformers", "script": "crates/regard/tests/oracle/nouns.py"}
    save_file(arrays, HERE / "nouns.safetensors", metadata)
    print(f"{len(arrays)} tensors, {sum(array.nbytes for array in arrays.values())} bytes")
