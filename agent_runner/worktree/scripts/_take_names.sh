# Tags, base branch, origin and how lines end, as files that the host wrote: see names.py.
# shellcheck shell=sh

take_names() {
  [ ! -f "$names/shallow" ] || cp "$names/shallow" .git/shallow
  [ -f "$names/origin" ] || return 0
  [ ! -f "$names/settings" ] ||
    while read -r key value; do
      git config "$key" "$value"
      settings="$settings $key"
    done < "$names/settings"
  [ ! -f "$names/attributes" ] || cp "$names/attributes" .git/info/attributes
  [ ! -f "$names/own-attributes" ] || {
    cp "$names/own-attributes" .git/info/own-attributes
    git config core.attributesFile "$PWD/.git/info/own-attributes"
  }
  [ ! -f "$names/tags.pack" ] || git unpack-objects -q < "$names/tags.pack"
  cat "$names/packed-refs" > .git/packed-refs
  { read -r address || :; read -r main || :; } < "$names/origin"
  [ -n "$address" ] || return 0
  printf '[remote "origin"]\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n' >> .git/config
  # Each of these has a meaning in the file.
  case $address in
    *[\\\"\;#]*) git config remote.origin.url "$address" ;;
    *) printf '\turl = %s\n' "$address" >> .git/config ;;
  esac
  [ -z "$main" ] || git symbolic-ref refs/remotes/origin/HEAD "refs/remotes/origin/$main"
}
