"""Generating with a cache."""

import numpy
import pytest
import reference

import regard

PRECISIONS = [("float32", 2e-6), ("float16", 2e-3), ("bfloat16", 2e-2), ("int8", 3e-2)]


@pytest.mark.parametrize(("precision", "atol"), PRECISIONS)
def test_step_by_step(inputs, precision, atol):
    q, k, v = inputs
    whole = regard.attention(q, k[:, :, :70], v[:, :, :70], mask=regard.Causal(), bias=regard.Alibi())
    cache = regard.KeyValueCache(precision)
    for at in range(70):
        cache.append(k[:, :, at : at + 1], v[:, :, at : at + 1])
        step = cache.attend(q[:, :, at : at + 1], bias=regard.Alibi())
        numpy.testing.assert_allclose(step.context, whole.context[:, :, at : at + 1], atol=atol)
    assert len(cache) == 70
    cache.truncate(30)
    again = cache.attend(q[:, :, :30], mask=regard.Causal(), bias=regard.Alibi())
    numpy.testing.assert_allclose(again.context, whole.context[:, :, :30], atol=atol)
    cache.attend(q, mask=numpy.ones((2, 1, 1, 30), bool))


def test_refusals(inputs):
    q, k, v = inputs
    cache = regard.KeyValueCache()
    with pytest.raises(ValueError, match="the cache is empty"):
        cache.attend(q)
    with pytest.raises(ValueError, match="precision is \"float64\""):
        regard.KeyValueCache("float64")
    cache.append(k, v)
    with pytest.raises(ValueError, match="keys"):
        cache.append(k[:, :1], v[:, :1])
    with pytest.raises(ValueError, match="query 2"):
        cache.append(k, v)
        cache.attend(numpy.ones((2, 2, 1, 2), "f4"))


def positions(x, sequence, part):
    return x[sequence : sequence + 1, :, part]


@pytest.mark.parametrize(("precision", "atol"), PRECISIONS)
def test_sequences_of_different_lengths(inputs, precision, atol):
    q, k, v = inputs
    cache = regard.PagedCache(2, 16, 8, precision=precision, page=64)
    lengths = [90, 37]
    for sequence, length in enumerate(lengths):
        assert cache.push() == sequence
        for part in (slice(0, 30), slice(30, length)):
            cache.append(sequence, positions(k, sequence, part), positions(v, sequence, part))
    assert (cache.lengths, len(cache), cache.pages) == (lengths, 2, 3)
    for queries, nouns in [(1, {}), (3, {"mask": regard.Causal(), "bias": regard.Alibi()}), (70, {"mask": regard.Window(past=9)})]:
        out = cache.attend(q[:, :, :queries], **nouns)
        for sequence, length in enumerate(lengths):
            alone = [positions(q, sequence, slice(queries)), *(positions(x, sequence, slice(length)) for x in (k, v))]
            expected = regard.attention(*alone, **nouns)
            numpy.testing.assert_allclose(out.context[sequence], expected.context[0], atol=atol)
            if queries == 1:
                numpy.testing.assert_allclose(expected.context, reference.attention(*alone)[0], atol=2e-6)


def test_forks_share_what_they_have_in_common(inputs):
    q, k, v = inputs
    cache = regard.PagedCache(2, 16, 8, page=64)
    cache.append(cache.push(), k[:1, :, :64], v[:1, :, :64])
    other = cache.fork(0)
    assert (other, cache.pages) == (1, 1)
    cache.append(0, k[:1, :, 64:70], v[:1, :, 64:70])
    cache.append(other, k[:1, :, 70:90], v[:1, :, 70:90])
    assert (cache.lengths, cache.pages) == ([70, 84], 3)
    out = cache.attend(q[:, :, :1])
    for sequence, seen in enumerate([numpy.arange(70), numpy.r_[:64, 70:90]]):
        expected = reference.attention(q[sequence : sequence + 1, :, :1], k[:1, :, seen], v[:1, :, seen])[0]
        numpy.testing.assert_allclose(out.context[sequence], expected[0], atol=2e-6)
    cache.truncate(1, 10)
    cache.select([1, 1, 0])
    assert (cache.lengths, cache.pages) == ([10, 10, 70], 2)
    cache.select([])
    assert (len(cache), cache.pages) == (0, 0)
    assert cache.attend(q[:0, :, :1]).context.shape == (0, 4, 1, 8)
    assert "[]" in repr(cache)


def test_a_sequence_without_positions(inputs):
    q, k, v = inputs
    cache = regard.PagedCache(2, 16, 8)
    cache.push(), cache.push()
    cache.append(1, k[:1], v[:1])
    out = cache.attend(q[:, :, :2])
    assert (out.context[0] == 0).all() and (out.lse[0] == -numpy.inf).all()
    assert numpy.isfinite(out.lse[1]).all()


def test_paged_refusals(inputs):
    q, k, v = inputs
    cache = regard.PagedCache(2, 16, 8)
    cache.push()
    cache.append(0, k[:1], v[:1])
    for call, message in [
        (lambda: cache.append(1, k[:1], v[:1]), "sequence: 1 given, less than 1 sequences expected"),
        (lambda: cache.append(-1, k[:1], v[:1]), "sequence is -1"),
        (lambda: cache.append(0, k, v), "keys: \\[2, 2, 90, 16\\] given, \\[1, 2, 90, 16\\] expected"),
        (lambda: cache.append(0, k[:1], v[:1, :, :3]), "values: .* given"),
        (lambda: cache.fork(3), "sequence: 3 given"),
        (lambda: cache.truncate(3, 1), "sequence: 3 given"),
        (lambda: cache.truncate(0, -1), "length is -1"),
        (lambda: cache.select([0, 1]), "sequence: 1 given"),
        (lambda: cache.attend(q), "query has 2 batches, the cache 1 sequences"),
        (lambda: cache.attend(q[:1, :3]), "query has 3 heads, the cache 2: expected a multiple of these"),
        (lambda: cache.attend(q[:1, :, :, :4]), "query has 4 features, the cache 16"),
        (lambda: cache.attend(q[0]), "query is 3-dimensional"),
        (lambda: regard.PagedCache(2, 16, page=100), "page: 100 given, a positive multiple of 64 expected"),
        (lambda: regard.PagedCache(2, 16, precision="float64"), 'precision is "float64"'),
        (lambda: regard.PagedCache(-1, 16), "key_heads is -1"),
        (lambda: regard.KeyValueCache().truncate(-1), "length is -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    assert cache.lengths == [90]


def test_tensors_in_a_paged_cache(inputs, torch):
    q, k, v = (torch.tensor(x[:1]).bfloat16() for x in inputs)
    cache = regard.PagedCache(2, 16, 8, precision="bfloat16")
    cache.append(cache.push(), k, v)
    out = cache.attend(q[:, :, :1])
    assert out.context.dtype == torch.bfloat16 and out.lse.dtype == torch.float32
    assert (out.context == regard.attention(q[:, :, :1], k, v).context).all()
