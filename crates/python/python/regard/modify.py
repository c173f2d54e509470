"""Python functions on the way from scores to weights, for what no noun does.

They are called once a tile of up to 64 queries and 64 keys, by one of the kernel's threads at a time. That costs some 60
microseconds a tile, and what the function does with 4,096 numbers; the kernel itself needs about 15. A rule that looks at
positions and not at scores is better given to `regard.mask` or `regard.bias`, which ask it once. There is no gradient.

Arrays are numpy's, of float32 (positions: int64), whatever the library of the queries. Numbers of hidden pairs mean nothing,
and what is made of them is not used. An exception comes out of the call that attended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _regard
from .biases import Bias
from .normalizers import Normalizer


@dataclass(frozen=True)
class Modify(Bias):
    """``function(score, batch, head, query, key)`` makes other scores: the ``score_mod`` of FlexAttention.

    Scores are ``[1, 1, query, key]``, of some tile, and positions are index arrays that broadcast to that; what is returned
    must, too.

    >>> squash = regard.Modify(lambda score, b, h, i, j: numpy.arctan(score) - 0.1 * abs(i - j))
    """

    function: Callable[..., Any]

    def _build(self) -> _regard.Bias:
        return _regard.modify(self.function)


@dataclass(frozen=True)
class Reweight(Normalizer):
    """``function(weight)`` makes other weights of a softmax's: the ``prob_mod`` of ONNX's FlexAttention.

    Weights are ``[1, 1, query, key]``, of some tile; what is returned broadcasts to that, and need not sum to 1. One product
    of queries and keys more than a softmax, to know each row's log-sum-exp beforehand; that is what is kept.

    >>> sharp = regard.Reweight(lambda weight: numpy.where(weight < 0.01, 0, weight))
    """

    function: Callable[[Any], Any]

    def _build(self) -> _regard.Normalizer:
        return _regard.reweight(self.function)
