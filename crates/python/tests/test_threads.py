"""Threads of Python's, threads of ours, and forks."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest

import regard


@pytest.fixture
def large():
    random = numpy.random.default_rng(4)
    return [random.standard_normal((1, 4, 300, 32), dtype=numpy.float32) for _ in range(3)]


def test_the_number_of_threads_changes_nothing(large):
    before = regard.threads()
    try:
        results = []
        for count in (1, 2, 3):
            regard.set_threads(count)
            assert regard.threads() == count
            out = regard.attention(*large, mask=regard.Causal())
            results.append((out, regard.attention_backward(*large, *out, large[0], mask=regard.Causal())))
        for out, gradients in results[1:]:
            assert all((a == b).all() for a, b in zip(out, results[0][0]))
            assert all(numpy.allclose(a, b, atol=1e-6) for a, b in zip(gradients[:3], results[0][1][:3]))
    finally:
        regard.set_threads(before)


def test_many_threads_at_once(large, inputs):
    good, small = regard.attention(*large), regard.attention(*inputs)
    mask = regard.mask(lambda b, h, i, j: (i + j) % 3 > 0, 300, 300)
    masked = regard.attention(*large, mask=mask)
    cache = regard.KeyValueCache()
    cache.append(*large[1:])

    def work(i):
        if i % 7 == 0:
            with pytest.raises(ValueError, match="key has 16 features, query 32"):
                regard.attention(large[0], large[1][..., :16], large[2])
        if i % 5 == 0:
            with pytest.raises(TypeError):
                regard.attention(large[0].astype("f8"), *large[1:])
        if i % 11 == 0:
            regard.set_threads(1 + i % 3)
        assert (regard.attention(*large).context == good.context).all()
        assert (regard.attention(*inputs).context == small.context).all()
        assert (regard.attention(*large, mask=mask).context == masked.context).all()
        cache.append(large[1][:, :, :1], large[2][:, :, :1])
        cache.attend(large[0][:, :, :1])
        regard.observe(*large[:2], good.lse, [regard.Entropy(), regard.TopKeys(3)])
        regard.attention_backward(*large, *good, large[0])

    before = regard.threads()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(48)))
    regard.set_threads(before)
    assert len(cache) == 348


def test_a_paged_cache_in_many_threads(large):
    query, key, value = (x[:, :, :200] for x in large)
    cache = regard.PagedCache(4, 32, page=64)
    for _ in range(4):
        cache.append(cache.push(), key, value)
    queries = numpy.repeat(query[:, :, :1], 4, axis=0)
    expected = cache.attend(queries).context[3]

    def work(i):
        sequence = i % 3
        if i % 4 == 0:
            with pytest.raises(ValueError, match="sequence: 9 given"):
                cache.truncate(9, 0)
        cache.append(sequence, key[:, :, :3], value[:, :, :3])
        # Nobody touches the last.
        assert (cache.attend(queries).context[3] == expected).all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(60)))
    assert cache.lengths == [260, 260, 260, 200]


def test_the_other_engines_in_many_threads(large):
    small = [x[:, :, :60] for x in large]
    linear = regard.linear_attention(*large).context
    pairs = regard.trilinear_attention(*small, *small[1:], windows=(8, 4)).context
    bias = numpy.zeros((300, 300), "f4")
    plain = regard.attention(*large, bias=bias).context

    def work(_):
        assert (regard.linear_attention(*large).context == linear).all()
        assert (regard.trilinear_attention(*small, *small[1:], windows=(8, 4)).context == pairs).all()
        assert (regard.attention(*large, bias=bias).context == plain).all()
        regard.linear_attention_backward(*large, large[0])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(24)))


def test_the_interpreter_is_free_meanwhile():
    random = numpy.random.default_rng(5)
    q, k, v = (random.standard_normal((1, 2, 3000, 64), dtype=numpy.float32) for _ in range(3))
    counted, done = 0, threading.Event()

    def call():
        regard.attention(q, k, v)
        done.set()

    thread = threading.Thread(target=call)
    thread.start()
    while not done.wait(1e-4):
        counted += 1
    thread.join()
    assert counted > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_its_own_threads(large):
    expected = regard.attention(*large).context
    child = os.fork()
    if child == 0:
        same = (regard.attention(*large).context == expected).all()
        regard.set_threads(1)
        same = same and (regard.attention(*large).context == expected).all()
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (regard.attention(*large).context == expected).all()


def test_the_import_starts_nothing():
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc")

    def started(by):
        code = f"import os, sys, {by}; print(len(os.listdir('/proc/self/task')), 'torch' in sys.modules)"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    # numpy may start threads of its own.
    assert started("regard") == started("numpy")
