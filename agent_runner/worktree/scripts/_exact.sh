# After it. Each does nothing where the reset is none of that kind.
# shellcheck shell=sh

before=.git/rover-before
[ -n "$exact" ] && [ -s "$before/at" ] || exact=
same_head() {
  [ -z "$exact" ] || {
    [ "$(git symbolic-ref -q HEAD)" = "$(cat "$before/where")" ] &&
      [ "$(git rev-parse -q --verify HEAD)" = "$(cat "$before/at")" ]
  }
}
head_back() {
  [ -n "$exact" ] || return 0
  where=$(cat "$before/where")
  if [ -z "$where" ]; then git update-ref --no-deref HEAD "$(cat "$before/at")"
  else
    [ "$where" = "refs/heads/$branch" ] || git update-ref "$where" "$(cat "$before/at")"
    git symbolic-ref HEAD "$where"
  fi
}
index_back() {
  [ -n "$exact" ] || return 0
  [ ! -f "$before/index" ] || cp "$before/index" .git/index
  git update-index -q --refresh >/dev/null 2>&1 || :
}
tell_undone() {
  [ -n "$exact" ] || return 0
  git diff-tree -r --no-renames --name-only "$wanted_tree" "$tree" | head -n 100 |
    sed 's/^/rover undone /' >&2
}
