"""`regard.look` and traces against the weights of the definition."""

import json
import math
import struct

import numpy
import pytest

torch = pytest.importorskip("torch")

import regard  # noqa: E402
import regard.torch as ours  # noqa: E402


class Layer(torch.nn.Module):
    """Self-attention of 4 heads, 2 of keys, as a layer of a model has it."""

    def __init__(self, mask, bias):
        super().__init__()
        self.q, self.k = torch.nn.Linear(16, 32), torch.nn.Linear(16, 16)
        self.mask, self.bias = mask, bias

    def forward(self, x):
        heads = [made.unflatten(2, (-1, 8)).transpose(1, 2) for made in (self.q(x), self.k(x))]
        self.seen = heads
        out = ours.attention(*heads, heads[1], mask=self.mask, bias=self.bias, module=self).context
        return x + out.transpose(1, 2).flatten(2)[..., :16]


class Reader(torch.nn.Module):
    def __init__(self, mask=regard.Causal(), bias=None, layers=2):
        super().__init__()
        torch.manual_seed(1)
        self.words = torch.nn.Embedding(50, 16)
        self.layers = torch.nn.ModuleList(Layer(mask, bias) for _ in range(layers))

    def forward(self, input_ids):
        x = 3 * self.words(input_ids)
        for layer in self.layers:
            x = layer(x)
        return x


def weights(layer, visible, shape=lambda scores: scores):
    """By the definition, ``[batch, head, query, key]``."""
    query, key = (part.detach().double() for part in layer.seen)
    scores = shape(query @ key.repeat_interleave(2, 1).mT / math.sqrt(8)).masked_fill(~visible, -math.inf)
    return scores.softmax(-1).nan_to_num(0).numpy()


def looked(model, ids, **options):
    with torch.no_grad(), regard.look(model, **options) as trace:
        model(ids)
    return trace


IDS = torch.arange(2 * 23).reshape(2, 23) % 50
CAUSAL = torch.ones(23, 23, dtype=torch.bool).tril()
REAL = torch.ones(2, 23, dtype=torch.bool)
REAL[1, 19:] = False
DISTANCE = (torch.arange(23)[:, None] - torch.arange(23)).abs()


