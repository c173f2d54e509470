#!/bin/sh
# Runs ONNX's node cases against the package built from this checkout, in an environment of their own.
# Arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
environment=${XDG_CACHE_HOME:-$HOME/.cache}/regard/conformance-onnx
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
python=$environment/bin/python
"$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
"$python" -m pip install --quiet --disable-pip-version-check "$here/../../crates/python"
cd "$here"
exec "$python" -m pytest -q -p no:cacheprovider "$@"
