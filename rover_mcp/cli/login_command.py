"""`rover login` and `rover logout`: API keys of providers, stored for tasks that continue without a
client. They need no daemon: one that waits for a key notices that it is there."""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.setup_arguments import PROVIDERS
from rover_mcp.cli.terminal_text import Paint, dated
from rover_mcp.cli.tool_commands import home_of, show
from rover_mcp.config import stored_keys
from rover_mcp.config.stored_keys import KEYRING, StoredKey
from rover_mcp.domain.errors import UserFixable

NO_KEYRING = "No keyring can be used here. Only you can read this file, and it is not encrypted."


def login(args: argparse.Namespace) -> int:
    """Store a key, or list the stored keys."""
    home = Path(home_of(args))
    if args.list:
        show(args, {"logins": [_shown(home, k) for k in stored_keys.all_keys(home)]}, _table)
        return 0
    if args.provider is None:
        raise UserFixable("name a provider", hint=f"one of {', '.join(PROVIDERS)}; or --list")
    account = stored_keys.account_of(args.provider, args.name, PROVIDERS)
    key = _key(account, from_stdin=args.stdin)
    stored = stored_keys.keep(home, account, key, args.base_url)
    show(args, _shown(home, stored), _kept)
    return 0


def logout(args: argparse.Namespace) -> int:
    """Remove a key that `login` stored."""
    account = stored_keys.account_of(args.provider, args.name, PROVIDERS)
    stored_keys.forget(Path(home_of(args)), account)
    show(args, {"account": account}, lambda result, _: [f"Removed the key of {result['account']}."])
    return 0


def _key(account: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.read(stored_keys.MAX_KEY + 2).strip()
    if not sys.stdin.isatty():
        raise UserFixable(
            "a key can only be typed in at a terminal",
            hint="give it on standard input, with --stdin",
            code="no_terminal",
        )
    return getpass.getpass(f"Key or token for {account} (it is not shown): ").strip()


def _shown(home: Path, kept: StoredKey) -> Json:
    path = None if kept.place == KEYRING else str(stored_keys.key_file(home, kept.account))
    since = datetime.fromtimestamp(kept.since, UTC).isoformat(timespec="seconds")
    return {
        "account": kept.account, "place": kept.place, "file": path, "since": since,
        "base_url": kept.base_url,
    }  # fmt: skip


def _kept(result: Json, paint: Paint) -> list[str]:
    lines = [f"Stored the key of {result['account']} in {_place(result)}."]
    if result["place"] != KEYRING:
        lines.append(paint(NO_KEYRING, "yellow"))
    return [*lines, "Tasks use it from now on; a task that waited for it resumes automatically."]


def _table(result: Json, paint: Paint) -> list[str]:
    rows = [
        f"{k['account']:<24} {_place(k):<28} {paint(dated(k['since']), 'dim')}"
        for k in result["logins"]
    ]
    return rows or ["No keys. To store one: rover login PROVIDER"]


def _place(result: Json) -> str:
    return "the system's keyring" if result["place"] == KEYRING else str(result["file"])
