#!/bin/sh
# Runs models of transformers with attention "regard" against "eager", in an environment of its own in the user's cache.
# PYTHON names an interpreter that has torch, transformers, pytest and this package already. Arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${PYTHON:-}" ]; then
    environment=${XDG_CACHE_HOME:-$HOME/.cache}/regard/conformance-transformers
    PYTHON=$environment/bin/python
    [ -x "$PYTHON" ] || python3 -m venv "$environment"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check "$here/../../crates/python"
fi
cd "$here"
exec "$PYTHON" -m pytest -q -p no:cacheprovider "$@"
