"""Linear attention and rotation against numpy."""

import numpy as np
import pytest
from reference import check_gradients

import regard

RNG = np.random.default_rng(3)


def normal(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def definition(q, k, v, decay, beta, state):
    """One position after another, in double precision."""
    q, k, v, state = (x.astype(np.float64) for x in (q, k, v, state))
    context = np.empty((*q.shape[:3], v.shape[3]))
    group = q.shape[1] // k.shape[1]
    for t in range(q.shape[2]):
        if decay is not None:
            state = state * np.exp(decay[:, :, t].astype(np.float64))[..., None]
        new = v[:, :, t]
        if beta is not None:
            new = beta[:, :, t].astype(np.float64) * (new - np.einsum("bhd,bhde->bhe", k[:, :, t], state))
        state = state + k[:, :, t, :, None] * new[..., None, :]
        read = np.repeat(state, group, axis=1)
        context[:, :, t] = np.einsum("bhd,bhde->bhe", q[:, :, t], read) / np.sqrt(q.shape[3])
    return context, state


@pytest.mark.parametrize("decays", [None, 1, 8])
@pytest.mark.parametrize("betas", [None, 1, 2])
def test_every_rule(decays, betas):
    q, k, v = normal(2, 6, 21, 8), normal(2, 2, 21, 8) / 3, normal(2, 2, 21, 5)
    decay = None if decays is None else -abs(normal(2, 2, 21, decays))
    beta = None if betas is None else RNG.random((2, betas, 21, 1), np.float32)
    state = normal(2, 2, 8, 5)
    out = regard.linear_attention(q, k, v, decay=decay, beta=beta, state=state)
    context, after = definition(q, k, v, decay, beta, state)
    np.testing.assert_allclose(out.context, context, atol=2e-5)
    np.testing.assert_allclose(out.state, after, atol=2e-5)


@pytest.mark.parametrize("decays", [None, 1, 8])
@pytest.mark.parametrize("betas", [None, 1, 2])
def test_gradients_of_every_rule(decays, betas):
    inputs = {"q": normal(2, 6, 21, 8), "k": normal(2, 2, 21, 8) / 3, "v": normal(2, 2, 21, 5)}
    inputs["decay"] = None if decays is None else -abs(normal(2, 2, 21, decays))
    inputs["beta"] = None if betas is None else RNG.random((2, betas, 21, 1), np.float32)
    inputs["state"] = normal(2, 2, 8, 5)
    gradient, state_gradient = normal(2, 6, 21, 5), normal(2, 2, 8, 5)
    q, k, v, *gates = inputs.values()
    gates = dict(zip(("decay", "beta", "state"), gates))
    given = regard.linear_attention_backward(q, k, v, gradient, **gates, state_gradient=state_gradient)
    assert [found is None for found in given] == [x is None for x in inputs.values()]
    names = [name for name, x in inputs.items() if x is not None]

    def define(*some):
        results = definition(**{**inputs, **dict(zip(names, some))})
        return np.concatenate([result.ravel() for result in results])

    both = np.concatenate([gradient.ravel(), state_gradient.ravel()])
    check_gradients([inputs[name] for name in names], define, [found for found in given if found is not None], both)
    alone = regard.linear_attention_backward(q, k, v, gradient, **gates)
    zeros = regard.linear_attention_backward(q, k, v, gradient, **gates, state_gradient=0 * state_gradient)
    assert all(x is None or (x == y).all() for x, y in zip(alone, zeros))


def test_gradients_come_back_as_what_was_given():
    q = normal(1, 2, 9, 4, dtype=np.float16)
    given = regard.linear_attention_backward(q, q, q, q, beta=np.full((1, 1, 9, 1), 0.5, "f4"))
    assert [given.query.dtype, given.beta.dtype] == [np.float16, np.float32]
    assert given.decay is None and given.state is None


def test_half_precision_in_half_precision_out():
    q = normal(1, 2, 9, 4, dtype=np.float16)
    out = regard.linear_attention(q, q / np.float16(4), q)
    assert (out.context.dtype, out.state.dtype) == (np.float16, np.float32)
    context, _ = definition(q, q / np.float16(4), q, None, None, np.zeros((1, 2, 4, 4)))
    np.testing.assert_allclose(out.context, context, atol=5e-3)


def test_linear_attention_refuses():
    x = normal(1, 2, 3, 4)
    with pytest.raises(ValueError, match="values: .* given, .* as the keys have expected"):
        regard.linear_attention(x, x, x[:, :, :2])
    with pytest.raises(ValueError, match="beta: "):
        regard.linear_attention(x, x, x, beta=x)
    with pytest.raises(TypeError, match="decay is float64"):
        regard.linear_attention(x, x, x, decay=x.astype(np.float64))


def test_backward_refuses():
    x = normal(1, 2, 3, 4)
    with pytest.raises(ValueError, match="gradient of the context: .* as the context has expected"):
        regard.linear_attention_backward(x, x, x, x[:, :, :2])
    with pytest.raises(ValueError, match="gradient of the state: .* as the state has expected"):
        regard.linear_attention_backward(x, x, x, x, state_gradient=x)
    with pytest.raises(TypeError, match="gradient is float64"):
        regard.linear_attention_backward(x, x, x, x.astype(np.float64))


def turned(x, cos, sin, interleaved):
    """Rotation by its definition; cosines and sines are ``[batch, 1, position, w/2]``."""
    out, half = x.astype(np.float64), cos.shape[-1]
    first, second = (slice(0, 2 * half, 2), slice(1, 2 * half, 2)) if interleaved else (slice(half), slice(half, 2 * half))
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., first] * sin + x[..., second] * cos
    return out


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rotation(interleaved, dtype):
    x, angles = normal(2, 3, 5, 10, dtype=dtype), normal(20, 4)
    cos, sin = np.cos(angles), np.sin(angles)
    positions = RNG.integers(0, 20, (2, 5))
    tolerance = 1e-6 if dtype == np.float32 else 5e-3
    out = regard.rotate(x, cos, sin, positions, interleaved=interleaved)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, turned(x, cos[positions][:, None], sin[positions][:, None], interleaved), atol=tolerance)
    out = regard.rotate(x.swapaxes(1, 2).copy().swapaxes(1, 2), cos[:5], sin[:5], interleaved=interleaved)
    np.testing.assert_allclose(out, turned(x, cos[:5], sin[:5], interleaved), atol=tolerance)


def test_rotation_refuses():
    x, table = normal(1, 2, 3, 4), normal(3, 2)
    with pytest.raises(ValueError, match="position: 3 given, less than the 3 rows of the table expected"):
        regard.rotate(x, table, table, [0, 1, 3])
    with pytest.raises(ValueError, match="positions is -1"):
        regard.rotate(x, table, table, [0, -1, 1])
    with pytest.raises(ValueError, match="cosines: 3 features given, at most half of the 4 of x expected"):
        regard.rotate(x, normal(3, 3), normal(3, 3))
