"""Attention without a matrix of weights, as differentiable operations of PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import linear, trilinear
from ..linear import Remembered
from ..operations import Attended


class _Remember(torch.autograd.Function):
    """Linear attention. Both results have a gradient: what comes later may read the memory."""

    @staticmethod
    def forward(ctx: Any, scale: float | None, *tensors: Tensor | None) -> tuple[Tensor, Tensor]:
        query, key, value, decay, beta, state = tensors
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return tuple(linear.linear_attention(query, key, value, decay=decay, beta=beta, state=state, scale=scale))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, state_gradient: Tensor | None) -> tuple:
        _once()
        query, key, value, decay, beta, state = ctx.saved_tensors
        if gradient is None:
            gradient = query.new_zeros(*query.shape[:3], value.shape[3])
        gates = {"decay": decay, "beta": beta, "state": state}
        found = linear.linear_attention_backward(
            query, key, value, gradient, **gates, scale=ctx.scale, state_gradient=state_gradient
        )
        return None, *found


def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    state: Tensor | None = None,
    scale: float | None = None,
) -> Remembered:
    """`regard.linear_attention` with autograd: gradients of all tensors given, through the context and through the memory.

    Args:
        query, key, value, decay, beta, state, scale: As in `regard.linear_attention`.

    Returns:
        The context ``[batch, head, L, dv]`` and the memory after the last position, ``[batch, key head, d, dv]``.

    Raises:
        TypeError, ValueError: As `regard.linear_attention`.
    """
    return Remembered(*_Remember.apply(scale, query, key, value, decay, beta, state))


class _Pair(torch.autograd.Function):
    """Trilinear attention."""

    @staticmethod
    def forward(ctx: Any, scale: float | None, windows: tuple[int, int] | None, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        ctx.options = {"scale": scale, "windows": windows}
        context, lse = trilinear.trilinear_attention(*inputs, **ctx.options)
        ctx.save_for_backward(*inputs, context, lse)
        ctx.mark_non_differentiable(lse)
        return context, lse

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple:
        _once()
        return None, None, *trilinear.trilinear_attention_backward(*ctx.saved_tensors, gradient, **ctx.options)


def trilinear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    second_key: Tensor,
    second_value: Tensor,
    *,
    scale: float | None = None,
    windows: tuple[int, int] | None = None,
) -> Attended:
    """`regard.trilinear_attention` with autograd.

    Args:
        query, key, value, second_key, second_value, scale, windows: As in `regard.trilinear_attention`.

    Returns:
        The context ``[batch, head, L, dv]`` and, without a gradient, each row's log-sum-exp ``[batch, head, L]``.

    Raises:
        TypeError, ValueError: As `regard.trilinear_attention`.
    """
    return Attended(*_Pair.apply(scale, windows, query, key, value, second_key, second_value))


def _once() -> None:
    if torch.is_grad_enabled():
        raise NotImplementedError("attention has no second derivative here: call backward without create_graph")
