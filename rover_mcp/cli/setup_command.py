"""`rover setup`: adds rover to the configuration of each assistant on this machine. Without --write
it only shows what would change. It needs no daemon."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.assistants import config_file
from rover_mcp.assistants.config_change import (
    ConfigChangeRefused,
    block,
    diff,
    with_entry,
    without_entry,
)
from rover_mcp.assistants.known import CLIENTS, Assistant, Machine, is_here, launcher_command
from rover_mcp.assistants.session_hooks import HOOKS, command_of, with_hook, without_hook
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.terminal_text import Paint, clean, json_text, shorten
from rover_mcp.cli.tool_commands import ask_person, home_of
from rover_mcp.launcher.daemon_client import has_person
from rover_mcp.launcher.user_service import is_installed

LONGEST_LINE = 200
"""How many columns of a line are shown in a diff: some clients write everything on one line."""
_DONE = {"add": "added", "change": "changed", "remove": "removed"}


def setup(args: argparse.Namespace) -> int:
    """Show or make the change for each client; returns 1 if one was refused.

    Raises:
        ClientError: there is no such client, or the launcher is not where it should be.
    """
    machine = Machine(Path.home(), os.environ, sys.platform)
    # It is written into a configuration that is read from other folders, so it must not be
    # relative.
    home = str(Path(args.home).expanduser().absolute()) if args.home else None
    argv = launcher_command(Path(sys.prefix), shutil.which, home)
    # An entry that starts nothing would show as a broken server in every session of the assistant.
    if not args.remove and not shutil.which(argv[0]):
        raise ClientError(
            f"program not found: {argv[0]}", code="not_installed",
            hint="run the rover of an installation: pip install rover-mcp, then rover setup",
        )  # fmt: skip
    named = [_named(name) for name in args.clients]
    results = [
        _both(client, machine, argv, args)
        if client in named or is_here(client, machine, shutil.which)
        else {"client": client.name, "title": client.title, "found": False}
        for client in (named or CLIENTS.values())
    ]
    notifications, log_ins = _notifications(args), _log_ins(args)
    if args.json:
        report = {"command": argv, "written": args.write, "clients": results}
        print(json_text({**report, "notifications": notifications, "log_ins": log_ins}))
    else:
        print("\n".join(_lines(results, notifications, log_ins, args)))
    # One assistant that cannot be changed does not keep the others from being changed.
    refused = any("error" in result for result in (*results, notifications))
    return 1 if refused or any(_hook_is(result, ("refused",)) for result in results) else 0


def _session_hook(
    client: Assistant, machine: Machine, argv: Sequence[str], args: argparse.Namespace
) -> Json | None:
    """What has to be done for an assistant's session hook, which is also done with --write. Without
    --session-hooks it is offered where it is missing."""
    hook = HOOKS.get(client.name)
    if hook is None:
        return None
    path = hook.file(machine)
    result: Json = {"file": str(path)}
    try:
        old = config_file.read(path)
        change = (
            without_hook(hook, old or "")
            if args.remove
            else with_hook(hook, old or "", command_of(argv))
        )
        if change.old == change.new:
            return {**result, "action": "nothing"}
        # A hook runs a command at each start of a session, which is more than the user asked for
        # with `setup`.
        if not (args.remove or args.session_hooks or change.was_there):
            return {**result, "action": "offered"}
        action = "remove" if args.remove else "change" if change.was_there else "add"
        result |= {"action": action, "diff": diff(change, path.name), "next": hook.after}
        if args.write:
            backup = config_file.write(path, old, change.new, datetime.now(UTC))
            result["backup"] = str(backup) if backup else None
    except ConfigChangeRefused as refused:
        return {**result, "action": "refused", "error": str(refused)}
    except OSError as error:
        return {**result, "action": "refused", "error": f"cannot be used: {error}"}
    return result


def _notifications(args: argparse.Namespace) -> Json:
    """The desktop notifications, which are on by default where a program can show them."""
    if args.remove or args.no_notifications:
        return {"action": "nothing"}
    # Late: it brings what reads YAML.
    from rover_mcp.cli.desktop import offer

    return offer(Path(home_of(args)), os.environ, datetime.now(UTC), write=args.write)


def _log_ins(args: argparse.Namespace) -> list[Json]:
    """The logins of the user's own programs, which tasks use only where the user allows it."""
    if args.remove:
        return []
    # Late: it brings what reads YAML.
    from rover_mcp.cli.own_login import offers

    def ask(question: str) -> bool:
        return ask_person(question, "Use it?")

    # In a script there is no one to ask, and silence is no consent to use a subscription.
    asks = ask if args.write and not args.json and has_person() else None
    return offers(Path(home_of(args)), os.environ, datetime.now(UTC), asks)


def _named(name: str) -> Assistant:
    if name not in CLIENTS:
        raise ClientError(
            f"unknown client {name!r}", code="invalid_arguments",
            hint=f"clients: {', '.join(CLIENTS)}; for others see docs/clients.md",
        )  # fmt: skip
    return CLIENTS[name]


