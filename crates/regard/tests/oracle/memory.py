"""Writes the oracles of the recurrent and memory mechanisms: their definitions in double precision.

    pip install torch numpy safetensors
    python crates/regard/tests/oracle/memory.py

Each definition is written out as loops over steps and slots, from the paper alone; PyTorch in f64 differentiates it. Stored
as f32: `input.NAME`, `parameter.NAME` (linear maps are [in, out], y = x W + b), `visible` (1 or 0), `output.NAME`,
`cotangent.NAME`, and `gradient.NAME` of every input and parameter, which is d Σ over outputs of Σ(output ∘ cotangent).
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn.functional import silu, softplus

HERE = Path(__file__).parent


def case(name, inputs, parameters, define, visible=None, package="torch (f64)", script="memory.py"):
    """`inputs` and `parameters` are names and shapes; `define` computes the outputs of tensors by these names."""
    generator = torch.Generator().manual_seed(len(name))

    def random(shape):
        # As the tests will read it: rounded to f32.
        numbers = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
        return numbers.float().double()

    leaves = {f"input.{key}": random(shape).requires_grad_() for key, shape in inputs.items()}
    leaves |= {f"parameter.{key}": random(shape).requires_grad_() for key, shape in parameters.items()}
    outputs = define(**{key.split(".")[1]: tensor for key, tensor in leaves.items()})
    cotangents = {key: random(tensor.shape) for key, tensor in outputs.items()}
    total = sum((outputs[key] * cotangents[key]).sum() for key in outputs)
    gradients = torch.autograd.grad(total, list(leaves.values()))
    tensors = dict(leaves)
    tensors |= {f"output.{key}": tensor for key, tensor in outputs.items()}
    tensors |= {f"cotangent.{key}": tensor for key, tensor in cotangents.items()}
    tensors |= {f"gradient.{key.split('.')[1]}": gradient for key, gradient in zip(leaves, gradients)}
    if visible is not None:
        tensors["visible"] = visible
    arrays = {key: np.ascontiguousarray(tensor.detach().numpy().astype(np.float32)) for key, tensor in tensors.items()}
    metadata = {"package": package, "torch": torch.__version__, "script": f"crates/regard/tests/oracle/{script}"}
    save_file(arrays, HERE / f"{name}.safetensors", metadata)
    print(f"{name}: {len(arrays)} tensors, {sum(array.nbytes for array in arrays.values())} bytes")


def softmax(scores, visible=None):
    weights = scores.exp() if visible is None else scores.exp() * visible
    return weights / weights.sum(-1, keepdim=True)


# Two sentences of five positions, of which the second has three.
VISIBLE = torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.float64)


def location_aware(query, memory, w, b, u, filters, v, vector):
    """Three steps; the reach is 3, so that a filter sees a position and its neighbours."""
    previous = VISIBLE / VISIBLE.sum(1, keepdim=True)
    contexts, rows = [], []
    for step in range(query.shape[1]):
        scores = []
        for j in range(5):
            feature = 0
            for offset in (-1, 0, 1):
                if 0 <= j + offset < 5:
                    feature = feature + previous[:, j + offset, None] * filters[:, 0, offset + 1]
            hidden = torch.tanh(query[:, step] @ w + b + memory[:, j] @ u + feature @ v)
            scores.append(hidden @ vector)
        previous = softmax(torch.stack(scores, 1), VISIBLE)
        rows.append(previous)
        contexts.append(torch.einsum("bj,bjd->bd", previous, memory))
    return {"context": torch.stack(contexts, 1), "weights": torch.stack(rows, 1)}


def ema_distribution(scores, decay, strength, share):
    decay, share, reference, rows = decay.sigmoid(), share.sigmoid(), None, []
    for step in range(scores.shape[1]):
        first = softmax(scores[:, step], VISIBLE)
        before = first if reference is None else reference
        reference = decay * before + (1 - decay) * first
        drawn = (scores[:, step] + strength * reference.clamp(min=1e-30).log()).exp() * VISIBLE
        rows.append(share * drawn / drawn.sum(1, keepdim=True) + (1 - share) * before)
    return {"weights": torch.stack(rows, 1)}


def hopfield(states, stored, query, key, value):
    """Three updates, beta 1.5."""
    states, patterns = states @ query, stored @ key
    for _ in range(3):
        states = softmax(1.5 * states @ patterns.mT, VISIBLE[:, None]) @ patterns
    return {"output": states @ value}


def key_value(questions, keys, values, embed, hop_0, hop_1):
    state, keys, values = questions @ embed, keys @ embed, values @ embed
    for hop in (hop_0, hop_1):
        state = (state + softmax(state @ keys.mT, VISIBLE[:, None]) @ values) @ hop
    return {"state": state}


def lstm(inputs, weight, bias, recurrent, score):
    state = cell = torch.zeros(2, 3, dtype=torch.float64)
    states = []
    for _ in range(3):
        scores = torch.stack([score(state, inputs[:, j]) for j in range(5)], 1)
        context = torch.einsum("bj,bjd->bd", softmax(scores, VISIBLE), inputs)
        i, f, g, o = (context @ weight + bias + state @ recurrent).chunk(4, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        state = o.sigmoid() * cell.tanh()
        states.append(state)
    return {"states": torch.stack(states, 1)}


def lstm_additive(inputs, weight, bias, recurrent, from_state, from_input, vector):
    joint = torch.cat([from_state, from_input])
    # The hidden layer sees state and input side by side.
    return lstm(inputs, weight, bias, recurrent, lambda h, x: torch.tanh(torch.cat([h, x], 1) @ joint) @ vector)


def lstm_multiplicative(inputs, weight, bias, recurrent, matrix):
    return lstm(inputs, weight, bias, recurrent, lambda h, x: ((x @ matrix) * h).sum(1))


def mega(inputs, weight, damping, expansion, projection, **p):
    alpha, delta = weight.sigmoid(), damping.sigmoid()
    length, width = inputs.shape[1:]
    averaged = []
    for t in range(length):
        # The average as a convolution, y_t = Σ_s Σ_h η (1 - αδ)^(t-s) αβ x_s, not as a recurrence.
        y = 0
        for s in range(t + 1):
            y = y + inputs[:, s] * (projection * (1 - alpha * delta) ** (t - s) * alpha * expansion).sum(1)
        averaged.append(y)
    averaged = torch.stack(averaged, 1)
    shared = silu(averaged @ p["shared"] + p["shared_bias"])
    queries, keys = (shared * p["scale"][i] + p["shift"][i] for i in (0, 1))
    values = silu(inputs @ p["value"] + p["value_bias"])
    causal = torch.ones(length, length, dtype=torch.float64).tril()
    attended = softmax(queries @ keys.mT / shared.shape[-1] ** 0.5, causal) @ values
    reset = silu(averaged @ p["reset"] + p["reset_bias"])
    update = torch.sigmoid(averaged @ p["update"] + p["update_bias"])
    candidate = silu(averaged @ p["candidate"] + p["candidate_bias"] + (reset * attended) @ p["attended"])
    return {"output": update * candidate + (1 - update) * inputs}


def ntm(controller, reader, reader_bias, writer, writer_bias):
    """Four steps of five slots of width 3, shifts by one."""
    slots, width = 5, 3
    memory = torch.full((2, slots, width), 1e-6, dtype=torch.float64)
    first = torch.zeros(2, slots, dtype=torch.float64)
    first[:, 0] = 1
    reading = writing = first

    def address(asked, memory, before):
        key, strength, gate = asked[:, :3], softplus(asked[:, 3:4]), torch.sigmoid(asked[:, 4:5])
        shift, sharpness = softmax(asked[:, 5:8]), 1 + softplus(asked[:, 8:9])
        lengths = ((memory**2).sum(2) + 1e-12).sqrt() * ((key**2).sum(1, keepdim=True) + 1e-12).sqrt()
        content = softmax(strength * torch.einsum("bnm,bm->bn", memory, key) / lengths)
        gated = gate * content + (1 - gate) * before
        moved = [sum(gated[:, (i - o) % slots] * shift[:, o + 1] for o in (-1, 0, 1)) for i in range(slots)]
        sharp = torch.stack(moved, 1) ** sharpness
        return sharp / sharp.sum(1, keepdim=True)

    reads = []
    for step in range(controller.shape[1]):
        asked = controller[:, step] @ writer + writer_bias
        writing = address(asked, memory, writing)
        erase, add = torch.sigmoid(asked[:, 9:12]), torch.tanh(asked[:, 12:15])
        memory = memory * (1 - writing[:, :, None] * erase[:, None]) + writing[:, :, None] * add[:, None]
        reading = address(controller[:, step] @ reader + reader_bias, memory, reading)
        reads.append(torch.einsum("bn,bnm->bm", reading, memory))
    return {"read": torch.stack(reads, 1), "memory": memory, "written": writing}


if __name__ == "__main__":
    torch.set_num_threads(1)
    case(
        "location_aware",
        {"query": (2, 3, 4), "memory": (2, 5, 6)},
        {"w": (4, 7), "b": (7,), "u": (6, 7), "filters": (2, 1, 3), "v": (2, 7), "vector": (7,)},
        location_aware,
        VISIBLE,
    )
    scalars = {"decay": (1,), "strength": (1,), "share": (1,)}
    case("ema_distribution", {"scores": (2, 4, 5)}, scalars, ema_distribution, VISIBLE)
    maps = {"query": (3, 4), "key": (6, 4), "value": (4, 5)}
    case("hopfield", {"states": (2, 3, 3), "stored": (2, 5, 6)}, maps, hopfield)
    maps = {"embed": (6, 4), "hop_0": (4, 4), "hop_1": (4, 4)}
    case("key_value", {"questions": (2, 2, 6), "keys": (2, 5, 6), "values": (2, 5, 6)}, maps, key_value)
    cell = {"weight": (4, 12), "bias": (12,), "recurrent": (3, 12)}
    score = {"from_state": (3, 3), "from_input": (4, 3), "vector": (3,)}
    case("lstm_additive", {"inputs": (2, 5, 4)}, cell | score, lstm_additive)
    case("lstm_multiplicative", {"inputs": (2, 5, 4)}, cell | {"matrix": (4, 3)}, lstm_multiplicative)
    average = {"weight": (4, 2), "damping": (4, 2), "expansion": (4, 2), "projection": (4, 2)}
    gates = {"shared": (4, 3), "value": (4, 5), "reset": (4, 5), "update": (4, 4), "candidate": (4, 4)}
    gates |= {f"{key}_bias": shape[1:] for key, shape in gates.items()}
    gates |= {"scale": (2, 3), "shift": (2, 3), "attended": (5, 4)}
    case("mega", {"inputs": (2, 6, 4)}, average | gates, mega)
    heads = {"reader": (4, 9), "reader_bias": (9,), "writer": (4, 15), "writer_bias": (15,)}
    case("ntm", {"controller": (2, 4, 4)}, heads, ntm)
