"""docs/troubleshooting.md quotes texts that the code says, and all that a user can meet at a failed
or paused task."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runner.classify.profiles import PROFILES
from agent_runner.classify.rules import FIRST, RULES
from agent_runner.models import PauseReason
from rover_mcp.tasks.pause_view import NEVER_BY_ITSELF

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
CELLS = re.findall(r"^\| (`[^|]+`[^|]*) \|", PAGE, re.MULTILINE)
QUOTED = [quoted for cell in CELLS for quoted in re.findall(r"`([^`]+)`", cell)]
FIELDS = {"waits_because"}
"""The heading of a table."""


def texts_of(path: Path, *, prose: bool = False) -> Iterator[tuple[int, str]]:
    """Every text of a module with its line, and a line end where a value is filled in. `prose`: only
    sentences that are said, no doc string, no line of a log."""
    tree = ast.parse(path.read_text("utf-8"))
    aside = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    if prose:
        aside |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        aside |= {id(inner) for n in ast.walk(tree) if _logs(n) for inner in ast.walk(n)}
    for node in ast.walk(tree):
        text = None if id(node) in aside else _text(node)
        if text is not None and (not prose or len(text.split()) >= 4):
            yield getattr(node, "lineno", 0), text


def _logs(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in {"warn", "warning", "info", "debug", "exception", "error", "line", "write"}


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else "\n" for p in node.values)
        return "".join(map(str, parts))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


@functools.cache
def said() -> str:
    modules = (p for name in ("rover_mcp", "agent_runner") for p in (ROOT / name).rglob("*.py"))
    return "\n\n".join(text for path in modules for _, text in texts_of(path))


def pattern(quoted: str) -> str:
    return re.sub(r"\b[A-Z]{2,}\b", "\n", quoted).strip("\n")


@pytest.mark.parametrize("quoted", [q for q in QUOTED if q not in FIELDS])
def test_each_quoted_text_is_said(quoted: str) -> None:
    assert pattern(quoted) in said(), f"nothing says {quoted!r}"


def test_there_is_something_to_check() -> None:
    assert len(QUOTED) > 15


SPEAKING = [
    *(f"agent_runner/run/{name}" for name in (
        "agent_step", "attempt", "interpreter", "output_files", "step", "step_runner",
    )),
    "agent_runner/no_space", "agent_runner/process/command_ending", "agent_runner/process/spawn",
    "agent_runner/worktree/project_setup",
    *(f"rover_mcp/control/{name}" for name in (
        "account_verdicts", "attempt_finish", "checkpoint", "decide", "delivery",
        "delivery_warnings", "plane", "reconciler", "sandbox_spec", "work_delivery",
    )),
    "rover_mcp/daemon/credentials", "rover_mcp/daemon/host_logins", "rover_mcp/git/publish",
    "rover_mcp/domain/obstacles",
]  # fmt: skip
"""The modules whose words become a failed task's error or a paused one's message."""
ELSEWHERE = {
    "An earlier session of yours", "Another agent (", "its condition is false",
    "the task was restarted: ", "the work tree differed from ", "the work tree was changed while ",
    "the task continues without it, ", "\nbase=$1", "output \n was cut to",
    "it is tried again every second", "no task can be started: ", "see daemon.log in ",
    "is left as it is: ", "runs on, and is left alone", "names no snapshot after ",
    "is kept in the hub as", "look at what is there, remove it", ", key from credentials.",
    ", key of rover login", ", held by the gateway", "rover login \n (", "credentials: {",
    ", or sign in: ", "and is not renewed automatically", "only the delivery is left to do",
    "waits for space on the disk", "waits for its branch to be free", "is not a branch name",
    "is in the way of branches named", "is not writable, so", "rename it (git branch -m ",
    "rename the branch that is in the way", "run: git -C ", "make it writable for the user",
    "agent-runner: the journal could not", ", then try again", "line \n, byte \n",
    "; asking for them again", "the work tree's repository was damaged", "the work tree was lost; it",
    "the last finished step has no snapshot", "; what was there is kept as ",
    "its unfinished work is not on its branch", "the login of \n expires", "before this task is to continue",
}  # fmt: skip
"""Begin or stand in what these modules say to others: to the agent, in a log, as a warning of a task
that runs, in another section of the page, or as a part of a sentence that is on it."""


def met() -> Iterator[tuple[str, str]]:
    """What a user can meet at a task that failed or is paused, with where it is said."""
    for name in SPEAKING:
        for line, text in texts_of(ROOT / f"{name}.py", prose=True):
            if not any(part in text for part in ELSEWHERE):
                yield f"{name}.py:{line}", text
    for rule in (*FIRST, *RULES, *(rule for profile in PROFILES for rule in profile.rules)):
        if rule.change:
            yield f"the rule {rule.name}", rule.change
    for text in NEVER_BY_ITSELF.values():
        yield "rover_mcp/tasks/pause_view.py", text


def test_every_text_of_a_failed_or_paused_task_has_its_entry() -> None:
    """A message without an entry is named here."""
    entries = [pattern(quoted) for quoted in QUOTED]
    missing = [
        f"{where}: {text}"
        for where, text in met()
        if not any(entry in text or text.strip("\n;:, ") in entry for entry in entries if entry)
    ]
    assert not missing, "docs/troubleshooting.md has no entry for:\n" + "\n".join(missing)


@pytest.mark.parametrize("reason", PauseReason)
def test_every_reason_of_a_pause_has_its_row(reason: PauseReason) -> None:
    page = (ROOT / "docs" / "pauses.md").read_text("utf-8")
    assert re.search(rf"^\| `{reason}`", page, re.MULTILINE), f"docs/pauses.md: {reason}"
