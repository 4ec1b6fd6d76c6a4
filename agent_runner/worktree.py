"""The task's clone: made ready, snapshotted and restored, always with the agent's rights.

Every git command runs through `Commands`, in the workspace, as one shell script a time (starting
a sandboxed command costs more than git does). The scripts are constants; values are arguments.
The agent can write the repository and its configuration, so nothing that git says is trusted:
ids are checked, and a bundle is checked again by the host that fetches it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_runner.commands import CommandResult, Commands
from agent_runner.models import Snapshot
from agent_runner.spec import RunSpec

GIT_TIMEOUT = 600.0
"""Seconds that one script may take: a large tree on a slow disk, but never for ever."""

USER_NAME = "Rover agent"
USER_EMAIL = "agent@rover.invalid"

_ID = re.compile(r"[0-9a-f]{40}")
_ENVIRONMENT = {
    # Named, not discovered: a repository above or an owner that git distrusts cannot matter.
    "GIT_DIR": ".git",
    "GIT_WORK_TREE": ".",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_AUTHOR_NAME": USER_NAME,
    "GIT_AUTHOR_EMAIL": USER_EMAIL,
    "GIT_COMMITTER_NAME": USER_NAME,
    "GIT_COMMITTER_EMAIL": USER_EMAIL,
    "LC_ALL": "C",
    # What the agent left in its clone's configuration shall not get in the way of its snapshots.
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": "/dev/null",
    "GIT_CONFIG_KEY_1": "core.fsmonitor",
    "GIT_CONFIG_VALUE_1": "false",
}

_PREPARE = r"""
set -eu
objects=$1 branch=$2 base=$3 name=$4 email=$5
if [ -d .git ] && git cat-file -e "$base^{commit}" 2>/dev/null &&
   git rev-parse --verify -q "refs/heads/$branch^{commit}" >/dev/null &&
   git rev-parse --verify -q "HEAD^{commit}" >/dev/null
then
  rm -f .git/index.lock .git/HEAD.lock ".git/refs/heads/$branch.lock"
  echo "rover ready" >&2
  exit 0
fi
rm -rf .git
(unset GIT_WORK_TREE; git init -q --template= .)
mkdir -p .git/objects/info
printf '%s\n' "$objects" > .git/objects/info/alternates
git config user.name "$name"
git config user.email "$email"
git update-ref "refs/heads/$branch" "$base"
git symbolic-ref HEAD "refs/heads/$branch"
if [ -z "$(ls -A | grep -vx .git || :)" ]; then
  git read-tree -u --reset "$base"
  echo "rover new" >&2
else
  git read-tree --reset "$base"
  echo "rover repaired" >&2
fi
"""

# The work tree as a tree: from a copy of the index, so that the index itself, the branch and
# ignored files stay as they are, and unchanged files are not read again.
_WRITE_TREE = r"""
temporary=.git/rover-index
rm -f "$temporary" "$temporary.lock" .git/index.lock .git/HEAD.lock
git ls-files >/dev/null 2>&1 || rm -f .git/index
# With its time: git looks into files that changed in the second the index was written, and would
# take them for unchanged if the copy were younger.
cp -p .git/index "$temporary" 2>/dev/null || :
write_tree() {
  export GIT_INDEX_FILE="$temporary"
  [ -f "$temporary" ] || git read-tree HEAD 2>/dev/null || git read-tree --empty
  complete=1
  git add -A . >/dev/null 2>&1 || add_without_broken
  tree=$(git write-tree)
  # A repository with commits of its own becomes a link to one of them, without its files.
  links=$(git ls-files -s | grep -c '^160000 ' || :)
  if [ "$links" != 0 ]; then
    [ "$links" = "$(git ls-tree -r HEAD 2>/dev/null | grep -c '^160000 ' || :)" ] || complete=0
  fi
  unset GIT_INDEX_FILE
  rm -f "$temporary"
}
add_without_broken() {
  # Folders with a repository that has no commit, and files that cannot be read.
  git add -A --ignore-errors . >/dev/null 2>&1 && return
  complete=0
  find . -path ./.git -prune -o -name .git -prune -print 2>/dev/null | while IFS= read -r inner
  do
    folder=${inner%/.git}
    GIT_DIR="$inner" git rev-parse -q --verify HEAD >/dev/null 2>&1 ||
      printf '/%s/\n' "${folder#./}"
  done > "$temporary.exclude"
  git -c core.excludesFile="$PWD/$temporary.exclude" add -A --ignore-errors . >/dev/null 2>&1 || :
  rm -f "$temporary.exclude"
}
"""

_SNAPSHOT = (
    "set -eu\n"
    + _WRITE_TREE
    + r"""
