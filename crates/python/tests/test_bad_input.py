"""Every array that a function or a noun takes, given in every way that it cannot be taken."""

import re

import numpy
import pytest

import regard

RANDOM = numpy.random.default_rng(8)


def normal(*shape):
    return RANDOM.standard_normal(shape).astype("f4")


Q, K, V = normal(2, 4, 5, 8), normal(2, 2, 7, 8), normal(2, 2, 7, 6)
OUT = regard.attention(Q, K, V)
SAME = {"query": normal(2, 4, 5, 8), "key": normal(2, 2, 5, 8), "value": normal(2, 2, 5, 6)}
PAIRS = {**SAME, "second_key": normal(2, 2, 5, 8), "second_value": normal(2, 2, 5, 6)}
LINEAR = {**SAME, "decay": -abs(normal(2, 2, 5, 8)), "beta": abs(normal(2, 2, 5, 1)), "state": normal(2, 2, 8, 6)}
THREE = regard.trilinear_attention(**PAIRS)


def full_cache():
    cache = regard.KeyValueCache()
    cache.append(K, V)
    return cache


def full_pages():
    cache = regard.PagedCache(2, 8, 6)
    for batch in range(2):
        cache.append(cache.push(), K[batch : batch + 1], V[batch : batch + 1])
    return cache


#: What is called, and good arrays for it.
CALLS = {
    "attention": (regard.attention, {"query": Q, "key": K, "value": V}),
    "attention_backward": (
        regard.attention_backward,
        {"query": Q, "key": K, "value": V, "context": OUT.context, "lse": OUT.lse, "gradient": OUT.context},
    ),
    "observe": (lambda **given: regard.observe(**given, probes=[regard.Entropy()]), {"query": Q, "key": K, "lse": OUT.lse}),
    "linear_attention": (regard.linear_attention, LINEAR),
    "linear_attention_backward": (
        regard.linear_attention_backward,
        {**LINEAR, "gradient": normal(2, 4, 5, 6), "state_gradient": LINEAR["state"]},
    ),
    "trilinear_attention": (regard.trilinear_attention, PAIRS),
    "trilinear_attention_backward": (
        regard.trilinear_attention_backward,
        {**PAIRS, "context": THREE.context, "lse": THREE.lse, "gradient": THREE.context},
    ),
    "rotate": (regard.rotate, {"x": Q, "cos": normal(1, 1, 5, 4), "sin": normal(1, 1, 5, 4)}),
    "KeyValueCache.append": (lambda **given: regard.KeyValueCache().append(**given), {"key": K, "value": V}),
    "KeyValueCache.attend": (lambda **given: full_cache().attend(**given), {"query": Q}),
    "PagedCache.append": (lambda **given: full_pages().append(0, **given), {"key": K[:1], "value": V[:1]}),
    "PagedCache.attend": (lambda **given: full_pages().attend(**given), {"query": Q}),
    # Nouns say what they were given for.
    "DenseBias": (lambda bias: regard.attention(Q, K, V, bias=regard.DenseBias(bias)), {"bias": normal(2, 4, 5, 7)}),
    "Cosine": (lambda tau: regard.Cosine(tau), {"tau": normal(4)}),
    "Bilinear": (lambda weights: regard.Bilinear(weights), {"weights": normal(4, 8, 8)}),
    "Additive": (lambda v: regard.Additive(v), {"v": normal(4, 8)}),
    "Alibi": (lambda slopes: regard.Alibi(slopes), {"slopes": normal(4)}),
    "RelativeBuckets": (lambda table: regard.RelativeBuckets(table), {"table": normal(8, 4)}),
    "Softmax": (lambda sink: regard.Softmax(sink=sink), {"sink": normal(4)}),
}
BOOLEANS = {
    "KeyMask": (lambda visible: regard.KeyMask(visible), {"visible": numpy.ones((2, 7), bool)}),
    "DenseMask": (lambda mask: regard.DenseMask(mask), {"mask": numpy.ones((2, 4, 5, 7), bool)}),
    "Blocks": (lambda layout: regard.Blocks(layout, 5, 7), {"layout": numpy.ones((2, 4, 1, 1), bool)}),
}

