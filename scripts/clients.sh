#!/usr/bin/env bash
# Fills .build-conformance/venv with the official clients and what else the Python tests and benchmarks import (PyPI), once.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.build-conformance/venv
wanted=$(sha256sum <Tests/Conformance/requirements.txt)
[ "$(cat "$venv/stamp" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r Tests/Conformance/requirements.txt
echo "$wanted" >"$venv/stamp"
