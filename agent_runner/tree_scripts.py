"""How the scripts of worktree_scripts.py make a tree of the work tree: shell functions, constants.

Ids and names are read in git's own quoted form, one a line, which git takes back as well.
"""

from __future__ import annotations

from agent_runner.stray_scripts import JUDGE, LOOK_AROUND

# Files are written by several processes at once. If one of these ends, one process writes them all.
# Git's own ones (2.39) lose the name of an encoding that an attribute asks for, and write the file
# as it is.
WRITE_FILES = r"""
reencodes() {
  grep -qs working-tree-encoding .git/info/attributes .git/info/own-attributes /etc/gitattributes \
    "${XDG_CONFIG_HOME:-${HOME-}/.config}/git/attributes" ||
    git grep -q working-tree-encoding "$1" -- .gitattributes '*/.gitattributes'
}
write_files() {
  workers=1
  reencodes "$1" || workers=$(nproc 2>/dev/null) || workers=1
  [ "$workers" -le 8 ] || workers=8
  git -c checkout.workers="$workers" read-tree -u --reset "$1" || git read-tree -u --reset "$1"
}
"""

# Right after a check-out. What git would convert if it added it counts as changed as long as the
# index is not younger than the files; only then does their time say that nobody touched them.
SETTLE = r"""
converts() {
  [ -e .git/info/attributes ] || [ -e .git/info/own-attributes ] ||
    git config core.autocrlf >/dev/null ||
    [ -n "$(git ls-files -- .gitattributes '*/.gitattributes')" ]
}
settle() {
  converts || return 0
  git diff-files --quiet --ignore-submodules && return
  sleep 1
  touch .git/index
}
"""

# Files of the user's checkout that are in the work tree and never leave it: see copies.py. Their
# names hold nothing that a shell would split or expand.
_WITHHOLD = r"""
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
"""

# Git converts what it adds (line endings, $Id$, encodings), also a file that nobody has touched, if
# it was committed otherwise. Where the bytes are those that a check-out of the former content
# gives, that content stays. Only what git took for changed and converted is checked out again.
_UNTOUCHED = r"""
attribute_files=':(icase,glob)**/.gitattributes'
keep_untouched() {
  [ -z "$all" ] || all_changed
  [ ! -s "$around/changed" ] || converted
  [ ! -s "$around/converted" ] || keep_checked_out
}
# Where git added all that it found, it can have found more than it showed before.
all_changed() {
  (unset GIT_INDEX_FILE && named ls-files -s) > "$around/was" || :
  named ls-files -s | awk -F "$tab" '
    NR == FNR { was[$2] = $1; next }
    was[$2] != $1 && was[$2] ~ /^100/ && $1 ~ /^100/ {
      split(was[$2], old, " ")
      split($1, now, " ")
      print now[1] " " old[2] FS $2
    }' "$around/was" - > "$around/changed"
  cut -f2- "$around/changed" > "$around/names"
}
raw_ids() { git hash-object --no-filters --stdin-paths 2>/dev/null || :; }
converted() {
  # By attributes that changed as well, git would keep the bytes that it made by the former ones. If
  # they changed earlier, it can be late in looking into a file of the index's own second.
  new_rules=
  know_base
  if grep -qiE '[ /]\.gitattributes"?$' "$around/state" || { [ -s "$known" ] &&
    ! git diff-index --cached --quiet "$ROVER_BASE" -- "$attribute_files"; }
  then
    new_rules=yes
    cp "$around/changed" "$around/converted"
    return
  fi
  # One that cannot be converted ends the list.
  git hash-object --stdin-paths < "$around/names" > "$around/as-added" 2>/dev/null || {
    cp "$around/changed" "$around/converted"
    return
  }
  raw_ids < "$around/names" > "$around/ids"
  while IFS= read -r line && IFS= read -r raw <&4 && IFS= read -r added <&5; do
    [ "$raw" = "$added" ] || printf '%s\n' "$line"
  done < "$around/changed" 4< "$around/ids" 5< "$around/as-added" > "$around/converted"
}
keep_checked_out() {
  # With the former attributes, which git takes from the index where there is no file.
  checked_out : "$around/converted"
  [ -z "$new_rules" ] || {
    grep -v -i -E '\.gitattributes"?$' "$around/converted" > "$around/rest" || return 0
    checked_out base_rules "$around/rest"
  }
}
# Keeps those that a check-out makes the same, with what $1 does to the index.
checked_out() {
  (
    rm -rf "$around/out"
    mkdir "$around/out"
    export GIT_INDEX_FILE="$PWD/$around/index"
    cp .git/index "$around/index" || fresh_index
    "$1"
    export GIT_WORK_TREE="$PWD/$around/out"
    cut -f2- "$2" | git checkout-index -q --stdin
  ) 2>/dev/null || :
  cut -f2- "$2" | raw_ids > "$around/ids"
  cut -f2- "$2" | sed -e "s|^\"|&$around/out/|" -e t -e "s|^|$around/out/|" |
    raw_ids > "$around/former"
  while IFS= read -r line && IFS= read -r raw <&4 && IFS= read -r former <&5; do
    [ "$raw" != "$former" ] || printf '%s\n' "$line"
  done < "$2" 4< "$around/ids" 5< "$around/former" > "$around/untouched"
  git update-index --index-info < "$around/untouched"
}
# The attributes by which the work tree was checked out.
base_rules() {
  git ls-files -- "$attribute_files" | git update-index --force-remove --stdin
  grep -v ^160000 "$known" | git update-index --index-info
}
"""

