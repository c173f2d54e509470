"""Python functions on the way to weights, and a look at scores."""

import numpy as np
import pytest

import regard

RNG = np.random.default_rng(4)
Q, K, V = (RNG.standard_normal((2, 3, length, 8)).astype(np.float32) for length in (70, 130, 130))
SCORES = np.einsum("bhid,bhjd->bhij", Q, K) / np.sqrt(8)


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_scores_can_be_made_of_scores_and_places():
    def rule(score, b, h, i, j):
        return np.arctan(score) - 0.01 * (h + 1) * abs(i - j) + 0.1 * b

    out = regard.attention(Q, K, V, bias=[regard.Modify(rule), regard.SoftCap(5.0)])
    b, h, i, j = np.ogrid[:2, :3, :70, :130]
    weights = softmax(5 * np.tanh(rule(SCORES, b, h, i, j) / 5))
    np.testing.assert_allclose(out.context, weights @ V, atol=1e-5)


def test_weights_can_be_made_of_weights():
    reweight = regard.Reweight(lambda weight: np.where(weight < 0.005, 0.125, 2 * weight))
    causal = regard.Causal(corner="top-left")
    out = regard.attention(Q, K, V, normalizer=reweight, mask=causal)
    seen = np.tri(70, 130, dtype=bool)
    weights = softmax(np.where(seen, SCORES, -np.inf))
    weights = np.where(seen, np.where(weights < 0.005, 0.125, 2 * weights), 0)
    np.testing.assert_allclose(out.context, weights @ V, atol=1e-4)
    (probe,) = regard.observe(Q, K, out.lse, [regard.Weights()], normalizer=reweight, mask=causal)
    np.testing.assert_allclose(probe.values, weights, atol=1e-5)


@pytest.mark.parametrize("length", [2, 70])
def test_what_a_function_raises_comes_out(length):
    def broken(score, b, h, i, j):
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        regard.attention(Q[:, :, :length], K, V, bias=regard.Modify(broken))
    with pytest.raises(ValueError, match="broadcast"):
        regard.attention(Q[:, :, :length], K, V, bias=regard.Modify(lambda score, *place: np.zeros(7)))
    out = regard.attention(Q, K, V)
    np.testing.assert_allclose(out.context, softmax(SCORES) @ V, atol=1e-5)


@pytest.mark.parametrize(
    "nouns",
    [{"bias": regard.Modify(lambda score, *place: score)}, {"normalizer": regard.Reweight(lambda weight: weight)}],
)
def test_functions_have_no_gradient(nouns):
    out = regard.attention(Q, K, V, **nouns)
    with pytest.raises(ValueError, match="has no gradient"):
        regard.attention_backward(Q, K, V, out.context, out.lse, out.context, **nouns)


def test_scores_of_every_stage():
    nouns = {"bias": [regard.SoftCap(2.0), regard.Alibi()], "mask": regard.Causal(corner="top-left")}
    out = regard.attention(Q, K, V, **nouns)
    probes = [regard.Scores(biases=0), regard.Scores(biases=1), regard.Scores()]
    raw, capped, masked = regard.observe(Q, K, out.lse, probes, **nouns)
    np.testing.assert_allclose(raw.values, SCORES, atol=1e-5)
    np.testing.assert_allclose(capped.values, 2 * np.tanh(SCORES / 2), atol=1e-5)
    seen = np.tri(70, 130, dtype=bool)
    assert np.isneginf(masked.values[:, :, ~seen]).all() and np.isfinite(masked.values[:, :, seen]).all()
    with pytest.raises(ValueError, match="biases of the scores to observe: 3 given, at most 2 expected"):
        regard.observe(Q, K, out.lse, [regard.Scores(biases=3)], **nouns)
