"""Gradients against differences of the definition in float64."""

import numpy
import pytest
import reference
from reference import check_gradients as check

import regard

RANDOM = numpy.random.default_rng(3)
MASK = regard.Window(past=40, future=2)
QUERY, KEY = numpy.ogrid[:70, :90]
VISIBLE = (KEY >= QUERY + 20 - 40) & (KEY <= QUERY + 20 + 2)


def learned(shape):
    return RANDOM.standard_normal(shape).astype(numpy.float32)


def test_inputs(inputs):
    gradient = learned((2, 4, 70, 8))
    nouns = {"mask": MASK, "bias": regard.SoftCap(3.0)}
    out = regard.attention(*inputs, **nouns)
    given = regard.attention_backward(*inputs, *out, gradient, **nouns)
    assert given.score is None and given.biases == [None] and given.normalizer is None

    def define(q, k, v):
        return reference.attention(q, k, v, visible=VISIBLE, bias=lambda e: 3 * numpy.tanh(e / 3))[0]

    check(inputs, define, given[:3], gradient)


@pytest.mark.parametrize("shape", [(70, 90), (1, 4, 70, 90), (2, 1, 70, 90), (4, 1, 90), (90,), (2, 4, 70, 90)])
def test_dense_bias(inputs, shape):
    bias, gradient = learned(shape), learned((2, 4, 70, 8))
    out = regard.attention(*inputs, mask=MASK, bias=bias)
    given = regard.attention_backward(*inputs, *out, gradient, mask=MASK, bias=bias)

    def define(bias):
        return reference.attention(*inputs, visible=VISIBLE, bias=lambda e: e + bias)[0]

    check([bias], define, given.biases, gradient)


def test_sink_and_several_biases(inputs):
    sink, bias, gradient = learned(4), learned((70, 90)), learned((2, 4, 70, 8))
    nouns = {"bias": [regard.Alibi(), regard.SoftCap(4.0), bias], "normalizer": regard.Softmax(sink=sink)}
    out = regard.attention(*inputs, **nouns)
    given = regard.attention_backward(*inputs, *out, gradient, **nouns)
    slopes = numpy.array([0.25, 0.0625, 0.015625, 0.00390625])[:, None, None]

    def define(bias, sink):
        return reference.attention(
            *inputs,
            bias=lambda e: 4 * numpy.tanh((e - slopes * abs(QUERY + 20 - KEY)) / 4) + bias,
            normalize=lambda e: reference.softmax(e, sink),
        )[0]

    assert given.biases[:2] == [None, None]
    check([bias, sink], define, [given.biases[2], given.normalizer], gradient)


def test_buckets(inputs):
    table, gradient = learned((8, 4)), learned((2, 4, 70, 8))
    noun = regard.RelativeBuckets(table, bidirectional=False, max_distance=20)
    out = regard.attention(*inputs, bias=noun)
    (given,) = regard.attention_backward(*inputs, *out, gradient, bias=noun).biases
    distance = numpy.maximum(QUERY + 20 - KEY, 0)
    far = 4 + numpy.floor(numpy.log(numpy.maximum(distance, 1) / 4) / numpy.log(5) * 4).astype(int)
    bucket = numpy.where(distance < 4, distance, numpy.minimum(far, 7))

    def define(table):
        return reference.attention(*inputs, bias=lambda e: e + table.T[:, bucket])[0]

    check([table], define, [given], gradient)


@pytest.mark.parametrize("heads", [(), (4,)])
def test_bilinear_and_additive(inputs, heads):
    gradient = learned((2, 4, 70, 8))
    w, v = learned((*heads, 16, 16)), learned((*heads, 16))

    def bilinear(w):
        return reference.attention(*inputs, score=lambda q, k: q @ w @ k.swapaxes(-1, -2))[0]

    def additive(v):
        v = v.reshape(-1, 1, 16, 1)

        def score(q, k):
            return (numpy.tanh(q[..., :, None, :] + k[..., None, :, :]) @ v)[..., 0]

        return reference.attention(*inputs, score=score)[0]

    for noun, parameter, define in [(regard.Bilinear(w), w, bilinear), (regard.Additive(v), v, additive)]:
        out = regard.attention(*inputs, score=noun)
        given = regard.attention_backward(*inputs, *out, gradient, score=noun)
        check([parameter], define, [given.score], gradient)


