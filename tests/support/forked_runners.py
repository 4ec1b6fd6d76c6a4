"""Runners of bubblewrap's and the process engine that are forked from a process which has imported
everything already, for the daemons of preloaded_daemons.py.

Imports are most of what a runner costs: a third of a second of processor time for each attempt. The
supervisor and the runner are processes of their own, with the command line, the environment, the
session, the streams and the limits that the engine would give them, and run the same code: only the
two programs' starts are replaced by forks. Daemons that are not forked, and engines that a test uses by
itself, start both as for a user.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from types import SimpleNamespace
from typing import IO, Any, cast

from rover_mcp.sandbox import host_engine, supervise
from tests.support.forked_daemon import connected, exit_status_of, fork, wait_for_end

SUPERVISOR = [sys.executable, "-I", "-S", supervise.__file__]
"""How the engine starts a supervisor; its folder follows."""
_RUNNER = [sys.executable, "-P", "-m", "agent_runner"]

Become = Callable[[Sequence[str], Mapping[str, str]], None]


def fork_supervisors(path: str) -> None:
    """Have the engines of this process ask for a fork at the socket `path` instead of starting a
    supervisor."""
    _replace_subprocess(host_engine, run=forking(path))


def forking(path: str) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """What runs a supervisor in place of subprocess.run."""

    def run(argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        try:
            asking = connected(path)
        except OSError:
            # Whoever ran the tests is gone, and the process that is forked with it.
            return subprocess.run(argv, **options)  # noqa: PLW1510
        pid, said = _fork(asking, argv, options["env"])
        wait_for_end(pid)
        with connected(path) as again:
            return subprocess.CompletedProcess(argv, exit_status_of(again, pid), b"", said)

    return run


def _fork(
    asking: socket.socket, argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[int, bytes]:
    """The id of a process with these arguments, and what it wrote to standard error, once it has
    closed that."""
    reading, writing = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    with os.fdopen(reading, "rb") as errors:
        try:
            with asking:
                pid = fork(asking, argv, environ, [nothing, nothing, writing])
        finally:
            os.close(writing)
            os.close(nothing)
        return pid, errors.read()


def supervise_forked(folder: str, become: Become) -> None:
    """Run the supervisor of this folder, and fork its runner; does not return."""

    def start(argv: Sequence[str], **options: Any) -> object:
        if argv[: len(_RUNNER)] != _RUNNER:
            return subprocess.Popen(argv, **options)
        return _ForkedRunner(argv, become, **options)

    _replace_subprocess(supervise, Popen=start)
    end_with(lambda: supervise.main([folder]))


def end_with(main: Callable[[], object]) -> None:
    """End with the status of `main`, at once: a process that was forked would take its time to free
    all that it was forked with."""
    status: object = 1
    try:
        status = main()
    except SystemExit as error:
        status = error.code
    finally:
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0 if status is None else 1)


class _ForkedRunner:
    """In place of the Popen of a runner."""

    def __init__(
        self, argv: Sequence[str], become: Become, *, env: Mapping[str, str], cwd: str, stdin: int,
        stdout: IO[bytes], stderr: IO[bytes], start_new_session: bool, pass_fds: Sequence[int],
        preexec_fn: Callable[[], None],
    ) -> None:  # fmt: skip
        assert (cwd, stdin, start_new_session) == ("/", subprocess.DEVNULL, True)
        (kept,) = pass_fds
        log = stdout.fileno(), stderr.fileno()

        def run() -> object:
            nothing = os.open(os.devnull, os.O_RDONLY)
            for number, source in enumerate((nothing, *log)):
                os.dup2(source, number)
            os.closerange(3, kept)
            os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
            os.set_inheritable(kept, True)
            os.setsid()
            # The engine sets PYTHONUNBUFFERED.
            cast("TextIOWrapper", sys.stdout).reconfigure(write_through=True)
            preexec_fn()
            return become(argv, env)

        self.pid = os.fork()
        if self.pid == 0:
            end_with(run)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _replace_subprocess(module: Any, **replaced: Any) -> None:
    """What a module takes from subprocess, but for these."""
    module.subprocess = SimpleNamespace(**{**vars(subprocess), **replaced})
