"""Writes entmax.txt: rows of scores, and what the package `entmax` makes of them.

    pip install torch entmax==1.3
    python crates/kernel/tests/oracle/write.py

The tests read the file; they need neither Python nor this script. Each line is a name and a row of numbers: `scores` and
`cotangent` (multiples of 1/64), then for each normalizer its weights and d Σ(weights ∘ cotangent) / d scores, computed
in 64 bits.
"""

from pathlib import Path

import entmax
import torch

LENGTH = 24


def row(index):
    """Spread out, nearly alike, all alike, one far ahead, in pairs of equals."""
    generator = torch.Generator().manual_seed(index)
    noise = torch.randn(LENGTH, generator=generator, dtype=torch.float64)
    if index == 1:
        noise /= 32
    elif index == 2:
        noise = torch.full_like(noise, 0.75)
    elif index == 3:
        noise[7] += 9
    elif index == 4:
        noise = noise[: LENGTH // 2].repeat(2)
    return (noise * 64).round() / 64


def line(name, numbers):
    return f"{name} " + " ".join(f"{number:.9g}" for number in numbers.tolist())


lines = []
for index in range(5):
    scores, cotangent = row(index), row(index + 10)
    lines += [line("scores", scores), line("cotangent", cotangent)]
    for name in ("sparsemax", "entmax15"):
        leaf = scores.clone().requires_grad_()
        weights = getattr(entmax, name)(leaf, dim=-1)
        (weights * cotangent).sum().backward()
        lines += [line(name, weights.detach()), line(f"{name}.gradient", leaf.grad)]
(Path(__file__).parent / "entmax.txt").write_text("\n".join(lines) + "\n")
