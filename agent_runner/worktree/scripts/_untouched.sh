# Git converts what it adds (line endings, $Id$, encodings), also a file that nobody has touched, if
# it was committed otherwise. Where the bytes are those that a check-out of the former content
# gives, that content stays. Only what git took for changed and converted is checked out again.
# shellcheck shell=sh disable=SC2030 # meant for the subshell alone

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
  if [ -s "$around/rules" ] || { [ -s "$known" ] &&
    ! git diff-index --cached --quiet "$ROVER_BASE" -- "$attribute_files"; }
  then
    new_rules=yes
    cp "$around/changed" "$around/converted"
    return
  fi
  asks_to_convert || return 0
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
# Whether a setting or an attribute of one of the files does.
asks_to_convert() {
  case $settings in *autocrlf*) return ;; esac
  named check-attr --stdin text eol crlf ident filter working-tree-encoding < "$around/names" \
    > "$around/asked" || return 0
  grep -q -v -E ': (unspecified|unset)$' "$around/asked"
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
