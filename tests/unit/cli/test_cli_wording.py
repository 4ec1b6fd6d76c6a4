"""No words of pydantic, of tools or of the protocol in what a person is told (C.12)."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rover_mcp.cli import render
from rover_mcp.cli.cli_wording import COMMANDS, for_terminal, hint_for_terminal
from rover_mcp.cli.terminal_text import Paint
from rover_mcp.server.tools import TOOLS

ROOT = Path(__file__).parents[3] / "rover_mcp"
ERRORS = {
    "RoverError", "UserFixable", "NotFound", "Conflict", "NeedsConsent", "EnvironmentFault",
    "ClientError", "ToolFailed", "ConnectionLost", "DaemonUnavailable", "Refused", "bad_argument",
}  # fmt: skip
NOT_FOR_PEOPLE = re.compile(
    r"\b(?:" + "|".join(name for name in TOOLS if "_" in name) + r")\b"
    r"|next_call|next_actions|structured ?content|validation error|pydantic|\bInput should\b"
    r"|Value error|JSON-RPC|isError|\bthe tool\b|repo_path|budget_usd|budget_tokens",
    re.IGNORECASE,
)


def said(node: ast.AST) -> str:
    """A text with something in place of what is only known when it is said."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(said(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "…"
    if isinstance(node, ast.BinOp):
        return said(node.left) + said(node.right)
    return ""


def error_texts() -> Iterator[tuple[str, str, str]]:
    """Where each error of the code stands, its message and its hint."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in ERRORS:
                message = said(node.args[0]) if node.args else ""
                hints = [k.value for k in node.keywords if k.arg == "hint"]
                hint = "".join(map(said, hints or node.args[1:2]))
                yield f"{path.relative_to(ROOT)}:{node.lineno}", message, hint


def test_every_error_is_told_in_the_words_of_the_command_line() -> None:
    found = list(error_texts())
    assert len(found) > 200
    wrong = {}
    for place, message, hint in found:
        told = "\n".join(render.error(message, hint or None, None, Paint(io.StringIO())))
        if bad := NOT_FOR_PEOPLE.search(told):
            wrong[place] = f"{bad[0]!r} in {told}"
    assert wrong == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("create_task: budget_usd: Input should be greater than 0",
         "--budget-usd: it should be greater than 0"),
        ("resume_task goes on from there", "rover resume goes on from there"),
        ("inspect with detail: full", "inspect with --full"),
        ("or rebase_task with resolve", "or rover rebase --resolve"),
        ("once the user agrees, name it in accept", "once you agree, name it with --accept"),
        ("no such file: /x/create_task.py", "no such file: /x/create_task.py"),
        ("the user reads it and trusts it at a terminal: rover trust /a; or devcontainer: off "
         "(rover create --devcontainer off) leaves out the devcontainer alone",
         "read it, and trust it with rover trust /a; or rover create --devcontainer off leaves out "
         "the devcontainer alone"),
        ("or project_config: ignore (rover create --project-config ignore) leaves it out",
         "or rover create --project-config ignore leaves it out"),
    ],
)  # fmt: skip
def test_calls_and_arguments_become_commands_and_options(text: str, told: str) -> None:
    assert for_terminal(text) == told


def test_the_arguments_of_a_call_are_left_to_its_help() -> None:
    hint = 'it takes: description, repo_path; for example {"description": "x"}'
    assert hint_for_terminal(hint) == "its --help says what it takes"


def test_every_tool_has_a_command() -> None:
    assert set(TOOLS) == set(COMMANDS)
