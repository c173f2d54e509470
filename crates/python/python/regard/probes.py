"""Probes: what do we note on the way?

A probe is filled by `regard.observe`; until then what it notes is None. Arrays are of the queries' library, float32
unless said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import _regard
from ._noun import count, counts


class Probe:
    """Notes something about the weights of an attention, without their matrix ever being held."""

    def _start(self) -> _regard.Probe:
        """What the kernel is asked for."""
        raise NotImplementedError

    def _fill(self, results: list[Any]) -> None:
        """What the kernel has seen."""
        (self.values,) = results


@dataclass
class Weights(Probe):
    """Every weight, ``values`` ``[batch, head, query, key]``, of all heads or of those given; up to 2²⁸ numbers."""

    heads: tuple[int, ...] | None = None
    values: Any = field(default=None, init=False, repr=False, compare=False)

    def _start(self) -> _regard.Probe:
        return _regard.Probe.weights(None if self.heads is None else counts("heads", self.heads))


@dataclass
class Scores(Probe):
    """What the weights are made of: the scores after the first ``biases`` of the biases (0: what the score alone gives), or
    after all biases and the mask, −inf where hidden; ``values`` ``[batch, head, query, key]``, up to 2²⁸ numbers."""

    biases: int | None = None
    values: Any = field(default=None, init=False, repr=False, compare=False)

    def _start(self) -> _regard.Probe:
        return _regard.Probe.scores(None if self.biases is None else count("biases", self.biases))


@dataclass
class Entropy(Probe):
    """The entropy of each row in nats, ``values`` ``[batch, head, query]``: 0 where a query looks at one key, ln n
    where it looks at n alike."""

    values: Any = field(default=None, init=False, repr=False, compare=False)

    def _start(self) -> _regard.Probe:
        return _regard.Probe.entropy()


@dataclass
class TopKeys(Probe):
    """The k strongest keys of each query, strongest first: ``keys`` (int64) and ``weights`` ``[batch, head, query,
    k]``.

    There are no more than there are keys. Where fewer have weight, the others are key −1 and weight 0.
    """

    k: int
    keys: Any = field(default=None, init=False, repr=False, compare=False)
    weights: Any = field(default=None, init=False, repr=False, compare=False)

    def _start(self) -> _regard.Probe:
        return _regard.Probe.top_keys(count("k", self.k))

    def _fill(self, results: list[Any]) -> None:
        self.keys, self.weights = results


@dataclass
class Received(Probe):
    """The weight that each key receives from all queries, ``values`` ``[batch, head, key]``."""

    values: Any = field(default=None, init=False, repr=False, compare=False)

    def _start(self) -> _regard.Probe:
        return _regard.Probe.received()


@dataclass
class Pyramid(Probe):
    """Each head's map, shrunk to at most ``side`` × ``side`` pixels: the ``mean`` of the weights under a pixel and the
    greatest, ``max``, ``[batch, head, pixel of queries, pixel of keys]``.

    Pixel p of n shows the positions from ``⌈p · length / n⌉`` to ``⌈(p + 1) · length / n⌉``.
    """

    side: int
    mean: Any = field(default=None, init=False, repr=False, compare=False)
    max: Any = field(default=None, init=False, repr=False, compare=False)

    def _start(self) -> _regard.Probe:
        return _regard.Probe.pyramid(count("side", self.side))

    def _fill(self, results: list[Any]) -> None:
        self.mean, self.max = results
