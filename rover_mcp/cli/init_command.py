"""`rover init`: writes a first `.rover/config.yaml` that fits the content of the repository."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError, McpClient
from rover_mcp.cli.config_command import root_here
from rover_mcp.cli.terminal_text import clean
from rover_mcp.cli.tool_commands import home_of
from rover_mcp.cli.toolchain_entries import toolchains_to_name
from rover_mcp.config.load_project import parse_config
from rover_mcp.config.project import FILE
from rover_mcp.config.safe_read import FileRefused, read_beneath
from rover_mcp.launcher.daemon_client import DaemonUnavailable
from rover_mcp.project.detect import detect
from rover_mcp.project.draft import draft

LOOKED_AT = 1_000_000
"""How many bytes of a file are read."""
NAMES = 20_000
"""How many names in a folder are read."""
_FOLDERS = (".github/workflows", ".devcontainer", ".circleci", ".ci")


def init(args: argparse.Namespace, connect: Callable[[], McpClient]) -> int:
    """Write the file, or with --dry-run print it.

    Raises:
        ClientError: this is not a repository, or there is a file already.
        OSError: it cannot be written.
    """
    root = root_here(Path(args.repo) if args.repo else None)
    if not (root / ".git").exists():
        raise ClientError(
            f"{root} is not in a git repository", code="no_repository", hint="run: git init"
        )
    detected = detect(set(_names(root)), lambda name: _read(root, name))
    text = draft(detected, _ready_agents(connect))
    parse_config(text.encode())
    toolchains = toolchains_to_name(Path(home_of(args)), Path.home())
    result: Json = {
        "path": str(root / FILE),
        "written": not args.dry_run,
        "found": asdict(detected),
        "toolchains": toolchains,
    }
    if not args.dry_run:
        result["backup"] = _write(root, text, force=args.force)
    if args.json:
        print(json.dumps({**result, "text": text}, indent=2, ensure_ascii=False))
    elif args.dry_run:
        print(text, end="")
    else:
        kept = f" The old one is kept as {result['backup']}." if result["backup"] else ""
        print(clean(f"Wrote {result['path']}.{kept}"))
        print("  Review it, then: rover config check; rover create DESCRIPTION")
        if toolchains:
            print("  Bubblewrap sandboxes do not see these programs in your home folder. Add those")
            print(f"  that the project needs to {home_of(args)}/config.yaml:")
            print(clean(f"    toolchains: [{', '.join(toolchains)}]"))
    return 0


def _names(root: Path) -> Iterator[str]:
    for folder in ("", *_FOLDERS):
        place = root / folder
        if place.is_symlink() or not place.is_dir():
            continue
        with os.scandir(place) as entries:
            for entry, _ in zip(entries, range(NAMES), strict=False):
                yield f"{folder}/{entry.name}" if folder else entry.name


def _read(root: Path, name: str) -> str:
    try:
        return read_beneath(root, name, LOOKED_AT).data.decode(errors="replace")
    except FileRefused:
        return ""


def _ready_agents(connect: Callable[[], McpClient]) -> list[str]:
    """The agents that can work here now, according to the daemon; empty where it cannot start."""
    try:
        client = connect()
        try:
            agents: list[Json] = client.call("get_status")["agents"]
        finally:
            client.close()
    except (ClientError, DaemonUnavailable):
        return []
    ready = [str(a["name"]) for a in agents if a["installed"] and a["signed_in"]]
    return [name for name in ready if name != "scripted"]


def _write(root: Path, text: str, *, force: bool) -> str | None:
    """Write the file, but never over another one, which is kept beside it. Returns that one's new
    name."""
    path = root / FILE
    if path.parent.is_symlink():
        raise ClientError(f"{path.parent} is a symbolic link", code="not_written")
    path.parent.mkdir(exist_ok=True)
    backup = None
    if os.path.lexists(path):
        if not force:
            raise ClientError(
                f"{path} exists", code="exists",
                hint="rover init --dry-run prints a new one; --force keeps the old one beside it",
            )  # fmt: skip
        backup = _free_name(path)
        path.rename(backup)
    # Exclusive, so that nothing that appears meanwhile is lost.
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return str(backup) if backup else None


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.bak{n or ''}") for n in range(1000))
    return next(name for name in names if not os.path.lexists(name))
