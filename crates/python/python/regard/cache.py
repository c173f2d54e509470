"""Keys and values of everything so far, for generating."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _regard
from .biases import Bias
from .masks import Mask
from .normalizers import Normalizer
from .operations import Attended, _attention, _biases
from .scores import Score


class KeyValueCache:
    """Keys and values of sequences that grow together, ``[batch, key head, position, feature]``.

    The sizes are those of what is appended first. Room for positions doubles when it runs out, so that appending costs
    the same on average however long the cache grows.

    Args:
        precision: What numbers are rounded to as they are appended: "float32", "float16", "bfloat16", or "int8" with a
            scale for each row.
    """

    def __init__(self, precision: str = "float32") -> None:
        self._cache = _regard.KeyValueCache(precision)
        self.precision = precision

    def __len__(self) -> int:
        """How many positions are held."""
        return len(self._cache)

    def __repr__(self) -> str:
        return f"KeyValueCache(precision={self.precision!r}) of {len(self)} positions"

    def append(self, key: Any, value: Any) -> None:
        """Adds positions after those held: ``key`` ``[batch, key head, n, d]``, ``value`` ``[batch, key head, n, dv]``.

        Raises:
            TypeError, ValueError: As `attention`; the cache is then as it was.
        """
        self._cache.append(key, value)

    def truncate(self, length: int) -> None:
        """Forgets every position after the first ``length``."""
        self._cache.truncate(length)

    def attend(
        self,
        query: Any,
        *,
        score: Score | None = None,
        mask: Mask | Any = None,
        bias: Bias | Any | Sequence[Bias | Any] = None,
        normalizer: Normalizer | None = None,
    ) -> Attended:
        """As `attention`, with the keys and values held. Few queries, as when a text is generated, are attended with at
        the speed of memory.

        Args:
            query: ``[batch, head, L, d]``
            score, mask, bias, normalizer: As in `attention`.

        Raises:
            TypeError, ValueError: As `attention`; also if nothing was ever appended.
        """
        made = _attention(query, len(self), score, mask, _biases(bias), normalizer, None)
        return Attended(*self._cache.attend(query, made))
