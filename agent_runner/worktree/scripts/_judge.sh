# shellcheck shell=sh disable=SC2086 # words are split on purpose

judge() {
  # What the agent's own git took in.
  [ ! -s "$around/strays" ] ||
    topmost_made "$around/strays" | sed 's/^/rover stray /' | head -n 100 >&2
  know_base
  special=
  if [ -s "$known" ] || [ -s "$around/special" ]; then
    [ -e "$around/special" ] || : > "$around/special"
    special=yes
  fi
  [ -z "$special" ] || ! grep -q 160000 "$known" "$around/special" || {
    links > "$around/links"
    [ ! -s "$around/links" ] || judge_links
  }
  if [ -e .git/info/attributes ] || [ -e .git/info/own-attributes ] || { [ -n "$special" ] &&
    grep -q -E "$attributes" "$known" "$around/special"; }
  then
    put=
    judge_filters
    [ -z "$put" ] || tree=$(git write-tree)
  fi
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
