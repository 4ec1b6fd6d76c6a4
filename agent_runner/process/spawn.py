"""Starts and stops programs: the implementation of `CommandStarter` of commands.py.

A command gets an environment built from nothing, a session of its own, and a marker in its
environment. By the marker what is left of its tree is found: the CLIs of opencode, Gemini, Qwen and
Copilot leave the shells of their tools running when they get SIGTERM. Linux only, because pidfd,
epoll and /proc are what makes stopping exact.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

import anyio

from agent_runner.process.command_environment import base_environment, proxy_environment
from agent_runner.process.commands import CommandKilled, CommandResult, CommandStarter, OutputLine
from agent_runner.process.forward import SAME_END, Forwarder
from agent_runner.process.memory import OWN_GROUPS, Memory
from agent_runner.process.process_tree import MARKER, LineSplitter, ProcessTree, Stream, Tail
from agent_runner.process.progress import ProgressLimits, ProgressWatch, sample_progress
from agent_runner.process.seccomp import filter_descriptor, with_filter
from agent_runner.spec import RunSpec, SwitchUser, WrapCommand

# linux/prctl.h
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_LAST_CAPABILITY = 63

# Errors that other processes cause by what they use, and not the command.
_STRAINED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

_CHDIR = "--chdir"  # bwrap(1); before where the command begins, so it cannot be the command's


def make_commands(spec: RunSpec) -> CommandStarter:
    """The commands of one attempt, isolated as `spec.isolation` says.

    Starting one raises OSError where the program is missing or the kernel refuses.
    """
    return _Commands(spec)


@asynccontextmanager
async def gateway_forwarder(spec: RunSpec) -> AsyncGenerator[None]:
    """Make the gateway reachable on 127.0.0.1:`spec.gateway.port` if the agent shares the runner's
    network. If each command is wrapped, the wrapper does that, and this does nothing.

    Raises:
        OSError: the port is taken.
    """
    if isinstance(spec.isolation, WrapCommand):
        yield
        return
    forwarder = Forwarder(str(spec.gateway.socket), spec.gateway.port)
    try:
        yield
    finally:
        forwarder.close()


def drop_privileges_of_children() -> None:
    """Keep this thread, and all that it starts, from ever gaining privileges.

    This is done in the thread that forks instead of between fork and exec, because preexec_fn can
    deadlock if there are threads, and a helper program would cost an interpreter's start per
    command. The runner keeps its capabilities; a child loses them as it becomes another user, and
    neither a set-user-id file nor file capabilities give any back.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    # Fails without CAP_SETPCAP, where the engine has already narrowed the set; with
    # no_new_privs set, what stays in it cannot be used by another user's process.
    for capability in range(_LAST_CAPABILITY + 1):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def _input(content: bytes) -> int:
    """A descriptor to read `content` from: a file in memory, because somebody has to feed a
    pipe."""
    if not content:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@dataclass(frozen=True)
class _Start:
    """How a command is started; see `CommandStarter`. `stdin` None: a pipe. `reports`: the workflow
    goes by how it ends, so init.py has to report the command's own end."""

    stdin: bytes | None
    stdout_file: int | None = None
    anywhere: bool = False
    gateway: bool = False
    reports: bool = False


