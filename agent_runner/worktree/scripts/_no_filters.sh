# Work trees are recorded and restored byte for byte. A filter (git-lfs, or one that the agent set
# up) could take for ever, or keep the content where no bundle holds it. Set empty, none is run.
# shellcheck shell=sh

# With what the scripts that follow ask.
settings=$(git config --get-regexp '^(filter\.|core\.(excludesfile|autocrlf)$)' 2>/dev/null) ||
  settings=
filters=
case $settings in *filter.*)
  filters=$(git config --name-only --get-regexp '^filter\.' 2>/dev/null) || filters=
  [ -z "$filters" ] ||
    filters=$(printf '%s\n' "$filters" | sed 's/\.[^.]*$//' | sort -u | head -n 100)
esac
while IFS= read -r filter; do
  [ -n "$filter" ] || continue
  for value in clean= smudge= process= required=false; do
    export "GIT_CONFIG_KEY_$GIT_CONFIG_COUNT=$filter.${value%%=*}"
    export "GIT_CONFIG_VALUE_$GIT_CONFIG_COUNT=${value#*=}"
    GIT_CONFIG_COUNT=$((GIT_CONFIG_COUNT + 1))
  done
done <<FILTERS
$filters
FILTERS
