"""Arrays of every kind, read where they lie and given back alike."""

import numpy
import pytest
import reference

import regard


def test_strides(inputs):
    plain = regard.attention(*inputs).context
    q, k, v = inputs
    turned = [numpy.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (q, k, v)]
    assert (regard.attention(*turned).context == plain).all()
    by_feature = [numpy.asfortranarray(x) for x in (q, k, v)]
    assert (regard.attention(*by_feature).context == plain).all()
    wide = [numpy.repeat(x, 3, axis=3)[..., ::3] for x in (q, k, v)]
    assert not wide[0].flags.c_contiguous
    assert (regard.attention(*wide).context == plain).all()


def test_broadcast_views(inputs):
    q, k, v = inputs
    k, v = (numpy.broadcast_to(x[:1, :1], x.shape) for x in (k, v))
    assert k.strides[0] == 0
    assert (regard.attention(q, k, v).context == regard.attention(q, k.copy(), v.copy()).context).all()


def test_read_only(inputs):
    plain = regard.attention(*inputs).context
    for x in inputs:
        x.flags.writeable = False
    assert (regard.attention(*inputs).context == plain).all()


def test_inputs_are_left_alone(inputs):
    before = [x.copy() for x in inputs]
    out = regard.attention(*inputs)
    regard.attention_backward(*inputs, *out, out.context)
    assert all((x == y).all() for x, y in zip(inputs, before))
    assert not any(numpy.shares_memory(out.context, x) for x in inputs)


def test_one_array_as_all_three(inputs):
    q = inputs[0]
    out = regard.attention(q, q, q)
    numpy.testing.assert_allclose(out.context, reference.attention(q, q, q)[0], atol=2e-6)
    gradients = regard.attention_backward(q, q, q, *out, q)
    # Whatever overlaps what it was made from: results are always new.
    assert not any(numpy.shares_memory(x, y) for x in (*out, *gradients[:3]) for y in (q, *out) if x is not y)


@pytest.mark.parametrize(("name", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_halves_of_numpy(inputs, name, digits):
    dtype = numpy.dtype(pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name)
    inputs = [x.astype(dtype) for x in inputs]
    out = regard.attention(*inputs)
    assert out.context.dtype == dtype and out.lse.dtype == numpy.float32
    context, _, _ = reference.attention(*inputs)
    numpy.testing.assert_allclose(out.context.astype(float), context, atol=2.0**-digits)
    gradients = regard.attention_backward(*inputs, *out, out.context)
    assert [g.dtype for g in gradients[:3]] == [dtype] * 3


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_tensors(inputs, torch, name):
    dtype = getattr(torch, name)
    tensors = [torch.tensor(x).to(dtype) for x in inputs]
    out = regard.attention(*tensors, mask=regard.Causal())
    assert type(out.context) is torch.Tensor and out.context.dtype == dtype and out.lse.dtype == torch.float32
    same = regard.attention(*(x.float().numpy() for x in tensors), mask=regard.Causal())
    assert (out.context == torch.tensor(same.context).to(dtype)).all() and (out.lse.numpy() == same.lse).all()
    gradients = regard.attention_backward(*tensors, *out, out.context, mask=regard.Causal())
    assert [g.dtype for g in gradients[:3]] == [dtype] * 3


def test_recorded_tensors(inputs, torch):
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    out = regard.attention(*tensors)
    assert not out.context.requires_grad
    assert (out.context.numpy() == regard.attention(*inputs).context).all()


def test_tensors_turned_and_expanded(inputs, torch):
    q, k, v = (torch.tensor(x) for x in inputs)
    k, v = (x[:1].transpose(1, 2).contiguous().transpose(1, 2).expand(2, -1, -1, -1) for x in (k, v))
    assert (regard.attention(q, k, v).context == regard.attention(q, k.contiguous(), v.contiguous()).context).all()


def test_probes_and_masks_of_tensors(inputs, torch):
    q, k, v = (torch.tensor(x) for x in inputs)
    visible = torch.rand(70, 90) < 0.5
    out = regard.attention(q, k, v, mask=visible)
    top, weights = regard.observe(q, k, out.lse, [regard.TopKeys(3), regard.Weights()], mask=visible)
    assert top.keys.dtype == torch.int64 and top.weights.dtype == torch.float32
    assert (weights.values.gather(3, top.keys) == top.weights).all()
    same = regard.attention(*inputs, mask=visible.numpy())
    assert (out.context.numpy() == same.context).all()


@pytest.mark.parametrize("sizes", [(0, 2, 3, 4, 5), (2, 0, 3, 4, 5), (1, 2, 0, 4, 5), (1, 2, 3, 0, 5), (1, 2, 3, 4, 0)])
def test_sizes_of_zero(sizes):
    batch, heads, queries, keys, width = sizes
    q, k = numpy.ones((batch, heads, queries, width), "f4"), numpy.ones((batch, heads, keys, width), "f4")
    out = regard.attention(q, k, k)
    assert out.context.shape == q.shape
    assert (out.context == (1 if keys else 0)).all()
    gradients = regard.attention_backward(q, k, k, *out, q)
    assert [g.shape for g in gradients[:3]] == [q.shape, k.shape, k.shape]
    probes = [regard.Entropy(), regard.TopKeys(2), regard.Received(), regard.Pyramid(4), regard.Weights()]
    regard.observe(q, k, out.lse, probes)
    assert probes[4].values.shape == (batch, heads, queries, keys)


def test_lengths_of_one():
    one = numpy.full((1, 1, 1, 1), 3, "f4")
    assert regard.attention(one, one, one).context == 3


def test_not_a_number_is_seen_only_where_it_may_be(inputs):
    q, k, v = inputs
    k[:, :, 80:], v[:, :, 80:] = numpy.nan, numpy.inf
    out = regard.attention(q, k, v, mask=regard.Padding([80, 80]))
    numpy.testing.assert_allclose(out.context, reference.attention(q, k[:, :, :80], v[:, :, :80])[0], atol=2e-6)
    assert numpy.isnan(regard.attention(q, k, v).context).all()


def test_a_mask_that_hides_everything(inputs):
    mask = numpy.zeros((70, 90), bool)
    out = regard.attention(*inputs, mask=mask)
    assert (out.context == 0).all() and (out.lse == -numpy.inf).all()
    gradients = regard.attention_backward(*inputs, *out, out.context, mask=mask)
    assert all((g == 0).all() for g in gradients[:3])