# What git finds out about files that nobody changed would be lost with the copy of the index, and
# every snapshot would read those again that were written in the same second as the index. So it is
# kept beside the index, for as long as that stays the same.
_COPY_INDEX = r"""
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
"""

# The work tree as a tree: from a copy of the index, so that the index itself, the branch and
# ignored files stay as they are, and unchanged files are not read again.
WRITE_TREE = (
    _WITHHOLD
    + _UNTOUCHED
    + _COPY_INDEX
    + LOOK_AROUND
    + JUDGE
    + r"""
temporary=.git/rover-index
tab=$(printf '\t')
around=.git/rover-around
rm -rf "$temporary" "$temporary.lock" "$around"
copy_index
write_tree() {
  export GIT_INDEX_FILE="$temporary"
  [ -f "$temporary" ] || fresh_index
  learned=
  take_in
  ! drop_links || take_in
  judge
  unset GIT_INDEX_FILE
  rm -rf "$temporary" "$around"
}
take_in() {
  all=
  look_around
  add_changed || add_files
  add_repositories
  withhold
  keep_untouched
  tree=$(git write-tree)
  # It would read the index, and use nothing of it.
  (
    GIT_INDEX_FILE="$around/none"
    named diff-tree -r --raw --no-renames --no-abbrev "$ROVER_BASE" "$tree" -- > "$around/since"
  )
  sort_since
}
fresh_index() { git read-tree HEAD 2>/dev/null || git read-tree --empty; }
# Only what the look at the work tree has found. Whatever is not plain is left to git add.
add_changed() {
  [ -z "$unsure" ] && [ ! -e .GIT ] && [ ! -s "$around/unplain" ] || return 1
  [ ! -s "$around/others" ] || sed '/\/"\{0,1\}$/d' "$around/others" | outside_of_made \
    >> "$around/modified" || return 1
  [ ! -s "$around/gone" ] || git update-index --force-remove --stdin < "$around/gone" || return 1
  [ ! -s "$around/modified" ] || {
    git update-index --add --replace --stdin < "$around/modified" > "$around/said" 2>&1 || return 1
    [ ! -s "$around/said" ]
  }
}
# Git passes over a file that it cannot read, and ends at one that it cannot convert.
add_files() {
  all=yes
  echo . > "$around/wanted"
  said=$(add) || said=$(add --ignore-errors) || :
  if ended; then
    leave_unconverted
    said=$(add --ignore-errors) || :
    ! ended || { printf '%s\n' "$said" >&2; return 1; }
  fi
  # A file that there was no space for is not one that cannot be recorded.
  case $said in *'No space left on device'* | *'quota exceeded'*)
    printf '%s\n' "$said" >&2
    exit 1
  esac
  printf '%s\n' "$said" | unreadable
}
add() {
  git -c core.excludesFile="$PWD/$around/exclude" add -A "$@" \
    --pathspec-from-file="$around/wanted" 2>&1 >/dev/null
}
ended() { printf '%s\n' "$said" | grep -q '^fatal: '; }
# Files that are not in the encoding that an attribute names for them.
leave_unconverted() {
  named ls-files --modified --others --exclude-standard |
    named check-attr --stdin working-tree-encoding |
    sed -n -E -e '/: (unspecified|unset)$/d' -e 's/: working-tree-encoding: [^:]*$//p' \
    > "$around/encoded"
  while IFS= read -r name; do
    case $(printf '%s\n' "$name" | git hash-object -w --stdin-paths 2>&1 >/dev/null) in
      *encod*)
        printf 'rover lacks %s\n' "$name" >&2
        printf '%s\n' "$name" |
          sed -e 's/^"/":(exclude,literal)/' -e t -e 's/^/:(exclude,literal)/' >> "$around/wanted"
        ;;
    esac
  done < "$around/encoded"
}
unreadable() {
  sed -n -e 's/^error: open("\(.*\)"): .*/rover lacks \1/p' \
    -e "s/^error: invalid path '\(.*\)'$/rover lacks \1/p" \
    -e "s/^warning: could not open directory '\(.*\)': .*/rover lacks \1/p" | head -n 100 >&2
}
"""
)