class _Commands:
    """Implements `CommandStarter` for every isolation."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._numbers = itertools.count(1)
        self._live: set[str] = set()
        groups = spec.isolation.groups if isinstance(spec.isolation, WrapCommand) else OWN_GROUPS
        self._memory = Memory(groups)

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float | None = None,  # noqa: ASYNC109 - reported as timed_out, not raised
        output_limit: int = 100_000,
        on_output: Callable[[OutputLine], None] | None = None,
        stdout_file: int | None = None,
        anywhere: bool = False,
        network: bool = False,
        patience: ProgressLimits | None = None,
    ) -> CommandResult:
        """See `CommandStarter.run`."""
        tails: dict[Stream, Tail] = {"stdout": Tail(output_limit), "stderr": Tail(output_limit)}
        gateway = network and self._spec.gateway.proxy
        env = {**(proxy_environment(self._spec) if gateway else {}), **(env or {})}
        start = _Start(stdin, stdout_file, anywhere, gateway=gateway, reports=network)
        # A count, and not the exit status: the kernel may have killed a child of the command, which
        # then ended on its own with an error.
        before = self._memory.kills()
        async with self._started(argv, env, start) as process:
            stalled = ""
            with anyio.move_on_after(timeout) as scope:
                stalled = await _run_out(process, tails, on_output, patience)
            await process.stop()
            code = await process.wait()
            stderr = tails["stderr"].value()
            killed = process.killed(stderr)
        return CommandResult(
            code=code,
            stdout=tails["stdout"].value(),
            stderr=stderr,
            timed_out=scope.cancelled_caught,
            killed=killed,
            out_of_memory=self._memory.kills().sandbox > before.sandbox,
            stalled=stalled,
        )

    @asynccontextmanager
    async def open(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        interactive: bool = False,
    ) -> AsyncGenerator[ProcessTree]:
        """See `CommandStarter.open`."""
        env = {**proxy_environment(self._spec), **(env or {})}
        start = _Start(None if interactive else stdin, gateway=True, reports=True)
        async with self._started(argv, env, start) as process:
            yield process

    def _variables(self, ours: Mapping[str, str]) -> dict[str, str]:
        """The project's variables, without those that Rover sets, which nothing overrides."""
        spec = self._spec
        kept = (name for name in spec.variables if name not in spec.environment)
        return {name: spec.variables[name] for name in kept if name not in ours}

    def _wrapped(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        start: _Start,
        report: int | None,
    ) -> list[str]:
        isolation = self._spec.isolation
        if not isinstance(isolation, WrapCommand):
            return list(argv)
        prefix = isolation.prefix
        if start.anywhere and _CHDIR in prefix:
            at = prefix.index(_CHDIR) + 1
            prefix = [*prefix[:at], "/", *prefix[at + 1 :]]
        # Set inside by env: the wrapper runs outside, and a repository's LD_PRELOAD must not reach
        # it.
        variables = [f"{name}={value}" for name, value in self._variables(env or {}).items()]
        inside = ["env", *variables, *argv] if variables else argv
        forwarder = isolation.forwarder if start.gateway else []
        if report is None:
            return [*prefix, *forwarder, *inside]
        init = [*isolation.init, "--report", str(report)]
        return [*prefix, *init, *forwarder, *([SAME_END] if forwarder else ()), *inside]

    @asynccontextmanager
    async def _started(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        start: _Start,
    ) -> AsyncGenerator[ProcessTree]:
        # Numbered, because commands run at the same time, and each must find its own processes.
        marker = f"{self._spec.task_id}-{self._spec.attempt}-{next(self._numbers)}"
        ours = {**(env or {}), MARKER: marker}
        environment = {**base_environment(self._spec), **ours}
        if isinstance(self._spec.isolation, SwitchUser):
            environment = {**environment, **self._variables(ours)}
        self._live.add(marker)
        before = self._memory.kills()
        try:
            popen, report = self._popen(argv, env, environment, start)
            process = ProcessTree(
                popen,
                marker=marker,
                grace=self._spec.limits.stop_grace,
                contained=self._contained(),
                sweep_uid=lambda: self._sweep_uid(marker),
                report=report,
                direct=not isinstance(self._spec.isolation, WrapCommand),
                why=lambda end: self._memory.why(end, before, sandboxed=self._sandboxed()),
            )
            try:
                yield process
            finally:
                await process.close()
        finally:
            self._live.discard(marker)

    def _popen(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        environment: Mapping[str, str],
        start: _Start,
    ) -> tuple[subprocess.Popen[bytes], int | None]:
        """The process, and the descriptor where its init.py reports, if it has one."""
        isolation = self._spec.isolation
        with ExitStack() as stack:
            try:
                if not isinstance(isolation, WrapCommand):
                    return self._start(argv, environment, start), None
                reading, writing = self._report(start, stack)
                passed = () if writing is None else (writing,)
                argv = self._wrapped(argv, env, start, writing)
                if isolation.filtered:
                    rules = stack.enter_context(filter_descriptor())
                    passed = (*passed, rules)
                    argv = with_filter([*argv], rules)
                process = self._start([*isolation.enter, *argv], environment, start, passed)
            except OSError as error:
                if error.errno in _STRAINED:
                    raise CommandKilled(f"a command could not be started: {error}") from error
                raise
            return process, None if reading is None else os.dup(reading)

    def _report(self, start: _Start, stack: ExitStack) -> tuple[int | None, int | None]:
        isolation = self._spec.isolation
        if not start.reports or not isinstance(isolation, WrapCommand) or not isolation.init:
            return None, None
        ends = os.pipe()
        for end in ends:
            stack.callback(os.close, end)
        return ends

    def _start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        start: _Start,
        passed: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        isolation = self._spec.isolation
        other = isolation if isinstance(isolation, SwitchUser) else None
        outside = isinstance(isolation, WrapCommand) or start.anywhere
        if other:
            drop_privileges_of_children()
        with ExitStack() as stack:
            # None: a pipe, whose other end is ours to write to.
            source = subprocess.PIPE
            if start.stdin is not None:
                source = _input(start.stdin)
                stack.callback(os.close, source)
            return subprocess.Popen(
                argv,
                env=environment,
                stdin=source,
                stdout=subprocess.PIPE if start.stdout_file is None else start.stdout_file,
                stderr=subprocess.PIPE,
                # One signal reaches the whole group, and no terminal can send it one.
                start_new_session=True,
                cwd="/" if outside else self._spec.paths.workspace,
                user=other.uid if other else None,
                group=other.gid if other else None,
                # A root's supplementary groups would be inherited otherwise.
                extra_groups=[] if other else None,
                pass_fds=passed,
            )

    def _sandboxed(self) -> bool:
        isolation = self._spec.isolation
        if isinstance(isolation, WrapCommand):
            return isolation.filtered
        return isinstance(isolation, SwitchUser)

    def _sweep_uid(self, marker: str) -> int | None:
        # In a container the agent's user runs nothing but our commands, and the marker of its
        # processes is unreadable to a root without CAP_SYS_PTRACE, and can be taken off.
        isolation = self._spec.isolation
        # Called only after the command's first process has ended. From then on the command counts
        # as ended, however long its caller still reads its output.
        self._live.discard(marker)
        alone = not self._live
        return isolation.uid if isinstance(isolation, SwitchUser) and alone else None

    def _contained(self) -> bool:
        isolation = self._spec.isolation
        if not isinstance(isolation, WrapCommand):
            return False
        # With a PID namespace of its own that ends with its first process, the kernel kills the
        # rest.
        options = set(isolation.prefix)
        return "--die-with-parent" in options and bool(options & {"--unshare-all", "--unshare-pid"})


