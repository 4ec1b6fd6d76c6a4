"""The shell scripts of worktree.py: constants, whose values come as arguments.

Each reports what it did in lines that begin with "rover" on standard error.
"""

from __future__ import annotations

from agent_runner.tree_scripts import SETTLE, WRITE_FILES, WRITE_TREE

# Work trees are recorded and restored byte for byte. A filter (git-lfs, or one that the agent set
# up) could take for ever, or keep the content where no bundle holds it. Set empty, none is run.
_NO_FILTERS = r"""
filters=$(git config --name-only --get-regexp '^filter\.' 2>/dev/null) || filters=
[ -z "$filters" ] ||
  filters=$(printf '%s\n' "$filters" | sed 's/\.[^.]*$//' | sort -u | head -n 100)
while IFS= read -r filter; do
  [ -n "$filter" ] || continue
  for value in clean= smudge= process= required=false; do
    export "GIT_CONFIG_KEY_$GIT_CONFIG_COUNT=$filter.${value%%=*}"
    export "GIT_CONFIG_VALUE_$GIT_CONFIG_COUNT=${value#*=}"
    GIT_CONFIG_COUNT=$((GIT_CONFIG_COUNT + 1))
  done
done <<FILTERS
$filters
FILTERS
"""

END_WHEN_KILLED = r"""
whole() {
  "$@" || {
    ended=$?
    case $ended in 129 | 130 | 137 | 143) kill -KILL $$ ;; esac
    return "$ended"
  }
}
git() { whole command git "$@"; }
"""
"""A git that somebody killed ends the whole script with SIGKILL, wherever it ran: its status would
be taken for an answer ("that is not in the base"), and what follows from it would be done."""

_BEGIN = "set -eu\n" + END_WHEN_KILLED + _NO_FILTERS

# What a killed git left behind. Only where nothing else runs: they may be held by a live one.
_FREE_LOCKS = r"""
free_locks() {
  find .git -maxdepth 1 -name '*.lock' -exec rm -rf {} + 2>/dev/null || :
  find .git/refs -name '*.lock' -prune -exec rm -rf {} + 2>/dev/null || :
  # Git would not notice if a power failure had cut it.
  rm -rf .git/rover-fresh
}
free_locks
"""

# An agent that runs beside this step may be committing; a lock of long ago is nobody's.
_OLD_LOCKS = r"""
for lock in .git/*.lock; do
  if [ -e "$lock" ] || [ -L "$lock" ]; then
    find .git -maxdepth 1 -name '*.lock' -mmin +1 -exec rm -rf {} + 2>/dev/null || :
  fi
  break
done
"""

# Tags, base branch, origin and how lines end, as files that the host wrote: see names.py.
_TAKE_NAMES = r"""
take_names() {
  [ ! -f "$names/shallow" ] || cp "$names/shallow" .git/shallow
  [ -f "$names/origin" ] || return 0
  [ ! -f "$names/settings" ] ||
    while read -r key value; do git config "$key" "$value"; done < "$names/settings"
  [ ! -f "$names/attributes" ] || cp "$names/attributes" .git/info/attributes
  [ ! -f "$names/own-attributes" ] || {
    cp "$names/own-attributes" .git/info/own-attributes
    git config core.attributesFile "$PWD/.git/info/own-attributes"
  }
  [ ! -f "$names/tags.pack" ] || git unpack-objects -q < "$names/tags.pack"
  cp "$names/packed-refs" .git/packed-refs
  chmod u+w .git/packed-refs
  { read -r address || :; read -r main || :; } < "$names/origin"
  [ -n "$address" ] || return 0
  git config remote.origin.url "$address"
  git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
  [ -z "$main" ] || git symbolic-ref refs/remotes/origin/HEAD "refs/remotes/origin/$main"
}
"""

