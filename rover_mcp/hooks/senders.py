"""One try of sending to a hook: the only code here that reaches outside."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import IO, Final, Protocol
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2

from rover_mcp import __version__
from rover_mcp.config.certificate_authorities import outgoing_context
from rover_mcp.config.descriptors import lower_limit
from rover_mcp.config.hooks import CommandHook, DesktopHook, WebhookHook, is_loopback
from rover_mcp.hooks import message as m
from rover_mcp.tasks.view_models import HookMessage

WEBHOOK_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 30.0
OUTPUT_BYTES: Final = 4096
"""Bytes of a command's output for the log."""
MAX_SECRET_BYTES: Final = 4096
GONE: Final = 410


@dataclass(frozen=True)
class Outcome:
    """The outcome of a try. An `error` of None means delivered. `final`: no other try would
    help."""

    error: str | None = None
    final: bool = False
    output: str = ""


class Sender(Protocol):
    """Sends to one hook."""

    async def send(self, message: HookMessage, delivery: str) -> Outcome:
        """Try once, within a time limit. Never raises for what the other side does."""
        ...

    def problem(self) -> str | None:
        """Why it cannot work here, found without sending anything."""
        ...


class WebhookSender:
    """A signed POST. Redirects are not followed, and only the status of the answer is kept."""

    def __init__(
        self,
        hook: WebhookHook,
        environment: Mapping[str, str],
        now: Callable[[], float] = time.time,
        seconds: float = WEBHOOK_SECONDS,
    ) -> None:
        self._hook = hook
        self._environment = environment
        self._now = now
        self._seconds = seconds

    async def send(self, message: HookMessage, delivery: str) -> Outcome:
        try:
            key = await anyio.to_thread.run_sync(self._key)
        except m.BadSecret as error:
            return Outcome(str(error))
        body = m.as_body(message)
        headers = m.headers(message, body, delivery, self._now(), key)
        try:
            with anyio.fail_after(self._seconds):
                status = await self._post(body, headers)
        except TimeoutError:
            return Outcome(f"no answer within {self._seconds:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            # The address may be as good as a password.
            reason = str(error).replace(self._hook.url, "(url)")[:200]
            return Outcome(f"{type(error).__name__}: {reason}")
        if status // 100 == 2:
            return Outcome()
        return Outcome(f"the answer was {status}", final=status == GONE)

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        here = is_loopback(urlsplit(self._hook.url).hostname or "")
        client = httpx2.AsyncClient(
            # A redirect could send the signed message to another host.
            follow_redirects=False,
            timeout=self._seconds,
            # A proxy of the machine's leads outside.
            trust_env=not here,
            # Behind a proxy that reads TLS, an internal receiver is signed by the organisation's
            # own authority.
            verify=outgoing_context(httpx2.create_ssl_context),
            # A receiver must not be able to influence later requests.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={"user-agent": f"rover/{__version__}", "accept": "*/*"},
        )
        async with (
            client,
            # Streamed, because the receiver's answer may be of any size and only its status counts.
            client.stream("POST", self._hook.url, content=body, headers=dict(headers)) as answer,
        ):
            return answer.status_code

    def _key(self) -> bytes | None:
        """The key for signing.

        Raises:
            BadSecret: it cannot be read or used.
        """
        hook = self._hook
        if hook.secret_env is not None:
            secret = self._environment.get(hook.secret_env)
            if not secret:
                raise m.BadSecret(f"the daemon's environment has no {hook.secret_env}")
            return m.key_of(secret)
        if hook.secret_file is None:
            return None
        try:
            with Path(hook.secret_file).expanduser().open("rb") as file:
                return m.key_of(file.read(MAX_SECRET_BYTES).decode())
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise m.BadSecret(f"{hook.secret_file} cannot be read: {error}") from error

    def problem(self) -> str | None:
        try:
            self._key()
        except m.BadSecret as error:
            return str(error)
        return None


class CommandSender:
    """A program with the message on its standard input."""

    def __init__(
        self, hook: CommandHook, environment: Mapping[str, str], seconds: float = COMMAND_SECONDS
    ) -> None:
        self._hook = hook
        name = hook.run[0]
        self._program = str(Path(name).expanduser()) if name.startswith("~") else name
        self._environment = environment
        self._seconds = seconds

    async def send(self, message: HookMessage, delivery: str) -> Outcome:
        environment = m.command_environment(self._environment, message, delivery)
        argv = [self._program, *self._hook.run[1:]]
        return await anyio.to_thread.run_sync(
            run_program, argv, m.as_body(message) + b"\n", environment, self._seconds
        )

    def problem(self) -> str | None:
        program = shutil.which(self._program, path=self._environment.get("PATH", os.defpath))
        return None if program else f"program not found: {self._program}"


class DesktopSender:
    """A notification on the desktop of whoever started the daemon."""

    def __init__(
        self, hook: DesktopHook, environment: Mapping[str, str], platform: str = sys.platform
    ) -> None:
        self._hook = hook
        self._environment = environment
        self._mac = platform == "darwin"

    def _program(self) -> str | None:
        name = "osascript" if self._mac else "notify-send"
        return shutil.which(name, path=self._environment.get("PATH", os.defpath))

    def _bus(self) -> str | None:
        """The address of the user's session bus."""
        if address := self._environment.get("DBUS_SESSION_BUS_ADDRESS"):
            return address
        folder = self._environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
        return f"unix:path={folder}/bus" if Path(folder, "bus").exists() else None

    def problem(self) -> str | None:
        if self._program() is None:
            name = "osascript" if self._mac else "notify-send"
            return f"{name} not found (Debian: apt install libnotify-bin)"
        if not self._mac and self._bus() is None:
            return "there is no session bus: no user is logged in to a desktop here"
        return None

    async def send(self, message: HookMessage, delivery: str) -> Outcome:
        if wrong := self.problem():
            return Outcome(wrong, final=True)
        program = self._program() or ""
        argv = m.osascript(program, message) if self._mac else m.notify_send(program, message)
        names = ("HOME", "PATH", "LANG", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")
        environment = {n: self._environment[n] for n in names if n in self._environment}
        if bus := self._bus():
            environment["DBUS_SESSION_BUS_ADDRESS"] = bus
        done = await anyio.to_thread.run_sync(run_program, argv, b"", environment, COMMAND_SECONDS)
        # A notification an hour late is worth nothing: one try.
        return Outcome(done.error, final=True, output=done.output)


def run_program(
    argv: Sequence[str], stdin: bytes, environment: Mapping[str, str], seconds: float
) -> Outcome:
    """Run a program to its end in the user's home folder; after `seconds` it is killed. Whatever it
    leaves running in its process group is killed, too."""
    try:
        process = _start(argv, environment)
    except (OSError, ValueError) as error:
        return Outcome(f"{argv[0]} cannot be started: {error}")
    lower_limit(process.pid)
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    output = bytearray()
    late = threading.Event()

    def stop() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, stop)
    reader = threading.Thread(target=_collect, args=(process.stdout, output), daemon=True)
    timer.start()
    reader.start()
    # A program that ends without reading breaks the pipe, which is its right.
    with suppress(OSError), process.stdin:  # it may end without reading
        process.stdin.write(stdin)
    # Not reaped yet, so that the group's number is still its own.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    timer.cancel()
    timer.join()
    os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    reader.join(1.0)
    text = bytes(output).decode("utf-8", "replace")
    if late.is_set():
        return Outcome(f"it did not end within {seconds:g} s", output=text)
    return Outcome(None if code == 0 else f"it ended with status {code}", output=text)


def _start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        env=dict(environment),
        cwd=Path.home(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A process group of its own, so that what it starts can be killed together with it.
        start_new_session=True,
    )


def _collect(stream: IO[bytes], into: bytearray) -> None:
    """Read the stream to its end, and keep the beginning."""
    with suppress(OSError, ValueError), stream:
        while chunk := os.read(stream.fileno(), 65536):
            into += chunk[: OUTPUT_BYTES - len(into)]
