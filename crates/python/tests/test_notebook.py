"""The notebook runs from top to bottom."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_every_cell_runs():
    notebook = json.loads((Path(__file__).parents[1] / "notebooks" / "look.ipynb").read_text())
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
