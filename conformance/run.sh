#!/bin/sh
# Runs one of the folders here (embeddings, onnx, transformers, torch) against the package built from this checkout, in an environment of its
# own in the user's cache. PYTHON names an interpreter that has everything already. What follows the folder goes to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
case ${1:-} in
embeddings | onnx | transformers | torch) folder=$1 && shift ;;
*) echo "usage: $0 embeddings|onnx|transformers|torch [PYTEST ARGUMENTS]" >&2 && exit 2 ;;
esac
if [ -z "${PYTHON:-}" ]; then
    environment=${XDG_CACHE_HOME:-$HOME/.cache}/regard/conformance-$folder
    PYTHON=$environment/bin/python
    [ -x "$PYTHON" ] || python3 -m venv "$environment"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$here/$folder/requirements.txt"
    # Embeddings are the program's.
    [ "$folder" = embeddings ] || "$PYTHON" -m pip install --quiet --disable-pip-version-check "$here/../crates/python"
fi
cd "$here/$folder"
exec "$PYTHON" -m pytest -q -p no:cacheprovider "$@"
