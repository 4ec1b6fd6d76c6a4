# Objects of git-lfs that the user has: see git/lfs.py.
# shellcheck shell=sh

take_lfs() {
  [ -d "$objects/lfs" ] || return 0
  find "$objects/lfs" -type f | while IFS= read -r object; do
    folder=.git/lfs/objects/${object#"$objects/lfs/"}
    folder=${folder%/*}
    mkdir -p "$folder"
    ln -s "$object" "$folder/" 2>/dev/null || :
  done
}
