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
        "help": "the agent (default: claude; see `rover doctor`); of several, the next one takes "
        "over while the account of the one before is closed",
    },
    "--agents": {
        "metavar": "NAME,NAME",
        "help": "a race: each of these agents does the whole task, in a task of its own; "
        "`rover race` compares them",
    },
    "--model": {"metavar": "NAME", "help": "the agent's model (default: the agent's own)"},
    "--base-branch": {
        "metavar": "REF",
        "help": "the branch, tag or commit to start from, or task:3, the result of a task "
        "(default: HEAD)",
    },
    "--engine": {
        "choices": ("auto", "docker", "podman", "bubblewrap", "process"),
        "help": "the sandbox engine (default: auto, the first that works)",
    },
    "--network": {
        "choices": ("none", "providers", "allowlist", "open"),
        "help": "what the sandbox may reach over the network",
    },
    "--project-config": {
        "choices": ("apply", "ignore"),
        "help": "ignore: run without what the repository asks for and you have not approved "
        "(see `rover trust`)",
    },
    "--devcontainer": {
        "choices": ("off", "image", "all"),
        "help": "what to use of devcontainer.json: nothing, all but its commands, or all",
    },
}
"""Flags of `rover create` that are passed to create_task under their own names."""


def add_create(sub: Parser) -> None:
    sub.add_argument(
        "description", metavar="DESCRIPTION", help="what to do; - reads it from standard input"
    )
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: the current folder)")
    options = [sub.add_argument(flag, **named).dest for flag, named in _TASK_OPTIONS.items()]
    about = "an input of the workflow (repeatable)"
    sub.add_argument("--input", metavar="NAME=VALUE", action="append", default=[], help=about)
    about = (
        "an issue, a request, a page or a file for the agent to read, such as github:issue/12, "
        "gitlab:mr/7, https://... or notes.md (repeatable)"
    )
    sub.add_argument("--context", metavar="REFERENCE", action="append", default=[], help=about)
    about = "include this person's comments beside those of project members; all: everybody's"
    sub.add_argument("--context-author", metavar="NAME", action="append", default=[], help=about)
    about = "start once this task is completed (repeatable)"
    sub.add_argument("--after", metavar="TASK", action="append", default=[], help=about)
    sub.add_argument("--script", metavar="FILE", help="the script for the agent `scripted`")
    sub.add_argument(
        "--request-key",
        metavar="KEY",
        help="a key of your choice: repeating it returns the same task",
    )
    sub.set_defaults(options=[*options, *add_budget(sub)])
    sub.add_argument(
        "--no-auto-resume", action="store_true", help="after a pause, wait for `rover resume`"
    )
    sub.add_argument(
        "--watch", "--wait", action="store_true", help="follow the task until it pauses or ends"
    )
    about = "only show which steps would run, with invented outputs; --workflow may be a file"
    sub.add_argument("--dry-run", action="store_true", help=about)


def add_budget(sub: Parser) -> list[str]:
    about = "pause before the next step once the task has cost this much"
    usd = sub.add_argument("--budget-usd", type=float, metavar="USD", help=about)
    tokens = sub.add_argument(
        "--budget-tokens", type=int, metavar="N", help="pause once it has used this many tokens"
    )
    return [usd.dest, tokens.dest]


def add_list(sub: Parser) -> None:
    sub.add_argument(
        "--status",
        metavar="WORD",
        action="append",
        default=[],
        help=f"only tasks with this status (repeatable): {STATUSES}",
    )
    sub.add_argument("--all", "-a", action="store_true", help="tasks of all repositories")
    sub.add_argument(
        "--repo", metavar="PATH", help="tasks of this repository (default: the current folder)"
    )
    sub.add_argument(
        "--limit", type=int, default=20, metavar="N", help="how many tasks at most (default: 20)"
    )
    sub.add_argument("--cursor", metavar="TEXT", help="continue where the previous page ended")
    add_format(sub, "list", "{number} {status} {title}")


def add_report(sub: Parser) -> None:
    add_task(sub)
    about = "the file to write; - prints it (default: a file in a temporary folder)"
    sub.add_argument("--out", metavar="FILE", help=about)
    sub.add_argument("--open", action="store_true", help="open it in your browser")
    about = "also write when each step ran, for ui.perfetto.dev and chrome://tracing"
    sub.add_argument("--trace", metavar="FILE", help=about)


def add_format(sub: Parser, kind: str, example: str) -> None:
    def read(text: str) -> object:
        # Only who asks for it needs it.
        from rover_mcp.cli.fields import KINDS, BadTemplate, template

        try:
            return template(text, KINDS[kind])
        except BadTemplate as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    about = f"print only these fields, for example '{example}'; an unknown field lists all"
    sub.add_argument("--format", metavar="TEMPLATE", type=read, help=about)


def add_status(sub: Parser) -> None:
    add_format(sub, "status", "{queue.running} {engines}")


def add_task(sub: Parser) -> None:
    sub.add_argument("task", metavar="TASK", help="the task's id, or its number in this project")
    sub.add_argument(
        "--repo",
        metavar="PATH",
        help="the repository that the number is from (default: the current folder)",
    )


def add_tasks(sub: Parser) -> None:
    about = "task ids, or their numbers in this project"
    sub.add_argument("tasks", metavar="TASK", nargs="+", help=about)
    sub.add_argument(
        "--repo",
        metavar="PATH",
        help="the repository that the numbers are from (default: the current folder)",
    )


