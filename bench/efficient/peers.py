"""Other people's efficient attention, each as its package has it; reads jobs "NAME LENGTH" and answers in milliseconds.

Projections are left out wherever a module has them: what would have computed queries, keys and values hands out leaves of
the graph instead, and the output's projection is the identity. Only `longformer` keeps its own, and so do we.
"""

from __future__ import annotations

import sys
import time
import types

import torch
from torch import nn
from torch.nn import functional as F

if "distutils" not in sys.modules:
    # Only for a comparison of versions that performer-pytorch does when it is imported.
    version = types.ModuleType("distutils.version")
    version.LooseVersion = lambda text: tuple(int(part) for part in text.split("+")[0].split(".")[:3] if part.isdigit()) \
        if isinstance(text, str) else text
    sys.modules["distutils"] = types.ModuleType("distutils")
    sys.modules["distutils.version"] = version

import axial_attention  # noqa: E402
import linformer  # noqa: E402
import nystrom_attention  # noqa: E402
import performer_pytorch.performer_pytorch as performer  # noqa: E402
import reformer_pytorch.reformer_pytorch as reformer  # noqa: E402

HEADS, WIDTH = 8, 64
ALL = HEADS * WIDTH


class Given(nn.Module):
    """Stands in for a projection: hands out what it was given, whatever comes in."""

    def __init__(self, tensor):
        super().__init__()
        self.tensor = tensor

    def forward(self, _):
        return self.tensor


class Twice(nn.Module):
    """Stands in for a projection to keys and values, which are the input then, not even copied."""

    def forward(self, x):
        return types.SimpleNamespace(chunk=lambda *_, **__: (x, x))


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def split_leaves(length):
    return [leaf(1, HEADS, length, WIDTH) for _ in range(3)]


def joined_leaves(length):
    return [leaf(1, length, ALL) for _ in range(3)]


def exact(length):
    q, k, v = leaves = split_leaves(length)
    return lambda: F.scaled_dot_product_attention(q, k, v), leaves


def features(x):
    return F.elu(x) + 1


def linear(length):
    q, k, v = leaves = split_leaves(length)

    def mix():
        queries, keys = features(q), features(k)
        memory, mass = keys.transpose(2, 3) @ v, keys.sum(2)
        return queries @ memory / (queries @ mass[..., None])

    return mix, leaves


def linear_causal(length):
    q, k, v = leaves = split_leaves(length)
    return lambda: performer.causal_linear_attention_noncuda(features(q), features(k), v), leaves


def favor(length):
    leaves = split_leaves(length)
    module = performer.FastAttention(WIDTH)
    return lambda: module(*leaves), leaves


def favor_causal(length):
    q, k, v = leaves = split_leaves(length)
    directions = performer.FastAttention(WIDTH).projection_matrix

    def mix():
        queries = performer.softmax_kernel(q, projection_matrix=directions, is_query=True)
        keys = performer.softmax_kernel(k, projection_matrix=directions, is_query=False)
        return performer.causal_linear_attention_noncuda(queries, keys, v)

    return mix, leaves


def linformer_attention(length):
    leaves = joined_leaves(length)
    module = linformer.LinformerSelfAttention(ALL, length, k=256, heads=HEADS)
    module.to_q, module.to_k, module.to_v = map(Given, leaves)
    module.to_out = nn.Identity()
    x = torch.zeros(1, length, ALL)
    return lambda: module(x), [*leaves, module.proj_k, module.proj_v]


def nystrom(length):
    both = leaf(1, length, 3 * ALL)
    module = nystrom_attention.NystromAttention(ALL, dim_head=WIDTH, heads=HEADS, num_landmarks=64)
    module.to_qkv, module.to_out = Given(both), nn.Identity()
    x = torch.zeros(1, length, ALL)
    return lambda: module(x), [both, module.res_conv.weight]


def lsh(length):
    leaves = vectors, values = [leaf(HEADS, length, WIDTH) for _ in range(2)]
    module = reformer.LSHAttention(bucket_size=64, n_hashes=4).eval()
    return lambda: module(vectors, values)[0], leaves


def axial(length):
    rows = 1 << (length.bit_length() - 1) // 2
    x = leaf(1, rows, length // rows, ALL)
    module = axial_attention.AxialAttention(ALL, heads=HEADS)
    for attention in module.axial_attentions:
        attention.fn.to_q = attention.fn.to_out = nn.Identity()
        attention.fn.to_kv = Twice()
    return lambda: module(x), [x]


def sliding(length, places):
    """transformers' Longformer, and what its model would tell it of positions that see all."""
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    config = LongformerConfig(
        hidden_size=ALL, num_attention_heads=HEADS, attention_window=[512], attention_probs_dropout_prob=0.0
    )
    module = LongformerSelfAttention(config, layer_id=0).eval()
    mask = torch.zeros(1, length)
    mask[:, places] = 10000.0
    told = {
        "attention_mask": mask,
        "is_index_masked": mask < 0,
        "is_index_global_attn": mask > 0,
        "is_global_attn": bool(places),
    }
    return module, told


def window(length):
    leaves = q, k, v = joined_leaves(length)
    module, told = sliding(length, [])

    # Positions come first there, and queries are divided in place, which a leaf must not be.
    module.key, module.value = Given(k.transpose(0, 1)), Given(v.transpose(0, 1))
    x = torch.zeros(1, length, ALL)

    def mix():
        module.query = Given(q.transpose(0, 1).clone())
        return module(x, **told)[0]

    return mix, leaves


def longformer(length):
    x = leaf(1, length, ALL)
    module, told = sliding(length, [0])
    return lambda: module(x, **told)[0], [x, *module.parameters()]


def bigbird(length):
    from transformers import BigBirdConfig
    from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention, BigBirdModel

    config = BigBirdConfig(
        hidden_size=ALL,
        num_attention_heads=HEADS,
        block_size=64,
        num_random_blocks=3,
        max_position_embeddings=max(length, 1024),
    )
    leaves = joined_leaves(length)
    # Not training, its random blocks are the first ones, which takes it no time to choose.
    module = BigBirdBlockSparseAttention(config).eval()
    module.query, module.key, module.value = map(Given, leaves)
    blocked, band, rows, columns = BigBirdModel.create_masks_for_block_sparse_attn(torch.ones(1, length), 64)
    x = torch.zeros(1, length, ALL)
    return lambda: module(x, band, rows, columns, blocked, blocked)[0], leaves


PEERS = {
    "exact": exact,
    "linear": linear,
    "linear-causal": linear_causal,
    "performer": favor,
    "performer-causal": favor_causal,
    "linformer": linformer_attention,
    "nystrom": nystrom,
    "lsh": lsh,
    "axial": axial,
    "window": window,
    "longformer": longformer,
    "bigbird": bigbird,
}


def main():
    torch.manual_seed(1)
    ready, works = None, None
    for job in sys.stdin:
        name, length = job.split()
        if ready != job:
            ready, works = job, PEERS[name](int(length))
            run(*works)
        print(*run(*works), flush=True)


def run(mix, leaves):
    with torch.no_grad():
        start = time.perf_counter()
        mix()
        forward = time.perf_counter() - start
    start = time.perf_counter()
    torch.autograd.grad(mix().sum(), leaves)
    return 1e3 * forward, 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
