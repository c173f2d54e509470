"""`regard.torch` against autograd of the definition in float64."""

import math

import pytest

torch = pytest.importorskip("torch")

import regard  # noqa: E402
import regard.torch as ours  # noqa: E402

functional = torch.nn.functional


def definition(query, key, value, visible=None, bias=None, scale=None, sink=None):
    """Attention in float64, by its formula; heads of keys are repeated."""
    query, key, value = query.double(), key.double(), value.double()
    group = query.shape[-3] // key.shape[-3] if query.ndim > 2 else 1
    if group > 1:
        key, value = key.repeat_interleave(group, -3), value.repeat_interleave(group, -3)
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if bias is not None:
        scores = scores + bias.double()
    if visible is not None:
        scores = scores.masked_fill(~visible, -math.inf)
    if sink is not None:
        column = sink.double().view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        weights = torch.cat([scores, column], -1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1).nan_to_num(0)
    return weights @ value


def leaves(*shapes, dtype=torch.float32):
    random = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=random).to(dtype).requires_grad_() for shape in shapes]


def agree(given, expected, tolerance=2e-5):
    """Context and every gradient, of the same leaves."""
    for name, tensor, other in zip(("context", "query", "key", "value", "parameter"), given, expected):
        assert tensor.shape == other.shape, name
        torch.testing.assert_close(tensor.double(), other.double(), rtol=tolerance, atol=tolerance, msg=lambda m: f"{name}: {m}")


def with_gradients(context, tensors):
    weights = torch.randn(context.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradients = torch.autograd.grad(context, tensors, weights.to(context.dtype))
    return [context, *gradients]


@pytest.mark.parametrize("queries, keys", [(70, 90), (90, 70), (1, 33), (64, 64)])
@pytest.mark.parametrize("causal", [False, True])
def test_matches_the_definition(queries, keys, causal):
    tensors = leaves((2, 4, queries, 16), (2, 2, keys, 16), (2, 2, keys, 8))
    visible = torch.ones(queries, keys, dtype=torch.bool).tril() if causal else None
    context = ours.scaled_dot_product_attention(*tensors, is_causal=causal, scale=0.3, enable_gqa=True)
    agree(with_gradients(context, tensors), with_gradients(definition(*tensors, visible, scale=0.3), tensors))


@pytest.mark.parametrize("shape", [(2, 3, 20, 30), (1, 3, 20, 30), (2, 1, 20, 30), (20, 30), (1, 30), (3, 20, 1), (2, 1, 1, 30), ()])
def test_a_float_mask_has_the_gradient_of_its_broadcast(shape):
    tensors = leaves((2, 3, 20, 16), (2, 3, 30, 16), (2, 3, 30, 16), shape or (1,))
    context = ours.scaled_dot_product_attention(*tensors[:3], attn_mask=tensors[3])
    agree(with_gradients(context, tensors), with_gradients(definition(*tensors[:3], bias=tensors[3]), tensors))


@pytest.mark.parametrize("shape", [(2, 3, 20, 30), (1, 1, 20, 30), (20, 30), (1, 30), (2, 1, 1, 30)])
def test_a_boolean_mask_shows_what_is_true(shape):
    tensors = leaves((2, 3, 20, 16), (2, 3, 30, 16), (2, 3, 30, 16))
    visible = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.6
    visible[..., 0, :3] = False
    context = ours.scaled_dot_product_attention(*tensors, visible)
    agree(with_gradients(context, tensors), with_gradients(definition(*tensors, visible), tensors))


def test_a_row_that_sees_nothing_is_zero_and_has_no_gradient():
    tensors = leaves((1, 1, 3, 4), (1, 1, 5, 4), (1, 1, 5, 4))
    visible = torch.tensor([[True] * 5, [False] * 5, [True] * 5])
    context, query, *_ = with_gradients(ours.scaled_dot_product_attention(*tensors, visible), tensors)
    assert not context[0, 0, 1].any() and not query[0, 0, 1].any()


@pytest.mark.parametrize("axes", [(), (5,), (2, 3), (2, 2, 3), (2, 1, 2, 3)])
def test_any_axes_come_first(axes):
    tensors = leaves((*axes, 7, 4), (*axes, 9, 4), (*axes, 9, 4))
    bias = torch.randn(*axes, 7, 9)
    context = ours.scaled_dot_product_attention(*tensors, bias)
    agree(with_gradients(context, tensors), with_gradients(definition(*tensors, bias=bias), tensors))


def test_axes_before_heads_broadcast():
    tensors = leaves((1, 3, 7, 4), (2, 3, 9, 4), (2, 1, 9, 4))
    context = ours.scaled_dot_product_attention(*tensors)
    agree(with_gradients(context, tensors), with_gradients(definition(*tensors[:2], tensors[2].expand(2, 3, 9, 4)), tensors))


def test_strides_are_read_as_they_are():
    tensors = leaves((2, 20, 3, 16), (2, 30, 3, 16), (2, 16, 3, 30))
    query, key, value = tensors[0].transpose(1, 2), tensors[1].transpose(1, 2)[..., ::2, :], tensors[2].permute(0, 2, 3, 1)[..., ::2, :]
    context = ours.scaled_dot_product_attention(query, key, value)
    agree(with_gradients(context, tensors), with_gradients(definition(query, key, value), tensors))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 4e-3), (torch.bfloat16, 3e-2)])
