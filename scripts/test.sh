#!/usr/bin/env bash
# Runs every test and closes with one line of totals. Tests that change the kernel make namespaces of their own.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

swift build --build-tests || exit 1
# A hang is a failure, too: the limit is far above what the tests take.
timeout 1200 swift test --skip-build 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# Swift Testing closes with "Test run with N tests in M suites passed"; each failed test has a line of its own.
total=$(sed -nE 's/.*Test run with ([0-9]+) tests?.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
failed=$(grep -cE '✘ Test (".*"|[^ ]+\(\)) failed' "$log")
skipped=$(grep -cE '➜ Test .* skipped' "$log")
if [ "$total" -eq 0 ]; then
    echo "no test ran"
    exit 1
fi
echo "$((total - failed - skipped)) passed, $failed failed, $skipped skipped"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ]
