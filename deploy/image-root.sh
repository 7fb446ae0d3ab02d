#!/usr/bin/env bash
# Lays out what is in one of our images, in a folder that is empty or missing.
#
#     deploy/image-root.sh execd|egress|ingress|server PROGRAMS FOLDER
#
# PROGRAMS is a folder with the built programs (`execd` is the static one). Dockerfiles call it in their first stage, and
# scripts/images.sh without a registry, so that an image is the same whichever way it was made: our programs, the libraries of Debian
# that they load, and no package manager. Libraries and tools are this machine's, authorities those of Debian's ca-certificates.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "image-root: $1" >&2
    exit 1
}

[ $# -eq 3 ] || die "usage: deploy/image-root.sh execd|egress|ingress|server PROGRAMS FOLDER"
kind=$1 programs=$2 root=$3
mkdir -p "$root"
[ -z "$(ls -A "$root")" ] || die "$root is not empty"
umask 022

mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{etc,tmp,proc,sys,dev,run}
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
chmod 1777 "$root/tmp"
printf 'root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"

# What a program or library loads, beside the C library's loader where it expects that.
libraries() {
    local path place
    # `name => path (address)`, or `path (address)` of the loader.
    for path in $(ldd "$1" 2>/dev/null | sed -nE 's/^\s*(\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/\2/p'); do
        # Debian's are where the loader looks; Swift's come to them.
        case $path in
            /lib/* | /lib64/* | /usr/lib/*) place=/usr/${path#/usr} ;;
            *) place=/usr/lib/$(basename "$path") ;;
        esac
        [ -e "$root${place/#\/usr\/usr/\/usr}" ] || install -D -m 0755 "$(realpath "$path")" "$root${place/#\/usr\/usr/\/usr}"
    done
    ! ldd "$1" 2>/dev/null | grep 'not found' >&2 || die "$1 lacks a library"
}

# A program where it belongs in the image, without what only a debugger reads.
program() {
    [ -f "$1" ] || die "$1 is missing"
    install -D -m "${3:-0755}" "$(realpath "$1")" "$root$2"
    strip --strip-all "$root$2" 2>/dev/null || true
    libraries "$root$2"
}

# A program of a Debian package, as it is.
tool() {
    local path
    path=$(command -v "$1") || die "$1 is not installed"
    install -D -m 0755 "$(realpath "$path")" "$root$path"
    libraries "$root$path"
}

# What our programs look for when the first request leaves, and whom it believes.
requests() {
    local library
    library=$(ldconfig -p | sed -nE 's/^\s*libcurl\.so\.4 .* => (\S+)$/\1/p' | head -n 1)
    [ -n "$library" ] || die "libcurl4 is not installed"
    install -D -m 0755 "$(realpath "$library")" "$root/usr${library#/usr}"
    libraries "$library"
    mkdir -p "$root/etc/ssl/certs" "$root/usr/lib/ssl"
    ls /usr/share/ca-certificates/mozilla/*.crt >/dev/null || die "ca-certificates is not installed"
    cat /usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
    ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
    ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
}

# Debian's static busybox under some of its names: for health checks, for who copies execd out, for who has to look inside.
busybox() {
    install -m 0755 /bin/busybox "$root/usr/bin/busybox"
    local name
    for name in sh cat chmod cp env ls mkdir sleep tail test true wget; do ln -s busybox "$root/usr/bin/$name"; done
}

presets() {
    mkdir -p "$root/usr/share/sallyport"
    cp -r policies "$root/usr/share/sallyport/policies"
}

case $kind in
    execd)
        program "$programs/execd" /execd
        printf '#!/opt/opensandbox/execd\n' >"$root/bootstrap.sh"
        chmod 0755 "$root/bootstrap.sh"
        busybox
        ;;
    egress)
        program "$programs/sallyport-egress" /usr/bin/sallyport-egress
        requests
        presets
        mkdir -p "$root/var/egress/rules"
        ;;
    ingress)
        program "$programs/sallyport-ingress" /usr/bin/sallyport-ingress
        requests
        busybox
        ;;
    server)
        program "$programs/sallyport" /usr/bin/sallyport
        program "$programs/execd" /usr/lib/sallyport/execd
        requests
        presets
        busybox
        mkdir -p "$root/etc/sallyport" "$root/var/lib/sallyport"
        [ ! -d .build-pages ] || cp -r .build-pages "$root/usr/share/sallyport/pages"
        # Of the local runtime: containers, images, disks.
        for name in crun runc skopeo umoci mke2fs; do tool "$name"; done
        mkdir -p "$root/etc/containers"
        cp /etc/containers/policy.json "$root/etc/containers/"
        ;;
    *) die "there is no image $kind" ;;
esac
