"""Writes the oracles of graph attention, with torch-geometric.

    pip install torch torch-geometric safetensors
    python crates/regard/tests/oracle/graphs.py

Files are as in memory.py, which says what they hold; layers run in f64. `output.weights` are those of the softmax, [head, edge],
in the order of EDGES with the loops at the end, and no part of what is differentiated. Nodes 0 to 6 look along EDGES, which are
(from, to) as torch-geometric has them; 6 is seen and sees nobody.

graph_attention: GATConv, 3 heads side by side, a loop for each node, a bias.
graph_attention_mean: GATConv, mean of 2 heads, without loops, a linear residual.
graph_attention_v2: GATv2Conv, 2 heads side by side, a loop for each node, biases everywhere.
graph_attention_v2_shared: GATv2Conv, mean of 3 heads, without loops, one projection, a linear residual, no bias.
"""

import torch
from memory import case
from torch.func import functional_call
from torch_geometric import __version__
from torch_geometric.nn import GATConv, GATv2Conv

EDGES = torch.tensor([(1, 0), (2, 0), (6, 0), (0, 1), (3, 1), (1, 2), (4, 3), (0, 3), (5, 3), (2, 4), (3, 5), (6, 5)]).T
NODES, WIDTH = 7, 5


def run(layer, by_name, nodes):
    layer = layer.double().eval()
    output, (_, weights) = functional_call(layer, by_name, (nodes, EDGES), {"return_attention_weights": True})
    return {"output": output, "weights": weights.detach().T}


def gat(heads, features, joined, loops):
    def define(nodes, project, receiver, sender, bias, residual=None):
        layer = GATConv(
            WIDTH, features, heads, concat=joined, add_self_loops=loops, residual=residual is not None
        )
        by_name = {"lin.weight": project.T, "att_dst": receiver[None], "att_src": sender[None], "bias": bias}
        if residual is not None:
            by_name["res.weight"] = residual.T
        return run(layer, by_name, nodes)

    return define


def gat_v2(heads, features, joined, loops):
    def define(nodes, sender, vector, receiver=None, sender_bias=None, receiver_bias=None, bias=None, residual=None):
        layer = GATv2Conv(
            WIDTH, features, heads, concat=joined, add_self_loops=loops, bias=bias is not None,
            share_weights=receiver is None, residual=residual is not None,
        )
        by_name = {"lin_l.weight": sender.T, "att": vector[None]}
        if receiver is not None:
            by_name["lin_r.weight"] = receiver.T
        if bias is not None:
            by_name |= {"lin_l.bias": sender_bias, "lin_r.bias": receiver_bias, "bias": bias}
        if residual is not None:
            by_name["res.weight"] = residual.T
        return run(layer, by_name, nodes)

    return define


def write(name, parameters, define):
    case(name, {"nodes": (NODES, WIDTH)}, parameters, define, package=f"torch-geometric {__version__}", script="graphs.py")


if __name__ == "__main__":
    write(
        "graph_attention",
        {"project": (5, 12), "receiver": (3, 4), "sender": (3, 4), "bias": (12,)},
        gat(3, 4, True, True),
    )
    write(
        "graph_attention_mean",
        {"project": (5, 6), "receiver": (2, 3), "sender": (2, 3), "bias": (3,), "residual": (5, 3)},
        gat(2, 3, False, False),
    )
    write(
        "graph_attention_v2",
        {
            "receiver": (5, 8), "receiver_bias": (8,), "sender": (5, 8), "sender_bias": (8,), "vector": (2, 4),
            "bias": (8,),
        },
        gat_v2(2, 4, True, True),
    )
    write(
        "graph_attention_v2_shared",
        {"sender": (5, 6), "vector": (3, 2), "residual": (5, 2)},
        gat_v2(3, 2, False, False),
    )
