"""One attention of a trace, and how its weights are shown to probes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from ..biases import SoftCap
from ..normalizers import Softmax
from ..operations import observe
from ..probes import Probe, Weights
from ..scores import Dot, ScaledDot
from .batches import of_batch
from .rules import written_rules


@dataclass
class Site:
    """One attention: a layer of one kind."""

    name: str
    """Which attention: "encoder.layer.attention.self". Layers of one kind share the name."""
    layer: int
    """From 0."""
    queries: str
    """Name of the sequence that attends, see `Trace.tokens`."""
    keys: str
    """Name of the sequence that is attended to."""
    shape: tuple[int, int, int, int]
    """``[batch, head, query, key]``"""
    states: tuple[Any, Any, Any] | None = field(default=None, repr=False)
    """Queries, keys and log-sum-exps."""
    nouns: dict[str, Any] = field(default_factory=dict, repr=False)
    """``score``, ``mask``, ``bias`` and ``normalizer``, as `regard.observe` takes them."""
    weights: Any = field(default=None, repr=False)
    """``[batch, head, query, key]`` where those are all that is known."""
    noted: tuple[Probe, ...] = field(default=(), repr=False)
    """What was noted, if only probes were kept."""

    def noted_by(self, kind: type) -> Any:
        """The probe of this kind that was kept.

        Raises:
            ValueError: If there is none.
        """
        for probe in self.noted:
            if isinstance(probe, kind):
                return probe
        raise ValueError(f"no {kind.__name__} was kept of {self.name}, layer {self.layer}")

    def of_heads(self, values: Any, head: int | None) -> Any:
        """One head of ``[head, …]``, or the mean of all."""
        return values.mean(axis=0) if head is None else values[range(self.shape[1])[head]]

    def show(
        self, batch: int, head: int | None, probes: list[Probe], queries: range | None = None, keys: range | None = None
    ) -> list[Probe]:
        """Shows one sequence and one head, or all heads, to probes."""
        if not 0 <= batch < self.shape[0]:
            raise IndexError(f"batch is {batch}: expected less than {self.shape[0]}")
        if head is not None and not 0 <= head < self.shape[1]:
            raise IndexError(f"head is {head}: expected less than {self.shape[1]}")
        if self.states is None:
            return self._show_weights(batch, head, probes, queries, keys)
        nouns = dict(self.nouns)
        if isinstance(nouns["normalizer"], Softmax):
            # What sinks took is in the log-sum-exps.
            nouns["normalizer"] = replace(nouns["normalizer"], sink=None)
        query, key, lse = self.states
        one = of_batch(nouns, batch, self.shape)
        if one is not None:
            query, key, lse = (part[batch : batch + 1] for part in self.states)
            nouns, batch = one, 0
        if head is not None and one is not None and _alike(nouns):
            shared = query.shape[1] // key.shape[1]
            query, lse = query[:, head : head + 1], lse[:, head : head + 1]
            key, head = key[:, head // shared : head // shared + 1], None
        # Where nouns tell heads or sequences apart, all are computed, and one is taken.
        observe(query, key, lse, probes, **nouns, queries=queries, keys=keys)
        for probe in probes:
            _take(probe, batch, head)
        return probes

    def _show_weights(
        self, batch: int, head: int | None, probes: list[Probe], queries: range | None, keys: range | None
    ) -> list[Probe]:
        # Scores of ln a with a log-sum-exp of 0 are the weights a: the probes see what was stored.
        chosen = slice(None) if head is None else slice(head, head + 1)
        weights = numpy.asarray(self.weights)[batch : batch + 1, chosen]
        if len(probes) == 1 and isinstance(probes[0], Weights):
            probes[0].values = weights[:, :, _within(queries, weights.shape[2]), _within(keys, weights.shape[3])]
            return probes
        with numpy.errstate(divide="ignore"):
            scores = numpy.log(weights, dtype=numpy.float32)
        rows, columns = weights.shape[2:]
        nothing = [numpy.zeros((1, weights.shape[1], length, 1), numpy.float32) for length in (rows, columns)]
        lse = numpy.zeros(weights.shape[:3], numpy.float32)
        return observe(*nothing, lse, probes, bias=scores, queries=queries, keys=keys)


def _within(part: range | None, length: int) -> slice:
    part = range(length) if part is None else part
    if not 0 <= part.start <= part.stop <= length:
        raise ValueError(f"{part} is not within the {length} positions there are")
    return slice(part.start, part.stop)


def _take(probe: Probe, batch: int, head: int | None) -> None:
    """Leaves one sequence, and one head or all, of what a probe has seen."""
    heads = slice(None) if head is None else slice(head, head + 1)
    for name in ("values", "mean", "max", "keys", "weights"):
        values = getattr(probe, name, None)
        if values is not None:
            setattr(probe, name, values[batch : batch + 1, heads])


def _alike(nouns: dict[str, Any]) -> bool:
    """Whether the nouns treat all heads alike."""
    plain = isinstance(nouns["score"], Dot | ScaledDot | None) and isinstance(nouns["normalizer"], Softmax | None)
    biases = all(isinstance(bias, SoftCap) for bias in nouns["bias"])
    return plain and biases and written_rules(nouns["mask"], 0, (1, 1, 0, 0)) is not None
