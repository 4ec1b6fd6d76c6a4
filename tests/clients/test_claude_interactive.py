"""Claude Code in its interactive form, which is a client of the Tasks extension on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.clients.assistant import Assistant
from tests.clients.interactive import PAGE, Session, new_texts, play
from tests.clients.programs import BIN, bare_environment, ran
from tests.support.fake_anthropic import FakeAnthropic, text, tool
from tests.support.models.turns import Behaviour
from tests.support.repos import FIXED, git
from tests.support.scripts import script

pytestmark = pytest.mark.real_agent

WORKS = {
    "description": "Try it",
    "workflow": "quick",
    "agent": "scripted",
    "engine": "bubblewrap",
    "script": script(implement=[{"say": "trying", "delay": 600}]),
}


def test_it_follows_pauses_answers_leaves_comes_back_stops_and_goes_on(home: Path) -> None:
    """T2: and one task is one handle, one dialog, one end."""
    session, page = play(home.parent)
    made = [
        f["result"]["taskId"]
        for f in session.wire.answers()
        if f["result"].get("resultType") == "task"
    ]
    assert [name.partition(".")[2] for name in made] == ["", "", "1"]
    assert page.count("requests your input") == 1
    assert page.count("## The idle model is woken") == 2
    assert page == PAGE.read_text("utf-8"), "python -m tests.clients.interactive regenerates it"
    branches = git(session.repository, "branch", "--list", "rover/*", "--format=%(refname:short)")
    fixed, written = branches.splitlines()
    assert git(session.repository, "show", f"{fixed}:calc.py") == FIXED.strip()
    assert git(session.repository, "show", f"{written}:USAGE.md") == "add(a, b)"


class WaitingModel(Assistant):
    """A model that is told nothing by its client: it waits by a command in the background."""

    def decide(self, called: str | None, result: Any, messages: list[dict[str, Any]]) -> Behaviour:
        news = " ".join(new_texts(messages))
        if "<task-notification>" in news:
            return text("Woken: the task stopped." if "exit code 2" in news else news[-300:])
        if called is None:
            return self.call("create_task", **WORKS)
        if called == "create_task":
            return tool("Bash", command="rover wait 1", run_in_background=True, description="wait")
        return text("I will hear of it.")


def test_a_status_line_shows_the_task_and_a_command_wakes_the_model(
    home: Path,
) -> None:
    """14-12: without the Tasks extension."""
    with FakeAnthropic() as provider:
        model = WaitingModel()
        provider.session().play(model)
        session = Session(home.parent, provider)
        session.settings({"statusLine": {"type": "command", "command": "rover status-line"}})
        allowed = ("--allowedTools", "Bash(rover wait:*)")
        with session.claude(*allowed, CLAUDE_CODE_DISABLE_MCP_TASKS="1") as terminal:
            session.wire.wait_for("its tools", lambda f: "tools" in (f.get("result") or {}))
            terminal.say("Have Rover do it.")
            terminal.wait_for("I will hear of it.")
            terminal.wait_for("rover: 1 running")
            pause = [BIN / "rover", "pause", "1", "--home", session.home]
            ran(pause, bare_environment(home.parent), session.repository)
            terminal.wait_for("Woken: the task stopped.")
            terminal.wait_for("rover: 1 PAUSED")
        assert model.failure is None, model.failure
        assert "tasks/get" not in session.wire.methods()
