#!/usr/bin/env bash
# How long a newcomer waits: from a fresh clone to the first translation, and from there to passing tests.
#
#   bench/newcomer/run.sh [REPOSITORY]
#
# Clones into a temporary folder and compiles everything there; cargo's download cache is used if it is filled.
set -euo pipefail

repository=${1:-$(git -C "$(dirname "$0")" rev-parse --show-toplevel)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset CARGO_TARGET_DIR

git clone -q "$repository" "$folder/regard"
cd "$folder/regard"
start=$SECONDS
cargo run -q --release -- translate "Hello, how are you?"
echo "first translation after $((SECONDS - start)) s"
start=$SECONDS
cargo test -q --release --workspace >"$folder/tests.log" 2>&1 || { tail -40 "$folder/tests.log"; exit 1; }
echo "tests passed after another $((SECONDS - start)) s"
