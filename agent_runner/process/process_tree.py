"""Reads the output of a process tree, waits for it, and ends it with all its processes."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Literal, cast

import anyio

from agent_runner.process.command_ending import CommandEnding, last_error_line, read_report
from agent_runner.process.commands import OutputLine

MARKER = "ROVER_ATTEMPT"
MAX_LINE_BYTES = 8 * 1024 * 1024
READ_BYTES = 64 * 1024
REPORT_BYTES = 64
ENVIRONMENT_BYTES = 128 * 1024
# How long after its end a tree's pipes may stay open: only a process that escaped could hold them.
DRAIN_SECONDS = 2.0
SWEEP_ROUNDS = 200
SWEEP_INTERVAL = 0.01

Stream = Literal["stdout", "stderr"]


class LineSplitter:
    """Splits bytes into lines. Of a line the first `limit` bytes are kept."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes."""
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._hold(part)
            yield self._take()
        self._hold(rest)

    def end(self) -> Iterator[str]:
        """The last line, if it has no line end."""
        if self._held:
            yield self._take()

    def _hold(self, part: bytes) -> None:
        self._held += part[: max(0, self._limit - len(self._held))]

    def _take(self) -> str:
        line = self._held.decode("utf-8", "replace").removesuffix("\r")
        self._held = bytearray()
        return line


