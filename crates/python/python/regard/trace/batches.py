"""The nouns of a batch, for one of its sequences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..biases import DenseBias
from ..masks import And, Blocks, DenseMask, Evaluated, Global, KeyMask, Mask, Not, Or, Padding, Prefix
from ..modify import Modify
from ..normalizers import Gumbel, Sampled


def of_batch(nouns: dict[str, Any], batch: int, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """The nouns for one sequence of a batch; None if one of them tells sequences apart by their number."""
    if shape[0] == 1:
        return nouns
    if isinstance(nouns["normalizer"], Gumbel | Sampled) or any(isinstance(bias, Modify) for bias in nouns["bias"]):
        return None
    biases = [
        DenseBias(bias.values[batch : batch + 1]) if isinstance(bias, DenseBias) and _batches(bias.values) > 1 else bias
        for bias in nouns["bias"]
    ]
    try:
        mask = nouns["mask"] and _mask_of_batch(nouns["mask"], batch)
    except LookupError:
        return None
    return {**nouns, "mask": mask, "bias": biases}


def _batches(array: Any) -> int:
    """Of how many sequences an array ``[batch, head, query, key]`` is."""
    return array.shape[0] if len(array.shape) == 4 else 1


def _mask_of_batch(mask: Mask, batch: int) -> Mask:
    """A mask for one sequence of a batch.

    Raises:
        LookupError: If it is a function of the sequence's number.
    """
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
        case Evaluated(batch=batches) if batches > 1:
            raise LookupError
        case Blocks(layout=layout) if _batches(layout) > 1:
            return replace(mask, layout=layout[one])
    return mask