# Submodules that the user has checked out, out of what was lent: see git/submodules.py. Each has a
# repository of its own below .git/modules.
_TAKE_SUBMODULES = r"""
take_submodules() {
  number=0
  while [ -d "$names/submodules/$number" ]; do
    take_submodule "$names/submodules/$number" "$PWD/.git/modules/rover-$number" ||
      printf 'rover lacks %s\n' "$path" >&2
    number=$((number + 1))
  done
}
take_submodule() {
  path=$(cat "$1/path"; echo x) path=${path%x}
  [ -d "$path" ] && [ ! -L "$path" ] && [ ! -e "$2" ] || return 0
  (
    export GIT_DIR="$2" GIT_WORK_TREE="$PWD/$path"
    mkdir -p "$2"
    git init -q --template= && mkdir -p "$2/objects/info" &&
      printf '%s\n' "$objects/submodules/$number" > "$2/objects/info/alternates" || exit
    [ ! -f "$1/shallow" ] || cp "$1/shallow" "$2/shallow"
    [ ! -f "$1/settings" ] ||
      while read -r key value; do git config "$key" "$value"; done < "$1/settings"
    mkdir -p "$2/info"
    [ ! -s "$1/attributes" ] || cp "$1/attributes" "$2/info/attributes"
    [ ! -f "$names/own-attributes" ] ||
      git config core.attributesFile "$PWD/.git/info/own-attributes"
    git config user.name "$name" && git config user.email "$email"
    git config core.worktree "$GIT_WORK_TREE"
    read -r address < "$1/origin" || :
    [ -z "$address" ] || git config remote.origin.url "$address"
    git update-ref --no-deref HEAD "$(cat "$1/commit")" || exit
    printf 'gitdir: %s\n' "$2" > "$path/.git"
    git read-tree ${new:+-u} --reset HEAD || exit
    # The one that it is in knows it.
    [ -f "$1/name" ] || exit 0
    unset GIT_WORK_TREE
    GIT_DIR=${2%/modules/*}
    [ ! -f "$1/parent" ] || GIT_DIR=${2%-*}-$(cat "$1/parent")
    git config "submodule.$(cat "$1/name").active" true
    git config "submodule.$(cat "$1/name").url" "${address:-none}"
  )
}
"""

# Objects of git-lfs that the user has: see git/lfs.py.
_TAKE_LFS = r"""
take_lfs() {
  [ -d "$objects/lfs" ] || return 0
  find "$objects/lfs" -type f | while IFS= read -r object; do
    folder=.git/lfs/objects/${object#"$objects/lfs/"}
    folder=${folder%/*}
    mkdir -p "$folder"
    ln -s "$object" "$folder/" 2>/dev/null || :
  done
}
"""

PREPARE = (
    _BEGIN
    + _TAKE_NAMES
    + _TAKE_LFS
    + _TAKE_SUBMODULES
    + WRITE_FILES
    + SETTLE
    + r"""
objects=$1 branch=$2 base=$3 name=$4 email=$5 later=$6 names=$7
making=.git/rover-making adopting=.git/rover-adopting
usable() {
  [ -d .git ] && [ ! -e "$making" ] && git cat-file -e "$base^{commit}" 2>/dev/null &&
    git rev-parse --verify -q "refs/heads/$branch^{commit}" >/dev/null &&
    git rev-parse --verify -q "HEAD^{commit}" >/dev/null
}
# One that cannot be read is not damaged.
usable || chmod -R u+rwX .git 2>/dev/null || :
if usable; then
"""
    + _FREE_LOCKS
    + r"""
  [ -e "$adopting" ] && echo "rover repaired" >&2 || echo "rover ready" >&2
  exit 0
fi
new=yes
if [ ! -L .git ] && [ -e "$making" ]; then
  # It was cut while it was made, so files may be missing that nobody deleted.
  find .git -mindepth 1 -maxdepth 1 ! -name rover-making -exec rm -rf {} +
else
  rm -rf .git
  [ -z "$(ls -A)" ] || new=
  mkdir .git
  if [ -n "$new" ]; then : > "$making"
  elif [ "${later%restore}" != "$later" ]; then : > "$adopting"; fi
fi
(unset GIT_WORK_TREE; git init -q --template= .)
mkdir -p .git/objects/info
printf '%s\n' "$objects" > .git/objects/info/alternates
# What the user's own git ignores, so that it stays out of the branch as it does on the host.
mkdir -p .git/info
cat > .git/info/exclude
git config user.name "$name"
git config user.email "$email"
take_names
# The branch last: with it the clone counts as whole, unless another script has to complete it.
if [ -n "$new" ]; then write_files "$base"; else git read-tree --reset "$base"; fi
[ -z "$new" ] || settle
take_submodules
take_lfs
git update-ref "refs/heads/$branch" "$base"
git symbolic-ref HEAD "refs/heads/$branch"
if [ -n "$new" ]; then
  [ -n "$later" ] || rm -f "$making"
  echo "rover new" >&2
else
  echo "rover repaired" >&2
fi
"""
)