class Tail:
    """Keeps the last `limit` bytes of what is added."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()

    def add(self, data: bytes) -> None:
        self._held += data
        # Cut at twice the limit: each byte is then moved at most once on average.
        if len(self._held) > 2 * self._limit:
            del self._held[: len(self._held) - self._limit]

    def value(self) -> bytes:
        return bytes(self._held[max(0, len(self._held) - self._limit) :])


class ProcessTree:
    """A started command and all its descendants; implements `RunningCommand` of commands.py.

    `contained`: the kernel ends the tree with its first process. `sweep_uid` returns a user whose
    every process belongs to commands that have ended, or None. `report` is the descriptor where
    init.py reports how the command ended, and is closed here; without it the end of the first
    process counts. `direct`: the first process is the command and not a wrapper. `why` says in
    words how somebody else ended it.
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        *,
        marker: str,
        grace: float,
        contained: bool,
        sweep_uid: Callable[[], int | None],
        report: int | None = None,
        direct: bool = True,
        why: Callable[[CommandEnding], str],
    ) -> None:
        self._popen = popen
        self._report = report
        self._direct = direct
        self._why = why
        self._ending: CommandEnding | None = None
        self._marker = f"{MARKER}={marker}".encode()
        self._grace = grace
        self._contained = contained
        self._sweep_uid = sweep_uid
        # A pidfd becomes readable when the process ends: no thread waits, and no SIGCHLD is
        # handled.
        self._pidfd = os.pidfd_open(popen.pid)
        self._pipes: dict[int, Stream] = {}
        if popen.stdout is not None:
            self._pipes[popen.stdout.fileno()] = "stdout"
        if popen.stderr is not None:
            self._pipes[popen.stderr.fileno()] = "stderr"
        for descriptor in self._pipes:
            os.set_blocking(descriptor, False)
        if popen.stdin is not None:
            os.set_blocking(popen.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id of its first process."""
        return self._popen.pid

    async def chunks(self) -> AsyncGenerator[tuple[Stream, bytes]]:
        """The output as it comes, until both streams have ended. Use either this or `lines`,
        once."""
        with select.epoll() as poll:
            for descriptor in (*self._pipes, self._pidfd):
                poll.register(descriptor, select.EPOLLIN)
            pipes = dict(self._pipes)
            deadline = float("inf")
            while pipes:
                with anyio.CancelScope(deadline=deadline) as scope:
                    await anyio.wait_readable(poll.fileno())
                if scope.cancelled_caught:
                    return
                for descriptor, _ in poll.poll(0):
                    if descriptor == self._pidfd:
                        poll.unregister(descriptor)
                        await self._finish(killed=False)
                        # A process that escaped the tree may hold the pipes open for ever.
                        deadline = anyio.current_time() + DRAIN_SECONDS
                        continue
                    with suppress(BlockingIOError):
                        if data := os.read(descriptor, READ_BYTES):
                            yield pipes[descriptor], data
                        else:
                            poll.unregister(descriptor)
                            del pipes[descriptor]

    async def send(self, data: bytes) -> None:
        """See `RunningCommand.send`."""
        if self._popen.stdin is None or self._popen.stdin.closed:
            raise BrokenPipeError(errno.EPIPE, "the command has no input to write to")
        descriptor = self._popen.stdin.fileno()
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                await anyio.wait_writable(descriptor)

    async def lines(self) -> AsyncGenerator[OutputLine]:
        """See `RunningCommand.lines`."""
        splitters: dict[Stream, LineSplitter] = {"stdout": LineSplitter(), "stderr": LineSplitter()}
        async with aclosing(self.chunks()) as chunks:
            async for stream, data in chunks:
                for text in splitters[stream].feed(data):
                    yield OutputLine(stream, text)
        for stream, splitter in splitters.items():
            for text in splitter.end():
                yield OutputLine(stream, text)

    async def wait(self) -> int:
        """See `RunningCommand.wait`."""
        await self._leader_ended()
        await self._finish(killed=False)
        return self._end().code

    def killed(self, stderr: bytes = b"") -> str:
        """See `RunningCommand.killed`. `stderr` is its output, in which a wrapper says why it could
        not create the sandbox."""
        why, printed = self._why(self._end()), last_error_line(stderr)
        return f"{why}: {printed}" if why and self._end().lost and printed else why

    def _end(self) -> CommandEnding:
        """How it ended. To be called after its end."""
        if self._ending is None:
            code = cast(int, self._popen.returncode)
            self._ending = CommandEnding(code, exact=self._direct)
            if self._report is not None:
                reported = read_report(_read_now(self._report))
                self._ending = (
                    CommandEnding(code, lost=True) if reported is None else CommandEnding(reported)
                )
        return self._ending

    async def stop(self) -> None:
        """See `RunningCommand.stop`."""
        with anyio.CancelScope(shield=True):
            if self._popen.returncode is None:
                # Not SIGINT: opencode ignores it, and Claude Code ends with status 0 on it, as
                # after success.
                self._signal_group(signal.SIGTERM)
                with anyio.move_on_after(self._grace):
                    await self._leader_ended()
                self._signal_group(signal.SIGKILL)
                await self._leader_ended()
                await self._finish(killed=True)

    async def close(self) -> None:
        """Stop it and close its descriptors; it cannot be read any more."""
        await self.stop()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
            self._end()
            if self._report is not None:
                os.close(self._report)
                self._report = None
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()

    async def _leader_ended(self) -> None:
        if self._popen.returncode is not None:
            return
        # A descriptor of its own: two tasks may not wait for the same one.
        descriptor = os.dup(self._pidfd)
        try:
            await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    async def _finish(self, *, killed: bool) -> None:
        """After the end of the first process: kill the rest, and reap."""
        if self._popen.returncode is None:
            # Before reaping: until then the number of the group cannot be used again.
            self._signal_group(signal.SIGKILL)
            self._popen.wait()
        with anyio.CancelScope(shield=True):
            if killed or not self._contained:
                await self._sweep()

    def _signal_group(self, number: signal.Signals) -> None:
        if self._popen.returncode is None:
            # PermissionError: only zombies are left in the group, and we may not signal those.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    async def _sweep(self) -> None:
        # Until nothing is found: a process may start another one while it is being killed.
        for _ in range(SWEEP_ROUNDS):
            leftovers = [pid for pid in _processes() if self._is_left_over(pid)]
            if not leftovers:
                return
            for pid in leftovers:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            await anyio.sleep(SWEEP_INTERVAL)

    def _is_left_over(self, pid: int) -> bool:
        uid = self._sweep_uid()
        return has_environment(pid, self._marker) or (uid is not None and is_alive_as(pid, uid))


def _read_now(descriptor: int) -> bytes:
    """What has been written to a pipe so far."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, REPORT_BYTES)
    except BlockingIOError:
        return b""


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208


def has_environment(pid: int, entry: bytes) -> bool:
    """Whether a process was started with `entry` (NAME=value) in its environment. False if that
    cannot be read; a zombie has none."""
    # Without pathlib and a file object, which cost three times as much as the reading: this is done
    # for each process of the machine, after each command that no PID namespace contains.
    try:
        descriptor = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    content = b"\0"
    try:
        while more := os.read(descriptor, ENVIRONMENT_BYTES):
            content += more
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return b"\0" + entry + b"\0" in content + b"\0"


def is_alive_as(pid: int, uid: int) -> bool:
    """Whether a process runs as user `uid` and is not a zombie (proc_pid_status(5))."""
    try:
        content = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return False
    state = re.search(rb"^State:\s+(\w)", content, re.MULTILINE)
    owner = re.search(rb"^Uid:\s+(\d+)", content, re.MULTILINE)
    return (
        state is not None
        and owner is not None
        and state[1] not in (b"Z", b"X")
        and int(owner[1]) == uid
    )
