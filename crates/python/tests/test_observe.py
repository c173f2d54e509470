"""Probes against the whole map."""

import numpy
import reference

import regard


def test_all_probes(inputs):
    q, k, v = inputs
    out = regard.attention(q, k, v, mask=regard.Causal())
    probes = [regard.Entropy(), regard.TopKeys(3), regard.Received(), regard.Pyramid(9)]
    probes += [regard.Weights(), regard.Weights([2, 0])]
    entropy, top, received, pyramid, whole, some = regard.observe(q, k, out.lse, probes, mask=regard.Causal())
    visible = numpy.arange(90) <= numpy.arange(70)[:, None] + 20
    _, weights, _ = reference.attention(q, k, v, visible=visible)
    numpy.testing.assert_allclose(whole.values, weights, atol=1e-6)
    assert (some.values == whole.values[:, [2, 0]]).all()
    numpy.testing.assert_allclose(received.values, weights.sum(2), atol=1e-5)
    logs = numpy.log(weights, where=weights > 0, out=numpy.zeros_like(weights))
    numpy.testing.assert_allclose(entropy.values, -(weights * logs).sum(-1), atol=1e-5)
    assert (top.keys == (-weights).argsort(-1)[..., :3]).all()
    numpy.testing.assert_allclose(top.weights, -numpy.sort(-weights)[..., :3], atol=1e-6)
    assert pyramid.mean.shape == pyramid.max.shape == (2, 4, 9, 9)
    rows, columns = (-(-numpy.arange(10) * n // 9) for n in (70, 90))
    cell = weights[:, :, rows[4] : rows[5], columns[2] : columns[3]]
    numpy.testing.assert_allclose(pyramid.mean[:, :, 4, 2], cell.mean((2, 3)), atol=1e-6)
    numpy.testing.assert_allclose(pyramid.max[:, :, 4, 2], cell.max((2, 3)), atol=1e-6)


def test_fewer_keys_than_wanted():
    q = numpy.ones((1, 1, 2, 4), "f4")
    mask = numpy.array([[True, False, False], [True, True, True]])
    k = numpy.ones((1, 1, 3, 4), "f4")
    out = regard.attention(q, k, k, mask=mask)
    (top,) = regard.observe(q, k, out.lse, [regard.TopKeys(8)], mask=mask)
    assert top.keys.tolist() == [[[[0, -1, -1], [0, 1, 2]]]]
    assert top.weights[0, 0, 0].tolist() == [1, 0, 0]


def test_a_probe_can_be_used_again(inputs):
    q, k, v = inputs
    probe = regard.Entropy()
    assert probe.values is None
    for mask in (regard.Causal(), None):
        out = regard.attention(q, k, v, mask=mask)
        regard.observe(q, k, out.lse, [probe], mask=mask)
    _, weights, _ = reference.attention(q, k, v)
    numpy.testing.assert_allclose(probe.values, -(weights * numpy.log(weights)).sum(-1), atol=1e-5)
