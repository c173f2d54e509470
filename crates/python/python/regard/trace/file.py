"""Traces and the kernel's trace files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy

from .. import _regard
from ..probes import Pyramid, Weights
from .rules import nouns, written
from .site import Site

if TYPE_CHECKING:
    from .trace import Trace

#: Pairs of which weights are stored where queries and keys do not tell them.
_STORED = 1 << 26


def to_file(trace: Trace, batch: int, pixels: int | None = None) -> _regard.Trace:
    """One sequence, as files and pictures know it; with ``pixels``, what a picture of so many needs."""
    made = _regard.Trace(trace.title, trace.model)
    axes = {}
    for name in trace.axes:
        axes[name] = (made.add_axis(name, trace.tokens(name, batch)), len(trace.tokens(name, batch)))
    for site in trace.sites:
        (queries, rows), (keys, columns) = axes[site.queries], axes[site.keys]
        place = (site.name, site.layer, queries, keys)
        rules = None if site.states is None else written(site, batch)
        if site.noted:
            noted = numpy.asarray(site.noted_by(Pyramid).max)[batch]
            if noted.shape[1:] != (rows, columns):
                place = (*place[:2], _short(made, axes, site.queries, noted.shape[1]), _short(made, axes, site.keys, noted.shape[2]))
            made.add_weights(*place, numpy.ascontiguousarray(noted))
        elif rules is not None:
            query, key, lse = (_plain(part[batch]) for part in site.states)
            made.add_states(*place, [query, key, lse], *rules)
        else:
            cells = site.shape[1] * rows * columns
            if pixels is not None and max(rows, columns) > pixels:
                (probe,) = site.show(batch, None, [Pyramid(pixels)])
                seen = numpy.asarray(probe.max)[0]
                place = (*place[:2], _short(made, axes, site.queries, seen.shape[1]), _short(made, axes, site.keys, seen.shape[2]))
                made.add_weights(*place, numpy.ascontiguousarray(seen))
                continue
            if cells > _STORED:
                raise ValueError(
                    f"{site.name}, layer {site.layer}: {cells} weights are too many to be stored, and a file cannot say what "
                    f"{site.nouns} computes"
                )
            (probe,) = site.show(batch, None, [Weights()])
            made.add_weights(*place, numpy.clip(numpy.asarray(probe.values)[0], 0.0, 1.0))
    return made


def sites(file: _regard.Trace) -> list[Site]:
    """What a file holds."""
    axes, found = file.axes(), []
    for number, (name, layer, queries, keys, heads) in enumerate(file.sites()):
        evidence = file.evidence(number, numpy.empty(0, numpy.float32))
        shape = (1, heads, len(axes[queries][1]), len(axes[keys][1]))
        site = Site(name, layer, axes[queries][0], axes[keys][0], shape)
        if "weights" in evidence:
            site.weights = evidence["weights"][None]
        else:
            site.states = tuple(evidence[part][None] for part in ("query", "key", "lse"))
            site.nouns = nouns(evidence)
        found.append(site)
    return found


def write(path: str | os.PathLike | None, content: bytes) -> None:
    """Writes a file, whole or not at all; none without a path."""
    if path is None:
        return
    path = os.fspath(path)
    part = f"{path}.{os.getpid()}.tmp"
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def _plain(states: Any) -> Any:
    """numpy, contiguous, in single precision."""
    if hasattr(states, "detach"):
        states = states.detach().float().numpy()
    return numpy.ascontiguousarray(states, dtype=numpy.float32)


def _short(made: _regard.Trace, axes: dict, name: str, pixels: int) -> int:
    """A sequence of as many positions as a picture has, each called after its first token."""
    number, length = axes[name]
    if length == pixels:
        return number
    key = (name, pixels)
    if key not in axes:
        tokens = made.axes()[number][1]
        first = [tokens[-(-pixel * length // pixels)] for pixel in range(pixels)]
        axes[key] = (made.add_axis(f"{name} (each first of {-(-length // pixels)})", first), pixels)
    return axes[key][0]
