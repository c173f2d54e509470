"""PyTorch's ``scaled_dot_product_attention``, argument by argument, and in its place."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..biases import DenseBias
from ..masks import Causal, DenseMask
from ..operations import Dropout
from ..scores import ScaledDot
from .attending import attention


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``torch.nn.functional.scaled_dot_product_attention``, argument by argument.

    Args:
        query: ``[..., head, L, d]``, or ``[L, d]``. Any axes may come first, and broadcast against those of keys and values.
        key: ``[..., head, S, d]``
        value: ``[..., head, S, dv]``
        attn_mask: Broadcasts to ``[..., head, L, S]``. Booleans are True where a query sees a key; numbers are added to scores,
            and have a gradient.
        dropout_p: The part of weights to be dropped, less than 1, always: pass 0 when a model does not train. Which ones follows
            ``torch.manual_seed``, and is not what PyTorch would drop.
        is_causal: The first query sees the first key (the corner is top-left, also if L and S differ); not with ``attn_mask``.
        scale: What products are multiplied with; 1/√d unless given.
        enable_gqa: Heads of the query may be a multiple of those of keys and values.

    Returns:
        ``[..., head, L, dv]``; zeros for a query that sees no key.

    Raises:
        TypeError, ValueError: As `regard.attention`: for tensors of float64 or of another device, too, which PyTorch's takes.
    """
    if is_causal and attn_mask is not None:
        raise ValueError("attn_mask and is_causal exclude each other: give a mask that is causal itself")
    arguments = {"query": query, "key": key, "value": value}
    for name, tensor in arguments.items():
        if tensor.ndim < 2:
            raise ValueError(f"{name} is {tensor.ndim}-dimensional: expected [..., position, feature]")
    shared = 3 if enable_gqa else 2
    shapes = [tensor.shape[:-shared] for tensor in arguments.values()]
    if query.ndim == 4 and shapes[0] == shapes[1] == shapes[2]:
        leading, four = shapes[0], [query, key, value]
    else:
        try:
            leading = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            given = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in arguments.items())
            raise ValueError(f"the axes before the last {shared} do not broadcast: {given}") from None
        four = [_four_axes(tensor.expand(*leading, *tensor.shape[-shared:])) for tensor in arguments.values()]
    mask, bias = Causal(corner="top-left") if is_causal else None, None
    if attn_mask is not None:
        given = _four_axes_of_mask(attn_mask, (*leading, *query.shape[-shared:-2]))
        if given.dtype == torch.bool:
            mask = DenseMask(given)
        else:
            bias = DenseBias(given)
    dropout = Dropout(dropout_p, draw_seed()) if dropout_p else None
    score = None if scale is None else ScaledDot(scale)
    context = attention(*four, score=score, mask=mask, bias=bias, dropout=dropout).context
    return context.reshape(*leading, *query.shape[-shared:-1], value.shape[-1])


def draw_seed() -> int:
    """A seed for `Dropout` from PyTorch's generator, so that ``torch.manual_seed`` settles what is dropped."""
    return int(torch.randint(1 << 62, ()))


def _four_axes(tensor: Tensor) -> Tensor:
    """``[batch, head, position, feature]``: axes are put before those given, or all before the heads made one."""
    if tensor.ndim <= 4:
        return tensor[(None,) * (4 - tensor.ndim)]
    return tensor.flatten(0, -4)


def _four_axes_of_mask(mask: Tensor, leading: tuple[int, ...]) -> Tensor:
    """A mask for queries that have these axes before positions and features."""
    if mask.ndim > len(leading) + 2:
        raise ValueError(f"attn_mask has the shape {list(mask.shape)}: expected one that broadcasts to {len(leading) + 2} axes")
    if mask.ndim <= 4 and len(leading) <= 2:
        return mask
    heads = mask.shape[-3] if mask.ndim > 2 else 1
    return mask.expand(*leading[:-1], heads, *(1,) * (2 - mask.ndim), *mask.shape[-2:]).flatten(0, -4)


@contextmanager
def replace_sdpa() -> Iterator[None]:
    """Routes ``torch.nn.functional.scaled_dot_product_attention`` to `scaled_dot_product_attention`::

        with regard.torch.replace_sdpa():
            model(batch)

    It holds for all threads, and for code that looks the function up as it calls it: not for a name that was imported before.
    PyTorch's own still does what Regard does not: tensors of another device than the processor (also meta), of another type
    than float32, float16 or bfloat16 (also float64), nested and sparse ones, and subclasses of tensors. And
    ``torch.nn.MultiheadAttention`` has, without gradients, a path past the function, which
    ``torch.backends.mha.set_fastpath_enabled(False)`` closes.
    """
    functional = torch.nn.functional
    own = functional.scaled_dot_product_attention

    @functools.wraps(own)
    def routed(*args: Any, **kwargs: Any) -> Tensor:
        tensors = [given for given in (*args, *kwargs.values()) if isinstance(given, Tensor)]
        return (scaled_dot_product_attention if all(map(_taken, tensors)) else own)(*args, **kwargs)

    functional.scaled_dot_product_attention = routed
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = own


_TYPES = {torch.float32, torch.float16, torch.bfloat16, torch.bool}


def _taken(tensor: Tensor) -> bool:
    """Whether Regard can read a tensor."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided and not tensor.is_nested
    return plain and tensor.device.type == "cpu" and tensor.dtype in _TYPES
