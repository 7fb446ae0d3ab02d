#!/bin/bash
# Starts the Jupyter server of a sandbox's code contexts, in the foreground. Its kernels stand in the image: nothing is installed
# at the start, and nothing asks for a network.
#
# JUPYTER_PORT and JUPYTER_TOKEN say where it listens and what it asks for; the server reads the token itself, so that no list
# of processes shows it. Versions of languages are the image's: another one that is asked for is told of, and the image's taken.
set -eu

version() {
    case $1 in
        PYTHON) python3 -c 'import platform; print(platform.python_version())' ;;
        JAVA) sed -n 's/^JAVA_VERSION="\(.*\)"$/\1/p' /usr/lib/jvm/default-java/release ;;
        *) echo none ;;
    esac
}

for language in PYTHON JAVA NODE GO; do
    wanted="${language}_VERSION" there=$(version "$language")
    wanted=${!wanted:-}
    [[ -z $wanted || $there == "$wanted" || $there == "$wanted".* ]] ||
        echo "code-interpreter: $language $wanted is not in this image (there: $there)" >&2
done

export JUPYTER_TOKEN=${JUPYTER_TOKEN:-opensandboxcodeinterpreterjupyter}
export JUPYTER_PORT=${JUPYTER_PORT:-44771}
mkdir -p /workspace 2>/dev/null || true
cd /workspace 2>/dev/null || cd /
# What it says is only worth keeping when something is wrong: not among what the sandbox's programs say.
log=/opt/code-interpreter/jupyter.log
: 2>/dev/null >>"$log" || log=/dev/stderr
exec python3 -m jupyter_server --allow-root --no-browser --ip=127.0.0.1 --port="$JUPYTER_PORT" \
    --ServerApp.port_retries=0 --ServerApp.root_dir="$PWD" --ServerApp.terminals_enabled=False \
    --ServerApp.log_level=WARN >>"$log" 2>&1
