"""Generating with a cache."""

import numpy
import pytest

import regard


PRECISIONS = [("float32", 2e-6), ("float16", 2e-3), ("bfloat16", 2e-2), ("int8", 3e-2)]


@pytest.mark.parametrize(("precision", "atol"), PRECISIONS)
def test_step_by_step(inputs, precision, atol):
    q, k, v = inputs
    whole = regard.attention(q, k[:, :, :70], v[:, :, :70], mask=regard.Causal(), bias=regard.Alibi())
    cache = regard.KeyValueCache(precision)
    for at in range(70):
        cache.append(k[:, :, at : at + 1], v[:, :, at : at + 1])
        step = cache.attend(q[:, :, at : at + 1], bias=regard.Alibi())
        numpy.testing.assert_allclose(step.context, whole.context[:, :, at : at + 1], atol=atol)
    assert len(cache) == 70
    cache.truncate(30)
    again = cache.attend(q[:, :, :30], mask=regard.Causal(), bias=regard.Alibi())
    numpy.testing.assert_allclose(again.context, whole.context[:, :, :30], atol=atol)
    cache.attend(q, mask=numpy.ones((2, 1, 1, 30), bool))


def test_refusals(inputs):
    q, k, v = inputs
    cache = regard.KeyValueCache()
    with pytest.raises(ValueError, match="the cache is empty"):
        cache.attend(q)
    with pytest.raises(ValueError, match="precision is \"float64\""):
        regard.KeyValueCache("float64")
    cache.append(k, v)
    with pytest.raises(ValueError, match="keys"):
        cache.append(k[:, :1], v[:, :1])
    with pytest.raises(ValueError, match="query 2"):
        cache.append(k, v)
        cache.attend(numpy.ones((2, 2, 1, 2), "f4"))
