# Before a step that only reads: what a snapshot does not hold.
# shellcheck shell=sh

. ./_begin.sh
before=.git/rover-before
rm -rf "$before"
mkdir "$before"
git symbolic-ref -q HEAD > "$before/where" || :
git rev-parse -q --verify HEAD > "$before/at" || :
[ ! -f .git/index ] || cp .git/index "$before/index"
echo "rover remembered" >&2