def test_parameters_as_they_were_given(inputs, torch):
    tensors = [torch.tensor(x) for x in inputs]
    bias = torch.zeros(70, 90, dtype=torch.bfloat16)
    out = regard.attention(*tensors, bias=[bias, numpy.zeros(90, "f4")], normalizer=regard.Softmax(sink=[0.0] * 4))
    given = regard.attention_backward(
        *tensors, *out, out.context, bias=[bias, numpy.zeros(90, "f4")], normalizer=regard.Softmax(sink=[0.0] * 4)
    )
    assert given.biases[0].dtype == torch.bfloat16 and given.biases[0].shape == (70, 90)
    assert isinstance(given.biases[1], numpy.ndarray) and isinstance(given.normalizer, numpy.ndarray)


def test_dropout_is_the_same_backward(inputs):
    q, k, v = inputs
    dropout, gradient = regard.Dropout(0.4, 7), learned((2, 4, 70, 8))
    out = regard.attention(q, k, v, dropout=dropout)
    given = regard.attention_backward(q, k, v, *out, gradient, dropout=dropout)
    # The context is linear in the values.
    numpy.testing.assert_allclose(numpy.sum(given.value * v), numpy.sum(out.context * gradient), rtol=1e-3)


@pytest.mark.parametrize("score", [regard.Distance(), regard.Distance(0.1)])
def test_distance(inputs, score):
    gradient = learned((2, 4, 70, 8))
    out = regard.attention(*inputs, score=score)
    given = regard.attention_backward(*inputs, *out, gradient, score=score)
    factor = 1 if score.scale is None else 4 * score.scale

    def define(q, k, v):
        return reference.attention(q, k, v, score=lambda q, k: factor * reference.distances(q, k))[0]

    check(inputs, define, given[:3], gradient)


NOISE = reference.gumbel(7, (2, 4, 70, 90))


@pytest.mark.parametrize(
    ("normalizer", "define"),
    [
        (regard.Entmax(1.3), lambda e: reference.entmax(e, 1.3)),
        (regard.Entmax(2.0), lambda e: reference.entmax(e, 2.0)),
        (regard.Gumbel(0.7, seed=7), lambda e: reference.softmax((e + NOISE) / 0.7)),
    ],
)
def test_normalizers_with_slopes(inputs, normalizer, define):
    gradient = learned((2, 4, 70, 8))
    out = regard.attention(*inputs, normalizer=normalizer)
    given = regard.attention_backward(*inputs, *out, gradient, normalizer=normalizer)
    check(inputs, lambda *x: reference.attention(*x, normalize=define)[0], given[:3], gradient)


def of_inputs(inputs, weights, of_scores, gradient):
    """Gradients of queries, keys and values, given weights and what the scores' gradient is."""
    q, k, _ = inputs
    halves = (2, 2, 2, -1)
    of_query = of_scores @ numpy.repeat(k, 2, axis=1) / 4
    of_key = (of_scores.swapaxes(-1, -2) @ q / 4).reshape(*halves, 16).sum(2)
    return of_query, of_key, (weights.swapaxes(-1, -2) @ gradient).reshape(*halves, 8).sum(2)


@pytest.mark.parametrize("kind", ["hard", "gumbel", "sampled"])
def test_choices_without_slopes(inputs, kind):
    gradient = learned((2, 4, 70, 8)).astype(float)
    q, k, v = (x.astype(float) for x in inputs)
    scores = reference.dot(q, numpy.repeat(k, 2, axis=1))
    of_weights = gradient @ numpy.repeat(v, 2, axis=1).swapaxes(-1, -2)
    noun = {"hard": regard.Hard(), "gumbel": regard.Gumbel(0.7, 7, hard=True), "sampled": regard.Sampled(7)}[kind]
    weights = reference.one_hot(scores if kind == "hard" else scores + NOISE)
    soft, _ = reference.softmax((scores + NOISE) / 0.7 if kind == "gumbel" else scores)
    if kind == "sampled":
        of_scores = (gradient * (weights @ numpy.repeat(v, 2, axis=1))).sum(-1, keepdims=True) * (weights - soft)
    else:
        # Straight through: as if the weights had been the soft ones.
        of_scores = soft * (of_weights - (soft * of_weights).sum(-1, keepdims=True)) / (0.7 if kind == "gumbel" else 1)
    out = regard.attention(*inputs, normalizer=noun)
    given = regard.attention_backward(*inputs, *out, gradient.astype("f4"), normalizer=noun)
    for found, expected in zip(given, of_inputs((q, k, v), weights, of_scores, gradient)):
        numpy.testing.assert_allclose(found, expected, atol=2e-5)