CHECK_BASE = r"""
objects=$1 base=$2 names=$3
unset GIT_WORK_TREE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
GIT_DIR=$(mktemp -d) || exit 0
trap 'rm -rf "$GIT_DIR"' EXIT
if git init -q --bare --template= "$GIT_DIR"; then
  [ ! -f "$names/shallow" ] || cp "$names/shallow" "$GIT_DIR/shallow"
  GIT_OBJECT_DIRECTORY=$objects git rev-list --objects --quiet -n 1 "$base" || echo "rover lost" >&2
fi
"""
"""Whether all files of the base can be read where they were lent, from a repository that the agent
never saw."""

BASE_LOST = (
    "the commit that the task is based on can no longer be read: files are missing, or damaged, in "
    "the folder that was lent to its sandbox (base, beside the task's files in the data folder). "
    "resume_task lends it again, and the task continues"
)

# What is ignored (installed packages, builds) is kept beside for later clones; nothing else stays.
PUT_ASIDE = (
    _BEGIN
    + r"""
seed=$1
mkdir -p "$seed"
git ls-files -z --others --ignored --exclude-standard --directory |
  tr '\n\0' '\001\n' | while IFS= read -r path; do
    # A name with a line feed in it is not worth the trouble.
    case $path in *"$(printf '\001')"*) continue;; esac
    path=${path%/}
    mkdir -p "$seed/$(dirname "$path")"
    mv "$path" "$seed/$path"
  done
find . -mindepth 1 -maxdepth 1 -exec rm -rf {} +
echo "rover aside" >&2
"""
)

TAKE_SEED = (
    _BEGIN
    + r"""
seed=$1 later=$2
if [ -d "$seed" ] && [ -n "$(ls -A "$seed")" ]; then
  # Not over what the base has; some versions call that a failure.
  cp -an "$seed/." . || :
fi
[ -n "$later" ] || rm -f .git/rover-making
echo "rover seeded" >&2
"""
)

