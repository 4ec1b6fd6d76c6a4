"""What a snapshot leaves out, takes in or warns of beside plain files: shell functions, constants.

Virtual environments, installed packages and caches that no ignore file names, repositories inside
the work tree, submodules, and raw content where git-lfs keeps pointers.
"""

from __future__ import annotations

_NAMES = (
    r"node_modules|bower_components|__pycache__|\.venv|\.pytest_cache|\.mypy_cache|\.ruff_cache|"
    r"\.hypothesis|\.tox|\.nox|\.eggs|\.ipynb_checkpoints|\.gradle|\.terraform|\.next|\.nuxt|"
    r"\.svelte-kit|\.parcel-cache|\.turbo|\.nyc_output|\.pnpm-store|\.dart_tool|\.stack-work"
)
"""Folders that a program made out of other files, by their names."""

_MARKS = r"pyvenv\.cfg|CACHEDIR\.TAG|CMakeCache\.txt|\.yarn-integrity|\.rustc_info\.json"
"""Files that say the same of the folder they are in."""

LOOK_AROUND = (
    f"made_names='{_NAMES}'\nmade_marks='{_MARKS}'\n"
    + r"""
# Names one a line, as they are unless git has to quote them.
named() { git -c core.quotePath=false "$@"; }
look_around() {
  [ ! -e "$around" ] || rm -rf "$around"
  mkdir "$around"
  own=$(git config --type=path core.excludesFile 2>/dev/null) ||
    own=${XDG_CONFIG_HOME:-${HOME-}/.config}/git/ignore
  { [ ! -f "$own" ] || cat "$own"; echo; } > "$around/exclude" 2>/dev/null || :
  walk
  : > "$around/repositories" > "$around/made"
  [ ! -s "$around/others" ] || look_at_others
}
look_at_others() {
  grep -v '^"' "$around/others" | grep '/$' > "$around/repositories" || :
  # A name that git has to quote cannot be a line of an ignore file, but a pattern can stand for it.
  sed -n 's|^"\(.*\)/"$|\1|p' "$around/others" > "$around/odd"
  sed 's/^/rover lacks /' "$around/odd" | head -n 100 >&2
  sed -E -e 's/\\([0-7]{3}|.)/?/g' -e 's/[][*]/\\&/g' -e 's|.*|/&/|' "$around/odd" \
    >> "$around/exclude"
  made "$around/others" > "$around/made"
  sed 's/^/rover left-out /' "$around/made" | head -n 100 >&2
  cat "$around/repositories" "$around/made" | sed -e 's/[][*?\\]/\\&/g' -e 's|^|/|' \
    >> "$around/exclude"
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
    s/^[?] //w $around/others
    t
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
  " "$around/state"
}
readable() { git ls-files >/dev/null 2>&1; }
# It may write into the copy of the index what it found out.
state() {
  (
    export GIT_OPTIONAL_LOCKS=1
    named -c core.untrackedCache=false status --porcelain=v2 -uall --no-renames --no-show-stash \
      --ignore-submodules=dirty > "$around/state" 2> "$around/said"
  )
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
  sed -n -E -e '/^"/d' -e "s#(^|/)($made_names)/.*#\1\2/#p" -e t \
    -e "s#^(.+/)($made_marks)\$#\1#p" "$1" | LC_ALL=C sort -u | topmost > "$around/found"
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
# What is new in the tree, and new links to other repositories.
sort_since() {
  sed -n "
    h
    s/^[^$tab]* A$tab//w $around/added
    g
    /^:160000/d
    s/^:[0-7]* 160000 [^$tab]*$tab//w $around/links
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
      git update-index --add --stdin < "$around/add" 2>/dev/null ||
        printf 'rover lacks %s\n' "${folder%/}" >&2
    done < "$around/now"
  done
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
"""
)

