"""Contestants take turns, so that a slow moment of the machine meets all of them; the median counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

import regard

THREADS = 2
torch.set_num_threads(THREADS)
regard.set_threads(THREADS)


def turns(contestants: dict[str, Callable[[], object]], seconds: float, least: int = 5) -> dict[str, float]:
    """The median of milliseconds of each, of as many turns as fit."""
    found = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(found.values()))) < least:
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            found[name].append((time.perf_counter() - start) * 1e3)
    return {name: median(times) for name, times in found.items()}


def row(what: str, times: dict[str, float], names: list[str]) -> None:
    """A line of a table: milliseconds, and how many times faster Regard is than the best of the others."""
    cells = [f"{times[name]:.2f}" if name in times else "–" for name in names]
    best = min(milliseconds for name, milliseconds in times.items() if name != "regard")
    print(f"| {what} | {' | '.join(cells)} | {best / times['regard']:.2f} |", flush=True)


def head(what: str, names: list[str]) -> None:
    print(f"\n| {what}, ms | {' | '.join(names)} | ratio |\n|---|{'---|' * len(names)}---|", flush=True)
