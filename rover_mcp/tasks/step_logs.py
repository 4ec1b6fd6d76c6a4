"""Reads step logs from a task's run folder. Their content is untrusted: an agent wrote it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from rover_mcp.domain.errors import EnvironmentFault, NotFound
from rover_mcp.domain.text import marked, plain, visible

MAX_LOG_BYTES = 64_000


class LogText(NamedTuple):
    step: str | None
    text: str
    truncated: bool


def read_log(folder: Path, step: str | None, tail: int, before: Path | None = None) -> LogText:
    """The last `tail` lines of a step's log; without a step, of the one written last. `before`: a
    second folder, whose logs count where the first has none of their name.

    Raises:
        NotFound: the step has no log; names those that have one.
        EnvironmentFault: what is there is no plain file, or cannot be read.
    """
    both = [path for path in (before, folder) if path and path.is_dir()]
    logs = {p.stem: p for path in both for p in sorted(path.glob("*.log"))}
    if not logs and step is None:
        return LogText(None, "", truncated=False)
    if step is None:
        step = max(logs, key=lambda name: logs[name].lstat().st_mtime)
    if step not in logs:
        known = ", ".join(logs) or "none yet"
        raise NotFound(
            f"step {step[:80]!r} has no log; there are: {known}",
            code="unknown_step",
            instead={"step": None},
        )
    data, size = read_tail(logs[step])
    # Marked first: visible alone would show each escape of a progress bar as a row of characters.
    lines = visible(marked(data.decode("utf-8", "replace"))).splitlines()
    return LogText(step, "\n".join(lines[-tail:]), truncated=size > len(data) or len(lines) > tail)


def read_journal(path: Path) -> str:
    """The last whole records of a journal, a line each; empty where none was written.

    Raises:
        EnvironmentFault: what is there is no plain file, or cannot be read.
    """
    if not path.is_file():
        return ""
    data, size = read_tail(path)
    text = plain(data.decode("utf-8", "replace"))
    # The first line of a part is the end of a record that began before it.
    return text.partition("\n")[2] if size > len(data) else text


def read_tail(path: Path, most: int = MAX_LOG_BYTES) -> tuple[bytes, int]:
    """The end of a file, and the size of all of it.

    Raises:
        EnvironmentFault: what is there is no plain file, or cannot be read.
    """
    # Not blocking, for a pipe in the log's place would hold the caller for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise EnvironmentFault(f"the log is not a file: {path}", code="unreadable_log")
            file.seek(max(0, status.st_size - most))
            return file.read(most), status.st_size
    except OSError as error:
        raise EnvironmentFault(f"the log cannot be read: {error}", code="unreadable_log") from error
