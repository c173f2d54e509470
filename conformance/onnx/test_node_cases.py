"""ONNX's own node test cases, run through Regard's public calls and compared as ONNX compares them."""

import onnx
import pytest
from cases import CASES, EXPECTED, count
from onnx.backend.test.runner import Runner
from operators import OPERATORS


def test_all_cases_are_there():
    """Nobody passes by not being collected."""
    assert count(CASES) == EXPECTED


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.removeprefix("test_"))
def test_case(case):
    (node,) = case.model.graph.node
    # An old opset's schema names no inputs that came later.
    opset = {entry.domain: entry.version for entry in case.model.opset_import}[node.domain]
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    for given, expected in case.data_sets:
        given = iter(given)
        inputs = {formal.name: next(given) for formal, name in zip(schema.inputs, node.input) if name}
        asked = [formal.name for formal, name in zip(schema.outputs, node.output) if name]
        results = OPERATORS[node.op_type](attributes, inputs, asked)
        Runner.assert_similar_outputs(expected, [results[name] for name in asked], case.rtol, case.atol)
