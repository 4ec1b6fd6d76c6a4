"""`rover completion`: a script with which a shell completes commands, options and their values. It
is generated from the parser, so it matches this version of rover."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

from rover_mcp.assistants.assistant_names import CLIENT_NAMES
from rover_mcp.cli.setup_arguments import WORKFLOW_NAMES
from rover_mcp.cli.task_arguments import STATUSES

_PLACES = {"FILE": "FILE", "PATH": "DIRECTORY", "DIR": "DIRECTORY"}
_WORDS = {"CLIENT": CLIENT_NAMES}
"""What a shell offers for arguments with these names, in addition to the parser's choices."""


def _names_from_server(what: str) -> dict[str, str]:
    """The part of each shell's script that calls `rover complete-WHAT`."""
    function = f"_rover_{what}"
    return {"bash": function, "zsh": function, "fish": f"(rover complete-{what})"}


_TASKS, _WORKFLOWS = _names_from_server("tasks"), _names_from_server("workflows")
_PREAMBLE = {
    "bash": "_rover_{0}() {{ compgen -W '$(rover complete-{0} 2>/dev/null)' -- \"$1\"; }}\n",
    "zsh": '_rover_{0}() {{ compadd - ${{(f)"$(rover complete-{0} 2>/dev/null)"}}; }}\n',
    "fish": "",
}
"""Looked up when TAB is pressed: see glance.py and shell_completion.py, which start no daemon."""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for bash, zsh or fish. `parser` cannot be used afterwards."""
    # By name, since only this command needs it.
    shtab = importlib.import_module("shtab")
    options = _options()
    for argument in _arguments(parser):
        name = str(argument.metavar)
        known = next((options[o] for o in argument.option_strings if o in options), None)
        argument.choices = argument.choices or known or _WORDS.get(name)
        if name == "TASK":
            setattr(argument, "complete", _TASKS)  # noqa: B010
        if "--workflow" in argument.option_strings or argument.help == WORKFLOW_NAMES:
            setattr(argument, "complete", _WORKFLOWS)  # noqa: B010
        if place := _PLACES.get(name):
            # Where shtab looks for it.
            setattr(argument, "complete", getattr(shtab, place))  # noqa: B010
    preamble = "".join(_PREAMBLE[shell].format(what) for what in ("tasks", "workflows"))
    return str(shtab.complete(parser, shell, preamble=preamble))


def _options() -> dict[str, Sequence[str]]:
    """The values of some options, as far as they are known in advance."""
    # Late, because no other command needs the agents' drivers to parse its arguments.
    from agent_runner.agents import agent_names

    return {"--status": STATUSES.split(), "--agent": agent_names()}


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and the parsers of all its commands."""
    yield parser
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]  # argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            commands = cast("dict[str, Any]", action.choices)  # pyright: ignore[reportUnknownMemberType]
            for name, command in commands.items():
                # shtab looks for parsers, and not for what will be one.
                commands[name] = command.whole()
                yield from parsers(commands[name])


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for known in parsers(parser):
        yield from known._actions  # pyright: ignore[reportPrivateUsage]  # argparse has no other way
