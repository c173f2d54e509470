"""What is refused, and in which words."""

import ctypes
import re

import numpy
import pytest

import regard

F = numpy.float32


def ones(*shape, dtype=F):
    return numpy.ones(shape, dtype)


Q, K = ones(2, 4, 5, 8), ones(2, 2, 7, 8)
UNALIGNED = numpy.frombuffer(b"\0" * 1281, F, 320, 1).reshape(Q.shape)

SHAPES = [
    (Q[0], K, K, "query is 3-dimensional, [4, 5, 8]: expected [batch, head, position, feature]; of one batch: query["),
    (Q, K[0, 0], K, "key is 2-dimensional, [7, 8]"),
    (Q, K, F(1), "value is 0-dimensional, []"),
    (Q[None], K, K, "query is 5-dimensional"),
    (Q, K[:1], K, "key has 1 batches, query 2"),
    (Q, ones(2, 3, 7, 8), K, "key has 3 heads, query 4: expected a divisor"),
    (Q, ones(2, 0, 7, 8), K, "key has 0 heads, query 4"),
    (Q, K[..., :6], K, "key has 6 features, query 8"),
    (Q, K, K[:, :1], "value has 1 heads, key 2"),
    (Q, K, K[:, :, :3], "value has 3 positions, key 7"),
    (Q, K, K[:1], "value has 1 batches, query 2"),
    (Q[..., ::-1], K, K, "query has negative strides: call query.copy()"),
    (Q, K[:, ::-1], K, "key has negative strides: call key.copy()"),
    (UNALIGNED, K, K, "query is not aligned to its numbers: call query.copy()"),
]


