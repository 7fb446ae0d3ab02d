#!/usr/bin/env bash
# Measures 10,000 idle WebSockets through the gateway and through nginx, or as many as are named. What
# scripts/conformance.sh needs has to be there.
#
#     scripts/idle-websockets.sh [connections]
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHONPATH=Tests/Conformance:Tests/Gateway PYTHONDONTWRITEBYTECODE=1 OPENSANDBOX_DISABLE_METRICS=1
exec .build-conformance/venv/bin/python Benchmarks/Gateway/idle_websockets.py "$@"
