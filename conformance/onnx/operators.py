"""ONNX's attention operators in Regard's terms: what an application does that has a model and the package `regard`.

Every operator is a function of the node's inputs, by their names in its schema, of its attributes, and of the outputs asked
for. It returns what it computes, by output name.

ONNX's words and ours: `attn_mask` is a mask if it is boolean and a bias if not; `softcap` is a bias before it; a window, a
cache and `nonpad_kv_seqlen` say who may see whom. `softmax_precision` asks for at least so many bits, and Regard always has
those of float32.
"""

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import regard


def attention(node, inputs, asked):
    """`Attention`, opsets 23 to 25."""
    q, k, v = (inputs[name] for name in "QKV")
    packed = q.ndim == 3
    if packed:
        q, k, v = heads(q, node["q_num_heads"]), heads(k, node["kv_num_heads"]), heads(v, node["kv_num_heads"])
    past, lengths = 0, inputs.get("nonpad_kv_seqlen")
    if "past_key" in inputs:
        past = inputs["past_key"].shape[2]
        k = np.concatenate([inputs["past_key"], k], axis=2)
        v = np.concatenate([inputs["past_value"], v], axis=2)
    sizes = q.shape[2], k.shape[2]

    # The key at which a batch's first query stands.
    corner = np.array([past]) if lengths is None else lengths - q.shape[2]
    masks = [visible(node, corner, *sizes)]
    if lengths is not None:
        masks.append(regard.Padding(lengths))
    biases = [regard.SoftCap(node["softcap"])] if node.get("softcap") else []
    caps = len(biases)
    if "attn_mask" in inputs:
        pairs = every_pair(inputs["attn_mask"], *sizes)
        (masks if pairs.dtype == bool else biases).append(pairs)
    nouns = {"score": regard.ScaledDot(node.get("scale")), "mask": all_of(masks), "bias": biases}
    out = regard.attention(q, k, v, **nouns)

    results = {"Y": merged(out.context) if packed else out.context, "present_key": k, "present_value": v}
    if "qk_matmul_output" in asked:
        stages = [regard.Scores(biases=0), regard.Scores(biases=caps), regard.Scores(), regard.Weights()]
        probe = stages[node.get("qk_matmul_output_mode", 0)]
        regard.observe(q, k, out.lse, [probe], **nouns)
        results["qk_matmul_output"] = probe.values.astype(q.dtype)
    return results


def visible(node, corner, queries, keys):
    """The mask of `is_causal` and the window, if there are any; queries stand at different keys in different batches."""
    left, right = (node.get(name, -1) for name in ("left_window_size", "right_window_size"))
    if node.get("is_causal"):
        right = 0
    if left < 0 and right < 0:
        return None
    if not corner.any():
        return regard.Window(past=left if left >= 0 else None, future=right if right >= 0 else None, corner="top-left")

    def near(batch, head, query, key):
        distance = key - query - corner[batch]
        return ((left < 0) | (distance >= -left)) & ((right < 0) | (distance <= right))

    return regard.mask(near, queries, keys, batch=corner.size)


def every_pair(pairs, queries, keys):
    """`attn_mask` for all keys and, for Regard, all queries: nobody sees keys past its end."""
    hidden = False if pairs.dtype == bool else -np.inf
    if pairs.shape[-1] not in (1, keys):
        pairs = np.pad(pairs, [(0, 0)] * (pairs.ndim - 1) + [(0, keys - pairs.shape[-1])], constant_values=hidden)
    return np.broadcast_to(pairs, (*pairs.shape[:-2], queries, keys))


def all_of(masks):
    """The masks joined, or None if there is none."""
    joined = None
    for mask in masks:
        mask = regard.DenseMask(mask) if isinstance(mask, np.ndarray) else mask
        joined = mask if joined is None else joined if mask is None else joined & mask
    return joined


def flex_attention(node, inputs, asked):
    """`FlexAttention`, preview: scores and weights pass through graphs."""
    q, k, v = (inputs[name] for name in "QKV")
    given = v.dtype
    if given == np.float64:
        q, k, v = (x.astype(np.float32) for x in (q, k, v))
    pairs = (*q.shape[:3], k.shape[2])
    bias = score_mod(node["score_mod"], pairs) if "score_mod" in node else None
    normalizer = regard.Reweight(function(node["prob_mod"])) if "prob_mod" in node else None
    out = regard.attention(q, k, v, score=regard.ScaledDot(node.get("scale")), bias=bias, normalizer=normalizer)
    return {"Y": out.context.astype(given)}


def score_mod(graph, pairs):
    """A graph of scores as a bias.

    One that does the same to every score is asked a tile at a time. One that looks at positions asks for the shape of all
    scores: such a graph may add, and is asked once what.
    """
    run = function(graph)
    if not any(node.op_type == "Shape" for node in graph.node):
        return regard.Modify(lambda score, *place: run(score))
    added, more = (run(np.full(pairs, score, np.float32)) for score in (0, 1))
    if not np.array_equal(more, added + 1):
        raise NotImplementedError(f"{graph.name} looks at positions and does more than to add to scores")
    return added


def function(graph):
    """A graph of one input and one output as a function."""
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 26)]))
    (name,) = (value.name for value in graph.input)
    return lambda x: evaluator.run(None, {name: x})[0]


def linear_attention(node, inputs, asked):
    """`LinearAttention`, opset 27; the update rule is a matter of which gates there are."""
    q = heads(inputs["query"], node["q_num_heads"])
    k, v = (heads(inputs[name], node["kv_num_heads"]) for name in ("key", "value"))
    decay, beta = inputs.get("decay"), inputs.get("beta")
    if decay is not None:
        decay = heads(decay, node["kv_num_heads"])
    if beta is not None:
        beta = heads(beta, beta.shape[-1])
    past = inputs.get("past_state")
    scale = node.get("scale") or None
    out = regard.linear_attention(q, k, v, decay=decay, beta=beta, state=past, scale=scale)
    return {"output": merged(out.context), "present_state": out.state.astype(q.dtype if past is None else past.dtype)}


def rotary_embedding(node, inputs, asked):
    """`RotaryEmbedding`, opset 23; how many features are turned is a matter of the cosines' width."""
    x = inputs["X"]
    packed = x.ndim == 3
    turned = regard.rotate(
        heads(x, node["num_heads"]) if packed else x,
        inputs["cos_cache"],
        inputs["sin_cache"],
        inputs.get("position_ids"),
        interleaved=bool(node.get("interleaved")),
    )
    return {"Y": merged(turned) if packed else turned}


def heads(x, count):
    """`[batch, position, head · feature]` as `[batch, head, position, feature]`, where it lies."""
    return x.reshape(*x.shape[:2], count, -1).swapaxes(1, 2)


def merged(x):
    """`[batch, head, position, feature]` as `[batch, position, head · feature]`."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


OPERATORS = {
    "Attention": attention,
    "FlexAttention": flex_attention,
    "LinearAttention": linear_attention,
    "RotaryEmbedding": rotary_embedding,
}
