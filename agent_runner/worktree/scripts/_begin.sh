# shellcheck shell=sh

set -eu
. ./_end_when_killed.sh
. ./_no_filters.sh