@pytest.mark.parametrize(("q", "k", "v", "message"), SHAPES, ids=lambda x: x if isinstance(x, str) else "")
def test_shapes(q, k, v, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        regard.attention(q, k, v)


TYPES = [
    (Q.astype("f8"), 'query is float64: expected float32, float16 or bfloat16; call query.astype("float32")'),
    (Q.astype("i4"), "query is int32"),
    (Q.astype("i8"), "query has whole numbers"),
    (Q.astype(bool), "query has booleans"),
    (Q.astype("c8"), "query is complex64"),
    (Q.astype(">f4"), "query is >f4"),
    (Q.astype(object), "query is object"),
    (numpy.zeros(Q.shape, "V2"), "query is |V2"),
    (Q.tolist(), "query is a list: expected a numpy array or a CPU tensor"),
    (None, "query is a NoneType"),
    (3, "query is a int"),
]


@pytest.mark.parametrize(("q", "message"), TYPES, ids=lambda x: x if isinstance(x, str) else "")
def test_types(q, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        regard.attention(q, K, K)


def test_tensors(torch):
    k = torch.ones(2, 2, 7, 8)
    with pytest.raises(TypeError, match=r"query is float64: .*; call query.float\(\)"):
        regard.attention(torch.ones(2, 4, 5, 8, dtype=torch.float64), k, k)
    for q in [torch.ones(2, 4, 5, 8, device="meta"), torch.ones(2, 4, 5, 8).to_sparse(), torch.ones(2, 4, 5, 8).to_mkldnn()]:
        with pytest.raises(ValueError, match="^query cannot be read: .*$") as refused:
            regard.attention(q, k, k)
        assert isinstance(refused.value.__cause__, RuntimeError | BufferError)


class Unreachable:
    """An array on another device, whose library does not show it."""

    device = "cuda:0"

    def __dlpack__(self):
        raise BufferError("not here\nand a page of addresses")


def test_what_cannot_be_shown():
    with pytest.raises(ValueError, match=re.escape("key cannot be read: it is on cuda:0: call key.cpu()")):
        regard.attention(Q, Unreachable(), K)
    here = Unreachable()
    here.device = "cpu"
    with pytest.raises(ValueError, match="^key cannot be read: not here$"):
        regard.attention(Q, here, K)


class Elsewhere:
    """An array in memory of a kind that we know nothing about."""

    device = "nowhere:0"

    def __dlpack__(self):
        capsule = self.torch.ones(2, 2, 7, 8).__dlpack__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        ctypes.c_int32.from_address(pointer(capsule, b"dltensor") + 8).value = 99
        return capsule


def test_other_devices(torch):
    Elsewhere.torch = torch
    with pytest.raises(ValueError, match=re.escape("key is on nowhere:0: call key.cpu()")):
        regard.attention(Q, Elsewhere(), K)


class Broken:
    """An array whose library fails."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self):
        return self.capsule


@pytest.mark.parametrize("capsule", [None, 3, object()])
def test_capsules_that_are_none(capsule):
    with pytest.raises(TypeError):
        regard.attention(Broken(capsule), K, K)


@pytest.mark.parametrize("capsule", [None, 3, object()])
def test_interfaces_that_are_none(capsule):
    array = Broken(None)
    array.__array_struct__ = capsule
    with pytest.raises(TypeError):
        regard.attention(array, K, K)


def test_a_capsule_that_was_consumed(torch):
    capsule = torch.ones(2, 4, 5, 8).__dlpack__()
    torch.utils.dlpack.from_dlpack(capsule)
    with pytest.raises(ValueError):
        regard.attention(Broken(capsule), K, K)


SETTINGS = [
    (lambda: regard.Window(past=-1), ValueError, "past is -1: expected 0 or more"),
    (lambda: regard.Window(past=1.5), TypeError, "float"),
    (lambda: regard.Causal("top"), ValueError, 'corner is "top"'),
    (lambda: regard.Dilated(step=0), ValueError, "0 given"),
    (lambda: regard.Padding([3, -1]), ValueError, "lengths is -1"),
    (lambda: regard.Documents([1, 3]), ValueError, "offsets"),
    (lambda: regard.KeyMask(ones(3)), TypeError, "visible has no booleans"),
    (lambda: regard.DenseMask(ones(3, 3)), TypeError, "mask has no booleans: compare it, as in mask != 0"),
    (lambda: regard.DenseMask(ones(1, 1, 1, 3, 3, dtype=bool)), ValueError, "at most [batch, head, query, key]"),
    (lambda: regard.Blocks(ones(2, 2, dtype=bool), 300, 300), ValueError, "booleans given"),
    (lambda: regard.SoftCap(0), ValueError, "soft cap"),
    (lambda: regard.SoftCap("a"), TypeError, "must be real number"),
    (lambda: regard.Bilinear(ones(8)), ValueError, "weights has the shape [8]"),
    (lambda: regard.RelativeBuckets(ones(8)), ValueError, "table has the shape [8]: expected [bucket, head]"),
    (lambda: regard.RelativeBuckets(ones(3, 4)), ValueError, "3 buckets given"),
    (lambda: regard.Softmax(temperature=0), ValueError, "temperature"),
    (lambda: regard.TopK(0), ValueError, "0 given"),
    (lambda: regard.Entmax(1), ValueError, "entmax alpha: 1 given, a finite number greater than 1 expected"),
    (lambda: regard.Entmax(float("nan")), ValueError, "entmax alpha"),
    (lambda: regard.Entmax("2"), TypeError, "must be real number"),
    (lambda: regard.Gumbel(0), ValueError, "temperature"),
    (lambda: regard.Gumbel(seed=-1), ValueError, "seed is -1: expected 0 or more"),
    (lambda: regard.Sampled(-3), ValueError, "seed is -3"),
    (lambda: regard.Sampled(0.5), TypeError, "float"),
    (lambda: regard.Distance("a"), TypeError, "must be real number"),
    (lambda: regard.BigBird(block=0), ValueError, "block of BigBird: 0 given"),
    (lambda: regard.BigBird(window=-1), ValueError, "window is -1"),
    (lambda: regard.BigBird(corner="left"), ValueError, 'corner is "left"'),
    (lambda: regard.mask(lambda b, h, i, j: i + j, 5, 7), TypeError, "returned int64: expected booleans"),
    (lambda: regard.mask(lambda b, h, i, j: 1 / 0, 5, 7), ZeroDivisionError, "division by zero"),
    (lambda: regard.mask(lambda b, h, i, j: ones(3, dtype=bool), 5, 7), ValueError, "broadcast"),
    (lambda: regard.set_threads(0), ValueError, "expected at least 1"),
    (lambda: regard.set_threads(-1), ValueError, "expected at least 1"),
]


@pytest.mark.parametrize(("make", "error", "message"), SETTINGS)
def test_settings(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


NOUNS = [
    ({"mask": regard.Padding([1])}, ValueError, "1 lengths given"),
    ({"mask": ones(5, 6, dtype=bool)}, ValueError, "[2 or 1, 4 or 1, 5, 7]"),
    ({"mask": regard.BigBird(block=2)}, ValueError, "a multiple of the block of BigBird, 2"),
    ({"mask": 3}, TypeError, "mask is a int: expected a Mask or an array of booleans"),
    ({"bias": ones(5, 6)}, ValueError, "dense bias"),
    ({"bias": "x"}, TypeError, "bias is a str"),
    ({"bias": regard.Alibi([1.0])}, ValueError, "1 slopes given"),
    ({"bias": ones(5, 7, dtype="f8")}, TypeError, "bias is float64"),
    ({"score": regard.Causal()}, TypeError, "score is a Causal: expected a Score"),
    ({"score": regard.Bilinear(ones(3, 8))}, ValueError, "3"),
    ({"score": regard.Additive(ones(3))}, ValueError, "3 features given"),
    ({"normalizer": regard.Softmax(sink=[1.0])}, ValueError, "sink"),
    ({"normalizer": "softmax"}, TypeError, "normalizer is a str"),
    ({"dropout": 0.5}, TypeError, "dropout is a float: expected a Dropout"),
    ({"dropout": regard.Dropout(1.0)}, ValueError, "dropout probability: 1 given"),
]


@pytest.mark.parametrize(("nouns", "error", "message"), NOUNS, ids=str)
def test_nouns_that_do_not_fit(nouns, error, message):
    with pytest.raises(error, match=re.escape(message)):
        regard.attention(Q, K, K, **nouns)


def test_backward():
    out = regard.attention(Q, K, K)
    for context, lse, gradient, message in [
        (out.context[..., :3], out.lse, Q, "context has the shape [2, 4, 5, 3]: expected [2, 4, 5, 8]"),
        (out.context, out.lse[:1], Q, "lse has the shape"),
        (out.context, out.lse, Q[:, :, :1], "gradient has the shape"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            regard.attention_backward(Q, K, K, context, lse, gradient)


def test_observe():
    out = regard.attention(Q, K, K)
    with pytest.raises(ValueError, match="lse has the shape"):
        regard.observe(Q, K, out.lse[:1], [regard.Entropy()])
    with pytest.raises(ValueError, match="less than 4"):
        regard.observe(Q, K, out.lse, [regard.Weights([4])])
    with pytest.raises(ValueError, match="pixels"):
        regard.observe(Q, K, out.lse, [regard.Pyramid(0)])
    long = numpy.broadcast_to(ones(1, 1, 1, 8), (1, 1, 1 << 20, 8))
    lse = numpy.zeros((1, 1, 1 << 20), F)
    with pytest.raises(ValueError, match="a pyramid shows larger maps"):
        regard.observe(long, long, lse, [regard.Weights()])


def test_views_larger_than_memory():
    one, many = ones(1, 1, 1, 8), numpy.broadcast_to(ones(1, 1, 1, 8), (1, 1, 1 << 46, 8))
    lse, many_lse = ones(1, 1, 1), numpy.broadcast_to(ones(1, 1, 1), (1, 1, 1 << 46))
    for call in [
        lambda: regard.attention(many, one, one),
        lambda: regard.attention_backward(many, one, one, many, many_lse, many),
        lambda: regard.attention_backward(one, many, many, one, lse, one),
        lambda: regard.observe(many, one, many_lse, [regard.Entropy()]),
        lambda: regard.observe(one, many, lse, [regard.Received()]),
        lambda: regard.KeyMask(numpy.broadcast_to(ones(1, dtype=bool), 1 << 50)),
        lambda: regard.Alibi(numpy.broadcast_to(ones(1), 1 << 50)),
    ]:
        with pytest.raises((MemoryError, ValueError)):
            call()
