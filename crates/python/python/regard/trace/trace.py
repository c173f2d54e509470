"""What attended to what, and what can be asked of it."""

from __future__ import annotations

import html
import math
import os
from typing import Any

import numpy

from .. import _regard
from ..probes import Entropy, Probe, Pyramid, Received, TopKeys, Weights
from .file import sites, to_file, write
from .site import Site

#: Weights that a page in a notebook holds at most.
_PAGE = 1 << 21


class Trace:
    """What attended to what; see `regard.look`.

    Sites are chosen by layer, from 0, and by name where a layer has more than one attention. Heads count from 0; ``head=None``
    is the mean of all. ``batch`` says which sequence of the batch.
    """

    def __init__(self, title: str = "", model: str = "") -> None:
        self.title, self.model = title, model
        self.sites: list[Site] = []
        self.axes: dict[str, list[list[str]]] = {}

    def __repr__(self) -> str:
        names = dict.fromkeys(site.name for site in self.sites)
        kinds = (f"{name}: {sum(site.name == name for site in self.sites)} layers" for name in names)
        lengths = (f"{len(tokens[0])} {name}" for name, tokens in self.axes.items() if tokens)
        return f"Trace({', '.join([*lengths, *kinds]) or 'empty'})"

    def tokens(self, axis: str, batch: int = 0) -> list[str]:
        """The tokens of a sequence: "tokens" of a model that reads, "source" and "target" of one that translates."""
        if axis not in self.axes:
            raise KeyError(f"no sequence {axis!r}: expected one of {', '.join(self.axes) or 'none yet'}")
        rows = self.axes[axis]
        return rows[batch if len(rows) > 1 else 0]

    def site(self, layer: int, name: str | None = None) -> Site:
        """The attention of a layer, and of this name if the layer has several.

        Raises:
            IndexError: If there is none.
            ValueError: If there are several.
        """
        found = [site for site in self.sites if site.layer == layer and name in (None, site.name)]
        if not found:
            layers = sorted({site.layer for site in self.sites if name in (None, site.name)})
            raise IndexError(f"layer {layer} of {name or 'any site'} was not recorded: expected one of {layers}")
        if len(found) > 1 and name is None:
            raise ValueError(f"layer {layer} has several sites: name one of {[site.name for site in found]}")
        return found[0]

    def map(
        self,
        layer: int,
        head: int | None = None,
        *,
        name: str | None = None,
        batch: int = 0,
        queries: range | None = None,
        keys: range | None = None,
        pixels: int | None = 256,
        pool: str = "max",
    ) -> Any:
        """A head's map, or a part of it, ``[query, key]``: exact weights where it has at most ``pixels`` along a side, and
        otherwise the greatest (``pool="max"``) or the mean (``pool="mean"``) of the weights under each pixel. ``pixels=None``
        never pools."""
        if pool not in ("max", "mean"):
            raise ValueError(f"pool is {pool!r}: expected 'max' or 'mean'")
        site = self.site(layer, name)
        if site.noted:
            noted = site.noted_by(Pyramid)
            if queries is not None or keys is not None:
                raise ValueError('only probes were kept: look with keep="states" for parts of a map')
            return site.of_heads(numpy.asarray(getattr(noted, pool))[batch], head)
        rows, columns = (len(part) if part is not None else n for part, n in zip((queries, keys), site.shape[2:]))
        probe: Probe = Weights() if pixels is None or max(rows, columns) <= pixels else Pyramid(pixels)
        probe = site.show(batch, head, [probe], queries, keys)[0]
        seen = probe.values if isinstance(probe, Weights) else getattr(probe, pool)
        return numpy.asarray(seen)[0].mean(axis=0)

    def weight(self, layer: int, head: int, query: int, key: int, *, name: str | None = None, batch: int = 0) -> float:
        """The exact weight that a query gives to a key."""
        one = (range(query, query + 1), range(key, key + 1))
        return float(self.map(layer, head, name=name, batch=batch, queries=one[0], keys=one[1])[0, 0])

    def entropy(self, layer: int, head: int | None = None, *, name: str | None = None, batch: int = 0) -> Any:
        """How widely each query looks, in nats, ``[query]``: 0 for one key, ln n for n alike."""
        return self._one(layer, head, name, batch, Entropy())

    def received(self, layer: int, head: int | None = None, *, name: str | None = None, batch: int = 0) -> Any:
        """The weight that each key receives from all queries, ``[key]``."""
        return self._one(layer, head, name, batch, Received())

    def top(
        self, layer: int, head: int, query: int, k: int = 8, *, name: str | None = None, batch: int = 0
    ) -> list[tuple[str, int, float]]:
        """The keys that a query looks at most: token, position and weight, strongest first."""
        site = self.site(layer, name)
        query = range(site.shape[2])[query]
        if site.noted:
            probe = site.noted_by(TopKeys)
            keys, weights = (numpy.asarray(found)[batch, head, query] for found in (probe.keys, probe.weights))
        else:
            (probe,) = site.show(batch, head, [TopKeys(k)], range(query, query + 1))
            keys, weights = (numpy.asarray(found)[0, 0, 0] for found in (probe.keys, probe.weights))
        tokens = self.tokens(site.keys, batch)
        return [(tokens[key], int(key), float(weight)) for key, weight in zip(keys[:k], weights) if key >= 0]

    def rollout(self, query: int = -1, *, name: str | None = None, batch: int = 0) -> Any:
        """How much of a position's state in the last layer comes from each position of the input, ``[key]``, if half of every
        layer's output is what it attends to and half passes by: Abnar and Zuidema 2020, arXiv:2005.00928.

        Rows of weights are made as they are needed, so any length will do, in time that follows its square.
        """
        chosen = [site for site in self.sites if site.queries == site.keys and name in (None, site.name)]
        if len({site.name for site in chosen}) != 1:
            raise ValueError(f"rollout follows one kind of self-attention: name one of {sorted({site.name for site in self.sites})}")
        length = chosen[0].shape[2]
        share = numpy.zeros(length)
        share[query] = 1.0
        for site in sorted(chosen, key=lambda site: -site.layer):
            attended = numpy.zeros(length)
            for first in range(0, length, 64):
                rows = range(first, min(first + 64, length))
                if not share[first : rows.stop].any():
                    continue
                (probe,) = site.show(batch, None, [Weights()], rows)
                attended += share[first : rows.stop] @ numpy.asarray(probe.values)[0].mean(axis=0)
            share = 0.5 * (share + attended)
        return share

    def save(self, path: str | os.PathLike, *, batch: int = 0) -> None:
        """Writes one sequence of the batch to a trace file, which `load` and ``regard view`` read, whole or not at all.

        Where a file cannot say what was computed (a dense mask or bias, another score or normalizer), it holds the weights
        themselves, if they are at most 2²⁶.
        """
        to_file(self, batch).save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Trace:
        """Reads a trace file.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is no trace, is damaged, or was written by a newer version.
        """
        file = _regard.Trace.load(os.fspath(path))
        trace = cls(file.title, file.model)
        trace.axes = {name: [tokens] for name, tokens in file.axes()}
        trace.sites = sites(file)
        return trace

    def html(self, path: str | os.PathLike | None = None, *, batch: int = 0, pixels: int | None = None) -> str:
        """One page to explore in, which needs no network: written to a file if there is a path, and returned. Sequences of more
        than ``pixels`` tokens are shrunk to so many (256 unless given, or fewer if there are many heads)."""
        heads = sum(site.shape[1] for site in self.sites)
        pixels = pixels or max(16, min(256, math.isqrt(_PAGE // max(heads, 1))))
        page = to_file(self, batch, pixels).html(pixels)
        write(path, page.encode())
        return page

    def svg(self, path: str | os.PathLike | None, layer: int, head: int | None = None, *, name: str | None = None, batch: int = 0) -> str:
        """A figure of one head, or of the mean of all, as a vector picture: written to a file if there is a path, and returned."""
        figure = to_file(self._alone(layer, name), batch, 256).svg(0, head, 256)
        write(path, figure.encode())
        return figure

    def png(self, path: str | os.PathLike | None, layer: int, head: int | None = None, *, name: str | None = None, batch: int = 0) -> bytes:
        """As `svg`, as pixels: two for each of the SVG's, or fewer where a side would have more than 3,200."""
        figure = bytes(to_file(self._alone(layer, name), batch, 256).png(0, head, 256))
        write(path, figure)
        return figure

    def _repr_html_(self) -> str:
        """The page, in a frame of its own."""
        if not self.sites:
            return html.escape(repr(self))
        page = html.escape(self.html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:640px;border:0" sandbox="allow-scripts"></iframe>'

    def _one(self, layer: int, head: int | None, name: str | None, batch: int, probe: Probe) -> Any:
        site = self.site(layer, name)
        if site.noted:
            return site.of_heads(numpy.asarray(site.noted_by(type(probe)).values)[batch], head)
        (probe,) = site.show(batch, head, [probe])
        return numpy.asarray(probe.values)[0].mean(axis=0)

    def _alone(self, layer: int, name: str | None) -> Trace:
        """A trace of one site."""
        alone = Trace(self.title, self.model)
        alone.axes, alone.sites = self.axes, [self.site(layer, name)]
        return alone