sequence=$1 branch=$2 base=$3 previous=$4 previous_head=$5 previous_tree=$6 limit=$7
write_tree
[ "$complete" = 1 ] || echo "rover incomplete" >&2
at=$(git rev-parse --verify -q "HEAD^{commit}") || at=${previous_head:-$base}
head=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || {
  head=$at
  git update-ref "refs/heads/$branch" "$head"
}
if [ "$tree" = "$previous_tree" ] && [ "$head" = "$previous_head" ]; then
  echo "rover same" >&2
  exit 0
fi
set -- -p "$at"
exclude="^$base"
if [ -n "$previous" ]; then
  set -- "$@" -p "$previous"
  exclude="^$previous ^$previous_head"
fi
commit=$(echo "Rover snapshot $sequence" | git commit-tree "$@" "$tree")
git update-ref "refs/rover/snapshots/$sequence" "$commit"
echo "rover snapshot $commit $tree $head" >&2
{
  git bundle create -q - "refs/rover/snapshots/$sequence" "refs/heads/$branch" $exclude &&
    echo "rover bundled" >&2
} | head -c "$limit"
"""
)

_RESET = (
    "set -eu\n"
    + _WRITE_TREE
    + r"""
branch=$1 commit=$2 wanted_tree=$3 wanted_head=$4 kept=$5 bundle=$6
if [ -n "$bundle" ] && ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  git bundle unbundle "$bundle" >/dev/null
fi
[ -n "$wanted_tree" ] || wanted_tree=$(git rev-parse --verify "$commit^{tree}")
write_tree
head=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || head=
at=$(git rev-parse --verify -q HEAD) || at=$wanted_head
if [ "$tree" = "$wanted_tree" ] && [ "$head" = "$wanted_head" ]; then
  echo "rover same" >&2
  exit 0
fi
if [ -n "$kept" ]; then
  saved=$(echo "Kept by Rover before a reset" | git commit-tree -p "$at" "$tree")
  git update-ref "refs/rover/kept/$kept" "$saved"
fi
git symbolic-ref HEAD "refs/heads/$branch"
git update-ref "refs/heads/$branch" "$wanted_head"
rm -f .git/MERGE_HEAD .git/CHERRY_PICK_HEAD .git/REVERT_HEAD
rm -rf .git/rebase-merge .git/rebase-apply
git read-tree -u --reset "$commit"
git clean -ffdq
git read-tree --reset "$wanted_head"
git update-index -q --refresh >/dev/null 2>&1 || :
echo "rover reset" >&2
"""
)

_FINISH = (
    "set -eu\n"
    + _WRITE_TREE
    + r"""
branch=$1
write_tree
at=$(git rev-parse --verify "HEAD^{commit}")
tip=$(git rev-parse --verify -q "refs/heads/$branch^{commit}") || tip=$at
if git merge-base --is-ancestor "$tip" "$at"; then tip=$at; parents="-p $at"
elif git merge-base --is-ancestor "$at" "$tip"; then parents="-p $tip"
else parents="-p $tip -p $at"; fi
if [ "$parents" != "-p $tip" ] || [ "$tree" != "$(git rev-parse "$tip^{tree}")" ]; then
  tip=$(git commit-tree $parents -F - "$tree")
