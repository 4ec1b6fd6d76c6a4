# After it. Each does nothing where the reset is none of that kind.
# shellcheck shell=sh

before=.git/rover-before
[ -n "$exact" ] && [ -s "$before/at" ] || exact=
was_at= was_where=
[ -z "$exact" ] || {
  read -r was_at < "$before/at"
  read -r was_where < "$before/where" || :
}
same_head() {
  [ -z "$exact" ] || {
    head_ref
    [ "$where" = "$was_where" ] && [ "$at" = "$was_at" ]
  }
}
head_back() {
  [ -n "$exact" ] || return 0
  if [ -z "$was_where" ]; then git update-ref --no-deref HEAD "$was_at"
  else
    [ "$was_where" = "refs/heads/$branch" ] || git update-ref "$was_where" "$was_at"
    git symbolic-ref HEAD "$was_where"
  fi
}
index_back() {
  [ -n "$exact" ] || return 0
  [ ! -f "$before/index" ] || cmp -s "$before/index" .git/index || {
    cp "$before/index" .git/index
    git update-index -q --refresh >/dev/null 2>&1 || :
  }
}
tell_undone() {
  [ -n "$exact" ] || return 0
  git diff-tree -r --no-renames --name-only "$wanted_tree" "$tree" | head -n 100 |
    sed 's/^/rover undone /' >&2
}