# What an agent committed all the same: its history since the base again, without these files. The
# same commits give the same ids each time. The rest of a commit is kept, but for signatures.
_CLEANED = r"""
cleaned() {
  if [ -z "${ROVER_WITHHELD-}" ]; then echo "$1"; return; fi
  found=$(git --literal-pathspecs rev-list --full-history -n 1 "$1" "^$base" -- $ROVER_WITHHELD) ||
    return 1
  if [ -z "$found" ]; then echo "$1"; return; fi
  map=.git/rover-map index=.git/rover-withheld
  rm -rf "$map" "$index"
  : > "$map"
  git rev-list --topo-order --reverse --parents "$1" "^$base" > "$map.list" || return 1
  while read -r commit parents; do
    one_cleaned || return 1
  done < "$map.list"
  sed -n "s/^$1 //p" "$map"
  rm -f "$map" "$map.list" "$index"
}
one_cleaned() {
  changed= new=
  for parent in $parents; do
    mapped=$(sed -n "s/^$parent //p" "$map")
    [ "${mapped:-$parent}" = "$parent" ] || changed=1
    new="$new ${mapped:-$parent}"
  done
  tree=$(git rev-parse "$commit^{tree}") || return 1
  held=$(git ls-tree --name-only "$commit" -- $ROVER_WITHHELD) || return 1
  if [ -n "$held" ]; then
    changed=1
    printf '%s\n' "$held" | head -n 100 | sed 's/^/rover withheld /' >&2
    tree=$(export GIT_INDEX_FILE="$index"
      git read-tree "$commit" && without_withheld && git write-tree) || return 1
  fi
  clean=$commit
  [ -z "$changed" ] || clean=$(again) || return 1
  printf '%s %s\n' "$commit" "$clean" >> "$map"
}
again() {
  git cat-file commit "$commit" | awk -v tree="$tree" -v parents="$new" '
    BEGIN { count = split(parents, parent, " ") }
    body { print; next }
    /^$/ { body = 1; print; next }
    /^gpgsig/ { skip = 1; next }
    skip && /^ / { next }
    { skip = 0 }
    /^tree / { print "tree " tree; for (i = 1; i <= count; i++) print "parent " parent[i]; next }
    /^parent / { next }
    { print }' | git hash-object -t commit -w --stdin
}
"""

SNAPSHOT = (
    _BEGIN
    + _OLD_LOCKS
    + WRITE_TREE
    + _CLEANED
    + r"""
sequence=$1 branch=$2 base=$3 previous=$4 previous_head=$5 previous_tree=$6 limit=$7 whole=$8
write_tree
at=$(git rev-parse --verify -q "HEAD^{commit}") || at=${previous_head:-$base}
head=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || {
  head=$at
  git update-ref "refs/heads/$branch" "$head"
}
was=$head
head=$(cleaned "$was")
at=$(cleaned "$at")
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
commit=$(echo "Rover snapshot $sequence" | git commit-tree "$@" "$tree")
lock=.git/refs/rover/snapshots/$sequence.lock
if [ -e "$lock" ] || [ -L "$lock" ]; then rm -rf "$lock"; fi
git update-ref "refs/rover/snapshots/$sequence" "$commit"
echo "rover snapshot $commit $tree $head" >&2
{
  git bundle create -q - "refs/rover/snapshots/$sequence" "refs/heads/$branch" $exclude &&
    echo "rover bundled" >&2
} | head -c "$limit"
"""
)

RESET = (
    _BEGIN
    + _FREE_LOCKS
    + WRITE_FILES
    + SETTLE
    + WRITE_TREE
    + r"""
branch=$1 commit=$2 wanted_tree=$3 wanted_head=$4 kept=$5 bundle=$6
if [ -n "$bundle" ] && ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  git bundle unbundle "$bundle" >/dev/null
fi
[ -n "$wanted_tree" ] || wanted_tree=$(git rev-parse --verify "$commit^{tree}")
kept_out=.git/rover-kept-out
write_tree
head=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || head=
at=$(git rev-parse --verify -q HEAD) || at=$wanted_head
# With a bundle it completes a new clone.
complete() { [ -z "$bundle" ] || rm -f .git/rover-making; }
if [ "$tree" = "$wanted_tree" ] && [ "$head" = "$wanted_head" ]; then
  complete
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
write_files "$commit"
settle
git -c core.excludesFile="$PWD/$kept_out" clean -ffdq
rm -f "$kept_out"
git read-tree --reset "$wanted_head"
git update-index -q --refresh >/dev/null 2>&1 || :
complete
echo "rover reset" >&2
"""
)

# Where the next commit goes: after both, where the agent committed beside the task's branch.
_PLACE = r"""
at=$(git rev-parse --verify "HEAD^{commit}")
was=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || was=
tip=${was:-$at}
if git merge-base --is-ancestor "$tip" "$at"; then tip=$at; parents="-p $at"
elif git merge-base --is-ancestor "$at" "$tip"; then parents="-p $tip"
else parents="-p $tip -p $at"; fi
"""

