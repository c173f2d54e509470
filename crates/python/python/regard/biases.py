"""Biases: what is added to scores, or reshapes them, before they are normalised?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from . import _regard
from ._noun import Noun, Sizes, array, count, describe


class Bias(Noun):
    """What is added to scores, or reshapes them, before they are normalised."""

    def _learned(self) -> Any:
        """The array whose numbers have a gradient, or None."""
        return None


@dataclass(frozen=True, eq=False, repr=False)
class Alibi(Bias):
    """``-slope_h · |i + S − L − j|``: the distance between query and key, aligned bottom-right (Press et al. 2022).

    ``slopes`` are ``[head]``; the paper's unless given.
    """

    slopes: Any = None
    __repr__ = describe

    def _build(self) -> _regard.Bias | None:
        return None if self.slopes is None else _regard.Bias.alibi_slopes(array(self.slopes))

    def _at(self, sizes: Sizes) -> _regard.Bias:
        return self._handle or _regard.Bias.alibi(sizes.heads)


@dataclass(frozen=True, eq=False, repr=False)
class RelativeBuckets(Bias):
    """A learned number for each bucket of distances and each head, ``table`` ``[bucket, head]``, as in T5 (Raffel et
    al. 2020).

    Near distances have a bucket each, farther ones share buckets that widen logarithmically up to ``max_distance``. If
    ``bidirectional``, half of the buckets are for keys after the query. Positions are aligned bottom-right.
    """

    table: Any
    bidirectional: bool = True
    max_distance: int = 128
    __repr__ = describe

    def _build(self) -> _regard.Bias:
        distance = count("max_distance", self.max_distance)
        return _regard.Bias.relative_buckets(array(self.table), self.bidirectional, distance)

    def _learned(self) -> Any:
        return array(self.table)


@dataclass(frozen=True)
class SoftCap(Bias):
    """``cap · tanh(score / cap)``: reshapes what came before it, so that no score leaves (−cap, cap), as in Gemma 2."""

    cap: float

    def _build(self) -> _regard.Bias:
        return _regard.Bias.soft_cap(self.cap)


@dataclass(frozen=True, eq=False, repr=False)
class DenseBias(Bias):
    """A learned number for each pair, ``[batch or 1, head or 1, query or 1, key or 1]``, or the last of these axes.

    ``bias=array`` means this. −inf hides a pair. The array is not copied: each call reads it where it lies, as it is then.
    (Only a gradient takes a copy, beside the gradient itself.)
    """

    values: Any
    __repr__ = describe

    def _build(self) -> _regard.Bias:
        return _regard.Bias.dense(array(self.values))

    def _learned(self) -> Any:
        return array(self.values)


def bias(function: Callable[..., Any], queries: int, keys: int, batch: int = 1, heads: int = 1) -> DenseBias:
    """A bias by any rule, evaluated once.

    ``function(batch, head, query, key)`` is given index arrays of int64 that broadcast to ``[1, 1, some queries,
    keys]`` and returns numbers that do, too. What is kept are all ``batch · heads · queries · keys`` of them, in
    float32. ``batch=1`` and ``heads=1`` hold for all batches and heads.

    >>> lean = regard.bias(lambda b, h, i, j: -0.1 * abs(i - j), queries=512, keys=512)
    """
    shape = count("batch", batch), count("heads", heads), count("queries", queries), count("keys", keys)
    values = numpy.empty(shape, numpy.float32)
    key = numpy.arange(keys).reshape(1, 1, 1, -1)
    # Some 2²⁰ pairs at a time.
    step = max(1, (1 << 20) // max(keys, 1))
    for place in numpy.ndindex(batch, heads):
        at = [numpy.full((1, 1, 1, 1), index) for index in place]
        for first in range(0, queries, step):
            query = numpy.arange(first, min(first + step, queries)).reshape(1, 1, -1, 1)
            rows = numpy.broadcast_to(function(*at, query, key), (1, 1, query.size, keys))
            values[place][first : first + step] = rows
    return DenseBias(values)
