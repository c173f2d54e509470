"""`regard.look` at a generation, step by step and through caches of every kind, against a look at the whole text read at once."""

import warnings

import numpy
import pytest
import torch
from architectures import ARCHITECTURES

import regard

# Llama 4 attends in chunks, for which there is no noun: its passes cannot be joined, and that is said.
JOINED = [it for it in ARCHITECTURES if it.kind == "decoder" and str(it) != "llama4"]
CASES = [(it, cache) for it in JOINED for cache in it.caches]


@pytest.mark.parametrize("architecture, cache", CASES, ids=str)
def test_a_generation_is_one_text(architecture, cache):
    model, inputs = architecture.build("regard"), architecture.inputs()
    ids = inputs["input_ids"]
    real = torch.ones_like(ids)
    real[0, :5] = 0
    settings = {"max_new_tokens": 20, "min_new_tokens": 20, "do_sample": False, "cache_implementation": cache}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="attention ran several times")
        with regard.look(model) as steps:
            written = model.generate(input_ids=ids, attention_mask=real, **settings)[:, :-1]
    real = torch.cat([real, real.new_ones(len(written), written.shape[1] - ids.shape[1])], 1)
    places = (real.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad(), regard.look(model) as whole:
        model(input_ids=written, attention_mask=real, position_ids=places)
    assert [site.shape for site in steps.sites] == [site.shape for site in whole.sites]
    for site in steps.sites:
        for batch in range(len(written)):
            # Of padding, nothing is compared.
            first = int(real[batch].argmax())
            given, expected = (trace.map(site.layer, 1, name=site.name, batch=batch)[first:] for trace in (steps, whole))
            numpy.testing.assert_allclose(given, expected, atol=1e-4)
