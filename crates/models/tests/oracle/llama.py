"""Writes llama.safetensors and llama2c.bin: LLaMA as transformers has it, with random weights.

    pip install torch transformers numpy safetensors
    python crates/models/tests/oracle/llama.py

Two layers, four heads that share two heads of keys, width 16, context 12. llama.safetensors holds the parameters under our names
(linear maps as burn's [in, out]), a batch of ids, its logits, the weights of every layer and head, the mean loss of every next
token, and gradients of some parameters. llama2c.bin is the same model in llama2.c's format, of version 0: there a rotary pair is
two neighbours, so rows of queries and keys are in another order.
"""

import struct
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

HERE = Path(__file__).parent
NAMES = {
    "model.embed_tokens.weight": "embedding",
    "lm_head.weight": "head",
    "model.layers": "layers",
    "model.norm": "norm",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "feed_forward_norm",
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.output",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
}


def renamed(tensors):
    result = {}
    for name, tensor in tensors.items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        result[name] = tensor.T if tensor.dim() == 2 and name.endswith(".weight") else tensor
    return result


def llama2c(config, parameters):
    """The bytes of a file of version 0, head untied."""
    head = config.hidden_size // config.num_attention_heads

    def stacked(part):
        return [parameters[f"model.layers.{layer}.{part}.weight"] for layer in range(config.num_hidden_layers)]

    def neighbours(weight):
        # Features i and i + head / 2 become 2i and 2i + 1.
        return weight.reshape(-1, 2, head // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)

    tables = [torch.zeros(config.max_position_embeddings, head // 2)] * 2
    tensors = [parameters["model.embed_tokens.weight"], *stacked("input_layernorm")]
    tensors += [neighbours(weight) for weight in stacked("self_attn.q_proj") + stacked("self_attn.k_proj")]
    tensors += stacked("self_attn.v_proj") + stacked("self_attn.o_proj") + stacked("post_attention_layernorm")
    tensors += stacked("mlp.gate_proj") + stacked("mlp.down_proj") + stacked("mlp.up_proj")
    tensors += [parameters["model.norm.weight"], *tables, parameters["lm_head.weight"]]
    header = struct.pack(
        "<7i", config.hidden_size, config.intermediate_size, config.num_hidden_layers, config.num_attention_heads,
        config.num_key_value_heads, -config.vocab_size, config.max_position_embeddings,
    )
    return header + b"".join(tensor.detach().numpy().astype("<f4").tobytes() for tensor in tensors)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = transformers.LlamaConfig(
        vocab_size=11, max_position_embeddings=12, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, attn_implementation="eager",
    )
    model = transformers.LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    ids = torch.randint(11, (2, 9))
    out = model(ids, labels=ids, output_attentions=True)
    out.loss.backward()
    parameters = dict(model.named_parameters())
    tensors = renamed(parameters)
    gradients = renamed({name: parameter.grad for name, parameter in parameters.items()})
    watched = ["embedding", "layers.0.attention.key.weight", "layers.1.up.weight", "layers.1.feed_forward_norm.weight", "head"]
    tensors |= {f"gradient.{name}": gradients[name] for name in watched}
    tensors |= dict(ids=ids, logits=out.logits, weights=torch.stack(out.attentions), loss=out.loss.reshape(1))
    arrays = {
        name: np.ascontiguousarray(tensor.detach().numpy().astype(np.float32 if tensor.is_floating_point() else np.int32))
        for name, tensor in tensors.items()
    }
    metadata = {"package": "transformers", "version": transformers.__version__, "script": "crates/models/tests/oracle/llama.py"}
    save_file(arrays, HERE / "llama.safetensors", metadata)
    (HERE / "llama2c.bin").write_bytes(llama2c(config, parameters))


if __name__ == "__main__":
    main()
