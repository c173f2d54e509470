#!/bin/sh
# The tables of README.md, in an environment of its own in the user's cache. PYTHON names an interpreter that has torch,
# transformers and this package already. SECONDS_A_ROW is how long a row may take, and FLEX=--flex adds FlexAttention, which
# needs a C++ compiler.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${PYTHON:-}" ]; then
    environment=${XDG_CACHE_HOME:-$HOME/.cache}/regard/bench-python
    PYTHON=$environment/bin/python
    [ -x "$PYTHON" ] || python3 -m venv "$environment"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check torch==2.15.0 transformers==5.23.0 "$here/../../crates/python"
fi
export HF_HUB_OFFLINE=1
cd "$here"
"$PYTHON" calls.py "${SECONDS_A_ROW:-2}" ${FLEX:-}
"$PYTHON" models.py "${SECONDS_A_ROW:-8}"
"$PYTHON" looking.py
