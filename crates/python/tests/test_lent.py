"""Biases that are arrays are read where they lie."""

import gc

import numpy
import pytest
import reference

import regard


@pytest.fixture
def bias():
    return numpy.random.default_rng(9).standard_normal((2, 4, 70, 90), dtype=numpy.float32)


def context(inputs, bias):
    return reference.attention(*inputs, bias=lambda e: e + numpy.asarray(bias, numpy.float64))[0]


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x[:, :, ::-1][:, :, ::-1],
        lambda x: numpy.asfortranarray(x),
        lambda x: numpy.repeat(x, 2, axis=3)[..., ::2],
        lambda x: numpy.broadcast_to(x[:1, :1], x.shape),
        lambda x: x[:, :, :1],
        lambda x: x[0, 0, :, :1],
        lambda x: x[1, :, 3:4],
        lambda x: x.astype("f2"),
    ],
)
def test_any_strides(inputs, bias, view):
    given = view(bias)
    noun = regard.DenseBias(given)
    out = regard.attention(*inputs, bias=noun)
    numpy.testing.assert_allclose(out.context, context(inputs, given), atol=3e-6)
    (seen,) = regard.observe(*inputs[:2], out.lse, [regard.Weights()], bias=noun)
    numpy.testing.assert_allclose(seen.values.sum(-1), 1, atol=1e-5)
    same = regard.attention(*inputs, bias=numpy.ascontiguousarray(given))
    assert (out.context == same.context).all()


def test_a_call_sees_the_array_as_it_is_then(inputs, bias):
    noun = regard.DenseBias(bias)
    before = regard.attention(*inputs, bias=noun).context
    bias *= 2
    after = regard.attention(*inputs, bias=noun).context
    assert (before != after).any()
    numpy.testing.assert_allclose(after, context(inputs, bias), atol=3e-6)


def test_the_array_lives_as_long_as_the_noun(inputs, bias):
    expected = context(inputs, bias)
    noun = regard.DenseBias(bias.copy())
    gc.collect()
    rubbish = [numpy.full_like(bias, numpy.nan) for _ in range(3)]
    numpy.testing.assert_allclose(regard.attention(*inputs, bias=noun).context, expected, atol=3e-6)
    del rubbish


def test_a_bias_of_any_size_takes_no_memory():
    q = numpy.ones((1, 1, 2000, 4), "f4")
    wide = numpy.broadcast_to(numpy.zeros(1, "f4"), (1, 1, 2000, 2000))
    assert (regard.attention(q, q, q, bias=wide).context == 1).all()
    endless = regard.DenseBias(numpy.broadcast_to(numpy.zeros(1, "f4"), (1, 1, 1 << 40, 1 << 20)))
    with pytest.raises(ValueError, match="dense bias: .* given"):
        regard.attention(q, q, q, bias=endless)


def test_a_tensor_that_moves(inputs, bias, torch):
    tensor = torch.tensor(bias)
    noun = regard.DenseBias(tensor)
    before = regard.attention(*inputs, bias=noun).context
    # Its memory becomes another's.
    tensor.resize_(2, 4, 70, 9000)
    with pytest.raises(ValueError, match="dense bias: .* given"):
        regard.attention(*inputs, bias=noun)
    tensor.resize_(0).resize_(2, 4, 70, 90).copy_(torch.tensor(bias))
    assert (regard.attention(*inputs, bias=noun).context == before).all()


def test_a_tensor_that_was_written_to_has_no_gradient_to_give(inputs, bias, torch):
    import regard.torch

    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    mask = torch.tensor(bias)
    context = regard.torch.attention(*tensors, bias=mask).context
    mask += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        context.sum().backward()
