"""Writes the fixtures of tests/attribution.rs, tests/through_layers.rs and tests/cam.rs: what published packages say.

    pip install torch numpy scipy networkx safetensors opencv-python-headless captum==0.9.0 grad-cam==1.5.7
    python crates/explain/tests/oracle/write.py

- attribution.safetensors: a small network and captum's attributions of it.
- through_layers.safetensors: attention weights and their gradients; rollout and relevance by numpy, written here from the papers'
  equations; maximum flows by networkx.
- cam.safetensors: a convolution's activations and gradients, and pytorch-grad-cam's maps.
"""

from pathlib import Path

import networkx
import numpy
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, Occlusion
from pytorch_grad_cam import GradCAM, HiResCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from safetensors.numpy import save_file

HERE = Path(__file__).parent


def save(name, arrays):
    arrays = {key: numpy.ascontiguousarray(value, dtype=numpy.float32) for key, value in arrays.items()}
    save_file(arrays, HERE / f"{name}.safetensors")


def attribution():
    """A number of 3 × 4 places of 3 features: y = v · tanh(U Σ_i a_i tanh(W x_i + b))."""
    torch.manual_seed(1)
    rows, columns, width, hidden, out = 3, 4, 3, 5, 4
    places = rows * columns
    shapes = {"w": (hidden, width), "b": (hidden,), "a": (places,), "u": (out, hidden), "v": (out,)}
    net = {key: torch.randn(shape) for key, shape in shapes.items()}
    net["u"] *= 0.4
    x, baseline = torch.randn(places, width), 0.3 * torch.randn(places, width)

    def number(x):
        x = x.reshape(-1, places, width)
        mixed = torch.einsum("i,bih->bh", net["a"], torch.tanh(x @ net["w"].T + net["b"]))
        return torch.tanh(mixed @ net["u"].T) @ net["v"]

    flat, base = x[None], baseline[None]
    grid = [part.reshape(1, rows, columns, width) for part in (x, baseline)]
    by_place = lambda scores: scores[0].sum(-1).detach().numpy().reshape(-1)
    integrated, delta = IntegratedGradients(number).attribute(
        flat, base, n_steps=20, method="gausslegendre", return_convergence_delta=True
    )
    mask = torch.arange(places)[None, :, None].expand(1, places, width)
    # Every feature of a place has the place's score.
    save("attribution", {key: value.numpy() for key, value in net.items()} | {
        "x": x.numpy(),
        "baseline": baseline.numpy(),
        "number": number(flat).numpy(),
        "gradient_input": by_place(InputXGradient(number).attribute(flat.clone().requires_grad_())),
        "integrated_gradients": by_place(integrated),
        "delta": delta.numpy(),
        "leave_one_out": FeatureAblation(number).attribute(flat, base, feature_mask=mask)[0, :, 0].detach().numpy(),
        "occlusion_3": Occlusion(number).attribute(flat, (3, width), baselines=base)[0, :, 0].detach().numpy(),
        "occlusion_2x2": Occlusion(number).attribute(grid[0], (2, 2, width), baselines=grid[1])[0, ..., 0]
        .detach()
        .numpy(),
    })


def softmax(scores):
    weights = numpy.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def attention_maps(random, layers, heads, queries, keys):
    # Rounded as the file rounds them, so that a reader computes from the same numbers.
    return softmax(2 * random.normal(size=(layers, heads, queries, keys))).astype(numpy.float32).astype(float)


def rollout(encoder, own, cross):
    source, target = encoder.shape[-1], own.shape[-1]
    mix = lambda weights: 0.5 * weights.mean(0)
    rolled = numpy.eye(source)
    for weights in encoder:
        rolled = mix(weights) @ rolled + 0.5 * rolled
    itself, across = numpy.eye(target), numpy.zeros((target, source))
    for self_weights, cross_weights in zip(own, cross):
        itself, across = (mix(self_weights) @ part + 0.5 * part for part in (itself, across))
        itself, across = 0.5 * itself, 0.5 * across + mix(cross_weights) @ rolled
    return rolled, itself, across


def flows(encoder, own, cross, query):
    """From the query in the top layer to each token; edges point down."""
    graph = networkx.DiGraph()

    def layer(name, depth, weights, below):
        for i, row in enumerate(weights.mean(0)):
            graph.add_edge((name, depth, i), (name, depth - 1, i), capacity=0.0)
            for j, weight in enumerate(row):
                edge = (name, depth, i), (*below, j)
                capacity = graph.edges[edge]["capacity"] if graph.has_edge(*edge) else 0.0
                graph.add_edge(*edge, capacity=capacity + 0.5 * weight)
            graph.edges[(name, depth, i), (name, depth - 1, i)]["capacity"] += 0.5

    for depth, weights in enumerate(encoder, 1):
        layer("source", depth, weights, ("source", depth - 1))
    for number, (self_weights, cross_weights) in enumerate(zip(own, cross)):
        layer("own", 2 * number + 1, self_weights, ("own", 2 * number))
        layer("own", 2 * number + 2, cross_weights, ("source", len(encoder)))
    top = ("own", 2 * len(own), query) if len(own) else ("source", len(encoder), query)
    value = lambda name, token: networkx.maximum_flow_value(graph, top, (name, 0, token))
    source = [value("source", token) for token in range(encoder.shape[-1])]
    return source, [value("own", token) for token in range(own.shape[-1])] if len(own) else []


