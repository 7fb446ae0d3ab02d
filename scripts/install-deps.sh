#!/usr/bin/env bash
# Installs what is missing of the Debian packages that Sallyport builds, runs and is tested with, and those of its arguments.
#
#     scripts/install-deps.sh [package…]
#     scripts/install-deps.sh --build      # what it takes to build it, and no more
set -euo pipefail

packages=(libmnl-dev libnftnl-dev libssl-dev libcurl4-openssl-dev libsqlite3-dev pkg-config)
[ "${1:-}" = --build ] || packages+=(
    # to run
    crun runc skopeo umoci mmdebstrap nftables iproute2
    # to test with
    busybox-static dnsmasq-base docker-registry apache2-utils nghttp2-client python3-venv redis-server util-linux docker.io
    # what attackers use (Tests/Bypass)
    curl dns2tcp dnsutils hping3 iodine net-tools nmap openssl ptunnel-ng python3-scapy
    # peers of the gateway, and what overloads it (Tests/Gateway)
    haproxy nginx-light slowhttptest
    "$@"
)

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | tr -d ' ')" = ii ] || missing+=("$package")
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
