# A git that somebody killed ends the whole script with SIGKILL, wherever it ran: its status would
# be taken for an answer ("that is not in the base"), and what follows from it would be done.
# shellcheck shell=sh

whole() {
  "$@" || {
    ended=$?
    case $ended in 129 | 130 | 137 | 143) kill -KILL $$ ;; esac
    return "$ended"
  }
}
git() { whole command git "$@"; }
