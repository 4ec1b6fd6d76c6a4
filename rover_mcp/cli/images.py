"""`rover image`: the images that Rover made, listed and pruned by the daemon."""

from __future__ import annotations

import argparse
from typing import Any

from rover_mcp.cli.commands import connect, show
from rover_mcp.cli.text import Paint, clean

Json = dict[str, Any]


def list_(args: argparse.Namespace) -> int:
    show(args, _ask(args, action="list"), _table)
    return 0


def prune(args: argparse.Namespace) -> int:
    result = _ask(args, action="prune", confirm=bool(args.yes))
    show(args, result, _pruned if args.yes else _would_be_pruned)
    return 0


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
    return rows or ["No images. They are made when a task first needs them."]


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
