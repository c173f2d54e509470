"""Rotary position embedding."""

from __future__ import annotations

from typing import Any

import numpy

from . import _regard
from ._noun import counts


def rotate(x: Any, cos: Any, sin: Any, positions: Any = None, *, interleaved: bool = False) -> Any:
    """Turns pairs of features by angles that grow with the position, so that the product of a query and a key depends on
    their distance (Su et al. 2021): ``(a, b)`` becomes ``(a·cos − b·sin, a·sin + b·cos)``.

    Args:
        x: Queries or keys, ``[batch, head, position, d]``.
        cos: Cosines, ``[position, w/2]``, ``[batch, position, w/2]`` or ``[batch or 1, head or 1, position, w/2]``: the first w
            features are turned, the others copied.
        sin: Sines, as the cosines.
        positions: Whole numbers, ``[position]`` or ``[batch, position]``: then ``cos`` and ``sin`` are tables, and each says
            which of their rows to take.
        interleaved: Pairs are features 2i and 2i + 1, instead of i and i + w/2.

    Returns:
        An array like ``x``.

    Raises:
        TypeError: If something is no array of float32, float16 or bfloat16.
        ValueError: If shapes do not fit each other, or a position lies outside the table.
    """
    if positions is not None:
        batch, _, length, _ = _regard.shape("x", x)
        positions = counts("positions", numpy.broadcast_to(numpy.asarray(positions), (batch, length)).ravel())
    return _regard.rotate(x, _four(cos), _four(sin), positions, interleaved)


def _four(table: Any) -> Any:
    """A table for every batch and head."""
    axes = len(getattr(table, "shape", ()))
    return table[None, None] if axes == 2 else table[:, None] if axes == 3 else table
