"""Attention for models of Hugging Face: importing this registers the attention implementation "regard"::

    import regard.transformers
    model = AutoModel.from_pretrained(path, attn_implementation="regard")

It serves every model that hands its attention over to an implementation, for inference and training: cached generation,
padding, packed sequences, sliding windows, soft caps, sinks, shared heads, cross-attention, relative biases, dropout. Models
are to be on the CPU, in float32, float16 or bfloat16.

Masks stay nouns: a causal mask, a window, padding and packed sequences take no memory that grows with the square of the
length. Another mask that the library can state as a rule is evaluated once a forward pass, a few rows at a time.

A query that sees no key, such as one of padding on the left, gets zeros (where "eager" gives the mean of all values).

What cannot be routed is refused: a model that keeps its attention to itself but takes the masks made here, continuous
batching (a paged cache), and returned weights, ``output_attentions=True``, for which see `regard.torch.observers`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, prepare_padding_mask, sdpa_mask
from transformers.utils.import_utils import is_tracing

from .biases import DenseBias, SoftCap
from .masks import And, Causal, DenseMask, Documents, KeyMask, Mask, Or, Padding, Window, mask
from .normalizers import Softmax
from .operations import Dropout
from .scores import ScaledDot
from .torch import attention, draw_seed


def attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What modules of transformers call to attend.

    Args:
        module: The one that attends.
        query: ``[batch, head, L, d]``
        key, value: ``[batch, key head, S, d]`` and ``[batch, key head, S, dv]``
        attention_mask: What `attention_mask` made, or a tensor that broadcasts to ``[batch, head, L, S]``, of booleans or of
            numbers that are added. Without one, a module that is causal (its attribute ``is_causal``, unless given) sees the
            past, or as much of it as is in the ``sliding_window``, which otherwise is part of the mask.
        scaling: What products are multiplied with; 1/√d unless given.
        dropout: The part of weights to be dropped.
        softcap: Scores are kept within this.
        s_aux: A sink for each head, ``[head]``.
        position_bias: Added to scores, ``[batch or 1, head, L, S]``.
        others: What other implementations need; refused if it changes what is computed.

    Returns:
        The context ``[batch, L, head, dv]``, and None for the weights.

    Raises:
        ValueError, TypeError: As `regard.attention`, and for what cannot be routed.
    """
    for name, instead in _REFUSED.items():
        if others.get(name) is not None and others[name] is not False:
            raise ValueError(f'attention "regard" takes no {name}: {instead}')
    biases = [] if softcap is None else [SoftCap(softcap)]
    noun = None
    if isinstance(attention_mask, MaskTensor):
        if attention_mask.shape[-1] != key.shape[2]:
            raise ValueError(f"attention_mask is for {attention_mask.shape[-1]} keys: expected {key.shape[2]}, as many as there are")
        noun, keys = attention_mask.noun, attention_mask.keys
        key, value = key[:, :, :keys], value[:, :, :keys]
        position_bias = position_bias if position_bias is None else position_bias[..., :keys]
    elif attention_mask is not None:
        given = attention_mask[..., : key.shape[2]]
        if given.dtype == torch.bool:
            noun = DenseMask(given)
        else:
            biases.append(DenseBias(given))
    elif query.shape[2] > 1 and (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        noun = Causal(corner="top-left")
        if sliding_window is not None:
            noun &= Window(past=sliding_window - 1, corner="top-left")
    if position_bias is not None:
        biases.append(DenseBias(position_bias))
    out = attention(
        query,
        key,
        value,
        score=None if scaling is None else ScaledDot(scaling),
        mask=noun,
        bias=biases,
        normalizer=None if s_aux is None else Softmax(sink=s_aux),
        dropout=Dropout(dropout, draw_seed()) if dropout else None,
        module=module,
    )
    return out.context.transpose(1, 2).contiguous(), None


_REFUSED = {
    "cache": 'continuous batching needs "paged|eager"',
    "output_attentions": 'weights are looked at from outside, see regard.torch.observers; or take "eager"',
    "sinks": 'this model keeps a sink for each pair of head and query, take "eager"',
}


def attention_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int | Tensor = 0,
    mask_function: Callable = causal_mask_function,
    attention_mask: Tensor | None = None,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    **others: Any,
) -> Tensor:
    """What models of transformers call to have a mask made: a `MaskTensor`, without its numbers.

    Args:
        batch_size, q_length, kv_length: The shape ``[batch, 1, query, key]``.
        q_offset, kv_offset: Where the first query and the first key stand.
        mask_function: The rule, a function of the index of batch, head, query and key.
        attention_mask: Which positions are real, ``[batch, key]``.
        use_vmap: Whether the rule takes one index at a time only.
        device: Where the mask is to be if it is made dense.
        others: What other implementations need.
    """
    dense = functools.partial(
        sdpa_mask,
        batch_size=batch_size,
        q_length=q_length,
        kv_length=kv_length,
        q_offset=q_offset,
        kv_offset=kv_offset,
        mask_function=mask_function,
        attention_mask=attention_mask,
        allow_is_causal_skip=False,
        use_vmap=use_vmap,
        device=device,
    )
    if is_tracing(attention_mask):
        return dense()
    q_offset, kv_offset = int(q_offset), int(kv_offset)
    shape = (batch_size, 1, q_length, kv_length)
    if use_vmap or (attention_mask is not None and attention_mask.ndim != 2):
        return MaskTensor(shape, device, DenseMask(dense()), kv_length, dense)
    try:
        noun, keys = _placed(_read(mask_function), q_offset - kv_offset, q_length, kv_length)
    except LookupError:
        noun, keys = _evaluated(mask_function, shape, q_offset, kv_offset), kv_length
    if attention_mask is not None:
        real = prepare_padding_mask(attention_mask, kv_length, kv_offset)[:, kv_offset : kv_offset + keys]
        noun = _both(noun, _padding(real.bool()))
    return MaskTensor(shape, device, noun, keys, dense)


