"""Linear attention: a memory of fixed size instead of all keys."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _regard


class Remembered(NamedTuple):
    """What linear attention gives."""

    context: Any
    """``[batch, head, position, value feature]``, in the queries' type."""
    state: Any
    """The memory after the last position, ``[batch, key head, key feature, value feature]``, in float32."""


class LinearGradients(NamedTuple):
    """What gradients of the context and of the last memory mean for everything that led to them; each like what it is the
    gradient of."""

    query: Any
    key: Any
    """Summed over the query heads that share a key head."""
    value: Any
    """Summed as the keys."""
    decay: Any
    """None if there was none, as for the following."""
    beta: Any
    state: Any
    """Of the memory before the first position."""


def linear_attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Any = None,
    beta: Any = None,
    state: Any = None,
    scale: float | None = None,
) -> Remembered:
    """Attends without a softmax: each position writes to a memory S, which maps keys to values, and then reads from it.

        S_t = e^{g_t} ⊙ S_{t−1} + k_t ⊗ u_t          u_t = v_t                                     without beta
        c_t = scale · q_tᵀ · S_t                      u_t = β_t · (v_t − k_tᵀ · (e^{g_t} ⊙ S_{t−1}))  with beta

    Neither decay nor beta: linear attention (Katharopoulos et al. 2020). A decay: gated, as RetNet and GLA. Beta: the delta
    rule. Both: the gated delta rule (Yang et al. 2024). Time grows with L, memory does not.

    Args:
        query: ``[batch, head, L, d]``
        key: ``[batch, key head, L, d]``; heads are a multiple of key heads, and consecutive ones share a memory.
        value: ``[batch, key head, L, dv]``
        decay: The logarithm g of what is kept before each position writes, ``[batch, key head, L, d or 1]``.
        beta: How far the value found under a key is moved to the new one, ``[batch, key head or 1, L, 1]``, from 0 to 1.
        state: What an earlier call left, ``[batch, key head, d, dv]``; zeros unless given.
        scale: ``1/√d`` unless given.

    Returns:
        The context, and the memory, with which the next positions go on.

    Raises:
        TypeError: If something is no array of float32, float16 or bfloat16.
        ValueError: If shapes do not fit each other, or an array is not in the processor's memory.
    """
    return Remembered(*_regard.linear_attention(query, key, value, decay, beta, state, scale))


def linear_attention_backward(
    query: Any,
    key: Any,
    value: Any,
    gradient: Any,
    *,
    decay: Any = None,
    beta: Any = None,
    state: Any = None,
    scale: float | None = None,
    state_gradient: Any = None,
) -> LinearGradients:
    """Gradients, given what `linear_attention` was given. Nothing that it returned is needed: the memory is made again.

    Args:
        gradient: That of the context, ``[batch, head, L, dv]``.
        state_gradient: That of the memory after the last position, ``[batch, key head, d, dv]``; zeros unless given.
        query, key, value, decay, beta, state, scale: As in `linear_attention`.

    Raises:
        TypeError, ValueError: As `linear_attention`.
    """
    gradients = (gradient, state_gradient)
    return LinearGradients(*_regard.linear_attention_backward(query, key, value, gradients, decay, beta, state, scale))
