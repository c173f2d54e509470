#!/usr/bin/env bash
# Runs the kernel's tests under tools that watch every access to memory: AddressSanitizer, then valgrind where there is
# one. Slow, and not a part of .ci/run.
set -euo pipefail
cd "$(dirname "$0")"
target=$(rustc -vV | sed -n 's/^host: //p')
address=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}/address
export CARGO_TERM_COLOR=never RUST_BACKTRACE=1

# All tests, with each instruction set, and many random problems. The switch is for nightly compilers; a stable one takes it
# when asked like this. Leaks are looked for, too.
sanitized() {
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR="$address" \
        cargo "$@" --release --target "$target"
}
sanitized test -p regard-kernel --tests
for isa in avx2 baseline; do
    REGARD_ISA=$isa sanitized test -p regard-kernel --test combinations --test elements --test caches --test probes
done
(cd fuzz && sanitized run --bin seeds -- 0 100000)

# What valgrind adds: numbers that were never written, once something depends on them. It is fifty times slower, and knows
# AVX2 but not AVX-512, so it is given the quick tests and fewer problems.
command -v valgrind >/dev/null || { echo "no valgrind: only half of the check was made" >&2; exit 1; }
watched() {
    local runner="CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUNNER"
    REGARD_ISA=avx2 env "$runner=valgrind --quiet --error-exitcode=9" cargo "$@" --release --target "$target"
}
watched test -p regard-kernel --test errors --test probes --test normalizers
(cd fuzz && watched run --bin seeds -- 0 2000)
