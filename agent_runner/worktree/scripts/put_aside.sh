# What is ignored (installed packages, builds) is kept beside for later clones; nothing else stays.
# shellcheck shell=sh

. ./_begin.sh
seed=$1
mkdir -p "$seed"
git ls-files -z --others --ignored --exclude-standard --directory |
  tr '\n\0' '\001\n' | while IFS= read -r path; do
    # A name with a line feed in it is not worth the trouble.
    case $path in *"$(printf '\001')"*) continue;; esac
    path=${path%/}
    mkdir -p "$seed/$(dirname "$path")"
    mv "$path" "$seed/$path"
  done
find . -mindepth 1 -maxdepth 1 -exec rm -rf {} +
echo "rover aside" >&2
