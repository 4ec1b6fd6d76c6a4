"""Finding and killing the real processes of a data folder."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.hangs import HANG_SECONDS


def wait_until(true: Callable[[], object], what: str, timeout: float = HANG_SECONDS) -> None:
    """Poll until something outside this process is true; bounded."""
    end = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        if true():
            return
        assert began < end, f"not within {timeout} s: {what}"
        pause_after_look(began)


def pause_after_look(began: float) -> None:
    """Wait after a look that began then, so that looking takes a small part of the time: a look may
    be a call, on which a daemon spends more processor time than on what is waited for."""
    time.sleep(min(max(0.02, 12 * (time.monotonic() - began)), 0.3))


def runners(home: Path, task_id: str) -> list[int]:
    """Process ids of the agent-runners that serve this task, and of no other: the data folder may
    have a sandbox that is ready for the next one."""
    of_task = f"{home}/tasks/{task_id}/"
    return _matching(lambda words: "agent_runner" in words and any(of_task in w for w in words))


def processes_with(argument: str) -> list[int]:
    """Process ids of the programs that were started with this argument."""
    return _matching(lambda words: argument in words)


def _matching(wanted: Callable[[list[str]], bool]) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if wanted(words):
            found.append(int(folder.name))
    return found


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started, and so on."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = children.get(pid, [])
    for child in found:  # grows while it is read
        found += children.get(child, [])
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