def positive(weights, gradients):
    return numpy.maximum(weights * gradients, 0).mean(0)


def normalized(relevance):
    rest = relevance - numpy.eye(len(relevance))
    sums = rest.sum(-1, keepdims=True)
    return numpy.divide(rest, sums, out=numpy.zeros_like(rest), where=sums > 0) + numpy.eye(len(relevance))


def relevance_of_decoder(encoder, own, cross):
    """Each is (weights, gradients) a layer."""
    source, target = encoder[0].shape[-1], own[0].shape[-1]
    r_ss, r_tt, r_ts = numpy.eye(source), numpy.eye(target), numpy.zeros((target, source))
    for weights, gradients in zip(*encoder):
        r_ss = r_ss + positive(weights, gradients) @ r_ss
    for own_layer, cross_layer in zip(zip(*own), zip(*cross)):
        bar = positive(*own_layer)
        r_tt, r_ts = r_tt + bar @ r_tt, r_ts + bar @ r_ts
        r_ts = r_ts + normalized(r_tt).T @ positive(*cross_layer) @ normalized(r_ss)
    return r_ss, r_tt, r_ts


def relevance_of_exchange(own, cross):
    """Two sequences, each with self-attention, then both attend to each other; own[s] and cross[s] are (weights, gradients)."""
    lengths = [part[0].shape[-1] for part in own]
    r = [[numpy.eye(a) if s == q else numpy.zeros((a, b)) for q, b in enumerate(lengths)] for s, a in enumerate(lengths)]
    for layer in range(len(own[0][0])):
        for s in (0, 1):
            bar = positive(own[s][0][layer], own[s][1][layer])
            r[s] = [part + bar @ part for part in r[s]]
        bars = [positive(cross[s][0][layer], cross[s][1][layer]) for s in (0, 1)]
        across = [normalized(r[s][s]).T @ bars[s] @ normalized(r[1 - s][1 - s]) for s in (0, 1)]
        within = [bars[s] @ r[1 - s][s] for s in (0, 1)]
        for s in (0, 1):
            r[s][1 - s], r[s][s] = r[s][1 - s] + across[s], r[s][s] + within[s]
    return r


def through_layers():
    random = numpy.random.default_rng(2)
    layers, heads, source, target = 3, 2, 5, 4
    shapes = {"encoder": (source, source), "own": (target, target), "cross": (target, source), "back": (source, target)}
    weights = {key: attention_maps(random, layers, heads, *shape) for key, shape in shapes.items()}
    gradients = {key: random.normal(size=maps.shape).astype(numpy.float32).astype(float) for key, maps in weights.items()}
    both = {key: (weights[key], gradients[key]) for key in weights}
    encoder, own, cross = (weights[key] for key in ("encoder", "own", "cross"))

    rolled, itself, across = rollout(encoder, own, cross)
    none = numpy.zeros((0, heads, target, target))
    of_encoder, _ = flows(encoder, none, none, 1)
    flow_source, flow_own = flows(encoder, own, cross, 2)
    r_ss, r_tt, r_ts = relevance_of_decoder(both["encoder"], both["own"], both["cross"])
    exchange = relevance_of_exchange([both["own"], both["encoder"]], [both["cross"], both["back"]])
    save("through_layers", weights | {f"{key}.gradients": value for key, value in gradients.items()} | {
        "rollout.encoder": rolled,
        "rollout.own": itself,
        "rollout.source": across,
        "flow.encoder.1": of_encoder,
        "flow.own.2": flow_own,
        "flow.source.2": flow_source,
        "relevance.source": r_ss,
        "relevance.own": r_tt,
        "relevance.across": r_ts,
    } | {f"exchange.{s}.{q}": exchange[s][q] for s in (0, 1) for q in (0, 1)})


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(2, 3, 3, stride=2)
        self.linear = torch.nn.Linear(3 * 4 * 5, 2)

    def forward(self, image):
        self.activations = torch.relu(self.convolution(image))
        return self.linear(self.activations.flatten(1))


def cam():
    torch.manual_seed(3)
    network = Network().eval()
    image = torch.randn(1, 2, 9, 11)
    score = network(image)[0, 1]
    activations = network.activations
    (gradients,) = torch.autograd.grad(score, activations)
    found = {}
    for name, method in [("grad_cam", GradCAM), ("hires_cam", HiResCAM)]:
        # The hook sees what the convolution gives, so the ReLU is made part of it.
        layer = torch.nn.Sequential(network.convolution, torch.nn.ReLU())
        model = torch.nn.Sequential(layer, torch.nn.Flatten(), network.linear)
        with method(model=model, target_layers=[layer]) as explain:
            found[name] = explain(image, [ClassifierOutputTarget(1)])[0]
    save("cam", found | {
        "activations": activations[0].detach().numpy(),
        "gradients": gradients[0].numpy(),
        "score": [score.item() - network.linear.bias[1].item()],
    })


attribution()
through_layers()
cam()
