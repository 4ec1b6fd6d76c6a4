# shellcheck shell=sh

. ./_begin.sh
. ./_usable.sh
. ./_know_base.sh
. ./_take_names.sh
. ./_take_lfs.sh
. ./_take_submodules.sh
. ./_write_files.sh
. ./_settle.sh
objects=$1 branch=$2 base=$3 name=$4 email=$5 later=$6 names=$7
adopting=.git/rover-adopting
# One that cannot be read is not damaged.
if usable || { [ -e .git ] && chmod -R u+rwX .git 2>/dev/null; usable; }; then
. ./_free_locks.sh
  [ -e "$adopting" ] && echo "rover repaired" >&2 || echo "rover ready" >&2
  exit 0
fi
new=yes
if [ ! -L .git ] && [ -e "$making" ]; then
  # It was cut while it was made, so files may be missing that nobody deleted.
  find .git -mindepth 1 -maxdepth 1 ! -name rover-making -exec rm -rf {} +
else
  remove .git
  [ -z "$(ls -A)" ] || new=
  mkdir .git
  if [ -n "$new" ]; then : > "$making"
  elif [ "${later%restore}" != "$later" ]; then : > "$adopting"; fi
fi
(unset GIT_WORK_TREE; git -c init.defaultBranch="$branch" init -q --template= .)
mkdir -p .git/objects/info .git/info
printf '%s\n' "$objects" > .git/objects/info/alternates
# What the user's own git ignores, so that it stays out of the branch as it does on the host.
cat > .git/info/exclude
# Nobody else has written here yet.
printf '[user]\n\tname = %s\n\temail = %s\n' "$name" "$email" >> .git/config
take_names
# The branch last: with it the clone counts as whole, unless another script has to complete it.
if [ -n "$new" ]; then write_files "$base"; else git read-tree --reset "$base"; fi
[ -z "$new" ] || settle
take_submodules
take_lfs
git update-ref "refs/heads/$branch" "$base"
to_branch
if [ -n "$new" ]; then
  [ -n "$later" ] || rm -f "$making"
  echo "rover new" >&2
else
  echo "rover repaired" >&2
fi
