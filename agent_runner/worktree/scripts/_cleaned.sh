# What an agent committed all the same: its history since the base again, without these files. The
# same commits give the same ids each time. The rest of a commit is kept, but for signatures.
# shellcheck shell=sh disable=SC2086,SC2031 # words are split on purpose; meant for the subshell alone

cleaned() {
  found=$(git --literal-pathspecs rev-list --full-history -n 1 "$1" "^$ROVER_BASE" -- $ROVER_WITHHELD) ||
    return 1
  if [ -z "$found" ]; then echo "$1"; return; fi
  map=.git/rover-map index=.git/rover-withheld
  rm -rf "$map" "$index"
  : > "$map"
  git rev-list --topo-order --reverse --parents "$1" "^$ROVER_BASE" > "$map.list" || return 1
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