@pytest.mark.parametrize(
    ("mask", "bias", "visible", "shape"),
    [
        (regard.Causal(), None, CAUSAL, None),
        (regard.Causal() & regard.Window(past=4), None, CAUSAL & (DISTANCE <= 4), None),
        (regard.Causal() & regard.KeyMask(REAL), None, CAUSAL & REAL[:, None, None], None),
        (regard.Causal() & regard.Padding([23, 19]), None, CAUSAL & REAL[:, None, None], None),
        (regard.Documents([0, 9, 23]), None, (torch.arange(23)[:, None] < 9) == (torch.arange(23) < 9), None),
        (regard.Causal(), regard.SoftCap(2.0), CAUSAL, lambda scores: 2 * torch.tanh(scores / 2)),
        (None, regard.Alibi(), CAUSAL | True, lambda scores: scores - 2.0 ** -torch.arange(2, 9, 2).double()[:, None, None] * DISTANCE),
        (~regard.Causal(), None, ~CAUSAL, None),
        (regard.DenseMask(REAL[:, None, None]), None, REAL[:, None, None].expand(2, 1, 23, 23), None),
    ],
)
def test_a_trace_is_what_was_computed(tmp_path, mask, bias, visible, shape):
    model = Reader(mask, bias)
    trace = looked(model, IDS)
    for batch in range(2):
        trace.save(tmp_path / "a.trace", batch=batch)
        loaded = regard.Trace.load(tmp_path / "a.trace")
        for layer in range(2):
            expected = weights(model.layers[layer], visible, shape or (lambda scores: scores))[batch]
            for head in (0, 3):
                numpy.testing.assert_allclose(trace.map(layer, head, batch=batch), expected[head], atol=2e-6)
                numpy.testing.assert_allclose(loaded.map(layer, head), expected[head], atol=2e-6)
            numpy.testing.assert_allclose(trace.map(layer, batch=batch), expected.mean(0), atol=2e-6)
            part = trace.map(layer, 1, batch=batch, queries=range(4, 9), keys=range(2, 20))
            numpy.testing.assert_allclose(part, expected[1, 4:9, 2:20], atol=2e-6)
            entropy = -(expected * numpy.log(numpy.where(expected > 0, expected, 1))).sum(-1)
            numpy.testing.assert_allclose(trace.entropy(layer, 2, batch=batch), entropy[2], atol=1e-5)
            numpy.testing.assert_allclose(loaded.entropy(layer), entropy.mean(0), atol=1e-5)
            numpy.testing.assert_allclose(trace.received(layer, batch=batch), expected.mean(0).sum(0), atol=1e-5)
            (_, key, weight), *_ = trace.top(layer, 2, 12, batch=batch)
            assert expected[2, 12, key] == pytest.approx(expected[2, 12].max(), abs=2e-6) == pytest.approx(weight, abs=4e-6)
        page = trace.html(batch=batch)
        assert page.lower().startswith("<!doctype html>") and "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    "nouns",
    [
        {"normalizer": regard.Softmax(sink=numpy.arange(4, dtype=numpy.float32))},
        {"score": regard.Cosine(numpy.arange(1, 5, dtype=numpy.float32))},
    ],
)
def test_heads_that_nouns_tell_apart(tmp_path, nouns):
    class Once(torch.nn.Module):
        def forward(self, x):
            return ours.attention(x, x, x, module=self, **nouns).context

    torch.manual_seed(2)
    x = torch.randn(1, 4, 9, 8)
    with torch.no_grad(), regard.look(model := Once()) as trace:
        model(x)
    probe = regard.Weights()
    regard.observe(x, x, regard.attention(x, x, x, **nouns).lse, [probe], **nouns)
    trace.save(tmp_path / "a.trace")
    for told in (trace, regard.Trace.load(tmp_path / "a.trace")):
        for head in range(4):
            numpy.testing.assert_allclose(told.map(0, head), probe.values[0, head].numpy(), atol=1e-6)


def test_rollout_is_the_product_of_the_layers():
    model = Reader(layers=3)
    trace = looked(model, IDS)
    share = numpy.eye(23)
    for layer in model.layers:
        share = (0.5 * numpy.eye(23) + 0.5 * weights(layer, CAUSAL)[0].mean(0)) @ share
    numpy.testing.assert_allclose(trace.rollout(), share[-1], atol=1e-6)
    numpy.testing.assert_allclose(trace.rollout(7), share[7], atol=1e-6)


def test_probes_alone_tell_the_same(tmp_path):
    model = Reader()
    states, probes = looked(model, IDS), looked(model, IDS, keep="probes")
    for layer in range(2):
        numpy.testing.assert_array_equal(probes.map(layer, 1, batch=1), states.map(layer, 1, batch=1))
        numpy.testing.assert_allclose(probes.entropy(layer, 3), states.entropy(layer, 3), atol=1e-6)
        numpy.testing.assert_allclose(probes.received(layer), states.received(layer), atol=1e-5)
        assert probes.top(layer, 2, 20, 3) == states.top(layer, 2, 20, 3)
    probes.save(tmp_path / "a.trace")
    numpy.testing.assert_array_equal(regard.Trace.load(tmp_path / "a.trace").map(0, 1), states.map(0, 1))
    with pytest.raises(ValueError, match='keep="states"'):
        probes.map(0, 1, queries=range(3))


def test_long_sequences_are_shrunk_and_exact_where_asked(tmp_path):
    model = Reader(layers=1)
    ids = torch.arange(1500)[None] % 50
    trace = looked(model, ids)
    expected = weights(model.layers[0], torch.ones(1500, 1500, dtype=torch.bool).tril())[0]
    assert trace.map(0, 1).shape == (256, 256)
    assert trace.map(0, 1).max() == pytest.approx(expected[1].max(), abs=2e-6)
    assert trace.weight(0, 1, 1400, 77) == pytest.approx(expected[1, 1400, 77], abs=2e-6)
    assert len(trace._repr_html_()) < 2_000_000
    assert trace.svg(tmp_path / "a.svg", 0, 1).startswith("<svg")
    assert trace.png(None, 0).startswith(b"\x89PNG")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


