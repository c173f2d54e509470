"""Scores: how alike are a query and a key?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _regard
from ._noun import Noun, array, describe


class Score(Noun):
    """How alike are a query and a key?"""

    def _learned(self) -> Any:
        """The array whose numbers have a gradient, or None."""
        return None


@dataclass(frozen=True)
class Dot(Score):
    """``q · k``"""

    def _build(self) -> _regard.Score:
        return _regard.Score.dot()


@dataclass(frozen=True)
class ScaledDot(Score):
    """``scale · (q · k)``; the scale is ``1/√d`` unless given, d being the width of a query."""

    scale: float | None = None

    def _build(self) -> _regard.Score:
        return _regard.Score.scaled_dot(self.scale)


@dataclass(frozen=True)
class Distance(Score):
    """``−scale · ‖q − k‖²``: the nearer, the more alike (Kim et al. 2021); the scale is ``1/√d`` unless given."""

    scale: float | None = None

    def _build(self) -> _regard.Score:
        return _regard.Score.distance(self.scale)


@dataclass(frozen=True, eq=False, repr=False)
class Cosine(Score):
    """``τ · (q / ‖q‖) · (k / ‖k‖)`` with a learned τ, ``[1]`` for all heads or ``[head]`` for each.

    A vector of length 0 is alike to nothing: its scores are 0.
    """

    tau: Any
    __repr__ = describe

    def _build(self) -> _regard.Score:
        return _regard.Score.cosine(array(self.tau))

    def _learned(self) -> Any:
        return array(self.tau)


@dataclass(frozen=True, eq=False, repr=False)
class Bilinear(Score):
    """``qᵀ W k`` with learned weights W, ``[query feature, key feature]`` or ``[head, query feature, key feature]``.

    Queries and keys may differ in width.
    """

    weights: Any
    __repr__ = describe

    def _build(self) -> _regard.Score:
        return _regard.Score.bilinear(array(self.weights))

    def _learned(self) -> Any:
        return array(self.weights)


@dataclass(frozen=True, eq=False, repr=False)
class Additive(Score):
    """``Σ_f v_f · tanh(q_f + k_f)`` with a learned v, ``[feature]`` or ``[head, feature]`` (Bahdanau et al. 2015)."""

    v: Any
    __repr__ = describe

    def _build(self) -> _regard.Score:
        return _regard.Score.additive(array(self.v))

    def _learned(self) -> Any:
        return array(self.v)