each = pytest.mark.parametrize(("call", "name"), [(call, name) for call, (_, given) in CALLS.items() for name in given])
ranked = pytest.mark.parametrize(
    ("call", "name"),
    [(call, name) for call, (_, given) in CALLS.items() for name in given if call[0].islower() or "." in call],
)


def run(call, name, change):
    """Calls with one of the arrays changed."""
    function, given = CALLS[call]
    return function(**{**given, name: change(given[name])})


@pytest.mark.parametrize("call", CALLS)
def test_what_is_good_is_taken(call):
    function, given = CALLS[call]
    function(**given)


@each
@pytest.mark.parametrize(
    ("dtype", "given"),
    [("f8", "float64"), (object, "object"), ("i4", "int32"), (">f4", ">f4"), ("c8", "complex64"), ("O", "object")],
)
def test_other_numbers(call, name, dtype, given):
    with pytest.raises(TypeError, match=re.escape(f"{name} is {given}: expected float32, float16 or bfloat16")):
        run(call, name, lambda array: array.astype(dtype))


@each
@pytest.mark.parametrize(("dtype", "given"), [("i8", "whole numbers"), (bool, "booleans")])
def test_numbers_that_are_known_but_not_here(call, name, dtype, given):
    with pytest.raises(TypeError, match=f"{name} has {given}: expected float32"):
        run(call, name, lambda array: array.astype(dtype))


@each
def test_negative_strides(call, name):
    def turned(array):
        axis = max(range(array.ndim), key=lambda axis: array.shape[axis])
        return numpy.flip(array, axis)

    with pytest.raises(ValueError, match=re.escape(f"{name} has negative strides: call {name}.copy()")):
        run(call, name, turned)


@each
def test_memory_between_numbers(call, name):
    def shifted(array):
        memory = bytearray(array.nbytes + 1)
        moved = numpy.frombuffer(memory, "f4", array.size, 1).reshape(array.shape)
        moved[...] = array
        return moved

    with pytest.raises(ValueError, match=re.escape(f"{name} is not aligned to its numbers: call {name}.copy()")):
        run(call, name, shifted)


@each
def test_memory_that_is_nowhere(call, name, torch):
    with pytest.raises(ValueError, match=f"{name} cannot be read: it is on meta, and has no numbers"):
        run(call, name, lambda array: torch.ones(array.shape, device="meta"))


@ranked
@pytest.mark.parametrize("change", [lambda array: array[0], lambda array: array[None], lambda array: array[0, 0]])
def test_wrong_ranks(call, name, change):
    # Tables of rotations may have fewer axes, for all heads or batches.
    if call == "rotate" and name != "x" and change(numpy.empty((1, 2, 3, 4))).ndim < 4:
        return
    with pytest.raises(ValueError, match=rf"{name} (is \d-dimensional|has the shape)|axes"):
        run(call, name, change)


@ranked
def test_no_arrays(call, name):
    for nothing in (3, "x", [1.0], object(), range(4)):
        with pytest.raises(TypeError, match=f"{name} is a .*: expected a numpy array or a CPU tensor"):
            run(call, name, lambda _: nothing)


@each
def test_read_only_is_as_good(call, name):
    def frozen(array):
        array = array.copy()
        array.flags.writeable = False
        return array

    run(call, name, frozen)


@pytest.mark.parametrize("call", BOOLEANS)
def test_masks(call):
    function, given = BOOLEANS[call]
    function(**given)
    ((name, array),) = given.items()
    axis = max(range(array.ndim), key=lambda axis: array.shape[axis])
    for change, error, message in [
        (lambda array: array.astype("f4"), TypeError, f"{name} has no booleans: compare it, as in {name} != 0"),
        (lambda array: array.astype("i8"), TypeError, f"{name} has no booleans"),
        (lambda array: array.astype("f8"), TypeError, f"{name} is float64"),
        (lambda array: array.astype(object), TypeError, f"{name} is object"),
        (lambda array: numpy.flip(array, axis), ValueError, f"{name} has negative strides"),
        (lambda array: array[None, None, None], ValueError, f"{name} has the shape"),
    ]:
        with pytest.raises(error, match=re.escape(message)):
            function(change(array))


