#!/usr/bin/env bash
# Measures the release build as its clients meet it: the gateway beside nginx and haproxy, pools beside cold creates, the server
# beside the reference's, sandboxes of a Docker engine beside its own containers, floods of refused packets.
#
#     scripts/bench.sh http1 | http2 | idle-websockets [connections] | pools [count] | refusals [seconds] | server [part]… | docker [count]
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A programs=([http1]=Gateway/http1.py [http2]=HTTP2/http2.py [idle-websockets]=Gateway/idle_websockets.py
    [pools]=Pools/pools.py [refusals]=Refusals/flood.py [server]=Server/server.py [docker]=Docker/docker.py)
program=${programs[${1:-}]:-}
[ -n "$program" ] || { sed -n '5s/^# *//p' "$0" >&2; exit 2; }
shift

./scripts/install-deps.sh test wrk
./scripts/python-environment.sh venv requirements.txt
# Sandboxes hold the WebSockets, and are what pools are made of.
case $program in
Gateway/idle_websockets.py | Pools/* | Refusals/* | Server/* | Docker/*) ./scripts/base-image.sh "$PWD/.build-base/base" ;;
esac
export PYTHONPATH=Tests/Conformance:Tests/Gateway PYTHONDONTWRITEBYTECODE=1 OPENSANDBOX_DISABLE_METRICS=1
export SALLYPORT_BINARY=${SALLYPORT_BINARY:-$PWD/.build/release/sallyport}
exec .build-conformance/venv/bin/python "Benchmarks/$program" "$@"
