"""Turns a tool call into the command for the same thing, to be copied."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.terminal_text import Paint, clean, pad, width_of, wrap

_COMMANDS = {
    "resume_task": "resume",
    "set_auto_resume": "auto-resume",
    "wait_for_task": "watch",
    "inspect": "inspect",
    "get_diff": "diff",
    "get_history": "history",
    "fork_task": "fork",
    "get_logs": "logs",
    "pause_task": "pause",
    "restart_task": "restart",
    "iterate_task": "iterate",
    "cancel_task": "cancel",
    "delete_task": "delete",
    "merge_task": "merge",
    "push_task": "push",
    "rebase_task": "rebase",
    "list_tasks": "list",
    "list_workflows": "workflows",
    "get_status": "status",
    "create_task": "create",
}
_POSITIONAL = {"create_task": "description"}
_FLAGS = {"accept": "--accept", "stat_only": "--stat", "branch": "--branch"}
_OPTIONS = {
    "workflow": "--workflow",
    "agent": "--agent",
    "model": "--model",
    "budget_usd": "--budget-usd",
    "budget_tokens": "--budget-tokens",
}


def command_for(tool: object, arguments: Json | None = None) -> str:
    """The command for a tool call."""
    given = arguments or {}
    if tool not in _COMMANDS:
        return "rover --help"
    words = ["rover", _COMMANDS[str(tool)]]
    if tool == "delete_task" and given.get("others"):
        words = ["rover", "choose"]
    if tool == "set_auto_resume":
        words += _switch(given)
    elif tool == "create_task":
        words.append(_quoted(given["description"]) if "description" in given else "DESCRIPTION")
    elif tool not in ("list_tasks", "list_workflows", "get_status"):
        words.append(_quoted(given.get("task", "TASK")))
    if tool in ("merge_task", "push_task"):
        words += _delivery(given)
    if tool == "rebase_task":
        words += ["--onto", _quoted(given["onto"])] if given.get("onto") else []
        words += ["--resolve"] if given.get("resolve") else []
        words += ["--yes"] if given.get("confirm") else []
    words += [flag for name, flag in _FLAGS.items() if given.get(name) is True]
    for name, option in _OPTIONS.items():
        if given.get(name) is not None:
            words += [option, _quoted(given[name])]
    return " ".join(words)


def _delivery(given: Json) -> list[str]:
    into, mode, message = given.get("into"), given.get("mode"), given.get("message")
    words = ["--into", _quoted(into)] if into else []
    places = [(f"--{name}", given.get(name)) for name in ("remote", "branch")]
    words += [word for option, value in places if value for word in (option, _quoted(value))]
    words += [f"--{mode}"] if mode in ("squash", "ff") else []
    words += ["--message", _quoted(message)] if message else []
    words += ["--delete-branch"] if given.get("delete_branch") else []
    words += [word for name in given.get("accept") or () for word in ("--accept", _quoted(name))]
    return [*words, *(["--yes"] if given.get("confirm") else [])]


def _switch(given: Json) -> list[str]:
    words = ["on" if given.get("enabled") else "off"]
    if given.get("scope") == "project":
        return [*words, "--project", *_repo(given)]
    if given.get("scope") == "all":
        return [*words, "--all"]
    return [*words, _quoted(given.get("task", "TASK"))]


def _repo(given: Json) -> list[str]:
    path = given.get("repo_path")
    return ["--repo", _quoted(path)] if path and not is_here(path) else []


# A title or a path may contain what a shell would execute.
def _quoted(value: object) -> str:
    text = clean(value)
    return text if text.isupper() and text.isalpha() else shlex.quote(text)


def is_here(project: object) -> bool:
    """Whether the working folder is in that repository, or in one of its linked work trees."""
    here = os.path.realpath(".")
    return f"{here}/".startswith(f"{project}/") or project == _linked_to(here)


def _linked_to(here: str) -> str | None:
    """The repository whose linked work tree `here` is in, according to git's own files."""
    top = here
    while top and not os.path.lexists(f"{top}/.git"):
        top = top.rpartition("/")[0]
    if os.path.isdir(f"{top}/.git"):  # noqa: PTH112
        return None
    # Without pathlib, whose import would be a good part of what a list takes.
    join, resolved = os.path.join, os.path.realpath
    try:
        git_dir = join(top, _line(f"{top}/.git").removeprefix("gitdir: "))
        common = resolved(join(git_dir, _line(f"{git_dir}/commondir")))
    except (OSError, ValueError):
        return None  # not a linked work tree, or not a usable one
    return common.removesuffix("/.git")


def _line(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.readline().rstrip("\n")


def name_of(task: Json) -> str:
    """How a command that runs here names a task: by its number in this project, otherwise by its
    id."""
    return str(task["number"]) if is_here(task["repo_path"]) else str(task["id"])


def commands_of(task: Json) -> list[tuple[str, str]]:
    """What can be done with a task, each as a command and a reason."""
    commands: list[tuple[str, str]] = []
    for action in task.get("next_actions") or ():
        arguments = {**action.get("arguments", {})}
        if "task" in arguments:
            arguments["task"] = name_of(task)
        commands.append(
            (command_for(action["tool"], arguments), clean(for_terminal(action["why"])))
        )
    return commands


def next_step(task: Json, paint: Paint) -> list[str]:
    """The first thing to do next with a task; for a paused one, everything that can be done."""
    every = commands_of(task)
    if task.get("pause") and len(every) > 1:
        # How to switch it off stands where it says that it resumes automatically.
        every = [c for c in every if not c[0].startswith("rover auto-resume off")]
        return [paint("What you can do:", "bold"), *_choices(every, paint)]
    return [line for command, why in every[:1] for line in next_command(command, why, paint)]


def _choices(every: Iterable[tuple[str, str]], paint: Paint) -> list[str]:
    rows = list(every)
    width = max(width_of(command) for command, _ in rows)
    if all(paint.fits(f"  {pad(command, width)}  {why}") for command, why in rows):
        return [f"  {paint(pad(c, width), 'cyan')}  {paint(why, 'dim')}" for c, why in rows]
    lines: list[str] = []
    for command, why in rows:
        wrapped = wrap(why, paint.width, "      ")
        lines += [f"  {paint(command, 'cyan')}", *(paint(line, "dim") for line in wrapped)]
    return lines


def next_command(command: str, why: object, paint: Paint) -> list[str]:
    """`Next: rover diff 3 review what it changed`, in two lines where one is too short."""
    reason = clean(why)
    line = f"{paint('Next:', 'bold')} {paint(command, 'cyan')}"
    if not reason:
        return [line]
    if paint.fits(f"Next: {command}  {reason}"):
        return [f"{line}  {paint(reason, 'dim')}"]
    return [line, *(paint(x, "dim") for x in wrap(reason, paint.width, "      "))]
