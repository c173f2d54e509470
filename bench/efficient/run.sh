#!/usr/bin/env bash
# The efficient mechanisms beside the packages of their papers, in turn, on this machine. README.md says what is compared.
#
#   bench/efficient/run.sh                           # ratios at 1024 and 4096 positions, and growth up to 32768
#   bench/efficient/run.sh --only 'nystrom|lsh'      # some of the rows
#   bench/efficient/run.sh --lengths 2048 --growth 0 # other lengths, no growth
#
# The packages go into a virtual environment outside the repository, $REGARD_EFFICIENT_VENV (~/.cache/regard/bench-efficient),
# made with $PYTHON (python3). REGARD_BENCH_PYTHON names an interpreter that has them already.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}

if [ -z "${REGARD_BENCH_PYTHON:-}" ]; then
    venv=${REGARD_EFFICIENT_VENV:-$HOME/.cache/regard/bench-efficient}
    REGARD_BENCH_PYTHON=$venv/bin/python
    if ! "$REGARD_BENCH_PYTHON" -c 'import torch, transformers, einops, linformer, reformer_pytorch' 2>/dev/null; then
        "${PYTHON:-python3}" -m venv "$venv"
        "$REGARD_BENCH_PYTHON" -m pip install --quiet torch==2.15.0 transformers==5.23.0 einops numpy >&2
        # Those of the packages that attention alone needs, without what else they ask for.
        "$REGARD_BENCH_PYTHON" -m pip install --quiet --no-deps linformer==0.2.3 nystrom-attention==0.0.14 \
            performer-pytorch==1.1.4 reformer-pytorch==1.4.4 axial-attention==0.6.1 axial-positional-embedding==0.3.12 \
            local-attention==1.8.6 product-key-memory==0.3.0 colt5-attention==0.11.2 >&2
    fi
fi

# The program is named, so that what both are built on has the same features as in every other build.
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p regard-cli -p regard --example efficient

# glibc returns a large tensor's memory to the system and faults it in again at every step. Kept, everybody is faster.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456
export HF_HUB_OFFLINE=1
exec "$REGARD_BENCH_PYTHON" "$here/table.py" --ours "$CARGO_TARGET_DIR/release/examples/efficient" "$@"