def test_half_precision(dtype, tolerance):
    tensors = leaves((2, 4, 40, 16), (2, 4, 50, 16), (2, 4, 50, 16), dtype=dtype)
    context = ours.scaled_dot_product_attention(*tensors)
    assert context.dtype == dtype
    agree(with_gradients(context, tensors), with_gradients(definition(*tensors), tensors), tolerance)


@pytest.mark.parametrize("queries, keys", [(0, 5), (5, 0), (0, 0)])
def test_empty(queries, keys):
    tensors = leaves((2, 4, queries, 16), (2, 4, keys, 16), (2, 4, keys, 16))
    agree(with_gradients(ours.scaled_dot_product_attention(*tensors), tensors), with_gradients(definition(*tensors), tensors))


def test_dropout_follows_the_seed_and_scales():
    tensors = leaves((2, 4, 64, 16), (2, 4, 64, 16))
    ones = torch.ones(2, 4, 64, 1)
    torch.manual_seed(5)
    first = ours.scaled_dot_product_attention(*tensors, ones, dropout_p=0.25)
    second = ours.scaled_dot_product_attention(*tensors, ones, dropout_p=0.25)
    torch.manual_seed(5)
    again = ours.scaled_dot_product_attention(*tensors, ones, dropout_p=0.25)
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert abs(first.mean() - 1) < 0.02


def test_dropout_drops_the_same_backward():
    # The context is linear in the values: their gradient, multiplied with them, is the context again.
    (value,) = leaves((1, 1, 64, 1))
    query = torch.randn(1, 1, 64, 8)
    context = ours.scaled_dot_product_attention(query, query, value, dropout_p=0.5)
    (gradient,) = torch.autograd.grad(context.sum(), value)
    torch.testing.assert_close((gradient * value).sum(), context.sum())


def test_nouns_learn():
    tensors = leaves((2, 4, 20, 16), (2, 2, 20, 16), (2, 2, 20, 16), (4,))
    visible = torch.ones(20, 20, dtype=torch.bool).tril()
    out = ours.attention(*tensors[:3], mask=regard.Causal(), normalizer=regard.Softmax(sink=tensors[3]))
    agree(with_gradients(out.context, tensors), with_gradients(definition(*tensors[:3], visible, sink=tensors[3]), tensors))
    assert not out.lse.requires_grad


def test_two_biases_learn_each_its_own():
    query, key, value, first, second = leaves((1, 2, 9, 4), (1, 2, 9, 4), (1, 2, 9, 4), (9, 9), (2, 1, 9))
    given = with_gradients(ours.attention(query, key, value, bias=[first, regard.Alibi(), second]).context, [first, second])
    slopes = torch.tensor([2.0**-4, 2.0**-8]).view(2, 1, 1)
    far = (torch.arange(9)[:, None] - torch.arange(9)).abs()
    expected = definition(query, key, value, bias=first - slopes * far + second)
    agree(given, with_gradients(expected, [first, second]))


