"""Trilinear attention: a query meets pairs of keys."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _regard
from ._noun import counts
from .operations import Attended


class TrilinearGradients(NamedTuple):
    """What a gradient of the context means for everything that led to it; each like what it is the gradient of. Those of keys
    and values are summed over the query heads that share a key head."""

    query: Any
    key: Any
    value: Any
    second_key: Any
    second_value: Any


def trilinear_attention(
    query: Any,
    key: Any,
    value: Any,
    second_key: Any,
    second_value: Any,
    *,
    scale: float | None = None,
    windows: tuple[int, int] | None = None,
) -> Attended:
    """Attends to pairs of keys, one of each kind (2-simplicial attention: Clift et al. 2019; Roy et al. 2025)::

        e_ijk = scale · Σ_f q_if · k_jf · k'_kf        a_i = softmax over all (j, k)        c_i = Σ_jk a_ijk · (v_j ∘ v'_k)

    It is causal: a query sees the keys of either kind up to where it stands, and the last query stands at the last key. Time
    grows with L · w · w' · d, and without windows with L³; memory grows with L. There are no weights to observe.

    Args:
        query: ``[batch, head, L, d]``
        key, second_key: ``[batch, key head, S, d]``; heads are a multiple of key heads, and consecutive ones share one.
        value, second_value: ``[batch, key head, S, dv]``
        scale: ``1/√d`` unless given.
        windows: How many of the last keys of the first and of the second kind a query sees, the one at which it stands
            included; all unless given.

    Returns:
        The context, and each row's log-sum-exp over all pairs.

    Raises:
        TypeError: If something is no array of float32, float16 or bfloat16.
        ValueError: If shapes do not fit each other, a window is 0, or an array is not in the processor's memory.
    """
    inputs = (query, key, value, second_key, second_value)
    return Attended(*_regard.trilinear_attention(inputs, scale, _windows(windows)))


def trilinear_attention_backward(
    query: Any,
    key: Any,
    value: Any,
    second_key: Any,
    second_value: Any,
    context: Any,
    lse: Any,
    gradient: Any,
    *,
    scale: float | None = None,
    windows: tuple[int, int] | None = None,
) -> TrilinearGradients:
    """Gradients, given what `trilinear_attention` was given and returned.

    Args:
        context: As returned, ``[batch, head, L, dv]``.
        lse: As returned, ``[batch, head, L]``.
        gradient: That of the context, ``[batch, head, L, dv]``.
        query, key, value, second_key, second_value, scale, windows: As in `trilinear_attention`.

    Raises:
        TypeError, ValueError: As `trilinear_attention`.
    """
    inputs = (query, key, value, second_key, second_value)
    found = _regard.trilinear_attention_backward(inputs, context, lse, gradient, scale, _windows(windows))
    return TrilinearGradients(*found)


def _windows(windows: tuple[int, int] | None) -> tuple[int, int] | None:
    if windows is None:
        return None
    windows = counts("windows", windows)
    if len(windows) != 2:
        raise ValueError(f"{len(windows)} windows given: expected one for the first keys and one for the second")
    return windows
