#!/usr/bin/env bash
# Makes the root file system of sallyport/code:latest in the folder that is named: the base image, and a Jupyter server with
# kernels for Python, bash, TypeScript, JavaScript and Java, from PyPI (deploy/code).
#
#     scripts/code-image.sh <destination-folder>
#
# It does nothing when the folder is already what this script would make. Run it as root. Packages come from where this machine's
# apt takes Debian's, and its pip PyPI's.
set -euo pipefail
# In the source tree, or as the package has them: beside this script.
here=$(realpath "$(dirname "$0")")
code=$here/../deploy/code
[ -d "$code" ] || code=$here/code

die() {
    echo "code-image: $1" >&2
    exit 1
}

say() { printf 'code-image: %4ds %s\n' "$SECONDS" "$1"; }

[ $# -eq 1 ] && [ -n "$1" ] || die "usage: code-image.sh <destination-folder>"
[ "$(id -u)" -eq 0 ] || die "needs root: the files belong to the users of the image"
mkdir -p "$(dirname "$1")"
destination=$(realpath -m "$1")
[ "$destination" != / ] || die "will not build in /"
stamp=$destination.stamp
hash=$(cat "$0" "$here/base-image.sh" "$code"/* | sha256sum | cut -d' ' -f1)

exec 8>"$destination.lock"
flock 8
if [ -d "$destination" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ]; then
    say "complete: $destination"
    exit 0
fi

# Its files are shared with the image by hard links, which cost no space: nothing writes to either.
base=$destination.base
"$here/base-image.sh" "$base" python3-pip default-jdk-headless

work=$destination.tmp
tools=$destination.tools
trap 'rm -rf --one-file-system "$work" "$tools"' EXIT
rm -rf --one-file-system "$work" "$tools"
cp -al "$base" "$work"

# By the machine's pip, which knows where PyPI is, for the image's Python, which may be another version.
if [ -x "$here/install-deps.sh" ]; then
    "$here/install-deps.sh" run python3-venv
else
    python3 -c 'import ensurepip, venv' 2>/dev/null || die "python3-venv is missing: apt-get install python3-venv"
fi
version=$(chroot "$work" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
say "installing what $code/requirements.txt names, for Python $version"
python3 -m venv "$tools"
library=opt/code-interpreter/library
# Wheels for the C library of the image's Debian, or an older one.
platforms=()
for release in $(seq 36 -1 5); do platforms+=(--platform "manylinux_2_${release}_$(uname -m)"); done
"$tools/bin/pip" install --quiet --disable-pip-version-check --no-compile --only-binary=:all: --implementation cp \
    --python-version "$version" "${platforms[@]}" --platform "manylinux2014_$(uname -m)" \
    --target "$work/$library" -r "$code/requirements.txt"

say "preparing it as an image"
# Whatever runs the image's Python finds them, and what a sandbox installs goes before them.
echo "/$library" >"$work/usr/lib/python3/dist-packages/code-interpreter.pth"
rm -rf "$work/$library/"*/tests "$work/$library/debugpy"*
# What other Javas are made of.
rm -rf "$work/usr/lib/jvm/"*/jmods
mv "$work/$library/bin/deno" "$work/usr/local/bin/deno"
# Scripts name the Python that pip ran with.
sed -i '1s|^#!.*python[0-9.]*$|#!/usr/bin/python3|' "$work/$library/bin/"*
for name in jupyter jupyter-server; do ln -s "/$library/bin/$name" "$work/usr/local/bin/$name"; done

kernels=$work/usr/local/share/jupyter/kernels
kernel() { # name, language, title, arguments as JSON, how it is interrupted
    mkdir -p "$kernels/$1"
    printf '{"argv": [%s], "display_name": "%s", "language": "%s", "interrupt_mode": "%s"}\n' "$4" "$3" "$2" "$5" \
        >"$kernels/$1/kernel.json"
}
kernel python python "Python" '"/usr/bin/python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"' signal
kernel bash bash "Bash" '"/usr/bin/python3", "-m", "bash_kernel", "-f", "{connection_file}"' signal
kernel deno typescript "Deno" '"/usr/local/bin/deno", "jupyter", "--kernel", "--conn", "{connection_file}"' message
# What its launcher does, without a second Java in memory.
kernel java java "Java" '"/usr/bin/java", "--add-opens", "jdk.jshell/jdk.jshell=ALL-UNNAMED", "-jar", "'\
"/$library/share/jupyter/kernels/java/jjava.jar"'", "{connection_file}"' message

for place in opt/opensandbox opt/code-interpreter; do
    install -D -m 0755 "$code/code-interpreter.sh" "$work/$place/code-interpreter.sh"
done
# Each start would compile them anew otherwise.
chroot "$work" python3 -m compileall -q -j 2 "/$library" >/dev/null || true

rm -f "$stamp"
rm -rf --one-file-system "$destination"
mv -T "$work" "$destination"
sync -f "$destination"
echo "$hash" >"$stamp.tmp"
mv -T "$stamp.tmp" "$stamp"
say "done: $destination, $(du -sm "$destination" | cut -f1) MB"
