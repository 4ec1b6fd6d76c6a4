"""Daemons that are forked from a process which has imported everything already.

    start_preloaded(home, environ)

Imports are most of what a daemon's start costs: more than a second of processor time, for each test
that needs one of its own. The forked daemon is a process of its own, with the command line, the
environment, the session and the streams that the launcher would give it, and runs the same `main`.
It makes no sandbox ready for a next task, which most tests do not have, unless its configuration says
`spare_sandboxes`, and asks its queue less often: a test calls all the time, and the daemons of some
tests at once would spend a tenth of the processors on that. Whatever tests a start, or needs a start of another kind, has the launcher start it.

Where a launcher starts the next daemon, `quick_launcher.py` has that one forked, too. The process that
is forked listens on the socket that the variable ROVER_PRELOADED names: `make test` has one for all of
its workers, and a pytest by itself makes its own.
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
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from agent_runner import crashpoints
from rover_mcp.launcher.daemon_start import DAEMON_COMMAND, daemon_environment
from rover_mcp.launcher.handshake import socket_path
from tests.support.forked_daemon import connected, exit_status_of, fork, wait_for_end
from tests.support.forked_runners import (
    SUPERVISOR,
    end_with,
    fork_supervisors,
    supervise_forked,
)
from tests.support.hangs import HANG_SECONDS

VARIABLE = "ROVER_PRELOADED"
_ROOT = Path(__file__).parents[2]
_ROOM = "." * 60_000
"""In the environment of the process that is forked: a daemon's own takes its place."""
_ROOM_FOR_ARGUMENTS = "." * 2000
"""On its command line, for the same reason."""
_LARGEST = 200_000
_IMPORTED = (
    "rover_mcp.daemon.daemon", "rover_mcp.daemon.early_answers", "agent_runner.gateway_evidence",
    "agent_runner.process.late_spec", "agent_runner.process.spawn", "agent_runner.run.runner_command",
    "anyio._backends._asyncio",
)  # fmt: skip
_PAUSE = 0.01


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
        pid = _fork(home, environ)
        _wait_until_it_listens(home, pid)
        return pid
    finally:
        os.close(lock)


def exit_status(pid: int) -> int:
    """How such a daemon ended, as Popen.wait has it; waits for that. Once for each."""
    # While the process that is forked waits, it answers nobody else.
    with contextlib.suppress(ProcessLookupError):
        wait_for_end(pid)
    with connected(preloaded()) as asking:
        return exit_status_of(asking, pid)


