#!/usr/bin/env bash
# Drives the server with the official clients, and kills it at bad moments.
#
#     scripts/conformance.sh [pytest arguments…]
#     scripts/conformance.sh prepare     what the tests need, and no test
#
# SALLYPORT_BINARY names another program than the debug build. Run it as root; it needs no Internet but for the first
# run, which fills .build-conformance with the clients from PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "conformance: needs root: it makes sandboxes" >&2; exit 1; }
./scripts/install-deps.sh test
# Each call of swift leaves empty folders.
left=$(mktemp -d)
trap 'rm -rf "$left"' EXIT
if [ -z "${SALLYPORT_BINARY:-}" ]; then
    for product in sallyport sallyport-ingress sallyport-egress; do TMPDIR=$left swift build --product "$product"; done
fi
TMPDIR=$left make --silent --no-print-directory execd egress
./scripts/base-image.sh "$PWD/.build-base/base"

./scripts/python-environment.sh venv requirements.txt
./scripts/python-environment.sh jupyter jupyter.txt -m bash_kernel.install --sys-prefix
[ "${1:-}" != prepare ] || { rm -rf "$left"; exit 0; }

export PYTHONPATH=Tests/Conformance PYTHONDONTWRITEBYTECODE=1 OPENSANDBOX_DISABLE_METRICS=1
[ $# -gt 0 ] || set -- Tests/Scripts Tests/Conformance Tests/Journeys Tests/Faults Tests/Bypass Tests/Docker Tests/Gateway
# A hang is a failure, too: the limit is far above what the tests take.
# Interrupted, pytest still says what failed before.
rm -rf "$left"
exec timeout --signal=INT --kill-after=30 $((2400 * ${SALLYPORT_TEST_LENGTH:-1})) \
    .build-conformance/venv/bin/python -m pytest -c Tests/Conformance/pytest.ini --rootdir Tests -p no:cacheprovider "$@"
