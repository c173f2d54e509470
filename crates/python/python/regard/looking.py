"""Looking into a PyTorch model that attends through Regard, while it runs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .growing import grown
from .masks import DenseMask, Mask
from .operations import observe
from .probes import Entropy, Pyramid, Received, TopKeys
from .trace import Site, Trace


@contextmanager
def look(
    model: Any,
    *,
    tokenizer: Any = None,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
    keep: str = "states",
    title: str | None = None,
) -> Iterator[Trace]:
    """Records what a model attends to in the block::

        import regard.transformers
        model = AutoModel.from_pretrained(path, attn_implementation="regard")
        with regard.look(model, tokenizer=tokenizer) as trace:
            model(**tokenizer("The cat sat on the mat", return_tensors="pt"))
        trace.map(layer=0, head=3)

    Text that is generated in the block is part of the trace, as if it had been read at once, also where a cache forgets what
    has slid out of a window. A pass that does not go on from the one before takes its place.

    Args:
        model: A model of Hugging Face with ``attn_implementation="regard"``, or any module that calls
            `regard.torch.attention` or, inside `regard.torch.replace_sdpa`, PyTorch's.
        tokenizer: What makes tokens of the model's input ids, to be shown to people; without one they are numbers.
        tokens: Instead, what is read, a word a position, or such a sequence for each batch.
        keep: "states" keeps queries, keys and log-sum-exps by reference, from which anything can be made later: as much memory
            as the model's own queries and keys. "probes" notes entropies, the 8 strongest keys, what keys receive and a map
            of 256 pixels, and lets go of the rest.
        title: What the trace is about; the text unless given.

    Raises:
        ValueError: If ``keep`` is something else, or a generation cannot be put together.
    """
    from . import torch as adapter

    if keep not in ("states", "probes"):
        raise ValueError(f"keep is {keep!r}: expected 'states' or 'probes'")
    trace = Trace(title or "", _name(model))
    recorder = _Recorder(model, trace, tokenizer, tokens, keep)
    # Who has a head may also be run without it.
    readers = {id(module): module for module in (model, getattr(model, "base_model", model))}
    hooks = [module.register_forward_pre_hook(recorder.read, with_kwargs=True) for module in readers.values()]
    try:
        with adapter.observed(recorder.attended):
            yield trace
    finally:
        for hook in hooks:
            hook.remove()
    if recorder.ran and not trace.sites:
        warnings.warn(
            'the model attended without Regard, so that nothing was recorded: load it with attn_implementation="regard"',
            stacklevel=3,
        )
    if recorder.replaced:
        warnings.warn(
            "attention ran several times, and not each time on from where it was: only the last time is in the trace",
            stacklevel=3,
        )
    recorder.label()
    if not trace.title:
        trace.title = recorder.text()


#: What cross-attention is called in the models there are.
_ACROSS = re.compile("cross|encoder_attn|encdec", re.IGNORECASE)


class _Recorder:
    def __init__(self, model: Any, trace: Trace, tokenizer: Any, tokens: Any, keep: str) -> None:
        self.trace, self.tokenizer, self.keep = trace, tokenizer, keep
        self.modules = {id(module): name for name, module in model.named_modules()}
        given = [tokens] if tokens is not None and (not tokens or isinstance(tokens[0], str)) else tokens
        self.given = None if given is None else [list(row) for row in given]
        #: Input ids by the name of their sequence, ``[batch, position]``; what was generated comes after what was given.
        self.ids: dict[str, list[list[int]]] = {}
        self.places: dict[str, Site] = {}
        self.ran = False
        #: Whether an attention ran again and did not go on from where it was.
        self.replaced = False

    def read(self, module: Any, arguments: tuple, named: dict[str, Any]) -> None:
        """Before the model runs: which ids it reads."""
        self.ran = True
        translating = bool(getattr(getattr(module, "config", None), "is_encoder_decoder", False))
        ids = named.get("input_ids", arguments[0] if arguments else None)
        pairs = [("source" if translating else "tokens", ids)]
        if translating:
            pairs.append(("target", named.get("decoder_input_ids")))
        for name, ids in pairs:
            if ids is None or not hasattr(ids, "tolist") or ids.ndim != 2 or ids.is_floating_point():
                continue
            rows = ids.tolist()
            past = named.get("past_key_values")
            length = past.get_seq_length() if past is not None and hasattr(past, "get_seq_length") else 0
            if name != "source" and length and name in self.ids:
                rows = [before[:length] + row for before, row in zip(self.ids[name], rows)]
            self.ids[name] = rows

    def attended(
        self, module: Any, query: Any, key: Any, value: Any, context: Any, lse: Any, nouns: dict[str, Any]
    ) -> None:
        """After an attention."""
        if module is not None and id(module) not in self.modules:
            return
        path = self.modules.get(id(module), "attention")
        if module is None:
            path = f"attention.{len(self.places)}"
        shape = (*query.shape[:3], key.shape[2])
        nouns = {**nouns, "bias": list(nouns["bias"] or ())}
        if not (nouns["mask"] is None or isinstance(nouns["mask"], Mask)):
            nouns["mask"] = DenseMask(nouns["mask"])
        before = self.places.get(path)
        if self.keep == "probes":
            probes = [Entropy(), TopKeys(8), Received(), Pyramid(256)]
            observe(query, key, lse, probes, **nouns)
            site = Site(*_place(path), "", "", shape, nouns=nouns, noted=tuple(probes))
        elif before is not None and (longer := grown(before, query, key, lse, nouns)):
            site = longer
        else:
            self.replaced = self.replaced or before is not None
            site = Site(*_place(path), "", "", shape, states=(query, key, lse), nouns=nouns)
        self.places[path] = site
        self.trace.sites = list(self.places.values())

    def label(self) -> None:
        """Finds the sequence of each axis, by its length: after the block, when all has been read."""
        self.trace.axes = {}
        known = dict(self.ids)
        for site in self.trace.sites:
            site.queries = self._axis(known, site, site.shape[2], "target")
            site.keys = self._axis(known, site, site.shape[3], "source" if _ACROSS.search(site.name) else "target")

    def _axis(self, known: dict[str, list[list[int]]], site: Site, length: int, first: str) -> str:
        if self.given is not None and all(len(row) == length for row in self.given):
            self.trace.axes.setdefault("tokens", self.given)
            return "tokens"
        if "encoder" in site.name.split(".") and "decoder" not in site.name.split("."):
            first = "source"
        for name in dict.fromkeys((first, *known)):
            if name in known and len(known[name][0]) == length:
                self.trace.axes.setdefault(name, [self._words(row) for row in known[name]])
                return name
        name = f"{length} positions"
        self.trace.axes.setdefault(name, [[str(position) for position in range(length)]])
        return name

    def _words(self, ids: list[int]) -> list[str]:
        if self.tokenizer is None:
            return [str(number) for number in ids]
        if not hasattr(self.tokenizer, "convert_ids_to_tokens"):
            return [self.tokenizer.decode([number]) for number in ids]
        # Byte pairs and sentence pieces write a space as a letter of their own.
        return [str(token).replace("\u0120", " ").replace("\u2581", " ") for token in self.tokenizer.convert_ids_to_tokens(ids)]

    def text(self) -> str:
        """What was read, as a title: the beginning of it."""
        rows = next(iter(self.ids.values()), None)
        if rows and self.tokenizer is not None:
            return self.tokenizer.decode(rows[0][:64], skip_special_tokens=True)
        return self.trace.model


def _name(model: Any) -> str:
    config = getattr(model, "config", None)
    return getattr(config, "name_or_path", "") or getattr(config, "_name_or_path", "") or type(model).__name__


def _place(path: str) -> tuple[str, int]:
    """The name of a kind of site and its layer, of a module's path: "layers.3.self_attn" is layer 3 of "layers.self_attn"."""
    parts = path.split(".")
    layer = next((int(part) for part in parts if part.isdigit()), 0)
    name = ".".join(part for part in parts if not part.isdigit())
    return re.sub(r"^(model|transformer|base_model)\.", "", name) or "attention", layer
