"""With `import regard`, and numpy arrays or PyTorch tensors `q`, `k`, `v` of `[batch, head, position, feature]`."""
# How each mechanism is used: the book prints these functions, test_usage.py runs them.

import numpy

import regard


def exact(q, k, v):
    """Exact"""
    # Softmax over scaled dot products; `out.lse` is what any weight can be made again from.
    out = regard.attention(q, k, v)
    assert out.context.shape == (1, 4, 64, 16)


def dot(q, k, v):
    """Dot"""
    out = regard.attention(q, k, v, score=regard.Dot())
    assert out.context.shape == (1, 4, 64, 16)


def scaled_dot(q, k, v):
    """ScaledDot"""
    out = regard.attention(q, k, v, score=regard.ScaledDot())
    assert out.context.shape == (1, 4, 64, 16)


def cosine(q, k, v):
    """Cosine"""
    out = regard.attention(q, k, v, score=regard.Cosine([10.0]))
    assert out.context.shape == (1, 4, 64, 16)


def bilinear(q, k, v):
    """Bilinear"""
    out = regard.attention(q, k, v, score=regard.Bilinear(numpy.eye(16, dtype=numpy.float32)))
    assert out.context.shape == (1, 4, 64, 16)


def additive(q, k, v):
    """Additive"""
    # q and k are those of the hidden layer: W q and U k.
    out = regard.attention(q, k, v, score=regard.Additive(numpy.ones(16, numpy.float32)))
    assert out.context.shape == (1, 4, 64, 16)


def dense_bias(q, k, v):
    """DenseBias"""
    # An array is one: of all pairs, or of any axes that broadcast to them.
    out = regard.attention(q, k, v, bias=-numpy.abs(numpy.subtract.outer(range(64), range(64))).astype(numpy.float32))
    assert out.context.shape == (1, 4, 64, 16)


def alibi(q, k, v):
    """Alibi"""
    out = regard.attention(q, k, v, mask=regard.Causal(), bias=regard.Alibi())
    assert out.context.shape == (1, 4, 64, 16)


def relative_buckets(q, k, v):
    """RelativeBuckets"""
    # A number for each of 32 buckets and 4 heads.
    out = regard.attention(q, k, v, bias=regard.RelativeBuckets(numpy.zeros((32, 4), numpy.float32)))
    assert out.context.shape == (1, 4, 64, 16)


def soft_cap(q, k, v):
    """SoftCap"""
    out = regard.attention(q, k, v, bias=regard.SoftCap(50.0))
    assert out.context.shape == (1, 4, 64, 16)


def causal(q, k, v):
    """Causal"""
    out = regard.attention(q, k, v, mask=regard.Causal())
    assert out.context.shape == (1, 4, 64, 16)


def window(q, k, v):
    """Window"""
    out = regard.attention(q, k, v, mask=regard.Window(past=15, future=0))
    assert out.context.shape == (1, 4, 64, 16)


def dilated(q, k, v):
    """Dilated"""
    out = regard.attention(q, k, v, mask=regard.Dilated(4, 4, 3))
    assert out.context.shape == (1, 4, 64, 16)


def global_(q, k, v):
    """Global"""
    out = regard.attention(q, k, v, mask=regard.Window(8, 8) | regard.Global([0]))
    assert out.context.shape == (1, 4, 64, 16)


def prefix(q, k, v):
    """Prefix"""
    out = regard.attention(q, k, v, mask=regard.Causal() | regard.Prefix([20]))
    assert out.context.shape == (1, 4, 64, 16)


def blocks(q, k, v):
    """Blocks"""
    # Any rule, over arrays of indices that broadcast to the pairs.
    mask = regard.mask(lambda b, h, i, j: (j <= i) & ((i - j < 8) | (j % 8 == 7)), queries=64, keys=64)
    out = regard.attention(q, k, v, mask=mask)
    assert out.context.shape == (1, 4, 64, 16)


def padding(q, k, v):
    """Padding"""
    out = regard.attention(q, k, v, mask=regard.Padding([50]))
    assert out.context.shape == (1, 4, 64, 16)


def documents(q, k, v):
    """Documents"""
    out = regard.attention(q, k, v, mask=regard.Documents([0, 30, 64]) & regard.Causal())
    assert out.context.shape == (1, 4, 64, 16)


def dense_mask(q, k, v):
    """DenseMask"""
    # An array of booleans is one.
    out = regard.attention(q, k, v, mask=numpy.arange(64 * 64).reshape(64, 64) % 3 != 1)
    assert out.context.shape == (1, 4, 64, 16)


def softmax(q, k, v):
    """Softmax"""
    out = regard.attention(q, k, v, normalizer=regard.Softmax(temperature=2.0, sink=numpy.zeros(4, numpy.float32)))
    assert out.context.shape == (1, 4, 64, 16)


def sigmoid(q, k, v):
    """Sigmoid"""
    out = regard.attention(q, k, v, normalizer=regard.Sigmoid())
    assert out.context.shape == (1, 4, 64, 16)


def sparsemax(q, k, v):
    """Sparsemax"""
    out = regard.attention(q, k, v, normalizer=regard.Sparsemax())
    assert out.context.shape == (1, 4, 64, 16)


def entmax15(q, k, v):
    """Entmax15"""
    out = regard.attention(q, k, v, normalizer=regard.Entmax15())
    assert out.context.shape == (1, 4, 64, 16)


def top_k(q, k, v):
    """TopK"""
    out = regard.attention(q, k, v, normalizer=regard.TopK(8))
    assert out.context.shape == (1, 4, 64, 16)


def rotary(q, k, v):
    """Rotary"""
    angles = numpy.outer(numpy.arange(64), 10000.0 ** (-numpy.arange(8) / 8))
    cos, sin = numpy.cos(angles).astype(numpy.float32), numpy.sin(angles).astype(numpy.float32)
    q, k = regard.rotate(q, cos, sin), regard.rotate(k, cos, sin)
    out = regard.attention(q, k, v, mask=regard.Causal())
    assert out.context.shape == (1, 4, 64, 16)


def linear(q, k, v):
    """Linear"""
    # The engine below it: a memory that positions write to and read from, with gates and the delta rule if wanted.
    context, state = regard.linear_attention(q, k, v)
    assert context.shape == (1, 4, 64, 16) and state.shape == (1, 4, 16, 16)


def weights(q, k, v):
    """Weights"""
    out = regard.attention(q, k, v)
    probe = regard.Weights()
    regard.observe(q, k, out.lse, [probe])
    assert probe.values.shape == (1, 4, 64, 64)


def entropy(q, k, v):
    """Entropy"""
    out = regard.attention(q, k, v)
    probe = regard.Entropy()
    regard.observe(q, k, out.lse, [probe])
    assert probe.values.shape == (1, 4, 64)


def top_keys(q, k, v):
    """TopKeys"""
    out = regard.attention(q, k, v)
    probe = regard.TopKeys(8)
    regard.observe(q, k, out.lse, [probe])
    assert probe.keys.shape == probe.weights.shape == (1, 4, 64, 8)


def received(q, k, v):
    """Received"""
    out = regard.attention(q, k, v)
    probe = regard.Received()
    regard.observe(q, k, out.lse, [probe])
    assert probe.values.shape == (1, 4, 64)


def pyramid(q, k, v):
    """Pyramid"""
    out = regard.attention(q, k, v)
    probe = regard.Pyramid(16)
    regard.observe(q, k, out.lse, [probe])
    assert probe.mean.shape == probe.max.shape == (1, 4, 16, 16)
