"""Starts the daemon once, by one of the processes that need it, with an environment of its own.

daemon_client.py imports this only if no daemon runs. It imports the standard library, and the
module of locks, which needs no more.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

from agent_runner.process.locks import take_lock
from rover_mcp.launcher.daemon_client import DaemonUnavailable
from rover_mcp.launcher.handshake import ASKED, allowed_environment
from rover_mcp.launcher.ownership import objection

DAEMON_COMMAND = [sys.executable, "-P", "-m", "rover_mcp.daemon"]
FIRST_RESTART, LONGEST_RESTART = 0.1, 2.0
LOG_LIMIT = 5_000_000
LOG_TAIL_LINES = 15
# Of what a client may hand over, the daemon keeps what is not secret.
_NO_SECRETS = ("PATH", "HOME", "XDG_CONFIG_HOME", "http", "HTTP", "no_", "NO_", "all_", "ALL_")
# What the daemon has no use for, whoever starts it.
_NEEDLESS = ("GH_TOKEN", "GITHUB_TOKEN", "GITLAB_", "SSH_AUTH_SOCK")
_REFUSES_DATA_FOLDER = 3
_CANNOT_RUN = 127  # as in shells


class Starter:
    """Starts the daemon, in one process at a time. `start` may be called repeatedly."""

    def __init__(self, home: str, clock: Callable[[], float], *, requested: bool = False) -> None:
        self._home = home
        self._command = [*DAEMON_COMMAND, *([ASKED] if requested else [])]
        self._clock = clock
        self._lock: int | None = None
        self._report: int | None = None  # of the daemon that is being started; see _launch
        self._log_offset = 0
        self._not_before = 0.0
        self._interval = FIRST_RESTART

    def start(self) -> None:
        """Start a daemon unless one is being started, by this process or by another.

        Raises:
            DaemonUnavailable: it ended with an error, or the data folder cannot be used.
        """
        if self._report is not None:
            code = self._exit_code(self._report)
            if code is None:
                return
            # 0: another daemon holds the data folder and will listen in a moment.
            if code != 0:
                raise self._failed(code)
        if self._clock() < self._not_before:
            return
        try:
            # The last holder of the lock may have started one: the caller tries to connect again
            # before this process starts another.
            if self._lock is None:
                self._take_lock()
            else:
                self._spawn()
        except OSError as error:
            raise _folder_trouble(self._home, error) from error

    def close(self) -> None:
        """Let the next process try, and stop watching how the daemon ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._report is not None:
            os.close(self._report)
            self._report = None

    def log(self) -> str:
        """The last lines that the daemon printed since it was started here."""
        try:
            with open(os.path.join(self._home, "daemon.log"), "rb") as file:  # noqa: PTH118, PTH123
                file.seek(max(self._log_offset, os.fstat(file.fileno()).st_size - 65536))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _take_lock(self) -> None:
        """One starter at a time: twenty launchers must not start twenty interpreters."""
        os.makedirs(self._home, mode=0o700, exist_ok=True)  # noqa: PTH103
        if (why := objection(self._home)) is not None:
            raise DaemonUnavailable(why[0], f"{why[1]} (ROVER_HOME, --home)")
        path = os.path.join(self._home, "daemon.start.lock")  # noqa: PTH118
        with suppress(BlockingIOError):
            self._lock = take_lock(path)

    def _spawn(self) -> None:
        path = os.path.join(self._home, "daemon.log")  # noqa: PTH118
        _rotate(path)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._report, write_end = os.pipe()
        os.set_blocking(self._report, False)
        try:
            self._log_offset = os.fstat(log).st_size
            _launch(self._command, daemon_environment(os.environ, self._home), log, write_end)
        finally:
            os.close(log)
            os.close(write_end)
        # A daemon that ends at once would otherwise be started again and again.
        self._not_before = self._clock() + self._interval
        self._interval = min(2 * self._interval, LONGEST_RESTART)

    def _exit_code(self, report: int) -> int | None:
        """The exit status of the daemon; None while it runs, and 0 where it is unknown: try
        again."""
        try:
            code = int(os.read(report, 16) or 0)
        except BlockingIOError:
            return None
        os.close(report)
        self._report = None
        return code

    def _failed(self, code: int) -> DaemonUnavailable:
        log = self.log()
        messages = [line[7:] for line in log.splitlines() if line.startswith("rover: ")]
        if code == _REFUSES_DATA_FOLDER:
            message = (
                messages[-1] if messages else f"the daemon cannot use the data folder {self._home}"
            )
            hint = "fix that, or use another data folder (ROVER_HOME, --home)"
            return DaemonUnavailable(message, hint)
        return DaemonUnavailable(
            f"the daemon ended while it started ({_exit_status(code)})"
            + (f": {messages[-1]}" if messages else ""),
            f"its last lines are in {self._home}/daemon.log",
            log,
        )


def _launch(command: list[str], env: Mapping[str, str], log: int, report: int) -> None:
    """Start a program detached from this process: some clients kill a server together with all its
    descendants. Its exit status is written to `report` if it ends while that is listened to."""
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    try:
        # A session of its own, so that neither a terminal's hang-up nor a client that kills the
        # process group of its server reaches the daemon.
        os.setsid()
        if os.fork() == 0:
            _watch(command, env, log, report)
    finally:
        os._exit(0)


def _watch(command: list[str], env: Mapping[str, str], log: int, report: int) -> None:
    """Stay as the program's parent until it ends, or until no one reads the report any more."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(report, 3)
    # A client's stream that this process holds open would never end for the client.
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    try:
        program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, cwd="/", env=env, start_new_session=True
        )
    except OSError as error:
        os.write(2, f"rover: {command[0]} cannot be run: {error.strerror}\n".encode())
        os.write(3, b"%d" % _CANNOT_RUN)
        return
    os.close(0)
    poll = select.poll()
    poll.register(3, 0)
    poll.register(os.pidfd_open(program.pid), select.POLLIN)
    poll.poll()
    if (code := program.poll()) is not None:
        os.write(3, b"%d" % code)


def daemon_environment(environ: Mapping[str, str], home: str) -> dict[str, str]:
    """The daemon's own environment: what a client may hand over stays with that client."""
    secrets = {k for k in allowed_environment(dict(environ)) if not k.startswith(_NO_SECRETS)}
    kept = {k: v for k, v in environ.items() if k not in secrets and not k.startswith(_NEEDLESS)}
    return {**importable(kept), "ROVER_HOME": home}


def importable(environ: dict[str, str]) -> dict[str, str]:
    """`environ`, so that this package is found from any folder even if it is not installed."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    package = os.path.dirname(os.path.dirname(here))  # noqa: PTH120
    if os.path.basename(package) in ("site-packages", "dist-packages"):  # noqa: PTH119
        return environ
    path = os.pathsep.join(filter(None, (package, environ.get("PYTHONPATH"))))
    return {**environ, "PYTHONPATH": path}


def _folder_trouble(home: str, error: OSError) -> DaemonUnavailable:
    advice = {
        errno.ENOSPC: "free some space, or name a data folder on another disk",
        errno.EDQUOT: "free some of your quota, or name a data folder on another disk",
    }
    return DaemonUnavailable(
        f"the data folder {home} cannot be used: {error.strerror or error}",
        advice.get(error.errno or 0, "make it a folder that you can write, or name another")
        + " (ROVER_HOME, --home)",
    )


def _rotate(path: str) -> None:
    try:
        if os.stat(path).st_size > LOG_LIMIT:  # noqa: PTH116
            os.replace(path, path + ".1")  # noqa: PTH105
    except FileNotFoundError:
        pass


def _exit_status(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
