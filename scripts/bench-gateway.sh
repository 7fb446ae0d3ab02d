#!/usr/bin/env bash
# Measures the gateway of the release build beside nginx and haproxy.
#
#     scripts/bench-gateway.sh http1 | http2 | idle-websockets [connections]
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A programs=([http1]=Gateway/http1.py [http2]=HTTP2/http2.py [idle-websockets]=Gateway/idle_websockets.py)
program=${programs[${1:-}]:-}
[ -n "$program" ] || { sed -n '4s/^# *//p' "$0" >&2; exit 2; }
shift

./scripts/install-deps.sh test wrk
./scripts/python-environment.sh venv requirements.txt
# A sandbox holds the WebSockets.
[ "$program" != Gateway/idle_websockets.py ] || ./scripts/base-image.sh "$PWD/.build-base/base"
export PYTHONPATH=Tests/Conformance:Tests/Gateway PYTHONDONTWRITEBYTECODE=1 OPENSANDBOX_DISABLE_METRICS=1
export SALLYPORT_BINARY=${SALLYPORT_BINARY:-$PWD/.build/release/sallyport}
exec .build-conformance/venv/bin/python "Benchmarks/$program" "$@"
