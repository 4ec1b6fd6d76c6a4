# Right after a check-out. What git would convert if it added it counts as changed as long as the
# index is not younger than the files; only then does their time say that nobody touched them.
# shellcheck shell=sh

converts() {
  case $settings in *autocrlf*) return ;; esac
  [ -e .git/info/attributes ] || [ -e .git/info/own-attributes ] || { [ -z "${no_rules-}" ] &&
    [ -n "$(git ls-files -- .gitattributes '*/.gitattributes')" ]; }
}
settle() {
  converts || return 0
  git diff-files --quiet --ignore-submodules && return
  sleep 1
  touch .git/index
}
