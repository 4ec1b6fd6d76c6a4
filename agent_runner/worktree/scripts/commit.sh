# shellcheck shell=sh disable=SC2086 # words are split on purpose

. ./_begin.sh
. ./_old_locks.sh
. ./_write_tree.sh
branch=$1
tries=50
while [ -e .git/index.lock ] && [ "$tries" -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
write_tree
. ./_place.sh
if [ "$tree" = "$tip_tree" ] && [ "$parents" = "-p $tip" ]; then
  echo "rover unchanged" >&2
  exit 0
fi
tip=$(git commit-tree $parents -F - "$tree")
. ./_check_out.sh
echo "rover committed $tip" >&2