def test_mismatched_heads():
    for key_heads in (3, 0, 8):
        keys = normal(2, key_heads, 5, 8)
        for call in (
            lambda: regard.attention(SAME["query"], keys, keys),
            lambda: regard.observe(SAME["query"], keys, OUT.lse, [regard.Entropy()]),
            lambda: regard.linear_attention(SAME["query"], keys, keys),
            lambda: regard.trilinear_attention(SAME["query"], keys, keys, keys, keys),
        ):
            with pytest.raises(ValueError, match=rf"{key_heads} heads"):
                call()


NORMALIZERS = [
    regard.Softmax(),
    regard.Softmax(sink=[0.0] * 4),
    regard.Sigmoid(),
    regard.TopK(3),
    regard.Sparsemax(),
    regard.Entmax15(),
    regard.Entmax(1.3),
    regard.Hard(),
    regard.Gumbel(0.5, 3),
    regard.Gumbel(0.5, 3, hard=True),
    regard.Sampled(3),
]


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
def test_nothing_to_see_and_nothing_to_leak(normalizer):
    """Half of the queries see nothing, and behind the mask there is no number."""
    q, k, v = Q.copy(), K.copy(), V.copy()
    k[:, :, 4:], v[:, :, 4:] = numpy.nan, numpy.inf
    mask = numpy.zeros((5, 7), bool)
    mask[::2, :4] = True
    nouns = {"mask": mask, "normalizer": normalizer}
    out = regard.attention(q, k, v, **nouns)
    assert (out.context[:, :, 1::2] == 0).all() and numpy.isfinite(out.context).all()
    gradients = regard.attention_backward(q, k, v, *out, out.context, **nouns)
    assert all(numpy.isfinite(gradient).all() for gradient in gradients[:3])
    assert (gradients.query[:, :, 1::2] == 0).all() and (gradients.key[:, :, 4:] == 0).all()
    probes = [regard.Entropy(), regard.TopKeys(2), regard.Received(), regard.Pyramid(3), regard.Weights()]
    entropy, top, received, pyramid, weights = regard.observe(q, k, out.lse, probes, **nouns)
    for seen in (entropy.values, top.weights, received.values, pyramid.mean, pyramid.max, weights.values):
        assert numpy.isfinite(seen).all()
    assert (weights.values[:, :, 1::2] == 0).all() and (top.keys[:, :, 1::2] == -1).all()


def test_not_a_number_goes_where_it_is_seen():
    q, k, v = Q.copy(), K.copy(), V.copy()
    v[0, 0, 3, 2] = numpy.nan
    context = regard.attention(q, k, v, mask=numpy.arange(7) != 3).context
    assert numpy.isfinite(context).all()
    context = regard.attention(q, k, v).context
    # The heads that share the key head, and that feature alone.
    assert numpy.isnan(context[0, :2, :, 2]).all() and numpy.isfinite(numpy.delete(context, 2, axis=3)).all()
    q[1, 3, 4] = numpy.inf
    out = regard.attention(q, k, v)
    assert numpy.isnan(out.context[1, 3, 4]).all() and numpy.isfinite(out.context[1, :3]).all()


def test_arrays_that_overlap():
    """Windows of one buffer: each number belongs to many positions."""
    buffer = normal(40)
    windows = numpy.lib.stride_tricks.as_strided(buffer, (1, 2, 9, 8), (0, 4, 12, 4))
    copy = windows.copy()
    out, expected = (regard.attention(x, x, x) for x in (windows, copy))
    assert (out.context == expected.context).all()
    given, expected = (regard.attention_backward(x, x, x, *out, copy) for x in (windows, copy))
    assert all((x == y).all() for x, y in zip(given[:3], expected[:3]))
    assert not any(numpy.shares_memory(x, buffer) for x in (*out, *given[:3]))
