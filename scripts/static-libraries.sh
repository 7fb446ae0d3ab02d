#!/usr/bin/env bash
# Makes a folder from which a linker takes OpenSSL, libnftnl and the C++ library as archives, for programs that must start
# at once: the dynamic linker needs 2 ms for them. libmnl and the C library have to stay what they are.
#
#     scripts/static-libraries.sh FOLDER    then: swift build --pkg-config-path FOLDER
#
# The package descriptions there lead to the folder, and SwiftPM names theirs before any other.
set -euo pipefail
folder=$(realpath -m "$1")
mkdir -p "$folder"
for name in openssl libssl libcrypto libnftnl; do
    description=$(pkg-config --variable=pcfiledir "$name")/$name.pc
    archive=$(pkg-config --variable=libdir "$name")/$name.a
    sed "s,^libdir=.*,libdir=$folder," "$description" >"$folder/$name.pc"
    [ "$name" = openssl ] || ln -sf "$archive" "$folder"
done
ln -sf "$(clang -print-file-name=libstdc++.a)" "$folder"
# What unwinds for it, by the name under which the linker looks for it.
ln -sf "$(clang -print-file-name=libgcc_eh.a)" "$folder/libgcc_s.a"
