"""Attention, its gradients, and a look at its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import _regard
from ._noun import Sizes, count
from .biases import Bias, DenseBias
from .masks import DenseMask, Mask
from .normalizers import Normalizer
from .probes import Probe
from .scores import Score


class Attended(NamedTuple):
    """What attention gives."""

    context: Any
    """``[batch, head, query, value feature]``, in the queries' type."""
    lse: Any
    """Each row's log-sum-exp ``[batch, head, query]``, or what another normalizer keeps in its place, in float32; −inf
    for a query that sees no key."""


class Gradients(NamedTuple):
    """What a gradient of the context means for everything that led to it; each like what it is the gradient of."""

    query: Any
    key: Any
    """Summed over the query heads that share a key head."""
    value: Any
    """Summed as the keys."""
    score: Any
    """Of ``Cosine.tau``, ``Bilinear.weights`` or ``Additive.v``; None for a score that learns nothing."""
    biases: list[Any]
    """For each bias, of ``DenseBias.values`` or ``RelativeBuckets.table``; None for one that learns nothing."""
    normalizer: Any
    """Of ``Softmax.sink``; None without one."""


@dataclass(frozen=True)
class Dropout:
    """Drops weights with this probability and scales the others up.

    Which ones is a function of the seed and the weight's batch, head, query and key: the backward pass, given the same
    noun, drops the same.
    """

    probability: float
    seed: int = 0


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    score: Score | None = None,
    mask: Mask | Any = None,
    bias: Bias | Any | Sequence[Bias | Any] = None,
    normalizer: Normalizer | None = None,
    dropout: Dropout | None = None,
) -> Attended:
    """Attends: every query looks at every key that it may see and carries home a mixture of values.

    Args:
        query: ``[batch, head, L, d]``
        key: ``[batch, key head, S, d]``; heads are a multiple of key heads, and consecutive ones share one.
        value: ``[batch, key head, S, dv]``
        score: How alike are a query and a key? `ScaledDot` unless given.
        mask: Who may see whom? A `Mask`, or an array of booleans (see `DenseMask`).
        bias: What is added to scores? A `Bias`, an array of numbers (see `DenseBias`), or a sequence of those, which
            apply in order.
        normalizer: How do scores become weights? `Softmax` unless given.
        dropout: Weights to be dropped, in training.

    Returns:
        The context and each row's log-sum-exp, from which `observe` and `attention_backward` make any weight again.

    Raises:
        TypeError: If something is no array of float32, float16 or bfloat16 (or of booleans).
        ValueError: If shapes do not fit each other or a noun, or an array is not in the processor's memory.
    """
    made = _attention(query, key, score, mask, _biases(bias), normalizer, dropout)
    return Attended(*made.forward(query, key, value))


def attention_backward(
    query: Any,
    key: Any,
    value: Any,
    context: Any,
    lse: Any,
    gradient: Any,
    *,
    score: Score | None = None,
    mask: Mask | Any = None,
    bias: Bias | Any | Sequence[Bias | Any] = None,
    normalizer: Normalizer | None = None,
    dropout: Dropout | None = None,
) -> Gradients:
    """Gradients, given what `attention` was given and returned.

    The weights are made again, tile by tile.

    Args:
        context: As returned, ``[batch, head, L, dv]``.
        lse: As returned, ``[batch, head, L]``.
        gradient: That of the context, ``[batch, head, L, dv]``.
        query, key, value, score, mask, bias, normalizer, dropout: As in `attention`.

    Raises:
        TypeError, ValueError: As `attention`.
    """
    biases = _biases(bias)
    made = _attention(query, key, score, mask, biases, normalizer, dropout)
    parameters = (
        score and score._learned(),
        [bias._learned() for bias in biases],
        normalizer and normalizer._learned(),
    )
    return Gradients(*made.backward(query, key, value, context, lse, gradient, parameters))


def observe(
    query: Any,
    key: Any,
    lse: Any,
    probes: Sequence[Probe],
    *,
    score: Score | None = None,
    mask: Mask | Any = None,
    bias: Bias | Any | Sequence[Bias | Any] = None,
    normalizer: Normalizer | None = None,
) -> Sequence[Probe]:
    """Shows the exact weights of an attention, a tile at a time, to every probe, in memory that grows with L and S and
    not with L·S. Dropout is not applied.

    Args:
        lse: As `attention` returned, ``[batch, head, L]``.
        probes: To be filled.
        query, key, score, mask, bias, normalizer: As in `attention`.

    Returns:
        The probes.

    Raises:
        TypeError, ValueError: As `attention`.
    """
    made = _attention(query, key, score, mask, _biases(bias), normalizer, None)
    for probe, results in zip(probes, made.observe(query, key, lse, [probe._start() for probe in probes])):
        probe._fill(results)
    return probes


def _attention(
    query: Any,
    key: Any,
    score: Score | None,
    mask: Mask | Any,
    biases: list[Bias],
    normalizer: Normalizer | None,
    dropout: Dropout | None,
) -> _regard.Attention:
    """Puts the kernel's handles together."""
    given = [("score", score, Score), ("normalizer", normalizer, Normalizer), ("dropout", dropout, Dropout)]
    for name, noun, kind in given:
        if noun is not None and not isinstance(noun, kind):
            raise TypeError(f"{name} is a {type(noun).__name__}: expected a {kind.__name__}")
    sizes = Sizes(query, key)
    if mask is not None and not isinstance(mask, Mask):
        mask = DenseMask(_array("mask", mask, "a Mask or an array of booleans"))
    return _regard.Attention(
        score and score._handle,
        mask and mask._at(sizes),
        [bias._at(sizes) for bias in biases],
        normalizer and normalizer._handle,
        dropout and (dropout.probability, count("seed", dropout.seed)),
    )


def _biases(bias: Bias | Any | Sequence[Bias | Any]) -> list[Bias]:
    """The biases in order."""
    given = [] if bias is None else bias if isinstance(bias, list | tuple) else [bias]
    expected = "a Bias, an array of numbers, or a sequence of them"
    return [bias if isinstance(bias, Bias) else DenseBias(_array("bias", bias, expected)) for bias in given]


def _array(name: str, given: Any, expected: str) -> Any:
    if hasattr(given, "__array_struct__") or hasattr(given, "__dlpack__"):
        return given
    raise TypeError(f"{name} is a {type(given).__name__}: expected {expected}")
