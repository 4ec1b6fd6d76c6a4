"""Starting the daemon: once, by one contender, with an environment of its own.

Only where none runs; connect.py imports this then and not before. Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

from rover_mcp.connect import DaemonUnavailable
from rover_mcp.preamble import allowed_environment

DAEMON_COMMAND = [sys.executable, "-m", "rover_mcp.daemon"]
FIRST_RESTART, LONGEST_RESTART = 0.1, 2.0
LOG_LIMIT = 5_000_000
LOG_TAIL_LINES = 15
# Of what a client may hand over, the daemon keeps what is no secret; see DESIGN.md section 1.
_NO_SECRETS = ("PATH", "LANG", "LC_", "TZ", "http", "HTTP", "no_", "NO_", "all_", "ALL_")
_REFUSES_DATA_FOLDER = 3

# Children are kept so that one that ends is reaped, and none is complained about when we end.
_children: list[subprocess.Popen[bytes]] = []


class Starter:
    """Starts the daemon, one contender at a time; `start` may be called as often as one likes."""

    def __init__(self, home: str, clock: Callable[[], float]) -> None:
        self._home = home
        self._clock = clock
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._log_offset = 0
        self._not_before = 0.0
        self._interval = FIRST_RESTART

    def start(self) -> None:
        """Start a daemon unless one is being started, by this process or by another.

        Raises:
            DaemonUnavailable: it ended with an error, or the data folder cannot be used.
        """
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return
            self._child = None
            # 0: another daemon holds the data folder and will listen in a moment.
            if code != 0:
                raise self._failed(code)
        if self._clock() < self._not_before:
            return
        try:
            # Whoever held the lock may have started one: the caller looks again before we do.
            if self._lock is None:
                self._take_lock()
            else:
                self._spawn()
        except OSError as error:
            raise _folder_trouble(self._home, error) from error

    def close(self) -> None:
        """Let the next contender try."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

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
        path = os.path.join(self._home, "daemon.start.lock")  # noqa: PTH118
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            self._lock = lock

    def _spawn(self) -> None:
        path = os.path.join(self._home, "daemon.log")  # noqa: PTH118
        _rotate(path)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._log_offset = os.fstat(log).st_size
            self._child = subprocess.Popen(
                DAEMON_COMMAND,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=daemon_environment(os.environ, self._home),
                start_new_session=True,
            )
        finally:
            os.close(log)
        _children.append(self._child)
        self._not_before = self._clock() + self._interval
        self._interval = min(2 * self._interval, LONGEST_RESTART)

    def _failed(self, code: int) -> DaemonUnavailable:
        log = self.log()
        said = [line[7:] for line in log.splitlines() if line.startswith("rover: ")]
        if code == _REFUSES_DATA_FOLDER:
            message = said[-1] if said else f"the daemon cannot use the data folder {self._home}"
            hint = "mend that, or name another data folder (ROVER_HOME, --home)"
            return DaemonUnavailable(message, hint)
        return DaemonUnavailable(
            f"the daemon ended while it started ({_exit_status(code)})"
            + (f": {said[-1]}" if said else ""),
            f"its last lines are in {self._home}/daemon.log",
            log,
        )


def reap() -> None:
    """Forget the daemons started here that have ended, so that none stays as a zombie."""
    _children[:] = [child for child in _children if child.poll() is None]


def daemon_environment(environ: Mapping[str, str], home: str) -> dict[str, str]:
    """The daemon's own environment: what a client may hand over stays with that client."""
    secrets = {k for k in allowed_environment(dict(environ)) if not k.startswith(_NO_SECRETS)}
    kept = {k: v for k, v in environ.items() if k not in secrets}
    return {**importable(kept), "ROVER_HOME": home}


def importable(environ: dict[str, str]) -> dict[str, str]:
    """`environ`, so that this package is found from any folder even if it is not installed."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
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
