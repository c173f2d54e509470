"""Attention by its definition, in float64 with numpy: every score is held."""

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
