# The work tree as a tree: from a copy of the index, so that the index itself, the branch and
# ignored files stay as they are, and unchanged files are not read again.
# shellcheck shell=sh disable=SC2030,SC2031,SC2069 # meant for the subshell alone; only the errors are wanted

. ./_know_base.sh
. ./_withhold.sh
. ./_untouched.sh
. ./_copy_index.sh
. ./_look_around.sh
. ./_judge.sh
temporary=.git/rover-index
around=.git/rover-around
remove "$temporary" "$temporary.lock" "$around"
copy_index
write_tree() {
  export GIT_INDEX_FILE="$temporary"
  [ -f "$temporary" ] || fresh_index
  learned=
  take_in
  ! drop_links || { take_in; name_dropped; }
  judge
  unset GIT_INDEX_FILE
  [ -n "${keep_look-}" ] || remove_look
}
remove_look() { rm -rf "$temporary" "$around"; }
take_in() {
  all=
  look_around
  add_changed || add_files
  add_repositories
  withhold
  keep_untouched
  tree=$(git write-tree)
  # It would read the index, and use nothing of it.
  GIT_INDEX_FILE="$around/none"
  named diff-tree -r --raw --no-renames --no-abbrev "$ROVER_BASE" "$tree" -- > "$around/since"
  GIT_INDEX_FILE="$temporary"
  [ ! -s "$around/since" ] || sort_since
}
fresh_index() { git read-tree HEAD 2>/dev/null || git read-tree --empty; }
# Only what the look at the work tree has found. Whatever is not plain is left to git add.
add_changed() {
  [ -z "$unsure" ] && [ ! -e .GIT ] && [ ! -s "$around/unplain" ] || return 1
  [ ! -s "$around/new" ] || outside_of_made < "$around/new" >> "$around/modified" || return 1
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
