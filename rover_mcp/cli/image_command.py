"""`rover image`: builds, lists and prunes Rover's images through the daemon."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import Paint, clean
from rover_mcp.cli.tool_commands import connect, show


def list_(args: argparse.Namespace) -> int:
    show(args, _ask(args, action="list"), _table)
    return 0


def prune(args: argparse.Namespace) -> int:
    result = _ask(args, action="prune", confirm=bool(args.yes))
    show(args, result, _pruned if args.yes else _would_be_pruned)
    return 0


def build(args: argparse.Namespace) -> int:
    """Build the image for a project's next task, and print its output as it arrives."""
    begun = time.monotonic()

    def print_progress(message: Json) -> None:
        if message.get("method") != "notifications/progress":
            return
        line = clean(str(message["params"].get("message") or ""))
        seconds = round(time.monotonic() - begun, 1)
        if args.json:
            print(json.dumps({"seconds": seconds, "line": line}), flush=True)
        else:
            print(f"{seconds:7.1f} s  {line}", flush=True)

    client = connect(args)
    client.on_notification = print_progress
    try:
        # Where this is interrupted the connection ends, and with it the build.
        result = client.request_for_long(
            "rover/images",
            {
                "action": "build",
                "repoPath": str(Path(args.repo or ".").absolute()),
                "engine": args.engine,
                "image": args.image,
            },
        )
    finally:
        client.close()
    if args.json:
        print(json.dumps(result), flush=True)
    else:
        print("\n".join(_built(result["built"], Paint(sys.stdout))))
    return 0


def _built(built: Json, paint: Paint) -> list[str]:
    how = "already there" if built["cached"] else "built"
    return [
        *(paint(clean(f"warning: {warning}"), "yellow") for warning in built["warnings"]),
        clean(f"{built['tag']} on {built['engine']}: {how}, in {built['seconds']} s"),
        f"{_size(built).strip()}, {clean(built['digest'])}",
    ]


def _ask(args: argparse.Namespace, **params: object) -> Json:
    client = connect(args)
    try:
        return client.request("rover/images", params)
    finally:
        client.close()


def _table(result: Json, paint: Paint) -> list[str]:
    rows = [
        f"{_size(i)}  {i['kind']:<8} {i['tag']}  "
        + paint(clean(f"{i['engine']}, on {i['base']}{', in use' if i['used'] else ''}"), "dim")
        for i in result["images"]
    ]
    return rows or ["No images. They are built when a task first needs them."]


def _pruned(result: Json, paint: Paint) -> list[str]:
    removed = [i for i in result["images"] if i["removed"]]
    return [*_table({"images": removed}, paint)[: len(removed)], f"Removed {len(removed)} images."]


def _would_be_pruned(result: Json, paint: Paint) -> list[str]:
    if not result["images"]:
        return ["Nothing to remove: every image is needed, or younger than an hour."]
    return [
        *_table(result, paint),
        "",
        "No task needs these. To remove them: rover image prune --yes",
    ]


def _size(image: Json) -> str:
    return f"{image['bytes'] / 1e6:>7.0f} MB"
