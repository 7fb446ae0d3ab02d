#!/usr/bin/env bash
# Makes the folder that /docs, /redoc and /openapi.json are served from: Swagger UI and Redoc, which the PyPI package
# drf-spectacular-sidecar carries, and the documents of the lifecycle API as one (scripts/api_document.py).
#
#     scripts/api-pages.sh <destination-folder>
#
# It does nothing when the folder is already what this script would make, and asks PyPI only for what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] && [ -n "$1" ] || { echo "usage: scripts/api-pages.sh <destination-folder>" >&2; exit 2; }
mkdir -p "$1"
destination=$(realpath "$1")
tools=$destination.tools
exec 8>"$destination/.lock"
flock 8

packages=$(sha256sum <scripts/api-pages.txt)
if [ "$(cat "$tools/stamp" 2>/dev/null)" != "$packages" ]; then
    ./scripts/install-deps.sh run python3-venv
    rm -rf --one-file-system "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check -r scripts/api-pages.txt
    static=$(echo "$tools"/lib/python3*/site-packages/drf_spectacular_sidecar/static/drf_spectacular_sidecar)
    install -m 644 "$static"/swagger-ui-dist/{swagger-ui.css,swagger-ui-bundle.js} "$static"/redoc/bundles/redoc.standalone.js \
        "$destination"
    install -m 644 "$static/swagger-ui-dist/LICENSE" "$destination/LICENSE.swagger-ui"
    install -m 644 "$static/redoc/LICENSE" "$destination/LICENSE.redoc"
    echo "$packages" >"$tools/stamp"
fi

documents=$(cat scripts/api_document.py specs/lifecycle.yaml specs/diagnostics.yaml | sha256sum)
if [ "$(cat "$tools/documents" 2>/dev/null)" != "$documents" ] || [ ! -e "$destination/openapi.json" ]; then
    "$tools/bin/python" scripts/api_document.py specs/lifecycle.yaml specs/diagnostics.yaml >"$destination/openapi.json.new"
    mv "$destination/openapi.json.new" "$destination/openapi.json"
    echo "$documents" >"$tools/documents"
fi
