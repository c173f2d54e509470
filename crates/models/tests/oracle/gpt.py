"""Writes gpt.safetensors: GPT-2 as transformers has it, with random weights.

    pip install torch transformers numpy safetensors
    python crates/models/tests/oracle/gpt.py

Two layers, two heads, width 16, context 12. The file holds the parameters under our names (the stacked query, key and
value taken apart, as burn's [in, out]), a batch of ids, its logits, the weights of every layer and head, the mean loss of every
next token, and gradients of some parameters.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

NAMES = {
    "transformer.wte.weight": "embedding",
    "transformer.wpe.weight": "positions.table",
    "transformer.ln_f": "norm",
    "transformer.h": "layers",
    "ln_1": "attention_norm",
    "ln_2": "feed_forward_norm",
    "attn.c_proj": "attention.output",
    "mlp.c_fc": "inner",
    "mlp.c_proj": "outer",
}


def renamed(tensors):
    result = {}
    for name, tensor in tensors.items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        if "attn.c_attn" in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3, -1)):
                result[name.replace("attn.c_attn", f"attention.{part}")] = piece
        else:
            result[name] = tensor
    return result


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=12, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        attn_implementation="eager",
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if ".ln_" in name and name.endswith("weight") else 0.0, 0.3)
    ids = torch.randint(11, (2, 9))
    out = model(ids, labels=ids, output_attentions=True)
    out.loss.backward()
    parameters = dict(model.transformer.named_parameters(prefix="transformer"))
    tensors = renamed(parameters)
    gradients = renamed({name: parameter.grad for name, parameter in parameters.items()})
    watched = ["embedding", "positions.table", "layers.0.attention.key.weight", "layers.1.inner.weight", "norm.bias"]
    tensors |= {f"gradient.{name}": gradients[name] for name in watched}
    tensors |= dict(ids=ids, logits=out.logits, weights=torch.stack(out.attentions), loss=out.loss.reshape(1))
    arrays = {
        name: np.ascontiguousarray(tensor.detach().numpy().astype(np.float32 if tensor.is_floating_point() else np.int32))
        for name, tensor in tensors.items()
    }
    metadata = {"package": "transformers", "version": transformers.__version__, "script": "crates/models/tests/oracle/gpt.py"}
    save_file(arrays, Path(__file__).parent / "gpt.safetensors", metadata)


if __name__ == "__main__":
    main()
