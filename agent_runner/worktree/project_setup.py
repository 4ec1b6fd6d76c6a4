"""Runs the project's setup: commands that prepare the sandbox, with the agent's rights and
network.

If sandboxes are made from an image, the commands run once, in a container that becomes an image:
`agent-runner setup` runs them in a clone of the base, and moves the ignored files that they create
(installed packages, for example) aside for later clones. What they put into HOME stays there.
Otherwise they run in each new task's sandbox before its first step, with a log of their own.

Commands that were written for another image than the sandbox's are only tried: if one of them
fails, that is a warning.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agent_runner.journal.step_log import StepLog
from agent_runner.process.commands import CommandKilled, CommandStarter, OutputLine, was_killed
from agent_runner.process.spawn import gateway_forwarder
from agent_runner.spec import RunSpec, Setup
from agent_runner.worktree.worktree import Worktree

TAIL_LINES = 20
_LINE = 300
_SHOWN = 120
MARKER = "setup-done"
"""A file in the run folder: the key of the setup that this work tree has had."""
LOG = "setup"
"""The name of the step whose log has a task's own setup."""
WARNINGS = "setup-warnings.json"
"""A file in an image, beside the seed: the warnings of the setup, for every task of the image."""
_MAX_WARNINGS = 50
_MAX_BYTES = 100_000
_HELP = (
    f"The log of step {LOG} has all that it printed. A task keeps the setup that it was created "
    "with: correct it (.rover/setup.sh, or `setup` in .rover/config.yaml) or install what it lacks "
    "on this machine, and create the task again"
)
_TRIED_HELP = (
    "the task continues without it, because it is the devcontainer's, and this sandbox does not "
    "have the devcontainer's image or features. `setup` in .rover/config.yaml stands in for such "
    "commands, `devcontainer: image` leaves them out"
)


class SetupFailed(Exception):
    """A command of the setup failed. The message names it, and has the line with the cause and the
    last lines of its output, which are untrusted. `brief`: the same without the last lines."""

    def __init__(self, message: str, brief: str | None = None) -> None:
        super().__init__(message)
        self.brief = brief or message


@dataclass(frozen=True)
class SetupOutput:
    """Where the lines that the commands print go, and the warnings for people."""

    show: Callable[[str], None]
    warn: Callable[[str], None]


async def run_commands(setup: Setup, commands: CommandStarter, output: SetupOutput) -> None:
    """Run the commands one after the other, those that are only tried first.

    Raises:
        SetupFailed: a command that has to succeed failed, or took too long.
        CommandKilled: somebody killed a command.
    """
    for text in setup.tried:
        try:
            await _run(text, setup, commands, output)
        except SetupFailed as failed:
            output.warn(f"{failed.brief}; {_TRIED_HELP}")
    for text in setup.commands:
        await _run(text, setup, commands, output)


async def _run(text: str, setup: Setup, commands: CommandStarter, output: SetupOutput) -> None:
    # Most attempts run no setup, and need none of its many regular expressions.
    from agent_runner.failure_cause import FailureCause

    tail: deque[str] = deque(maxlen=TAIL_LINES)
    cause = FailureCause()

    def heard(line: OutputLine) -> None:
        tail.append(line.text[:_LINE])
        cause.add(line.text)
        output.show(line.text)

    output.show(f"$ {text}")
    name = f"the setup command {text.strip()[:_SHOWN]!r}"
    try:
        result = await commands.run(
            # A login shell, because images put programs on PATH in a profile (nvm, pyenv).
            ["bash", "-lc", text],
            timeout=setup.timeout,
            on_output=heard,
            network=True,
        )
    except OSError as error:
        raise SetupFailed(f"{name} could not be started: {error}") from error
    if was_killed(result):
        raise CommandKilled(f"{name}: {result.killed}")
    if result.timed_out:
        failed = f"took longer than {setup.timeout:g} s"
    elif result.code != 0:
        failed = f"failed with status {result.code}"
    else:
        return
    output.show(f"the command {failed}")
    brief = f"{name} {failed}{f': {cause.both}' if cause.line else ''}"
    first = f"{name} {failed}: {cause.line}; it printed" if cause.known else f"{name} {failed}"
    raise SetupFailed(f"{first}{_printed(tail)}", brief)


async def set_up_task(
    spec: RunSpec, commands: CommandStarter, warn: Callable[[str], None], *, new_tree: bool
) -> None:
    """Run the setup in a task's own sandbox, unless that was done. `new_tree`: the work tree is
    new.

    Raises:
        SetupFailed, CommandKilled, OSError
    """
    if new_tree and spec.paths.seed is not None:
        for warning in _warnings_of(spec.paths.seed.parent / WARNINGS):
            warn(warning)
    if spec.setup is None:
        return
    marker = spec.paths.run / MARKER
    if not new_tree and marker.exists() and marker.read_text("utf-8") == spec.setup.key:
        return
    with StepLog(spec.paths.run / "logs" / f"{LOG}.log", spec.limits.log_bytes, warn) as log:
        try:
            await run_commands(spec.setup, commands, SetupOutput(log.line, warn))
        except SetupFailed as error:
            raise SetupFailed(f"{error}\n{_HELP}") from error
    # Only now: a setup that was interrupted or failed runs again.
    marker.write_text(spec.setup.key, "utf-8")


async def set_up_image(
    spec: RunSpec, commands: CommandStarter, show: Callable[[str], None]
) -> None:
    """Run the setup in a container that is to become an image, and leave no clone in it.

    Raises:
        SetupFailed, CommandKilled, WorktreeError, OSError
    """
    setup, seed = spec.setup, spec.paths.seed
    if setup is None or seed is None:
        return
    warnings: list[str] = []
    async with gateway_forwarder(spec):
        worktree = Worktree(spec, commands)
        await worktree.prepare()
        await run_commands(setup, commands, SetupOutput(show, warnings.append))
        await worktree.put_aside(seed)
    (seed.parent / WARNINGS).write_text(json.dumps(warnings[:_MAX_WARNINGS]), "utf-8")


def _warnings_of(path: Path) -> list[str]:
    """The warnings of an image's setup; none if they cannot be read."""
    try:
        with path.open("rb") as file:
            warnings: object = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return []
    lines = cast("list[object]", warnings) if isinstance(warnings, list) else []
    return [line for line in lines if isinstance(line, str)][:_MAX_WARNINGS]


def _printed(tail: deque[str]) -> str:
    return ":\n" + "\n".join(tail) if tail else ""
