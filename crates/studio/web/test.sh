#!/usr/bin/env bash
# The studio's page: types, freshness of the bundle, and a real browser. Needs Node and Chromium (at /usr/bin/chromium or in $CHROMIUM);
# without them it says so and passes. A folder as argument gets screenshots.
set -euo pipefail
shots=${1:+$(realpath -m "$1")}
cd "$(dirname "$0")"
for program in node npm "${CHROMIUM:-/usr/bin/chromium}"; do
    if ! command -v "$program" >/dev/null; then
        echo "skipped: there is no $program"
        exit 0
    fi
done
[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent check
before=$(cat dist/*)
npm run --silent build
if [ "$before" != "$(cat dist/*)" ]; then
    echo "dist was not made of src; it is now" >&2
    exit 1
fi
size=$(cat dist/* | gzip -9 | wc -c)
echo "the bundle has $size bytes, compressed"
[ "$size" -lt 150000 ]
cargo build -q --release -p regard-studio --examples
examples=$(cargo metadata --format-version 1 --no-deps | node -pe 'JSON.parse(fs.readFileSync(0)).target_directory')/release/examples
[ -z "$shots" ] || mkdir -p "$shots"
node test/studio.mjs "$examples/serve" "$examples/long" ${shots:+"$shots"}
