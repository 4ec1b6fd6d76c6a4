# shellcheck shell=sh

. ./_begin.sh
. ./_usable.sh
branch=$1 base=$2
usable || echo "rover unusable" >&2