class Writer(torch.nn.Module):
    """Reads in parts: keys of earlier ones are kept, all or as many as a window holds."""

    def __init__(self, window=None, bias=None):
        super().__init__()
        torch.manual_seed(4)
        self.words, self.window, self.bias = torch.nn.Embedding(50, 16), window, bias
        self.start()

    def start(self):
        self.past, self.real = torch.zeros(2, 2, 0, 8), torch.zeros(2, 0, dtype=torch.bool)

    def forward(self, input_ids, real=None):
        q = 2 * self.words(input_ids).unflatten(2, (2, 8)).transpose(1, 2)
        k = torch.cat([self.past, q.flip(3)], 2)
        self.real = torch.cat([self.real, torch.ones_like(input_ids, dtype=torch.bool) if real is None else real], 1)
        mask = regard.Causal()
        if self.window:
            mask &= regard.Window(past=self.window - 1)
        if not self.real.all():
            mask &= regard.KeyMask(self.real)
        ours.attention(q, k, k, mask=mask, bias=self.bias, module=self)
        keep = None if self.window is None else max(0, k.shape[2] - self.window + 1)
        self.past, self.real = k[:, :, keep:], self.real[:, keep:]
        return q


@pytest.mark.parametrize("bias", [None, regard.SoftCap(2.0), regard.Alibi()])
@pytest.mark.parametrize("window", [None, 5, 30])
@pytest.mark.parametrize("parts", [[9] + [1] * 14, [2] + [1] * 21, [1, 1, 20, 1], [23]])
def test_passes_are_one_text(window, bias, parts):
    writer, real = Writer(window, bias), torch.ones(2, 23, dtype=torch.bool)
    real[1, :3] = False
    with torch.no_grad(), regard.look(writer) as whole:
        writer(IDS, real)
    writer.start()
    with torch.no_grad(), regard.look(writer) as trace:
        for part, seen in zip(IDS.split(parts, 1), real.split(parts, 1)):
            writer(part, seen)
    assert trace.sites[0].shape == (2, 2, 23, 23)
    for batch in range(2):
        numpy.testing.assert_allclose(trace.map(0, 1, batch=batch), whole.map(0, 1, batch=batch), atol=1e-5)


def test_a_pass_that_does_not_go_on_takes_the_place_of_the_one_before():
    writer = Writer()
    with torch.no_grad(), pytest.warns(UserWarning, match="only the last time"), regard.look(writer) as trace:
        writer(IDS[:, :9])
        writer.start()
        writer(IDS[:, 3:7])
    assert trace.map(0, 1).shape == (4, 4)


@pytest.mark.parametrize(
    "nouns",
    [
        {"normalizer": regard.Gumbel(0.5, 3)},
        {"normalizer": regard.Sampled(3)},
        {"bias": regard.Modify(lambda score, b, h, i, j: score + b * 0.3 * (i - j))},
        {"mask": regard.mask(lambda b, h, i, j: (i + j + b) % 3 > 0, 9, 9, batch=2)},
        {"mask": ~regard.mask(lambda b, h, i, j: (i + j + b) % 3 > 0, 9, 9, batch=2) | regard.Causal()},
    ],
)
def test_sequences_that_nouns_tell_apart(tmp_path, nouns):
    class Once(torch.nn.Module):
        def forward(self, x):
            return ours.attention(x, x, x, module=self, **nouns).context

    torch.manual_seed(2)
    x = torch.randn(2, 4, 9, 8)
    with torch.no_grad(), regard.look(model := Once()) as trace:
        model(x)
    probe = regard.Weights()
    regard.observe(x, x, regard.attention(x, x, x, **nouns).lse, [probe], **nouns)
    for batch in range(2):
        trace.save(tmp_path / "a.trace", batch=batch)
        loaded = regard.Trace.load(tmp_path / "a.trace")
        for head in (0, 3):
            expected = probe.values[batch, head].numpy()
            numpy.testing.assert_allclose(trace.map(0, head, batch=batch), expected, atol=1e-6)
            numpy.testing.assert_allclose(loaded.map(0, head), expected, atol=1e-6)


