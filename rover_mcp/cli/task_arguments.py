"""The options and arguments of the commands for tasks."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rover_mcp.cli.command_parser import Parser

STATUSES = "NEW IN_PROGRESS ITERATING PAUSED COMPLETED FAILED CANCELLED MERGED PUSHED"


_TASK_OPTIONS: dict[str, dict[str, Any]] = {
    "--workflow": {"metavar": "NAME", "help": "see `rover workflows` (default: swe)"},
    "--agent": {
        "metavar": "NAME[,NAME]",
        "help": "who works: claude (default) or another of `rover doctor`; the next one continues "
        "while an account is closed",
    },
    "--model": {"metavar": "NAME", "help": "the agent's model (default: its own)"},
    "--base-branch": {"metavar": "REF", "help": "where to start from (default: HEAD)"},
    "--engine": {
        "choices": ("auto", "docker", "podman", "bubblewrap", "process"),
        "help": "what the sandbox is made with (default: auto, the first that works)",
    },
    "--network": {
        "choices": ("none", "providers", "allowlist", "open"),
        "help": "what the sandbox may reach",
    },
    "--project-config": {
        "choices": ("apply", "ignore"),
        "help": "with ignore it runs without what the repository asks for and nobody trusted "
        "(see `rover trust`)",
    },
    "--devcontainer": {
        "choices": ("off", "image", "all"),
        "help": "what of its devcontainer.json counts: nothing, all but its commands, all",
    },
}
"""Flags of `rover create` that are passed to create_task under their own names."""


def add_create(sub: Parser) -> None:
    sub.add_argument("description", metavar="DESCRIPTION", help="what to do; - reads it from stdin")
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    options = [sub.add_argument(flag, **named).dest for flag, named in _TASK_OPTIONS.items()]
    about = "an input of the workflow; may be repeated"
    sub.add_argument("--input", metavar="NAME=VALUE", action="append", default=[], help=about)
    sub.add_argument("--script", metavar="FILE", help="what the agent `scripted` plays")
    sub.add_argument("--request-key", metavar="KEY", help="the same key makes no second task")
    sub.set_defaults(options=[*options, *add_budget(sub)])
    sub.add_argument("--no-auto-resume", action="store_true", help="after a pause wait for you")
    sub.add_argument("--watch", "--wait", action="store_true", help="stay until it stops")
    about = "only show which steps would run, with outputs made up; --workflow may be a file"
    sub.add_argument("--dry-run", action="store_true", help=about)


def add_budget(sub: Parser) -> list[str]:
    about = "what it may cost before it pauses and asks"
    usd = sub.add_argument("--budget-usd", type=float, metavar="USD", help=about)
    tokens = sub.add_argument("--budget-tokens", type=int, metavar="N", help="the same in tokens")
    return [usd.dest, tokens.dest]


def add_list(sub: Parser) -> None:
    sub.add_argument("--status", metavar="WORD", action="append", default=[], help=STATUSES)
    sub.add_argument("--all", action="store_true", help="of all repositories")
    sub.add_argument("--repo", metavar="PATH", help="of this repository")
    sub.add_argument("--limit", type=int, default=20, metavar="N", help="at most (default: 20)")
    sub.add_argument("--cursor", metavar="TEXT", help="continue where a page ended")
    add_format(sub, "list", "{number} {status} {title}")


def add_format(sub: Parser, kind: str, example: str) -> None:
    def read(text: str) -> object:
        # Only who asks for it needs it.
        from rover_mcp.cli.fields import KINDS, BadTemplate, template

        try:
            return template(text, KINDS[kind])
        except BadTemplate as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    about = f"print only fields, as '{example}'; a wrong one lists all"
    sub.add_argument("--format", metavar="TEMPLATE", type=read, help=about)


def add_status(sub: Parser) -> None:
    add_format(sub, "status", "{queue.running} {engines}")


def add_task(sub: Parser) -> None:
    sub.add_argument("task", metavar="TASK", help="its id, or its number in this project")
    sub.add_argument("--repo", metavar="PATH", help="whose number (default: here)")


def add_tasks(sub: Parser) -> None:
    about = "their ids, or their numbers in this project"
    sub.add_argument("tasks", metavar="TASK", nargs="+", help=about)
    sub.add_argument("--repo", metavar="PATH", help="whose numbers (default: here)")


def add_prune(sub: Parser) -> None:
    sub.add_argument("--yes", action="store_true", help="do it")
    about = "of these statuses (default: COMPLETED, MERGED, PUSHED); may be repeated"
    sub.add_argument("--status", metavar="WORD", action="append", default=[], help=about)
    sub.add_argument("--all", action="store_true", help="of all repositories")
    sub.add_argument("--repo", metavar="PATH", help="of this repository (default: here)")


def add_inspect(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--full", action="store_true", help="outputs, changes and events too")
    add_format(sub, "inspect", "{status} {branch}")


def add_wait(sub: Parser) -> None:
    sub.add_argument("tasks", metavar="TASK", nargs="*", help="the first of these that stops")
    sub.add_argument("--any", action="store_true", help="any that runs here")
    sub.add_argument("--repo", metavar="PATH", help="whose numbers (default: here)")


def add_resume(sub: Parser) -> None:
    add_tasks(sub)
    sub.add_argument("--at-reset", action="store_true", help="when the provider allows it, not now")
    sub.add_argument("--agent", metavar="NAME", help="another one continues (default: the same)")
    sub.add_argument("--model", metavar="NAME", help="another model (default: the same)")
    sub.add_argument("--accept", action="store_true", help="deliver what waits for a look")
    add_budget(sub)
    sub.add_argument("--watch", "--wait", action="store_true", help="stay until it stops")


def add_delete(sub: Parser) -> None:
    add_tasks(sub)
    sub.add_argument("--yes", action="store_true", help="do it")


def add_logs(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--step", metavar="ID", help="default: the one that wrote last")
    sub.add_argument("--tail", type=int, metavar="N", help="lines from the end (default: 100)")
    sub.add_argument("-f", "--follow", action="store_true", help="as it grows, until it stops")


def add_diff(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("paths", metavar="PATH", nargs="*", default=[], help="only these")
    sub.add_argument("--no-pager", action="store_true", help="all at once, also at a terminal")
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--stat", action="store_true", help="totals and files only")
    form.add_argument("--patch", action="store_true", help="all of it, byte for byte: | git apply")


def add_switch(sub: Parser) -> None:
    sub.add_argument("switch", choices=("on", "off"), help="off drops what is scheduled, at once")
    sub.add_argument("task", metavar="TASK", nargs="?", help="one task; or one of:")
    sub.add_argument("--project", action="store_true", help="every task of this project")
    sub.add_argument("--all", action="store_true", help="every task of every project")
    sub.add_argument("--repo", metavar="PATH", help="whose project or number (default: here)")
