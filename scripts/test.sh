#!/usr/bin/env bash
# Runs every test and closes with what failed and one line of totals. Tests that change the kernel make namespaces of
# their own.
set -uo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Each call of swift leaves empty folders.
mkdir "$logs/swift"
build() { TMPDIR="$logs/swift" "$@"; }
# The release build refuses some of what the debug build of the tests takes, and warns of more.
for product in sallyport sallyport-ingress; do
    build swift build -c release --product "$product" || exit 1
done
build make --no-print-directory egress || exit 1
build swift build --build-tests || exit 1
build swift test list --skip-build >"$logs/tests" 2>/dev/null
# One module at a time: Swift Testing begins all tests at once, and hundreds on two processors keep each other waiting.
# A hang is a failure, too: the limit is far above what the tests take. Only an interrupt ends the tests' process with
# swift's own.
for module in $(sed -nE 's/^([A-Za-z_][A-Za-z0-9_]*)\..*/\1/p' "$logs/tests" | sort -u); do
    build timeout --signal=INT --kill-after=30 900 swift test --skip-build --filter "^$module\." 2>&1 | tee "$logs/$module.log"
    echo "${PIPESTATUS[0]}" >"$logs/$module.status"
done
./scripts/conformance.sh 2>&1 | tee "$logs/pytest.log"
echo "${PIPESTATUS[0]}" >"$logs/pytest.status"

python3 scripts/summary.py "$logs"
