# shellcheck shell=sh

. ./_begin.sh
branch=$1 head=$2 bundle=$3
git bundle unbundle "$bundle" >/dev/null
git update-ref "refs/heads/$branch" "$head"
git symbolic-ref HEAD "refs/heads/$branch"
git read-tree --reset "$head"
rm -f .git/rover-adopting
echo "rover adopted" >&2
