#!/usr/bin/env bash
# Starts a private Docker engine for tests, with the base image in it, and prints its address.
# The base image has what rover_mcp/sandbox/build_tools.py would install: no test asks a mirror.
#
#   start_docker.sh [FOLDER]     default: ${ROVER_TEST_CACHE:-~/.cache/rover-tests}/docker
#
# tools/test-components.sh brings the programs that it needs. Does nothing twice: an engine that answers in
# FOLDER is used, the root file system and the engine's images are kept between runs. It listens
# on a unix socket only and touches no other engine.
set -euo pipefail

cache=${ROVER_TEST_CACHE:-$HOME/.cache/rover-tests}
folder=${1:-$cache/docker}
image=debian:bookworm-slim
# Another content needs another number here and in podman_env.py.
label=rover-tests.content
content=2
packages=git,ca-certificates,python3,build-essential,pkg-config,curl,patch,unzip,xz-utils,jq
packages=$packages,ripgrep,procps,python3-venv,python3-pip
socket=$folder/docker.sock
address=unix://$socket
mkdir -p "$cache" "$folder"

say() { echo "start_docker: $*" >&2; }
answers() { curl -sf --max-time 5 --unix-socket "$socket" http://docker/_ping >/dev/null 2>&1; }

start_engine() {
  command -v dockerd >/dev/null || say "no dockerd here: tools/test-components.sh installs it"
  say "starting dockerd in $folder"
  # The lock is this script's alone: a daemon that inherited it would hold it for ever.
  setsid dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" \
    -H "$address" >"$folder/log" 2>&1 </dev/null 9>&- &
  for _ in $(seq 240); do
    answers && return 0
    sleep 0.25
  done
  say "dockerd did not start; the end of its log:"
  tail -n 20 "$folder/log" >&2
  return 1
}

has_image() {
  curl -sf --max-time 20 --unix-socket "$socket" "http://docker/images/$image/json" 2>/dev/null |
    grep -q "\"$label\":\"$content\""
}

import_image() {
  local packed=$cache/rootfs-$content.tar
  if [ ! -f "$packed" ]; then
    local rootfs
    rootfs=$(mktemp -d "$cache/rootfs.XXXXXX")
    say "making a Debian root file system with debootstrap (once, some minutes)"
    debootstrap --variant=minbase --include="$packages" bookworm "$rootfs" >&2
    tar -C "$rootfs" -cf "$packed.new" .
    mv "$packed.new" "$packed"
    rm -rf "$rootfs"
  fi
  say "importing $image"
  curl -sf --unix-socket "$socket" -H 'Content-Type: application/x-tar' --data-binary @- -X POST \
    "http://docker/images/create?fromSrc=-&repo=${image%:*}&tag=${image#*:}&changes=LABEL+$label=$content" \
    <"$packed" >&2
}

exec 9>"$cache/start.lock"
flock 9
answers || start_engine
has_image || import_image
echo "$address"
