# Tags, base branch, origin and how lines end, as files that the host wrote: see names.py.
# shellcheck shell=sh

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
