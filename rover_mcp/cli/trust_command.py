"""`rover trust`: what a repository asks for beyond the user's defaults, and the user's consent."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError, McpClient
from rover_mcp.cli.terminal_text import Paint, clean, json_text
from rover_mcp.cli.tool_commands import ask_person, connect, home_of, show
from rover_mcp.launcher.daemon_client import has_person

_MARKS = {"trusted": ("✔", "green"), "new": ("+", "yellow"), "changed": ("~", "yellow")}


def trust(args: argparse.Namespace) -> int:
    """Show what a repository asks for, and ask the person at the terminal. Returns 1 where the
    repository is not trusted afterwards.

    Raises:
        ClientError: no person can be asked, or there is no repository.
    """
    place: Json = {"repoPath": str(Path(args.path or ".").absolute())}
    if args.base_branch:
        place["baseBranch"] = args.base_branch
    client = connect(args)
    try:
        if args.revoke:
            show(args, _ask(client, place, "revoke"), _revoked)
            return 0
        asked_for = _ask(client, place, "show")
        if args.show or not _missing(asked_for):
            show(args, asked_for, lines)
            return 0
        if not args.json:
            print("\n".join(lines(asked_for, Paint(sys.stdout))), flush=True)
        return _decide(args, client, place, asked_for)
    finally:
        client.close()


def _decide(args: argparse.Namespace, client: McpClient, place: Json, asked_for: Json) -> int:
    if not has_person():
        raise ClientError(
            "only a person at a terminal can trust a project",
            code="no_terminal",
            hint=f"run it at a terminal; or write into {home_of(args)}/config.yaml: "
            f"trusted_projects: [{{path: {asked_for['path']}, digest: {asked_for['digest']}}}]",
        )
    if not ask_person("You are asked again whenever it changes.", "Trust it?"):
        print("Not trusted: no task of this repository gets it.", file=sys.stderr)
        return 1
    result = _ask(client, {**place, "digest": asked_for["digest"]}, "grant")
    if args.json:
        print(json_text(result))
    else:
        print(f"Trusted: {clean(result['path'])}")
    return 0


def _ask(client: McpClient, place: Json, action: str) -> Json:
    return client.request("rover/trust", {**place, "action": action})


def _missing(asked_for: Json) -> bool:
    return any(ask["state"] != "trusted" for ask in asked_for["asks"])


def lines(asked_for: Json, paint: Paint) -> list[str]:
    """What the repository asks for, one line each, and the digest of all of it."""
    if not asked_for["asks"]:
        return [f"{clean(asked_for['path'])} asks for nothing beyond your defaults."]
    text = [
        f"{paint(clean(asked_for['path']), 'bold')} asks for this, in the sandboxes of its tasks:"
    ]
    for ask in asked_for["asks"]:
        mark, colour = _MARKS[ask["state"]]
        text.append(f"  {paint(mark, colour)} {clean(ask['line'])}")
    text.append(paint(f"  digest {asked_for['digest']}", "dim"))
    return text if _missing(asked_for) else [*text, "You trust all of it."]


def _revoked(result: Json, _paint: Paint) -> list[str]:
    path = clean(result["path"])
    return [f"No longer trusted: {path}" if result["revoked"] else f"It was not trusted: {path}"]
