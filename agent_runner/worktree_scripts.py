"""The shell scripts of worktree.py: constants, whose values come as arguments.

Each reports what it did in lines that begin with "rover" on standard error.
"""

from __future__ import annotations

PREPARE = r"""
set -eu
objects=$1 branch=$2 base=$3 name=$4 email=$5
if [ -d .git ] && git cat-file -e "$base^{commit}" 2>/dev/null &&
   git rev-parse --verify -q "refs/heads/$branch^{commit}" >/dev/null &&
   git rev-parse --verify -q "HEAD^{commit}" >/dev/null
then
  rm -f .git/index.lock .git/HEAD.lock ".git/refs/heads/$branch.lock"
  echo "rover ready" >&2
  exit 0
fi
rm -rf .git
(unset GIT_WORK_TREE; git init -q --template= .)
mkdir -p .git/objects/info
printf '%s\n' "$objects" > .git/objects/info/alternates
git config user.name "$name"
git config user.email "$email"
git update-ref "refs/heads/$branch" "$base"
git symbolic-ref HEAD "refs/heads/$branch"
if [ -z "$(ls -A | grep -vx .git || :)" ]; then
  git read-tree -u --reset "$base"
  echo "rover new" >&2
else
  git read-tree --reset "$base"
  echo "rover repaired" >&2
fi
"""

# The work tree as a tree: from a copy of the index, so that the index itself, the branch and
# ignored files stay as they are, and unchanged files are not read again.
_WRITE_TREE = r"""
temporary=.git/rover-index
rm -f "$temporary" "$temporary.lock" .git/index.lock .git/HEAD.lock
git ls-files >/dev/null 2>&1 || rm -f .git/index
# With its time: git looks into files that changed in the second the index was written, and would
# take them for unchanged if the copy were younger.
cp -p .git/index "$temporary" 2>/dev/null || :
write_tree() {
  export GIT_INDEX_FILE="$temporary"
  [ -f "$temporary" ] || git read-tree HEAD 2>/dev/null || git read-tree --empty
  complete=1
  git add -A . >/dev/null 2>&1 || add_without_broken
  tree=$(git write-tree)
  # A repository with commits of its own becomes a link to one of them, without its files.
  links=$(git ls-files -s | grep -c '^160000 ' || :)
  if [ "$links" != 0 ]; then
    [ "$links" = "$(git ls-tree -r HEAD 2>/dev/null | grep -c '^160000 ' || :)" ] || complete=0
  fi
  unset GIT_INDEX_FILE
  rm -f "$temporary"
}
add_without_broken() {
  # Folders with a repository that has no commit, and files that cannot be read.
  git add -A --ignore-errors . >/dev/null 2>&1 && return
  complete=0
  find . -path ./.git -prune -o -name .git -prune -print 2>/dev/null | while IFS= read -r inner
  do
    folder=${inner%/.git}
    GIT_DIR="$inner" git rev-parse -q --verify HEAD >/dev/null 2>&1 ||
      printf '/%s/\n' "${folder#./}"
  done > "$temporary.exclude"
  git -c core.excludesFile="$PWD/$temporary.exclude" add -A --ignore-errors . >/dev/null 2>&1 || :
  rm -f "$temporary.exclude"
}
"""

SNAPSHOT = (
    "set -eu\n"
    + _WRITE_TREE
    + r"""
sequence=$1 branch=$2 base=$3 previous=$4 previous_head=$5 previous_tree=$6 limit=$7
write_tree
[ "$complete" = 1 ] || echo "rover incomplete" >&2
at=$(git rev-parse --verify -q "HEAD^{commit}") || at=${previous_head:-$base}
head=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || {
  head=$at
  git update-ref "refs/heads/$branch" "$head"
}
if [ "$tree" = "$previous_tree" ] && [ "$head" = "$previous_head" ]; then
  echo "rover same" >&2
  exit 0
fi
set -- -p "$at"
exclude="^$base"
if [ -n "$previous" ]; then
  set -- "$@" -p "$previous"
  exclude="^$previous ^$previous_head"
fi
commit=$(echo "Rover snapshot $sequence" | git commit-tree "$@" "$tree")
git update-ref "refs/rover/snapshots/$sequence" "$commit"
echo "rover snapshot $commit $tree $head" >&2
{
  git bundle create -q - "refs/rover/snapshots/$sequence" "refs/heads/$branch" $exclude &&
    echo "rover bundled" >&2
} | head -c "$limit"
"""
)

RESET = (
    "set -eu\n"
    + _WRITE_TREE
    + r"""
branch=$1 commit=$2 wanted_tree=$3 wanted_head=$4 kept=$5 bundle=$6
if [ -n "$bundle" ] && ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  git bundle unbundle "$bundle" >/dev/null
fi
[ -n "$wanted_tree" ] || wanted_tree=$(git rev-parse --verify "$commit^{tree}")
write_tree
head=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || head=
at=$(git rev-parse --verify -q HEAD) || at=$wanted_head
if [ "$tree" = "$wanted_tree" ] && [ "$head" = "$wanted_head" ]; then
  echo "rover same" >&2
  exit 0
fi
if [ -n "$kept" ]; then
  saved=$(echo "Kept by Rover before a reset" | git commit-tree -p "$at" "$tree")
  git update-ref "refs/rover/kept/$kept" "$saved"
fi
git symbolic-ref HEAD "refs/heads/$branch"
git update-ref "refs/heads/$branch" "$wanted_head"
rm -f .git/MERGE_HEAD .git/CHERRY_PICK_HEAD .git/REVERT_HEAD
rm -rf .git/rebase-merge .git/rebase-apply
git read-tree -u --reset "$commit"
git clean -ffdq
git read-tree --reset "$wanted_head"
git update-index -q --refresh >/dev/null 2>&1 || :
echo "rover reset" >&2
"""
)

FINISH = (
    "set -eu\n"
    + _WRITE_TREE
    + r"""
branch=$1
write_tree
at=$(git rev-parse --verify "HEAD^{commit}")
tip=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || tip=$at
if git merge-base --is-ancestor "$tip" "$at"; then tip=$at; parents="-p $at"
elif git merge-base --is-ancestor "$at" "$tip"; then parents="-p $tip"
else parents="-p $tip -p $at"; fi
if [ "$parents" != "-p $tip" ] || [ "$tree" != "$(git rev-parse "$tip^{tree}")" ]; then
  tip=$(git commit-tree $parents -F - "$tree")
fi
git update-ref "refs/heads/$branch" "$tip"
git symbolic-ref HEAD "refs/heads/$branch"
git read-tree --reset "$tip"
git update-index -q --refresh >/dev/null 2>&1 || :
echo "rover finished $tip" >&2
"""
)


ADOPT = r"""
set -eu
branch=$1 head=$2 bundle=$3
git bundle unbundle "$bundle" >/dev/null
git update-ref "refs/heads/$branch" "$head"
git symbolic-ref HEAD "refs/heads/$branch"
git read-tree --reset "$head"
echo "rover adopted" >&2
"""
