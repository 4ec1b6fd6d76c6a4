"""`rover setup`: rover in the configuration of each assistant that is on this machine. Without
--write it only shows what would change. No daemon is needed."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rover_mcp.cli.client import ClientError
from rover_mcp.cli.commands import home_of
from rover_mcp.cli.text import Paint, clean, json_text, shorten
from rover_mcp.clients import files
from rover_mcp.clients.known import CLIENTS, Client, Machine, is_here, launcher_command
from rover_mcp.clients.plan import Refused, block, diff, entered, removed
from rover_mcp.user_service import is_installed

Json = dict[str, Any]
LONGEST_LINE = 200
"""Columns of a diff's line that are shown: some clients write all on one line."""
_DONE = {"add": "added", "change": "changed", "remove": "removed"}


def setup(args: argparse.Namespace) -> int:
    """Show or make the change of each client; 1 if one was refused.

    Raises:
        ClientError: no such client, or the launcher is not where it should be.
    """
    machine = Machine(Path.home(), os.environ, sys.platform)
    home = str(Path(args.home).expanduser().absolute()) if args.home else None
    argv = launcher_command(Path(sys.prefix), shutil.which, home)
    if not args.remove and not shutil.which(argv[0]):
        raise ClientError(
            f"there is no program {argv[0]}", code="not_installed",
            hint="run the rover of an installation: pip install rover-mcp, then rover setup",
        )  # fmt: skip
    named = [_named(name) for name in args.clients]
    results = [
        _one(client, machine, argv, args)
        if client in named or is_here(client, machine, shutil.which)
        else {"client": client.name, "title": client.title, "found": False}
        for client in (named or CLIENTS.values())
    ]
    if args.json:
        told = {"command": argv, "written": args.write, "clients": results}
        print(json_text(told))
    else:
        print("\n".join(_lines(results, args)))
    return 1 if any("error" in result for result in results) else 0


def _named(name: str) -> Client:
    if name not in CLIENTS:
        raise ClientError(
            f"there is no client {name!r}", code="invalid_arguments",
            hint=f"clients: {', '.join(CLIENTS)}; for others see docs/clients.md",
        )  # fmt: skip
    return CLIENTS[name]


def _one(client: Client, machine: Machine, argv: Sequence[str], args: argparse.Namespace) -> Json:
    """What is to be done for one client, and done if that is asked for."""
    places = client.files(machine)
    path = next((p for p in places if os.path.lexists(p)), places[0])
    told: Json = {
        "client": client.name, "title": client.title, "found": True, "file": str(path),
    }  # fmt: skip
    if path.is_symlink():
        told["leads_to"] = str(path.resolve())
    try:
        old = files.read(path)
        change = removed(client, old or "") if args.remove else entered(client, old or "", argv)
        if change.old == change.new:
            return {**told, "action": "nothing"}
        action = "remove" if args.remove else "change" if change.was_there else "add"
        told |= {"action": action, "diff": diff(change, path.name), "next": client.after}
        if args.write:
            backup = files.write(path, old, change.new, datetime.now(UTC))
            told["backup"] = str(backup) if backup else None
    except Refused as refused:
        paste = None if args.remove else block(client, argv)
        return {**told, "action": "refused", "error": str(refused), "block": paste}
    except OSError as error:
        return {**told, "action": "refused", "error": f"cannot be used: {error}", "block": None}
    return told


def _lines(results: Sequence[Json], args: argparse.Namespace) -> Iterator[str]:
    paint = Paint(sys.stdout)
    for result in results:
        yield from _client_lines(result, paint, written=args.write)
    if not args.remove and not is_installed(Path(home_of(args))):
        yield "Paused tasks continue after a reboot too, with: rover service install"
    if not any(result["found"] for result in results):
        yield f"None of these is on this machine. To prepare one: rover setup {'|'.join(CLIENTS)}"
    elif not args.write and any(result.get("action") in _DONE for result in results):
        words = ["rover setup --write", *(["--remove"] if args.remove else []), *args.clients]
        yield f"Nothing was written. To do it: {' '.join(words)}"


def _client_lines(result: Json, paint: Paint, *, written: bool) -> Iterator[str]:
    title = f"{result['title']:14}  "
    if not result["found"]:
        yield paint(f"{title}not found", "dim")
        return
    place = clean(result["file"]) + (
        f" -> {clean(result['leads_to'])}" if "leads_to" in result else ""
    )
    action = result["action"]
    if action == "nothing":
        yield f"{title}{place}: nothing to do"
    elif action == "refused":
        yield f"{title}{paint('left alone', 'red')}: {place} {clean(result['error'])}"
        if result["block"]:
            yield "  Put this into it by hand:"
            yield from (f"    {line}" for line in result["block"].splitlines())
    elif written:
        kept = f"; the old one is {clean(result['backup'])}" if result["backup"] else ""
        yield f"{title}{paint(_DONE[action], 'green')}: {place}{kept}"
        yield f"  For it to count: {result['next']}."
    else:
        yield f"{title}would {action} rover: {place}"
        for line in result["diff"][2:]:
            colour = {"+": "green", "-": "red"}.get(line[:1], "dim")
            yield paint(f"    {shorten(clean(line, one_line=False), LONGEST_LINE)}", colour)
