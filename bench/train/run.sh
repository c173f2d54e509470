#!/usr/bin/env bash
# Training speed, ours and PyTorch's in turn, so that a busy minute of the machine hurts both. Prints a table with ratios.
#
#   OURS='command that trains on a file of batches' bench/train/run.sh batches.jsonl
#
# OURS is called as `$OURS batches.jsonl --threads N --steps S` and must end with a JSON line that has
# "median_tokens_per_second", as peer.py does. Other settings: PYTHON (python3 with torch), THREADS ("1 2"), STEPS (10),
# ROUNDS (3).
set -euo pipefail

batches=${1:?usage: OURS=command bench/train/run.sh batches.jsonl}
: "${OURS:?set OURS to the command that trains on a file of batches}"
python=${PYTHON:-python3}
peer=$(dirname "$0")/peer.py
results=$(mktemp)
trap 'rm -f "$results"' EXIT

# glibc returns a large tensor's memory to the system and faults it in again at every step. Kept,
# PyTorch trains a third to a half faster; this is its better side, so it is what we compare with.
keep_memory=(env MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456)

measure() { # name threads command ...
    local name=$1 threads=$2
    shift 2
    local last
    last=$("$@" "$batches" --threads "$threads" --steps "${STEPS:-10}" | tail -n 1)
    printf '%s\t%s\t%s\n' "$name" "$threads" "$last" | tee -a "$results" >&2
}

for round in $(seq "${ROUNDS:-3}"); do
    for threads in ${THREADS:-1 2}; do
        echo "round $round, threads $threads" >&2
        # shellcheck disable=SC2086 # OURS is a command with its arguments
        measure regard "$threads" "${keep_memory[@]}" $OURS
        measure pytorch "$threads" "${keep_memory[@]}" "$python" "$peer"
        measure pytorch-plain "$threads" "$python" "$peer"
    done
done

"$python" - "$results" <<'PY'
import json, statistics, sys

rates = {}
for line in open(sys.argv[1]):
    name, threads, last = line.rstrip("\n").split("\t")
    rates.setdefault(int(threads), {}).setdefault(name, []).append(json.loads(last)["median_tokens_per_second"])
print(f"{'threads':>7}  {'regard':>8}  {'pytorch':>8}  {'(plain)':>8}  {'ratio':>6}   target tokens a second")
for threads, by_name in sorted(rates.items()):
    ours, theirs, plain = (statistics.median(by_name[name]) for name in ("regard", "pytorch", "pytorch-plain"))
    print(f"{threads:>7}  {ours:>8.0f}  {theirs:>8.0f}  {plain:>8.0f}  {ours / theirs:>6.2f}")
PY
