# Each process costs more than what it is asked here: one git answers several questions, and where
# the shell can tell by itself, none is started.
# shellcheck shell=sh disable=SC2154 # the scripts set the branch

# The ids of what is named, a line each. Of what is not there the line has other letters than an id.
ids() {
  git cat-file --batch-check='%(objectname)' <<NAMES
$1
NAMES
}
# Its lines into the variables. An id that was not found is empty.
take_ids() {
  given=$1
  shift
  for variable; do
    IFS= read -r id || id=
    case $id in *[!0-9a-f]*) id= ;; esac
    eval "$variable=\$id"
  done <<IDS
$given
IDS
}
remove() {
  for thing; do
    if [ -e "$thing" ] || [ -L "$thing" ]; then rm -rf "$@"; return; fi
  done
}
# Where HEAD leads, as git symbolic-ref says it; empty where it is a commit.
head_ref() {
  where= rest=
  if [ -f .git/HEAD ] && [ ! -L .git/HEAD ] &&
    { read -r where && ! read -r rest && [ -z "$rest" ]; } < .git/HEAD
  then
    case $where in
      'ref: refs/'*) where=${where#ref: }; return ;;
      *[!0-9a-f]*) ;;
      *) where=; return ;;
    esac
  fi
  where=$(git symbolic-ref -q HEAD) || where=
}
# Whether HEAD leads to the branch, and that to a commit, as far as the files alone say it.
still_at() {
  head_ref
  [ "$where" = "refs/heads/$branch" ] && [ -f ".git/$where" ] && [ ! -L ".git/$where" ] &&
    { read -r id && ! read -r rest && [ -z "$rest" ]; } < ".git/$where" && [ "$id" = "$1" ]
}
to_branch() {
  head_ref
  [ "$where" = "refs/heads/$branch" ] || git symbolic-ref HEAD "refs/heads/$branch"
}
