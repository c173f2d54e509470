"""Traces: what attended to what while a model read something.

A `Trace` is filled by `regard.look`, or loaded from a file. It holds queries, keys and log-sum-exps by reference, from which
any weight is made when it is asked for: memory grows with the length of the text, not with its square.
"""

from .site import Site
from .trace import Trace

__all__ = ["Site", "Trace"]
