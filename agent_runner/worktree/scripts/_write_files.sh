# Files are written by several processes at once, more than there are cores: they wait for the one
# that hands out the names. If one of these ends, one process writes them all.
# Git's own ones (2.39) lose the name of an encoding that an attribute asks for, and write the file
# as it is.
# shellcheck shell=sh

reencodes() {
  for rules in .git/info/attributes .git/info/own-attributes /etc/gitattributes \
    "${XDG_CONFIG_HOME:-${HOME-}/.config}/git/attributes"; do
    [ ! -f "$rules" ] || ! grep -q working-tree-encoding "$rules" 2>/dev/null || return 0
  done
  if [ "$1" = "$ROVER_BASE" ] && know_base && [ ! -s "$known" ]; then
    no_rules=yes
    return 1
  fi
  git grep -q working-tree-encoding "$1" -- .gitattributes '*/.gitattributes'
}
write_files() {
  workers=1
  reencodes "$1" || workers=$(nproc 2>/dev/null) || workers=1
  [ "$workers" -eq 1 ] || workers=$((workers * 3))
  [ "$workers" -le 12 ] || workers=12
  git -c checkout.workers="$workers" read-tree -u --reset "$1" || git read-tree -u --reset "$1"
}
