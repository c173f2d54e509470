"""Every architecture with attention "regard" against the same with "eager"."""

import pytest
import torch
from architectures import ARCHITECTURES
from conftest import close, run

DECODERS = [it for it in ARCHITECTURES if it.kind == "decoder"]
READERS = [it for it in ARCHITECTURES if it.kind in ("decoder", "encoder", "translator")]
WRITERS = [it for it in ARCHITECTURES if it.kind in ("decoder", "translator", "listener")]

each = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)


@each
def test_scores(architecture, attended):
    inputs = architecture.inputs()
    close(run(architecture.build("regard"), **inputs), run(architecture.build("eager"), **inputs))
    assert len(attended) == architecture.layers, "attention that did not pass through Regard"


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", READERS, ids=str)
def test_padded_batches(architecture, side):
    inputs = architecture.inputs()
    real = torch.ones_like(inputs["input_ids"])
    (real[0, :6] if side == "left" else real[0, -6:]).zero_()
    inputs |= {"attention_mask": real, "input_ids": inputs["input_ids"] * real}
    given, expected = (run(architecture.build(name), **inputs) for name in ("regard", "eager"))
    # A decoder says something at each position: what it says at padding is nobody's concern.
    shown = real.bool() if architecture.kind != "translator" else ...
    close(given[shown], expected[shown])


@pytest.mark.parametrize(
    "architecture, cache", [pytest.param(it, cache, id=f"{it}-{cache}") for it in WRITERS for cache in it.caches]
)
def test_generation_token_for_token(architecture, cache, attended):
    inputs = architecture.inputs()
    inputs.pop("decoder_input_ids", None)
    if "input_ids" in inputs:
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs["attention_mask"][0, :5] = 0
    settings = {"max_new_tokens": 20, "min_new_tokens": 20, "do_sample": False, "return_dict_in_generate": True, "output_scores": True}
    given, expected = (
        architecture.build(name).generate(**inputs, **settings, cache_implementation=cache) for name in ("regard", "eager")
    )
    assert torch.equal(given.sequences, expected.sequences)
    close(torch.stack(given.scores), torch.stack(expected.scores), 2e-5)
    assert len(attended) >= 20 * 2


@pytest.mark.parametrize("architecture", DECODERS, ids=str)
def test_a_text_read_in_parts(architecture):
    model, inputs = architecture.build("regard"), architecture.inputs(length=30)
    whole, cache, parts = run(model, **inputs), None, []
    for part in inputs["input_ids"].split(11, dim=1):
        with torch.no_grad():
            out = model(input_ids=part, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        parts.append(out.logits)
    close(torch.cat(parts, 1), whole)


@each
def test_gradients_in_training(architecture):
    inputs, found = architecture.inputs(), []
    for name in ("regard", "eager"):
        model = architecture.build(name).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            for setting in ("dropout", "attention_dropout", "dropout_prob", "layerdrop", "activation_dropout"):
                if isinstance(getattr(module, setting, None), float):
                    setattr(module, setting, 0.0)
        torch.manual_seed(1)
        out = model(**inputs)
        scores = next(out[name] for name in ("logits", "logits_per_text", "last_hidden_state") if name in out)
        weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(2))
        (scores * weights).mean().backward()
        found.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    given, expected = found
    assert given.keys() == expected.keys()
    scale = max(gradient.abs().max() for gradient in expected.values())
    for name, gradient in expected.items():
        difference = (given[name] - gradient).abs().max()
        assert difference <= 1e-5 * max(scale, 1), f"{name}: {difference}"
