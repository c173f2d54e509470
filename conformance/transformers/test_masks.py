"""Masks of transformers as nouns: the same as they are dense, and no larger than they need be."""

import pytest
import torch
from architectures import ARCHITECTURES
from conftest import close, run
from transformers import DynamicCache, MistralConfig, StaticCache, masking_utils

import regard
import regard.transformers

L, WINDOW = 13, 4


def make(rule, past, padding, cache):
    """A mask of transformers and ours, for L positions after some that are in a cache."""
    config = MistralConfig(num_hidden_layers=1, sliding_window=WINDOW, attention_chunk_size=WINDOW)
    total = past + L
    real = None
    if padding:
        real = torch.ones(2, total, dtype=torch.long)
        (real[0, :3] if padding == "left" else real[0, -3:]).zero_()
    masks = []
    for attention in ("sdpa", "regard"):
        config._attn_implementation = attention
        config.layer_types = ["sliding_attention" if "sliding" in rule else "full_attention"]
        held = {"none": lambda: None, "dynamic": lambda: DynamicCache(config=config), "static": lambda: StaticCache(config, 40)}[cache]()
        if past:
            held.update(torch.zeros(2, 1, past, 2), torch.zeros(2, 1, past, 2), 0)
        create = getattr(masking_utils, f"create_{rule}_mask")
        skip = {"allow_is_bidirectional_skip" if "bidirectional" in rule else "allow_is_causal_skip": False}
        if rule == "chunked_causal":
            skip = {}
        masks.append(create(config, torch.zeros(2, L, 8), real, past_key_values=held, **skip))
    return masks


RULES = ["causal", "bidirectional", "sliding_window_causal", "bidirectional_sliding_window", "chunked_causal"]


@pytest.mark.parametrize("padding", [None, "left", "right"])
@pytest.mark.parametrize("cache, past", [("none", 0), ("dynamic", 0), ("dynamic", 9), ("static", 0), ("static", 9)])
@pytest.mark.parametrize("rule", RULES)
def test_the_noun_is_the_mask(rule, cache, past, padding):
    expected, given = make(rule, past, padding, cache)
    if expected is None:
        expected = torch.ones(given.shape, dtype=torch.bool)
    assert given.shape == expected.shape
    assert torch.equal(seen(given), expected)


def seen(mask):
    """What the noun shows, found with the kernel."""
    batch, _, queries, keys = mask.shape
    query, key = torch.zeros(batch, 1, queries, 1), torch.zeros(batch, 1, mask.keys, 1)
    lse = regard.attention(query, key, key, mask=mask.noun).lse
    (weights,) = regard.observe(query, key, lse, [regard.Weights()], mask=mask.noun)
    return torch.nn.functional.pad(weights.values > 0, (0, keys - mask.keys))


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gpt-oss", "bert", "modernbert", "t5", "bart"])
def test_no_mask_is_ever_dense(name, monkeypatch):
    (architecture,) = (it for it in ARCHITECTURES if it.name == name)
    model, inputs = architecture.build("regard"), architecture.inputs()
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["attention_mask"][0, :4] = 0
    expected = run(model, **inputs)
    for evaluate in ("sdpa_mask", "_evaluated"):
        monkeypatch.setattr(regard.transformers, evaluate, lambda *_, **__: pytest.fail("evaluated"))
    close(run(model, **inputs), expected)


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2"])
def test_packed_sequences(name):
    (architecture,) = (it for it in ARCHITECTURES if it.name == name)
    inputs = architecture.inputs(length=40, batch=1)
    inputs |= {"position_ids": torch.cat([torch.arange(15), torch.arange(4), torch.arange(21)])[None], "use_cache": False}
    close(run(architecture.build("regard"), **inputs), run(architecture.build("eager"), **inputs))
    alone = run(architecture.build("regard"), input_ids=inputs["input_ids"][:, 15:19])
    close(run(architecture.build("regard"), **inputs)[:, 15:19], alone)


def test_packed_sequences_that_differ_in_a_batch():
    (architecture,) = (it for it in ARCHITECTURES if it.name == "llama")
    rows = [torch.cat([torch.arange(n), torch.arange(20 - n)]) for n in (5, 12)]
    inputs = architecture.inputs(length=20) | {"position_ids": torch.stack(rows), "use_cache": False}
    close(run(architecture.build("regard"), **inputs), run(architecture.build("eager"), **inputs))


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_a_mask_of_ones_own(kind):
    (architecture,) = (it for it in ARCHITECTURES if it.name == "llama")
    visible = (torch.rand(2, 1, 17, 17, generator=torch.Generator().manual_seed(4)) < 0.5) | torch.eye(17, dtype=torch.bool)
    added = torch.where(visible, 0.0, torch.finfo(torch.float32).min)
    given = run(architecture.build("regard"), **architecture.inputs(), attention_mask=visible if kind == torch.bool else added)
    close(given, run(architecture.build("eager"), **architecture.inputs(), attention_mask=added))


@pytest.mark.parametrize("name", ["mistral", "gpt-oss"])
def test_a_long_text_with_a_window(name, attended):
    (architecture,) = (it for it in ARCHITECTURES if it.name == name)
    inputs = architecture.inputs(length=1500, batch=1)
    given, expected = (run(architecture.build(it, sliding_window=100), **inputs) for it in ("regard", "eager"))
    close(given, expected, 5e-5)


def test_a_text_that_eager_cannot_read():
    # A matrix of weights would take 4 GiB for each layer, and a mask 1 GiB.
    (architecture,) = (it for it in ARCHITECTURES if it.name == "mistral")
    model = architecture.build("regard", sliding_window=64, max_position_embeddings=40000)
    inputs = architecture.inputs(length=32768, batch=1)
    with torch.no_grad():
        whole = model.model(**inputs, use_cache=False).last_hidden_state
        # Two layers of a window see the last 126 positions; rotations are relative, so that the text may begin anywhere.
        end = model.model(input_ids=inputs["input_ids"][:, -200:], use_cache=False).last_hidden_state
    close(whole[:, -50:], end[:, -50:], 1e-2)
