# Where the next commit goes: after both, where the agent committed beside the task's branch.
# shellcheck shell=sh

at=$(git rev-parse --verify "HEAD^{commit}")
was=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || was=
tip=${was:-$at}
if git merge-base --is-ancestor "$tip" "$at"; then tip=$at; parents="-p $at"
elif git merge-base --is-ancestor "$at" "$tip"; then parents="-p $tip"
else parents="-p $tip -p $at"; fi
