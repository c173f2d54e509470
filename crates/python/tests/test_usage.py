"""What the book prints of Python runs."""

import inspect

import numpy
import pytest
import usage

FUNCTIONS = [function for _, function in inspect.getmembers(usage, inspect.isfunction)]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_what_the_book_prints_runs(function):
    random = numpy.random.default_rng(1)
    function(*(random.standard_normal((1, 4, 64, 16), dtype=numpy.float32) for _ in range(3)))
