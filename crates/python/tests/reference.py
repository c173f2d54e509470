"""Attention by its definition, in float64 with numpy: every score is held. And what is drawn by hashes, and differences."""

import numpy


def softmax(scores, sink=None):
    """Weights and log-sum-exp; a row that sees nothing is 0 and −inf."""
    joined = scores
    if sink is not None:
        logits = numpy.broadcast_to(sink[None, :, None, None], (*scores.shape[:3], 1))
        joined = numpy.concatenate([scores, logits], -1)
    top = joined.max(-1, keepdims=True, initial=-numpy.inf)
    top = numpy.where(numpy.isfinite(top), top, 0)
    total = numpy.exp(joined - top).sum(-1, keepdims=True)
    with numpy.errstate(divide="ignore"):
        lse = numpy.log(total) + top
    weights = numpy.exp(scores - numpy.where(numpy.isfinite(lse), lse, 0))
    return weights, lse[..., 0]


def dot(query, key):
    """Scores of queries and keys that have as many heads."""
    return query @ key.swapaxes(-1, -2) / numpy.sqrt(query.shape[-1])


def attention(query, key, value, *, score=dot, visible=True, bias=lambda scores: scores, normalize=softmax):
    """Context, weights and log-sum-exp of ``[batch, head, position, feature]``."""
    query, key, value = (numpy.asarray(x, numpy.float64) for x in (query, key, value))
    group = query.shape[1] // key.shape[1]
    key, value = (numpy.repeat(x, group, axis=1) for x in (key, value))
    weights, lse = normalize(numpy.where(visible, bias(score(query, key)), -numpy.inf))
    # A hidden value is not looked at, not even to be multiplied with 0.
    return weights @ numpy.where(numpy.isfinite(value), value, 0), weights, lse


def distances(query, key):
    """Scores by distance."""
    return -((query[..., :, None, :] - key[..., None, :, :]) ** 2).sum(-1) / numpy.sqrt(query.shape[-1])


def one_hot(scores):
    """1 for the greatest score of a row, of equal ones the first; a row that sees nothing is 0."""
    chosen = numpy.arange(scores.shape[-1]) == scores.argmax(-1)[..., None]
    return numpy.where(numpy.isfinite(scores.max(-1, keepdims=True)), chosen, False).astype(float)


def entmax(scores, alpha):
    """Weights and thresholds, by halving: ``max(0, (α − 1) · e − τ)^(1 / (α − 1))`` sums to 1."""
    scores = (alpha - 1) * scores
    top = scores.max(-1, keepdims=True)
    low, high = top - 1, top
    for _ in range(80):
        middle = (low + high) / 2
        over = (numpy.maximum(scores - middle, 0) ** (1 / (alpha - 1))).sum(-1, keepdims=True) > 1
        low, high = numpy.where(over, middle, low), numpy.where(over, high, middle)
    return numpy.maximum(scores - low, 0) ** (1 / (alpha - 1)), low[..., 0]


LONG = (1 << 64) - 1


def mix_long(x):
    """64 bits, scrambled."""
    x = (x + 0x9E3779B97F4A7C15) & LONG
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & LONG
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & LONG
    return x ^ (x >> 31)


def mix(x, key):
    """32 bits of each of an array, scrambled."""
    x = numpy.asarray(x, numpy.uint64)
    x = ((x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF) ^ key
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


def gumbel(seed, shape):
    """The noise of every ``[batch, head, query, key]``."""
    noise, seed = numpy.empty(shape), seed ^ 0x67756D62656C2121
    for batch, head in numpy.ndindex(shape[:2]):
        stream = mix_long(mix_long(batch) ^ head)
        hashes = []
        for seed_of, length in ((seed, shape[2]), (seed ^ LONG, shape[3])):
            long = mix_long(mix_long(seed_of) ^ stream)
            first, second = long & 0xFFFFFFFF, long >> 32
            hashes.append(mix(numpy.arange(length, dtype=numpy.uint64) ^ numpy.uint64(first), numpy.uint64(second)))
        bits = mix(hashes[0][:, None] ^ hashes[1], numpy.uint64(second))
        noise[batch, head] = -numpy.log(-numpy.log(((bits >> 9).astype(float) + 0.5) / (1 << 23)))
    return noise


def big_bird(heads, queries, keys, *, seed, block, window, global_blocks, random):
    """Who sees whom, ``[1, head, query, key]``; queries end with the keys."""
    blocks, visible = keys // block, numpy.zeros((1, heads, queries, keys), bool)
    for head, query in numpy.ndindex(heads, queries):
        own = (query + keys - queries) // block
        near = {place for place in range(own - window, own + window + 1) if 0 <= place < blocks}
        everywhere = set(range(min(global_blocks, blocks)))
        others = [place for place in range(blocks) if place not in near | everywhere]
        key, drawn = mix_long(mix_long(seed ^ mix_long(head)) ^ (own & LONG)), []
        for last in range(max(len(others) - random, 0), len(others)):
            number = mix_long(key ^ mix_long(last)) % (last + 1)
            drawn.append(last if number in drawn else number)
        seen = set(range(blocks)) if own in everywhere else near | everywhere | {others[number] for number in drawn}
        visible[0, head, query] = [place // block in seen for place in range(keys)]
    return visible


def check_gradients(inputs, define, given, gradient):
    """That the gradients given are those of ``Σ define(*inputs) · gradient``, each in a random direction."""
    step, random = 1e-6, numpy.random.default_rng(3)
    for i, slope in enumerate(given):
        direction = random.standard_normal(inputs[i].shape)
        moved = [[x + (side * step * direction if j == i else 0) for j, x in enumerate(inputs)] for side in (1, -1)]
        expected = numpy.sum((define(*moved[0]) - define(*moved[1])) * gradient) / (2 * step)
        assert slope.shape == inputs[i].shape
        size = numpy.linalg.norm(slope.astype(float)) * numpy.linalg.norm(direction)
        numpy.testing.assert_allclose(numpy.sum(slope * direction), expected, atol=1e-5 * size + 1e-6)
