#!/usr/bin/env bash
# Installs what is missing of the Debian packages that Sallyport needs. Each purpose includes those before it:
#
#     scripts/install-deps.sh build [package…]    # to build it
#     scripts/install-deps.sh run   [package…]    # to run it with the local runtime: what `make run` installs
#     scripts/install-deps.sh package [package…]  # to make a Debian package of it
#     scripts/install-deps.sh test  [package…]    # to test it: engines, peers, and the tools of attackers
#
# A machine that only runs sandboxes has no use for attack tools, a Docker engine or a web server: they come with `test`.
set -euo pipefail

packages=(libmnl-dev libnftnl-dev libssl-dev libcurl4-openssl-dev libsqlite3-dev pkg-config)
run=(crun runc skopeo umoci mmdebstrap)
package=(dpkg-dev)
test=(
    busybox-static musl-tools dnsmasq-base docker-registry apache2-utils nftables iproute2 nghttp2-client python3-venv redis-server
    util-linux docker.io docker-compose systemd runsc s3fs rclone
    # file systems that share what is in files (SharedContentTests)
    xfsprogs btrfs-progs
    # what attackers use (Tests/Bypass)
    curl dns2tcp dnsutils hping3 iodine net-tools nmap openssl ptunnel-ng python3-scapy
    # what checks manual pages
    groff-base
    # peers of the gateway, and what overloads it (Tests/Gateway)
    haproxy nginx-light slowhttptest
    # what reads the metrics (Tests/Conformance/test_metrics.py)
    prometheus
)
case "${1:-}" in
    build) ;;
    run) packages+=("${run[@]}") ;;
    package) packages+=("${run[@]}" "${package[@]}") ;;
    test) packages+=("${run[@]}" "${package[@]}" "${test[@]}") ;;
    *)
        echo "usage: scripts/install-deps.sh build|run|package|test [package…]" >&2
        exit 2
        ;;
esac
packages+=("${@:2}")

# One question for all of them: dpkg reads its whole database for each.
declare -A installed=()
while read -r package status; do
    [ "$status" != ii ] || installed[$package]=1
done < <(dpkg-query -W -f='${Package} ${db:Status-Abbrev}\n' "${packages[@]}" 2>/dev/null)
missing=()
for package in "${packages[@]}"; do
    [ -n "${installed[$package]:-}" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "Sallyport needs these Debian packages, and root to install them: ${missing[*]}" >&2
    exit 1
fi
echo "installing: ${missing[*]}"
# Tests start what they need: no nginx, redis or Docker shall run on this machine, and change its firewall, for their sake.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
