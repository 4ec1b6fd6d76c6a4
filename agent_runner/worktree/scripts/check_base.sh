# Whether all files of the base can be read where they were lent, from a repository that the agent
# never saw.
# shellcheck shell=sh

objects=$1 base=$2 names=$3
unset GIT_WORK_TREE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
GIT_DIR=$(mktemp -d) || exit 0
trap 'rm -rf "$GIT_DIR"' EXIT
if git init -q --bare --template= "$GIT_DIR"; then
  [ ! -f "$names/shallow" ] || cp "$names/shallow" "$GIT_DIR/shallow"
  GIT_OBJECT_DIRECTORY=$objects git rev-list --objects --quiet -n 1 "$base" || echo "rover lost" >&2
fi
