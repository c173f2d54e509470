"""What tests share."""

import numpy
import pytest


@pytest.fixture
def inputs():
    """Queries, keys and values: 4 query heads share 2 key heads, and no length is a multiple of another."""
    random = numpy.random.default_rng(1)
    shapes = [(2, 4, 70, 16), (2, 2, 90, 16), (2, 2, 90, 8)]
    return [random.standard_normal(shape, dtype=numpy.float32) for shape in shapes]


@pytest.fixture
def torch():
    """PyTorch, or the test is skipped."""
    return pytest.importorskip("torch")
