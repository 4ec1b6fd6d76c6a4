# Submodules that the user has checked out, out of what was lent: see git/submodules.py. Each has a
# repository of its own below .git/modules.
# shellcheck shell=sh

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
