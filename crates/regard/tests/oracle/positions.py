"""Writes the oracles of positions: transformers' rotary embeddings and T5's buckets, and two definitions in double precision.

    pip install torch transformers numpy safetensors
    python crates/regard/tests/oracle/positions.py

rotary_scaled.safetensors: LLaMA's rotary embedding of `input` [1, 2, 7, 16] at positions 57 to 63, base 10000
    `linear` (factor 4), `ntk` (transformers' dynamic scaling of factor 3; position 63 is at twice the length of
    training, which makes it 4), `yarn` (factor 4, 32 positions in training). `partial`: GPT-NeoX, of which the first 4 features turn.

t5.safetensors: `bidirectional` and `causal` [1, 2, 6, 6] are what T5 adds to scores, from `table` [32, 2], of every 30th query
    and key.

relative, transformer_xl: as in memory.py, which says what the files hold. The last query stands beside the last key.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from memory import case, softmax
from safetensors.numpy import save_file
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.llama import modeling_llama
from transformers.models.t5 import modeling_t5

HERE = Path(__file__).parent


def save(name, tensors):
    arrays = {key: np.ascontiguousarray(tensor.detach().numpy()) for key, tensor in tensors.items()}
    metadata = {"package": "transformers", "version": transformers.__version__}
    save_file(arrays, HERE / f"{name}.safetensors", metadata | {"script": "crates/regard/tests/oracle/positions.py"})


def rotary_scaled():
    torch.manual_seed(3)
    states, ids = torch.randn(1, 2, 7, 16), torch.arange(57, 64)[None]
    tensors = {"input": states}
    kinds = {
        "linear": {"rope_type": "linear", "factor": 4.0},
        "ntk": {"rope_type": "dynamic", "factor": 3.0},
        "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    }
    for name, parameters in kinds.items():
        config = transformers.LlamaConfig(
            hidden_size=32,
            num_attention_heads=2,
            head_dim=16,
            max_position_embeddings=128 if name == "yarn" else 32,
            rope_parameters={"rope_theta": 10000.0} | parameters,
        )
        rotary = modeling_llama.LlamaRotaryEmbedding(config)
        cos, sin = rotary(states, ids)
        tensors[name] = modeling_llama.apply_rotary_pos_emb(states, states, cos, sin)[0]
    config = transformers.GPTNeoXConfig(
        hidden_size=32,
        num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
    )
    cos, sin = modeling_gpt_neox.GPTNeoXRotaryEmbedding(config)(states, ids)
    assert cos.shape[-1] == 4
    tensors["partial"] = modeling_gpt_neox.apply_rotary_pos_emb(states, states, cos, sin)[0]
    save("rotary_scaled", tensors)


def t5():
    torch.manual_seed(4)
    table, tensors = torch.randn(32, 2), {}
    for name in ("bidirectional", "causal"):
        config = transformers.T5Config(d_model=8, num_heads=2, is_decoder=name == "causal")
        attention = modeling_t5.T5Attention(config, has_relative_attention_bias=True)
        attention.relative_attention_bias.weight.data = table
        tensors[name] = attention.compute_bias(151, 151)[:, :, ::30, ::30]
    save("t5", tensors | {"table": table})


def relative(queries, keys, values, table):
    """Three queries beside the last of five keys, a reach of 2."""
    rows = []
    for i in range(3):
        scores = []
        for j in range(5):
            distance = min(max(j - (i + 2), -2), 2)
            scores.append((queries[:, :, i] * (keys[:, :, j] + table[distance + 2])).sum(-1) / 4**0.5)
        visible = (torch.arange(5) <= i + 2).double()
        rows.append(torch.einsum("bhj,bhjd->bhd", softmax(torch.stack(scores, -1), visible), values))
    return {"context": torch.stack(rows, 2)}


def transformer_xl(queries, keys, values, distance, content, place):
    frequencies = 10000.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    rows = []
    for i in range(3):
        scores = []
        for j in range(5):
            angles = (i + 2 - j) * frequencies
            vector = (torch.cat([angles.sin(), angles.cos()]) @ distance).reshape(2, 4)
            query = queries[:, :, i]
            scores.append((((query + content) * keys[:, :, j]).sum(-1) + ((query + place) * vector).sum(-1)) / 4**0.5)
        visible = (torch.arange(5) <= i + 2).double()
        rows.append(torch.einsum("bhj,bhjd->bhd", softmax(torch.stack(scores, -1), visible), values))
    return {"context": torch.stack(rows, 2)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    rotary_scaled()
    t5()
    heads = {"queries": (2, 2, 3, 4), "keys": (2, 2, 5, 4), "values": (2, 2, 5, 3)}
    case("relative", heads, {"table": (5, 4)}, relative)
    learned = {"distance": (8, 8), "content": (2, 4), "place": (2, 4)}
    case("transformer_xl", heads, learned, transformer_xl)
