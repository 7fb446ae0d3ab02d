#!/bin/sh
# Makes the secrets of ../compose.yaml, once, as root: what is there stays.
#
#     deploy/compose/secrets.sh [FOLDER]     # deploy/secrets
#
# To make one again, remove it and its copy first. A secret that two programs read is two files, each its reader's alone.
set -eu
folder=${1:-$(dirname "$0")/../secrets}
umask 077
mkdir -p "$folder"

# make NAME [COPY]: a new secret, root's, and a copy for nobody (65534), as whom gateway and Prometheus run.
make() {
    [ -s "$folder/$1" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$1"
    [ -s "$folder/$2" ] || cp "$folder/$1" "$folder/$2"
    chown 65534:65534 "$folder/$2"
    chmod 0400 "$folder/$1" "$folder/$2"
}

make api-key metrics-key
make directory-secret gateway-directory-secret
