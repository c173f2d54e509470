"""Writes LLaMA in GGUF with llama.cpp's own package, once for each type of numbers, and what transformers computes from the same weights.

    pip install torch transformers numpy safetensors gguf
    python crates/models/tests/pretrained/gguf_files.py

gguf/{f32,f16,q8_0,q4_0}.gguf and gguf/expected.safetensors, which has `ids` [2, 9] and for each type the logits of a model with the weights
as that type rounds them. Queries and keys are permuted as llama.cpp's converter does it: rotary pairs become neighbours. The last has no
output of its own (the head is tied).
"""

from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

HERE = Path(__file__).parent
TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}
NAMES = {
    "model.embed_tokens": "token_embd", "model.layers": "blk", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
VOCABULARY = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in (10, 33)] + ["▁", "a", "b", "▁a", "ab", "▁ab"]


def renamed(name):
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def permuted(weight, heads):
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write(kind, quantization, config, ids):
    config.tie_word_embeddings = kind == "q4_0"
    model = transformers.LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    writer = gguf.GGUFWriter(HERE / "gguf" / f"{kind}.gguf", "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(VOCABULARY)
    writer.add_token_scores([-float(at) for at in range(len(VOCABULARY))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, parameter in model.named_parameters():
        array = parameter.detach().numpy()
        if parameter.dim() == 1:
            writer.add_tensor(renamed(name), array)
            continue
        packed = gguf.quants.quantize(array, quantization)
        parameter.data = torch.from_numpy(gguf.quants.dequantize(packed, quantization).astype(np.float32).reshape(array.shape))
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        if heads:
            packed = permuted(packed, heads)
        writer.add_tensor(renamed(name), np.ascontiguousarray(packed), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with torch.no_grad():
        return model(ids).logits.numpy()


def main():
    torch.manual_seed(0)
    (HERE / "gguf").mkdir(exist_ok=True)
    config = transformers.LlamaConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, rms_norm_eps=1e-5, attn_implementation="eager",
    )
    ids = torch.randint(len(VOCABULARY), (2, 9))
    arrays = {kind: np.ascontiguousarray(write(kind, quantization, config, ids)) for kind, quantization in TYPES.items()}
    arrays["ids"] = ids.numpy().astype(np.int32)
    save_file(arrays, HERE / "gguf" / "expected.safetensors", {"package": "transformers and gguf"})


if __name__ == "__main__":
    main()
