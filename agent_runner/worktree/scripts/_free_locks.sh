# What a killed git left behind. Only where nothing else runs: they may be held by a live one.
# shellcheck shell=sh

free_locks() {
  remove .git/*.lock 2>/dev/null || :
  find .git/refs -name '*.lock' -prune -exec rm -rf {} + 2>/dev/null || :
  # Git would not notice if a power failure had cut it.
  remove .git/rover-fresh
}
free_locks