async def _run_out(
    process: ProcessTree,
    tails: Mapping[Stream, Tail],
    on_output: Callable[[OutputLine], None] | None,
    patience: ProgressLimits | None,
) -> str:
    """Wait for the end of a process. Returns why it was given up before that, or an empty text."""
    if patience is None:
        await _collect(process, tails, on_output)
        await process.wait()
        return ""
    seen, why = ProgressWatch(patience), ""

    async def watch() -> None:
        nonlocal why
        while not why:
            await anyio.sleep(patience.interval)
            why = seen.add(sample_progress(process.pid))
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await _collect(process, tails, on_output)
        await process.wait()
        why = ""
        group.cancel_scope.cancel()
    return why


async def _collect(
    process: ProcessTree,
    tails: Mapping[Stream, Tail],
    on_output: Callable[[OutputLine], None] | None,
) -> None:
    splitters: dict[Stream, LineSplitter] = {"stdout": LineSplitter(), "stderr": LineSplitter()}
    async with aclosing(process.chunks()) as chunks:
        async for stream, data in chunks:
            tails[stream].add(data)
            if on_output:
                for text in splitters[stream].feed(data):
                    on_output(OutputLine(stream, text))
    if on_output:
        for stream, splitter in splitters.items():
            for text in splitter.end():
                on_output(OutputLine(stream, text))