JUDGE = r"""
judge() {
  # What the agent's own git took in.
  [ ! -s "$around/added" ] ||
    made "$around/added" | sed 's/^/rover stray /' | head -n 100 >&2
  know_base
  special=yes
  [ -s "$known" ] || grep -q -i -E '160000|\.gitattributes' "$around/since" || special=
  [ -z "$special" ] || ! grep -q 160000 "$known" "$around/since" || {
    links > "$around/links"
    [ ! -s "$around/links" ] || judge_links
  }
  if [ -e .git/info/attributes ] || [ -e .git/info/own-attributes ] || { [ -n "$special" ] &&
    grep -q -i -E '\.gitattributes"?$' "$known" "$around/since"; }
  then
    put=
    judge_filters
    [ -z "$put" ] || tree=$(git write-tree)
  fi
  [ -z "${kept_out-}" ] || mv -f "$around/exclude" "$kept_out"
}
# The base's links to other repositories, and its attribute files.
know_base() {
  known=.git/rover-$ROVER_BASE
  [ ! -f "$known" ] || return 0
  named ls-tree -r "$ROVER_BASE" | LC_ALL=C grep -i -E "^160000|[$tab/]\.gitattributes\"?\$" \
    > "$around/known" || :
  mv -f "$around/known" "$known"
}
links() {
  sed -n "s/^:160000 [^$tab]*$tab//p" "$around/since" > "$around/other"
  sed -n "s/^160000 [^$tab]*$tab//p" "$known" | grep -vxF -f "$around/other" || :
  sed -n "s/^:[0-7]* 160000 [^$tab]*$tab//p" "$around/since"
}
judge_links() {
  head -n 100 "$around/links" | while IFS= read -r link; do
    id=$(git --literal-pathspecs ls-files -s -- "$link" | cut -d ' ' -f 2)
    known=$(git --literal-pathspecs ls-tree "$ROVER_BASE" -- "$link" | cut -f 1)
    if [ "${link#\"}" != "$link" ]; then
      [ "$known" = "160000 commit $id" ] || printf 'rover lacks %s\n' "$link" >&2
    elif [ ! -e "$link/.git" ]; then
      # Its folder is empty in the clone; git looks at nothing that is put there.
      [ -z "$(ls -A -- "$link" 2>/dev/null)" ] || printf 'rover lacks %s\n' "$link" >&2
    elif [ -n "$(inside "$link" status --porcelain 2>/dev/null)" ]; then
      printf 'rover lacks %s\n' "$link" >&2
    elif [ "$known" != "160000 commit $id" ] &&
      [ -z "$(inside "$link" for-each-ref --contains "$id" refs/remotes refs/tags 2>/dev/null)" ]
    then
      printf 'rover unpublished %s\n' "$link" >&2
    fi
  done
}
inside() {
  (
    cd -- "$1" || exit 0
    unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
    shift
    git "$@"
  )
}
# Of a line of git diff-tree --raw.
facts() {
  path=${1#*"$tab"}
  set -- $1
  mode=${1#:} now=$2 former=$3 id=$4
}
# The file as the base has it, or without it.
put_back() {
  put=yes
  printf '%s %s\t%s\n' "$mode" "$former" "$path" | git update-index --index-info
}
judge_filters() {
  grep -E "^:[0-7]+ 100[^$tab]* [AMT]$tab" "$around/since" > "$around/changed" || return 0
  cut -f 2- "$around/changed" | named check-attr --stdin filter | sed 's/.*: filter: //' |
    paste -d ' ' - "$around/changed" | grep -v -E '^un(specified|set) ' > "$around/filtered" ||
    return 0
  while IFS= read -r line; do
    filter=${line%% :*}
    facts ":${line#* :}"
    case " $ROVER_FILTERS " in
      *" $filter "*) judge_encrypted ;;
      *) [ "$filter" != lfs ] || judge_lfs ;;
    esac
  done < "$around/filtered" 2> "$around/said"
  grep '^rover ' "$around/said" | sort -u | head -n 100 >&2 || :
}
# A file that the base has elsewhere is encrypted as it is.
judge_encrypted() {
  ! git ls-tree -r "$ROVER_BASE" | grep -q -F " $id$tab" || return 0
  put_back
  printf 'rover filtered %s (filter=%s)\n' "$path" "$filter" >&2
}
judge_lfs() {
  size=$(git cat-file -s "$id")
  if [ "$size" -lt 1024 ]; then
    case $(git cat-file blob "$id" | tr -d '\0') in "version https://git-lfs"*) return ;; esac
  fi
  # With git-lfs there, an agent can have the content that the base's pointer stands for.
  case $(git cat-file blob "$former" 2>/dev/null | tr -d '\0') in
    *"oid sha256:$(git cat-file blob "$id" | sha256sum | cut -d ' ' -f 1)"*)
      mode=$now
      put_back
      return
      ;;
  esac
  printf 'rover raw-lfs %s (%s bytes)\n' "$path" "$size" >&2
}
"""
