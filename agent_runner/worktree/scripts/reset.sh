# shellcheck shell=sh disable=SC3044,SC2154 # complete is a function of ours; take_ids sets them

. ./_begin.sh
. ./_free_locks.sh
. ./_write_files.sh
. ./_settle.sh
. ./_write_tree.sh
branch=$1 commit=$2 wanted_tree=$3 wanted_head=$4 kept=$5 bundle=$6 exact=$7
. ./_exact.sh
if [ -n "$bundle" ] && ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  git bundle unbundle "$bundle" >/dev/null
fi
[ -n "$wanted_tree" ] || wanted_tree=$(git rev-parse --verify "$commit^{tree}")
keep_look=yes
# First, or an ignored file that was added to git meanwhile would be taken for new, and be removed.
index_back
write_tree
found=$(ids "refs/heads/$branch^{commit}
HEAD")
take_ids "$found" head at
at=${at:-$wanted_head}
# With a bundle it completes a new clone.
complete() {
  remove_look
  [ -z "$bundle" ] || rm -f .git/rover-making
}
if [ "$tree" = "$wanted_tree" ] && [ "$head" = "$wanted_head" ] && same_head; then
  complete
  echo "rover same" >&2
  exit 0
fi
tell_undone
if [ -n "$kept" ]; then
  saved=$(echo "Kept by Rover before a reset" | git commit-tree -p "$at" "$tree")
  git update-ref "refs/rover/kept/$kept" "$saved"
fi
to_branch
[ "$head" = "$wanted_head" ] || git update-ref "refs/heads/$branch" "$wanted_head"
remove .git/MERGE_HEAD .git/CHERRY_PICK_HEAD .git/REVERT_HEAD .git/rebase-merge .git/rebase-apply
write_files "$commit"
settle
git -c core.excludesFile="$PWD/$around/exclude" clean -ffdq
head_back
git read-tree --reset "$wanted_head"
git update-index -q --refresh >/dev/null 2>&1 || :
index_back
complete
echo "rover reset" >&2
