"""Traces: what attended to what while a model read something.

A `Trace` is filled by `regard.look`, or loaded from a file. It holds queries, keys and log-sum-exps by reference, from which
any weight is made when it is asked for: memory grows with the length of the text, not with its square.
"""

from __future__ import annotations

import html
import json
import math
import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from . import _regard
from .biases import Alibi, Bias, DenseBias, SoftCap
from .masks import And, Blocks, Causal, DenseMask, Documents, Global, KeyMask, Mask, Not, Or, Padding, Prefix, Window
from .normalizers import Softmax
from .operations import observe
from .probes import Entropy, Probe, Pyramid, Received, TopKeys, Weights
from .scores import Dot, ScaledDot

#: Weights that a page in a notebook holds at most.
_PAGE = 1 << 21
#: Pairs of which weights are stored where queries and keys do not tell them.
_STORED = 1 << 26


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
            noted = _noted(site, Pyramid)
            if queries is not None or keys is not None:
                raise ValueError('only probes were kept: look with keep="states" for parts of a map')
            return _of_heads(site, numpy.asarray(getattr(noted, pool))[batch], head)
        rows, columns = (len(part) if part is not None else n for part, n in zip((queries, keys), site.shape[2:]))
        probe: Probe = Weights() if pixels is None or max(rows, columns) <= pixels else Pyramid(pixels)
        probe = self._see(site, batch, head, [probe], queries, keys)[0]
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
            probe = _noted(site, TopKeys)
            keys, weights = (numpy.asarray(found)[batch, head, query] for found in (probe.keys, probe.weights))
        else:
            (probe,) = self._see(site, batch, head, [TopKeys(k)], range(query, query + 1), None)
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
                (probe,) = self._see(site, batch, None, [Weights()], rows, None)
                attended += share[first : rows.stop] @ numpy.asarray(probe.values)[0].mean(axis=0)
            share = 0.5 * (share + attended)
        return share

    def save(self, path: str | os.PathLike, *, batch: int = 0) -> None:
        """Writes one sequence of the batch to a trace file, which `load` and ``regard view`` read, whole or not at all.

        Where a file cannot say what was computed (a dense mask or bias, another score or normalizer), it holds the weights
        themselves, if they are at most 2²⁶.
        """
        self._file(batch).save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Trace:
        """Reads a trace file.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is no trace, is damaged, or was written by a newer version.
        """
        file = _regard.Trace.load(os.fspath(path))
        trace = cls(file.title, file.model)
        axes = file.axes()
        trace.axes = {name: [tokens] for name, tokens in axes}
        for number, (name, layer, queries, keys, heads) in enumerate(file.sites()):
            found = file.evidence(number, numpy.empty(0, numpy.float32))
            shape = (1, heads, len(axes[queries][1]), len(axes[keys][1]))
            site = Site(name, layer, axes[queries][0], axes[keys][0], shape)
            if "weights" in found:
                site.weights = found["weights"][None]
            else:
                site.states = tuple(found[part][None] for part in ("query", "key", "lse"))
                site.nouns = _nouns(found)
            trace.sites.append(site)
        return trace

    def html(self, path: str | os.PathLike | None = None, *, batch: int = 0, pixels: int | None = None) -> str:
        """One page to explore in, which needs no network: written to a file if there is a path, and returned. Sequences of more
        than ``pixels`` tokens are shrunk to so many (256 unless given, or fewer if there are many heads)."""
        heads = sum(site.shape[1] for site in self.sites)
        pixels = pixels or max(16, min(256, math.isqrt(_PAGE // max(heads, 1))))
        page = self._file(batch, pixels).html(pixels)
        _write(path, page.encode())
        return page

    def svg(self, path: str | os.PathLike | None, layer: int, head: int | None = None, *, name: str | None = None, batch: int = 0) -> str:
        """A figure of one head, or of the mean of all, as a vector picture: written to a file if there is a path, and returned."""
        figure = self._picture(batch, layer, name).svg(0, head, 256)
        _write(path, figure.encode())
        return figure

    def png(self, path: str | os.PathLike | None, layer: int, head: int | None = None, *, name: str | None = None, batch: int = 0) -> bytes:
        """As `svg`, as pixels."""
        figure = bytes(self._picture(batch, layer, name).png(0, head, 256))
        _write(path, figure)
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
            return _of_heads(site, numpy.asarray(_noted(site, type(probe)).values)[batch], head)
        (probe,) = self._see(site, batch, head, [probe], None, None)
        return numpy.asarray(probe.values)[0].mean(axis=0)

    def _see(self, site: Site, batch: int, head: int | None, probes: list[Probe], queries: range | None, keys: range | None) -> Any:
        """Shows one sequence and one head, or all, to probes."""
        if not 0 <= batch < site.shape[0]:
            raise IndexError(f"batch is {batch}: expected less than {site.shape[0]}")
        if head is not None and not 0 <= head < site.shape[1]:
            raise IndexError(f"head is {head}: expected less than {site.shape[1]}")
        if site.states is None:
            # Scores of ln a with a log-sum-exp of 0 are the weights a: the probes see what was stored.
            chosen = slice(None) if head is None else slice(head, head + 1)
            weights = numpy.asarray(site.weights)[batch : batch + 1, chosen]
            if len(probes) == 1 and isinstance(probes[0], Weights):
                probes[0].values = weights[:, :, _within(queries, weights.shape[2]), _within(keys, weights.shape[3])]
                return probes
            with numpy.errstate(divide="ignore"):
                scores = numpy.log(weights, dtype=numpy.float32)
            rows, columns = weights.shape[2:]
            nothing = [numpy.zeros((1, weights.shape[1], length, 1), numpy.float32) for length in (rows, columns)]
            lse = numpy.zeros(weights.shape[:3], numpy.float32)
            return observe(*nothing, lse, probes, bias=scores, queries=queries, keys=keys)
        query, key, lse = (part[batch : batch + 1] for part in site.states)
        nouns = _of_batch(site.nouns, batch, site.shape)
        if isinstance(nouns["normalizer"], Softmax):
            # What sinks took is in the log-sum-exps.
            nouns = {**nouns, "normalizer": replace(nouns["normalizer"], sink=None)}
        if head is not None:
            if _alike(nouns):
                shared = query.shape[1] // key.shape[1]
                query, lse = query[:, head : head + 1], lse[:, head : head + 1]
                key = key[:, head // shared : head // shared + 1]
            else:
                # The nouns tell heads apart: all are computed, and one is taken.
                observe(query, key, lse, probes, **nouns, queries=queries, keys=keys)
                for probe in probes:
                    _take(probe, head)
                return probes
        return observe(query, key, lse, probes, **nouns, queries=queries, keys=keys)

    def _picture(self, batch: int, layer: int, name: str | None) -> _regard.Trace:
        site = self.site(layer, name)
        alone = Trace(self.title, self.model)
        alone.axes, alone.sites = self.axes, [site]
        return alone._file(batch, 256)

    def _file(self, batch: int, pixels: int | None = None) -> _regard.Trace:
        """One sequence, as files and pictures know it; with ``pixels``, what a picture of so many needs."""
        made = _regard.Trace(self.title, self.model)
        axes = {}
        for name in self.axes:
            axes[name] = (made.add_axis(name, self.tokens(name, batch)), len(self.tokens(name, batch)))
        for site in self.sites:
            (queries, rows), (keys, columns) = axes[site.queries], axes[site.keys]
            place = (site.name, site.layer, queries, keys)
            written = None if site.states is None else _written(site, batch)
            if site.noted:
                noted = numpy.asarray(_noted(site, Pyramid).max)[batch]
                if noted.shape[1:] != (rows, columns):
                    place = (*place[:2], _short(made, axes, site.queries, noted.shape[1]), _short(made, axes, site.keys, noted.shape[2]))
                made.add_weights(*place, numpy.ascontiguousarray(noted))
            elif written is not None:
                query, key, lse = (_plain(part[batch]) for part in site.states)
                made.add_states(*place, [query, key, lse], *written)
            else:
                cells = site.shape[1] * rows * columns
                if pixels is not None and max(rows, columns) > pixels:
                    (probe,) = self._see(site, batch, None, [Pyramid(pixels)], None, None)
                    seen = numpy.asarray(probe.max)[0]
                    place = (*place[:2], _short(made, axes, site.queries, seen.shape[1]), _short(made, axes, site.keys, seen.shape[2]))
                    made.add_weights(*place, numpy.ascontiguousarray(seen))
                    continue
                if cells > _STORED:
                    raise ValueError(
                        f"{site.name}, layer {site.layer}: {cells} weights are too many to be stored, and a file cannot say what "
                        f"{site.nouns} computes"
                    )
                (probe,) = self._see(site, batch, None, [Weights()], None, None)
                made.add_weights(*place, numpy.clip(numpy.asarray(probe.values)[0], 0.0, 1.0))
        return made


def _within(part: range | None, length: int) -> slice:
    part = range(length) if part is None else part
    if not 0 <= part.start <= part.stop <= length:
        raise ValueError(f"{part} is not within the {length} positions there are")
    return slice(part.start, part.stop)


def _noted(site: Site, kind: type) -> Any:
    for probe in site.noted:
        if isinstance(probe, kind):
            return probe
    raise ValueError(f"no {kind.__name__} was kept of {site.name}, layer {site.layer}")


def _of_heads(site: Site, values: Any, head: int | None) -> Any:
    return values.mean(axis=0) if head is None else values[range(site.shape[1])[head]]


def _take(probe: Probe, head: int) -> None:
    for name in ("values", "mean", "max", "keys", "weights"):
        values = getattr(probe, name, None)
        if values is not None:
            setattr(probe, name, values[:, head : head + 1])


def _alike(nouns: dict[str, Any]) -> bool:
    """Whether the nouns treat all heads alike."""
    plain = isinstance(nouns["score"], Dot | ScaledDot | None) and isinstance(nouns["normalizer"], Softmax | None)
    biases = all(isinstance(bias, SoftCap) for bias in nouns["bias"])
    return plain and biases and _written_rules(nouns["mask"], 0, (1, 1, 0, 0)) is not None


def _of_batch(nouns: dict[str, Any], batch: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """The nouns for one sequence of a batch."""
    if shape[0] == 1:
        return nouns
    biases = [
        DenseBias(bias.values[batch : batch + 1]) if isinstance(bias, DenseBias) and _batches(bias.values) > 1 else bias
        for bias in nouns["bias"]
    ]
    return {**nouns, "mask": nouns["mask"] and _mask_of_batch(nouns["mask"], batch), "bias": biases}


def _batches(array: Any) -> int:
    """Of how many sequences an array ``[batch, head, query, key]`` is."""
    return array.shape[0] if len(array.shape) == 4 else 1


def _mask_of_batch(mask: Mask, batch: int) -> Mask:
    """A mask for one sequence of a batch."""
    one = slice(batch, batch + 1)
    match mask:
        case And(first=first, second=second) | Or(first=first, second=second):
            return replace(mask, first=_mask_of_batch(first, batch), second=_mask_of_batch(second, batch))
        case Not(hidden=hidden):
            return Not(_mask_of_batch(hidden, batch))
        case Padding(lengths=lengths) | Prefix(lengths=lengths) if len(lengths) > 1:
            return replace(mask, lengths=lengths[one])
        case Global(positions=positions) if len(positions) > 1:
            return replace(mask, positions=positions[one])
        case KeyMask(visible=visible) if len(visible.shape) == 2 and visible.shape[0] > 1:
            return KeyMask(visible[one])
        case DenseMask(visible=visible) if _batches(visible) > 1:
            return DenseMask(visible[one])
        case Blocks(layout=layout) if _batches(layout) > 1:
            return replace(mask, layout=layout[one])
    return mask


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


def _written(site: Site, batch: int) -> tuple[float, str, str] | None:
    """Scale, rules and biases as a file writes them; None if it cannot."""
    nouns = site.nouns
    score, normalizer = nouns.get("score"), nouns.get("normalizer")
    width = site.states[0].shape[3]
    if isinstance(score, Dot):
        scale = 1.0
    elif score is None or isinstance(score, ScaledDot):
        scale = 1.0 / math.sqrt(max(width, 1)) if score is None or score.scale is None else float(score.scale)
    else:
        return None
    if not (normalizer is None or (isinstance(normalizer, Softmax) and normalizer.temperature in (None, 1.0))):
        return None
    rules = _written_rules(nouns.get("mask"), batch, site.shape)
    biases = [_written_bias(bias, site.shape[1]) for bias in nouns.get("bias") or ()]
    if rules is None or None in biases:
        return None
    return scale, json.dumps(rules), json.dumps(biases)


def _written_rules(mask: Mask | None, batch: int, shape: tuple[int, ...]) -> list | None:
    """A mask as a list of rules that all hold; None if it is none."""
    match mask:
        case None:
            return []
        case And(first=first, second=second):
            both = _written_rules(first, batch, shape), _written_rules(second, batch, shape)
            return None if None in both else both[0] + both[1]
        case Causal() if mask.corner == "bottom-right" or shape[2] == shape[3]:
            return [{"window": {"past": None, "future": 0}}]
        case Window() if mask.corner == "bottom-right" or shape[2] == shape[3]:
            return [{"window": {"past": mask.past, "future": mask.future}}]
        case Padding():
            return [{"keys": [[0, int(mask.lengths[batch if len(mask.lengths) > 1 else 0])]]}]
        case KeyMask():
            visible = numpy.asarray(mask.visible).reshape(-1, numpy.asarray(mask.visible).shape[-1])
            row = visible[batch if len(visible) > 1 else 0]
            edges = numpy.flatnonzero(numpy.diff(numpy.concatenate([[0], row, [0]]).astype(numpy.int8)))
            return [{"keys": edges.reshape(-1, 2).tolist()}]
        case Documents() if mask.keys == mask.queries:
            return [{"documents": list(mask.queries)}]
    return None


def _written_bias(bias: Bias, heads: int) -> dict | None:
    if isinstance(bias, SoftCap):
        return {"soft_cap": float(bias.cap)}
    if isinstance(bias, Alibi) and (bias.slopes is not None or heads & (heads - 1) == 0):
        slopes = (2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)) if bias.slopes is None else bias.slopes
        return {"alibi": [float(slope) for slope in slopes]}
    return None


def _nouns(found: dict[str, Any]) -> dict[str, Any]:
    """The nouns of a site in a file."""
    masks: list[Mask] = []
    keys = found["key"].shape[1]
    for rule in json.loads(found["rules"]):
        ((kind, given),) = rule.items()
        if kind == "window":
            masks.append(Causal() if given == {"past": None, "future": 0} else Window(given["past"], given["future"]))
        elif kind == "keys":
            visible = numpy.zeros(keys, bool)
            for first, end in given:
                visible[first:end] = True
            masks.append(KeyMask(visible))
        else:
            masks.append(Documents(given))
    mask = None
    for other in masks:
        mask = other if mask is None else mask & other
    biases: list[Bias] = []
    for bias in json.loads(found["biases"]):
        ((kind, given),) = bias.items()
        biases.append(SoftCap(given) if kind == "soft_cap" else Alibi(given))
    return {"score": ScaledDot(found["scale"]), "mask": mask, "bias": biases, "normalizer": None}


def _write(path: str | os.PathLike | None, content: bytes) -> None:
    """Whole or not at all."""
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
