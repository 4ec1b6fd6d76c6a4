"""Finds Podman's API service, and starts one if none listens.

Podman has no daemon; its API is a process that systemd starts on demand where the distribution
has set that up for the user, and often it has not. So one is started, as systemd would: on a
socket in the data folder. It ends a minute after its last caller (a killed daemon
leaves nothing behind), and at once when the daemon ends. Containers do not depend on it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import docker_api

_SYSTEM_SOCKET = Path("/run/podman/podman.sock")
_IDLE_SECONDS = 60
_START_TIMEOUT = 120.0
_POLL = 0.02
MAX_LOG_BYTES = 1_000_000
_STOP_SECONDS = 5.0
_LONGEST_PATH = 107  # unix(7): sun_path holds 108 bytes with the final zero
# What podman needs to find its store, its user's session and a registry; no provider's key.
_PASSED = ("HOME", "PATH", "USER", "LOGNAME", "LANG", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS")
_PASSED_PREFIXES = ("XDG_", "CONTAINERS_", "REGISTRY_AUTH_FILE")
# For its facts, podman has dpkg search every installed file for the packages of its helpers: a
# tenth of a second of processor time each, for names that nobody asked for. In a folder that is
# not there, dpkg finds none at once.
_NO_PACKAGES = {"DPKG_ADMINDIR": "/nonexistent"}


def find_socket() -> str | None:
    """The address in CONTAINER_HOST, or else of this user's service, or else of the system's."""
    if host := os.environ.get("CONTAINER_HOST"):
        return host
    own = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"), "podman", "podman.sock")
    for path in (own, _SYSTEM_SOCKET):
        if os.access(path, os.R_OK | os.W_OK):
            return f"unix://{path}"
    return None


class PodmanService:
    """Podman's service in the data folder `home`; started when first needed, and again."""

    def __init__(self, home: Path) -> None:
        self._socket = home / "podman.sock"
        self._log = home / "podman.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def was_needed(self) -> bool:
        """Whether it ever ran for this data folder, by this daemon or an earlier one."""
        return self._log.exists()

    def ensure(self) -> None:
        """Start the service unless it answers.

        Raises:
            EnvironmentFault: "engine_unreachable": podman is not installed, or does not start.
        """
        with self._lock:
            if docker_api.answers(f"unix://{self._socket}"):
                self._keep_log_small()
                return
            program = shutil.which("podman")
            if program is None:
                raise _unreachable("podman is not installed", "install podman")
            if len(os.fsencode(self._socket)) > _LONGEST_PATH:
                raise _unreachable(
                    f"{self._socket} is too long for a socket",
                    "run: systemctl --user start podman.socket, or set CONTAINER_HOST",
                )
            self._start(program)

    def stop(self) -> None:
        """End the service if this process started it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _keep_log_small(self) -> None:
        """Empty a log that has grown: it helps only while podman starts. podman opened it with
        O_APPEND, so that it continues at the beginning."""
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > MAX_LOG_BYTES:
                os.truncate(self._log, 0)

    def _start(self, program: str) -> None:
        if self._process is None:
            atexit.register(self.stop)
        else:
            self.stop()
        command = [program, "system", "service", f"--time={_IDLE_SECONDS}"]
        try:
            self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # podman refuses a socket that exists, also one that a killed service left.
            self._socket.unlink(missing_ok=True)
            self._log.unlink(missing_ok=True)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, f"unix://{self._socket}"], env=_environment(), cwd="/",
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise _unreachable(f"podman cannot be started: {error}", "see: podman info") from error
        end = time.monotonic() + _START_TIMEOUT
        while not docker_api.answers(f"unix://{self._socket}"):
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                reason = self._log.read_text("utf-8", "replace").strip()[-300:]
                raise _unreachable(f"podman's service does not start: {reason}", "see: podman info")
            time.sleep(_POLL)


def _environment() -> dict[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    return {**passed, **_NO_PACKAGES}


def _unreachable(why: str, hint: str) -> EnvironmentFault:
    return EnvironmentFault(why, hint=hint, code="engine_unreachable")
