# Agents and commands can lock themselves out; started where even that does no harm.
# shellcheck shell=sh

chmod u+rwx -- "$1" "$1/.git" 2>/dev/null
[ ! -d "$1/.git" ] || chmod -R u+rwX -- "$1/.git" 2>/dev/null
cd -- "$1" || exit
# What git waits for when it opens it: a pipe as its index, or as one of its files in the tree.
find . \( -path './.git/*' -o -name '.git?*' \) ! -type d ! -type f ! -type l -exec rm -f {} + \
  2>/dev/null
find .git -type l -exec sh -c '
  for link; do
    [ ! -e "$link" ] || [ -f "$link" ] || [ -d "$link" ] || rm -f "$link"
  done' sh {} + 2>/dev/null
:
