"""Masks and biases as a trace file writes them: rules that all hold, and what is done to scores."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy

from ..biases import Alibi, Bias, SoftCap
from ..masks import And, Causal, Documents, KeyMask, Mask, Padding, Window
from ..normalizers import Softmax
from ..scores import Dot, ScaledDot

if TYPE_CHECKING:
    from .site import Site


def written(site: Site, batch: int) -> tuple[float, str, str] | None:
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
    rules = written_rules(nouns.get("mask"), batch, site.shape)
    biases = [_written_bias(bias, site.shape[1]) for bias in nouns.get("bias") or ()]
    if rules is None or None in biases:
        return None
    return scale, json.dumps(rules), json.dumps(biases)


def written_rules(mask: Mask | None, batch: int, shape: tuple[int, ...]) -> list | None:
    """A mask as a list of rules that all hold; None if it is none."""
    match mask:
        case None:
            return []
        case And(first=first, second=second):
            both = written_rules(first, batch, shape), written_rules(second, batch, shape)
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


def nouns(found: dict[str, Any]) -> dict[str, Any]:
    """The nouns of a site, from its evidence in a file."""
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
