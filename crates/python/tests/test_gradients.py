"""Gradients against differences of the definition in float64."""

import numpy
import pytest
import reference

import regard

RANDOM = numpy.random.default_rng(3)
MASK = regard.Window(past=40, future=2)
QUERY, KEY = numpy.ogrid[:70, :90]
VISIBLE = (KEY >= QUERY + 20 - 40) & (KEY <= QUERY + 20 + 2)


def check(inputs, define, given, gradient):
    """That the gradients given are those of ``Σ define(*inputs) · gradient``, each in a random direction."""
    step = 1e-6
    for i, slope in enumerate(given):
        direction = RANDOM.standard_normal(inputs[i].shape)
        moved = [[x + (side * step * direction if j == i else 0) for j, x in enumerate(inputs)] for side in (1, -1)]
        expected = numpy.sum((define(*moved[0]) - define(*moved[1])) * gradient) / (2 * step)
        assert slope.shape == inputs[i].shape
        size = numpy.linalg.norm(slope.astype(float)) * numpy.linalg.norm(direction)
        numpy.testing.assert_allclose(numpy.sum(slope * direction), expected, atol=1e-5 * size + 1e-6)


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
