"""What all nouns have in common."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy

from . import _regard


class Noun:
    """A frozen dataclass that holds a handle of the kernel's in ``_handle``."""

    _handle: Any

    def _build(self) -> Any:
        """The handle, or None for a noun that must know the sizes first."""
        raise NotImplementedError

    def _at(self, sizes: Sizes) -> Any:
        """The handle for a problem of these sizes."""
        return self._handle

    def __post_init__(self) -> None:
        """Settings that cannot be are refused here, when the noun is built."""
        self._set("_handle", self._build())

    def _set(self, name: str, value: Any) -> None:
        """Sets what a frozen dataclass settles as it is built."""
        object.__setattr__(self, name, value)

    def __getstate__(self) -> tuple:
        return tuple(getattr(self, field.name) for field in fields(self))

    def __setstate__(self, state: tuple) -> None:
        for field, value in zip(fields(self), state):
            self._set(field.name, value)
        self.__post_init__()


class Sizes:
    """The sizes of a problem, looked up by the nouns that must know them."""

    def __init__(self, query: Any, key: Any) -> None:
        """The keys, or how many there are."""
        self._query, self._key = query, key

    @property
    def heads(self) -> int:
        return _regard.shape("query", self._query)[1]

    @property
    def pairs(self) -> tuple[int, int]:
        """Queries and keys."""
        keys = self._key if isinstance(self._key, int) else _regard.shape("key", self._key)[2]
        return _regard.shape("query", self._query)[2], keys


def array(numbers: Any) -> Any:
    """What it is, if that is an array; otherwise an array of it."""
    if hasattr(numbers, "__array_struct__") or hasattr(numbers, "__dlpack__"):
        return numbers
    return numpy.asarray(numbers, dtype=numpy.float32)


def count(name: str, number: Any) -> int:
    """A whole number, 0 or more."""
    number = operator.index(number)
    if number < 0:
        raise ValueError(f"{name} is {number}: expected 0 or more")
    return number


def counts(name: str, numbers: Iterable[Any]) -> tuple[int, ...]:
    """Whole numbers, 0 or more, of a sequence or an array."""
    return tuple(count(name, number) for number in (numbers.tolist() if hasattr(numbers, "tolist") else numbers))


def describe(noun: Any) -> str:
    """The representation of a noun that holds arrays: these by their shapes."""
    values = ((field.name, getattr(noun, field.name)) for field in fields(noun))
    parts = (f"{name}={list(value.shape) if hasattr(value, 'shape') else value!r}" for name, value in values)
    return f"{type(noun).__name__}({', '.join(parts)})"
