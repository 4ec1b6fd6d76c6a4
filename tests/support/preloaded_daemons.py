"""Daemons that are forked from a process which has imported everything already.

    start_preloaded(home, environ)

Imports are most of what a daemon's start costs: more than a second of processor time, for each test
that needs one of its own. The forked daemon is a process of its own, with the command line, the
environment, the session and the streams that the launcher would give it, and runs the same `main`.
It makes no sandbox ready for a next task, which most tests do not have, unless its configuration says
`spare_sandboxes`. Whatever tests a start, or needs a start of another kind, has the launcher start it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from agent_runner import crashpoints
from rover_mcp.launcher.daemon_start import DAEMON_COMMAND, daemon_environment
from rover_mcp.launcher.handshake import socket_path

_ROOT = Path(__file__).parents[2]
_ROOM = "." * 60_000
"""In the environment of the process that is forked: a daemon's own takes its place."""
_LARGEST = 200_000
_ASKING = threading.Lock()
_PAUSE, _BOUND = 0.01, 60.0


def start_preloaded(home: Path, environ: Mapping[str, str]) -> int | None:
    """Start a daemon for this data folder and wait until it listens; its process id. Without effect
    if one runs or cannot run there: the launcher sees to that."""
    if not _is_free(home / "daemon.lock"):
        return None
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(home / "daemon.start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_free(home / "daemon.lock"):
            return None
        with _ASKING:
            pid = _preloaded().fork(home, environ)
        _wait_until_it_listens(home, pid)
        return pid
    finally:
        os.close(lock)


def exit_status(pid: int) -> int:
    """How such a daemon ended, as Popen.wait has it; waits for that. Once for each."""
    with _ASKING:
        return _preloaded().exit_status(pid)


def _listens(home: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as tried, contextlib.suppress(OSError):
        tried.connect(str(socket_path(home)))
        return True
    return False


def _is_free(lock: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _wait_until_it_listens(home: Path, pid: int) -> None:
    """Or until it has ended, or is slow: the launcher then finds out what is wrong."""
    ended, end = select.poll(), time.monotonic() + _BOUND
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        ended.register(handle, select.POLLIN)
        while not _listens(home) and time.monotonic() < end:
            if ended.poll(_PAUSE * 1000):
                break
        os.close(handle)


class _Preloaded:
    """This process's end of the process that is forked, which ends with it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.support.preloaded_daemons", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": str(_ROOT), "ROOM": _ROOM},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip

    def fork(self, home: Path, environ: Mapping[str, str]) -> int:
        """The process id of a new daemon."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with contextlib.ExitStack() as stack:
            opened = [os.open(home / "daemon.log", flags, 0o600), os.open(os.devnull, os.O_RDONLY)]
            for descriptor in opened:
                stack.callback(os.close, descriptor)
            log, nothing = opened
            asked = json.dumps([DAEMON_COMMAND, daemon_environment(environ, str(home))])
            socket.send_fds(self._socket, [asked.encode()], [nothing, log, log])
            return int(self._socket.recv(64))

    def exit_status(self, pid: int) -> int:
        self._socket.send(json.dumps(pid).encode())
        return int(self._socket.recv(64))

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def _preloaded() -> _Preloaded:
    made = _Preloaded()
    atexit.register(made.close)
    return made


def main() -> None:
    """Import what a daemon imports; fork one for each request."""
    for name in ("rover_mcp.daemon.daemon", "rover_mcp.daemon.early_answers"):
        importlib.import_module(name)
    from rover_mcp.config.settings import Settings

    Settings.model_fields["spare_sandboxes"].default = 0
    Settings.model_rebuild(force=True)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as asking:
        while True:
            received, streams, _, _ = socket.recv_fds(asking, _LARGEST, 3)
            if not received:
                return
            asked = json.loads(received)
            if isinstance(asked, int):
                asking.send(str(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])).encode())
            elif (pid := os.fork()) == 0:
                asking.detach()
                _become(*asked, streams)
                return
            else:
                asking.send(str(pid).encode())
                for descriptor in streams:
                    os.close(descriptor)


def _become(command: Sequence[str], environ: Mapping[str, str], streams: Sequence[int]) -> None:
    """Be what `command` would be in a new session, and run it."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    os.chdir("/")
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    crashpoints._armed = crashpoints._arm(os.environ.pop(crashpoints.VARIABLE, None))
    facts = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    arguments, arguments_end, variables, variables_end = (int(fact) for fact in facts[45:49])
    _write_at(arguments, arguments_end, command)
    _write_at(variables, variables_end, [f"{k}={v}" for k, v in environ.items()])
    sys.argv = [*command[3:]]
    sys.orig_argv = [*command]
    runpy.run_module(command[3], run_name="__main__", alter_sys=True)


def _write_at(begin: int, end: int, words: Sequence[str]) -> None:
    """What /proc shows of this process: of its arguments or of its environment."""
    text = b"".join(os.fsencode(word) + b"\0" for word in words)
    assert len(text) <= end - begin, "there is no room for it"
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


if __name__ == "__main__":
    main()
