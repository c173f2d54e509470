"""`regard.torch.scaled_dot_product_attention` beside PyTorch's, and beside its FlexAttention where that runs on a CPU.

    python calls.py [SECONDS A ROW] [--flex]
"""

from __future__ import annotations

import sys

import torch
from measure import head, row, turns

import regard.torch

SECONDS = float(next((it for it in sys.argv[1:] if not it.startswith("-")), 2))
own = torch.nn.functional.scaled_dot_product_attention
ours = regard.torch.scaled_dot_product_attention
NAMES = ["regard", "torch"]


def flex():
    """FlexAttention, compiled: full and causal."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    attend = torch.compile(flex_attention)

    def call(query, key, value, is_causal):
        lengths = query.shape[2], key.shape[2]
        mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, *lengths, device="cpu") if is_causal else None
        return lambda: attend(query, key, value, block_mask=mask)

    return call


def tensors(batch, heads, key_heads, queries, keys, width, dtype=torch.float32, gradient=False):
    shapes = [(batch, heads, queries, width), (batch, key_heads, keys, width), (batch, key_heads, keys, width)]
    return [torch.randn(shape).to(dtype).requires_grad_(gradient) for shape in shapes]


def main():
    torch.manual_seed(0)
    compiled = flex() if "--flex" in sys.argv else None
    names = NAMES + ["flex"] * bool(compiled)
    sizes = [(1, 8, 1024, 64), (1, 8, 4096, 64), (8, 12, 128, 64)]
    head("forward", names)
    for batch, heads, length, width in sizes:
        for causal in (False, True):
            given = tensors(batch, heads, heads, length, length, width)
            contestants = {
                "regard": lambda: ours(*given, is_causal=causal),
                "torch": lambda: own(*given, is_causal=causal),
            }
            with torch.no_grad():
                if compiled:
                    contestants["flex"] = compiled(*given, causal)
                times = turns(contestants, SECONDS)
            row(f"B{batch} H{heads} L{length} D{width}{' causal' if causal else ''}", times, names)

    head("forward with a mask", NAMES)
    given = tensors(4, 8, 8, 512, 512, 64)
    masks = {"boolean [4, 1, 1, 512]": torch.rand(4, 1, 1, 512) > 0.2, "numbers [1, 8, 512, 512]": torch.randn(1, 8, 512, 512)}
    for what, mask in masks.items():
        with torch.no_grad():
            times = turns({"regard": lambda: ours(*given, mask), "torch": lambda: own(*given, mask)}, SECONDS)
        row(f"B4 H8 L512 D64, {what}", times, NAMES)

    head("forward and backward", NAMES)
    for batch, heads, length, width in sizes:
        for causal in (False, True):
            given = tensors(batch, heads, heads, length, length, width, gradient=True)
            upstream = torch.randn(batch, heads, length, width)

            def step(function):
                torch.autograd.grad(function(*given, is_causal=causal), given, upstream)

            times = turns({"regard": lambda: step(ours), "torch": lambda: step(own)}, SECONDS)
            row(f"B{batch} H{heads} L{length} D{width}{' causal' if causal else ''}", times, NAMES)

    head("decode: one query", NAMES)
    for heads, key_heads, keys, dtype in [
        (32, 32, 4096, torch.float32),
        (32, 8, 4096, torch.float32),
        (32, 8, 4096, torch.bfloat16),
        (12, 12, 128, torch.float32),
    ]:
        given = tensors(1, heads, key_heads, 1, keys, 128, dtype)
        gqa = {"enable_gqa": True} if heads != key_heads else {}
        with torch.no_grad():
            times = turns({"regard": lambda: ours(*given, **gqa), "torch": lambda: own(*given, **gqa)}, SECONDS)
        row(f"H{heads} of {key_heads}, {keys} keys, D128, {str(dtype).removeprefix('torch.')}", times, NAMES)


main()
