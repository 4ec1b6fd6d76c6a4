"""`rover completion`: a script with which a shell completes commands, options and their words. It
is made from the parser, so it knows what this version of rover knows."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator

from rover_mcp.clients.known import CLIENTS

SHELLS = ("bash", "zsh", "fish")
_PLACES = {"FILE": "FILE", "PATH": "DIRECTORY", "DIR": "DIRECTORY"}
_WORDS = {"CLIENT": tuple(CLIENTS)}
"""What a shell offers for arguments of these names, besides the choices that the parser knows."""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of SHELLS. `parser` is not to be used afterwards."""
    # By name, since only this command needs it.
    shtab = importlib.import_module("shtab")
    for argument in _arguments(parser):
        name = str(argument.metavar)
        argument.choices = argument.choices or _WORDS.get(name)
        if place := _PLACES.get(name):
            # Where shtab looks for it.
            setattr(argument, "complete", getattr(shtab, place))  # noqa: B010
    return str(shtab.complete(parser, shell))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Those of a parser and of all its commands."""
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]  # argparse has no other way
        yield action
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            commands: dict[str, argparse.ArgumentParser] = dict(action.choices or {})  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
            for command in commands.values():
                yield from _arguments(command)
