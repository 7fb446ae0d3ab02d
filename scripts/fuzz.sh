#!/usr/bin/env bash
# Fuzzes parsers: fuzz.sh RUNS [TARGET...]. Inputs that reach new code are added to the corpus that `make test` replays.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:?how many inputs a target}
shift
corpus=Tests/FuzzTests/Corpus
[ $# -gt 0 ] || set -- $(ls "$corpus")

SALLYPORT_FUZZ=1 swift build -c release --product fuzz --sanitize fuzzer -Xswiftc -enable-testing \
    --scratch-path .build-fuzz
program=.build-fuzz/release/fuzz
# Swift's own report of a crash takes the signal from libFuzzer's, and the input that was found would be lost.
export SWIFT_BACKTRACE=enable=no

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target; do
    mkdir -p "$work/$target/all" "$work/$target/least"
    echo "== $target: $runs inputs"
    FUZZ_TARGET=$target "$program" -runs="$runs" -max_len=1024 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -verbosity=0 -artifact_prefix="$corpus/$target/" "$work/$target/all" "$corpus/$target"
    # The least set that reaches what all of them reach.
    FUZZ_TARGET=$target "$program" -set_cover_merge=1 -verbosity=0 "$work/$target/least" "$corpus/$target" \
        "$work/$target/all"
    find "$work/$target/least" -type f -exec cp {} "$corpus/$target/" \;
    echo "   corpus: $(ls "$corpus/$target" | wc -l) inputs"
done
