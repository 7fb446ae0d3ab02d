#!/usr/bin/env bash
# Makes a folder from which a linker takes OpenSSL, libnftnl and the C++ library as archives, for programs that must start
# at once: the dynamic linker needs 2 ms for them. libmnl and the C library have to stay what they are.
#
#     scripts/static-libraries.sh FOLDER
set -euo pipefail
folder=$1
mkdir -p "$folder"
for name in libssl libcrypto libnftnl libstdc++; do
    archive=$(clang -print-file-name=$name.a)
    [ -e "$archive" ] || { echo "static-libraries: $name.a is not installed" >&2; exit 1; }
    ln -sf "$(realpath "$archive")" "$folder/$name.a"
done
# What unwinds for it, by the name under which the linker looks for it.
ln -sf "$(clang -print-file-name=libgcc_eh.a)" "$folder/libgcc_s.a"