class MaskTensor(Tensor):
    """Booleans ``[batch, 1, query, key]``, known as a noun (None if all is visible) about the first ``keys`` keys; no query
    sees those after them.

    To a model it is a tensor that is made dense when it is touched. A model that adds it to scores expected another mask, and
    is told so: it would be wrong in silence.
    """

    noun: Mask | None
    keys: int

    @staticmethod
    def __new__(cls, shape: tuple, device: Any, noun: Mask | None, keys: int, dense: Callable[[], Tensor]) -> MaskTensor:
        tensor = Tensor._make_wrapper_subclass(cls, shape, dtype=torch.bool, device=device)
        tensor.noun, tensor.keys, tensor.dense = noun, keys, dense
        return tensor

    def __repr__(self, **_: Any) -> str:
        return f"MaskTensor({list(self.shape)}, {self.noun})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function.overloadpacket in _COPIES and not kwargs.get("dtype"):
            it = args[0]
            return cls(it.shape, kwargs.get("device", it.device), it.noun, it.keys, it.dense)
        if function.overloadpacket in _ARITHMETIC or getattr(kwargs.get("dtype"), "is_floating_point", False):
            # A TypeError would be swallowed by the operators of tensors.
            raise ValueError(
                'this model adds the mask to scores, and so keeps its attention to itself: load it with attn_implementation="eager"'
            )
        args, kwargs = tree_map_only(cls, lambda it: it.dense(), (args, kwargs))
        return tree_map_only(Tensor, cls._guarded, function(*args, **kwargs))

    @classmethod
    def _guarded(cls, dense: Tensor) -> Tensor:
        """What was made of a mask, if that is one."""
        if dense.dtype != torch.bool or dense.ndim != 4:
            return dense
        return cls(dense.shape, dense.device, DenseMask(dense), dense.shape[-1], lambda: dense)


_COPIES = {torch.ops.aten.alias, torch.ops.aten.clone, torch.ops.aten.detach, torch.ops.aten._to_copy}
_ARITHMETIC = {torch.ops.aten.add, torch.ops.aten.sub, torch.ops.aten.rsub, torch.ops.aten.mul}


def _read(function: Callable) -> Mask | None:
    """The noun that is a rule of ``transformers.masking_utils``, where queries and keys end together; None if all is visible.

    Raises:
        LookupError: If there is none.
    """
    if function.__module__ != causal_mask_function.__module__:
        raise LookupError
    settings = inspect.getclosurevars(function).nonlocals
    match function.__qualname__.split(".")[0]:
        case "causal_mask_function":
            return Causal()
        case "bidirectional_mask_function":
            return None
        case "sliding_window_overlay":
            return Window(past=settings["sliding_window"] - 1)
        case "sliding_window_bidirectional_overlay":
            return Window(past=settings["sliding_window"], future=settings["sliding_window"])
        case "and_masks":
            return functools.reduce(_both, map(_read, settings["mask_functions"]))
        case "packed_sequence_mask_function":
            return _documents(settings["packed_sequence_mask"])
        # Inside a sequence the positions follow each other, and the rule above hides the others.
        case "remap_positions_for_packed_sequence":
            return _read(settings["mask_function"])
    raise LookupError


def _placed(noun: Mask | None, first: int, queries: int, keys: int) -> tuple[Mask | None, int]:
    """A noun, and of how many keys it is true that they end with the queries, the first of which stands at ``first``.

    Raises:
        LookupError: If that is so of no number.
    """
    end = first + queries
    if noun is None or end == keys:
        return noun, keys
    # A cache with room for more.
    if queries <= end < keys and _causal(noun):
        return noun, end
    raise LookupError


def _causal(noun: Mask) -> bool:
    match noun:
        case And(one, other):
            return _causal(one) or _causal(other)
        case Or(one, other):
            return _causal(one) and _causal(other)
    return isinstance(noun, Causal)


def _both(one: Mask | None, other: Mask | None) -> Mask | None:
    return one & other if one and other else one or other


def _documents(sequences: Tensor) -> Mask:
    """``sequences`` ``[batch, position]`` says to which sequence, of those packed end to end, a position belongs."""
    if not (sequences == sequences[:1]).all():
        raise LookupError
    lengths = torch.unique_consecutive(sequences[0], return_counts=True)[1]
    return Documents([0, *lengths.cumsum(0).tolist()])


def _padding(real: Tensor) -> Mask | None:
    """``real`` ``[batch, key]``"""
    if real.all():
        return None
    lengths = real.sum(-1)
    at_end = (real == (torch.arange(real.shape[1]) < lengths[:, None])).all()
    return Padding(lengths.tolist()) if at_end else KeyMask(real)


def _evaluated(function: Callable, shape: tuple, q_offset: int, kv_offset: int) -> Mask:
    """Any rule, looked at pair by pair."""

    def rows(batch: Any, head: Any, query: Any, key: Any) -> Any:
        indices = map(torch.from_numpy, (batch, head, query + q_offset, key + kv_offset))
        return function(*indices).numpy()

    batch, heads, queries, keys = shape
    return mask(rows, queries, keys, batch=batch, heads=heads)


AttentionInterface.register("regard", attention_forward)
AttentionMaskInterface.register("regard", attention_mask)
