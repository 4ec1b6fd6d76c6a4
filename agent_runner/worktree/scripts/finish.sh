# shellcheck shell=sh disable=SC2086 # words are split on purpose

. ./_begin.sh
. ./_free_locks.sh
. ./_write_tree.sh
. ./_collapse.sh
branch=$1 base=$2 always=$3 author=${4:-$GIT_AUTHOR_NAME <$GIT_AUTHOR_EMAIL>}
address=${author##*<}
message=$(cat; echo x) message=${message%x}
commit_with() {
  printf '%s' "$message" | GIT_AUTHOR_NAME=${author% <*} GIT_AUTHOR_EMAIL=${address%>} \
    git commit-tree "$@" -F - "$tree"
}
write_tree
. ./_place.sh
[ "$parents" = "-p $tip" ] || { tip=$(commit_with $parents); tip_tree=$tree; }
left='' uncollapsed=$tip
collapse || left=1
[ "$tip" = "$uncollapsed" ] || tip_tree=$(git rev-parse "$tip^{tree}")
if [ "$tree" != "$tip_tree" ]; then tip=$(commit_with -p "$tip")
elif [ -n "$always" ] && [ "$tip" != "$base" ] &&
  [ "$(git log -1 --format=%B "$tip")" != "$(printf '%s' "$message")" ]; then
  tip=$(commit_with -p "$tip")
fi
. ./_check_out.sh
[ -z "$left" ] || echo "rover checkpoints" >&2
echo "rover finished $tip" >&2
