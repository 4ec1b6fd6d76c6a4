# Drops the checkpoint commits between $base and $tip; the trees of those that stay hold their
# changes. Fails, with nothing changed, where the history is not one line.
# shellcheck shell=sh

collapse() {
  [ "$tip" != "$base" ] || return 0
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
