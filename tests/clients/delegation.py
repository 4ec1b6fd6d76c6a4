"""A user has Claude Code delegate a task to Rover; the page of it is docs/transcripts/claude-code.md.

    python -m tests.clients.delegation

regenerates it. The program, the server, the sandbox and git are real; the assistant's model is
played by tests/clients/assistant.py, and the task's agent by a script.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.clients.assistant import PREFIX, DelegatingAssistant, blocks
from tests.clients.programs import bare_environment, launcher, ran
from tests.e2e.conftest import end_daemon
from tests.e2e.processes import wait_until
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.real_claude import claude_binary
from tests.support.repos import FIXED, make_repository
from tests.support.scripts import CREDITS, script

PAGE = Path(__file__).parents[2] / "docs" / "transcripts" / "claude-code.md"
PROMPTS = (
    "Have Rover fix calc.add in this repository. Tell me when it pauses or is done.",
    "There are credits again: go on.",
)
TASK = {
    "description": "calc.add subtracts. Make it add.",
    "workflow": "quick",
    "agent": "scripted",
    "engine": "bubblewrap",
    "script": script(
        implement=[
            {"say": "half", "error": CREDITS},
            {"say": "done", "edits": [{"path": "calc.py", "content": FIXED}]},
        ]
    ),
}
HEADER = """\
# Claude Code delegates a task

As it happened: the real Claude Code, its real MCP connection, the real server, sandbox and git. Only
two things are played: what the assistant's model decides, and the agent that does the task, which
runs out of credits once. Of Rover, Claude Code tells its model the instructions and the tools' names;
the rest of a tool it loads when the model looks for it, with `ToolSearch`. A test plays it again and
compares (`tests/clients/test_claude.py`).

Results are what the model is given, shortened: of a task they have more. TASK stands for its id,
TIME for times.
"""
_SHOWN = ("number", "title", "status", "branch", "pause")
_PAUSE = ("reason", "message", "where", "retry_at", "auto_resume")


PATIENT = {
    "MCP_CONNECTION_NONBLOCKING": "0", "MCP_CONNECT_TIMEOUT_MS": "600000", "MCP_TIMEOUT": "600000",
}  # fmt: skip
"""It asks its model once its servers are there: else without those that took longer than a moment."""


def play(folder: Path) -> tuple[Path, str]:
    """The repository afterwards, and the page. `folder` is empty."""
    home, repository, user = folder / "data", make_repository(folder / "repo"), folder / "user"
    user.mkdir()

    def meanwhile(task: str) -> None:
        wait_until(lambda: status(home, task) == "PAUSED", "it ran out of credits")

    model = DelegatingAssistant(TASK, meanwhile)
    page = [HEADER]
    with FakeAnthropic() as provider:
        provider.session().play(model)
        for number, prompt in enumerate(PROMPTS):
            more = ["--continue"] if number else []
            told = claude(home, repository, user, provider, *more, prompt)
            assert model.failure is None, model.failure
            page += [f"## You\n\n> {prompt}\n", *rendered(told)]
    return repository, settled("\n".join(page))


def claude(
    home: Path, repository: Path, user: Path, provider: FakeAnthropic, *arguments: str, **more: Any
) -> list[dict[str, Any]]:
    """One run without a terminal; what it told, message by message. `more` is put into the
    server's entry of its configuration."""
    command, *rest = launcher(home)
    config = user / "mcp.json"
    entry = {"command": command, "args": rest, **more}
    config.write_text(json.dumps({"mcpServers": {"rover": entry}}))
    environ = bare_environment(user) | {
        "ANTHROPIC_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "sk-ant-api03-of-nobody",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        **PATIENT,
    }
    argv = [
        claude_binary(), "-p", *arguments,
        "--mcp-config", config, "--strict-mcp-config", "--allowedTools", "mcp__rover",
        "--output-format", "stream-json", "--verbose",
    ]  # fmt: skip
    return [json.loads(line) for line in ran(argv, environ, repository).stdout.splitlines()]


def status(home: Path, task: str) -> str:
    """A task's status, as no client is told it."""
    connection = sqlite3.connect(f"file:{home}/rover.db?mode=ro", uri=True)
    try:
        query = "SELECT status FROM rover_tasks WHERE id = ?"
        return connection.execute(query, (task,)).fetchone()[0]
    finally:
        connection.close()


def rendered(told: list[dict[str, Any]]) -> Iterator[str]:
    """What was said and called, for people. A wait that ran out, which a slow machine repeats, is
    left out."""
    parts = [b for m in told if "message" in m for b in blocks(m["message"])]
    again = {p["tool_use_id"] for p in parts if '"returned":"timeout"' in str(p.get("content"))}
    for block in parts:
        if not again & {block.get("id"), block.get("tool_use_id")}:
            match block["type"]:
                case "text":
                    yield f"## Claude Code\n\n> {block['text']}\n"
                case "tool_use":
                    name = block["name"].removeprefix(PREFIX)
                    yield f"## Claude Code calls `{name}`\n\n{as_json(_call(block['input']))}"
                case "tool_result" if found := found_tools(block["content"]):
                    yield f"It finds {', '.join(f'`{name}`' for name in found)}.\n"
                case "tool_result" if block.get("is_error"):
                    yield f"Rover refuses:\n\n```\n{block['content']}\n```\n"
                case "tool_result":
                    yield f"Rover answers:\n\n{as_json(in_short(json.loads(block['content'])))}"
                case _:
                    continue


def settled(text: str) -> str:
    """Without what is another each time."""
    text = re.sub(r"\b[0-9a-f]{32}\b", "TASK", text)
    # Eight digits, or more where these would be read as a number.
    short = r"\b(?:(?=[0-9]*[a-f])[0-9a-f]{8}|[0-9]{8,30}[a-f])\b(?=\")"
    text = re.sub(short, "TASK", text)
    return re.sub(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d[:.\d]*Z", "TIME", text)


def found_tools(content: str | list[dict[str, Any]]) -> list[str]:
    """The tools that a search of Claude Code's found; none: it is another tool's result."""
    parts = [] if isinstance(content, str) else content
    return [part["tool_name"].removeprefix(PREFIX) for part in parts if "tool_name" in part]


def _call(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: "(its agent's, played)" if k == "script" else v for k, v in arguments.items()}


def in_short(result: dict[str, Any]) -> dict[str, Any]:
    shown = {k: v for k, v in result.items() if v not in ([], False)}
    for event in shown.get("attention", []):
        del event["seq"]
    if isinstance(shown.get("task"), dict):
        shown["task"] = _task(shown["task"])
        if set(shown) == {"task"} and shown["task"]["status"] == "IN_PROGRESS":
            # What create_task returns, where the task has begun before the answer was written.
            shown["task"]["status"] = "NEW"
    if "tasks" in shown:
        shown["tasks"] = [_task(task) for task in shown["tasks"]]
    if "patch" in shown:
        shown["patch"] = shown["patch"].splitlines()
    return shown


def _task(task: dict[str, Any]) -> dict[str, Any]:
    shown = {k: task[k] for k in _SHOWN if k in task}
    if "pause" in shown:
        shown["pause"] = {k: shown["pause"][k] for k in _PAUSE}
    return shown


def as_json(value: object) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rover-delegation-"))
    try:
        _, page = play(folder)
    finally:
        end_daemon(folder / "data")
        shutil.rmtree(folder)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
