"""The passes of a generation, put together as if all had been read at once."""

from __future__ import annotations

from typing import Any

from .biases import Alibi, Bias, SoftCap
from .masks import And, Causal, KeyMask, Mask, Padding, Window
from .trace import Site


def grown(site: Site, query: Any, key: Any, lse: Any, nouns: dict[str, Any]) -> Site | None:
    """A site that another pass has made longer; None if this is not its next step, or its nouns do not say what was hidden."""
    import torch

    if site.states is None or query.shape[:2] != site.states[0].shape[:2] or not _alike(site.nouns["bias"], nouns["bias"]):
        return None
    rules = _rules(site.nouns["mask"]), _rules(nouns["mask"])
    if None in rules:
        return None
    queries, before = site.states[0].shape[2], site.states[1].shape[2]
    steps, keys = query.shape[2], key.shape[2]
    # Of what was there before, so much is among the keys; the rest has slid out of a cache that keeps a window.
    kept = keys - steps
    mask: Mask | None = None
    visible = _visible(rules[1], keys)
    across = keys == before and key.data_ptr() == site.states[1].data_ptr()
    if not across:
        if queries != before or not 0 <= kept <= before:
            return None
        if not (_causal(rules[0], queries, before) and _causal(rules[1], steps, keys)):
            return None
        # A window that only one of them has must hide nothing of the other.
        own, other = ({(rule.past, rule.future) for rule in some if isinstance(rule, Window)} for some in rules)
        if any(past is not None and past < before for past, _ in own ^ other):
            return None
        mask = Causal()
        if kept < before:
            reach = [rule.past for rule in rules[1] if isinstance(rule, Window) and rule.past is not None]
            if not reach or min(reach) > kept or not torch.equal(key[:, :, :kept], site.states[1][:, :, before - kept :]):
                return None
            visible = _joined(_visible(rules[0], before), visible, before, keys, kept)
        # A copy: a cache may write over its memory.
        key = torch.cat([site.states[1], key[:, :, kept:]], dim=2)
    windows = dict.fromkeys(Window(rule.past, rule.future) for rule in rules[0] + rules[1] if isinstance(rule, Window))
    for rule in [*windows, *([] if visible is None else [KeyMask(visible)])]:
        mask = rule if mask is None else mask & rule
    states = (torch.cat([site.states[0], query], dim=2), key, torch.cat([site.states[2], lse], dim=2))
    shape = (*site.shape[:2], queries + steps, key.shape[2])
    return Site(site.name, site.layer, "", "", shape, states=states, nouns={**nouns, "mask": mask})


def _alike(before: list[Bias], after: list[Bias]) -> bool:
    """Whether biases are the same, and know of positions only how far they are apart."""
    return len(before) == len(after) and all(
        (isinstance(one, SoftCap) and one == other)
        or (isinstance(one, Alibi) and isinstance(other, Alibi) and one.slopes is other.slopes)
        for one, other in zip(before, after)
    )


def _rules(mask: Mask | None) -> list[Mask] | None:
    """The masks that all hold, of those that are still true when a sequence grows."""
    match mask:
        case None:
            return []
        case And(first=first, second=second):
            both = _rules(first), _rules(second)
            return None if None in both else both[0] + both[1]
        case Causal() | Window() | KeyMask() | Padding():
            return [mask]
    return None


def _causal(rules: list[Mask], queries: int, keys: int) -> bool:
    """Whether no query sees a key after it, if queries end where the keys do. That is where they stand as a sequence grows."""
    placed = [rule for rule in rules if isinstance(rule, Causal | Window)]
    if queries != keys and any(rule.corner != "bottom-right" for rule in placed):
        return False
    return queries == 1 or any(isinstance(rule, Causal) or rule.future == 0 for rule in placed)


def _visible(rules: list[Mask], keys: int) -> Any:
    """Which keys are real, ``[batch or 1, key]``; None if all are."""
    import torch

    found = None
    for rule in rules:
        if isinstance(rule, Padding):
            real = torch.arange(keys) < torch.tensor(rule.lengths)[:, None]
        elif isinstance(rule, KeyMask):
            real = torch.as_tensor(rule.visible).reshape(-1, keys)
        else:
            continue
        found = real if found is None else found & real
    return found


def _joined(first: Any, second: Any, before: int, keys: int, kept: int) -> Any:
    """Which keys are real of those before and those that are new."""
    import torch

    if first is None and second is None:
        return None
    first = torch.ones(1, before, dtype=torch.bool) if first is None else first
    second = torch.ones(1, keys, dtype=torch.bool) if second is None else second
    batch = max(len(first), len(second))
    return torch.cat([first.expand(batch, -1), second.expand(batch, -1)[:, kept:]], dim=1)
