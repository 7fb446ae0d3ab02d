#!/usr/bin/env bash
# Makes our images in the Docker engine that DOCKER_HOST names, without a registry and without a builder: from programs that are
# built (make build), this machine's Debian packages and deploy/*/Dockerfile, whose last stages say what is set in an image.
#
#     scripts/images.sh [execd|egress|ingress|server|code-interpreter]…      all of them where none is named
#
# SALLYPORT_IMAGE_ROOTS is the folder for what is in them (.build-images). Prints the size of each.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "images: $1" >&2
    exit 1
}

names=("$@")
[ $# -gt 0 ] || names=(execd egress ingress server code-interpreter)
roots=${SALLYPORT_IMAGE_ROOTS:-.build-images}
sallyport=${SALLYPORT_BINARY:-.build/release/sallyport}
mkdir -p "$roots"
exec 9>"$roots/.lock"
flock 9
trap 'rm -rf --one-file-system "$roots/work"' EXIT

# The settings of a Dockerfile's last stage, as `docker import` takes them: one argument each.
settings() {
    local line
    sed -e ':a' -e '/\\$/N; s/\\\n//; ta' "$1" | awk '/^FROM /{lines=""; next} {lines=lines $0 "\n"} END{printf "%s", lines}' |
        grep -E '^(LABEL|ENV|USER|EXPOSE|VOLUME|WORKDIR|HEALTHCHECK|ENTRYPOINT|CMD) '
}

for name in "${names[@]}"; do
    dockerfile=deploy/$name/Dockerfile
    [ -f "$dockerfile" ] || die "there is no image $name"
    work=$roots/work
    rm -rf --one-file-system "$work"
    mkdir -p "$work/programs"
    case $name in
        code-interpreter)
            ./scripts/code-image.sh "${SALLYPORT_CODE_IMAGE:-.build-base/code}"
            root=${SALLYPORT_CODE_IMAGE:-.build-base/code}
            ;;
        *)
            for program in "$sallyport" "$(dirname "$sallyport")/sallyport-ingress" .build/release/execd \
                "${SALLYPORT_SIDECAR:-.build/release/sallyport-egress}"; do
                [ ! -f "$program" ] || ln -s "$(realpath "$program")" "$work/programs/"
            done
            root=$work/root
            ./deploy/image-root.sh "$name" "$work/programs" "$root"
            ;;
    esac
    changes=()
    while read -r line; do changes+=(--change "$line"); done < <(settings "$dockerfile")
    # Whoever builds, a sandbox's user owns nothing of what is staged into it.
    owner=(--owner=0 --group=0)
    [ "$name" != code-interpreter ] || owner=()
    tar --numeric-owner "${owner[@]}" --sort=name -C "$root" -c . | docker import "${changes[@]}" - "sallyport/$name:latest" >/dev/null
    if [ "$name" = egress ]; then
        docker build --quiet -t sallyport/egress:opensandbox-server - <deploy/egress/opensandbox-server.Dockerfile >/dev/null
    fi
    docker image inspect --format '{{.Size}}' "sallyport/$name" |
        awk -v name="sallyport/$name" '{printf "%-28s %7.1f MB\n", name, $1 / 1e6}'
done