def _both(
    client: Assistant, machine: Machine, argv: Sequence[str], args: argparse.Namespace
) -> Json:
    """The server's entry, then the session hook, which may be in the same file."""
    result = _one(client, machine, argv, args)
    hook = _session_hook(client, machine, argv, args)
    return {**result, "session_hook": hook} if hook else result


def _one(
    client: Assistant, machine: Machine, argv: Sequence[str], args: argparse.Namespace
) -> Json:
    """What has to be done for one client, which is also done with --write."""
    places = client.files(machine)
    # The first that exists, even as a link to nothing: a second file would be ignored by the
    # assistant.
    path = next((p for p in places if os.path.lexists(p)), places[0])
    result: Json = {
        "client": client.name, "title": client.title, "found": True, "file": str(path),
    }  # fmt: skip
    if path.is_symlink():
        result["leads_to"] = str(path.resolve())
    try:
        old = config_file.read(path)
        change = (
            without_entry(client, old or "") if args.remove else with_entry(client, old or "", argv)
        )
        if change.old == change.new:
            return {**result, "action": "nothing"}
        action = "remove" if args.remove else "change" if change.was_there else "add"
        result |= {"action": action, "diff": diff(change, path.name), "next": client.after}
        if args.write:
            backup = config_file.write(path, old, change.new, datetime.now(UTC))
            result["backup"] = str(backup) if backup else None
    except ConfigChangeRefused as refused:
        # A file that cannot be changed safely is for its owner to change, who gets the text for it.
        paste = None if args.remove else block(client, argv)
        return {**result, "action": "refused", "error": str(refused), "block": paste}
    except OSError as error:
        return {**result, "action": "refused", "error": f"cannot be used: {error}", "block": None}
    return result


def _lines(
    results: Sequence[Json], notifications: Json, log_ins: list[Json], args: argparse.Namespace
) -> Iterator[str]:
    paint = Paint(sys.stdout)
    for result in results:
        yield from _client_lines(result, paint, written=args.write)
        if (hook := result.get("session_hook", {})).get("action") in (*_DONE, "refused"):
            as_client = {"found": True, "title": "  session hook", "block": None, **hook}
            yield from _client_lines(as_client, paint, written=args.write)
    yield from _notification_lines(notifications, paint, written=args.write)
    if log_ins:
        from rover_mcp.cli.own_login import lines_of

        yield from lines_of(log_ins)
    if offered := [r["title"] for r in results if _hook_is(r, ("offered",))]:
        titles = " and ".join(offered)
        yield f"{titles}: with --session-hooks the model learns of tasks when a session starts"
    if not args.remove and not is_installed(Path(home_of(args))):
        yield "To continue paused tasks after a reboot: rover service install"
    if not any(result["found"] for result in results):
        names = "|".join(CLIENTS)
        yield f"None of these is installed here. To configure one anyway: rover setup {names}"
    elif not args.write and any(
        r.get("action") in _DONE or _hook_is(r, _DONE) for r in (*results, notifications)
    ):
        more = ["--remove"] * args.remove + ["--session-hooks"] * args.session_hooks
        words = ["rover setup --write", *more, *args.clients]
        yield f"Nothing was written. To make these changes: {' '.join(words)}"


def _hook_is(result: Json, actions: Container[str]) -> bool:
    return result.get("session_hook", {}).get("action") in actions


def _notification_lines(result: Json, paint: Paint, *, written: bool) -> Iterator[str]:
    title, place = f"{'Notifications':14}  ", clean(result.get("file", ""))
    what = "on the desktop, when a task pauses or ends"
    if result["action"] == "refused":
        yield f"{title}{paint('not changed', 'red')}: {place} {clean(result['error'])}"
        yield "  Add this by hand:"
        yield from (f"    {line}" for line in result["block"].splitlines())
    elif result["action"] == "add" and written:
        kept = f"; the old file is {clean(result['backup'])}" if result["backup"] else ""
        yield f"{title}{paint('added', 'green')} {what}: {place}{kept}"
        yield "  To try it: rover hooks test. To turn it off: hooks: [] in that file."
    elif result["action"] == "add":
        yield f"{title}would be shown {what}: {place} (not wanted: --no-notifications)"


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
        yield f"{title}{paint('not changed', 'red')}: {place} {clean(result['error'])}"
        if result["block"]:
            yield "  Add this by hand:"
            yield from (f"    {line}" for line in result["block"].splitlines())
    elif written:
        kept = f"; the old file is {clean(result['backup'])}" if result["backup"] else ""
        yield f"{title}{paint(_DONE[action], 'green')}: {place}{kept}"
        yield f"  To make it take effect: {result['next']}."
    else:
        yield f"{title}would {action} rover: {place}"
        for line in result["diff"][2:]:
            colour = {"+": "green", "-": "red"}.get(line[:1], "dim")
            yield paint(f"    {shorten(clean(line, one_line=False), LONGEST_LINE)}", colour)
