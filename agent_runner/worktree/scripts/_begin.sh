# shellcheck shell=sh

set -eu
. ./_end_when_killed.sh
. ./_asked_at_once.sh
. ./_no_filters.sh
