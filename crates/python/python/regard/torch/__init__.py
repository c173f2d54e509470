"""Attention inside PyTorch models: with autograd, and in the place of PyTorch's own.

`attention` is `regard.attention` with gradients, also of what nouns learn::

    table = torch.nn.Parameter(torch.zeros(32, heads))
    out = regard.torch.attention(q, k, v, mask=regard.Causal(), bias=regard.RelativeBuckets(table))
    out.context.sum().backward()          # q.grad, k.grad, v.grad, table.grad

`scaled_dot_product_attention` takes what ``torch.nn.functional.scaled_dot_product_attention`` takes, and `replace_sdpa` routes
that one here for code which is already written. `linear_attention` and `trilinear_attention` are Regard's, with gradients, too.

Tensors are read where they lie, with any strides; they are float32, float16 or bfloat16 and in the processor's memory.

Under ``torch.compile`` a call is a graph break: what is around it is compiled.
"""

from .attending import Observer, attention, observed, observers
from .engines import linear_attention, trilinear_attention
from .sdpa import draw_seed, replace_sdpa, scaled_dot_product_attention

__all__ = [
    "Observer",
    "attention",
    "draw_seed",
    "linear_attention",
    "observed",
    "observers",
    "replace_sdpa",
    "scaled_dot_product_attention",
    "trilinear_attention",
]
