#!/usr/bin/env bash
# Runs every test and closes with where the time went, what failed and one line of totals. Tests that change the kernel make
# namespaces of their own.
set -uo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Each call of swift leaves empty folders.
mkdir "$logs/swift"
build() { TMPDIR="$logs/swift" "$@"; }
# step NAME COMMAND…: the command, with its seconds noted under the name.
step() {
    local name=$1 begun=$SECONDS status
    shift
    "$@"
    status=$?
    echo "$((SECONDS - begun)) $name" >>"$logs/times"
    return $status
}
# The release build refuses some of what the debug build of the tests takes, and warns of more. It is what users run, and
# what pytest drives.
step "building the programs (release)" build make --no-print-directory build || exit 1
# What pytest needs is fetched and unpacked meanwhile. What goes wrong there, goes wrong once more when pytest is to run, and is told then.
export SALLYPORT_BINARY=$PWD/.build/release/sallyport SALLYPORT_SIDECAR=$PWD/.build/release/sallyport-egress
./scripts/conformance.sh prepare >/dev/null 2>&1 &
preparing=$!
step "building the tests" build swift build --build-tests || exit 1
wait "$preparing" || true
build swift test list --skip-build >"$logs/tests" 2>/dev/null
# One module at a time: Swift Testing begins all tests at once, and hundreds on two processors keep each other waiting.
# A hang is a failure, too: the limit is far above what the tests take. Only an interrupt ends the tests' process with
# swift's own.
module() {
    build timeout --signal=INT --kill-after=30 900 swift test --skip-build --filter "^$1\." 2>&1 | tee "$logs/$1.log"
    echo "${PIPESTATUS[0]}" >"$logs/$1.status"
}
for module in $(sed -nE 's/^([A-Za-z_][A-Za-z0-9_]*)\..*/\1/p' "$logs/tests" | sort -u); do
    step "$module" module "$module"
done
python() {
    PYTEST_ADDOPTS="--junitxml=$logs/pytest.xml" ./scripts/conformance.sh 2>&1 | tee "$logs/pytest.log"
    echo "${PIPESTATUS[0]}" >"$logs/pytest.status"
}
step "pytest" python

echo "$SECONDS" >"$logs/together"
python3 scripts/summary.py "$logs"
