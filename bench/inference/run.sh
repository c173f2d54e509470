#!/usr/bin/env bash
# Reading and writing with trained models: Regard, PyTorch and llama.cpp in turn. README.md says what is compared.
#
#   bench/inference/run.sh [row pattern]
#
# Settings: PYTHON (python3 with torch and transformers), OURS (target/release/examples/inference), LLAMA_BENCH (llama.cpp's;
# left out if unset), MODEL and SENTENCES (left out if unset), WORK, THREADS, ROUNDS.
set -euo pipefail

here=$(dirname "$0")
only=${1:-.}
python=${PYTHON:-python3}
ours=${OURS:-target/release/examples/inference}
work=${WORK:-$HOME/.cache/regard/bench-inference}
threads=${THREADS:-$(nproc)}
results=$(mktemp)
trap 'rm -f "$results"' EXIT

# glibc returns a large tensor's memory to the system and faults it in again at every step.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456
export RAYON_NUM_THREADS=$threads OMP_NUM_THREADS=$threads

[ -e "$work/done" ] || "$python" "$here/peer.py" make "$work"

measure() { # who row command ...; the command prints what was done and the seconds, a line each
    local who=$1 row=$2
    shift 2
    grep -Eq "$only" <<<"$row" || return 0
    # A peer may lack a row; it says why.
    "$@" | while IFS=$'\t' read -r what seconds; do
        printf '%s\t%s\t%s\n' "$who" "$row $what" "$seconds" | tee -a "$results" >&2
    done || echo "$who: no $row" >&2
}

for round in $(seq "${ROUNDS:-3}"); do
    echo "round $round" >&2
    for kind in f32 int8; do
        row=$([ $kind = f32 ] && echo llama || echo llama8)
        measure regard "$row" "$ours" "$work/llama" $kind
        measure pytorch "$row" "$python" "$here/peer.py" llama "$work/llama" $kind
        if [ -n "${LLAMA_BENCH:-}" ]; then
            measure llama.cpp "$row" "$python" "$here/peer.py" llama.cpp "$LLAMA_BENCH" "$work/llama-$kind.gguf" "$threads"
        fi
    done
    for tokens in 128 512; do
        measure regard "bert $tokens" "$ours" "$work/bert" $tokens
        measure pytorch "bert $tokens" "$python" "$here/peer.py" bert "$work/bert" $tokens
    done
    if [ -n "${MODEL:-}" ]; then
        measure regard sentences "$ours" "$MODEL" "${SENTENCES:?a file, a sentence a line}"
        measure pytorch sentences "$python" "$here/peer.py" embed "$MODEL" "$SENTENCES"
    fi
done

"$python" - "$results" <<'PY'
import statistics, sys

times = {}
for line in open(sys.argv[1]):
    who, row, seconds = line.rstrip("\n").split("\t")
    times.setdefault(row, {}).setdefault(who, []).append(float(seconds))
print(f"{'row':<20}  {'regard':>9}  {'best peer':>9}  ratio   milliseconds; a ratio above 1: Regard is faster")
for row, by_who in times.items():
    medians = {who: 1e3 * statistics.median(seconds) for who, seconds in by_who.items()}
    own = medians.pop("regard", None)
    if own is None or not medians:
        continue
    best = min(medians, key=medians.get)
    rest = ", ".join(f"{who} {time:.1f}" for who, time in medians.items())
    print(f"{row:<20}  {own:>9.1f}  {medians[best]:>9.1f}  {medians[best] / own:>5.2f}   {rest}")
PY
