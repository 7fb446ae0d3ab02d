#!/usr/bin/env bash
# Runs Python tests in a virtual machine with Debian 12 as it is: its kernel, systemd, and control groups of version 2 alone,
# once with crun and once with runc. The machine that `make test` runs on has mostly one kind of control groups.
#
#     scripts/test-machine.sh [pytest arguments…]
#
# SALLYPORT_BINARY names another program than the release build; RUNTIMES="runc" leaves one out. The processor is emulated:
# expect a minute until the first test, and tests that take ten times as long. It needs root, and Debian's packages and PyPI
# for the first run, which fills .build-machine.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "test-machine: needs root: it makes a Debian" >&2; exit 1; }
[ "$(uname -m)" = x86_64 ] || { echo "test-machine: makes machines of x86_64 only" >&2; exit 1; }
[ $# -gt 0 ] || set -- Tests/Conformance/test_{isolation,memory,devices,system_calls,image_files}.py Tests/Faults/test_disks.py \
    Tests/Bypass/test_sandbox.py
runtimes=${RUNTIMES:-crun runc}
binary=${SALLYPORT_BINARY:-.build/release/sallyport}
./scripts/install-deps.sh test qemu-system-x86 seabios cpio kmod e2fsprogs python3-pip
[ -n "${SALLYPORT_BINARY:-}" ] || swift build -c release --product sallyport
make --no-print-directory execd
./scripts/base-image.sh "$PWD/.build-base/base"

cache=$PWD/.build-machine
root=$cache/root
# What Debian has of itself, what the server needs, and what the tests drive.
guest=(systemd-sysv udev kmod dbus
    crun runc skopeo umoci nftables iproute2 e2fsprogs libmnl0 libnftnl11 libssl3 libcurl4 libsqlite3-0 libstdc++6
    python3 curl procps util-linux busybox-static docker-registry apache2-utils)
image=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
wanted=$(cat <<<"$image ${guest[*]}" - Tests/Conformance/requirements.txt | sha256sum)
if [ "$(cat "$cache/stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "test-machine: making a Debian with $image"
    rm -rf --one-file-system "$cache"
    mkdir -p "$cache/kernel"
    (cd "$cache" && apt-get download -qq -o APT::Sandbox::User=root "$image" && dpkg -x linux-image-*.deb kernel)
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' 'Origin: Debian' |
        unshare --mount mmdebstrap --quiet --mode=root --variant=apt --include="$(IFS=,; echo "${guest[*]}")" \
            --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io bookworm "$root" -
    cp -a "$cache"/kernel/lib/modules "$root/lib/"
    chroot "$root" depmod "$(ls "$root/lib/modules")"
    python3 -m pip install --quiet --target "$root/opt/python" --python-version 3.11 --only-binary :all: \
        -r Tests/Conformance/requirements.txt
    echo "$wanted" >"$cache/stamp"
fi

# What the kernel needs to see its disk; modprobe knows in which order.
initial=$cache/initial
rm -rf "$initial"
mkdir -p "$initial"/{bin,modules}
cp /bin/busybox "$initial/bin/"
cp Tests/Machine/init "$initial/init"
chmod 755 "$initial/init"
for module in virtio_pci virtio_blk; do
    chroot "$root" modprobe --show-depends --set-version "$(ls "$root/lib/modules")" $module
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r path; do
    cp "$root/$path" "$initial/modules/"
    basename "$path" >>"$initial/modules/order"
done
(cd "$initial" && find . | cpio --quiet -o -H newc | gzip) >"$cache/initial.gz"

# The tests and what they drive, where their own folder says.
tree=$root/opt/sallyport
rm -rf --one-file-system "$tree"
mkdir -p "$tree"/{.build/release,.build-base}
cp -a Tests scripts policies "$tree/"
cp -aL "$binary" "$tree/.build/release/sallyport"
cp -aL .build/release/execd "$tree/.build/release/"
cp -a .build-base/base "$tree/.build-base/"
printf '%s\n' "$@" >"$tree/.machine-arguments"
echo "$runtimes" >"$tree/.machine-runtimes"
for library in $(ldd "$binary" | sed -n 's/.* => \(\/[^ ]*\).*/\1/p'); do
    # Debian's own are there, at this path or at another.
    [ -n "$(chroot "$root" sh -c "ldconfig -p | grep -F '$(basename "$library") '" || true)" ] || install -D "$library" "$root$library"
done
cp Tests/Machine/tests.service "$root/etc/systemd/system/"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../tests.service "$root/etc/systemd/system/multi-user.target.wants/"
ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"

disk=$cache/disk
log=$cache/console
trap 'rm -f "$disk"' EXIT
truncate -s 6G "$disk"
mke2fs -q -t ext4 -E lazy_itable_init=1 -d "$root" "$disk"
timeout "${LIMIT:-7200}" nice -n 10 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3000 -nographic -no-reboot \
    -nic none -kernel "$cache"/kernel/boot/vmlinuz-* -initrd "$cache/initial.gz" -append "console=ttyS0 quiet panic=1" \
    -drive "file=$disk,format=raw,if=virtio,cache=unsafe" </dev/null 2>&1 | tee "$log" || true

for runtime in $runtimes; do
    grep -aq "^== $runtime ended with 0" "$log" || { echo "test-machine: failed with $runtime" >&2; exit 1; }
done
