"""Writes small random checkpoints of every decoder family, as transformers saves them, and what transformers computes from them.

    pip install torch transformers numpy safetensors
    python crates/models/tests/pretrained/decoders.py

For each family a folder with config.json and model.safetensors (llama in two shards, mistral in bf16, qwen2 in f16), and
expected.safetensors: `ids` [2, 9], of which the first `lengths` of each row are a text, the logits, the last hidden states behind the
last norm, the attention weights [layer, batch, head, query, key], and 12 tokens that greedy decoding adds to the first 4 of row 0.
Weights have a spread of 0.3, so that nothing is near to uniform. Models of 16 bits are computed in 32.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

HERE = Path(__file__).parent
COMMON = dict(vocab_size=23, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4)
LLAMA3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=8,
)
FAMILIES = {
    "llama": (
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig(
            **COMMON, num_key_value_heads=2, max_position_embeddings=32, rope_parameters=LLAMA3, attention_bias=True,
            head_dim=6, tie_word_embeddings=True,
        ),
    ),
    "mistral": (
        transformers.MistralForCausalLM,
        transformers.MistralConfig(**COMMON, num_key_value_heads=2, max_position_embeddings=32, sliding_window=3),
    ),
    "qwen2": (
        transformers.Qwen2ForCausalLM,
        transformers.Qwen2Config(
            **COMMON, num_key_value_heads=1, max_position_embeddings=32, use_sliding_window=True, sliding_window=4,
            max_window_layers=1,
        ),
    ),
    "gemma2": (
        transformers.Gemma2ForCausalLM,
        transformers.Gemma2Config(
            **COMMON, num_key_value_heads=2, head_dim=6, max_position_embeddings=32, sliding_window=4,
            query_pre_attn_scalar=9, attn_logit_softcapping=5.0, final_logit_softcapping=3.0,
        ),
    ),
    "gpt2": (
        transformers.GPT2LMHeadModel,
        transformers.GPT2Config(vocab_size=23, n_positions=32, n_embd=16, n_layer=2, n_head=4, n_inner=20),
    ),
    "gpt_neox": (
        transformers.GPTNeoXForCausalLM,
        transformers.GPTNeoXConfig(**COMMON, max_position_embeddings=32, rotary_pct=0.5),
    ),
}
DTYPES = {"mistral": torch.bfloat16, "qwen2": torch.float16}


def write(name, kind, config):
    torch.manual_seed(0)
    for field in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, field, None)
    config._attn_implementation = "eager"
    model = kind(config).eval()
    for parameter_name, parameter in model.named_parameters():
        centre = 1.0 if "norm" in parameter_name and "weight" in parameter_name and name != "gemma2" else 0.0
        torch.nn.init.normal_(parameter, centre, 0.3)
    model = model.to(DTYPES.get(name, torch.float32))
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, max_shard_size="6KB" if name == "llama" else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = model.float()
    lengths = [9, 6]
    ids = torch.randint(23, (2, 9))
    mask = (torch.arange(9)[None] < torch.tensor(lengths)[:, None]).long()
    with torch.no_grad():
        out = model(ids, attention_mask=mask, output_attentions=True, output_hidden_states=True)
        text = ids[:1, :4]
        for _ in range(12):
            text = torch.cat([text, model(text).logits[:, -1:].argmax(-1)], 1)
    arrays = dict(
        ids=ids, lengths=torch.tensor(lengths)[None], logits=out.logits, states=out.hidden_states[-1],
        weights=torch.stack(out.attentions), greedy=text[:, 4:],
    )
    arrays = {
        key: np.ascontiguousarray(value.numpy().astype(np.float32 if value.is_floating_point() else np.int32))
        for key, value in arrays.items()
    }
    metadata = {"package": "transformers", "version": transformers.__version__}
    save_file(arrays, folder / "expected.safetensors", metadata)


if __name__ == "__main__":
    for name, (kind, config) in FAMILIES.items():
        write(name, kind, config)
