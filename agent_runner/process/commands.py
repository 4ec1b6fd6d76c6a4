"""The interface through which the runner starts other programs.

`spawn.py` implements it for the isolations of spec.py. Whatever is started runs with the agent's
rights, in the workspace, with a private HOME, and never with the runner's environment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from agent_runner.process.progress import ProgressLimits


@dataclass(frozen=True)
class CommandResult:
    """The result of a command. Of output beyond the limit, the end is kept.

    `killed` says in words how somebody else ended it (command_ending.py); `out_of_memory`: the
    kernel killed one of its processes. `stalled` says why it was stopped for lack of progress
    (progress.py).
    """

    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    killed: str = ""
    out_of_memory: bool = False
    stalled: str = ""


class CommandKilled(Exception):
    """A command was killed by somebody else than the runner; see `was_killed`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)


def was_killed(result: CommandResult) -> bool:
    """Whether a command was ended by a person, by the system or for lack of memory, and not by the
    runner. Such an end says nothing of what the command was doing."""
    return bool(result.killed) and not result.timed_out and not result.stalled


def check_not_killed(result: CommandResult) -> None:
    """Raise an error if the command was killed.

    Raises:
        CommandKilled: somebody else ended it.
    """
    if was_killed(result):
        raise CommandKilled(result.killed)


@dataclass(frozen=True)
class OutputLine:
    stream: Literal["stdout", "stderr"]
    text: str


class RunningCommand(Protocol):
    """A command whose output is read line by line."""

    def lines(self) -> AsyncIterator[OutputLine]:
        """The lines of both output streams as they come. Ends when both are closed. A line that is
        too long is cut."""
        ...

    async def send(self, data: bytes) -> None:
        """Write `data` to the standard input of an interactive command, however slowly it reads.

        Raises:
            BrokenPipeError: the command no longer reads, or is not interactive.
        """
        ...

    async def wait(self) -> int:
        """Wait for the end. Returns the exit status, negative for a signal, as in subprocess."""
        ...

    def killed(self) -> str:
        """How somebody else ended it, as in `CommandResult`. To be called after its end."""
        ...

    async def stop(self) -> None:
        """Send SIGTERM to the group, SIGKILL after the grace time, then kill what is left of the
        tree. Afterwards none of its processes lives. Calling it again does nothing."""
        ...


class CommandStarter(Protocol):
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
        """Run a command to its end. A time-out stops the tree and is reported as `timed_out`; with
        `patience` a lack of progress stops it, which is reported as `stalled`.

        `stdout_file` is a descriptor that takes standard output instead of memory. `anywhere`: not
        in the workspace, whose permissions the agent may have removed. `network`: the command is
        the workflow's, the project's or an agent's, and gets the gateway's proxy if the task's
        policy offers one.

        Raises:
            OSError: it cannot be started.
            CommandKilled: the system can start nothing just now.
        """
        ...

    def open(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        interactive: bool = False,
    ) -> AbstractAsyncContextManager[RunningCommand]:
        """Start an agent, with the gateway reachable on its loopback port. Leaving the context
        stops it. Prompts go through `stdin`, because every process can read argument lists. With
        `interactive` the standard input stays open for `RunningCommand.send`."""
        ...
