"""Writes the oracles of the efficient mechanisms with the packages of their papers.

    pip install torch einops safetensors
    pip install --no-deps linformer==0.2.3 nystrom-attention==0.0.14 performer-pytorch==1.1.4 reformer-pytorch==1.4.4 \
        axial-attention==0.6.1 axial-positional-embedding local-attention product-key-memory transformers
    python crates/regard/tests/oracle/efficient.py

One file, `efficient.safetensors`, f32. Every case has inputs, `CASE.output`, `CASE.cotangent` and, of each input and
parameter, `CASE.gradient.NAME`, which is d Σ(output ∘ cotangent) / d NAME. Heads are split: [batch, head, position, feature].

    linear          q, k, v; torch in 64 bits, features elu + 1, for want of a package without CUDA. `linear_causal` alike.
    performer       q, k, v, directions [feature, width]; FastAttention with its own random directions. `performer_causal`
                    by causal_linear_attention_noncuda without its epsilon, which features above 0 do not need.
    linformer       q, k, v, key and value [length, rank]: what is between to_q, to_k, to_v and to_out.
    nystrom         q, k, v, filter [head, 1, filter, 1]: what is between to_qkv and to_out. One head and batch at a time,
                    since the package takes one norm over all of them to begin its iteration with.
    lsh             qk, v (as [batch, 1, ..]), rotations [width, round · buckets / 2]. `lsh_causal` alike.
    axial           input [batch, row, column, width], `{row,column}.{query,key,value,output}.weight`, `.output.bias`.
    longformer      transformers' LongformerSelfAttention: input, `{query,key,value,global_query,...}.{weight,bias}`.
    local           q, k, v, project, vector: Luong's local-p in 64 bits, written out.
"""

import sys
import types
from pathlib import Path

import torch
from torch.nn import functional as F

HERE = Path(__file__).parent

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
from safetensors.numpy import save_file  # noqa: E402

ARRAYS = {}


def case(name, inputs, output, renamed=()):
    """Notes a case whose `output` depends on `inputs`, leaves of the graph."""
    cotangent = torch.randn_like(output)
    gradients = torch.autograd.grad((output * cotangent).sum(), list(inputs.values()), allow_unused=True)
    for key, tensor, gradient in zip(inputs, inputs.values(), gradients):
        ARRAYS[f"{name}.{key}"] = tensor
        if gradient is not None:
            ARRAYS[f"{name}.gradient.{key}"] = gradient
    ARRAYS[f"{name}.output"], ARRAYS[f"{name}.cotangent"] = output, cotangent


def leaves(names, *shape, scale=1.0):
    return {name: (torch.randn(*shape) * scale).requires_grad_() for name in names}


def linear():
    for name, causal in [("linear", False), ("linear_causal", True)]:
        inputs = leaves("qkv", 2, 2, 20, 5)
        q, k, v = (tensor.double() for tensor in inputs.values())
        q, k = F.elu(q) + 1, F.elu(k) + 1
        weights = q @ k.transpose(2, 3)
        weights = weights.tril() if causal else weights
        case(name, inputs, ((weights / weights.sum(-1, keepdim=True)) @ v).float())


def favor():
    for name, causal in [("performer", False), ("performer_causal", True)]:
        inputs = leaves("qkv", 2, 2, 20, 8)
        module = performer.FastAttention(dim_heads=8, nb_features=12, causal=False)
        directions = module.projection_matrix
        if causal:
            q, k = (performer.softmax_kernel(inputs[x], projection_matrix=directions, is_query=x == "q") for x in "qk")
            output = performer.causal_linear_attention_noncuda(q, k, inputs["v"], chunk_size=4, eps=0.0)
        else:
            output = module(*inputs.values())
        ARRAYS[f"{name}.directions"] = directions
        case(name, inputs, output)


class Given(torch.nn.Module):
    """Stands in for a projection: hands out what it was given, whatever comes in."""

    def __init__(self, tensor):
        super().__init__()
        self.tensor = tensor

    def forward(self, _):
        return self.tensor


def joined(tensor):
    """[batch, head, position, feature] as [batch, position, heads · feature]."""
    return tensor.transpose(1, 2).flatten(2)


def split(tensor, heads):
    return tensor.unflatten(2, (heads, -1)).transpose(1, 2)


def linformer_case():
    inputs = leaves("qkv", 2, 2, 12, 4)
    module = linformer.LinformerSelfAttention(dim=8, seq_len=16, k=5, heads=2)
    module.to_q, module.to_k, module.to_v = (Given(joined(inputs[x])) for x in "qkv")
    module.to_out = torch.nn.Identity()
    output = split(module(torch.zeros(2, 12, 8)), 2)
    case("linformer", inputs | {"key": module.proj_k, "value": module.proj_v}, output)


