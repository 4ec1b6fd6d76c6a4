# shellcheck shell=sh disable=SC2261,SC2030,SC2031 # both files are emptied; meant for the subshell alone

made_names='node_modules|bower_components|__pycache__|\.venv|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.hypothesis|\.tox|\.nox|\.eggs|\.ipynb_checkpoints|\.gradle|\.terraform|\.next|\.nuxt|\.svelte-kit|\.parcel-cache|\.turbo|\.nyc_output|\.pnpm-store|\.dart_tool|\.stack-work'
made_marks='pyvenv\.cfg|CACHEDIR\.TAG|CMakeCache\.txt|\.yarn-integrity|\.rustc_info\.json'
# Of a name the folder that a program made, to the label.
made_folder="
    s#(^|/)($made_names)/.*#\\1\\2/#
    t made
    s#^(.+/)($made_marks)\$#\\1#
    t made"
look_around() {
  remove "$around"
  mkdir "$around"
  case $settings in
    *excludesfile*) own=$(git config --type=path core.excludesFile 2>/dev/null) ;;
    *) false ;;
  esac || own=${XDG_CONFIG_HOME:-${HOME-}/.config}/git/ignore
  { [ ! -f "$own" ] || cat "$own"; echo; } > "$around/exclude" 2>/dev/null || :
  walk
  : > "$around/made"
  [ ! -s "$around/odd" ] || leave_odd
  [ ! -s "$around/maybe" ] || leave_made
  [ ! -s "$around/repositories" ] && [ ! -s "$around/made" ] ||
    cat "$around/repositories" "$around/made" | sed -e 's/[][*?\\]/\\&/g' -e 's|^|/|' \
      >> "$around/exclude"
}
# A name that git has to quote cannot be a line of an ignore file, but a pattern can stand for it.
leave_odd() {
  sed 's/^/rover lacks /' "$around/odd" | head -n 100 >&2
  sed -E -e 's/\\([0-7]{3}|.)/?/g' -e 's/[][*]/\\&/g' -e 's|.*|/&/|' "$around/odd" \
    >> "$around/exclude"
}
leave_made() {
  topmost_made "$around/maybe" > "$around/made"
  sed 's/^/rover left-out /' "$around/made" | head -n 100 >&2
}
# One look at the whole work tree. What git knows and what changed, a line for each file as in
# status --porcelain=v2, and the names of others.
walk() {
  unsure=
  state || {
    readable || { copy_without_learned && readable; } || {
      rm -f .git/index "$temporary"
      fresh_index
    }
    state || state_without_head
  }
  [ ! -s "$around/said" ] || unsure=yes
  # Before anything is added to the copy.
  [ -n "$unsure$learned" ] || keep_learned
  sort_state
}
# Each kind of line into a file of its own.
sort_state() {
  sed -n -E "
    /[ /]$attributes/w $around/rules
    s/^[?] //
    t other
    /^[^1]|^1 .[^.] S/w $around/unplain
    /^1 .[.]/d
    h
    s/^1 .D ([^ ]+ ){6}//w $around/gone
    t
    s/^1 .. ([^ ]+ ){6}//w $around/modified
    g
    /^1 .M N/!d
    s/^1 .M N[.]{3} [0-7]+ 100... (100...) [0-9a-f]+ ([0-9a-f]+) /\1 \2$tab/w $around/changed
    /$tab/!d
    s/^[^$tab]*$tab//w $around/names
    d
    :other
    s|^\"(.*)/\"\$|\1|w $around/odd
    t
    /^\"/b new
    h$made_folder
    b folder
    :made
    w $around/maybe
    g
    :folder
    /[/]\$/w $around/repositories
    :new
    /[/]\"?\$/d
    w $around/new
  " "$around/state"
}
readable() { git ls-files >/dev/null 2>&1; }
# It may write into the copy of the index what it found out.
state() {
  export GIT_OPTIONAL_LOCKS=1
  named -c core.untrackedCache=false status --porcelain=v2 -uall --no-renames --no-show-stash \
    --ignore-submodules=dirty > "$around/state" 2> "$around/said" ||
    { export GIT_OPTIONAL_LOCKS=0; return 1; }
  export GIT_OPTIONAL_LOCKS=0
}
# HEAD does not lead to a commit.
state_without_head() {
  unsure=yes
  named diff-files --raw --no-renames --no-abbrev --ignore-submodules=dirty |
    sed -E "s/^:([0-7]+) ([0-7]+) ([0-9a-f]+) [0-9a-f]+ ([A-Z])$tab/1 .\4 N... 0 \1 \2 0 \3 /" \
    > "$around/state"
  named ls-files --others --exclude-standard | sed 's/^/? /' >> "$around/state"
}
# Of the files whose names are in $1 the topmost folders that a program made, without those below
# which the base has something.
made() {
  sed -n -E "
    /^\"/d$made_folder
    d
    :made
    p
  " "$1" > "$around/maybe"
  [ ! -s "$around/maybe" ] || topmost_made "$around/maybe"
}
# The same of these folders.
topmost_made() {
  LC_ALL=C sort -u "$1" | topmost > "$around/found"
  [ -s "$around/found" ] || return 0
  [ -f "$around/base" ] || git -c core.quotePath=false ls-tree -r -d --name-only "$ROVER_BASE" |
    sed 's|$|/|' > "$around/base"
  grep -vxF -f "$around/base" "$around/found" || :
}
topmost() {
  last=
  while IFS= read -r line; do
    [ -z "$last" ] || case $line in "$last"*) continue ;; esac
    last=$line
    printf '%s\n' "$line"
  done
}
# Links to other repositories, those that are new, attribute files, and made folders of what is new
# in the tree.
sort_since() {
  sed -n -E "
    /^:160000|^:[0-7]+ 160000|[$tab/]$attributes/w $around/special
    /^:160000/b added
    h
    s/^:[0-7]+ 160000 [^$tab]*$tab//w $around/links
    g
    :added
    s/^[^$tab]* A$tab//
    t name
    d
    :name
    /^\"/d$made_folder
    d
    :made
    w $around/strays
  " "$around/since"
}
# A link to a commit of a repository in the work tree, which the agent's own git made of it. One
# that the base has, or that .gitmodules names, is a submodule.
drop_links() {
  [ -s "$around/links" ] || return 1
  : > "$around/submodules"
  [ ! -f .gitmodules ] || named config -f .gitmodules --get-regexp '\.path$' 2>/dev/null |
    sed 's/^[^ ]* //' > "$around/submodules" || :
  grep -vxF -f "$around/submodules" "$around/links" > "$around/dropped" || return 1
  git update-index --force-remove --stdin < "$around/dropped" || exit
  dropped=$(cat "$around/dropped")
  keep_delivered || exit
}
# What a snapshot has of them already. Git keeps what it once has, whatever an ignore file says by
# now, and the agent's git has all of it as the link.
keep_delivered() {
  [ -n "${ROVER_DELIVERED-}" ] || return 0
  named ls-tree -r "$ROVER_DELIVERED" 2>/dev/null | awk -F "$tab" '
    NR == FNR { link[$0]; next }
    $1 !~ / blob / { next }
    {
      name = $2
      sub(/^"/, "", name)
      count = split(name, part, "/")
      folder = part[1]
      for (n = 2; n <= count; n++) {
        if (folder in link) { print; break }
        folder = folder "/" part[n]
      }
    }' "$around/dropped" - | git update-index --index-info
}
# Links that were dropped, and of whose files nothing is in the tree: an ignore file names them.
name_dropped() {
  printf '%s\n' "$dropped" | head -n 100 | while IFS= read -r folder; do
    [ -n "$(git --literal-pathspecs ls-files -- "$folder")" ] ||
      [ -z "$(ls -A -- "$folder" 2>/dev/null)" ] || printf 'rover lacks %s\n' "$folder" >&2
  done
}
# The files of repositories inside the work tree, as files.
add_repositories() {
  while [ -s "$around/repositories" ]; do
    mv "$around/repositories" "$around/now"
    : > "$around/repositories"
    while IFS= read -r folder; do
      files_of "$folder" > "$around/inner" 2>/dev/null
      grep '/$' "$around/inner" | grep -v '^"' >> "$around/repositories" || :
      made "$around/inner" > "$around/made"
      sed 's/^/rover left-out /' "$around/made" | head -n 100 >&2
      grep -v '/$' "$around/inner" | outside_of_made > "$around/add" || :
      git update-index --add --stdin < "$around/add" 2>/dev/null || add_each
    done < "$around/now"
  done
}
# Git ends at the first that it cannot add.
add_each() {
  while IFS= read -r name; do
    printf '%s\n' "$name" | git update-index --add --stdin 2>/dev/null ||
      printf 'rover lacks %s\n' "$name" >&2
  done < "$around/add"
}
files_of() {
  (
    top=$PWD
    cd -- "$1" || exit 0
    export GIT_DIR="$top/.git" GIT_WORK_TREE=. GIT_INDEX_FILE="$top/$around/none"
    named ls-files --others --exclude-per-directory=.gitignore
  ) | while IFS= read -r name; do
    case $name in
      '"'*) printf '"%s%s\n' "$1" "${name#?}" ;;
      *) printf '%s%s\n' "$1" "$name" ;;
    esac
  done > "$around/listed" || :
  named check-ignore --no-index -v -n --stdin < "$around/listed" |
    sed -n -E "s/^(::|[^$tab]*:[0-9]+:![^$tab]*)$tab//p" || :
}
outside_of_made() {
  [ -s "$around/made" ] || { cat; return; }
  sed -e 's/[][*.^$\\]/\\&/g' -e 's/^/^"\\{0,1\\}/' "$around/made" > "$around/patterns"
  grep -v -f "$around/patterns" || [ $? = 1 ]
}
