"""Attention as one differentiable operation of PyTorch, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..biases import Bias, DenseBias
from ..masks import Mask
from ..normalizers import Normalizer
from ..operations import Attended, Dropout, _attention, _biases
from ..scores import Score

Observer = Callable[..., None]

observers: list[Observer] = []
"""Called after every `attention`, each with ``(module, query, key, value, context, lse, nouns)``: the module that attends or
None, its tensors by reference and detached, and a dict of the nouns as `regard.observe` takes them (``score``, ``mask``,
``bias``, ``normalizer``). Empty unless somebody looks, and then it costs nothing. See `observed`."""


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Calls an observer after every attention in the block; see `observers`."""
    observers.append(observer)
    try:
        yield
    finally:
        observers.remove(observer)


class _Attend(torch.autograd.Function):
    """Attention as one differentiable operation.

    What nouns learn is passed as tensors beside them, only so that autograd knows of it: the nouns hold the numbers. Biases
    that are read where they lie are saved as well, so that PyTorch refuses the backward pass if they were written to.
    """

    @staticmethod
    def forward(
        ctx: Any, made: Any, slots: tuple, lent: tuple, query: Tensor, key: Tensor, value: Tensor, *learned: Tensor
    ) -> Any:
        context, lse = made.forward(query, key, value)
        ctx.made, ctx.slots = made, slots
        ctx.save_for_backward(query, key, value, context, lse, *learned, *lent)
        ctx.mark_non_differentiable(lse)
        return context, lse

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple:
        if torch.is_grad_enabled():
            raise NotImplementedError("attention has no second derivative here: call backward without create_graph")
        query, key, value, context, lse, *learned = ctx.saved_tensors
        tensors = iter(learned)
        score, *biases, normalizer = (next(tensors) if slot else None for slot in ctx.slots)
        parameters = (score, biases, normalizer)
        *main, score, biases, normalizer = ctx.made.backward(query, key, value, context, lse, gradient, parameters)
        return None, None, None, *main, *(found for found in (score, *biases, normalizer) if found is not None)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    score: Score | None = None,
    mask: Mask | Tensor | None = None,
    bias: Bias | Tensor | Sequence[Bias | Tensor] | None = None,
    normalizer: Normalizer | None = None,
    dropout: Dropout | None = None,
    module: torch.nn.Module | None = None,
) -> Attended:
    """`regard.attention` with autograd: gradients of queries, keys and values, and of the tensors that nouns were made of
    (``Cosine.tau``, ``Bilinear.weights``, ``Additive.v``, ``DenseBias.values``, ``RelativeBuckets.table``, ``Softmax.sink``).

    A noun reads its tensor when it is built (a `DenseBias` at each call): build it anew after a step of training.

    Args:
        query: ``[batch, head, L, d]``
        key: ``[batch, key head, S, d]``; heads are a multiple of key heads.
        value: ``[batch, key head, S, dv]``
        score, mask, bias, normalizer, dropout: As in `regard.attention`.
        module: Whose attention this is, for `observers`.

    Returns:
        The context ``[batch, head, L, dv]`` and, without a gradient, each row's log-sum-exp ``[batch, head, L]``.

    Raises:
        TypeError, ValueError: As `regard.attention`.
    """
    # Asked first, since the decorator of a function that is not compiled costs as much as a small attention.
    run = _attend_uncompiled if torch.compiler.is_compiling() else _attend
    return run(query, key, value, score, mask, bias, normalizer, dropout, module)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score: Score | None,
    mask: Mask | Tensor | None,
    bias: Bias | Tensor | Sequence[Bias | Tensor] | None,
    normalizer: Normalizer | None,
    dropout: Dropout | None,
    module: torch.nn.Module | None,
) -> Attended:
    biases = _biases(bias)
    made = _attention(query, key, score, mask, biases, normalizer, dropout)
    if torch.is_grad_enabled():
        learned = [noun and noun._learned() for noun in (score, *biases, normalizer)]
        slots = tuple(isinstance(tensor, Tensor) and tensor.requires_grad for tensor in learned)
        tensors = [tensor for tensor, slot in zip(learned, slots) if slot]
        lent = tuple(
            bias.values
            for bias, slot in zip(biases, slots[1:])
            if isinstance(bias, DenseBias) and isinstance(bias.values, Tensor) and not slot
        )
    else:
        slots, tensors, lent = (), [], ()
    if tensors or (torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)):
        out = Attended(*_Attend.apply(made, slots, lent, query, key, value, *tensors))
    else:
        out = Attended(*made.forward(query, key, value))
    if observers:
        nouns = {"score": score, "mask": mask, "bias": biases, "normalizer": normalizer}
        seen = [tensor.detach() for tensor in (query, key, value, *out)]
        for observer in tuple(observers):
            observer(module, *seen, nouns)
    return out


_attend_uncompiled = torch.compiler.disable(_attend)