def nystrom():
    inputs = leaves("qkv", 2, 2, 20, 4)
    filters = leaves(["filter"], 2, 1, 5, 1)
    outputs = []
    for batch in range(2):
        for head in range(2):
            module = nystrom_attention.NystromAttention(4, dim_head=4, heads=1, num_landmarks=5, residual_conv_kernel=5)
            module.to_qkv = Given(torch.cat([inputs[x][batch, head][None] for x in "qkv"], -1))
            del module.res_conv.weight
            module.res_conv.weight = filters["filter"][head:head + 1]
            module.to_out = torch.nn.Identity()
            outputs.append(module(torch.zeros(1, 20, 4))[0])
    case("nystrom", inputs | filters, torch.stack(outputs).view(2, 2, 20, 4))


def lsh():
    for name, causal in [("lsh", False), ("lsh_causal", True)]:
        inputs = leaves(["qk", "v"], 2, 32, 6)
        module = reformer.LSHAttention(bucket_size=4, n_hashes=3, causal=causal)
        randn, drawn = torch.randn, []
        torch.randn = lambda *args, **kwargs: drawn.append(randn(*args, **kwargs)) or drawn[-1]
        # In 64 bits: a position that sees only itself has scores of -50000, whose sum f32 is too coarse for.
        output = module(*(tensor.double() for tensor in inputs.values()))[0].float()
        torch.randn = randn
        ARRAYS[f"{name}.rotations"] = drawn[0][0].flatten(1)
        case(name, inputs, output)


def axial():
    inputs = leaves(["input"], 2, 3, 5, 8)
    module = axial_attention.AxialAttention(8, heads=2, sum_axial_out=False)
    parameters = {}
    # The package's first axis is the one along which the row number changes.
    for line, attention in zip(["row", "column"], (axial.fn for axial in module.axial_attentions)):
        key, value = attention.to_kv.weight.detach().chunk(2)
        key, value = key.clone().requires_grad_(), value.clone().requires_grad_()
        attention.to_kv = Both(key, value)
        parameters |= {f"{line}.query.weight": attention.to_q.weight, f"{line}.key.weight": key}
        parameters |= {f"{line}.value.weight": value, f"{line}.output.weight": attention.to_out.weight}
        parameters[f"{line}.output.bias"] = attention.to_out.bias
    output = module(inputs["input"].transpose(1, 2)).transpose(1, 2)
    case("axial", inputs | parameters, output)


class Both(torch.nn.Module):
    """Keys and values by two weights."""

    def __init__(self, key, value):
        super().__init__()
        self.weights = [key, value]

    def forward(self, x):
        return torch.cat([F.linear(x, weight) for weight in self.weights], -1)


def longformer():
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    config = LongformerConfig(
        hidden_size=8, num_attention_heads=2, attention_window=[4], attention_probs_dropout_prob=0.0
    )
    module = LongformerSelfAttention(config, layer_id=0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    inputs = leaves(["input"], 2, 16, 8)
    mask = torch.zeros(2, 16)
    mask[:, [0, 9]] = 10000.0
    output = module(
        inputs["input"],
        attention_mask=mask,
        is_index_masked=mask < 0,
        is_index_global_attn=mask > 0,
        is_global_attn=True,
    )[0]
    parameters = {}
    for key, parameter in module.named_parameters():
        linear, kind = key.split(".")
        linear = f"global_{linear.removesuffix('_global')}" if linear.endswith("_global") else linear
        parameters[f"{linear}.{kind}"] = parameter
    case("longformer", inputs | parameters, output)


def local():
    inputs = leaves("qkv", 2, 2, 9, 4)
    inputs |= {"project": torch.randn(4, 4).requires_grad_(), "vector": torch.randn(4).requires_grad_()}
    q, k, v, project, vector = (tensor.double() for tensor in inputs.values())
    reach, keys = 2, k.shape[2]
    position = keys * torch.sigmoid(torch.tanh(q @ project) @ vector)[..., None]
    away = torch.arange(keys) - position
    scores = (q @ k.transpose(2, 3) / 2).masked_fill(away.abs() > reach, -torch.inf)
    weights = scores.softmax(-1) * torch.exp(-(away**2) / (2 * (reach / 2) ** 2))
    case("local", inputs, (weights @ v).float())


def main():
    torch.manual_seed(5)
    for write in (linear, favor, linformer_case, nystrom, lsh, axial, longformer, local):
        write()
    arrays = {key: tensor.detach().contiguous().float().numpy() for key, tensor in ARRAYS.items()}
    save_file(arrays, HERE / "efficient.safetensors", {"script": "crates/regard/tests/oracle/efficient.py"})
    print(f"efficient: {len(arrays)} tensors, {sum(array.nbytes for array in arrays.values())} bytes")


if __name__ == "__main__":
    main()