fi
git update-ref "refs/heads/$branch" "$tip"
git symbolic-ref HEAD "refs/heads/$branch"
git read-tree --reset "$tip"
git update-index -q --refresh >/dev/null 2>&1 || :
echo "rover finished $tip" >&2
"""
)


_ADOPT = r"""
set -eu
branch=$1 head=$2 bundle=$3
git bundle unbundle "$bundle" >/dev/null
git update-ref "refs/heads/$branch" "$head"
git symbolic-ref HEAD "refs/heads/$branch"
git read-tree --reset "$head"
echo "rover adopted" >&2
"""


class WorktreeError(Exception):
    """Git could not do it; the message holds what it said, which is untrusted text."""


@dataclass(frozen=True)
class Prepared:
    """`found`: the clone was there and usable. `repaired`: its repository had to be made again
    around files that were there."""

    found: bool
    repaired: bool


@dataclass(frozen=True)
class Target:
    """A state of the work tree to go back to. An unknown tree is that of the commit."""

    commit: str
    head: str
    tree: str = ""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Target:
        return cls(snapshot.commit, snapshot.head, snapshot.tree)


class Worktree:
    """The work tree of one attempt."""

    def __init__(self, spec: RunSpec, commands: Commands) -> None:
        self._spec = spec
        self._commands = commands

    async def prepare(self) -> Prepared:
        """Make the clone where there is no usable one; what files are there stay.

        Raises:
            WorktreeError: git refused.
        """
        spec = self._spec
        objects = str(spec.paths.base_objects)
        result = await self._script(
            _PREPARE, (objects, spec.branch, spec.base_commit, USER_NAME, USER_EMAIL)
        )
        word = self._said(result, "prepare the clone")[0]
        return Prepared(found=word == "ready", repaired=word == "repaired")

    async def reset(self, target: Target, *, keep_as: str, restore: bool = False) -> bool:
        """Make the work tree and the branch equal to `target`, untracked files too. What was
        there is kept under refs/rover/kept/`keep_as`, unless that is empty. True if it differed.

        Raises:
            WorktreeError: git refused, or the target is not there.
        """
        bundle = str(self._spec.paths.restore) if restore else ""
        arguments = (
            self._spec.branch,
            target.commit,
            target.tree,
            target.head,
            keep_as,
            bundle,
        )
        result = await self._script(_RESET, arguments)
        return self._said(result, "restore the work tree")[0] == "reset"

    async def adopt(self, head: str) -> None:
        """Give a repository that was made again its earlier commits back, out of the restore
        bundle. The files stay as they are: they are younger than the bundle.

        Raises:
            WorktreeError: git refused, or the bundle is not there.
        """
        arguments = (self._spec.branch, head, str(self._spec.paths.restore))
        self._said(await self._script(_ADOPT, arguments), "take the earlier commits")

    async def has(self, commit: str) -> bool:
        """Whether the clone holds a commit."""
        check = 'git cat-file -e "$1^{commit}"'
        return (await self._script(check, (commit,))).code == 0

    async def finish(self, message: str) -> None:
        """Commit whatever is not committed onto the task's branch, and check that out.

        Raises:
            WorktreeError: git refused.
        """
        result = await self._script(_FINISH, (self._spec.branch,), stdin=message.encode())
        self._said(result, "commit the result")

    async def snapshot(self, previous: Snapshot | None) -> tuple[Snapshot, bool]:
        """Record the work tree as a commit of its own and as a bundle in the run folder. The
        previous snapshot is returned where nothing has changed since. The second value tells
        whether every file could be recorded.

        Raises:
            WorktreeError: git refused, or the bundle is over the limit.
            OSError: the bundle cannot be written.
        """
        sequence = previous.sequence + 1 if previous else 1
        folder = self._spec.paths.run / "bundles"
        folder.mkdir(exist_ok=True)
        name = f"{sequence:06}.bundle"
        part = folder / f"{name}.part"
        try:
            with part.open("wb") as file:
                result = await self._script(
                    _SNAPSHOT, self._snapshot_arguments(sequence, previous), stdout=file.fileno()
                )
                words = self._said(result, "snapshot the work tree")
                complete = b"rover incomplete" not in result.stderr
                if words[0] == "same" and previous is not None:
                    return previous, complete
                self._check_bundle(result, os.fstat(file.fileno()).st_size)
                os.fsync(file.fileno())
            part.replace(folder / name)
            _sync_folder(folder)
        finally:
            part.unlink(missing_ok=True)
        commit, tree, head = words[1:4]
        return (
            Snapshot(sequence=sequence, commit=commit, tree=tree, bundle=name, head=head),
            complete,
        )

    def _snapshot_arguments(self, sequence: int, previous: Snapshot | None) -> tuple[str, ...]:
        spec = self._spec
        known = (previous.commit, previous.head, previous.tree) if previous else ("", "", "")
        limit = str(spec.limits.bundle_bytes + 1)
        return (str(sequence), spec.branch, spec.base_commit, *known, limit)

    def _check_bundle(self, result: CommandResult, size: int) -> None:
        limit = self._spec.limits.bundle_bytes
        if size > limit:
            raise WorktreeError(f"the snapshot is larger than the limit of {limit} bytes")
        if b"rover bundled" not in result.stderr:
            raise WorktreeError(f"could not bundle the snapshot: {_text(result)}")

    async def _script(
        self,
        script: str,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        stdout: int | None = None,
    ) -> CommandResult:
        try:
            return await self._commands.run(
                ["sh", "-c", script, "rover", *arguments],
                env=_ENVIRONMENT,
                stdin=stdin,
                timeout=GIT_TIMEOUT,
                stdout_file=stdout,
            )
        except OSError as error:
            raise WorktreeError(f"git could not be started: {error}") from error

    def _said(self, result: CommandResult, what: str) -> list[str]:
        """The words of the script's last report; ids in them are ids."""
        if result.timed_out:
            raise WorktreeError(f"could not {what}: git took longer than {GIT_TIMEOUT:g} s")
        lines = result.stderr.decode(errors="replace").splitlines()
        reports = [line.split()[1:] for line in lines if line.startswith("rover ")]
        reports = [words for words in reports if words and words[0] in _REPORTS]
        if result.code != 0 or not reports:
            raise WorktreeError(f"could not {what}: {_text(result)}")
        words = reports[-1]
        if len(words) != _REPORTS[words[0]] or not all(map(_ID.fullmatch, words[1:])):
            raise WorktreeError(f"could not {what}: git gave an unusable answer")
        return words


_REPORTS = {
    "ready": 1,
    "new": 1,
    "repaired": 1,
    "same": 1,
    "reset": 1,
    "adopted": 1,
    "snapshot": 4,
    "finished": 2,
}


def _text(result: CommandResult) -> str:
    return result.stderr.decode(errors="replace").strip()[-500:] or f"exit status {result.code}"


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
