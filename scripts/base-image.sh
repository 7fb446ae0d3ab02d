#!/usr/bin/env bash
# Makes the root file system of sallyport/base:latest from Debian packages, in the folder that is named.
#
#     scripts/base-image.sh <destination-folder> [package…]
#
# Packages beyond the base's own may be named. It does nothing when the folder is already what this script would make.
# Run it as root. Packages come from where this machine's apt takes Debian's.
set -euo pipefail

packages=(bash coreutils python3 curl ca-certificates procps "${@:2}")
folders=(opt/opensandbox workspace)

die() {
    echo "base-image: $1" >&2
    exit 1
}

say() { printf 'base-image: %4ds %s\n' "$SECONDS" "$1"; }

[ $# -ge 1 ] && [ -n "$1" ] || die "usage: scripts/base-image.sh <destination-folder> [package…]"
for package in "${@:2}"; do
    [[ $package =~ ^[a-z0-9][a-z0-9+.-]*$ ]] || die "$package is no name of a Debian package"
done
[ "$(id -u)" -eq 0 ] || die "needs root: the files belong to the users of the image"
command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed: apt-get install mmdebstrap"

mkdir -p "$(dirname "$1")"
destination=$(realpath -m "$1")
[ "$destination" != / ] || die "will not build in /"
stamp=$destination.stamp
hash=$({ cat "$0"; printf '%s\n' "${packages[@]}"; } | sha256sum | cut -d' ' -f1)

# Two builds at once would take each other's folder away.
exec 9>"$destination.lock"
flock 9

if [ -d "$destination" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ]; then
    say "complete: $destination"
    exit 0
fi

# The origins of a Release file are known only after an update.
sources() { apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' 'Origin: Debian'; }
origins=$(sources)
if [ -z "$origins" ]; then
    say "reading package lists"
    apt-get update -qq
    origins=$(sources)
fi
[ -n "$origins" ] || die "apt on this machine has no source of Debian packages"
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

work=$destination.tmp
log=$destination.log
trap 'rm -rf --one-file-system "$work"' EXIT
rm -rf --one-file-system "$work"

apt_proxy=$(apt-config shell proxy Acquire::http::Proxy)
eval "$apt_proxy"
[ -z "${proxy:-}" ] || export http_proxy=$proxy

say "installing ${packages[*]} of $codename"
# A mount namespace: whatever happens, no mount inside the folder outlives this.
# dpkg need not wait for the disk after each file: the stamp comes after all are on it.
# The first hook makes /usr merged from the start; without it usrmerge comes, and 50 MB of Perl with it. Packages of programs that
# others may stand in for (Java's) link their manuals, too, and do not install where the folder for them is missing.
unshare --mount mmdebstrap --quiet --mode=root --variant=apt --format=directory \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
    --essential-hook='mkdir -p "$1/usr/share/man/man1"' \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' \
    "$codename" "$work" - <<<"$origins" >"$log" 2>&1 || die "mmdebstrap failed:
$(tail -n 20 "$log")"
rm -f "$log"

say "preparing it as an image"
cd "$work"
mkdir -p "${folders[@]}" proc sys dev run tmp
chmod 1777 tmp
chroot . useradd --uid 1000 --user-group --create-home --shell /bin/bash sandbox
chown 1000:1000 workspace
# mmdebstrap leaves this machine's; the runtime mounts each sandbox's own over them.
: >etc/resolv.conf
: >etc/hosts
echo sandbox >etc/hostname
rm -f etc/machine-id etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid-
rm -rf var/lib/apt/lists/* var/cache/* var/log/* usr/share/{man,info,doc,locale,lintian} usr/lib/udev
mkdir -p usr/share/man/man1
# A folder without a stamp is taken for unfinished: the stamp goes first and comes last.
cd /
rm -f "$stamp"
rm -rf --one-file-system "$destination"
mv -T "$work" "$destination"
sync -f "$destination"
echo "$hash" >"$stamp.tmp"
mv -T "$stamp.tmp" "$stamp"
say "done: $destination, $(du -sm "$destination" | cut -f1) MB"
