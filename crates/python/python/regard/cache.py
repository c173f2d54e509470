"""Keys and values of everything so far, for generating.

`KeyValueCache` holds sequences that grow together, `PagedCache` sequences that grow, fork and end on their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _regard
from ._noun import count, counts
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
        self._cache.truncate(count("length", length))

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


class PagedCache:
    """Keys and values of sequences of different lengths, in pages (Kwon et al. 2023).

    A sequence takes no more memory than it needs, up to a page. One that is forked shares its pages with the fork until
    either writes to them. To masks and biases, each sequence has its own number of keys: bottom-right means its own end.

    Args:
        key_heads: How many there are.
        width: Features of a key.
        value_width: Features of a value; as those of a key unless given.
        precision: What numbers are rounded to as they are appended: "float32", "float16", "bfloat16", or "int8" with a
            scale for each row.
        page: Positions of a page, a multiple of 64.

    >>> cache = regard.PagedCache(key_heads=2, width=64)
    >>> one = cache.push()
    >>> cache.append(one, key, value)
    >>> other = cache.fork(one)
    """

    def __init__(
        self, key_heads: int, width: int, value_width: int | None = None, *, precision: str = "float32", page: int = 256
    ) -> None:
        widths = count("width", width), count("value_width", width if value_width is None else value_width)
        self._cache = _regard.PagedCache(count("key_heads", key_heads), *widths, precision, count("page", page))
        self.precision = precision

    def __len__(self) -> int:
        """How many sequences there are."""
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"PagedCache(precision={self.precision!r}) of {self.lengths} positions"

    @property
    def lengths(self) -> list[int]:
        """How many positions each sequence holds."""
        return self._cache.lengths()

    @property
    def pages(self) -> int:
        """How many pages are in use; those that several sequences share count once."""
        return self._cache.pages()

    def push(self) -> int:
        """Adds an empty sequence after the others and returns its number."""
        return self._cache.push()

    def fork(self, sequence: int) -> int:
        """Adds a sequence after the others that begins as this one, and returns its number. Nothing is copied.

        Raises:
            ValueError: If there is no such sequence.
        """
        return self._cache.fork(count("sequence", sequence))

    def append(self, sequence: int, key: Any, value: Any) -> None:
        """Adds positions to a sequence: ``key`` ``[1, key head, n, d]``, ``value`` ``[1, key head, n, dv]``.

        Raises:
            TypeError, ValueError: As `attention`, or if there is no such sequence; the cache is then as it was.
        """
        self._cache.append(count("sequence", sequence), key, value)

    def truncate(self, sequence: int, length: int) -> None:
        """Forgets every position of a sequence after the first ``length``.

        Raises:
            ValueError: If there is no such sequence.
        """
        self._cache.truncate(count("sequence", sequence), count("length", length))

    def select(self, sequences: Sequence[int]) -> None:
        """Replaces all sequences by some of them, in the order given, any number of times each: to drop those that are done,
        to follow a beam. Nothing is copied.

        Raises:
            ValueError: If there is no such sequence; the cache is then as it was.
        """
        self._cache.select(counts("sequence", sequences))

    def attend(
        self,
        query: Any,
        *,
        score: Score | None = None,
        mask: Mask | Any = None,
        bias: Bias | Any | Sequence[Bias | Any] = None,
        normalizer: Normalizer | None = None,
    ) -> Attended:
        """As `attention`, each batch with the keys and values of the sequence of its number.

        Args:
            query: ``[sequence, head, L, d]``
            score, mask, bias, normalizer: As in `attention`.

        Raises:
            TypeError, ValueError: As `attention`; also if there are not as many batches as sequences.
        """
        longest = max(self.lengths, default=0)
        made = _attention(query, longest, score, mask, _biases(bias), normalizer, None)
        return Attended(*self._cache.attend(query, made))
