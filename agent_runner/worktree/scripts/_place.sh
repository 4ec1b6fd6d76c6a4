# Where the next commit goes: after both, where the agent committed beside the task's branch.
# shellcheck shell=sh disable=SC2154 # take_ids sets them

found=$(ids "HEAD^{commit}
HEAD^{tree}
refs/heads/$branch^{commit}
refs/heads/$branch^{tree}")
take_ids "$found" at at_tree was was_tree
[ -n "$at" ] || at=$(git rev-parse --verify "HEAD^{commit}")
tip=${was:-$at} tip_tree=${was_tree:-$at_tree}
if [ "$tip" = "$at" ] || git merge-base --is-ancestor "$tip" "$at"; then
  tip=$at tip_tree=$at_tree parents="-p $at"
elif git merge-base --is-ancestor "$at" "$tip"; then parents="-p $tip"
else parents="-p $tip -p $at"; fi
