"""Attention inside PyTorch models: with autograd, and in the place of PyTorch's own.

`attention` is `regard.attention` with gradients, also of what nouns learn::

    table = torch.nn.Parameter(torch.zeros(32, heads))
    out = regard.torch.attention(q, k, v, mask=regard.Causal(), bias=regard.RelativeBuckets(table))
    out.context.sum().backward()          # q.grad, k.grad, v.grad, table.grad

`scaled_dot_product_attention` takes what ``torch.nn.functional.scaled_dot_product_attention`` takes, and `replace_sdpa` routes
that one here for code which is already written. Tensors are read where they lie, with any strides; they are float32, float16
or bfloat16 and in the processor's memory.

Under ``torch.compile`` a call is a graph break: what is around it is compiled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .biases import Bias, DenseBias
from .masks import Causal, DenseMask, Mask
from .normalizers import Normalizer
from .operations import Attended, Dropout, _attention, _biases
from .scores import ScaledDot, Score

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

    What nouns learn is passed as tensors beside them, only so that autograd knows of it: the nouns hold the numbers.
    """

    @staticmethod
    def forward(ctx: Any, made: Any, slots: tuple, query: Tensor, key: Tensor, value: Tensor, *learned: Tensor) -> Any:
        context, lse = made.forward(query, key, value)
        ctx.made, ctx.slots = made, slots
        ctx.save_for_backward(query, key, value, context, lse, *learned)
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
        return None, None, *main, *(found for found in (score, *biases, normalizer) if found is not None)


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

    A noun reads its tensor when it is built: build it anew after a step of training.

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
    else:
        slots, tensors = (), []
    if tensors or (torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)):
        out = Attended(*_Attend.apply(made, slots, query, key, value, *tensors))
    else:
        out = Attended(*made.forward(query, key, value))
    if observers:
        nouns = {"score": score, "mask": mask, "bias": biases, "normalizer": normalizer}
        seen = [tensor.detach() for tensor in (query, key, value, *out)]
        for observer in tuple(observers):
            observer(module, *seen, nouns)
    return out


_attend_uncompiled = torch.compiler.disable(_attend)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``torch.nn.functional.scaled_dot_product_attention``, argument by argument.

    Args:
        query: ``[..., head, L, d]``, or ``[L, d]``. Any axes may come first, and broadcast against those of keys and values.
        key: ``[..., head, S, d]``
        value: ``[..., head, S, dv]``
        attn_mask: Broadcasts to ``[..., head, L, S]``. Booleans are True where a query sees a key; numbers are added to scores,
            and have a gradient.
        dropout_p: The part of weights to be dropped, less than 1, always: pass 0 when a model does not train. Which ones follows
            ``torch.manual_seed``, and is not what PyTorch would drop.
        is_causal: The first query sees the first key (the corner is top-left, also if L and S differ); not with ``attn_mask``.
        scale: What products are multiplied with; 1/√d unless given.
        enable_gqa: Heads of the query may be a multiple of those of keys and values.

    Returns:
        ``[..., head, L, dv]``; zeros for a query that sees no key.

    Raises:
        TypeError, ValueError: As `regard.attention`: for tensors of float64 or of another device, too, which PyTorch's takes.
    """
    if is_causal and attn_mask is not None:
        raise ValueError("attn_mask and is_causal exclude each other: give a mask that is causal itself")
    arguments = {"query": query, "key": key, "value": value}
    for name, tensor in arguments.items():
        if tensor.ndim < 2:
            raise ValueError(f"{name} is {tensor.ndim}-dimensional: expected [..., position, feature]")
    shared = 3 if enable_gqa else 2
    shapes = [tensor.shape[:-shared] for tensor in arguments.values()]
    if query.ndim == 4 and shapes[0] == shapes[1] == shapes[2]:
        leading, four = shapes[0], [query, key, value]
    else:
        try:
            leading = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            given = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in arguments.items())
            raise ValueError(f"the axes before the last {shared} do not broadcast: {given}") from None
        four = [_four_axes(tensor.expand(*leading, *tensor.shape[-shared:])) for tensor in arguments.values()]
    mask, bias = Causal(corner="top-left") if is_causal else None, None
    if attn_mask is not None:
        given = _four_axes_of_mask(attn_mask, (*leading, *query.shape[-shared:-2]))
        if given.dtype == torch.bool:
            mask = DenseMask(given)
        else:
            bias = DenseBias(given)
    dropout = Dropout(dropout_p, draw_seed()) if dropout_p else None
    score = None if scale is None else ScaledDot(scale)
    context = attention(*four, score=score, mask=mask, bias=bias, dropout=dropout).context
    return context.reshape(*leading, *query.shape[-shared:-1], value.shape[-1])


def draw_seed() -> int:
    """A seed for `Dropout` from PyTorch's generator, so that ``torch.manual_seed`` settles what is dropped."""
    return int(torch.randint(1 << 62, ()))


def _four_axes(tensor: Tensor) -> Tensor:
    """``[batch, head, position, feature]``: axes are put before those given, or all before the heads made one."""
    if tensor.ndim <= 4:
        return tensor[(None,) * (4 - tensor.ndim)]
    return tensor.flatten(0, -4)


def _four_axes_of_mask(mask: Tensor, leading: tuple[int, ...]) -> Tensor:
    """A mask for queries that have these axes before positions and features."""
    if mask.ndim > len(leading) + 2:
        raise ValueError(f"attn_mask has the shape {list(mask.shape)}: expected one that broadcasts to {len(leading) + 2} axes")
    if mask.ndim <= 4 and len(leading) <= 2:
        return mask
    heads = mask.shape[-3] if mask.ndim > 2 else 1
    return mask.expand(*leading[:-1], heads, *(1,) * (2 - mask.ndim), *mask.shape[-2:]).flatten(0, -4)


@contextmanager
def replace_sdpa() -> Iterator[None]:
    """Routes ``torch.nn.functional.scaled_dot_product_attention`` to `scaled_dot_product_attention`::

        with regard.torch.replace_sdpa():
            model(batch)

    It holds for all threads, and for code that looks the function up as it calls it: not for a name that was imported before.
    PyTorch's own still does what Regard does not: tensors of another device than the processor (also meta), of another type
    than float32, float16 or bfloat16 (also float64), nested and sparse ones, and subclasses of tensors. And
    ``torch.nn.MultiheadAttention`` has, without gradients, a path past the function, which
    ``torch.backends.mha.set_fastpath_enabled(False)`` closes.
    """
    functional = torch.nn.functional
    own = functional.scaled_dot_product_attention

    @functools.wraps(own)
    def routed(*args: Any, **kwargs: Any) -> Tensor:
        tensors = [given for given in (*args, *kwargs.values()) if isinstance(given, Tensor)]
        return (scaled_dot_product_attention if all(map(_taken, tensors)) else own)(*args, **kwargs)

    functional.scaled_dot_product_attention = routed
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = own


_TYPES = {torch.float32, torch.float16, torch.bfloat16, torch.bool}


def _taken(tensor: Tensor) -> bool:
    """Whether Regard can read a tensor."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided and not tensor.is_nested
    return plain and tensor.device.type == "cpu" and tensor.dtype in _TYPES