def test_a_second_derivative_is_refused():
    tensors = leaves((1, 1, 5, 4), (1, 1, 5, 4), (1, 1, 5, 4))
    with pytest.raises(NotImplementedError, match="without create_graph"):
        torch.autograd.grad(ours.scaled_dot_product_attention(*tensors).sum(), tensors[0], create_graph=True)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda q, k, v: (q.double(), k, v), "query is float64: expected float32, float16 or bfloat16; call query.float()"),
        (lambda q, k, v: (q[0, 0, 0], k, v), "query is 1-dimensional: expected [..., position, feature]"),
        (lambda q, k, v: (q, k[..., :3], v), "key has 3 features, query 4"),
        (lambda q, k, v: (q, k, v[:, :, :2]), "value has 2 positions, key 5"),
        (lambda q, k, v: (q.expand(3, 1, 5, 4), k.expand(2, 1, 5, 4), v), "the axes before the last 2 do not broadcast"),
        (lambda q, k, v: (q, k, v, torch.ones(1, 1, 1, 5, 5)), "attn_mask has the shape [1, 1, 1, 5, 5]"),
        (lambda q, k, v: (q, k, v, torch.ones(5, 5), 0.0, True), "attn_mask and is_causal exclude each other"),
        (lambda q, k, v: (q, k, v, None, 1.5), "dropout probability: 1.5 given"),
    ],
)
def test_bad_input_is_refused_word_for_word(change, message):
    with pytest.raises((ValueError, TypeError)) as refused:
        ours.scaled_dot_product_attention(*change(*(torch.ones(1, 1, 5, 4) for _ in range(3))))
    assert str(refused.value).startswith(message)


def test_replace_sdpa_routes_what_it_can_and_restores():
    own, seen = functional.scaled_dot_product_attention, []
    query = torch.randn(1, 2, 5, 4)
    with ours.replace_sdpa(), ours.observed(lambda *it: seen.append(it)):
        functional.scaled_dot_product_attention(query, query, query, is_causal=True)
        torch.nn.MultiheadAttention(8, 2).train()(*(torch.randn(3, 1, 8) for _ in range(3)), need_weights=False)
        assert len(seen) == 2
        assert functional.scaled_dot_product_attention(*[query.double()] * 3).dtype == torch.float64
        assert functional.scaled_dot_product_attention(*[query.to("meta")] * 3).is_meta
        assert len(seen) == 2
        nested = torch.nested.nested_tensor([torch.randn(2, 3, 4), torch.randn(2, 5, 4)], layout=torch.jagged).transpose(1, 2)
        assert functional.scaled_dot_product_attention(nested, nested, nested).is_nested
    assert functional.scaled_dot_product_attention is own


def test_observers_are_given_what_observe_takes():
    tensors, seen, module = leaves((1, 2, 9, 4), (1, 2, 9, 4), (1, 2, 9, 4)), [], torch.nn.Identity()
    with ours.observed(lambda *it: seen.append(it)):
        ours.attention(*tensors, mask=regard.Causal(), bias=regard.SoftCap(3.0), module=module)
    ours.attention(*tensors)
    ((who, query, key, value, context, lse, nouns),) = seen
    assert who is module and query.data_ptr() == tensors[0].data_ptr() and not context.requires_grad
    (weights,) = regard.observe(query, key, lse, [regard.Weights()], **nouns)
    torch.testing.assert_close(weights.values @ value, context)


def test_compiled_code_around_it_stays_right():
    query = torch.randn(1, 2, 5, 4)
    compiled = torch.compile(lambda it: ours.scaled_dot_product_attention(it * 2, it, it).relu(), backend="eager")
    torch.testing.assert_close(compiled(query), definition(query * 2, query, query).relu().float())


def test_checkpointing_drops_the_same_again():
    tensors = leaves((1, 2, 32, 4), (1, 2, 32, 4), (1, 2, 32, 4))
    attend = lambda *it: ours.scaled_dot_product_attention(*it, dropout_p=0.5)  # noqa: E731
    torch.manual_seed(3)
    plain = with_gradients(attend(*tensors), tensors)
    torch.manual_seed(3)
    agree(with_gradients(torch.utils.checkpoint.checkpoint(attend, *tensors, use_reentrant=False), tensors), plain)


