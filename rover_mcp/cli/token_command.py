"""`rover token`: bearer tokens for `rover-mcp --http`, stored in the data folder. It needs no
daemon."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import Paint, dated
from rover_mcp.cli.tool_commands import home_of, show
from rover_mcp.config import http_tokens


def new(args: argparse.Namespace) -> int:
    scopes = ("read",) if args.scope == "read" else ("read", "write")
    token = http_tokens.new_token(_home(args), args.name, scopes)
    created = {"name": args.name, "scopes": list(scopes), "token": token}
    show(args, created, lambda result, _paint: [result["token"]])
    return 0


def list_(args: argparse.Namespace) -> int:
    kept = [
        {"name": g.name, "scopes": list(g.scopes), "created_at": _iso(g.created_at)}
        for g in http_tokens.stored_grants(_home(args))
    ]
    show(args, {"tokens": kept}, _table)
    return 0


def revoke(args: argparse.Namespace) -> int:
    count = http_tokens.revoke(_home(args), args.name)
    show(args, {"name": args.name, "revoked": count}, _revoked)
    return 0


def _table(result: Json, paint: Paint) -> list[str]:
    rows = [
        f"{t['name']:<20} {', '.join(t['scopes']):<12} {paint(dated(t['created_at']), 'dim')}"
        for t in result["tokens"]
    ]
    return rows or ["No tokens. To create one: rover token new NAME"]


def _revoked(result: Json, _paint: Paint) -> list[str]:
    return [f"Revoked {result['revoked']} of {result['name']}."]


def _home(args: argparse.Namespace) -> Path:
    return Path(home_of(args))


def _iso(at: float | None) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else None
