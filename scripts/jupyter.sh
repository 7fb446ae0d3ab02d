#!/usr/bin/env bash
# Fills .build-conformance/jupyter with a Jupyter server and two kernels (PyPI), once: execd's tests start it.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.build-conformance/jupyter
wanted=$(sha256sum <Tests/Conformance/jupyter.txt)
[ "$(cat "$venv/stamp" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r Tests/Conformance/jupyter.txt
"$venv/bin/python" -m bash_kernel.install --sys-prefix >/dev/null
echo "$wanted" >"$venv/stamp"
