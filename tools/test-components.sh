#!/usr/bin/env bash
# Makes sure that the programs which the tests drive are on this machine.
#
#   tools/test-components.sh           installs what is missing: as root, else through sudo
#   tools/test-components.sh --check   installs nothing
#
# Silent where nothing is missing. What it cannot install it names, each with the command that
# brings it, and fails.
set -euo pipefail

# An ordinary user's PATH leaves out where Debian puts dockerd.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
python=${PYTHON:-python3}

lines=()    # one per missing component: its name, what it is for, the Debian packages
packages=() # all of those packages

# need NAME PURPOSE PACKAGES... -- TEST: notes the component NAME where the command TEST fails.
need() {
  local name=$1 purpose=$2 wanted=()
  shift 2
  while [ "$1" != -- ]; do
    wanted+=("$1")
    shift
  done
  shift
  if ! "$@" >/dev/null 2>&1; then
    lines+=("$(printf '  %-16s %-44s apt-get install %s' "$name" "$purpose" "${wanted[*]}")")
    packages+=("${wanted[@]}")
  fi
}
program() {
  need "$1" "$2" "${@:3}" -- command -v "$1"
}
has_postgresql() {
  command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'
}
has_chromium() {
  command -v chromium || command -v chromium-browser || command -v google-chrome
}
# The package of the docker command: docker.io held it until Debian 12.
docker_client() {
  apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli || echo docker.io
}

find_missing() {
  lines=() packages=()
  need "Python 3.11" "everything" python3 python3-venv -- \
    "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
  program git "everything" git
  program curl "starts the private Docker engine" curl ca-certificates
  program dockerd "the Docker engine" docker.io
  command -v docker >/dev/null || program docker "the Docker engine's client" "$(docker_client)"
  program bwrap "the bubblewrap engine" bubblewrap
  program podman "the Podman engine" podman
  program runc "Podman's runtime" runc
  program newuidmap "Podman without root" uidmap
  program slirp4netns "Podman without root" slirp4netns
  program fuse-overlayfs "Podman without root" fuse-overlayfs
  program debootstrap "makes the base image" debootstrap debian-archive-keyring gpgv xz-utils
  need postgresql "the store on PostgreSQL" postgresql -- has_postgresql
  program npm "fetches the agents' programs" npm
  program tmux "assistants in a terminal" tmux
  program gh "GitHub's own client, at a stand-in" gh
  program glab "GitLab's own client, at a stand-in" glab
  program cargo "writes lock files" cargo
  program composer "writes lock files" composer
  program bundle "writes lock files" ruby-bundler
  program sshd "a server to push to" openssh-server
  need chromium "opens reports as people do" chromium fonts-dejavu-core -- has_chromium
  program openssl "certificates of test servers" openssl
  program ps "looks at processes" procps
  program systemd-analyze "checks the user service's unit" systemd
}

# Prints the prefix with which a command becomes root's; fails where there is no way.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    echo env
  elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    echo sudo
  else
    return 1
  fi
}

# Debian has glab from version 13 on. For an earlier one this takes the package of version 13, which
# needs nothing but the C library, with lists of its own so that nothing else comes from there.
fetch_glab() {
  local root=$1 folder
  command -v glab >/dev/null || apt-cache show glab >/dev/null 2>&1 && return
  folder=$(mktemp -d)
  mkdir -p "$folder"/{state/lists/partial,cache/archives/partial}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
    "http://deb.debian.org/debian trixie main" >"$folder/sources.list"
  local apart=(-qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o "Dir::Etc::sourceparts=-"
    -o "Dir::State=$folder/state" -o "Dir::Cache=$folder/cache" -o "Dir::State::status=/dev/null"
    -o "APT::Sandbox::User=root")
  (
    cd "$folder"
    "$root" apt-get "${apart[@]}" update && "$root" apt-get "${apart[@]}" download glab &&
      "$root" dpkg --install glab_*.deb
  ) >/dev/null || true
  "$root" rm -rf "$folder"
}

install_missing() {
  local root
  command -v apt-get >/dev/null || return 0
  root=$(as_root) || return 0
  echo "The tests need what this machine lacks:"
  printf '%s\n' "${lines[@]}"
  [ "$root" = env ] || echo "Installing it needs root, so sudo may ask for your password."
  "$root" apt-get update -qq || return 0
  fetch_glab "$root"
  hash -r
  find_missing # With the package lists, names are surer.
  ((${#packages[@]})) || return 0
  echo "Installing: ${packages[*]}"
  "$root" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${packages[@]}" >/dev/null || return 0
  hash -r
}

find_missing
if ((${#lines[@]})) && [ "${1-}" != --check ]; then
  install_missing
  find_missing
fi
if ((${#lines[@]})); then
  {
    echo "The tests need what is missing on this machine. As root, on Debian or Ubuntu:"
    printf '%s\n' "${lines[@]}"
    echo "'make check' needs none of these but Python and git."
  } >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "Not root: the tests that start a Docker engine or Podman of their own will fail." >&2
  echo "'sudo make test' runs all of them." >&2
fi
