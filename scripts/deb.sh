#!/usr/bin/env bash
# Makes a Debian package of the programs that are built (make build): programs, static execd, presets, pages of the API, manual
# pages, completions, units of systemd, a configuration to start from.
#
#     scripts/deb.sh [FOLDER]      prints the package's path; FOLDER is .build-deb where it is left out
#
# VERSION names another version than the programs' release, for a package of the same release that is made again (0.2.0-2).
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "deb: $1" >&2
    exit 1
}

folder=${1:-.build-deb}
sallyport=${SALLYPORT_BINARY:-.build/release/sallyport}
ingress=${SALLYPORT_INGRESS:-$(dirname "$sallyport")/sallyport-ingress}
sidecar=${SALLYPORT_SIDECAR:-.build/release/sallyport-egress}
execd=${SALLYPORT_EXECD:-.build/release/execd}
for program in "$sallyport" "$ingress" "$sidecar" "$execd"; do [ -x "$program" ] || die "$program is not built: make build"; done
command -v dpkg-shlibdeps >/dev/null || die "dpkg-shlibdeps is missing: scripts/install-deps.sh package"

release=$("$sallyport" --version)
release=${release#sallyport }
version=${VERSION:-$release}
dpkg --validate-version "$version" || die "$version is not a version of a Debian package"
architecture=$(dpkg --print-architecture)
mkdir -p "$folder"
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
umask 022

# A program without what only a debugger reads.
program() {
    ! readelf -d "$1" | grep -q 'NEEDED.*libswift' || die "$1 needs Swift's libraries: a debug build?"
    install -D -m 0755 "$(realpath "$1")" "$root$2"
    strip --strip-all "$root$2"
}
program "$sallyport" /usr/bin/sallyport
program "$ingress" /usr/bin/sallyport-ingress
program "$sidecar" /usr/bin/sallyport-egress
install -D -m 0755 "$(realpath "$execd")" "$root/usr/lib/sallyport/execd"

share=$root/usr/share
mkdir -p "$share/sallyport" "$share/man/man1" "$share/doc/sallyport"
cp -r policies "$share/sallyport/policies"
[ ! -d .build-pages ] || cp -r .build-pages "$share/sallyport/pages"
install -m 0755 -t "$share/sallyport" scripts/base-image.sh scripts/code-image.sh
cp -r deploy/code "$share/sallyport/code"
cp -r deploy/monitoring "$share/sallyport/monitoring"
./scripts/man_pages.py "$share/man/man1" "$release" "$root/usr/bin"/*
gzip -9n "$share/man/man1"/*.1
for name in sallyport sallyport-ingress; do
    own=$root/usr/bin/$name
    install -D -m 0644 <("$own" --generate-completion-script bash) "$share/bash-completion/completions/$name"
    install -D -m 0644 <("$own" --generate-completion-script zsh) "$share/zsh/vendor-completions/_$name"
    install -D -m 0644 <("$own" --generate-completion-script fish) "$share/fish/vendor_completions.d/$name.fish"
done
gzip -9nc CHANGELOG.md >"$share/doc/sallyport/changelog.gz"
# With all that they link to.
cp README.md SECURITY.md ARCHITECTURE.md CHANGELOG.md LICENSE "$share/doc/sallyport/"
cp -r docs "$share/doc/sallyport/docs"
cp LICENSE "$share/doc/sallyport/copyright"

install -D -m 0644 -t "$root/lib/systemd/system" deploy/systemd/*.service
# What is copied has the modes that it has here, and a careful umask has closed it to others.
chmod -R u=rwX,go=rX,ug-s "$root"
mkdir -p "$root/etc/sallyport"
"$sallyport" init-config "$root/etc/sallyport/sallyport.toml" >/dev/null
chmod 0640 "$root/etc/sallyport/sallyport.toml"

# Which versions of Debian's libraries they need is what dpkg knows of their symbols.
mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: sallyport\n\nPackage: sallyport\nArchitecture: any\n' >"$work/debian/control"
needs=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/* 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$needs" ] || die "dpkg-shlibdeps found no library"
cat >"$root/DEBIAN/control" <<EOF
Package: sallyport
Version: $version
Architecture: $architecture
Maintainer: Sallyport maintainers <sallyport@example.invalid>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $needs, libcurl4, ca-certificates, passwd, crun | runc, skopeo, umoci, e2fsprogs
Recommends: mmdebstrap
Suggests: s3fs, docker.io, runsc
Description: network and security plane for sandboxes of AI agents
 Decides what each sandbox may reach (DNS and nf_tables), who may reach it (a gateway with signed routes), and with which
 credential; with a lifecycle server that speaks the OpenSandbox API, and a runtime for this machine.
EOF
echo /etc/sallyport/sallyport.toml >"$root/DEBIAN/conffiles"
for script in preinst postinst prerm postrm; do install -m 0755 "deploy/debian/$script" "$root/DEBIAN/$script"; done
sed -i "s/^release=.*/release=$release/" "$root/DEBIAN/preinst"
(cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)

package=$folder/sallyport_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz -z1 --build "$root" "$package" >/dev/null
du -k "$package" | awk '{printf "%-40s %6.1f MB\n", $2, $1 / 1e3}' >&2
echo "$package"