# The index first, which a live git may hold; and no commit that came meanwhile is overwritten.
_CHECK_OUT = r"""
git read-tree --reset "$tip"
git update-ref "refs/heads/$branch" "$tip" ${was:+"$was"}
git symbolic-ref HEAD "refs/heads/$branch"
git update-index -q --refresh >/dev/null 2>&1 || :
"""

COMMIT = (
    _BEGIN
    + _OLD_LOCKS
    + WRITE_TREE
    + r"""
branch=$1
tries=50
while [ -e .git/index.lock ] && [ "$tries" -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
write_tree
"""
    + _PLACE
    + r"""
if [ "$tree" = "$(git rev-parse "$tip^{tree}")" ] && [ "$parents" = "-p $tip" ]; then
  echo "rover unchanged" >&2
  exit 0
fi
tip=$(git commit-tree $parents -F - "$tree")
"""
    + _CHECK_OUT
    + r"""
echo "rover committed $tip" >&2
"""
)

# Drops the checkpoint commits between $base and $tip; the trees of those that stay hold their
# changes. Fails, with nothing changed, where the history is not one line.
_COLLAPSE = r"""
collapse() {
  history=$(git rev-list --reverse \
    --format='%H|%P|%(trailers:key=Rover-Checkpoint,valueonly,separator=%x2C)' "$base..$tip") ||
    return 1
  case $history in *'|true'*) ;; *) return 0 ;; esac
  last=$base new=$base
  while IFS='|' read -r commit parents checkpoint; do
    case $commit in 'commit '*) continue ;; esac
    [ "$parents" = "$last" ] || return 1
    if [ "$checkpoint" = true ]; then :
    elif [ "$new" = "$last" ]; then new=$commit
    else new=$(moved "$commit" "$new") || return 1
    fi
    last=$commit
  done <<HISTORY
$history
HISTORY
  tip=$new
}
moved() {
  git cat-file commit "$1" | awk -v parent="$2" '
    body { print; next }
    /^$/ { body = 1 }
    /^gpgsig/ { skip = 1; next }
    skip && /^ / { next }
    { skip = 0 }
    /^parent / { $0 = "parent " parent }
    { print }' | git hash-object -t commit -w --stdin
}
"""

FINISH = (
    _BEGIN
    + _FREE_LOCKS
    + WRITE_TREE
    + _COLLAPSE
    + r"""
branch=$1 base=$2
write_tree
"""
    + _PLACE
    + r"""
[ "$parents" = "-p $tip" ] || tip=$(git commit-tree $parents -F - "$tree")
left=
collapse || left=1
if [ "$tree" != "$(git rev-parse "$tip^{tree}")" ]; then
  tip=$(git commit-tree -p "$tip" -F - "$tree")
fi
"""
    + _CHECK_OUT
    + r"""
[ -z "$left" ] || echo "rover checkpoints" >&2
echo "rover finished $tip" >&2
"""
)


ADOPT = (
    _BEGIN
    + r"""
branch=$1 head=$2 bundle=$3
git bundle unbundle "$bundle" >/dev/null
git update-ref "refs/heads/$branch" "$head"
git symbolic-ref HEAD "refs/heads/$branch"
git read-tree --reset "$head"
rm -f .git/rover-adopting
echo "rover adopted" >&2
"""
)

# Agents and commands can lock themselves out; started where even that does no harm.
REPAIR = r"""
chmod u+rwx -- "$1" "$1/.git" 2>/dev/null
[ ! -d "$1/.git" ] || chmod -R u+rwX -- "$1/.git" 2>/dev/null
cd -- "$1" || exit
# What git waits for when it opens it: a pipe as its index, or as one of its files in the tree.
find . \( -path './.git/*' -o -name '.git?*' \) ! -type d ! -type f ! -type l -exec rm -f {} + \
  2>/dev/null
find .git -type l -exec sh -c '
  for link; do
    [ ! -e "$link" ] || [ -f "$link" ] || [ -d "$link" ] || rm -f "$link"
  done' sh {} + 2>/dev/null
:
"""