def add_prune(sub: Parser) -> None:
    sub.add_argument("--yes", action="store_true", help="delete them")
    sub.add_argument("--branch", action="store_true", help="delete their branches, too")
    about = "tasks with this status (repeatable; default: COMPLETED, MERGED, PUSHED)"
    sub.add_argument("--status", metavar="WORD", action="append", default=[], help=about)
    sub.add_argument("--all", "-a", action="store_true", help="tasks of all repositories")
    sub.add_argument(
        "--repo", metavar="PATH", help="tasks of this repository (default: the current folder)"
    )


def add_inspect(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--full", action="store_true", help="include outputs, changes and events")
    add_format(sub, "inspect", "{status} {branch}")


def add_wait(sub: Parser) -> None:
    sub.add_argument(
        "tasks",
        metavar="TASK",
        nargs="*",
        help="tasks to wait for; the first to pause or end counts",
    )
    sub.add_argument(
        "--any", action="store_true", help="wait for any running task of this repository"
    )
    sub.add_argument(
        "--repo",
        metavar="PATH",
        help="the repository that the numbers are from (default: the current folder)",
    )


def add_resume(sub: Parser) -> None:
    add_tasks(sub)
    sub.add_argument(
        "--at-reset",
        action="store_true",
        help="resume when the provider's limit resets, instead of now",
    )
    sub.add_argument(
        "--agent", metavar="NAME", help="continue with another agent (default: the same)"
    )
    sub.add_argument(
        "--model", metavar="NAME", help="continue with another model (default: the same)"
    )
    sub.add_argument(
        "--accept",
        action="store_true",
        help="deliver the result of a task that waits for your review",
    )
    add_budget(sub)
    sub.add_argument(
        "--watch", "--wait", action="store_true", help="follow the task until it pauses or ends"
    )


def add_history(sub: Parser) -> None:
    add_task(sub)
    about = "show this one's diff against the one before it; such as s4"
    sub.add_argument("snapshot", metavar="SNAPSHOT", nargs="?", help=about)
    sub.add_argument("--no-pager", action="store_true", help="print the diff without a pager")


def add_rewind(sub: Parser) -> None:
    add_task(sub)
    about = "where to start from; such as s4, see `rover history`"
    sub.add_argument("snapshot", metavar="SNAPSHOT", help=about)
    _add_instructions(sub)


def add_fork(sub: Parser) -> None:
    add_task(sub)
    about = "where to start from; such as s4, see `rover history` (default: the newest)"
    sub.add_argument("snapshot", metavar="SNAPSHOT", nargs="?", help=about)
    about = "what the new task should do (default: what was left to do); - reads it from stdin"
    sub.add_argument("instructions", metavar="INSTRUCTIONS", nargs="?", default="", help=about)
    sub.add_argument("--agent", metavar="NAME[,NAME]", help="the agent (default: the same)")
    about = "a race: a fork for each of these agents; `rover race` compares them"
    sub.add_argument("--agents", metavar="NAME,NAME", help=about)
    sub.add_argument(
        "--watch", "--wait", action="store_true", help="follow the task until it pauses or ends"
    )


def add_iterate(sub: Parser) -> None:
    add_task(sub)
    _add_instructions(sub)


def add_review(sub: Parser) -> None:
    add_task(sub)
    about = "review only these files or folders"
    sub.add_argument("paths", metavar="PATH", nargs="*", default=[], help=about)
    place = sub.add_mutually_exclusive_group()
    about = "send a review that is written already; - reads it from standard input"
    place.add_argument("--file", metavar="FILE", help=about)
    about = "print what the editor would open, to be sent with --file later"
    place.add_argument("--print", action="store_true", help=about)
    sub.add_argument(
        "--watch", "--wait", action="store_true", help="follow the task until it pauses or ends"
    )


def _add_instructions(sub: Parser) -> None:
    about = "what to change; - reads it from stdin"
    sub.add_argument("instructions", metavar="INSTRUCTIONS", nargs="?", default="", help=about)
    sub.add_argument("--file", metavar="FILE", help="read the instructions from this file")
    sub.add_argument(
        "--comment",
        metavar="PATH:LINE:TEXT",
        action="append",
        default=[],
        help="a comment on a line of the diff; may be repeated",
    )
    sub.add_argument(
        "--watch", "--wait", action="store_true", help="follow the task until it pauses or ends"
    )


def add_delete(sub: Parser) -> None:
    add_tasks(sub)
    about = "delete their branches, too; undelete restores them"
    sub.add_argument("--branch", action="store_true", help=about)
    sub.add_argument("--yes", action="store_true", help="delete them")


def add_choose(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--yes", action="store_true", help="put the others into the trash")


def add_logs(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--step", metavar="ID", help="the step (default: the one that wrote last)")
    sub.add_argument("--tail", type=int, metavar="N", help="show the last N lines (default: 100)")
    sub.add_argument(
        "-f", "--follow", action="store_true", help="follow the log until the task pauses or ends"
    )


def add_diff(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument(
        "paths", metavar="PATH", nargs="*", default=[], help="show only these files or folders"
    )
    sub.add_argument("--no-pager", action="store_true", help="do not use a pager")
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--stat", action="store_true", help="show only totals and files")
    form.add_argument(
        "--patch",
        action="store_true",
        help="print the complete patch, byte for byte, as for `git apply`",
    )


def add_switch(sub: Parser) -> None:
    sub.add_argument("switch", choices=("on", "off"), help="off also cancels scheduled resumes")
    sub.add_argument("task", metavar="TASK", nargs="?", help="one task; or use --project or --all")
    sub.add_argument("--project", action="store_true", help="all tasks of this project")
    sub.add_argument("--all", action="store_true", help="all tasks of all projects")
    sub.add_argument(
        "--repo",
        metavar="PATH",
        help="the repository of the project or number (default: the current folder)",
    )
