"""Puts files of the user's checkout that git does not track, such as .env, into the work tree.

They come in the spec folder, are written with the agent's rights, and are excluded in the clone's
git configuration. An agent can still add them to git, so the scripts of worktree_scripts.py take
them out of snapshots and commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, TypeAdapter

from agent_runner.process.commands import CommandStarter, was_killed
from agent_runner.worktree.script_runner import WorktreeInterrupted

FILE_NAME = "copies.json"
"""The file with them, in the spec folder."""

TIMEOUT = 60.0

_PLACE = r"""
set -eu
path=$1 mode=$2 overwrite=$3
mkdir -p .git/info
grep -qxF -e "/$path" .git/info/exclude 2>/dev/null || printf '/%s\n' "$path" >> .git/info/exclude
folder=$path
while [ "$folder" != "${folder%/*}" ]; do
  folder=${folder%/*}
  [ ! -L "$folder" ] || { echo "$folder is a symbolic link" >&2; exit 1; }
done
if [ -e "$path" ] || [ -L "$path" ]; then
  [ -n "$overwrite" ] || exit 0
  rm -f -- "$path"
fi
[ "$folder" = "$path" ] || mkdir -p -- "${path%/*}"
# Not written in place: half of the file could be read, or get into a snapshot.
cat > .git/rover-copy
chmod "$mode" .git/rover-copy
mv -f .git/rover-copy "$path"
"""


class LocalFile(BaseModel):
    """One file. Its content is never shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    path: str
    data: Base64Bytes = Field(repr=False)
    executable: bool = False


LOCAL_FILES = TypeAdapter(tuple[LocalFile, ...], config=ConfigDict(defer_build=True))
"""All files of a task."""


def load_copies(spec: Path) -> Sequence[LocalFile]:
    """Read the files that come with an attempt.

    Raises:
        OSError: they cannot be read.
        pydantic.ValidationError: the content is invalid.
    """
    return LOCAL_FILES.validate_json((spec / FILE_NAME).read_bytes())


async def place(
    commands: CommandStarter, copies: Sequence[LocalFile], *, overwrite: bool
) -> list[str]:
    """Write the files that are missing, or with `overwrite` all of them. Returns the errors, as
    messages.

    Raises:
        WorktreeInterrupted: a command was killed.
        OSError: no command can be started.
    """
    wrong: list[str] = []
    for copy in copies:
        mode = "700" if copy.executable else "600"
        argv = ["sh", "-c", _PLACE, "rover", copy.path, mode, "yes" if overwrite else ""]
        result = await commands.run(argv, stdin=copy.data, timeout=TIMEOUT)
        if was_killed(result):
            raise WorktreeInterrupted(f"{copy.path} was not copied: {result.killed}")
        if result.code != 0:
            reason = result.stderr.decode(errors="replace").strip()[-200:]
            wrong.append(f"{copy.path} could not be put into the work tree: {reason}")
    return wrong
