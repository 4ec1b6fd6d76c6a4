"""`rover hooks`: lists and tests the user's hooks, and shows what could not be delivered."""

from __future__ import annotations

import argparse

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import Paint, clean, dated
from rover_mcp.cli.tool_commands import connect, show


def list_(args: argparse.Namespace) -> int:
    show(args, _ask(args, action="list"), _table)
    return 0


def test(args: argparse.Namespace) -> int:
    """Send test messages; returns 1 where one could not be delivered."""
    result = _ask(args, action="test", name=args.name)
    show(args, result, _tested)
    return 1 if any(t["error"] for t in result["tested"]) else 0


def dead(args: argparse.Namespace) -> int:
    show(args, _ask(args, action="dead"), _dead)
    return 0


def retry(args: argparse.Namespace) -> int:
    show(args, _ask(args, action="retry", id=args.id), _retried)
    return 0


def _ask(args: argparse.Namespace, **params: object) -> Json:
    client = connect(args)
    try:
        return client.request("rover/hooks", params)
    finally:
        client.close()


def _table(result: Json, paint: Paint) -> list[str]:
    lines: list[str] = []
    for hook in result["hooks"]:
        bad = hook["problem"]
        mark = paint("✘", "red") if bad else paint("✔", "green")
        counts = ", ".join(f"{hook[s]} {s}" for s in ("delivered", "pending", "dead"))
        events = ", ".join(map(clean, hook["events"]))
        lines.append(f"{mark} {clean(hook['name']):<20} {hook['kind']:<8} {counts}")
        lines.append(f"    {paint(clean(bad) if bad else events, 'dim')}")
    return lines or ["No hooks. config.yaml in the data folder names them: docs/notifications.md"]


def _tested(result: Json, paint: Paint) -> list[str]:
    lines: list[str] = []
    for test in result["tested"]:
        mark = paint("✘", "red") if test["error"] else paint("✔", "green")
        lines.append(f"{mark} {clean(test['name']):<20} {clean(test['error'] or 'delivered')}")
        if test["output"]:
            lines.append(f"    {paint(clean(test['output']), 'dim')}")
    return lines or ["No hooks."]


def _dead(result: Json, paint: Paint) -> list[str]:
    lines: list[str] = []
    for one in result["dead"]:
        tries = "1 try" if one["attempts"] == 1 else f"{one['attempts']} tries"
        why = clean(f"{tries}, until {dated(one['ended_at'])}: {one['error']}")
        lines.append(f"{one['id']}  {clean(one['hook'])}, event {one['seq']}")
        lines.append(f"    {paint(why, 'dim')}")
    if not lines:
        return ["No delivery was given up."]
    return [*lines, "", "To try one again: rover hooks retry ID"]


def _retried(result: Json, _paint: Paint) -> list[str]:
    return [f"{clean(result['retrying'])} is being retried."]