def remembered(query, key, value, decay, beta, state):
    """Linear attention in float64, one position after another."""
    query, key, value, decay, beta, state = (x.double() for x in (query, key, value, decay, beta, state))
    group, contexts = query.shape[1] // key.shape[1], []
    for t in range(query.shape[2]):
        state = state * decay[:, :, t].exp()[..., None]
        found = (key[:, :, t, :, None] * state).sum(2)
        state = state + key[:, :, t, :, None] * (beta[:, :, t] * (value[:, :, t] - found))[:, :, None]
        contexts.append((query[:, :, t, :, None] * state.repeat_interleave(group, 1)).sum(2))
    return torch.stack(contexts, 2) / math.sqrt(query.shape[3]), state


@pytest.mark.parametrize("results", ["context", "state", "both"])
def test_linear_attention_learns_through_context_and_memory(results):
    shapes = [(2, 4, 11, 6), (2, 2, 11, 6), (2, 2, 11, 5), (2, 2, 11, 6), (2, 1, 11, 1), (2, 2, 6, 5)]
    query, key, value, decay, beta, state = leaves(*shapes)
    given = (query, key / 3, value, -decay.abs(), beta.sigmoid(), state)

    def total(context, state):
        context, state = ((torch.arange(x.numel()).view(x.shape) % 7 - 3.0).to(x) * x for x in (context, state))
        return {"context": context.sum(), "state": state.sum(), "both": context.sum() + state.sum()}[results]

    def gradients(function):
        return torch.autograd.grad(function, [query, key, value, decay, beta, state], retain_graph=True, allow_unused=True)

    names = dict(zip(("decay", "beta", "state"), given[3:]))
    found = gradients(total(*ours.linear_attention(*given[:3], **names)))
    expected = gradients(total(*remembered(*given)))
    for name, one, other in zip(("query", "key", "value", "decay", "beta", "state"), found, expected):
        other = torch.zeros_like(one) if other is None else other
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-4, atol=1e-4, msg=lambda m: f"{name}: {m}")


def test_linear_attention_may_go_without_gates():
    tensors = leaves((1, 2, 7, 4), (1, 2, 7, 4), (1, 2, 7, 4))
    context, state = ours.linear_attention(*tensors, scale=1.0)
    weights = (tensors[0] @ tensors[1].mT).tril()
    agree(with_gradients(context, tensors), with_gradients((weights @ tensors[2]).double(), tensors))
    with pytest.raises(NotImplementedError, match="without create_graph"):
        torch.autograd.grad(ours.linear_attention(*tensors).context.sum(), tensors[0], create_graph=True)


def test_trilinear_attention_learns():
    tensors = leaves((2, 4, 9, 6), (2, 2, 10, 6), (2, 2, 10, 5), (2, 2, 10, 6), (2, 2, 10, 5))
    query, *others = (x.double() for x in tensors)
    key, value, second_key, second_value = (x.repeat_interleave(2, 1) for x in others)
    scores = torch.einsum("bhif,bhjf,bhkf->bhijk", query, key, second_key) * 0.3
    stands = torch.arange(9)[:, None] + 1
    first, second = ((torch.arange(10) <= stands) & (torch.arange(10) > stands - window) for window in (4, 3))
    scores = scores.masked_fill(~(first[:, :, None] & second[:, None]), -math.inf)
    weights = scores.flatten(-2).softmax(-1).view(scores.shape)
    expected = torch.einsum("bhijk,bhjf,bhkf->bhif", weights, value, second_value)
    out = ours.trilinear_attention(*tensors, scale=0.3, windows=(4, 3))
    agree(with_gradients(out.context, tensors), with_gradients(expected, tensors))
    assert not out.lse.requires_grad


def test_a_float_mask_without_a_gradient_is_not_copied_for_one():
    tensors = leaves((2, 3, 20, 16), (2, 3, 30, 16), (2, 3, 30, 16))
    bias = torch.randn(2, 3, 30, 20).mT
    context = ours.attention(*tensors, bias=[bias, regard.SoftCap(2.0)]).context
    scores = tensors[0].double() @ tensors[1].double().mT / 4 + bias
    expected = (2 * torch.tanh(scores / 2)).softmax(-1) @ tensors[2].double()
    agree(with_gradients(context, tensors), with_gradients(expected, tensors))
