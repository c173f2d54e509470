"""The node test cases of the operators that are attention, as the installed `onnx` makes them."""

import warnings
from collections import Counter

from onnx.backend.test.case.node import collect_testcases

# How many there are in onnx 1.23.2, not counting those in which ONNX has expanded the operator into others.
EXPECTED = {"Attention": 93, "FlexAttention": 11, "LinearAttention": 14, "RotaryEmbedding": 8}


def operator(case):
    """The operator that a case is about, or None if it is of several nodes."""
    nodes = case.model.graph.node
    return nodes[0].op_type if len(nodes) == 1 else None


def count(cases):
    """How many cases each operator has."""
    return dict(Counter(map(operator, cases)))


with warnings.catch_warnings():
    # Making the cases of other operators overflows, on purpose.
    warnings.simplefilter("ignore")
    CASES = [case for case in collect_testcases(None) if case.kind == "node" and operator(case) in EXPECTED]
