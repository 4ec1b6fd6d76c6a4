# shellcheck shell=sh disable=SC2154 # take_ids sets them

making=.git/rover-making
usable() {
  [ -d .git ] && [ ! -e "$making" ] || return 1
  found=$(ids "$base^{commit}
refs/heads/$branch^{commit}
HEAD^{commit}" 2>/dev/null) || return 1
  take_ids "$found" of_base of_branch of_head
  [ -n "$of_base" ] && [ -n "$of_branch" ] && [ -n "$of_head" ]
}
