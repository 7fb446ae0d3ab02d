#!/usr/bin/env bash
# Runs the gateway's soak for 600 seconds, or as many as are named. What scripts/conformance.sh needs has to be there.
#
#     scripts/soak.sh [seconds]
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHONPATH=Tests/Conformance:Tests/Gateway PYTHONDONTWRITEBYTECODE=1 OPENSANDBOX_DISABLE_METRICS=1
exec .build-conformance/venv/bin/python Benchmarks/Gateway/long_soak.py "$@"
