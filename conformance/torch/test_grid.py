"""`regard.torch.scaled_dot_product_attention` over the arguments that PyTorch's own tests vary, against PyTorch's math backend
in float64; our error beside that of PyTorch on the same processor.

The grid follows ``test/test_transformers.py`` of PyTorch (sizes, heads, masks, layouts, types); cases are drawn from the
product so that every pair of values meets.
"""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import regard.torch

own = torch.nn.functional.scaled_dot_product_attention

GRID = {
    "dtype": [torch.float32, torch.float16, torch.bfloat16],
    "batch": [1, 2, 8],
    "heads": [(1, 1), (3, 3), (8, 2), (6, 1)],
    "queries": [1, 4, 29, 143, 256],
    "keys": [1, 8, 31, 128, 277],
    "width": [8, 16, 21, 64, 203],
    "value_width": ["same", 40],
    "mask": [None, "causal", "bool", "float", "bool row", "float row", "bool head", "float head", "bool key", "float key", "3-D"],
    "layout": ["plain", "transposed", "packed", "reversed axes", "sliced", "shared batch"],
    "scale": [None, 0.05, 1.7],
}
AXES = list(GRID)

ERRORS: list[tuple] = []
"""What was found: of which result, in which type, our error and PyTorch's."""

# What ours may be worse by, beside half as much again: some units in the last place of the result's type.
SLACK = {torch.float32: 5e-7, torch.float16: 1e-3, torch.bfloat16: 8e-3}
# Gradients are made of weights made again from scores and their log-sum-exp, as in flash attention; PyTorch keeps the weights
# where a mask has a gradient, and is then exact where gradients cancel.
SLACK_OF_GRADIENTS = {torch.float32: 5e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def pairwise() -> list[dict]:
    """Cases in which any two values of any two arguments meet at least once."""
    wanted = {
        (a, x, b, y) for a, b in itertools.combinations(AXES, 2) for x in range(len(GRID[a])) for y in range(len(GRID[b]))
    }
    draw, cases = random.Random(3), []
    while wanted:
        a, x, b, y = min(wanted)
        best, gain = None, 0
        for _ in range(60):
            case = {axis: draw.randrange(len(GRID[axis])) for axis in AXES} | {a: x, b: y}
            met = sum((c, case[c], d, case[d]) in wanted for c, d in itertools.combinations(AXES, 2))
            if met > gain:
                best, gain = case, met
        wanted -= {(c, best[c], d, best[d]) for c, d in itertools.combinations(AXES, 2)}
        cases.append({axis: GRID[axis][i] for axis, i in best.items()})
    return cases


def tensor(shape, layout, dtype, generator):
    """Numbers ``[batch, head, position, feature]`` that lie in memory in some way."""
    batch, heads, positions, features = shape
    draw = lambda *sizes: torch.randn(sizes, generator=generator).to(dtype)  # noqa: E731
    match layout:
        case "transposed":
            return draw(batch, positions, heads, features).transpose(1, 2)
        case "packed":
            return draw(batch, positions, 3, heads, features)[:, :, 1].transpose(1, 2)
        case "reversed axes":
            return draw(features, positions, heads, batch).permute(3, 2, 1, 0)
        case "sliced":
            return draw(batch, heads, 2 * positions + 1, features + 3)[:, :, 1::2, 2 : 2 + features]
        case "shared batch":
            return draw(1, heads, positions, features).expand(shape)
    return draw(*shape)


def mask_of(kind, shape, dtype, generator):
    """``attn_mask`` and whether it broadcasts as it says."""
    if kind in (None, "causal"):
        return None
    batch, heads, queries, keys = shape
    sizes = {
        "bool": shape,
        "float": shape,
        "3-D": (heads, queries, keys),
        "bool row": (queries, keys),
        "float row": (1, 1, queries, keys),
        "bool head": (1, heads, 1, keys),
        "float head": (1, heads, queries, keys),
        "bool key": (batch, 1, 1, keys),
        "float key": (batch, 1, 1, keys),
    }[kind]
    numbers = torch.randn(sizes, generator=generator)
    return numbers > -0.5 if "bool" in kind else numbers.to(dtype)


def gradients(context, leaves, weights):
    return torch.autograd.grad(context, leaves, weights.to(context.dtype))


def name(case):
    return "-".join(str(value).removeprefix("torch.").replace(" ", "_") for value in case.values())


@pytest.mark.parametrize("case", pairwise(), ids=name)
def test_error_is_no_worse_than_pytorchs(case):
    generator = torch.Generator().manual_seed(1)
    dtype, (heads, key_heads) = case["dtype"], case["heads"]
    width = case["width"]
    value_width = width if case["value_width"] == "same" else case["value_width"]
    key_shape = (case["batch"], key_heads, case["keys"])
    query = tensor((case["batch"], heads, case["queries"], width), case["layout"], dtype, generator)
    key = tensor((*key_shape, width), case["layout"], dtype, generator)
    value = tensor((*key_shape, value_width), case["layout"], dtype, generator)
    mask = mask_of(case["mask"], (case["batch"], heads, case["queries"], case["keys"]), dtype, generator)
    rest = {"is_causal": case["mask"] == "causal", "scale": case["scale"], "enable_gqa": heads != key_heads}
    learned = mask is not None and mask.dtype != torch.bool
    upstream = torch.randn(case["batch"], heads, case["queries"], value_width, generator=generator).to(dtype)

    def attend(function, to):
        tensors = [it.detach().to(to).requires_grad_() for it in (query, key, value)] + (
            [mask.detach().to(to).requires_grad_()] if learned else []
        )
        given = tensors[3] if learned else mask
        context = function(*tensors[:3], given, **rest)
        return [context.detach(), *gradients(context, tensors, upstream)]

    with sdpa_kernel(SDPBackend.MATH):
        truth = attend(own, torch.float64)
    ours, theirs = attend(regard.torch.scaled_dot_product_attention, dtype), attend(own, dtype)
    # Gradients are looked at beside the largest of them: where keys are few, that of queries is a difference of like numbers.
    sizes = [truth[0].abs().max(), *[max(exact.abs().max() for exact in truth[1:])] * 4]
    sizes = [size.clamp(min=torch.finfo(size.dtype).tiny) for size in sizes]
    for what, size, one, other, exact in zip(("context", "query", "key", "value", "mask"), sizes, ours, theirs, truth):
        assert one.dtype == other.dtype and one.shape == other.shape, what
        error, peer = (((it.double() - exact).abs().max() / size).item() for it in (one, other))
        slack = (SLACK if what == "context" else SLACK_OF_GRADIENTS)[dtype]
        assert error <= 1.5 * peer + slack, f"{what}: {error:.2e}, PyTorch {peer:.2e}"
        ERRORS.append((what, dtype, error, peer))


@pytest.mark.parametrize("queries, keys", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("masked", [False, True])
def test_empty_sequences(queries, keys, masked):
    query, key = torch.randn(2, 3, queries, 4, requires_grad=True), torch.randn(2, 3, keys, 4, requires_grad=True)
    mask = torch.ones(queries, keys, dtype=torch.bool) if masked else None
    ours = regard.torch.scaled_dot_product_attention(query, key, key, mask)
    theirs = own(query, key, key, mask)
    assert torch.equal(ours, theirs.nan_to_num(0))
    ours.sum().backward()
    assert query.grad.shape == query.shape and key.grad.shape == key.shape and not query.grad.any()


@pytest.mark.parametrize("batch, heads, width", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty_axes(batch, heads, width):
    query = torch.randn(batch, heads, 5, width)
    value = torch.randn(batch, heads, 5, 4)
    ours = regard.torch.scaled_dot_product_attention(query, query, value, scale=1.0)
    torch.testing.assert_close(ours, own(query, query, value, scale=1.0))


@pytest.mark.parametrize("axes", [(), (4,), (2, 2, 3), (2, 1, 2, 3)])
def test_other_numbers_of_axes(axes):
    query, key = torch.randn(*axes, 7, 8), torch.randn(*axes, 9, 8)
    for mask in (None, torch.rand(7, 9) > 0.3, torch.randn(*axes, 7, 9)):
        torch.testing.assert_close(regard.torch.scaled_dot_product_attention(query, key, key, mask), own(query, key, key, mask))


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_a_row_that_sees_nothing(kind):
    query = torch.randn(1, 2, 4, 8, requires_grad=True)
    visible = torch.tensor([True, False, True, True])[:, None].expand(4, 4)
    mask = visible if kind == torch.bool else torch.zeros(4, 4).masked_fill(~visible, -torch.inf)
    results = []
    for function in (regard.torch.scaled_dot_product_attention, own):
        context = function(query, query, query, mask)
        results.append([context, *torch.autograd.grad(context.square().sum(), query)])
    torch.testing.assert_close(*results)


def test_a_nan_behind_a_mask_stays_there():
    value = torch.randn(1, 1, 4, 8)
    value[..., 2, :] = torch.nan
    visible = torch.tensor([True, True, False, True])
    assert regard.torch.scaled_dot_product_attention(torch.randn(1, 1, 3, 8), torch.randn(1, 1, 4, 8), value, visible).isfinite().all()
