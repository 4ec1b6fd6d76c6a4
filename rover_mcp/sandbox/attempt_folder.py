"""Reads one attempt's folder on the host, which supervise.py writes: what lives, how it ended."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from agent_runner.process.locks import is_held, wait_until_free
from rover_mcp.sandbox.protocol import SandboxExit, SandboxInfo, SandboxState
from rover_mcp.sandbox.supervise import start_time

_LOG_TAIL_BYTES = 256 * 1024
_RECORD_SECONDS = 10.0


@dataclass(frozen=True)
class AttemptFolder:
    """`path` is named after the sandbox."""

    path: Path

    def exists(self) -> bool:
        return self.path.is_dir()

    def launched(self) -> bool:
        """Whether a runner was started here, now or ever."""
        return (self.path / "state.json").exists() or self.alive()

    def alive(self) -> bool:
        """Whether the supervisor or the runner lives, by the lock that the kernel keeps for
        them."""
        try:
            return is_held(self.path / "lock")
        except FileNotFoundError:
            return False

    def wait(self) -> None:
        """Block until neither of them lives."""
        with suppress(FileNotFoundError):
            wait_until_free(self.path / "lock")

    def exit(self) -> SandboxExit:
        """How the runner ended; meaningful once neither of them lives."""
        code = self._read("exit.json").get("code")
        if isinstance(code, int):
            return SandboxExit(code)
        return SandboxExit(None, detail="the runner was killed, and its exit status is unknown")

    def stop(self, grace: float) -> None:
        """Send SIGTERM to the runner and, after `grace` seconds, SIGKILL. Returns when its end is
        recorded."""
        if not self.alive():
            return
        state = self._read("state.json")
        runner, supervisor = _open_process(state, "runner"), _open_process(state, "supervisor")
        try:
            if runner is not None:
                if grace > 0:
                    _signal(runner, signal.SIGTERM)
                if not _ended(runner, grace):
                    # What runs in bubblewrap ends with the runner: --die-with-parent.
                    _signal(runner, signal.SIGKILL)
                    _ended(runner, _RECORD_SECONDS)
            if supervisor is not None and not _ended(supervisor, _RECORD_SECONDS):
                _signal(supervisor, signal.SIGKILL)
        finally:
            for handle in (runner, supervisor):
                if handle is not None:
                    os.close(handle)

    def reset(self) -> None:
        """Kill the runner if it lives, and remove the record that it was started."""
        self.stop(0)
        # The kernel reports a process's end some microseconds before it releases its locks.
        self.wait()
        for name in ("state.json", "exit.json", "launch.json"):
            (self.path / name).unlink(missing_ok=True)

    def info(self) -> SandboxInfo:
        """Name, task and state."""
        launch, state = self._read("launch.json"), self._read("state.json")
        started = state.get("started_at")
        return SandboxInfo(
            name=self.path.name,
            task_id=str(launch.get("task_id", "")),
            attempt=int(launch.get("attempt", 0)),
            state=SandboxState.RUNNING if self.alive() else SandboxState.EXITED,
            started_at=datetime.fromtimestamp(started, UTC) if started else None,
        )

    def logs(self, tail: int) -> str:
        """The last lines that the runner printed."""
        try:
            with (self.path / "runner.log").open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-tail:]) if tail > 0 else ""

    def launch(self) -> Mapping[str, Any]:
        """What supervise.py was given."""
        return self._read("launch.json")

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value: object = json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def remove_tree(path: Path) -> None:
    """Remove a folder that an agent could write, whose sandbox is gone. Does nothing if it is
    gone already.

    Raises:
        OSError: something of it cannot be removed.
    """
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    # chmod first, since a folder without permissions cannot be emptied. By the system's programs,
    # because an agent can nest folders deeper than Python recurses, or than a path is long.
    for argv in (["chmod", "-R", "u+rwx"], ["rm", "-rf", "--one-file-system"]):
        done = subprocess.run(
            [*argv, "--", str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    if path.exists():
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        raise OSError(errno.EIO, lines[-1][-200:] if lines else "rm failed", str(path))


def _open_process(state: Mapping[str, Any], who: str) -> int | None:
    """A handle on the process, or None if it has ended; never on another with its id."""
    # First the handle, then the comparison: the id cannot be reused while the handle is open.
    pid, started = state.get(who) or (0, "")
    if not pid:
        return None
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        if start_time(pid) == started:
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _signal(handle: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return


def _ended(handle: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
