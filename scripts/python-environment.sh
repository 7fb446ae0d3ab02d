#!/usr/bin/env bash
# scripts/python-environment.sh NAME REQUIREMENTS [SETUP...]: fills .build-conformance/NAME with what a file of
# Tests/Conformance lists (PyPI), once; SETUP is then run with its Python.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=.build-conformance/$1
requirements=Tests/Conformance/$2
shift 2
wanted=$(sha256sum <"$requirements")
[ "$(cat "$environment/stamp" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf "$environment"
python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
[ $# -eq 0 ] || "$environment/bin/python" "$@" >/dev/null
echo "$wanted" >"$environment/stamp"
