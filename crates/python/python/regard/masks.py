"""Masks: who may see whom?

Joined with ``&``, ``|`` and ``~``. Tiles of 64 queries and 64 keys that are hidden altogether cost nothing.

A corner says which ends belong together when there are not as many queries as keys: "bottom-right" lets the last query
stand at the last key, as when new queries meet a cache of older keys; "top-left" lets the first stand at the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from . import _regard
from ._noun import Noun, Sizes, count, counts, describe


class Mask(Noun):
    """Who may see whom."""

    def __and__(self, other: Mask) -> Mask:
        """Visible where both masks say so."""
        return And(self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: Mask) -> Mask:
        """Visible where at least one mask says so."""
        return Or(self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> Mask:
        """Visible where the mask hides."""
        return Not(self)


@dataclass(frozen=True, repr=False)
class And(Mask):
    """``first & second``"""

    first: Mask
    second: Mask

    def __repr__(self) -> str:
        return f"({self.first} & {self.second})"

    def _build(self) -> _regard.Mask | None:
        first, second = self.first._handle, self.second._handle
        return None if first is None or second is None else first & second

    def _at(self, sizes: Sizes) -> _regard.Mask:
        return self._handle or self.first._at(sizes) & self.second._at(sizes)


@dataclass(frozen=True, repr=False)
class Or(Mask):
    """``first | second``"""

    first: Mask
    second: Mask

    def __repr__(self) -> str:
        return f"({self.first} | {self.second})"

    def _build(self) -> _regard.Mask | None:
        first, second = self.first._handle, self.second._handle
        return None if first is None or second is None else first | second

    def _at(self, sizes: Sizes) -> _regard.Mask:
        return self._handle or self.first._at(sizes) | self.second._at(sizes)


@dataclass(frozen=True, repr=False)
class Not(Mask):
    """``~hidden``"""

    hidden: Mask

    def __repr__(self) -> str:
        return f"~{self.hidden}"

    def _build(self) -> _regard.Mask | None:
        return None if self.hidden._handle is None else ~self.hidden._handle

    def _at(self, sizes: Sizes) -> _regard.Mask:
        return self._handle or ~self.hidden._at(sizes)


@dataclass(frozen=True)
class Causal(Mask):
    """A query sees the keys up to where it stands."""

    corner: str = "bottom-right"

    def _build(self) -> _regard.Mask:
        return _regard.Mask.causal(self.corner)


def _reach(past: int | None, future: int | None) -> tuple[int | None, int | None]:
    return None if past is None else count("past", past), None if future is None else count("future", future)


@dataclass(frozen=True)
class Window(Mask):
    """A query sees the keys from ``past`` before to ``future`` after where it stands, both included; None is no
    limit."""

    past: int | None = None
    future: int | None = None
    corner: str = "bottom-right"

    def _build(self) -> _regard.Mask:
        return _regard.Mask.window(*_reach(self.past, self.future), self.corner)


@dataclass(frozen=True)
class Dilated(Mask):
    """A query sees every ``step``-th key, counted from where it stands: itself, up to ``past`` of them before and up to
    ``future`` after; None is no limit."""

    past: int | None = None
    future: int | None = None
    step: int = 1
    corner: str = "bottom-right"

    def _build(self) -> _regard.Mask:
        return _regard.Mask.dilated(*_reach(self.past, self.future), count("step", self.step), self.corner)


@dataclass(frozen=True)
class Global(Mask):
    """Chosen positions see everything and are seen by all: ``Window(256, 256) | Global([0])``.

    ``positions`` are those of keys, the same in every batch, or a sequence of them for each batch; a query is chosen if
    it stands at such a key.
    """

    positions: Sequence[int] | Sequence[Sequence[int]]
    corner: str = "bottom-right"

    def _build(self) -> _regard.Mask:
        positions = self.positions.tolist() if hasattr(self.positions, "tolist") else list(self.positions)
        batches = positions if positions and hasattr(positions[0], "__iter__") else [positions]
        self._set("positions", tuple(counts("positions", batch) for batch in batches))
        return _regard.Mask.global_(self.positions, self.corner)


@dataclass(frozen=True)
class BigBird(Mask):
    """Positions are cut into blocks of ``block``: those at most ``window`` blocks apart see each other, the first
    ``global_blocks`` see everything and are seen by all, and each block of queries sees ``random`` others, drawn by ``seed``
    for every head (Zaheer et al. 2020; what its base model has unless said).

    The number of keys is a multiple of the block. One that is a multiple of 64 costs least.
    """

    seed: int = 0
    block: int = 64
    window: int = 1
    global_blocks: int = 2
    random: int = 3
    corner: str = "bottom-right"

    def _build(self) -> _regard.Mask:
        names = ("seed", "block", "window", "global_blocks", "random")
        return _regard.Mask.big_bird(*(count(name, getattr(self, name)) for name in names), self.corner)


@dataclass(frozen=True)
class Padding(Mask):
    """The first ``lengths[batch]`` keys are real; nobody sees those after them."""

    lengths: Sequence[int]

    def _build(self) -> _regard.Mask:
        self._set("lengths", counts("lengths", self.lengths))
        return _regard.Mask.padding(self.lengths)


@dataclass(frozen=True)
class Prefix(Mask):
    """Every query sees the first ``lengths[batch]`` keys: ``Causal() | Prefix([12])``."""

    lengths: Sequence[int]

    def _build(self) -> _regard.Mask:
        self._set("lengths", counts("lengths", self.lengths))
        return _regard.Mask.prefix(self.lengths)


@dataclass(frozen=True)
class Documents(Mask):
    """Several documents lie end to end in one sequence; a query sees the keys of its own document only.

    Offsets are where documents begin, with the total length at the end: ``[0, 3, 8]`` is a document of three positions
    and one of five. ``keys`` are the offsets among the keys, if they differ from those among the queries.
    """

    queries: Sequence[int]
    keys: Sequence[int] | None = None

    def _build(self) -> _regard.Mask:
        self._set("queries", counts("queries", self.queries))
        self._set("keys", self.queries if self.keys is None else counts("keys", self.keys))
        return _regard.Mask.documents(self.queries, self.keys)


@dataclass(frozen=True, eq=False, repr=False)
class KeyMask(Mask):
    """A boolean for each key, ``[batch or 1, key]`` or ``[key]``, True where anyone may see it."""

    visible: Any
    __repr__ = describe

    def _build(self) -> _regard.Mask:
        return _regard.Mask.keys(_booleans(self.visible))


@dataclass(frozen=True, eq=False, repr=False)
class DenseMask(Mask):
    """A boolean for each pair, True where the query sees the key: ``[batch or 1, head or 1, query or 1, key or 1]``, or
    the last of these axes.

    ``mask=array`` means this. The array is looked at once, when the mask is built (and at each call if its axis of
    queries or keys is shared), and kept as a bit a pair, of mixed tiles only.
    """

    visible: Any
    __repr__ = describe

    def _build(self) -> _regard.Mask | None:
        visible = _booleans(self.visible)
        handle = _regard.Mask.dense(visible, None)
        return None if 1 in (1, 1, *visible.shape)[-2:] else handle

    def _at(self, sizes: Sizes) -> _regard.Mask:
        return self._handle or _regard.Mask.dense(_booleans(self.visible), sizes.pairs)


@dataclass(frozen=True, eq=False, repr=False)
class Blocks(Mask):
    """The pairs of ``queries`` and ``keys`` are cut into squares of ``side``, those at the ends perhaps smaller, and
    ``layout``, booleans ``[batch or 1, head or 1, ⌈queries / side⌉, ⌈keys / side⌉]`` or the last of these axes, says
    which of them are visible.

    A side that is a multiple of 64 costs least.
    """

    layout: Any
    queries: int
    keys: int
    side: int = 64
    __repr__ = describe

    def _build(self) -> _regard.Mask:
        sizes = count("queries", self.queries), count("keys", self.keys), count("side", self.side)
        return _regard.Mask.layout(_booleans(self.layout), *sizes)


@dataclass(frozen=True, eq=False)
class Evaluated(Mask):
    """What `mask` made of a function."""

    function: Callable[..., Any]
    queries: int
    keys: int
    batch: int = 1
    heads: int = 1

    def _build(self) -> _regard.Mask:
        shape = [count(name, getattr(self, name)) for name in ("batch", "heads", "queries", "keys")]
        keys = numpy.arange(self.keys).reshape(1, 1, 1, -1)

        def rows(batch: int, head: int, first: int, end: int) -> numpy.ndarray:
            queries = numpy.arange(first, end).reshape(1, 1, -1, 1)
            visible = self.function(numpy.full((1, 1, 1, 1), batch), numpy.full((1, 1, 1, 1), head), queries, keys)
            visible = numpy.asarray(visible)
            if visible.dtype != bool:
                raise TypeError(f"the mask's function returned {visible.dtype}: expected booleans")
            return numpy.broadcast_to(visible, (1, 1, end - first, self.keys))[0, 0]

        # Some 2²⁰ pairs at a time.
        step = max(64, (1 << 20) // max(self.keys, 1) // 64 * 64)
        return _regard.Mask.by_rows(shape, step, rows)


def mask(function: Callable[..., Any], queries: int, keys: int, batch: int = 1, heads: int = 1) -> Mask:
    """A mask by any rule, evaluated once.

    ``function(batch, head, query, key)`` is given index arrays of int64 that broadcast to ``[1, 1, some queries,
    keys]`` and returns booleans that do, too, True where the query sees the key. It is called for some rows at a time,
    so that memory stays bounded; what is kept is a bit a pair, of tiles that are neither empty nor full. ``batch=1``
    and ``heads=1`` hold for all batches and heads.

    >>> nearby = regard.mask(lambda b, h, i, j: abs(i - j) < 3 + h, queries=512, keys=512, heads=8)
    """
    return Evaluated(function, queries, keys, batch, heads)


def _booleans(visible: Any) -> Any:
    if hasattr(visible, "__array_struct__") or hasattr(visible, "__dlpack__"):
        return visible
    return numpy.asarray(visible, dtype=bool)
