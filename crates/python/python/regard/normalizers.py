"""Normalizers: how scores become weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _regard
from ._noun import Noun, array, count, describe


class Normalizer(Noun):
    """How scores become weights.

    What it keeps of each row, from which any weight can be made again, is the ``lse`` of an attention.
    """

    def _learned(self) -> Any:
        """The array whose numbers have a gradient, or None."""
        return None


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Normalizer):
    """``exp(e_ij / T - lse_i)``, with an optional learned sink, ``[head]``: one more logit a head that takes weight and
    gives no value.

    The log-sum-exp runs over the scores divided by the temperature T, and includes the sink.
    """

    temperature: float = 1.0
    sink: Any = None
    __repr__ = describe

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.softmax(self.temperature, self._learned())

    def _learned(self) -> Any:
        return None if self.sink is None else array(self.sink)


@dataclass(frozen=True)
class Sigmoid(Normalizer):
    """``σ(e_ij + b)``, with ``b = −ln S`` unless given, so that a row of small scores sums to about 1.

    S counts all keys, hidden ones too. Where it changes between training and use, give the bias.
    """

    bias: float | None = None

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.sigmoid(self.bias)


@dataclass(frozen=True)
class TopK(Normalizer):
    """A softmax over each row's k greatest scores; of equal ones the earlier keys count. All other weights are 0."""

    k: int

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.top_k(count("k", self.k))


@dataclass(frozen=True)
class Sparsemax(Normalizer):
    """``max(0, e_ij − τ_i)``: the point of the simplex nearest to the scores (Martins and Astudillo 2016)."""

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.sparsemax()


@dataclass(frozen=True)
class Entmax15(Normalizer):
    """``max(0, e_ij / 2 − τ_i)²``: smooth as the softmax, and 0 where scores are low (Peters et al. 2019)."""

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.entmax15()
