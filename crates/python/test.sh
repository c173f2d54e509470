#!/usr/bin/env bash
# Builds the wheel, installs it into an environment of its own under the user's cache folder, and runs the tests.
# VENV=DIR takes another environment, such as one that has PyTorch (tests that need it are skipped without).
set -euo pipefail
cd "$(dirname "$0")"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/regard"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target-python}"
venv="${VENV:-$cache/python}"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
python="$venv/bin/python"
"$python" -c 'import maturin, ml_dtypes, numpy, pytest' 2>/dev/null ||
    "$python" -m pip install -q 'maturin>=1.9.4,<2' 'ml_dtypes>=0.5' 'numpy>=1.23' 'pytest>=8'
# Without isolation, since that would fetch maturin each time.
PATH="$venv/bin:$PATH" "$python" -m pip install -q --no-build-isolation --no-deps --force-reinstall .
"$python" -m pytest -q "$@"
