# Before a step that only reads: what a snapshot does not hold.
# shellcheck shell=sh

set -eu
. ./_end_when_killed.sh
. ./_asked_at_once.sh
before=.git/rover-before
remove "$before"
mkdir "$before"
head_ref
printf '%s\n' "$where" > "$before/where"
git rev-parse -q --verify HEAD > "$before/at" || :
[ ! -f .git/index ] || cp .git/index "$before/index"
echo "rover remembered" >&2
