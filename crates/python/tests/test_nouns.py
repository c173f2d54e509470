"""Every noun, forward, against the definition."""

import pickle

import numpy
import pytest
import reference

import regard

L, S = 70, 90
BATCH, HEAD, QUERY, KEY = numpy.ogrid[:2, :4, :L, :S]
PLACE = QUERY + S - L
RANDOM = numpy.random.default_rng(2)
PAIRS = RANDOM.random((L, S)) < 0.3
LAYOUT = RANDOM.random((4, 3, 3)) < 0.5


def named(value):
    return repr(value).split(" at ")[0] if isinstance(value, regard.Mask | regard.Score | regard.Normalizer) else ""


def chosen(*positions):
    return numpy.isin(KEY, positions) | numpy.isin(PLACE, positions)


def uneven(batch, head, query, key):
    return (query * key + batch) % (2 + head) == 0


def in_layout(layout, side):
    return layout[:, QUERY[0, 0, :, 0][:, None] // side, KEY[0, 0, 0][None] // side][None]


BIRD = {"seed": 5, "block": 10, "window": 1, "global_blocks": 1, "random": 2}
MASKS = [
    (regard.Causal(), KEY <= PLACE),
    (regard.Causal("top-left"), KEY <= QUERY),
    (regard.Window(past=7, future=3), (KEY >= PLACE - 7) & (KEY <= PLACE + 3)),
    (regard.Window(past=7), KEY >= PLACE - 7),
    (regard.Dilated(4, 2, 5), ((KEY - PLACE) % 5 == 0) & (KEY >= PLACE - 20) & (KEY <= PLACE + 10)),
    (regard.Global([0, 40]), chosen(0, 40)),
    (regard.Global([[1], [2, 50]]), numpy.where(BATCH, chosen(2, 50), chosen(1))),
    (regard.BigBird(**BIRD), reference.big_bird(4, L, S, **BIRD)),
    (regard.BigBird(block=45, global_blocks=0, random=0, window=0), KEY // 45 == PLACE // 45),
    (regard.BigBird(block=30, random=9), KEY >= 0),
    (regard.Padding([90, 12]), KEY < numpy.where(BATCH, 12, 90)),
    (regard.Causal() | regard.Prefix(numpy.array([5, 60])), (KEY <= PLACE) | (KEY < numpy.where(BATCH, 60, 5))),
    (regard.Documents([0, 30, 70], [0, 50, 90]), (QUERY < 30) == (KEY < 50)),
    (regard.KeyMask(PAIRS[0]), PAIRS[0]),
    (regard.KeyMask(PAIRS[:2]), PAIRS[:2, None, None]),
    (regard.DenseMask(PAIRS), PAIRS),
    (regard.DenseMask(PAIRS[:, :1]), PAIRS[:, :1]),
    (regard.DenseMask(PAIRS[0]), PAIRS[0]),
    (regard.DenseMask(PAIRS[:2, None, None]), PAIRS[:2, None, None]),
    (regard.DenseMask(PAIRS[:4, None]), PAIRS[:4, None]),
    (~regard.DenseMask(PAIRS[:1]) & regard.Causal(), ~PAIRS[:1] & (KEY <= PLACE)),
    (regard.Blocks(LAYOUT, L, S, side=32), in_layout(LAYOUT, 32)),
    (regard.mask(uneven, L, S, batch=2, heads=4), uneven(BATCH, HEAD, QUERY, KEY)),
    (regard.mask(lambda b, h, i, j: j % 3 == 0, L, S), KEY % 3 == 0),
    (regard.Causal() & ~regard.Window(past=9) | regard.KeyMask(PAIRS[1]), (KEY < PLACE - 9) | PAIRS[1]),
    (regard.mask(lambda b, h, i, j: i < 0, L, S), numpy.zeros((L, S), bool)),
]


@pytest.mark.parametrize(("mask", "visible"), MASKS, ids=named)
def test_masks(inputs, mask, visible):
    given = regard.attention(*inputs, mask=mask)
    context, weights, lse = reference.attention(*inputs, visible=visible)
    numpy.testing.assert_allclose(given.context, context, atol=2e-6)
    numpy.testing.assert_allclose(given.lse, lse, atol=2e-6)
    (seen,) = regard.observe(*inputs[:2], given.lse, [regard.Weights()], mask=mask)
    numpy.testing.assert_allclose(seen.values, weights, atol=2e-6)


SLOPES = numpy.array([0.25, 0.0625, 0.015625, 0.00390625])
TABLE = RANDOM.standard_normal((8, 4)).astype(numpy.float32)
DENSE = RANDOM.standard_normal((L, S)).astype(numpy.float32)


def buckets(distance):
    """T5's, of 8 in both directions, up to a distance of 20."""
    size = numpy.abs(distance)
    far = 2 + numpy.floor(numpy.log(numpy.maximum(size, 1) / 2) / numpy.log(10) * 2).astype(int)
    return numpy.where(distance > 0, 4, 0) + numpy.where(size < 2, size, numpy.minimum(far, 3))


def lean(batch, head, query, key):
    return (query - key) * 0.5 ** (head + batch)


BIASES = [
    (regard.Alibi(), lambda e: e - SLOPES[:, None, None] * abs(PLACE - KEY)),
    (regard.Alibi([1, 2, 3, 4]), lambda e: e - (1 + HEAD) * abs(PLACE - KEY)),
    (regard.RelativeBuckets(TABLE, max_distance=20), lambda e: e + TABLE.T[:, buckets(KEY - PLACE)[0, 0]]),
    (regard.SoftCap(0.7), lambda e: 0.7 * numpy.tanh(e / 0.7)),
    (DENSE, lambda e: e + DENSE),
    (regard.DenseBias(DENSE[:4, None, :]), lambda e: e + DENSE[:4, None, :]),
    ([DENSE, regard.SoftCap(2.0), DENSE[:1]], lambda e: 2 * numpy.tanh((e + DENSE) / 2) + DENSE[:1]),
    (numpy.where(PAIRS, DENSE, -numpy.inf), lambda e: numpy.where(PAIRS, e + DENSE, -numpy.inf)),
    (regard.bias(lean, L, S, 2, 4), lambda e: e + lean(BATCH, HEAD, QUERY, KEY)),
]


@pytest.mark.parametrize(("bias", "apply"), BIASES)
def test_biases(inputs, bias, apply):
    given = regard.attention(*inputs, bias=bias)
    context, _, lse = reference.attention(*inputs, bias=apply)
    numpy.testing.assert_allclose(given.context, context, atol=3e-6)
    numpy.testing.assert_allclose(given.lse, lse, atol=3e-6)


V = RANDOM.standard_normal(16).astype(numpy.float32)
W = RANDOM.standard_normal((4, 16, 16)).astype(numpy.float32)


def unit(x):
    return x / numpy.linalg.norm(x, axis=-1, keepdims=True)


SCORES = [
    (regard.Dot(), lambda q, k: q @ k.swapaxes(-1, -2)),
    (regard.ScaledDot(0.3), lambda q, k: 0.3 * q @ k.swapaxes(-1, -2)),
    (regard.Distance(), reference.distances),
    (regard.Distance(0.5), lambda q, k: 2 * reference.distances(q, k)),
    (regard.Cosine([2.0]), lambda q, k: 2 * unit(q) @ unit(k).swapaxes(-1, -2)),
    (regard.Bilinear(W), lambda q, k: q @ W @ k.swapaxes(-1, -2)),
    (regard.Additive(V), lambda q, k: numpy.tanh(q[..., :, None, :] + k[..., None, :, :]) @ V.astype(float)),
]


@pytest.mark.parametrize(("score", "define"), SCORES, ids=named)
def test_scores(inputs, score, define):
    context, _, _ = reference.attention(*inputs, score=define)
    numpy.testing.assert_allclose(regard.attention(*inputs, score=score).context, context, atol=1e-5)


def top_k(scores):
    rank = (-scores).argsort(-1, kind="stable").argsort(-1)
    return reference.softmax(numpy.where(rank < 5, scores, -numpy.inf))


def sparsemax(scores):
    ordered = -numpy.sort(-scores)
    sums, k = ordered.cumsum(-1) - 1, numpy.arange(1, scores.shape[-1] + 1)
    support = (k * ordered > sums).sum(-1, keepdims=True)
    threshold = numpy.take_along_axis(sums, support - 1, -1) / support
    return numpy.maximum(scores - threshold, 0), threshold[..., 0]


def sigmoid(scores):
    return 1 / (1 + numpy.exp(-scores + numpy.log(S))), numpy.full(scores.shape[:3], numpy.log(S))


NOISE = reference.gumbel(11, (2, 4, L, S))


def chosen_key(noise):
    """One key a row; what is kept is the log-sum-exp."""
    return lambda e: (reference.one_hot(e + noise), reference.softmax(e)[1])


SINK = numpy.array([0.5, -1, 2, 0])
NORMALIZERS = [
    (regard.Softmax(temperature=0.5), lambda e: reference.softmax(2 * e)),
    (regard.Softmax(sink=SINK.tolist()), lambda e: reference.softmax(e, SINK)),
    (regard.Sigmoid(), sigmoid),
    (regard.TopK(5), top_k),
    (regard.Sparsemax(), sparsemax),
    (regard.Entmax(1.2), lambda e: reference.entmax(e, 1.2)),
    (regard.Entmax(1.5), lambda e: reference.entmax(e, 1.5)),
    (regard.Entmax(2), sparsemax),
    (regard.Hard(), chosen_key(0)),
    (regard.Sampled(11), chosen_key(NOISE)),
    (regard.Gumbel(0.5, seed=11), lambda e: reference.softmax(2 * (e + NOISE))),
    (
        regard.Gumbel(0.5, seed=11, hard=True),
        lambda e: (reference.one_hot(e + NOISE), reference.softmax(2 * (e + NOISE))[1]),
    ),
]


@pytest.mark.parametrize(("normalizer", "define"), NORMALIZERS, ids=named)
def test_normalizers(inputs, normalizer, define):
    given = regard.attention(*inputs, normalizer=normalizer)
    context, weights, lse = reference.attention(*inputs, normalize=define)
    numpy.testing.assert_allclose(given.context, context, atol=3e-6)
    numpy.testing.assert_allclose(given.lse, lse, atol=3e-6)
    (seen,) = regard.observe(*inputs[:2], given.lse, [regard.Weights()], normalizer=normalizer)
    numpy.testing.assert_allclose(seen.values, weights, atol=3e-6)


def test_entmax_beyond_sparsemax(inputs):
    given = regard.attention(*inputs, normalizer=regard.Entmax(3.0))
    context, _, lse = reference.attention(*inputs, normalize=lambda e: reference.entmax(e, 3.0))
    # Its weights end steeply.
    numpy.testing.assert_allclose(given.context, context, atol=1e-3)
    numpy.testing.assert_allclose(given.lse, lse, atol=1e-5)


def test_draws_follow_the_scores():
    """Of 3 keys with the probabilities 1/2, 1/3 and 1/6, about so many are drawn."""
    q, k = numpy.ones((1, 1, 20_000, 1), "f4"), numpy.log(numpy.array([3, 2, 1], "f4")).reshape(1, 1, 3, 1)
    values = numpy.eye(3, dtype="f4")[None, None]
    for normalizer in (regard.Sampled(3), regard.Gumbel(0.1, 3, hard=True)):
        shares = regard.attention(q, k, values, score=regard.Dot(), normalizer=normalizer).context.mean((0, 1, 2))
        numpy.testing.assert_allclose(shares, [1 / 2, 1 / 3, 1 / 6], atol=0.015)


def test_entmax_rows_sum_to_one(inputs):
    given = regard.attention(*inputs, normalizer=regard.Entmax15())
    (seen,) = regard.observe(*inputs[:2], given.lse, [regard.Weights()], normalizer=regard.Entmax15())
    numpy.testing.assert_allclose(seen.values.sum(-1), 1, atol=2e-5)
    assert (seen.values == 0).any()


def test_dropout_drops_by_seed(inputs):
    full = regard.attention(*inputs).context
    one, again, other = (regard.attention(*inputs, dropout=regard.Dropout(0.5, seed)).context for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any() and (one != full).any()
    assert (regard.attention(*inputs, dropout=regard.Dropout(0.0)).context == full).all()


def test_nouns_are_values():
    assert regard.Window(past=3) == regard.Window(past=3) != regard.Window(past=4)
    assert regard.Padding([3, 4]) == regard.Padding(numpy.array([3, 4]))
    assert hash(regard.Causal() & regard.Padding([3])) == hash(regard.Causal() & regard.Padding((3,)))
    assert hash(regard.Causal() & regard.Window(3)) == hash(regard.Causal() & regard.Window(3))
    assert repr(regard.ScaledDot(scale=0.5)) == "ScaledDot(scale=0.5)"
    assert repr(regard.Softmax(sink=TABLE[0])) == "Softmax(temperature=1.0, sink=[4])"
    with pytest.raises(AttributeError):
        regard.Window().past = 5


PICKLED = [regard.BigBird(block=30), regard.Gumbel(0.5, 3, hard=True), regard.Entmax(1.7), regard.Distance(2.0), regard.Causal() | regard.Prefix([5, 60]), regard.Alibi(), regard.TopK(5), regard.Cosine([1.0])]


@pytest.mark.parametrize("noun", PICKLED)
def test_nouns_can_be_pickled(inputs, noun):
    kind = {regard.Mask: "mask", regard.Bias: "bias", regard.Normalizer: "normalizer", regard.Score: "score"}
    (name,) = (name for base, name in kind.items() if isinstance(noun, base))
    copy = pickle.loads(pickle.dumps(noun))
    same = [regard.attention(*inputs, **{name: noun}).context for noun in (noun, copy)]
    assert (same[0] == same[1]).all()
