"""Contestants take turns, and the median counts; prints how many times faster Regard is, and how its time grows."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from statistics import median

# Mechanisms, and whose they are compared with; none where there is no package to compare with.
ROWS = {
    "exact": "PyTorch, scaled_dot_product_attention",
    "linear": "PyTorch, elu + 1 as published",
    "linear-causal": "elu + 1 in performer-pytorch's causal sums",
    "performer": "performer-pytorch 1.1.4",
    "performer-causal": "performer-pytorch 1.1.4",
    "linformer": "linformer 0.2.3",
    "nystrom": "nystrom-attention 0.0.14",
    "lsh": "reformer-pytorch 1.4.4",
    "axial": "axial-attention 0.6.1",
    "window": "transformers, Longformer",
    "longformer": "transformers, Longformer",
    "bigbird": "transformers, BigBird",
    "hybrid": None,
    "local": None,
}
# Those whose time should double with the length.
LINEAR = [name for name in ROWS if name not in ("exact", "axial", "hybrid")]


class Contestant:
    """A process that is stopped while it is not its turn, so that its threads do not spin in another's time."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self, name, length):
        """Milliseconds of a forward pass, and of one with its backward."""
        os.kill(self.process.pid, signal.SIGCONT)
        print(name, length, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.process.args} ended at {name} {length}")
        os.kill(self.process.pid, signal.SIGSTOP)
        return [float(word) for word in answer.split()]


def medians(contestants, name, length, rounds):
    found = [[] for _ in contestants]
    for _ in range(rounds):
        for contestant, times in zip(contestants, found):
            times.append(contestant.turn(name, length))
    return [[median(column) for column in zip(*times)] for times in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", required=True, help="our worker")
    parser.add_argument("--only", default="", help="a pattern of names")
    parser.add_argument("--lengths", default="1024,4096")
    parser.add_argument("--growth", type=int, default=32768, help="the last length of the doublings; 0 for none")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    lengths = [int(length) for length in arguments.lengths.split(",")]
    names = [name for name in ROWS if re.fullmatch(arguments.only or ".*", name)]

    ours = Contestant([arguments.ours])
    theirs = Contestant([sys.executable, str(Path(__file__).with_name("peers.py"))])
    print("| mechanism, ms | positions | forward | theirs | ratio | + backward | theirs | ratio | beside |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        for length in lengths:
            contestants = [ours, theirs] if ROWS[name] else [ours]
            times = medians(contestants, name, length, arguments.rounds)
            cells = []
            for which in range(2):
                mine, *other = (time[which] for time in times)
                cells += [f"{mine:.1f}", *([f"{other[0]:.1f}", f"**{other[0] / mine:.2f}**"] if other else "––")]
            print(f"| {name} | {length} | {' | '.join(cells)} | {ROWS[name] or '–'} |", flush=True)

    doublings = [length for length in (4096 << i for i in range(20)) if length <= arguments.growth]
    grown = [name for name in names if name in LINEAR]
    if len(doublings) > 1 and grown:
        print(f"\n| growth of ours, forward and backward | {' | '.join(f'→ {length}' for length in doublings[1:])} |")
        print(f"|---|{'---|' * (len(doublings) - 1)}")
        for name in grown:
            # In turn as well: a slow minute would otherwise look like growth.
            times = {length: [] for length in doublings}
            for _ in range(arguments.rounds):
                for length in doublings:
                    times[length].append(ours.turn(name, length)[1])
            middle = [median(times[length]) for length in doublings]
            steps = [f"{after:.0f} ms, {after / before:.2f}×" for before, after in zip(middle, middle[1:])]
            print(f"| {name} ({middle[0]:.0f} ms at {doublings[0]}) | {' | '.join(steps)} |", flush=True)
    for contestant in (ours, theirs):
        contestant.process.kill()


if __name__ == "__main__":
    main()
