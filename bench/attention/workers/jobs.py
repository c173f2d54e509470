"""What every contestant written in Python has in common: jobs come in, milliseconds go out.

A contestant is a process with a fixed number of threads. Each line of its standard input is a job, each line of its
standard output the answer, both JSON; `protocol/` is the same for Rust. Works are prepared at their first job and kept
until a job says {"forget": true}, so that preparing is never timed and works can take turns.
"""

import argparse
import json
import signal
import sys
import time
import types

import numpy as np

# Where each tensor begins in the endless sequence of normal numbers.
QUERIES, KEYS, VALUES, GRADIENT, MASK, BIAS = 0, 333_331, 666_667, 500_009, 7_919, 250_007
CAP = 50.0
# A normal number is less once in ten times.
TENTH = -1.2815516
# Seconds; what runs for so long is as fast the first time.
SLOW = 1.0


class Unsupported(Exception):
    """The contestant cannot do a work; says why."""


class Work(types.SimpleNamespace):
    """One attention to compute, as the driver writes it."""

    def query_shape(self):
        return self.batch, self.heads, self.queries, self.width

    def key_shape(self):
        return self.batch, self.key_heads, self.keys, self.width

    def value_shape(self):
        return self.batch, self.key_heads, self.keys, self.value_width

    def context_shape(self):
        return self.batch, self.heads, self.queries, self.value_width


class Normals:
    """Standard normal numbers from a file, repeated as often as needed."""

    def __init__(self, path):
        self.numbers = np.fromfile(path, dtype="<f4")

    def take(self, start, shape):
        """So many numbers from a place of the sequence."""
        return np.resize(np.roll(self.numbers, -start), shape)


def visible(work, normals):
    """[query, key]: who sees whom, as booleans. None if everyone sees everyone."""
    kind, size = next(iter(work.mask.items())) if isinstance(work.mask, dict) else (work.mask, 0)
    if kind == "none":
        return None
    query, key = np.arange(work.queries)[:, None], np.arange(work.keys)[None, :]
    if kind == "causal":
        return key <= query + work.keys - work.queries
    if kind == "window":
        behind = query + work.keys - work.queries - key
        return (behind >= 0) & (behind < size)
    if kind == "documents":
        return query * size // work.queries == key * size // work.keys
    if kind == "blocks":
        rows, columns = -(-work.queries // size), -(-work.keys // size)
        seen = (normals.take(MASK, (rows, columns)) < TENTH) | np.eye(rows, columns, dtype=bool)
        return np.kron(seen, np.ones((size, size), bool))[: work.queries, : work.keys]
    if kind == "dense":
        return normals.take(MASK, (work.queries, work.keys)) < 0
    raise Unsupported(f"mask {kind}")


def bias(work, normals):
    """[1 or head, query, key]: what is added to scores. None if nothing is."""
    if work.bias == "dense":
        return normals.take(BIAS, (1, work.queries, work.keys))
    if work.bias == "dense_by_head":
        return normals.take(BIAS, (work.heads, work.queries, work.keys))
    if work.bias == "alibi":
        slopes = 2.0 ** (-8.0 * np.arange(1, work.heads + 1) / work.heads)
        distance = np.abs(np.arange(work.queries)[:, None] + work.keys - work.queries - np.arange(work.keys)[None, :])
        return (-slopes[:, None, None] * distance).astype(np.float32)
    return None


def seconds(way):
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def fastest(ways):
    """The way whose second run is the fastest. There is no second if the first says enough: where it took three times
    as long as another way's, or all took a second and more."""
    if len(ways) == 1:
        return ways[0]
    first = [seconds(way) for way in ways]
    limit = min(first) * (3 if min(first) < SLOW else 1)
    near = [way for way, taken in zip(ways, first) if taken <= limit]
    return min(near, key=seconds) if len(near) > 1 else near[0]


def serve(prepare, version):
    """Answers jobs until standard input ends.

    `prepare(work, normals, threads)` gives something with `run()`, which is timed, and `outputs()`, a list of arrays:
    the context, [batch, head, query, feature], and perhaps gradients. It raises Unsupported for a work it does not know.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("normals", help="file of normal numbers")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    normals = Normals(arguments.normals)
    # Whoever interrupts the driver sends this here, too; the driver ends its contestants itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepared = {}
    # What libraries print must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        job = json.loads(line)
        answer = {}
        if job.get("forget"):
            prepared.clear()
        elif job.get("other") == "version":
            answer = {"version": version}
        else:
            key, first = json.dumps(job["work"]), False
            try:
                if key not in prepared:
                    prepared[key] = prepare(Work(**job["work"]), normals, arguments.threads)
                    first = True
                run = scratch if job.get("scratch") else repeat
                answer = run(prepared[key], job.get("seconds", 0.0), first)
            except Unsupported as reason:
                answer = {"cannot": str(reason)}
        print(json.dumps(answer), file=answers, flush=True)


def repeat(work, limit, first):
    """Milliseconds of each repetition and, the first time, a sample of the outputs."""
    answer, times = {}, []
    if first:
        # Not counted: the first run touches fresh memory and wakes the threads.
        taken = seconds(work.run)
        if taken >= SLOW:
            times.append(taken)
        outputs = np.concatenate([np.asarray(output, np.float32).ravel() for output in work.outputs()])
        answer["sample"] = [float(outputs[i * len(outputs) // 61]) for i in range(61)]
    begin = time.perf_counter()
    while not times or times[0] < SLOW and time.perf_counter() - begin < limit:
        times.append(seconds(work.run))
    return answer | {"ms": [1e3 * taken for taken in times]}


def scratch(work, _limit, _first):
    """The most memory that one run held above what was there before, less its outputs, in megabytes."""
    try:
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")
        before = resident("VmRSS:")
    except OSError:
        raise Unsupported("needs Linux's /proc") from None
    taken = seconds(work.run)
    peak = resident("VmHWM:")
    outputs = sum(np.asarray(output).nbytes for output in work.outputs())
    return {"ms": [1e3 * taken], "scratch": peak - before - outputs / 1e6}


def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024e-6 for line in status if line.startswith(field))
