"""Measures attention by several libraries in turn and prints one Markdown table; `run.sh` prepares everything it needs.

Every contestant is a process of its own with a fixed number of threads. A row's contestants take turns, round by round,
so that a busy minute of the machine hurts all of them; those that wait are stopped (SIGSTOP), so that no idle thread
spins in another's time. All compute with the same random numbers, and what they compute is compared.
"""

import argparse
import json
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from works import ALL_PEERS, groups
from workers.jobs import Normals

HERE = Path(__file__).resolve().parent
# The prime keeps rows of a tensor from being alike.
NORMALS = 1_000_003
# glibc returns a large tensor's memory to the system and faults it in again at every call. Kept, PyTorch is faster.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
AVX2 = {
    "REGARD_ISA": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
# How far numbers may be apart, relative to the greatest.
TOLERANCE = {"f32": 1e-3, "f16": 1e-2, "bf16": 5e-2, "int8": 5e-2}
# A contestant that does not answer for so many seconds is ended.
PATIENCE = 180


class Contestant:
    """A process that computes attention."""

    def __init__(self, name, command, threads, environment):
        self.name, self.command, self.threads = name, command, threads
        self.environment = {
            **os.environ,
            **environment,
            "RAYON_NUM_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
        }
        self.process, self.version = None, name

    def ask(self, job):
        """Gives a job to the process, which runs only until it has answered."""
        try:
            if self.process is None:
                pipe = subprocess.PIPE
                self.process = subprocess.Popen(self.command, env=self.environment, stdin=pipe, stdout=pipe)
                self.version = self.exchange({"other": "version"})["version"]
            self.process.send_signal(signal.SIGCONT)
            answer = self.exchange(job)
            self.process.send_signal(signal.SIGSTOP)
            return answer
        except (OSError, ValueError) as error:
            self.end()
            return {"cannot": f"the process did not answer: {error}"}

    def exchange(self, job):
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        return json.loads(self.process.stdout.readline() if ready else b"")

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Stable:
    """The contestants, started when they are needed."""

    def __init__(self, commands):
        self.commands, self.running = commands, {}

    def get(self, name, threads, isa="", fresh=False):
        command = [part.replace("{threads}", str(threads)) for part in self.commands[name]]
        environment = AVX2 if isa == "avx2" else {}
        if fresh:
            return Contestant(name, command, threads, environment)
        key = name, threads, isa
        if key not in self.running:
            self.running[key] = Contestant(name, command, threads, {**KEEP_MEMORY, **environment})
        return self.running[key]

    def forget(self):
        for contestant in self.running.values():
            if contestant.process is not None:
                contestant.ask({"forget": True})

    def versions(self):
        """What each contestant calls itself."""
        return {name: contestant.version for (name, _, _), contestant in self.running.items()}

    def end(self):
        for contestant in self.running.values():
            contestant.end()


# What a row's speed is a share of, and in what it is counted.
LIMITS = {"multiply_adds": "GF/s (f32 FMA)", "reading": "GB/s read"}


class Machine:
    """What the machine can do at most. Its clock changes by the minute, so each turn is preceded by a measurement."""

    def __init__(self, stable):
        self.stable, self.best = stable, {}

    def measure(self, threads, isa, limit):
        measured = self.stable.get("ours", threads, isa).ask({"other": limit}).get("best", 0.0)
        best = self.best.setdefault((threads, isa), {})
        best[limit] = max(best.get(limit, 0.0), measured)
        return measured


def measure(group, thread_counts, stable, machine, normals, options):
    """Milliseconds of each row, number of threads and contestant."""
    results = []
    together = [thread_counts] if group.threads_take_turns else [[threads] for threads in thread_counts]
    for turns in together:
        entries = []
        for threads in turns:
            for row in group.rows:
                result = {"section": group.section, "row": row, "threads": threads, "isa": group.isa, "contestants": {}}
                results.append(result)
                amount = row.work.amount(normals)
                for name in ("ours", *(peer for peer in group.peers if peer in options.peers)):
                    found = result["contestants"][name] = {"ms": []}
                    entries.append((stable.get(name, threads, group.isa), row, amount, found))
        for _ in range(options.rounds):
            for contestant, row, amount, found in entries:
                # The slow ones need no third round to be known as slow.
                if "cannot" in found or sum(found["ms"]) > 6e3 * options.rounds * options.seconds:
                    continue
                limit = row.work.limit() if contestant.name == "ours" else None
                if limit:
                    measured = machine.measure(contestant.threads, group.isa, limit)
                answer = contestant.ask({"work": row.work.job(), "seconds": options.seconds})
                times = answer.pop("ms", [])
                if limit and measured and times:
                    speed = amount / statistics.median(times) * 1e-6
                    found.setdefault("shares", []).append(speed / measured)
                found["ms"] += times
                found.update(answer)
        stable.forget()
    return results


def measure_scratch(group, thread_counts, stable, options):
    """Memory of one run in a fresh process that has only done something small before."""
    results, threads = [], thread_counts[-1]
    for row in group.rows:
        result = {"section": group.section, "row": row, "threads": threads, "isa": "", "contestants": {}}
        for name in ("ours", *(peer for peer in group.peers if peer in options.peers)):
            contestant = stable.get(name, threads, fresh=True)
            contestant.ask({"work": {**row.work.job(), "queries": 512, "keys": 512}})
            result["contestants"][name] = contestant.ask({"work": row.work.job(), "scratch": True})
            contestant.end()
        results.append(result)
    return results


def judge(result):
    """Marks contestants whose numbers are not ours."""
    ours = result["contestants"]["ours"].get("sample")
    tolerance = TOLERANCE[result["row"].work.element]
    for found in result["contestants"].values():
        sample = found.pop("sample", None)
        if ours and sample:
            apart = np.abs(np.subtract(ours, sample)).max()
            found["same"] = bool(apart <= tolerance * np.abs(ours).max())


def is_alone(result):
    """Whether some peer has computed the row, and all have computed something else than we did."""
    same = [found["same"] for name, found in result["contestants"].items() if name != "ours" and "same" in found]
    return bool(same) and not any(same)


def summarise(results, normals):
    """Adds bests, medians, speeds and ratios."""
    for result in results:
        work, contestants = result["row"].work, result["contestants"]
        judge(result)
        for found in contestants.values():
            if found.get("ms"):
                found["best"], found["median"] = min(found["ms"]), statistics.median(found["ms"])
        right = {name: found for name, found in contestants.items() if found.get("same", True)}
        peers = {name: found["best"] for name, found in right.items() if name != "ours" and "best" in found}
        ours = contestants["ours"].get("best")
        if ours and peers:
            result["best_peer"] = min(peers, key=peers.get)
            result["ratio"] = peers[result["best_peer"]] / ours
        result["pairs"] = work.pairs(normals)
        if ours and work.limit():
            result["speed"] = work.amount(normals) / ours * 1e-6
        if shares := contestants["ours"].get("shares"):
            result["of_machine"] = statistics.median(shares)
    for result in results:
        result["remark"] = remark(result, results)


def remark(result, results):
    """What the row says beside the one that it is compared with, ours first, then the peers."""
    row = result["row"]

    def of(other, name):
        return other["contestants"].get(name, {}).get("best") if other else None

    def find(name, threads):
        same = (other for other in results if other["section"] == result["section"] and other["threads"] == threads)
        return next((other for other in same if other["row"].name == name), None)

    if row.relation == "threads":
        reference = find(row.name, 1) if result["threads"] > 1 else None
        express = lambda ours, other: f"{other / ours:.2f}× one thread"
    else:
        reference = find(row.reference, result["threads"]) if row.relation else None
        express = {
            "share": lambda ours, other: f"{ours / other * reference['pairs'] / result['pairs']:.2f}× full · share",
            "overhead": lambda ours, other: f"{100 * (ours / other - 1):+.0f} %",
            "speed": lambda ours, other: f"{other / ours * operations(result, reference):.2f}× speed",
            "times": lambda ours, other: f"{ours / other:.1f}× {row.reference}",
        }.get(row.relation)
    if row.relation == "instead":
        ours, peer = of(result, "ours"), (reference or {}).get("best_peer")
        return f"{of(reference, peer) / ours:.2f}× the best peer in {row.reference}" if ours and peer else ""
    said = []
    for name in result["contestants"]:
        ours, other = of(result, name), of(reference, name)
        if ours and other:
            said.append(express(ours, other) if name == "ours" else f"{name} {express(ours, other)}")
    return ", ".join(said)


def operations(result, reference):
    """How much more work a row is than its reference."""
    one, other = result["row"].work, reference["row"].work
    per_pair = (one.width + one.value_width) / (other.width + other.value_width)
    return per_pair * result["pairs"] / reference["pairs"]


def cell(found):
    """Median and best milliseconds, or megabytes."""
    if not found or "best" not in found:
        return "–"
    digits = lambda x: f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 0.1 else f"{x:.4f}"
    text = f"{digits(found['median'])} ({digits(found['best'])})"
    if "scratch" in found:
        text = f"{found['scratch']:.1f} MB in {found['best'] / 1e3:.1f} s"
    return text if found.get("same", True) else f"{text} ≠"


def table(results, machine, peers, versions):
    """The Markdown that is printed."""
    named = ", ".join(versions.get(peer) or peer for peer in peers)
    lines = [f"Regard beside {named or 'nobody'}. What the machine did at its best:", ""]
    for (threads, isa), best in sorted(machine.best.items()):
        name = f"{threads} thread{'s' * (threads > 1)}{', AVX2' * (isa == 'avx2')}"
        lines.append(f"- {name}: {', '.join(f'{best[limit]:.3g} {LIMITS[limit]}' for limit in sorted(best))}")
    head = ["row", "threads", "Regard", *peers, "best peer ÷ Regard", "speed", "of the machine", "beside another row"]
    lines += ["", "Milliseconds: median (best).", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    section = None
    for result in results:
        if result["section"] != section:
            section = result["section"]
            lines.append(f"| **{section}** |" + " |" * (len(head) - 1))
        limit = result["row"].work.limit()
        speed = f"{result.get('speed', 0):.{1 if limit == 'reading' else 0}f} {LIMITS.get(limit, '').split(' ')[0]}"
        share = result.get("of_machine")
        cells = [
            result["row"].name,
            str(result["threads"]),
            *(cell(result["contestants"].get(name)) for name in ("ours", *peers)),
            f"{result['ratio']:.2f} {result['best_peer']}" if "ratio" in result else "–",
            speed if "speed" in result else "–",
            f"{100 * share:.0f} %" if share else "–",
            result["remark"] or "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def to_json(results, machine, versions):
    rows = [{**result, "row": result["row"].name, "work": result["row"].work.job()} for result in results]
    peaks = [{"threads": threads, "isa": isa, **best} for (threads, isa), best in machine.best.items()]
    return {"versions": versions, "machine": peaks, "rows": rows}


def arguments():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose section or name matches this regular expression")
    parser.add_argument("--rounds", type=int, help="how often contestants take turns (8; 5 with --quick)")
    parser.add_argument("--threads", default=f"1,{cores}" if cores > 1 else "1", help="numbers of threads, 1,2")
    parser.add_argument("--peers", default=",".join(ALL_PEERS[:3]), help=f"some of {','.join(ALL_PEERS)}, or none")
    parser.add_argument("--quick", action="store_true", help="the most important rows, in under two minutes")
    parser.add_argument("--json", metavar="FILE", help="write every measurement to a file, too")
    parser.add_argument("--binaries", metavar="FOLDER", required=True, help="where the Rust contestants were built")
    options = parser.parse_args()
    options.peers = [peer for peer in options.peers.split(",") if peer and peer != "none"]
    unknown = set(options.peers) - set(ALL_PEERS)
    if unknown:
        parser.error(f"--peers: {', '.join(sorted(unknown))} is none of {', '.join(ALL_PEERS)}")
    try:
        options.threads = sorted({int(threads) for threads in options.threads.split(",")})
    except ValueError:
        parser.error(f"--threads: {options.threads} is no list of numbers")
    if not options.threads or options.threads[0] < 1:
        parser.error("--threads: at least 1")
    options.rounds = options.rounds or (5 if options.quick else 8)
    options.seconds = 0.04 if options.quick else 0.08
    return options


def main():
    options = arguments()
    # So that whoever ends it still gets a table, and no process stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = [group for group in groups() if group.quick or not options.quick]
    wanted = re.compile(options.only, re.IGNORECASE)
    chosen = [group for group in chosen if any(wanted.search(f"{group.section} / {row.name}") for row in group.rows)]
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        np.random.default_rng(1).standard_normal(NORMALS, dtype=np.float32).tofile(file.name)
        binaries = Path(options.binaries)
        stable = Stable(
            {
                "ours": [str(binaries / "ours"), file.name],
                "candle": [str(binaries / "candle"), file.name],
                "burn": [str(binaries / "burn"), file.name],
                "pytorch": [sys.executable, str(HERE / "workers/pytorch.py"), file.name, "--threads", "{threads}"],
                "onnxruntime": [sys.executable, str(HERE / "workers/ort.py"), file.name, "--threads", "{threads}"],
            }
        )
        machine, normals, results = Machine(stable), Normals(file.name), []
        try:
            for index, group in enumerate(chosen):
                begin = time.monotonic()
                threads = options.threads if group.every_thread_count else options.threads[-1:]
                if group.scratch:
                    results += measure_scratch(group, threads, stable, options)
                else:
                    results += measure(group, threads, stable, machine, normals, options)
                names = ", ".join(row.name for row in group.rows)
                taken = f"{time.monotonic() - begin:.1f} s"
                print(f"{index + 1}/{len(chosen)} {group.section}: {names} {taken}", file=sys.stderr)
        except KeyboardInterrupt:
            print("interrupted: the table ends with what has been measured", file=sys.stderr)
        finally:
            stable.end()
        summarise(results, normals)
    print(table(results, machine, options.peers, stable.versions()))
    if options.json:
        everything = json.dumps(to_json(results, machine, stable.versions()), indent=1)
        Path(options.json).write_text(everything, encoding="utf-8")
    alone = [f"{result['section']}: {result['row'].name}" for result in results if is_alone(result)]
    if alone:
        sys.exit(f"no peer computes what Regard does in {'; '.join(alone)}")


if __name__ == "__main__":
    main()
