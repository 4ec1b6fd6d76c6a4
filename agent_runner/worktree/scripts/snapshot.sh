# shellcheck shell=sh disable=SC2086 # words are split on purpose

. ./_begin.sh
. ./_old_locks.sh
. ./_write_tree.sh
. ./_cleaned.sh
sequence=$1 branch=$2 base=$3 previous=$4 previous_head=$5 previous_tree=$6 limit=$7 whole=$8
write_tree
at=${previous_head:-$base} head=${previous_head:-$base}
# The look at the work tree was sure, so that git has read this commit.
{ [ -z "$unsure" ] && still_at "$head"; } || {
  found=$(ids "HEAD^{commit}
refs/heads/$branch^{commit}")
  take_ids "$found" at head
}
at=${at:-${previous_head:-$base}}
[ -n "$head" ] || {
  head=$at
  git update-ref "refs/heads/$branch" "$head"
}
was=$head
[ -z "${ROVER_WITHHELD-}" ] || {
  head=$(cleaned "$was")
  at=$(cleaned "$at")
}
if [ "$head" != "$was" ]; then
  git update-ref "refs/heads/$branch" "$head" "$was"
  # Else the agent's next commit would hold them again.
  without_withheld 2>/dev/null || :
fi
if [ -z "$whole" ] && [ "$tree" = "$previous_tree" ] && [ "$head" = "$previous_head" ]; then
  echo "rover same" >&2
  exit 0
fi
set -- -p "$at"
exclude="^$base"
if [ -n "$previous" ]; then
  set -- "$@" -p "$previous"
  [ -n "$whole" ] || exclude="^$previous ^$previous_head"
fi
commit=$(git commit-tree "$@" -m "Rover snapshot $sequence" "$tree")
remove ".git/refs/rover/snapshots/$sequence.lock"
git update-ref "refs/rover/snapshots/$sequence" "$commit"
echo "rover snapshot $commit $tree $head" >&2
{
  git bundle create -q - "refs/rover/snapshots/$sequence" "refs/heads/$branch" $exclude &&
    echo "rover bundled" >&2
} | head -c "$limit"
