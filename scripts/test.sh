#!/usr/bin/env bash
# Runs every test and closes with one line of totals. Tests that change the kernel make namespaces of their own.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
conformance=$(mktemp)
trap 'rm -f "$log" "$conformance"' EXIT

swift build --build-tests || exit 1
# One module at a time: Swift Testing begins all tests at once, and hundreds on two processors keep each other waiting.
# A hang is a failure, too: the limit is far above what the tests take.
status=0
for module in $(swift test list --skip-build 2>/dev/null | sed -nE 's/^([A-Za-z]+)\..*/\1/p' | sort -u); do
    timeout 600 swift test --skip-build --filter "^$module\." 2>&1 | tee -a "$log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
done

# Swift Testing closes with "Test run with N tests in M suites passed"; each failed test has a line of its own.
total=$(sed -nE 's/.*Test run with ([0-9]+) tests?.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
failed=$(grep -cE '✘ Test (".*"|[^ ]+\(\)) failed' "$log")
skipped=$(grep -cE '➜ Test .* skipped' "$log")
if [ "$total" -eq 0 ]; then
    echo "no test ran"
    exit 1
fi

./scripts/conformance.sh 2>&1 | tee "$conformance"
conformance_status=${PIPESTATUS[0]}

# pytest closes with "N failed, N passed, N skipped, N xfailed, N errors in T s"; a known fault counts as skipped.
closing=$(grep -E '^=* ?.*[0-9]+ (passed|failed|error|errors|skipped|xfailed).* in [0-9.]+s' "$conformance" | tail -n 1)
count() { { grep -oE "[0-9]+ ($1)\b" <<<"$closing" || true; } | awk '{ sum += $1 } END { print sum + 0 }'; }
conformance_failed=$(count 'failed|errors?')
conformance_passed=$(count passed)
if [ "$((conformance_failed + conformance_passed))" -eq 0 ]; then
    echo "no conformance test ran"
    conformance_status=1
fi

passed=$((total - failed - skipped + conformance_passed))
echo "$passed passed, $((failed + conformance_failed)) failed, $((skipped + $(count 'skipped|xfailed'))) skipped"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ] && [ "$conformance_status" -eq 0 ] && [ "$conformance_failed" -eq 0 ]
