# The index first, which a live git may hold; and no commit that came meanwhile is overwritten.
# shellcheck shell=sh

git read-tree --reset "$tip"
git update-ref "refs/heads/$branch" "$tip" ${was:+"$was"}
to_branch
git update-index -q --refresh >/dev/null 2>&1 || :
