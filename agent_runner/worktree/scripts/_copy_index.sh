# What git finds out about files that nobody changed would be lost with the copy of the index, and
# every snapshot would read those again that were written in the same second as the index. So it is
# kept beside the index, for as long as that stays the same.
# shellcheck shell=sh disable=SC2015 # the second command has to follow either failure

seen=.git/rover-seen fresh=.git/rover-fresh
# With its time: git looks into files that changed in the second the index was written, and would
# take them for unchanged if the copy were younger.
copy_index() {
  if [ -f "$fresh" ] && cmp -s .git/index "$seen"; then
    cp -p "$fresh" "$temporary" && return
  fi
  rm -rf "$fresh" "$seen"
  cp -p .git/index "$seen" 2>/dev/null && cp -p "$seen" "$temporary" 2>/dev/null ||
    rm -f "$seen" "$temporary"
}
copy_without_learned() {
  [ -f "$fresh" ] || return 1
  rm -f "$fresh"
  cp -p .git/index "$temporary" || exit
}
keep_learned() {
  learned=yes
  from=$fresh
  [ -f "$from" ] || from=$seen
  [ "$temporary" -nt "$from" ] || return 0
  cp -p "$temporary" "$fresh.new" && mv -f "$fresh.new" "$fresh" || rm -f "$fresh.new" "$fresh"
}
