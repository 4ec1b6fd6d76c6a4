"""Reads a file or lists a folder of the work tree with the agent's rights.

The agent made what is there, so it may be anything: a pipe, a link, a file without end. It is read
by a command, up to a limit and for a limited time, and only regular files are opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from agent_runner.process.commands import CommandResult, CommandStarter, check_not_killed

READ_TIMEOUT = 30.0
"""Seconds for one look."""

MAX_NAMES = 1000
"""Names of a folder that are listed."""

MAX_PATH = 4000

_FOLDER, _MISSING, _NEITHER = 10, 11, 12
_LOOK = f"""
path=$1 limit=$2
if [ -d "$path" ]; then
  ls -d "$path/." >/dev/null && ls -1Apq "$path" | head -n {MAX_NAMES + 1} && exit {_FOLDER}
elif [ -f "$path" ]; then
  exec head -c "$limit" "$path"
elif [ -e "$path" ] || [ -L "$path" ]; then
  exit {_NEITHER}
else
  exit {_MISSING}
fi
"""


class NotReadable(Exception):
    """A path that cannot be read; the message says why. `missing`: it does not exist."""

    missing = False


@dataclass(frozen=True)
class GuestPath:
    """The content of a file, or the names in a folder, a line each (those of folders end with a
    slash). `cut`: this is only a part."""

    data: bytes
    folder: bool = False
    cut: bool = False


async def read_path(commands: CommandStarter, path: str, limit: int) -> GuestPath:
    """Read up to `limit` bytes of a file, or the names in a folder. `path` is taken from the
    root of the work tree.

    Raises:
        NotReadable: it does not exist, is neither file nor folder, or cannot be read.
        CommandKilled: the command that looked was killed.
    """
    if "\0" in path or not 0 < len(path) <= MAX_PATH:
        raise NotReadable("that is not a path")
    argument = path if path.startswith("/") else f"./{path}"
    try:
        result = await commands.run(
            ["sh", "-c", _LOOK, "look", argument, str(limit + 1)],
            timeout=READ_TIMEOUT,
            output_limit=max(limit + 1, MAX_NAMES * 256),
        )
    except OSError as error:
        raise NotReadable(f"it cannot be read: {error}") from error
    check_not_killed(result)
    if result.code == _FOLDER:
        names = result.stdout.splitlines(keepends=True)
        return GuestPath(b"".join(names[:MAX_NAMES]), folder=True, cut=len(names) > MAX_NAMES)
    if result.code == 0:
        return GuestPath(result.stdout[:limit], cut=len(result.stdout) > limit)
    raise _refusal(result)


def _refusal(result: CommandResult) -> NotReadable:
    if result.timed_out:
        return NotReadable(f"it took longer than {READ_TIMEOUT:g} s to read")
    if result.code == _MISSING:
        error = NotReadable("it does not exist")
        error.missing = True
        return error
    if result.code == _NEITHER:
        return NotReadable("it is neither a file nor a folder")
    reason = result.stderr.decode(errors="replace").strip().rpartition(": ")[2][-200:]
    return NotReadable(f"it cannot be read: {reason or f'exit status {result.code}'}")


async def read_for_agent(
    commands: CommandStarter, path: str, limit: int, workspace: PurePosixPath | None = None
) -> str:
    """The answer to an agent that asks for a path: a file's text, up to `limit` bytes, or the
    listing of a folder. `path` is relative to the work tree, or beneath `workspace`, which is the
    work tree's path as the agent sees it.

    Raises:
        NotReadable: it is elsewhere, or it cannot be read.
        CommandKilled: the command that looked was killed.
    """
    inside = PurePosixPath(path)
    if workspace is not None and inside.is_relative_to(workspace):
        inside = inside.relative_to(workspace)
    if inside.is_absolute() or ".." in inside.parts:
        raise NotReadable(f"{path}: it is not in the work tree")
    try:
        content = await read_path(commands, str(inside), limit)
    except NotReadable as error:
        raise NotReadable(f"{path}: {error}") from None
    text = content.data.decode(errors="replace")
    if not content.folder:
        return text + (f"\n[cut after {limit} bytes]\n" if content.cut else "")
    end = f"[and more: the first {MAX_NAMES} are shown]\n" if content.cut else ""
    return f"{path} is a folder. It holds:\n{text or '(nothing)'}{end}"
