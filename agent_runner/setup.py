"""The project's set-up: commands that prepare the sandbox, with the agent's rights and network.

Where a sandbox is made from an image they run once, in a container that becomes an image: `agent-
runner setup` runs them in a clone of the base, and puts what they made of ignored files (installed
packages, say) aside for later clones. What they put into HOME stays where it is. Elsewhere they
run in each new task's sandbox before its first step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from agent_runner.commands import CommandKilled, Commands, OutputLine, was_killed
from agent_runner.process import gateway_forwarder
from agent_runner.spec import RunSpec, Setup
from agent_runner.worktree import Worktree

TAIL_LINES = 20
_LINE = 300
_SHOWN = 120
MARKER = "setup-done"
"""In the run folder: the key of the set-up that this work tree has had."""


class SetupFailed(Exception):
    """A command failed; the message names it and holds its last lines, which are untrusted."""


async def run_commands(setup: Setup, commands: Commands, hear: Callable[[str], None]) -> None:
    """Run them one after the other.

    Raises:
        SetupFailed: one failed, or took too long.
        CommandKilled: somebody ended one.
    """
    for text in setup.commands:
        tail: deque[str] = deque(maxlen=TAIL_LINES)

        def heard(line: OutputLine, tail: deque[str] = tail) -> None:
            tail.append(line.text[:_LINE])
            hear(line.text)

        hear(f"$ {text}")
        name = f"the set-up command {text.strip()[:_SHOWN]!r}"
        try:
            result = await commands.run(
                ["bash", "-lc", text], timeout=setup.timeout, on_output=heard, network=True
            )
        except OSError as error:
            raise SetupFailed(f"{name} could not be started: {error}") from error
        if was_killed(result):
            raise CommandKilled(f"{name}: {result.killed}")
        if result.timed_out:
            raise SetupFailed(f"{name} took longer than {setup.timeout:g} s{_said(tail)}")
        if result.code != 0:
            raise SetupFailed(f"{name} failed with status {result.code}{_said(tail)}")


async def set_up_task(spec: RunSpec, commands: Commands, *, anew: bool) -> None:
    """Run the set-up in a task's own sandbox, unless it has had it; `anew`: its work tree is new.

    Raises:
        SetupFailed, CommandKilled, OSError
    """
    if spec.setup is None:
        return
    marker = spec.paths.run / MARKER
    if not anew and marker.exists() and marker.read_text("utf-8") == spec.setup.key:
        return
    await run_commands(spec.setup, commands, lambda _: None)
    marker.write_text(spec.setup.key, "utf-8")


async def set_up_image(spec: RunSpec, commands: Commands, hear: Callable[[str], None]) -> None:
    """Run the set-up in a container that is to become an image, and leave no clone in it.

    Raises:
        SetupFailed, CommandKilled, WorktreeError, OSError
    """
    setup, seed = spec.setup, spec.paths.seed
    if setup is None or seed is None:
        return
    async with gateway_forwarder(spec):
        worktree = Worktree(spec, commands)
        await worktree.prepare()
        await run_commands(setup, commands, hear)
        await worktree.put_aside(seed)


def _said(tail: deque[str]) -> str:
    return ":\n" + "\n".join(tail) if tail else ""
