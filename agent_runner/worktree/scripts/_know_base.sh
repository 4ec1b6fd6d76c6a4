# The base's links to other repositories, and its attribute files.
# shellcheck shell=sh

tab='	'
attributes='[.][Gg][Ii][Tt][Aa][Tt][Tt][Rr][Ii][Bb][Uu][Tt][Ee][Ss]"?$'
# Names one a line, as they are unless git has to quote them.
named() { git -c core.quotePath=false "$@"; }
know_base() {
  known=.git/rover-$ROVER_BASE
  [ ! -f "$known" ] || return 0
  named ls-tree -r "$ROVER_BASE" > "$known.all" || return
  LC_ALL=C grep -E "^160000|[$tab/]$attributes" "$known.all" > "$known.new" || :
  mv -f "$known.new" "$known"
  rm -f "$known.all"
}
