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


@dataclass(frozen=True)
class Entmax(Normalizer):
    """``max(0, (α − 1) · e_ij − τ_i)^(1 / (α − 1))``, α greater than 1: from the softmax (α → 1) to `Sparsemax` (α = 2) and
    beyond (Peters et al. 2019). The greater α, the fewer keys have weight. `Entmax15` and `Sparsemax` are faster where they
    will do."""

    alpha: float

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.entmax(self.alpha)


@dataclass(frozen=True)
class Hard(Normalizer):
    """1 for the key with the greatest score, of equal ones the first; 0 for all others.

    Backward, scores get the gradient that a softmax in its place would give them (straight-through, Bengio et al. 2013).
    What is kept of each row is the log-sum-exp.
    """

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.hard()


@dataclass(frozen=True)
class Gumbel(Normalizer):
    """``softmax_j((e_ij + g_ij) / T)`` with Gumbel noise g, a function of seed, batch, head, query and key (Jang et al.
    2017). ``hard`` gives the greatest of them all weight, with the gradients of the soft weights.

    Give each step of training a seed of its own. The lower the temperature T, the nearer to a choice, and the larger the
    variance of gradients.
    """

    temperature: float = 1.0
    seed: int = 0
    hard: bool = False

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.gumbel(self.temperature, count("seed", self.seed), self.hard)


@dataclass(frozen=True)
class Sampled(Normalizer):
    """1 for one key, drawn with the probability ``p_ij = softmax_j(e_ij)``; 0 for all others (Xu et al. 2015).

    The same seed draws the same keys again; give each step of training one of its own. Backward, scores get the score
    function ``(dc_i · c_i) · (a_ij − p_ij)``, values the gradient of the draw. For a loss that is not linear in the context,
    attend a second time with values of one feature that is 1: the same keys are drawn, and the context's gradient is what
    REINFORCE says the draw is to answer for (Williams 1992), its cost less a baseline.
    """

    seed: int = 0

    def _build(self) -> _regard.Normalizer:
        return _regard.Normalizer.sampled(count("seed", self.seed))
