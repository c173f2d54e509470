"""Trilinear attention against its definition."""

import numpy as np
import pytest
from reference import check_gradients

import regard

RNG = np.random.default_rng(6)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def definition(q, k, v, k2, v2, scale=None, windows=None):
    """Every weight of every pair of keys, in double precision."""
    q, k, v, k2, v2 = (x.astype(np.float64) for x in (q, k, v, k2, v2))
    group = q.shape[1] // k.shape[1]
    k, v, k2, v2 = (np.repeat(x, group, axis=1) for x in (k, v, k2, v2))
    scores = np.einsum("bhif,bhjf,bhkf->bhijk", q, k, k2) * (q.shape[3] ** -0.5 if scale is None else scale)
    stands = np.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2]
    key = np.arange(k.shape[2])
    first, second = ((key <= stands) & (key > stands - window) for window in windows or (key.size, key.size))
    scores = np.where(first[:, :, None] & second[:, None], scores, -np.inf)
    top = np.nan_to_num(scores.max((-1, -2), keepdims=True), neginf=0)
    weights = np.exp(scores - top)
    total = weights.sum((-1, -2), keepdims=True)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + top)[..., 0, 0]
    return np.einsum("bhijk,bhjf,bhkf->bhif", weights / np.maximum(total, 1e-300), v, v2), lse


@pytest.mark.parametrize("queries", [20, 24])
@pytest.mark.parametrize("options", [{}, {"windows": (9, 4)}, {"scale": 0.2, "windows": (4, 30)}])
def test_forward_and_backward(queries, options):
    inputs = [normal(2, 4, queries, 6), *(normal(2, 2, 22, width) for width in (6, 5, 6, 5))]
    gradient = normal(2, 4, queries, 5)
    out = regard.trilinear_attention(*inputs, **options)
    context, lse = definition(*inputs, **options)
    np.testing.assert_allclose(out.context, context, atol=1e-5)
    np.testing.assert_allclose(out.lse, lse, atol=1e-5)
    given = regard.trilinear_attention_backward(*inputs, *out, gradient, **options)
    check_gradients(inputs, lambda *x: definition(*x, **options)[0], given, gradient)


def test_halves_of_numpy():
    inputs = [normal(1, 2, 8, 4).astype(np.float16) for _ in range(5)]
    out = regard.trilinear_attention(*inputs)
    assert (out.context.dtype, out.lse.dtype) == (np.float16, np.float32)
    np.testing.assert_allclose(out.context, definition(*inputs)[0], atol=5e-3)
    gradients = regard.trilinear_attention_backward(*inputs, *out, out.context)
    assert [x.dtype for x in gradients] == [np.float16] * 5


@pytest.mark.parametrize("sizes", [(0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0)])
def test_sizes_of_zero(sizes):
    x = np.ones(sizes, "f4")
    out = regard.trilinear_attention(x, x, x, x, x)
    gradients = regard.trilinear_attention_backward(x, x, x, x, x, *out, x)
    assert out.context.shape == x.shape and [g.shape for g in gradients] == [x.shape] * 5


def test_refusals():
    x = normal(1, 2, 3, 4)
    for call, message in [
        (lambda: regard.trilinear_attention(x, x, x, x[:, :, :2], x), "second keys: .* given"),
        (lambda: regard.trilinear_attention(x, x[:, :1], x, x, x), "values: .* given"),
        (lambda: regard.trilinear_attention(x, x, x, x, x, windows=(0, 3)), "windows: 0 and 3 given"),
        (lambda: regard.trilinear_attention(x, x, x, x, x, windows=(3,)), "1 windows given"),
        (lambda: regard.trilinear_attention(x, x, x, x, x, windows=(3, -1)), "windows is -1"),
        (lambda: regard.trilinear_attention_backward(x, x, x, x, x, x, x[..., 0], x[:, :, :2]), "gradient has the shape"),
        (lambda: regard.trilinear_attention_backward(x, x, x, x, x, x, x, x), "lse has the shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="second_value is float64"):
        regard.trilinear_attention(x, x, x, x, x.astype("f8"))