def run_preloaded(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `agent-runner` with these arguments, forked in the same way; its exit status, as
    Popen.wait has it. What it prints is lost."""
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        with connected(preloaded()) as asking:
            command = [sys.executable, "-P", "-m", "agent_runner", *arguments]
            pid = fork(asking, command, environ, [nothing] * 3)
    finally:
        os.close(nothing)
    return exit_status(pid)


@cache
def preloaded() -> str:
    """The socket of the process that is forked, which ends with the process that had it started."""
    return os.environ.get(VARIABLE) or _start()


def _start() -> str:
    folder = tempfile.mkdtemp(prefix="rover-preloaded-")
    path = f"{folder}/socket"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with listening:
        listening.bind(path)
        listening.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.preloaded_daemons", str(listening.fileno()),
             _ROOM_FOR_ARGUMENTS],
            env={**os.environ, "PYTHONPATH": str(_ROOT), "ROOM": _ROOM},
            stdin=subprocess.PIPE,
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )  # fmt: skip
    atexit.register(_stop, process, folder)
    return path


def _stop(process: subprocess.Popen[bytes], folder: str) -> None:
    process.communicate()
    shutil.rmtree(folder, ignore_errors=True)


def _fork(home: Path, environ: Mapping[str, str]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with contextlib.ExitStack() as stack:
        opened = [os.open(home / "daemon.log", flags, 0o600), os.open(os.devnull, os.O_RDONLY)]
        for descriptor in opened:
            stack.callback(os.close, descriptor)
        log, nothing = opened
        asking = stack.enter_context(connected(preloaded()))
        environment = daemon_environment(environ, str(home))
        return fork(asking, DAEMON_COMMAND, environment, [nothing, log, log])


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
    ended, end = select.poll(), time.monotonic() + HANG_SECONDS
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        ended.register(handle, select.POLLIN)
        while not _listens(home) and time.monotonic() < end:
            if ended.poll(_PAUSE * 1000):
                break
        os.close(handle)


def main() -> None:
    """Import what a daemon and a runner import; fork one for each request."""
    for name in _IMPORTED:
        importlib.import_module(name)
    from rover_mcp.config.settings import Settings

    Settings.model_fields["spare_sandboxes"].default = 0
    Settings.model_fields["queue_poll"].default = 0.4
    Settings.model_rebuild(force=True)
    _prepare()
    # Never closed: a daemon that was forked has lost it, and would fail with that in place of its
    # own exit status, by which a launcher knows that another daemon was faster.
    listening = socket.socket(fileno=int(sys.argv[1]))
    fork_supervisors(listening.getsockname())
    gc.collect()
    gc.freeze()
    ready = select.poll()
    ready.register(listening, select.POLLIN)
    # Its owner's end of standard input closes when that ends, however it does.
    ready.register(0, select.POLLIN)
    while not any(source == 0 for source, _ in ready.poll()):
        asking, _ = listening.accept()
        _serve(asking)


def _prepare() -> None:
    """Find out what each daemon would find out for itself at its start: it is the same for all."""
    import httpx2
    from pydantic import BaseModel

    from rover_mcp.config.certificate_authorities import outgoing_context
    from rover_mcp.control.queue_tables import newest
    from rover_mcp.domain.errors import EnvironmentFault
    from rover_mcp.gateway.prices import price_list
    from rover_mcp.sandbox.bwrap_prefix import host_layout
    from rover_mcp.store import record_reading, records

    price_list()
    newest()
    outgoing_context(httpx2.create_ssl_context)
    for model in _descendants(BaseModel):
        # Nothing for one that is complete.
        model.model_rebuild()
    for row in [kind for name, kind in vars(records).items() if name.endswith("Row")]:
        record_reading._adapter(row)
    # Of each module of the standard library a program is asked which shared libraries it needs. A
    # daemon reports a fault by itself.
    with contextlib.suppress(EnvironmentFault):
        host_layout(_ROOT)


def _descendants(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


def _serve(asking: socket.socket) -> None:
    """Answer one caller; does not return in the daemon that was forked for it."""
    with asking:
        while True:
            received, streams = _received(asking)
            if not received:
                return
            request = json.loads(received)
            if isinstance(request, int):
                _answer(asking, os.waitstatus_to_exitcode(os.waitpid(request, 0)[1]))
            elif (pid := os.fork()) == 0:
                asking.detach()
                command, environ = request
                end_with(partial(_become, command, environ, streams))
            else:
                _answer(asking, pid)
                for descriptor in streams:
                    os.close(descriptor)


def _received(asking: socket.socket) -> tuple[bytes, Sequence[int]]:
    """The next request and its streams; nothing once the caller is gone."""
    with contextlib.suppress(OSError):
        received, streams, _, _ = socket.recv_fds(asking, _LARGEST, 3)
        return received, streams
    return b"", ()


def _answer(asking: socket.socket, number: int) -> None:
    # A daemon that asks for a runner may be killed before it has its answer.
    with contextlib.suppress(OSError):
        asking.send(str(number).encode())


def _become(command: Sequence[str], environ: Mapping[str, str], streams: Sequence[int]) -> None:
    """Be what `command` would be in a new session, and run it."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    try:
        _run(command, environ)
    finally:
        # What the interpreter does before it frees everything.
        threading._shutdown()
        atexit._run_exitfuncs()


def _run(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a command of Python's in this process, which from here on looks like it."""
    os.chdir("/")
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    crashpoints._armed = crashpoints._arm(os.environ.pop(crashpoints.VARIABLE, None))
    facts = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    arguments, arguments_end, variables, variables_end = (int(fact) for fact in facts[45:49])
    _write_at(arguments, arguments_end, command)
    _write_at(variables, variables_end, [f"{k}={v}" for k, v in environ.items()])
    if list(command[:-1]) == SUPERVISOR:
        supervise_forked(command[-1], _run)
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
