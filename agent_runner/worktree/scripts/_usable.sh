# shellcheck shell=sh

making=.git/rover-making
usable() {
  [ -d .git ] && [ ! -e "$making" ] && git cat-file -e "$base^{commit}" 2>/dev/null &&
    git rev-parse --verify -q "refs/heads/$branch^{commit}" >/dev/null &&
    git rev-parse --verify -q "HEAD^{commit}" >/dev/null
}
