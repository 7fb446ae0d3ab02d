#!/bin/bash
# Runs in the virtual machine that scripts/test-machine.sh starts: the tests that it names, with each OCI runtime that it names.
cd /opt/sallyport || exit 1
mapfile -t arguments <.machine-arguments
export PYTHONPATH=/opt/python:Tests/Conformance PYTHONDONTWRITEBYTECODE=1 OPENSANDBOX_DISABLE_METRICS=1
export SALLYPORT_BINARY=$PWD/.build/release/sallyport SALLYPORT_TEST_PATIENCE=6
for runtime in $(<.machine-runtimes); do
    echo "== Linux $(uname -r), $(stat -fc %T /sys/fs/cgroup), $($runtime --version | head -n 1)"
    SALLYPORT_OCI_RUNTIME=$runtime python3 -m pytest -c Tests/Conformance/pytest.ini --rootdir Tests -p no:cacheprovider \
        --color=no -v --durations=5 "${arguments[@]}"
    echo "== $runtime ended with $?"
done
