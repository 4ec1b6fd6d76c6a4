"""How the runner starts anything that is not itself: one narrow Protocol.

`spawn.py` implements it for the isolations of spec.py. Whatever is started runs with the
agent's rights, in the workspace, with a private HOME, never with the runner's environment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from agent_runner.process.progress import Patience


@dataclass(frozen=True)
class CommandResult:
    """A command that ended. Output beyond the cap was dropped from the front (tail kept).

    `killed` says how somebody else than the command ended it (endings.py), `out_of_memory` that
    the kernel killed something of it, whatever its end. `stalled`: it was ended for want of
    progress, in words (progress.py).
    """

    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    killed: str = ""
    out_of_memory: bool = False
    stalled: str = ""


class CommandKilled(Exception):
    """A command of ours was killed by someone else; see `was_killed`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)


def was_killed(result: CommandResult) -> bool:
    """Whether it was ended by somebody, and not by us: by a person, by the system, or for want of
    memory. That says nothing of what it was doing."""
    return bool(result.killed) and not result.timed_out and not result.stalled


def check_not_killed(result: CommandResult) -> None:
    """
    Raises:
        CommandKilled: somebody ended it.
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
        """Output lines as they come, both streams; ends when both are closed. A line longer
        than the cap is cut."""
        ...

    async def send(self, data: bytes) -> None:
        """Write all of it to the standard input of an interactive command, however slowly it
        reads.

        Raises:
            BrokenPipeError: it reads no more, or is not interactive.
        """
        ...

    async def wait(self) -> int:
        """The exit status; negative for a signal, as in subprocess."""
        ...

    def killed(self) -> str:
        """Once it has ended: how somebody else ended it, as in `CommandResult`."""
        ...

    async def stop(self) -> None:
        """SIGTERM to the group, SIGKILL after the grace time, then sweep what is left of the
        tree. Afterwards nothing of it lives. Repeating it is harmless."""
        ...


class Commands(Protocol):
    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float | None = None,  # noqa: ASYNC109 - told by timed_out, not raised
        output_limit: int = 100_000,
        on_output: Callable[[OutputLine], None] | None = None,
        stdout_file: int | None = None,
        anywhere: bool = False,
        network: bool = False,
        patience: Patience | None = None,
    ) -> CommandResult:
        """Run to the end. A time-out stops the tree and is told by `timed_out`; with `patience`
        a want of progress does, which is told by `stalled`.

        `stdout_file` is a descriptor that takes standard output instead of memory. `anywhere`:
        not in the workspace, which may not let anybody in. `network`: it is the workflow's, the
        project's or an agent's: with the gateway's proxy, where the task's policy offers one.

        Raises:
            OSError: it cannot be started.
            CommandKilled: nothing can be started now.
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
        stops it. Prompts go through `stdin`: an argument list is visible to every process. With
        `interactive` its standard input stays open, for `RunningCommand.send`."""
        ...
