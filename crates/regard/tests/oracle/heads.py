"""Writes the oracles of what multi-head attention may have besides, with transformers and x-transformers.

    pip install torch transformers x-transformers safetensors
    python crates/regard/tests/oracle/heads.py

Files are as in memory.py, which says what they hold; modules run in f64, apart from rotations and root-mean-square norms,
which their packages do in f32. Self-attention of `input` [2, 5, 12], causal. `weights` are those of the softmax, no part of what is
differentiated.

query_key_norm: Phi's attention with `qk_layernorm`, 3 heads, its rotation by no angle.
gated_output: Qwen3-Next's attention, 4 heads and 2 of keys, its rotation by no angle: root-mean-square norms of queries and
    keys (stored is the scale, theirs is 1 + weight) and a gate.
talking_heads: x-transformers' attend, 3 heads. Its mixing of scores is added to them, so that `scores` is 1 + theirs.
latent: DeepSeek-V2's attention, 2 heads, ranks of 6 (queries) and 5, 4 features that rotate.
"""

import torch
from memory import case
from torch.func import functional_call
from transformers.models.deepseek_v2 import DeepseekV2Config, modeling_deepseek_v2
from transformers.models.phi import PhiConfig, modeling_phi
from transformers.models.qwen3_next import Qwen3NextConfig, modeling_qwen3_next
from x_transformers.attend import Attend

INPUT = {"input": (2, 5, 12)}
FUTURE = torch.full((5, 5), float("-inf"), dtype=torch.float64).triu(1)[None, None]


def attended(module, learned, states, positions):
    output, weights = functional_call(module.double().eval(), learned, (states,), {
        "attention_mask": FUTURE, "position_embeddings": positions
    })
    return {"output": output, "weights": weights.detach()}


def still(features):
    """Cosines and sines that leave things where they are."""
    return torch.ones(2, 5, features, dtype=torch.float64), torch.zeros(2, 5, features, dtype=torch.float64)


def query_key_norm(input, **learned):
    config = PhiConfig(hidden_size=12, num_attention_heads=3, qk_layernorm=True, attn_implementation="eager")
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "dense"}
    by_name = {}
    for ours, theirs in names.items():
        by_name[f"{theirs}.weight"], by_name[f"{theirs}.bias"] = learned[ours].T, learned[f"{ours}_bias"]
    for ours, theirs in {"query_norm": "q_layernorm", "key_norm": "k_layernorm"}.items():
        by_name[f"{theirs}.weight"], by_name[f"{theirs}.bias"] = learned[ours], learned[f"{ours}_bias"]
    return attended(modeling_phi.PhiAttention(config, 0), by_name, input, still(2))


def gated_output(input, query, gate, key, value, output, query_norm, key_norm):
    config = Qwen3NextConfig(
        hidden_size=12, num_attention_heads=4, num_key_value_heads=2, head_dim=3, attn_implementation="eager"
    )
    # Each head's rows of queries are followed by those of its gate.
    both = torch.stack([query.T.reshape(4, 3, 12), gate.T.reshape(4, 3, 12)], 1).reshape(24, 12)
    by_name = {"q_proj.weight": both, "k_proj.weight": key.T, "v_proj.weight": value.T, "o_proj.weight": output.T}
    by_name |= {"q_norm.weight": query_norm - 1, "k_norm.weight": key_norm - 1}
    return attended(modeling_qwen3_next.Qwen3NextAttention(config, 0), by_name, input, still(2))


def talking_heads(input, query, key, value, output, scores, weights):
    heads = [(input @ matrix).reshape(2, 5, 3, 4).transpose(1, 2) for matrix in (query, key, value)]
    attend = Attend(heads=3, causal=True, pre_talking_heads=True, post_talking_heads=True).double().eval()
    by_name = {
        "pre_softmax_talking_heads.weight": (scores.T - torch.eye(3))[..., None, None],
        "post_softmax_talking_heads.weight": weights.T[..., None, None],
    }
    context, seen = functional_call(attend, by_name, tuple(heads))
    return {"output": context.transpose(1, 2).reshape(2, 5, 12) @ output, "weights": seen.post_softmax_attn.detach()}


def latent(input, query_down, query_norm, query, down, norm, up, output):
    config = DeepseekV2Config(
        hidden_size=12,
        num_attention_heads=2,
        num_key_value_heads=2,
        q_lora_rank=6,
        kv_lora_rank=5,
        qk_nope_head_dim=3,
        qk_rope_head_dim=4,
        v_head_dim=2,
        attn_implementation="eager",
    )
    by_name = {"q_a_proj": query_down, "q_b_proj": query, "kv_a_proj_with_mqa": down, "kv_b_proj": up, "o_proj": output}
    by_name = {f"{name}.weight": matrix.T for name, matrix in by_name.items()}
    by_name |= {"q_a_layernorm.weight": query_norm, "kv_a_layernorm.weight": norm}
    turns = modeling_deepseek_v2.DeepseekV2RotaryEmbedding(config)(input, torch.arange(5)[None].expand(2, -1))
    assert turns.shape[-1] == 2
    return attended(modeling_deepseek_v2.DeepseekV2Attention(config, 0), by_name, input, turns)


if __name__ == "__main__":
    torch.set_num_threads(1)
    square = {name: (12, 12) for name in ("query", "key", "value", "output")}
    biases = {f"{name}_bias": (12,) for name in square}
    norms = {name: (4,) for name in ("query_norm", "query_norm_bias", "key_norm", "key_norm_bias")}
    by = {"script": "heads.py"}
    case("query_key_norm", INPUT, square | biases | norms, query_key_norm, package="transformers, Phi", **by)
    gated = square | {"gate": (12, 12), "key": (12, 6), "value": (12, 6), "query_norm": (3,), "key_norm": (3,)}
    case("gated_output", INPUT, gated, gated_output, package="transformers, Qwen3Next", **by)
    mixing = {"scores": (3, 3), "weights": (3, 3)}
    case("talking_heads", INPUT, square | mixing, talking_heads, package="x-transformers", **by)
    ranks = {"query_down": (12, 6), "query_norm": (6,), "query": (6, 14), "down": (12, 9), "norm": (5,), "up": (5, 10)}
    case("latent", INPUT, ranks | {"output": (4, 12)}, latent, package="transformers, DeepSeek-V2", **by)