def test_pictures_of_long_maps_have_a_size_for_screens():
    trace = looked(Reader(layers=1), torch.arange(700)[None] % 50)
    for picture in (trace.png(None, 0, 1), looked(Reader(layers=1), IDS).png(None, 0, 1)):
        width, height = struct.unpack(">II", picture[16:24])
        assert 500 < width <= 3200 and 500 < height <= 3200


def test_tokens_are_labels():
    words = [f"word{i}" for i in range(23)]
    assert looked(Reader(), IDS[:1], tokens=words).tokens("tokens") == words
    assert looked(Reader(), IDS).tokens("tokens", 1)[0] == "23"
    assert "23 tokens" in repr(looked(Reader(), IDS))


def test_sdpa_of_a_model_that_knows_nothing_of_regard():
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    with ours.replace_sdpa(), regard.look(layer) as trace:
        layer(torch.randn(1, 12, 16))
    assert trace.map(0).shape == (12, 12)
    numpy.testing.assert_allclose(trace.map(0, 1).sum(1), 1, atol=1e-5)


def test_what_is_not_there_is_said(tmp_path):
    trace = looked(Reader(), IDS)
    for ask, error in [
        (lambda: trace.map(7), IndexError),
        (lambda: trace.map(0, 4), IndexError),
        (lambda: trace.map(0, batch=2), IndexError),
        (lambda: trace.map(0, queries=range(90, 91)), ValueError),
        (lambda: trace.map(0, pool="sum"), ValueError),
        (lambda: trace.tokens("elsewhere"), KeyError),
        (lambda: looked(Reader(), IDS, keep="all"), ValueError),
        (lambda: regard.Trace.load(tmp_path / "nothing"), OSError),
        (lambda: trace.save(tmp_path / "nowhere" / "a.trace"), OSError),
    ]:
        with pytest.raises(error):
            ask()
    with pytest.warns(UserWarning, match="without Regard"):
        looked(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    assert "empty" in repr(regard.Trace()) and "empty" in regard.Trace()._repr_html_()


def test_files_that_are_cut_or_newer_are_refused(tmp_path):
    path = tmp_path / "a.trace"
    looked(Reader(), IDS).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a trace"):
        regard.Trace.load(path)
    (size,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + size])
    header["__metadata__"]["regard.trace"] = header["__metadata__"]["regard.trace"].replace('"version":2', '"version":9')
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + size :])
    with pytest.raises(ValueError, match="version 9.*newer"):
        regard.Trace.load(path)


def test_files_that_are_damaged_anywhere_are_refused_or_read(tmp_path):
    path = tmp_path / "a.trace"
    looked(Reader(), IDS).save(path)
    whole = path.read_bytes()
    for end in [0, 1, 7, 8, 9, 100, len(whole) - 1, *range(200, len(whole), 997)]:
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError):
            regard.Trace.load(path)
    random = numpy.random.default_rng(5)
    for _ in range(300):
        damaged = bytearray(whole)
        # Most damage to what says how the rest is to be read.
        damaged[random.integers(1200 if random.random() < 0.8 else len(whole))] = random.integers(256)
        path.write_bytes(damaged)
        try:
            regard.Trace.load(path).map(0, 0)
        except (ValueError, IndexError):
            pass


def test_a_trace_is_read_by_many_threads_at_once():
    from concurrent.futures import ThreadPoolExecutor

    trace = looked(Reader(), IDS)
    expected = [(trace.map(layer, 1), trace.entropy(layer)) for layer in range(2)]

    def work(i):
        layer = i % 2
        assert (trace.map(layer, 1) == expected[layer][0]).all()
        assert (trace.entropy(layer) == expected[layer][1]).all()
        if i % 8 == 0:
            assert trace.html() == page

    page = trace.html()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(32)))
