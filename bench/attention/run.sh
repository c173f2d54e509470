#!/usr/bin/env bash
# The table of speed: our attention and other people's, in turn, on this machine. README.md says how to read it.
#
#   bench/attention/run.sh                          # every row, all threads and one, under 12 minutes
#   bench/attention/run.sh --quick                  # the most important rows, under 2 minutes
#   bench/attention/run.sh --only decode --json decode.json
#   bench/attention/run.sh --peers pytorch,onnxruntime,candle,burn
#
# Peers are pytorch, onnxruntime and candle; burn must be asked for, since it takes many minutes to compile. The Python
# packages go into a virtual environment outside the repository, $REGARD_BENCH_VENV (~/.cache/regard/bench-venv), made
# with $PYTHON (python3). REGARD_BENCH_PYTHON names an interpreter that has torch, onnxruntime and onnx already.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(cd "$here/../.." && pwd)/target}

if [ -z "${REGARD_BENCH_PYTHON:-}" ]; then
    venv=${REGARD_BENCH_VENV:-$HOME/.cache/regard/bench-venv}
    REGARD_BENCH_PYTHON=$venv/bin/python
    if ! "$REGARD_BENCH_PYTHON" -c 'import torch, onnxruntime, onnx, numpy' 2>/dev/null; then
        "${PYTHON:-python3}" -m venv "$venv"
        "$REGARD_BENCH_PYTHON" -m pip install --quiet torch onnxruntime onnx numpy >&2
    fi
fi

# What comes after --peers, or what table.py measures without it.
peers=pytorch,onnxruntime,candle
previous=
for argument in "$@"; do
    [ "$previous" = --peers ] && peers=$argument
    case $argument in --peers=*) peers=${argument#--peers=} ;; esac
    previous=$argument
done

build() { cargo build --quiet --release --manifest-path "$here/Cargo.toml" --package "$1"; }
build ours
# candle chooses its vectors when it is compiled, not when it runs.
case ",$peers," in *,candle,*) RUSTFLAGS="${RUSTFLAGS:-} -C target-cpu=native" build candle ;; esac
case ",$peers," in *,burn,*) build burn ;; esac

exec "$REGARD_BENCH_PYTHON" "$here/table.py" --binaries "$CARGO_TARGET_DIR/release" "$@"
