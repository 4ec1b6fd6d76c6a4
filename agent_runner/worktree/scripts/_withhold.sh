# Files of the user's checkout that are in the work tree and never leave it: see local_files.py.
# Their names hold nothing that a shell would split or expand.
# shellcheck shell=sh disable=SC2086 # words are split on purpose

without_withheld() {
  git --literal-pathspecs rm -r -f -q --cached --ignore-unmatch -- $ROVER_WITHHELD >/dev/null
}
withhold() {
  [ -n "${ROVER_WITHHELD-}" ] || return 0
  held=$(git --literal-pathspecs ls-files --cached -- $ROVER_WITHHELD) || return 1
  [ -n "$held" ] || return 0
  printf '%s\n' "$held" | head -n 100 | sed 's/^/rover withheld /' >&2
  without_withheld
}
